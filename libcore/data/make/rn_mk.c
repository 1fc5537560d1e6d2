/* SPDX-License-Identifier: MIT */
#include "data/make/rn_mk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "base/rn_pool.h"
#include "base/rn_progress.h"
#include "base/rn_rng.h"
#include "data/archive/rn_tarwrite.h"
#include "data/make/rn_mk_devkit.h"

#define TRAIN_TAR "ILSVRC2012_img_train.tar"
#define VAL_TAR   "ILSVRC2012_img_val.tar"
#define DEVKIT    "ILSVRC2012_devkit_t12.tar.gz"

enum { CHUNK = 2048 /* pictures encoded before they are written */, TASK = 64 /* pictures a task */ };

/* Streams of random numbers: `a` of rn_rng_seed. */
enum { DRAW_CLASS_ORDER = 1, DRAW_NUMBERS = 2, DRAW_VAL_NUMBERS = 3, DRAW_VAL_ORDER = 4, DRAW_IDS = 5 };

typedef struct maker {
    const rn_mk_source *s;
    const rn_mk_opts *o;
    const char *dir;
    rn_pool *pool;
    rn_progress *bar;
    rn_buf jpeg[CHUNK];
    uint32_t *item[2]; /* chosen items: train grouped by class, val in the source's order */
    uint32_t *first;   /* nclasses + 1: class c has item[0][first[c] .. first[c+1]) */
    uint32_t n[2];
    rn_buf sums;
    uint64_t bytes;
} maker;

/* ---- which items ------------------------------------------------------------------------------------------- */

static int choose(maker *m, int split)
{
    const rn_mk_source *s = m->s;
    uint32_t *taken = calloc((size_t)s->nclasses, sizeof *taken);
    m->item[split] = malloc(((size_t)s->n[split] + 1) * sizeof *m->item[split]);
    if (!taken || !m->item[split]) {
        free(taken);
        return rn_fail(RN_E_NOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < s->n[split]; i++)
        if (m->o->limit[split] == 0 || taken[s->label[split][i]] < m->o->limit[split]) {
            taken[s->label[split][i]]++;
            m->item[split][m->n[split]++] = i;
        }
    free(taken);
    return RN_OK;
}

/* Orders the chosen train items by class, keeping the source's order inside a class. */
static int group_by_class(maker *m)
{
    const int32_t *label = m->s->label[RN_MK_TRAIN];
    int nc = m->s->nclasses;
    uint32_t *to = malloc(((size_t)m->n[0] + 1) * sizeof *to), *at = calloc((size_t)nc + 1, sizeof *at);
    m->first = calloc((size_t)nc + 2, sizeof *m->first);
    if (!to || !at || !m->first) {
        free(to);
        free(at);
        return rn_fail(RN_E_NOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < m->n[0]; i++)
        m->first[label[m->item[0][i]] + 1]++;
    for (int c = 0; c < nc; c++)
        at[c] = m->first[c + 1] += m->first[c];
    for (uint32_t i = m->n[0]; i-- > 0;)
        to[--at[label[m->item[0][i]]]] = m->item[0][i];
    free(m->item[0]);
    free(at);
    m->item[0] = to;
    for (int c = 0; c < nc; c++)
        if (m->first[c] == m->first[c + 1])
            return rn_fail(RN_E_MISMATCH, "class %s (%s) has no train images", m->s->wnid[c], m->s->words[c]);
    return RN_OK;
}

static int permutation(uint32_t n, uint64_t seed, uint32_t what, uint32_t **out)
{
    rn_rng r;
    *out = malloc(((size_t)n + 1) * sizeof **out);
    if (!*out)
        return rn_fail(RN_E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++)
        (*out)[i] = i;
    rn_rng_seed(&r, seed, RN_STREAM_SHUFFLE, what, 0);
    rn_rng_shuffle_u32(&r, *out, n);
    return RN_OK;
}

/* ---- pictures, in parallel --------------------------------------------------------------------------------- */

typedef struct encode_task {
    maker *m;
    int split;
    const uint32_t *item;
    uint32_t n;
    rn_buf *out;
} encode_task;

static int encode(void *arg, int worker)
{
    encode_task *t = arg;
    (void)worker;
    for (uint32_t i = 0; i < t->n; i++) {
        t->out[i].n = 0;
        RN_TRY(t->m->s->jpeg(t->m->s, t->split, t->item[i], t->m->o->quality, &t->out[i]));
    }
    return RN_OK;
}

/* JPEGs of n <= CHUNK items into m->jpeg. */
static int encode_chunk(maker *m, int split, const uint32_t *item, uint32_t n)
{
    encode_task tasks[CHUNK / TASK];
    int rc = RN_OK;
    for (uint32_t i = 0, k = 0; i < n && rc == RN_OK; i += TASK, k++) {
        tasks[k] = (encode_task){m, split, item + i, n - i < TASK ? n - i : TASK, m->jpeg + i};
        rc = rn_pool_submit(m->pool, encode, &tasks[k]);
    }
    int waited = rn_pool_wait(m->pool);
    rn_progress_add(m->bar, n);
    return rc < 0 ? rc : waited;
}

/* ---- archives ---------------------------------------------------------------------------------------------- */

static int finish(maker *m, rn_tarwrite *w, const char *name)
{
    char md5[RN_DIGEST_HEX_MAX], sums[2048];
    uint64_t bytes;
    /* Archives are replaced one by one: killed in between, the old heading must not vouch for the mixture. */
    RN_TRY(rn_path_join(sums, sizeof sums, m->dir, "MD5SUMS"));
    if (unlink(sums) < 0 && errno != ENOENT)
        return rn_fail_errno(errno, "%s: removing it", sums);
    RN_TRY(rn_tarwrite_finish(w, md5, &bytes));
    m->bytes += bytes;
    return rn_buf_printf(&m->sums, "%s  %s\n", md5, name);
}

/* One class: the numbers in the names ascend with gaps and without leading zeros, so that name order is not number order. */
static int write_class(maker *m, int c, rn_buf *inner)
{
    int rc;
    rn_tarwrite *w;
    rn_rng r;
    char name[64];
    unsigned number = 0;
    inner->n = 0;
    rn_rng_seed(&r, m->o->seed, RN_STREAM_SHUFFLE, DRAW_NUMBERS, (uint32_t)c);
    RN_TRY(rn_tarwrite_memory(inner, &w));
    for (uint32_t at = m->first[c], n; at < m->first[c + 1]; at += n) {
        n = m->first[c + 1] - at < CHUNK ? m->first[c + 1] - at : CHUNK;
        RN_GO(encode_chunk(m, RN_MK_TRAIN, m->item[0] + at, n));
        for (uint32_t i = 0; i < n; i++) {
            number += 1 + rn_rng_below(&r, 16);
            snprintf(name, sizeof name, "%s_%u.JPEG", m->s->wnid[c], number);
            RN_GO(rn_tarwrite_add(w, name, m->jpeg[i].data, m->jpeg[i].n));
        }
    }
    rc = rn_tarwrite_finish(w, NULL, NULL);
out:
    rn_tarwrite_close(w);
    return rc;
}

static int write_train(maker *m)
{
    int rc;
    char path[2048], name[64];
    rn_tarwrite *w = NULL;
    rn_buf inner = {0};
    uint32_t *order = NULL;
    RN_GO(permutation((uint32_t)m->s->nclasses, m->o->seed, DRAW_CLASS_ORDER, &order));
    RN_GO(rn_path_join(path, sizeof path, m->dir, TRAIN_TAR));
    RN_GO(rn_tarwrite_file(path, false, &w));
    for (int i = 0; i < m->s->nclasses; i++) {
        int c = (int)order[i];
        RN_GO(write_class(m, c, &inner));
        snprintf(name, sizeof name, "%s.tar", m->s->wnid[c]);
        RN_GO(rn_tarwrite_add(w, name, inner.data, inner.n));
    }
    rc = finish(m, w, TRAIN_TAR);
out:
    rn_tarwrite_close(w);
    rn_buf_free(&inner);
    free(order);
    return rc;
}

/* number[k] = item: which chosen item the (k+1)-th name shows. The archive's order is another permutation. */
static int write_val(maker *m, const uint32_t *number)
{
    int rc;
    char path[2048], name[64];
    rn_tarwrite *w = NULL;
    uint32_t *order = NULL, items[CHUNK], n = m->n[RN_MK_VAL];
    RN_GO(permutation(n, m->o->seed, DRAW_VAL_ORDER, &order));
    RN_GO(rn_path_join(path, sizeof path, m->dir, VAL_TAR));
    RN_GO(rn_tarwrite_file(path, false, &w));
    for (uint32_t at = 0, k; at < n; at += k) {
        k = n - at < CHUNK ? n - at : CHUNK;
        for (uint32_t i = 0; i < k; i++)
            items[i] = m->item[RN_MK_VAL][number[order[at + i]]];
        RN_GO(encode_chunk(m, RN_MK_VAL, items, k));
        for (uint32_t i = 0; i < k; i++) {
            snprintf(name, sizeof name, "ILSVRC2012_val_%08u.JPEG", order[at + i] + 1);
            RN_GO(rn_tarwrite_add(w, name, m->jpeg[i].data, m->jpeg[i].n));
        }
    }
    rc = finish(m, w, VAL_TAR);
out:
    rn_tarwrite_close(w);
    free(order);
    return rc;
}

/* ids[label]: 1..n, not in the labels' order. */
static int draw_ids(maker *m, uint32_t **ids)
{
    uint32_t n = (uint32_t)m->s->nclasses, fixed = 0;
    RN_TRY(permutation(n, m->o->seed, DRAW_IDS, ids));
    for (uint32_t i = 0; i < n; i++)
        fixed += (*ids)[i] == i;     /* NOLINT(clang-analyzer-core.NullDereference): permutation() has set it */
    for (uint32_t i = 0; i < n; i++) /* the identity would hide the mistake that the order of ids invites */
        (*ids)[i] = (fixed == n ? ((*ids)[i] + 1) % n : (*ids)[i]) + 1;
    return RN_OK;
}

static int write_devkit(maker *m, const uint32_t *number)
{
    int rc;
    char path[2048];
    rn_tarwrite *w = NULL;
    uint32_t *ids = NULL, *ntrain = NULL, n = m->n[RN_MK_VAL];
    rn_buf truth = {0}, meta = {0}, readme = {0};
    RN_GO(draw_ids(m, &ids));
    ntrain = calloc((size_t)m->s->nclasses, sizeof *ntrain);
    if (!ntrain)
        RN_GO(rn_fail(RN_E_NOMEM, "out of memory"));
    for (int c = 0; c < m->s->nclasses; c++)
        ntrain[c] = m->first[c + 1] - m->first[c];
    for (uint32_t k = 0; k < n; k++)
        RN_GO(rn_buf_printf(&truth, "%u\n", ids[m->s->label[RN_MK_VAL][m->item[RN_MK_VAL][number[k]]]]));
    RN_GO(rn_mk_meta(m->s, ids, ntrain, &meta));
    RN_GO(rn_buf_printf(
        &readme,
        "Development kit in the form of ILSVRC2012's, made by mkilsvrc.\n%s\n"
        "data/meta.mat: struct array `synsets`; ids 1..%d are the classes, in no order of names.\n"
        "data/ILSVRC2012_validation_ground_truth.txt: an id a line, in the ascending order of the names.\n",
        m->s->about, m->s->nclasses));
    RN_GO(rn_path_join(path, sizeof path, m->dir, DEVKIT));
    RN_GO(rn_tarwrite_file(path, true, &w));
    RN_GO(rn_tarwrite_add(w, "ILSVRC2012_devkit_t12/readme.txt", readme.data, readme.n));
    RN_GO(rn_tarwrite_add(w, "ILSVRC2012_devkit_t12/data/meta.mat", meta.data, meta.n));
    RN_GO(rn_tarwrite_add(w, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth.data, truth.n));
    rc = finish(m, w, DEVKIT);
out:
    rn_tarwrite_close(w);
    rn_buf_free(&truth);
    rn_buf_free(&meta);
    rn_buf_free(&readme);
    free(ids);
    free(ntrain);
    return rc;
}

static int write_truth(maker *m, const uint32_t *number)
{
    rn_buf b = {0};
    int rc = RN_OK;
    for (uint32_t k = 0; k < m->n[RN_MK_VAL] && rc == RN_OK; k++) {
        int32_t label = m->s->label[RN_MK_VAL][m->item[RN_MK_VAL][number[k]]];
        rc = rn_buf_printf(&b, "ILSVRC2012_val_%08u.JPEG %d %s\n", k + 1, label, m->s->wnid[label]);
    }
    if (rc == RN_OK)
        rc = rn_write_file_atomic(m->o->truth, b.data, b.n);
    rn_buf_free(&b);
    return rc;
}

/* ---- the set ----------------------------------------------------------------------------------------------- */

/* First line of MD5SUMS: what would make the same archives again (md5sum passes over it). */
static int heading(maker *m)
{
    char hex[RN_DIGEST_HEX_MAX];
    rn_buf b = {0};
    int rc = RN_OK;
    /* Classes given by a file change the devkit: their text counts. */
    for (int c = 0; c < m->s->nclasses && rc == RN_OK; c++)
        rc = rn_buf_printf(&b, "%s %s\n", m->s->wnid[c], m->s->words[c]);
    /* So do the labels: they tell MNIST from Fashion-MNIST, which are alike in all sizes. */
    for (int split = 0; split < 2 && rc == RN_OK; split++)
        rc = rn_buf_append(&b, m->s->label[split], m->s->n[split] * sizeof *m->s->label[split]);
    if (rc == RN_OK)
        rc = rn_digest_buffer(RN_MD5, b.data, b.n, hex);
    rn_buf_free(&b);
    RN_TRY(rc);
    return rn_buf_printf(
        &m->sums, "# mkilsvrc %s: %s; classes %.8s, quality %d, seed %" PRIu64 ", limits %" PRId64 " %" PRId64 "\n",
        RN_VERSION, m->s->about, hex, m->o->quality, m->o->seed, m->o->limit[0], m->o->limit[1]);
}

static bool is_made(const maker *m, const char *sums)
{
    static const char *const names[] = {TRAIN_TAR, VAL_TAR, DEVKIT};
    char path[2048], *data;
    size_t n;
    if (!rn_is_file(sums) || rn_read_file(sums, 1 << 16, &data, &n) < 0)
        return false;
    bool same = n >= m->sums.n && memcmp(data, m->sums.data, m->sums.n) == 0;
    free(data);
    for (size_t i = 0; i < sizeof names / sizeof *names && same; i++)
        same = rn_path_join(path, sizeof path, m->dir, names[i]) == RN_OK && rn_is_file(path);
    return same;
}

/* Beside the archives while they are made: what a run that was killed left is ours. */
#define MAKING ".mkilsvrc"

static bool is_ours(const maker *m, const char *sums)
{
    static const char mark[] = "# mkilsvrc ";
    char path[2048], begin[sizeof mark] = "";
    if (rn_path_join(path, sizeof path, m->dir, MAKING) == RN_OK && rn_is_file(path))
        return true;
    FILE *f = fopen(sums, "re");
    if (!f)
        return false;
    size_t n = fread(begin, 1, sizeof mark - 1, f);
    fclose(f);
    return n == sizeof mark - 1 && strcmp(begin, mark) == 0;
}

/* Real archives bear the same names, and take days to download. */
static int spare_others(const maker *m, const char *sums)
{
    static const char *const names[] = {TRAIN_TAR, VAL_TAR, DEVKIT, "MD5SUMS"};
    char path[2048];
    for (size_t i = 0; i < sizeof names / sizeof *names && !is_ours(m, sums); i++) {
        RN_TRY(rn_path_join(path, sizeof path, m->dir, names[i]));
        if (access(path, F_OK) == 0)
            return rn_fail(RN_E_USAGE, "%s: there already, and not made by mkilsvrc; name another folder", path);
    }
    RN_TRY(rn_path_join(path, sizeof path, m->dir, MAKING));
    return rn_write_file_atomic(path, "", 0);
}

static int make(maker *m)
{
    uint32_t *number = NULL;
    int rc;
    RN_GO(rn_pool_open(m->o->jobs, 2 * m->o->jobs, &m->pool));
    RN_GO(permutation(m->n[RN_MK_VAL], m->o->seed, DRAW_VAL_NUMBERS, &number));
    m->bar = rn_progress_start("make archives", "images", RN_UNIT_ITEMS, (uint64_t)m->n[0] + m->n[1]);
    rc = write_train(m);
    if (rc == RN_OK)
        rc = write_val(m, number);
    if (rc == RN_OK)
        rc = write_devkit(m, number);
    rn_progress_done(m->bar);
    if (rc == RN_OK && m->o->truth)
        rc = write_truth(m, number);
out:
    rn_pool_close(m->pool);
    free(number);
    return rc;
}

int rn_mk_write(const rn_mk_source *s, const rn_mk_opts *opts, const char *out_dir, rn_mk_result *result)
{
    int rc;
    char sums[2048];
    memset(result, 0, sizeof *result);
    maker *m = calloc(1, sizeof *m);
    if (!m)
        return rn_fail(RN_E_NOMEM, "out of memory");
    m->s = s;
    m->o = opts;
    m->dir = out_dir;
    RN_GO(choose(m, RN_MK_TRAIN));
    RN_GO(choose(m, RN_MK_VAL));
    RN_GO(group_by_class(m));
    RN_GO(rn_mkdir_p(out_dir));
    RN_GO(rn_path_join(sums, sizeof sums, out_dir, "MD5SUMS"));
    RN_GO(heading(m));
    result->already = !opts->force && !opts->truth && is_made(m, sums);
    if (!result->already) {
        RN_GO(spare_others(m, sums));
        RN_GO(make(m));
        RN_GO(rn_write_file_atomic(sums, m->sums.data, m->sums.n));
        RN_GO(rn_path_join(sums, sizeof sums, out_dir, MAKING));
        if (unlink(sums) < 0)
            RN_GO(rn_fail_errno(errno, "%s: removing it", sums));
    }
    result->train = m->n[RN_MK_TRAIN];
    result->val = m->n[RN_MK_VAL];
    result->bytes = m->bytes;
    rc = RN_OK;
out:
    for (int i = 0; i < CHUNK; i++)
        rn_buf_free(&m->jpeg[i]);
    rn_buf_free(&m->sums);
    free(m->item[0]);
    free(m->item[1]);
    free(m->first);
    free(m);
    return rc;
}
