/* SPDX-License-Identifier: MIT */
/*
 * Batch normalisation over rows of c channels. Included by cpu_ops_kern_impl.h only.
 *
 * Sums run in f32 over at most BN_CHUNK rows, four rows at a time, and go on in double. A chunk is small enough to
 * stay in the second-level cache, so that it can be read twice for the price of once: first its mean, then the
 * deviations from that mean. What the mean's own rounding leaves in the deviations is put right in double. Neither a
 * large mean, nor a drifting one, nor an outlier costs accuracy.
 */

enum { BN_CHUNK = 64, BN_STRIP = 256, BN_AHEAD = 16, LINE = 64 / sizeof(act) };

/* Four rows to come: memory is at work while those at hand are summed. On one core of an EPYC this doubles the pace of
 * both reducing passes (7 to 14 and 10 to 18 GB/s out of memory). Past the end is fine. */
INLINE void prefetch_rows(const act *x, int64_t ahead, int width, int64_t ld)
{
    const uintptr_t at = (uintptr_t)x + sizeof(act) * (uintptr_t)(ahead * ld); /* not a pointer: there may be nothing */
    for (int r = 0; r < 4; r++)
        for (int i = 0; i < width; i += LINE)
            __builtin_prefetch((const void *)(at + sizeof(act) * (uintptr_t)(r * ld + i)), 0, 2);
}

/* The deviations' sum and sum of squares around *mean, itself the f32 mean of the chunk. */
INLINE void chunk_moments(int64_t rows, int width, int64_t ld, const act *x, float *mean, float *sum, float *sq)
{
    memset(mean, 0, sizeof(float) * (size_t)width);
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const act *x0 = x + r * ld, *x1 = x0 + ld, *x2 = x1 + ld, *x3 = x2 + ld;
#pragma omp simd
        for (int i = 0; i < width; i++)
            mean[i] += (get(x0[i]) + get(x1[i])) + (get(x2[i]) + get(x3[i]));
    }
    for (; r < rows; r++) {
#pragma omp simd
        for (int i = 0; i < width; i++)
            mean[i] += get(x[r * ld + i]);
    }
    const float inv = 1.0f / (float)rows;
#pragma omp simd
    for (int i = 0; i < width; i++) {
        mean[i] *= inv;
        sum[i] = 0;
        sq[i] = 0;
    }
    for (r = 0; r + 4 <= rows; r += 4) {
        const act *x0 = x + r * ld, *x1 = x0 + ld, *x2 = x1 + ld, *x3 = x2 + ld;
        prefetch_rows(x0, BN_CHUNK, width, ld);
#pragma omp simd
        for (int i = 0; i < width; i++) {
            const float d0 = get(x0[i]) - mean[i], d1 = get(x1[i]) - mean[i];
            const float d2 = get(x2[i]) - mean[i], d3 = get(x3[i]) - mean[i];
            sum[i] += (d0 + d1) + (d2 + d3);
            sq[i] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
        }
    }
    for (; r < rows; r++) {
#pragma omp simd
        for (int i = 0; i < width; i++) {
            const float d = get(x[r * ld + i]) - mean[i];
            sum[i] += d;
            sq[i] += d * d;
        }
    }
}

static void bn_moments_strip(int64_t rows, int width, int64_t ld, const act *x, double *mean, double *m2)
{
    float cmean[BN_STRIP], csum[BN_STRIP], csq[BN_STRIP];
    memset(mean, 0, sizeof(double) * (size_t)width);
    memset(m2, 0, sizeof(double) * (size_t)width);
    for (int64_t done = 0; done < rows; done += BN_CHUNK) {
        const int64_t n = rows - done < BN_CHUNK ? rows - done : BN_CHUNK;
        chunk_moments(n, width, ld, x + done * ld, cmean, csum, csq);
        /* Chan, Golub & LeVeque 1979: joins two sets' means and sums of squares. */
        const double inv = 1.0 / (double)n, share = (double)n / (double)(done + n), both = (double)done * share;
#pragma omp simd
        for (int i = 0; i < width; i++) {
            const double s = csum[i];
            const double delta = cmean[i] + s * inv - mean[i];
            mean[i] += delta * share;
            m2[i] += csq[i] - s * s * inv + delta * delta * both;
        }
    }
}

static void bn_moments(int64_t rows, int c, const void *x, double *mean, double *m2)
{
    for (int i = 0; i < c; i += BN_STRIP)
        bn_moments_strip(rows, c - i < BN_STRIP ? c - i : BN_STRIP, c, (const act *)x + i, mean + i, m2 + i);
}

INLINE void bn_apply_as(int64_t rows, int c, const act *x, const act *res, act *y, const cpu_bn_affine *p,
                        const bool has_res, const bool relu)
{
    const float *mean = p->mean, *scale = p->scale, *shift = p->shift;
    for (int64_t r = 0; r < rows; r++) {
#pragma omp simd
        for (int i = 0; i < c; i++) {
            float v = (get(x[i]) - mean[i]) * scale[i] + shift[i];
            if (has_res)
                v += get(res[i]);
            y[i] = put(relu && v < 0 ? 0 : v);
        }
        x += c, y += c;
        if (has_res)
            res += c;
    }
}

static void bn_apply(int64_t rows, int c, const void *x, const void *res, void *y, const cpu_bn_affine *p, bool relu)
{
    if (res && relu)
        bn_apply_as(rows, c, x, res, y, p, true, true);
    else if (res)
        bn_apply_as(rows, c, x, res, y, p, true, false);
    else if (relu)
        bn_apply_as(rows, c, x, NULL, y, p, false, true);
    else
        bn_apply_as(rows, c, x, NULL, y, p, false, false);
}

/* g of one element: dy where the ReLU let it through. */
INLINE float gated(const act *y, const act *dy, int64_t i, const bool relu)
{
    const float g = get(dy[i]);
    return !relu || above_zero(y[i]) ? g : 0;
}

INLINE void chunk_grad_sums(int64_t rows, int width, int64_t ld, const act *x, const act *y, const act *dy,
                            const float *mean, float *sum, float *dot, const bool relu)
{
    memset(sum, 0, sizeof(float) * (size_t)width);
    memset(dot, 0, sizeof(float) * (size_t)width);
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const int64_t o0 = r * ld, o1 = o0 + ld, o2 = o1 + ld, o3 = o2 + ld;
        prefetch_rows(x + o0, BN_AHEAD, width, ld);
        prefetch_rows(dy + o0, BN_AHEAD, width, ld);
        if (relu)
            prefetch_rows(y + o0, BN_AHEAD, width, ld);
#pragma omp simd
        for (int i = 0; i < width; i++) {
            const float g0 = gated(y, dy, o0 + i, relu), g1 = gated(y, dy, o1 + i, relu);
            const float g2 = gated(y, dy, o2 + i, relu), g3 = gated(y, dy, o3 + i, relu);
            sum[i] += (g0 + g1) + (g2 + g3);
            dot[i] += (g0 * (get(x[o0 + i]) - mean[i]) + g1 * (get(x[o1 + i]) - mean[i])) +
                      (g2 * (get(x[o2 + i]) - mean[i]) + g3 * (get(x[o3 + i]) - mean[i]));
        }
    }
    for (; r < rows; r++) {
#pragma omp simd
        for (int i = 0; i < width; i++) {
            const float g = gated(y, dy, r * ld + i, relu);
            sum[i] += g;
            dot[i] += g * (get(x[r * ld + i]) - mean[i]);
        }
    }
}

INLINE void bn_grad_sums_as(int64_t rows, int c, const act *x, const act *y, const act *dy, const float *mean,
                            double *sum_g, double *sum_gx, const bool relu)
{
    float sum[BN_STRIP], dot[BN_STRIP];
    memset(sum_g, 0, sizeof(double) * (size_t)c);
    memset(sum_gx, 0, sizeof(double) * (size_t)c);
    for (int s = 0; s < c; s += BN_STRIP) {
        const int width = c - s < BN_STRIP ? c - s : BN_STRIP;
        for (int64_t done = 0; done < rows; done += BN_CHUNK) {
            const int64_t n = rows - done < BN_CHUNK ? rows - done : BN_CHUNK, o = done * c + s;
            chunk_grad_sums(n, width, c, x + o, relu ? y + o : NULL, dy + o, mean + s, sum, dot, relu);
#pragma omp simd
            for (int i = 0; i < width; i++) {
                sum_g[s + i] += sum[i];
                sum_gx[s + i] += dot[i];
            }
        }
    }
}

static void bn_grad_sums(int64_t rows, int c, const void *x, const void *y, const void *dy, const float *mean,
                         double *sum_g, double *sum_gx)
{
    if (y)
        bn_grad_sums_as(rows, c, x, y, dy, mean, sum_g, sum_gx, true);
    else
        bn_grad_sums_as(rows, c, x, NULL, dy, mean, sum_g, sum_gx, false);
}

enum { DRES_NONE, DRES_SET, DRES_ADD };

INLINE void bn_grad_apply_as(int64_t rows, int c, const act *x, const act *y, const act *dy, act *dx, act *dres,
                             const cpu_bn_grad *p, const bool relu, const bool dx_add, const int dres_mode)
{
    const float *mean = p->mean, *a = p->a, *k = p->k, *b = p->b;
    for (int64_t o = 0; o < rows * c; o += c) {
#pragma omp simd
        for (int i = 0; i < c; i++) {
            const float g = gated(y, dy, o + i, relu);
            const float d = a[i] * g - (b[i] + k[i] * (get(x[o + i]) - mean[i]));
            dx[o + i] = put(dx_add ? get(dx[o + i]) + d : d);
            if (dres_mode == DRES_SET)
                dres[o + i] = put(g);
            else if (dres_mode == DRES_ADD)
                dres[o + i] = put(get(dres[o + i]) + g);
        }
    }
}

static void bn_grad_apply(int64_t rows, int c, const void *x, const void *y, const void *dy, void *dx, void *dres,
                          const cpu_bn_grad *p)
{
    const int mode = !dres ? DRES_NONE : p->dres_add ? DRES_ADD : DRES_SET;
#define AS(relu_, add_, mode_)                                                                                         \
    case (relu_) + 2 * (add_) + 4 * (mode_):                                                                           \
        bn_grad_apply_as(rows, c, x, y, dy, dx, dres, p, relu_, add_, mode_);                                          \
        break
    switch ((p->relu ? 1 : 0) + (p->dx_add ? 2 : 0) + 4 * mode) {
        AS(0, 0, DRES_NONE);
        AS(1, 0, DRES_NONE);
        AS(0, 1, DRES_NONE);
        AS(1, 1, DRES_NONE);
        AS(0, 0, DRES_SET);
        AS(1, 0, DRES_SET);
        AS(0, 1, DRES_SET);
        AS(1, 1, DRES_SET);
        AS(0, 0, DRES_ADD);
        AS(1, 0, DRES_ADD);
        AS(0, 1, DRES_ADD);
        AS(1, 1, DRES_ADD);
    }
#undef AS
}
