/* SPDX-License-Identifier: MIT */
/* Element by element. Included by cpu_ops_kern_impl.h only. */

static void relu_fwd(int64_t n, const void *from, void *to)
{
    const act *x = from;
    act *y = to;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = below_zero(x[i]) ? 0 : x[i]; /* this way round a NaN stays one, and in f32 it is one maxps */
}

static void relu_bwd(int64_t n, const void *out, const void *from, void *to)
{
    const act *y = out, *dy = from;
    act *dx = to;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const act g = dy[i]; /* read whatever y says: no branch */
        dx[i] = above_zero(y[i]) ? g : 0;
    }
}

static void add(int64_t n, const void *first, const void *second, void *to)
{
    const act *a = first, *b = second;
    act *y = to;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = put(get(a[i]) + get(b[i]));
}

static void normalize(int64_t rows, int c, const uint8_t *src, void *to, const float *mul, const float *add)
{
    act *dst = to;
    for (int64_t r = 0; r < rows; r++, src += c, dst += c) {
#pragma omp simd
        for (int i = 0; i < c; i++)
            dst[i] = put((float)src[i] * mul[i] + add[i]);
    }
}
