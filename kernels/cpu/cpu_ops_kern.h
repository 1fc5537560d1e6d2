/* SPDX-License-Identifier: MIT */
/*
 * The inner loops of the CPU ops: single-threaded pieces of work on packed tensors, one set an instruction set and type
 * of activations. Written once in cpu_ops_*_impl.h and compiled nine times (cpu_ops_kern_portable.c, _avx2.c, _avx512.c for
 * f32; cpu_ops_bf16_*.c and cpu_ops_f16_*.c). The op files (cpu_ops_bn.c, ...) check arguments, cut the work into fixed
 * blocks and hand them to threads.
 *
 * What is void * is an activation of the table's type; it is computed in f32 and rounded once where it is stored. What
 * is float * is f32 in every table.
 *
 * Sources and destinations may be the same memory exactly where rn_op.h allows it; nothing is aligned.
 */
#ifndef CPU_OPS_KERN_H
#define CPU_OPS_KERN_H

#include "base/rn_rng.h"
#include "op/rn_op.h"

/* Per-channel vectors of y = (x - mean) * scale + shift [+ res] [relu]. */
typedef struct cpu_bn_affine {
    const float *mean, *scale, *shift;
} cpu_bn_affine;

/* dx [+]= a * g - (b + k * (x - mean)), dres [+]= g, g = dy where `open` says so (NULL: everywhere), else 0; past: see bn_apply. */
typedef struct cpu_bn_grad {
    const float *mean, *a, *k, *b;
    const void *open;
    bool dx_add, dres_add, past;
} cpu_bn_grad;

/* Where a ReLU was open: a bit a value, as bn_grad_sums leaves them; bytes of a row of c values. */
static inline size_t cpu_signs_row(int c)
{
    return ((size_t)c + 31) / 32 * 4;
}

/* dx [+]= g * s, dres [+]= g, ds [+]= sum g * x, g = dy where y > 0 (y NULL: everywhere). dx, ds, dres may be NULL. */
typedef struct cpu_scale_grad {
    const void *x, *s, *y, *dy;
    void *dx, *ds, *dres;
    bool dx_add, ds_add, dres_add;
} cpu_scale_grad;

/* y = x * s^-beta, or with dy the gradient: to [+]= ...; see rn_op_lrn and rn_op_lrn_bwd. */
typedef struct cpu_lrn {
    int c, size;
    float alpha, beta, k;
    const void *x, *dy; /* dy NULL: forward */
    void *to;
    bool add; /* backward alone */
} cpu_lrn;

/* Rows are taken side by side, each with `size` zeros for what its windows reach beyond it, so that loops are long with few
 * channels too: how many at a time, and floats of room for that: squares or products, s, its power. */
enum { CPU_LRN_SPAN = 512 };
static inline int cpu_lrn_rows(int c, int size)
{
    const int64_t one = (int64_t)c + size;
    return one < CPU_LRN_SPAN ? (int)(CPU_LRN_SPAN / one) : 1;
}
static inline size_t cpu_lrn_room(int c, int size)
{
    return 3 * ((size_t)cpu_lrn_rows(c, size) * ((size_t)c + (size_t)size) + (size_t)size);
}

/* C (rows, cols), row-contiguous: C[i][j] [+]= sum_k A(k, i) * B[k][j], A(k, i) = a[k * a_k + i * a_i]. */
typedef struct cpu_gemm_small {
    int rows, cols, depth;
    const float *a;
    int64_t a_k, a_i;
    const float *b;
    int64_t ldb;
    float *c;
    int64_t ldc;
    bool add; /* to C, instead of overwriting it */
} cpu_gemm_small;

typedef struct cpu_ops_kern {
    void (*relu_fwd)(int64_t n, const void *x, void *y);
    void (*relu_bwd)(int64_t n, const void *y, const void *dy, void *dx);
    void (*add)(int64_t n, const void *a, const void *b, void *y);
    void (*sgd)(const rn_op_sgd *a, int64_t from, int64_t to);
    void (*axpby)(const rn_op_axpby *a, int64_t from, int64_t to);
    double (*sumsq)(int64_t n, const float *x);
    void (*normalize)(int64_t rows, int c, const uint8_t *src, void *dst, const float *mul, const float *add);
    /* One row of an image: (src - mean) * mul; `step` floats from one pixel's mean to the next one's: c, or -c. */
    void (*normalize_less)(int w, int c, const uint8_t *src, void *dst, const float *mul, const float *mean, int step);

    void (*bias_fwd)(int64_t rows, int c, const void *x, const float *b, void *y, bool relu);
    /* sum[c]: g summed over these rows, g = dy where y > 0 (y NULL: everywhere); dx = g, may be NULL. */
    void (*bias_grad)(int64_t rows, int c, const void *y, const void *dy, void *dx, double *sum);
    void (*eltwise_fwd)(const rn_op_eltwise *a, int64_t from, int64_t to);
    void (*eltwise_bwd)(const rn_op_eltwise_bwd *a, int64_t from, int64_t to);

    void (*sigmoid_fwd)(int64_t n, const void *x, void *y);
    void (*sigmoid_bwd)(int64_t n, const void *y, const void *dy, void *dx);
    void (*dropout)(const rn_op_dropout *a, const rn_rng *r, int64_t from, int64_t to); /* r: seeded, not drawn from */

    void (*scale_fwd)(int64_t rows, int c, const void *x, const void *s, const void *res, void *y, bool relu);
    void (*scale_grad)(int64_t rows, int c, const cpu_scale_grad *p); /* one image */
    void (*lrn)(const cpu_lrn *a, int64_t from, int64_t to,
                float *room);                                    /* rows from..to-1; room: cpu_lrn_room floats */
    void (*part)(const rn_op_part *a, int64_t from, int64_t to); /* rows from..to-1 */

    /* Mean and sum of squares around it, per channel, of these rows. */
    void (*bn_moments)(int64_t rows, int c, const void *x, double *mean, double *m2);
    /* past: y (or dx and dres) is larger than the caches, where nothing of it would be found again; a hint. */
    void (*bn_apply)(int64_t rows, int c, const void *x, const void *res, void *y, const cpu_bn_affine *p, bool relu,
                     bool past);
    /* sum g and sum g * (x - mean), per channel, g = dy where y > 0, which `open` keeps: rows of cpu_signs_row(c) bytes, for
     * this table's bn_grad_apply alone. y NULL: g = dy, and open is NULL. */
    void (*bn_grad_sums)(int64_t rows, int c, const void *x, const void *y, const void *dy, const float *mean,
                         double *sum_g, double *sum_gx, void *open);
    void (*bn_grad_apply)(int64_t rows, int c, const void *x, const void *dy, void *dx, void *dres,
                          const cpu_bn_grad *p);

    /* Rows from..to-1 of the destination: (image, line) pairs, image-major. */
    void (*maxpool_fwd)(const rn_op_pool *a, int64_t from, int64_t to);
    void (*maxpool_bwd)(const rn_op_pool *a, int64_t from, int64_t to, bool past); /* past: see bn_apply */
    void (*avgpool_fwd)(const rn_op_pool *a, int64_t from, int64_t to);
    void (*avgpool_bwd)(const rn_op_pool *a, int64_t from, int64_t to);
    void (*gap_fwd)(int hw, int c, const void *x, void *y);             /* one image */
    void (*gap_bwd)(int hw, int c, const void *dy, void *dx, bool add); /* one image */

    /* y[i][j] = b[j] + sum x[i][k] w[j][k]; b may be NULL. */
    void (*linear_fwd)(int mb, int oc, int ic, const float *x, const float *w, const float *b, float *y, int64_t ldy);
    void (*gemm_small)(const cpu_gemm_small *g);
} cpu_ops_kern;

extern const cpu_ops_kern cpu_ops_kern_portable, cpu_ops_bf16_portable, cpu_ops_f16_portable;
#if defined(__x86_64__)
extern const cpu_ops_kern cpu_ops_kern_avx2, cpu_ops_bf16_avx2, cpu_ops_f16_avx2;
extern const cpu_ops_kern cpu_ops_kern_avx512, cpu_ops_bf16_avx512, cpu_ops_f16_avx512;
#endif

#endif
