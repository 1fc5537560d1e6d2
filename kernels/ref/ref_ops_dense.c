/* SPDX-License-Identifier: MIT */
/* The classifier's end: the linear layer, and softmax cross-entropy. */
#include <math.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_op_check.h"
#include "op/rn_op_now.h"

int ref_linear_fwd(struct rn_backend *be, const rn_op_linear *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_linear(a));
    const float *w = a->w;
    for (int m = 0; m < a->mb; m++)
        for (int o = 0; o < a->oc; o++) {
            double sum = a->b ? a->b[o] : 0;
            for (int i = 0; i < a->ic; i++)
                sum += ref_get(a->dtype, a->x, (int64_t)m * a->ic + i) * w[(int64_t)o * a->ic + i];
            ref_put(a->y_dtype, a->y, (int64_t)m * a->oc + o, sum);
        }
    return RN_OK;
}

int ref_linear_bwd_d(struct rn_backend *be, const rn_op_linear *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_linear(a));
    const float *w = a->w;
    for (int m = 0; m < a->mb; m++)
        for (int i = 0; i < a->ic; i++) {
            const int64_t at = (int64_t)m * a->ic + i;
            double sum = a->beta ? ref_get(a->dtype, a->x, at) : 0;
            for (int o = 0; o < a->oc; o++)
                sum += ref_get(a->y_dtype, a->y, (int64_t)m * a->oc + o) * w[(int64_t)o * a->ic + i];
            ref_put(a->dtype, a->x, at, sum);
        }
    return RN_OK;
}

int ref_linear_bwd_w(struct rn_backend *be, const rn_op_linear *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_linear(a));
    float *dw = a->w;
    for (int o = 0; o < a->oc; o++) {
        for (int i = 0; i < a->ic; i++) {
            double sum = 0;
            for (int m = 0; m < a->mb; m++)
                sum +=
                    ref_get(a->y_dtype, a->y, (int64_t)m * a->oc + o) * ref_get(a->dtype, a->x, (int64_t)m * a->ic + i);
            dw[(int64_t)o * a->ic + i] = (float)sum;
        }
        double sum = 0;
        for (int m = 0; m < a->mb; m++)
            sum += ref_get(a->y_dtype, a->y, (int64_t)m * a->oc + o);
        if (a->b)
            a->b[o] = (float)sum;
    }
    return RN_OK;
}

static double logit(const rn_op_xent *a, int row, int j)
{
    return ref_get(a->dtype, a->logits, (int64_t)row * a->k + j);
}

static int rank_of(const rn_op_xent *a, int row)
{
    const int label = a->labels[row];
    const double mine = logit(a, row, label);
    int before = 0;
    for (int j = 0; j < a->k; j++) {
        const double z = logit(a, row, j);
        if (isnan(z))
            return a->k;
        before += z > mine || (z == mine && j < label);
    }
    return before;
}

/* q_j: of one label, or of the mixture of two. */
static double target(const rn_op_xent *a, int row, int j)
{
    const double rest = (double)a->smoothing / a->k, share = a->labels2 ? (double)a->share : 1;
    double q = rest;
    if (j == a->labels[row])
        q += share * (1 - (double)a->smoothing);
    if (a->labels2 && j == a->labels2[row])
        q += (1 - share) * (1 - (double)a->smoothing);
    return q;
}

/* loss = sum_j q_j (lse - z_j), with z and lse taken relative to the row's maximum. */
static void xent_row(const rn_op_xent *a, int row)
{
    const int k = a->k;
    double max = logit(a, row, 0), sum = 0, loss = 0;
    for (int j = 1; j < k; j++)
        max = logit(a, row, j) > max || isnan(logit(a, row, j)) ? logit(a, row, j) : max;
    for (int j = 0; j < k; j++)
        sum += exp(logit(a, row, j) - max);
    const double lse = log(sum);
    for (int j = 0; j < k; j++) {
        const double q = target(a, row, j);
        if (q > 0) /* 0 times an infinite term is nothing */
            loss += q * (lse - (logit(a, row, j) - max));
    }
    const int rank = rank_of(a, row);
    a->rank[row] = rank;
    a->loss[row] = rank == k ? NAN : (float)loss;
    for (int j = 0; a->dlogits && j < k; j++) /* each is read before it is written: the two may be the same memory */
        ref_put(a->dtype, a->dlogits, (int64_t)row * k + j,
                (exp(logit(a, row, j) - max) / sum - target(a, row, j)) * a->grad_scale);
}

int ref_xent(struct rn_backend *be, const rn_op_xent *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_xent(a));
    RN_TRY(rn_op_check_labels(a));
    const rn_op_xent now = rn_op_xent_of_now(a);
    for (int row = 0; row < a->n; row++)
        xent_row(&now, row);
    for (int row = a->n; row < a->mb; row++) {
        a->loss[row] = 0;
        a->rank[row] = -1;
        for (int j = 0; a->dlogits && j < a->k; j++)
            ref_put(a->dtype, a->dlogits, (int64_t)row * a->k + j, 0);
    }
    return RN_OK;
}
