/* SPDX-License-Identifier: MIT */
/*
 * Whoever is fastest must be right first. On a CPU check-kernels has run each kernel on each instruction set; devices there are more
 * than anybody has checked, and a kernel that leaves out half of its work would win every measurement.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "op/rn_measure.h"
#include "op/rn_measure_data.h"

/* The errors' root mean square, of the results'. What computes in the fewest bits loses less; without one of 64 channels it is an
 * eighth. */
#define MOST_RMS  0.03
#define MOST_ROWS 2 /* images: what is wrong with a kernel is wrong with few of them */

typedef struct trial {
    rn_backend *be;
    rn_conv_desc d;
    rn_conv_dir dir;
    enum rn_measure_block written;
    rn_measure_data m;
    void *apart[2]; /* src and dst as a prologue reads them; NULL: as they are */
    size_t count, channels;
    float *want,
        *got; /* the tensor that is written; then an epilogue's sums: `channels` of the first kind, as many of the second */
    double *sums;
} trial;

static int trial_open(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, trial *t)
{
    t->be = be;
    t->d = *d;
    t->dir = dir;
    t->d.mb = d->mb < MOST_ROWS ? d->mb : MOST_ROWS;
    t->written = rn_measure_written(dir);
    RN_TRY(rn_measure_data_open(be, &t->d, dir, &t->m));
    t->count = t->m.block[t->written].count;
    t->channels = t->m.block[RN_MEASURE_SUM].count / 2;
    RN_TRY(rn_measure_apart_in(be, &t->d, &t->m, RN_MEASURE_SRC, &t->apart[0]));
    RN_TRY(rn_measure_apart_in(be, &t->d, &t->m, RN_MEASURE_DST, &t->apart[1]));
    const size_t most = t->count + 2 * t->channels;
    t->want = malloc(most * sizeof *t->want);
    t->got = malloc(most * sizeof *t->got);
    t->sums = calloc(2 * t->channels + 1, sizeof *t->sums);
    return t->want && t->got && t->sums ? RN_OK : rn_fail(RN_E_NOMEM, "selector: %zu numbers: out of memory", most);
}

static void trial_close(trial *t)
{
    for (int i = 0; i < 2; i++)
        t->be->free(t->be, t->apart[i]);
    rn_measure_data_close(t->be, &t->m);
    free(t->want);
    free(t->got);
    free(t->sums);
}

/* ---- results -------------------------------------------------------------------------------------------------------- */

static int poison(const trial *t, enum rn_measure_block at)
{
    const size_t bytes = t->m.block[at].count * rn_dtype_size(t->m.block[at].dtype);

    return bytes ? t->be->memset(t->be, t->m.block[at].mem, 0xff, bytes, NULL) : RN_OK; /* NaN */
}

static int run(const trial *t, rn_conv_plan *plan, const rn_conv_args *args, void *workspace, float *out)
{
    float *v = NULL;

    RN_TRY(poison(t, t->written));
    RN_TRY(poison(t, RN_MEASURE_SUM));
    RN_TRY(poison(t, RN_MEASURE_SUMSQ));
    RN_TRY(rn_conv_prepare(plan, args->wei, NULL));
    RN_TRY(rn_conv_run(plan, args, 0, workspace, NULL));
    RN_TRY(t->be->sync(t->be, NULL));
    RN_TRY(rn_measure_numbers(t->be, &t->m, t->written, &v));
    memcpy(out, v, t->count * sizeof *out);
    free(v);
    return RN_OK;
}

static int result(const trial *t, const rn_conv_algo *algo, const rn_conv_desc *d, const rn_conv_args *args, float *out)
{
    rn_conv_plan *plan = NULL;
    void *workspace = NULL;
    int rc = rn_conv_plan_open(t->be, algo, d, t->dir, &plan);

    if (rc == 0 && plan->workspace_bytes)
        rc = t->be->alloc(t->be, plan->workspace_bytes, &workspace);
    if (rc == 0)
        rc = run(t, plan, args, workspace, out);
    t->be->free(t->be, workspace);
    rn_conv_plan_close(plan);
    return rc;
}

static void take_sums(const trial *t, float *out)
{
    for (size_t i = 0; i < 2 * t->channels; i++)
        out[t->count + i] = (float)t->sums[i];
}

/* By the plain row, and what is fused by itself. */
static int apart(const trial *t, const rn_conv_algo *plain)
{
    rn_conv_args args = rn_measure_args(&t->m);
    rn_conv_desc d = t->d;

    d.fuse = 0;
    args.src = t->apart[0] ? t->apart[0] : args.src;
    args.dst = t->apart[1] ? t->apart[1] : args.dst;
    RN_TRY(result(t, plain, &d, &args, t->want));
    RN_TRY(rn_measure_apart_out(t->be, &t->d, &t->m, t->want, t->sums));
    take_sums(t, t->want);
    return RN_OK;
}

static int fused(const trial *t, const rn_conv_algo *algo)
{
    const rn_conv_args args = rn_measure_args(&t->m);
    const size_t bytes = t->channels * sizeof *t->sums;

    RN_TRY(result(t, algo, &t->d, &args, t->got));
    if (!t->channels)
        return RN_OK;
    RN_TRY(t->be->copy(t->be, t->sums, args.sum, bytes, RN_COPY_D2H, NULL));
    RN_TRY(t->be->copy(t->be, t->sums + t->channels, args.sumsq, bytes, RN_COPY_D2H, NULL));
    RN_TRY(t->be->sync(t->be, NULL));
    take_sums(t, t->got);
    return RN_OK;
}

/* ---- verdicts ------------------------------------------------------------------------------------------------------- */

/* As a fraction of the results' root mean square; NaN where anything is. */
static double difference(const trial *t, size_t first, size_t count)
{
    double errors = 0, results = 0;

    for (size_t i = first; i < first + count; i++) {
        const double by = (double)t->got[i] - (double)t->want[i];
        errors += by * by;
        results += (double)t->want[i] * (double)t->want[i];
    }
    return errors == 0 ? 0 : sqrt(errors / results);
}

static bool agrees(const trial *t, const rn_conv_algo *algo, const rn_conv_algo *plain)
{
    static const char *const what[] = {"", " (sum)", " (sumsq)"};
    char text[256], fuse[64];

    if (fused(t, algo) < 0) {
        rn_warn("%s: left out: %s", algo->name, rn_error_text());
        return false;
    }
    const double by[] = {difference(t, 0, t->count), difference(t, t->count, t->channels),
                         difference(t, t->count + t->channels, t->channels)};
    int worst = 0;
    for (int i = 1; i < 3 && by[worst] <= MOST_RMS; i++)
        worst = i;
    if (by[worst] <= MOST_RMS)
        return true;
    rn_warn(
        "%s is WRONG on this device, and left out: %s %s %s fuse=%s differs from %s's by %.3g of it%s; please report "
        "this",
        algo->name, rn_conv_dir_name(t->dir), rn_conv_desc_text(&t->d, text, sizeof text), rn_dtype_name(t->d.dtype),
        rn_conv_fuse_text(t->d.fuse, fuse, sizeof fuse), plain->name, fabs(by[worst]), what[worst]);
    return false;
}

/* Of the same family: a library's are its own to check, and may take seconds to make. */
static bool is_checked(const rn_conv_algo *algo, const rn_conv_algo *plain)
{
    const size_t family = strcspn(plain->name, ":");

    return algo != plain && strncmp(algo->name, plain->name, family + 1) == 0;
}

static int leave_agreeing(trial *t, const rn_conv_algo *plain, rn_candidate *c, int *n)
{
    int kept = 0;

    RN_TRY(apart(t, plain));
    for (int i = 0; i < *n; i++) {
        if (!is_checked(c[i].algo, plain) || agrees(t, c[i].algo, plain))
            c[kept++] = c[i];
    }
    *n = kept;
    return RN_OK;
}

int rn_measure_agreeing(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, rn_candidate *c, int *n)
{
    const rn_conv_algo *plain = NULL;
    const char *why;
    bool any = false;
    trial t = {0};

    for (const rn_conv_algo *const *a = be->conv_algos; *a; a++)
        plain = *a;
    for (int i = 0; plain && i < *n; i++)
        any = any || is_checked(c[i].algo, plain);
    if (!any)
        return RN_OK;
    rn_conv_desc apart_d = *d;
    apart_d.fuse = 0;
    if (!plain->supports(be, &apart_d, dir, &why))
        return RN_OK;
    int rc = trial_open(be, d, dir, &t);
    if (rc == RN_OK)
        rc = leave_agreeing(&t, plain, c, n);
    trial_close(&t);
    return rc;
}
