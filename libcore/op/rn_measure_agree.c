/* SPDX-License-Identifier: MIT */
/*
 * Whoever is fastest must be right first. On a CPU check-kernels has run each kernel on each instruction set; devices there are more
 * than anybody has checked, and a kernel that leaves out half of its work would win every measurement.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_cpu.h"
#include "base/rn_error.h"
#include "base/rn_half.h"
#include "base/rn_log.h"
#include "op/rn_measure.h"

/* The errors' root mean square, of the results'. What computes in the fewest bits loses less; without one of 64 channels it is an
 * eighth. */
#define MOST_RMS  0.03
#define MOST_ROWS 2 /* images: what is wrong with a kernel is wrong with few of them */

typedef struct trial {
    rn_backend *be;
    rn_conv_desc d;
    rn_conv_dir dir;
    void *mem[3]; /* by the direction that writes them: dst, src, wei */
    size_t count, bytes;
    rn_dtype type; /* of the result */
    void *raw;
    float *want, *got;
} trial;

static int trial_open(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, trial *t)
{
    size_t n[3];

    t->be = be;
    t->d = *d;
    t->dir = dir;
    t->d.mb = d->mb < MOST_ROWS ? d->mb : MOST_ROWS;
    t->d.fuse = 0;
    d = &t->d;
    n[RN_FWD] = (size_t)d->mb * d->oh * d->ow * d->oc;
    n[RN_BWD_D] = (size_t)d->mb * d->ih * d->iw * d->ic;
    n[RN_BWD_W] = (size_t)d->oc * d->kh * d->kw * d->ic;
    t->count = n[dir];
    t->type = dir == RN_BWD_W ? RN_F32 : d->dtype;
    t->bytes = t->count * rn_dtype_size(t->type);
    t->raw = malloc(t->bytes);
    t->want = malloc(t->count * sizeof *t->want);
    t->got = malloc(t->count * sizeof *t->got);
    if (!t->raw || !t->want || !t->got)
        return rn_fail(RN_E_NOMEM, "selector: %zu bytes: out of memory", t->bytes);
    for (int i = 0; i < 3; i++)
        RN_TRY(rn_measure_alloc(be, n[i], i == (int)dir ? t->type : d->dtype, (uint32_t)i + 1, &t->mem[i]));
    return RN_OK;
}

static void trial_close(trial *t)
{
    for (int i = 0; i < 3; i++)
        t->be->free(t->be, t->mem[i]);
    free(t->raw);
    free(t->want);
    free(t->got);
}

static int run(const trial *t, rn_conv_plan *plan, void *workspace, float *out)
{
    const rn_conv_args args = {.src = t->mem[RN_BWD_D], .wei = t->mem[RN_BWD_W], .dst = t->mem[RN_FWD]};
    const rn_half_kern *k = rn_half_kern_of(rn_isa_best());
    rn_backend *be = t->be;

    RN_TRY(be->memset(be, t->mem[t->dir], 0xff, t->bytes, NULL)); /* NaN */
    RN_TRY(rn_conv_prepare(plan, args.wei, NULL));
    RN_TRY(rn_conv_run(plan, &args, 0, workspace, NULL));
    RN_TRY(be->copy(be, t->raw, t->mem[t->dir], t->bytes, RN_COPY_D2H, NULL));
    RN_TRY(be->sync(be, NULL));
    if (t->type == RN_F32)
        memcpy(out, t->raw, t->bytes);
    else
        (t->type == RN_BF16 ? k->f32_of_bf16 : k->f32_of_f16)(out, t->raw, t->count);
    return RN_OK;
}

static int result(const trial *t, const rn_conv_algo *algo, float *out)
{
    rn_conv_plan *plan = NULL;
    void *workspace = NULL;
    int rc = rn_conv_plan_open(t->be, algo, &t->d, t->dir, &plan);

    if (rc == 0 && plan->workspace_bytes)
        rc = t->be->alloc(t->be, plan->workspace_bytes, &workspace);
    if (rc == 0)
        rc = run(t, plan, workspace, out);
    t->be->free(t->be, workspace);
    rn_conv_plan_close(plan);
    return rc;
}

/* As a fraction of the results' root mean square; NaN where anything is. */
static double difference(const trial *t)
{
    double errors = 0, results = 0;

    for (size_t i = 0; i < t->count; i++) {
        const double by = (double)t->got[i] - (double)t->want[i];
        errors += by * by;
        results += (double)t->want[i] * (double)t->want[i];
    }
    return errors == 0 ? 0 : sqrt(errors / results);
}

static bool agrees(const trial *t, const rn_conv_algo *algo, const rn_conv_algo *plain)
{
    char text[256];

    if (result(t, algo, t->got) < 0) {
        rn_warn("%s: left out: %s", algo->name, rn_error_text());
        return false;
    }
    const double by = difference(t);
    if (by <= MOST_RMS)
        return true;
    rn_warn("%s is WRONG on this device, and left out: %s %s %s differs from %s's by %.3g of it; please report this",
            algo->name, rn_conv_dir_name(t->dir), rn_conv_desc_text(&t->d, text, sizeof text),
            rn_dtype_name(t->d.dtype), plain->name, fabs(by));
    return false;
}

/* Of the same family: a library's are its own to check, and may take seconds to make. */
static bool is_checked(const rn_conv_algo *algo, const rn_conv_algo *plain)
{
    const size_t family = strcspn(plain->name, ":");

    return algo != plain && strncmp(algo->name, plain->name, family + 1) == 0;
}

int rn_measure_agreeing(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, rn_candidate *c, int *n)
{
    const rn_conv_algo *plain = NULL;
    trial t = {0};
    int kept = 0;

    for (const rn_conv_algo *const *a = be->conv_algos; *a; a++)
        plain = *a;
    int rc = trial_open(be, d, dir, &t);
    const char *why;
    if (rc == RN_OK && plain && plain->supports(be, &t.d, dir, &why)) {
        rc = result(&t, plain, t.want);
        for (int i = 0; rc == RN_OK && i < *n; i++) {
            if (!is_checked(c[i].algo, plain) || agrees(&t, c[i].algo, plain))
                c[kept++] = c[i];
        }
        *n = rc == RN_OK ? kept : *n;
    }
    trial_close(&t);
    return rc;
}
