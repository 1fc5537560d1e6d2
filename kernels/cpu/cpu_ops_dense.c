/* SPDX-License-Identifier: MIT */
/*
 * The classifier's end: the linear layer in blocks of the destination, and softmax cross-entropy row by row. Activations
 * that are not f32 are widened whole first: next to the products, and to k calls of expf a row, that is nothing.
 */
#include <math.h>
#include <string.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_ops.h"
#include "op/rn_op_check.h"
#include "op/rn_op_now.h"

enum { BLOCK_ROWS = 32, BLOCK_COLS = 64 };

static int at_most(int v, int hi)
{
    return v < hi ? v : hi;
}

static int blocks_of(int n, int size)
{
    return (n + size - 1) / size;
}

/* Threads pay by multiplications, not by values. */
static int linear_threads(const struct rn_backend *be, const rn_op_linear *a)
{
    return cpu_ops_threads(be, (int64_t)a->mb * a->ic * a->oc / 8);
}

/* x and y in f32: those of the argument block, or room for them in the backend's scratch. */
typedef struct wide {
    float *x, *y;
    int64_t nx, ny;
} wide;

static int open_wide(struct rn_backend *be, const rn_op_linear *a, wide *out)
{
    *out = (wide){a->x, a->y, (int64_t)a->mb * a->ic, (int64_t)a->mb * a->oc};
    if (a->dtype == RN_F32 && a->y_dtype == RN_F32)
        return RN_OK;
    float *mem = rn_cpu_backend_scratch(be, (size_t)(out->nx + out->ny) * sizeof *mem);
    if (!mem)
        return rn_fail(RN_E_NOMEM, "linear: no memory for %d rows in f32", a->mb);
    if (a->dtype != RN_F32)
        out->x = mem;
    if (a->y_dtype != RN_F32)
        out->y = mem + out->nx;
    return RN_OK;
}

static void read_x(struct rn_backend *be, const rn_op_linear *a, const wide *v)
{
    if (v->x != a->x)
        cpu_ops_widen(be, a->dtype, a->x, v->x, v->nx);
}

static void read_y(struct rn_backend *be, const rn_op_linear *a, const wide *v)
{
    if (v->y != a->y)
        cpu_ops_widen(be, a->y_dtype, a->y, v->y, v->ny);
}

int cpu_linear_fwd(struct rn_backend *be, const rn_op_linear *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_linear(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, RN_F32);
    wide v;
    RN_TRY(open_wide(be, a, &v));
    read_x(be, a, &v);
    const int across = blocks_of(a->oc, BLOCK_COLS), blocks = blocks_of(a->mb, BLOCK_ROWS) * across;
    const int nt = linear_threads(be, a);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int b = 0; b < blocks; b++) {
        const int i = b / across * BLOCK_ROWS, j = b % across * BLOCK_COLS;
        k->linear_fwd(at_most(a->mb - i, BLOCK_ROWS), at_most(a->oc - j, BLOCK_COLS), a->ic, v.x + (int64_t)i * a->ic,
                      (const float *)a->w + (int64_t)j * a->ic, a->b ? a->b + j : NULL, v.y + (int64_t)i * a->oc + j,
                      a->oc);
    }
    if (v.y != a->y)
        cpu_ops_narrow(be, a->y_dtype, v.y, a->y, v.ny);
    return RN_OK;
}

static void gemm_blocks(const cpu_ops_kern *k, const cpu_gemm_small *g, int nt)
{
    const int across = blocks_of(g->cols, BLOCK_COLS), blocks = blocks_of(g->rows, BLOCK_ROWS) * across;
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int b = 0; b < blocks; b++) {
        const int i = b / across * BLOCK_ROWS, j = b % across * BLOCK_COLS;
        cpu_gemm_small part = *g;
        part.rows = at_most(g->rows - i, BLOCK_ROWS);
        part.cols = at_most(g->cols - j, BLOCK_COLS);
        part.a += i * g->a_i;
        part.b += j;
        part.c += i * g->ldc + j;
        k->gemm_small(&part);
    }
}

int cpu_linear_bwd_d(struct rn_backend *be, const rn_op_linear *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_linear(a));
    wide v;
    RN_TRY(open_wide(be, a, &v));
    read_y(be, a, &v);
    if (a->beta)
        read_x(be, a, &v);
    const cpu_gemm_small g = {.rows = a->mb,
                              .cols = a->ic,
                              .depth = a->oc,
                              .a = v.y,
                              .a_k = 1,
                              .a_i = a->oc,
                              .b = a->w,
                              .ldb = a->ic,
                              .c = v.x,
                              .ldc = a->ic,
                              .add = a->beta};
    gemm_blocks(cpu_ops_kern_of(be, RN_F32), &g, linear_threads(be, a));
    if (v.x != a->x)
        cpu_ops_narrow(be, a->dtype, v.x, a->x, v.nx);
    return RN_OK;
}

static void column_sums(const float *y, int rows, int cols, float *sum)
{
    for (int j = 0; j < cols; j += BLOCK_COLS) {
        const int n = at_most(cols - j, BLOCK_COLS);
        double acc[BLOCK_COLS] = {0};
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < n; i++)
                acc[i] += y[(int64_t)r * cols + j + i];
        for (int i = 0; i < n; i++)
            sum[j + i] = (float)acc[i];
    }
}

int cpu_linear_bwd_w(struct rn_backend *be, const rn_op_linear *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_linear(a));
    wide v;
    RN_TRY(open_wide(be, a, &v));
    read_x(be, a, &v);
    read_y(be, a, &v);
    const cpu_gemm_small g = {.rows = a->oc,
                              .cols = a->ic,
                              .depth = a->mb,
                              .a = v.y,
                              .a_k = a->oc,
                              .a_i = 1,
                              .b = v.x,
                              .ldb = a->ic,
                              .c = a->w,
                              .ldc = a->ic};
    gemm_blocks(cpu_ops_kern_of(be, RN_F32), &g, linear_threads(be, a));
    if (a->b)
        column_sums(v.y, a->mb, a->oc, a->b);
    return RN_OK;
}

/* What one sweep over a row finds. */
typedef struct row_facts {
    float max;    /* NaN if there is one */
    double total; /* sum of z - max */
    int before;   /* classes ranked before the label; k with a NaN */
} row_facts;

static row_facts look(const float *z, int k, int label)
{
    row_facts f = {.max = z[0]};
    const float mine = z[label];
    bool nan = false;
    for (int j = 0; j < k; j++) {
        nan |= z[j] != z[j];
        f.max = z[j] > f.max ? z[j] : f.max;
        f.before += z[j] > mine || (z[j] == mine && j < label);
    }
    if (nan) {
        f.max = NAN;
        f.before = k;
    }
    for (int j = 0; j < k; j++)
        f.total += z[j] - f.max;
    return f;
}

/* The dearest part is k calls of expf, which is nothing beside the convolutions of the same image. */
static void xent_row(const rn_op_xent *a, int row)
{
    const int k = a->k, label = a->labels[row];
    const float *z = (const float *)a->logits + (int64_t)row * k;
    const int other = a->labels2 ? a->labels2[row] : label;
    const double share = a->labels2 ? (double)a->share : 1;
    const row_facts f = look(z, k, label);
    const float rest = a->smoothing / (float)k, hit = 1 - a->smoothing, on_label = hit + rest;
    const double mine = z[label] - f.max, others = z[other] - f.max;
    double sum = 0;
    float *d = a->dlogits ? (float *)a->dlogits + (int64_t)row * k : NULL;
    for (int j = 0; j < k; j++) { /* z[j] is read before d[j], which may be the same, is written */
        const float e = expf(z[j] - f.max);
        sum += e;
        if (d)
            d[j] = e;
    }
    const double lse = log(sum);
    double loss = 0;
    if (a->smoothing < 1 && share > 0) /* a ruled-out class may have no share */
        loss += (1 - (double)a->smoothing) * share * (lse - mine);
    if (a->smoothing < 1 && share < 1)
        loss += (1 - (double)a->smoothing) * (1 - share) * (lse - others);
    if (a->smoothing > 0) /* 0 times an infinite total is nothing */
        loss += (double)a->smoothing * (lse - f.total / k);
    a->loss[row] = (float)loss;
    a->rank[row] = f.before;
    if (!d)
        return;
    const float scale = (float)(1 / sum);
    const float e_label = d[label], e_other = d[other];
    for (int j = 0; j < k; j++)
        d[j] = (d[j] * scale - rest) * a->grad_scale;
    const float q_label = label == other ? on_label : (float)share * hit + rest;
    d[other] = (e_other * scale - ((float)(1 - share) * hit + rest)) * a->grad_scale;
    d[label] = (e_label * scale - q_label) * a->grad_scale;
}

/* `a` on f32 logits. */
static void xent_rows(const struct rn_backend *be, const rn_op_xent *a)
{
    const int nt = cpu_ops_threads(be, (int64_t)a->n * a->k * 8);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int row = 0; row < a->mb; row++) {
        if (row < a->n) {
            xent_row(a, row);
            continue;
        }
        a->loss[row] = 0;
        a->rank[row] = -1;
        if (a->dlogits)
            memset((float *)a->dlogits + (int64_t)row * a->k, 0, sizeof(float) * (size_t)a->k);
    }
}

int cpu_xent(struct rn_backend *be, const rn_op_xent *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_xent(a));
    RN_TRY(rn_op_check_labels(a));
    rn_op_xent wide = rn_op_xent_of_now(a);
    if (a->dtype == RN_F32) {
        xent_rows(be, &wide);
        return RN_OK;
    }
    const int64_t all = (int64_t)a->mb * a->k;
    float *z = rn_cpu_backend_scratch(be, (size_t)all * sizeof *z);
    if (!z)
        return rn_fail(RN_E_NOMEM, "xent: no memory for %d rows in f32", a->mb);
    cpu_ops_widen(be, a->dtype, a->logits, z, (int64_t)a->n * a->k);
    wide.logits = z;
    wide.dlogits = a->dlogits ? z : NULL;
    xent_rows(be, &wide);
    if (a->dlogits)
        cpu_ops_narrow(be, a->dtype, z, a->dlogits, all);
    return RN_OK;
}
