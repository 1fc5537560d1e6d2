/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_progress.h"
#include "nn/optim/rn_metrics.h"
#include "run/save/rn_npy.h"
#include "run/train/rn_session.h"

/* What a rank tells of one batch; its images' results follow by themselves. */
typedef struct eval_piece {
    int32_t n, top1, top5, stop;
} eval_piece;

/* Ranks go on in step, a batch each at a time, for as long as any of them has one. Of rank 0 alone: all results, by key. */
typedef struct eval_run {
    rn_session *s;
    const rn_eval_opts *o;
    FILE *dump;
    off_t dump_head; /* bytes before the first row */
    rn_progress *bar;
    int rows;               /* most images of a rank's batch */
    bool scores;            /* logits are wanted */
    float *logits, *losses; /* of this rank's batch */
    rn_eval_row *mine;      /* likewise */
    void *in;               /* rank 0: everybody's results, or logits, of a batch */
    rn_eval_row *all;       /* rank 0: of the set */
    eval_piece *pieces;     /* everybody's */
    rn_metrics sums;
} eval_run;

/* Records a rank begins with: as rn_loader_opts.parts says. */
static int64_t first_of(const eval_run *e, int rank)
{
    return (int64_t)rn_store_count(e->s->val_db) * rank / rn_comm_size(e->s->comm);
}

/* What one row of scores says. */
static void judge(const float *logits, int classes, rn_eval_row *out)
{
    double sum = 0;
    int best = 0;
    for (int c = 1; c < classes; c++)
        if (logits[c] > logits[best])
            best = c;
    for (int c = 0; c < classes; c++)
        sum += exp((double)logits[c] - (double)logits[best]);
    out->predicted = best;
    out->confidence = sum >= 1 ? (float)(1 / sum) : 0; /* a NaN among the scores */
}

static int my_batch(eval_run *e, const rn_batch *b, eval_piece *mine)
{
    rn_net_result res;
    RN_TRY(rn_net_set_windows(e->s->eval_net, b->windows, b->n));
    if (b->picks)
        RN_TRY(rn_net_set_picks(e->s->eval_net, b->picks, b->n));
    RN_TRY(rn_net_eval_batch(e->s->eval_net, b->images, b->labels, b->n, &res));
    RN_TRY(rn_net_outputs(e->s->eval_net, e->scores ? e->logits : NULL, e->losses));
    for (int i = 0; i < b->n; i++) {
        e->mine[i] = (rn_eval_row){.loss = e->losses[i], .label = b->labels[i], .predicted = -1};
        if (e->o->rows)
            judge(e->logits + (size_t)i * (size_t)e->s->classes, e->s->classes, &e->mine[i]);
    }
    *mine = (eval_piece){.n = res.n, .top1 = res.top1, .top5 = res.top5};
    return RN_OK;
}

/* Rank 0: the rows of everybody's batch `round` into the file, where they belong. */
static int put_logits(const eval_run *e, int64_t round)
{
    const int ranks = rn_comm_size(e->s->comm);
    const size_t classes = (size_t)e->s->classes;
    for (int r = 0; r < ranks; r++) {
        const size_t count = (size_t)e->pieces[r].n * classes;
        const float *from = (const float *)e->in + (size_t)r * (size_t)e->rows * classes;
        const off_t at = (off_t)(first_of(e, r) + round * e->rows) * (off_t)(classes * sizeof *from);
        if (ranks > 1 && fseeko(e->dump, e->dump_head + at, SEEK_SET) != 0) /* one rank's may be a pipe */
            return rn_fail_errno(errno, "cannot write %s", e->o->dump_logits);
        if (fwrite(from, sizeof *from, count, e->dump) != count)
            return rn_fail_errno(errno, "cannot write %s", e->o->dump_logits);
    }
    return RN_OK;
}

/* Everybody's results to their places. */
static int collect(eval_run *e, int64_t round)
{
    rn_comm *c = e->s->comm;
    RN_TRY(rn_comm_gather(c, e->mine, (size_t)e->rows * sizeof *e->mine, e->in));
    for (int r = 0; r < rn_comm_size(c); r++) {
        const eval_piece *p = &e->pieces[r];
        const rn_net_result res = {.n = p->n, .top1 = p->top1, .top5 = p->top5};
        rn_metrics_add(&e->sums, &res);
        rn_progress_add(e->bar, (uint64_t)p->n);
        if (e->all)
            memcpy(e->all + first_of(e, r) + round * e->rows, (const rn_eval_row *)e->in + (size_t)r * (size_t)e->rows,
                   (size_t)p->n * sizeof *e->all);
    }
    if (!e->o->dump_logits)
        return RN_OK;
    RN_TRY(rn_comm_gather(c, e->logits, (size_t)e->rows * (size_t)e->s->classes * sizeof *e->logits, e->in));
    return e->dump ? put_logits(e, round) : RN_OK;
}

/* One batch of every rank; 0 when none had one, or after what any of them was asked to stop for: RN_E_INTERRUPTED. */
static int one_round(eval_run *e, int64_t round)
{
    eval_piece mine = {0};
    rn_batch b;
    int got = rn_loader_next(e->s->val, &b), any = 0, stop = 0;
    if (got > 0) {
        int rc = my_batch(e, &b, &mine);
        rn_loader_release(e->s->val, &b);
        RN_TRY(rc);
    }
    RN_TRY(got);
    mine.stop = e->o->stop && *e->o->stop;
    RN_TRY(rn_comm_allgather(e->s->comm, &mine, sizeof mine, e->pieces));
    for (int r = 0; r < rn_comm_size(e->s->comm); r++) {
        any |= e->pieces[r].n > 0;
        stop |= e->pieces[r].stop;
    }
    if (any)
        RN_TRY(collect(e, round));
    if (any && stop)
        return rn_fail(RN_E_INTERRUPTED, "interrupted after %lld images of the evaluation", (long long)e->sums.n);
    return any;
}

/* Rank 0's sum, image by image in key order (a sum of batches' or ranks' sums would round by them), for everybody. */
static int add_losses(eval_run *e)
{
    for (int64_t i = 0; e->all && i < e->sums.n; i++)
        e->sums.loss_sum += (double)e->all[i].loss;
    return rn_comm_bcast(e->s->comm, &e->sums.loss_sum, sizeof e->sums.loss_sum);
}

static int all_batches(eval_run *e)
{
    int more = 1;
    RN_TRY(rn_loader_seek(e->s->val, 0, 0));
    for (int64_t round = 0; more > 0; round++)
        RN_TRY(more = one_round(e, round));
    int64_t want = rn_store_count(e->s->val_db);
    if (e->sums.n != want)
        return rn_fail(RN_E_MISMATCH, "%s: evaluated %lld images of %lld", rn_store_path(e->s->val_db),
                       (long long)e->sums.n, (long long)want);
    return add_losses(e);
}

static int open_run(eval_run *e)
{
    const size_t ranks = (size_t)rn_comm_size(e->s->comm), count = rn_store_count(e->s->val_db);
    const size_t rows = (size_t)e->rows, wide = e->scores ? rows * (size_t)e->s->classes * sizeof *e->logits : 1;
    const size_t row_bytes = rows * sizeof *e->mine;
    const bool first = rn_comm_rank(e->s->comm) == 0;
    e->losses = calloc(rows, sizeof *e->losses);
    e->logits = calloc(wide, 1);
    e->mine = calloc(rows, sizeof *e->mine);
    e->pieces = calloc(ranks, sizeof *e->pieces);
    e->in = first ? malloc(ranks * (wide > row_bytes ? wide : row_bytes)) : NULL;
    e->all = first ? e->o->rows ? e->o->rows : malloc(count * sizeof *e->all) : NULL;
    if (!e->losses || !e->logits || !e->mine || !e->pieces || (first && (!e->in || !e->all)))
        return rn_fail(RN_E_NOMEM, "no memory for the scores of %zu images", count);
    if (first && e->o->dump_logits) {
        RN_TRY(rn_npy_open(e->o->dump_logits, rn_store_count(e->s->val_db), e->s->classes, &e->dump));
        if (ranks > 1 && (e->dump_head = ftello(e->dump)) < 0)
            return rn_fail(RN_E_UNSUPPORTED, "%s: ranks can write logits into a file only", e->o->dump_logits);
    }
    if (e->o->progress)
        e->bar = rn_progress_start("evaluate", "images", RN_UNIT_ITEMS, count);
    return RN_OK;
}

int rn_evaluate(rn_session *s, const rn_eval_opts *o, rn_eval_result *out)
{
    int rc;
    eval_run e = {.s = s, .o = o, .rows = s->eval_batch, .scores = o->dump_logits || o->rows};
    RN_GO(open_run(&e));
    RN_GO(all_batches(&e));
    const rn_summary sum = rn_metrics_summary(&e.sums);
    *out = (rn_eval_result){sum.n, sum.top1, sum.top5, sum.se_top1, sum.loss};
out:
    rn_progress_done(e.bar);
    if (e.dump && fclose(e.dump) != 0 && rc == RN_OK)
        rc = rn_fail_errno(errno, "cannot write %s", o->dump_logits);
    free(e.losses);
    free(e.logits);
    free(e.pieces);
    free(e.in);
    free(e.mine);
    if (e.all != o->rows)
        free(e.all);
    return rc;
}
