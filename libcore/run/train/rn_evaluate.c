/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_progress.h"
#include "nn/optim/rn_metrics.h"
#include "run/train/rn_session.h"

/* NumPy's format 1.0: a header padded to a multiple of 64 bytes. */
static int put_npy_header(FILE *f, const char *path, int64_t rows, int cols)
{
    char text[118];
    memset(text, ' ', sizeof text);
    int n = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld, %d), }",
                     (long long)rows, cols);
    text[n] = ' ';
    text[sizeof text - 1] = '\n';
    const unsigned char head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, sizeof text, 0};
    if (fwrite(head, sizeof head, 1, f) != 1 || fwrite(text, sizeof text, 1, f) != 1)
        return rn_fail_errno(errno, "cannot write %s", path);
    return RN_OK;
}

static int open_dump(const rn_session *s, const char *path, FILE **out)
{
    size_t n = strlen(path);
    *out = fopen(path, "wb");
    if (!*out)
        return rn_fail_errno(errno, "cannot write %s", path);
    if (n > 4 && strcmp(path + n - 4, ".npy") == 0)
        return put_npy_header(*out, path, rn_store_count(s->val_db), s->classes);
    return RN_OK;
}

typedef struct eval_run {
    rn_session *s;
    const rn_eval_opts *o;
    FILE *dump;
    rn_progress *bar;
    float *logits, *losses;
    rn_metrics sums;
} eval_run;

static int one_batch(eval_run *e, const rn_batch *b)
{
    rn_session *s = e->s;
    rn_net_result res;
    RN_TRY(rn_net_eval_batch(s->eval_net, b->images, b->labels, b->n, &res));
    RN_TRY(rn_net_outputs(s->eval_net, e->dump ? e->logits : NULL, e->losses));
    /* Image by image into the total: a sum of batches' sums would round by batch. */
    res.loss_sum = 0;
    for (int i = 0; i < b->n; i++)
        e->sums.loss_sum += (double)e->losses[i];
    rn_metrics_add(&e->sums, &res);
    size_t count = (size_t)b->n * (size_t)s->classes;
    if (e->dump && fwrite(e->logits, sizeof *e->logits, count, e->dump) != count)
        return rn_fail_errno(errno, "cannot write %s", e->o->dump_logits);
    rn_progress_add(e->bar, (uint64_t)b->n);
    return RN_OK;
}

static int all_batches(eval_run *e)
{
    rn_batch b;
    int more;
    RN_TRY(rn_loader_seek(e->s->val, 0, 0));
    while ((more = rn_loader_next(e->s->val, &b)) > 0) {
        int rc = one_batch(e, &b);
        rn_loader_release(e->s->val, &b);
        if (rc < 0)
            return rc;
        if (e->o->stop && *e->o->stop)
            return rn_fail(RN_E_INTERRUPTED, "interrupted after %lld images of the evaluation", (long long)e->sums.n);
    }
    if (more < 0)
        return more;
    int64_t want = rn_store_count(e->s->val_db);
    if (e->sums.n != want)
        return rn_fail(RN_E_MISMATCH, "%s: evaluated %lld images of %lld", rn_store_path(e->s->val_db),
                       (long long)e->sums.n, (long long)want);
    return RN_OK;
}

int rn_evaluate(rn_session *s, const rn_eval_opts *o, rn_eval_result *out)
{
    int rc;
    eval_run e = {.s = s, .o = o};
    e.losses = malloc((size_t)s->eval_batch * sizeof *e.losses);
    e.logits = malloc((size_t)s->eval_batch * (size_t)s->classes * sizeof *e.logits);
    if (!e.losses || !e.logits)
        RN_GO(rn_fail(RN_E_NOMEM, "no memory for the logits of a batch"));
    if (o->dump_logits)
        RN_GO(open_dump(s, o->dump_logits, &e.dump));
    if (o->progress)
        e.bar = rn_progress_start("evaluate", "images", RN_UNIT_ITEMS, rn_store_count(s->val_db));
    rc = all_batches(&e);
    if (rc == RN_OK) {
        const rn_summary sum = rn_metrics_summary(&e.sums);
        *out = (rn_eval_result){sum.n, sum.top1, sum.top5, sum.se_top1, sum.loss};
    }
out:
    rn_progress_done(e.bar);
    if (e.dump && fclose(e.dump) != 0 && rc == RN_OK)
        rc = rn_fail_errno(errno, "cannot write %s", o->dump_logits);
    free(e.losses);
    free(e.logits);
    return rc;
}
