/* SPDX-License-Identifier: MIT */
/* What a batch norm costs that no convolution takes over: one pass of it by itself, over data like a training step's. */
#include <math.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "op/rn_measure.h"
#include "op/rn_measure_data.h"

enum { X, Y, RES, DY, DRES, NTENSORS, NVECTORS = 8, LEAST_ROUNDS = 4, MOST_ROUNDS = 100 };

typedef struct memory {
    void *tensor[NTENSORS];
    void *vectors; /* NVECTORS of c */
} memory;

static int run(rn_backend *be, const rn_bn_case *c, const memory *m)
{
    float *v[NVECTORS];

    for (int i = 0; i < NVECTORS; i++)
        v[i] = (float *)m->vectors + (int64_t)i * c->c;
    if (c->pass == RN_BN_BWD) {
        const rn_op_bn_bwd a = {.dtype = c->dtype,
                                .relu = c->relu,
                                .rows = c->rows,
                                .c = c->c,
                                .x = m->tensor[X],
                                .y = m->tensor[Y],
                                .dy = m->tensor[DY],
                                .gamma = v[0],
                                .mean = v[1],
                                .inv_std = v[2],
                                .dx = m->tensor[RES],
                                .dres = c->res ? m->tensor[DRES] : NULL,
                                .dgamma = v[3],
                                .dbeta = v[4]};
        return be->ops->bn_bwd(be, &a, NULL);
    }
    const rn_op_bn_fwd a = {.dtype = c->dtype,
                            .train = c->pass == RN_BN_FWD,
                            .relu = c->relu,
                            .rows = c->rows,
                            .c = c->c,
                            .eps = 1, /* the running variance below is anything in -1..1 */
                            .momentum = 0,
                            .x = m->tensor[X],
                            .res = c->res ? m->tensor[RES] : NULL,
                            .y = m->tensor[Y],
                            .gamma = v[0],
                            .beta = v[1],
                            .running_mean = v[2],
                            .running_var = v[3],
                            .mean = v[4],
                            .inv_std = v[5]};
    return be->ops->bn_fwd(be, &a, NULL);
}

/* The second least of the rounds, as of convolutions (rn_measure.c). */
static int measure(rn_backend *be, const rn_bn_case *c, const memory *m, double budget_s, double *ms)
{
    double least = INFINITY, second = INFINITY;
    const double start = rn_now();

    for (int i = -1; i < LEAST_ROUNDS || (i < MOST_ROUNDS && rn_now() - start < budget_s); i++) {
        const double t = rn_now();
        RN_TRY(run(be, c, m));
        if (be->sync)
            RN_TRY(be->sync(be, NULL));
        const double took = 1e3 * (rn_now() - t);
        if (i < 0) /* pays for page faults */
            continue;
        second = took < least ? least : took < second ? took : second;
        least = took < least ? took : least;
    }
    *ms = rn_measure_rounded(second);
    return RN_OK;
}

int rn_measure_bn(rn_backend *be, const rn_bn_case *c, double budget_s, double *ms)
{
    const size_t n = (size_t)c->rows * (size_t)c->c;
    const bool needs[NTENSORS] = {true, true, c->res || c->pass == RN_BN_BWD, c->pass == RN_BN_BWD,
                                  c->res && c->pass == RN_BN_BWD};
    memory m = {{0}, NULL};
    int rc = RN_OK;

    for (int i = 0; i < NTENSORS; i++)
        if (needs[i])
            RN_GO(rn_measure_alloc(be, n, c->dtype, (uint32_t)i + 1, &m.tensor[i]));
    RN_GO(rn_measure_alloc(be, (size_t)NVECTORS * (size_t)c->c, RN_F32, NTENSORS + 1, &m.vectors));
    RN_GO(measure(be, c, &m, budget_s, ms));
out:
    for (int i = 0; i < NTENSORS; i++)
        be->free(be, m.tensor[i]);
    be->free(be, m.vectors);
    return rc;
}
