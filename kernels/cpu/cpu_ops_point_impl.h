/* SPDX-License-Identifier: MIT */
/* Element by element. Included by cpu_ops_kern_impl.h only. */

static void relu_fwd(int64_t n, const float *x, float *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i]; /* this way round a NaN stays one, and it is one maxps */
}

static void relu_bwd(int64_t n, const float *y, const float *dy, float *dx)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float g = dy[i]; /* read whatever y says: no branch */
        dx[i] = y[i] > 0 ? g : 0;
    }
}

static void add(int64_t n, const float *a, const float *b, float *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

INLINE void sgd_range(const rn_op_sgd *a, int64_t from, int64_t to, const bool nesterov)
{
    float *w = a->w, *v = a->v;
    const float *g = a->g, lr = a->lr, mu = a->mu, wd = a->wd, scale = a->grad_scale;
#pragma omp simd
    for (int64_t i = from; i < to; i++) {
        const float d = g[i] * scale + wd * w[i];
        const float m = mu * v[i] + d;
        v[i] = m;
        w[i] -= lr * (nesterov ? d + mu * m : m);
    }
}

static void sgd(const rn_op_sgd *a, int64_t from, int64_t to)
{
    if (a->nesterov)
        sgd_range(a, from, to, true);
    else
        sgd_range(a, from, to, false);
}

static void normalize(int64_t rows, int c, const uint8_t *src, float *dst, const float *mul, const float *add)
{
    for (int64_t r = 0; r < rows; r++, src += c, dst += c) {
#pragma omp simd
        for (int i = 0; i < c; i++)
            dst[i] = (float)src[i] * mul[i] + add[i];
    }
}
