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

static void normalize(int64_t rows, int c, const uint8_t *src, float *dst, const float *mul, const float *add)
{
    for (int64_t r = 0; r < rows; r++, src += c, dst += c) {
#pragma omp simd
        for (int i = 0; i < c; i++)
            dst[i] = (float)src[i] * mul[i] + add[i];
    }
}
