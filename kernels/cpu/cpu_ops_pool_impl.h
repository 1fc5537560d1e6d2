/* SPDX-License-Identifier: MIT */
/*
 * Pooling, channels in strips, included by cpu_ops_kern_impl.h only. The backward passes gather: each input pixel
 * asks the windows that cover it, so that lines are independent of each other and nothing is cleared first.
 */

enum { POOL_STRIP = 64 };

typedef struct pool_span {
    int lo, hi; /* lo..hi-1 */
} pool_span;

/* Input positions of window `o`, clipped. */
INLINE pool_span pool_inputs(int o, int k, int s, int p, int in)
{
    const int start = o * s - p, end = start + k;
    return (pool_span){start > 0 ? start : 0, end < in ? end : in};
}

/* Windows that cover input position `i`. */
INLINE pool_span pool_windows(int i, int k, int s, int p, int out)
{
    const int first = i + p - k + 1, last = (i + p) / s + 1;
    return (pool_span){first > 0 ? (first + s - 1) / s : 0, last < out ? last : out};
}

INLINE int pool_padded(int o, int k, int s, int p, int in)
{
    const int start = o * s - p, end = start + k;
    return (end < in + p ? end : in + p) - start;
}

/* What the average over window (oh, ow) divides by. */
INLINE float pool_count(const rn_op_pool *a, int oh, int ow)
{
    if (a->count_include_pad)
        return (float)pool_padded(oh, a->kh, a->sh, a->ph, a->ih) * (float)pool_padded(ow, a->kw, a->sw, a->pw, a->iw);
    const pool_span h = pool_inputs(oh, a->kh, a->sh, a->ph, a->ih), w = pool_inputs(ow, a->kw, a->sw, a->pw, a->iw);
    return (float)(h.hi - h.lo) * (float)(w.hi - w.lo);
}

/* One output pixel, channels s..s+n-1. A NaN beats numbers, the first winner stays. */
INLINE void max_pixel(const rn_op_pool *a, const act *image, int oh, int ow, int s, int n, int64_t to)
{
    float best[POOL_STRIP];
    int32_t who[POOL_STRIP];
    const pool_span hs = pool_inputs(oh, a->kh, a->sh, a->ph, a->ih), ws = pool_inputs(ow, a->kw, a->sw, a->pw, a->iw);
    const int top = oh * a->sh - a->ph, left = ow * a->sw - a->pw;
    bool first = true;
    for (int h = hs.lo; h < hs.hi; h++)
        for (int w = ws.lo; w < ws.hi; w++) {
            const act *x = image + ((int64_t)h * a->iw + w) * a->c + s;
            const int32_t tap = (h - top) * a->kw + (w - left);
#pragma omp simd
            for (int i = 0; i < n; i++) {
                const float v = get(x[i]);
                const bool takes = first | (!(v <= best[i]) & (best[i] == best[i]));
                best[i] = takes ? v : best[i];
                who[i] = takes ? tap : who[i];
            }
            first = false;
        }
    act *y = (act *)a->dst + to + s;
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = put(best[i]);
    if (a->argmax) {
        for (int i = 0; i < n; i++)
            a->argmax[to + s + i] = (uint8_t)who[i];
    }
}

static void maxpool_fwd(const rn_op_pool *a, int64_t from, int64_t to)
{
    for (int64_t line = from; line < to; line++) {
        const act *image = (const act *)a->src + line / a->oh * a->ih * a->iw * a->c;
        for (int ow = 0; ow < a->ow; ow++)
            for (int s = 0; s < a->c; s += POOL_STRIP)
                max_pixel(a, image, (int)(line % a->oh), ow, s, a->c - s < POOL_STRIP ? a->c - s : POOL_STRIP,
                          (line * a->ow + ow) * a->c);
    }
}

INLINE void avg_pixel(const rn_op_pool *a, const act *image, int oh, int ow, int s, int n, act *y)
{
    float sum[POOL_STRIP] = {0};
    const pool_span hs = pool_inputs(oh, a->kh, a->sh, a->ph, a->ih), ws = pool_inputs(ow, a->kw, a->sw, a->pw, a->iw);
    for (int h = hs.lo; h < hs.hi; h++)
        for (int w = ws.lo; w < ws.hi; w++) {
            const act *x = image + ((int64_t)h * a->iw + w) * a->c + s;
#pragma omp simd
            for (int i = 0; i < n; i++)
                sum[i] += get(x[i]);
        }
    const float count = pool_count(a, oh, ow);
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] = put(sum[i] / count);
}

static void avgpool_fwd(const rn_op_pool *a, int64_t from, int64_t to)
{
    for (int64_t line = from; line < to; line++) {
        const act *image = (const act *)a->src + line / a->oh * a->ih * a->iw * a->c;
        for (int ow = 0; ow < a->ow; ow++)
            for (int s = 0; s < a->c; s += POOL_STRIP)
                avg_pixel(a, image, (int)(line % a->oh), ow, s, a->c - s < POOL_STRIP ? a->c - s : POOL_STRIP,
                          (act *)a->dst + (line * a->ow + ow) * a->c + s);
    }
}

/* The gradient of input pixel (h, w), channels s..s+n-1; `out` is the offset of the image's first output. */
INLINE void grad_pixel(const rn_op_pool *a, int64_t out, int h, int w, int s, int n, act *dx, const bool max)
{
    float sum[POOL_STRIP] = {0};
    const pool_span hs = pool_windows(h, a->kh, a->sh, a->ph, a->oh), ws = pool_windows(w, a->kw, a->sw, a->pw, a->ow);
    for (int oh = hs.lo; oh < hs.hi; oh++)
        for (int ow = ws.lo; ow < ws.hi; ow++) {
            const int64_t o = out + ((int64_t)oh * a->ow + ow) * a->c + s;
            const act *dy = (const act *)a->src + o;
            if (max) {
                const int tap = (h - (oh * a->sh - a->ph)) * a->kw + (w - (ow * a->sw - a->pw));
                const uint8_t *won = a->argmax + o;
#pragma omp simd
                for (int i = 0; i < n; i++) {
                    const float g = get(dy[i]);
                    sum[i] += won[i] == tap ? g : 0;
                }
            } else {
                const float count = pool_count(a, oh, ow);
#pragma omp simd
                for (int i = 0; i < n; i++)
                    sum[i] += get(dy[i]) / count;
            }
        }
    if (a->beta) {
#pragma omp simd
        for (int i = 0; i < n; i++)
            dx[i] = put(get(dx[i]) + sum[i]);
        return;
    }
#pragma omp simd
    for (int i = 0; i < n; i++)
        dx[i] = put(sum[i]);
}

INLINE void pool_bwd(const rn_op_pool *a, int64_t from, int64_t to, const bool max)
{
    for (int64_t line = from; line < to; line++) {
        const int64_t out = line / a->ih * a->oh * a->ow * a->c;
        for (int w = 0; w < a->iw; w++)
            for (int s = 0; s < a->c; s += POOL_STRIP)
                grad_pixel(a, out, (int)(line % a->ih), w, s, a->c - s < POOL_STRIP ? a->c - s : POOL_STRIP,
                           (act *)a->dst + (line * a->iw + w) * a->c + s, max);
    }
}

static void maxpool_bwd(const rn_op_pool *a, int64_t from, int64_t to)
{
    pool_bwd(a, from, to, true);
}

static void avgpool_bwd(const rn_op_pool *a, int64_t from, int64_t to)
{
    pool_bwd(a, from, to, false);
}

static void gap_fwd(int hw, int c, const void *from, void *to)
{
    const act *x = from;
    act *y = to;
    for (int s = 0; s < c; s += POOL_STRIP) {
        const int n = c - s < POOL_STRIP ? c - s : POOL_STRIP;
        double sum[POOL_STRIP] = {0};
        for (int64_t o = s, r = 0; r < hw; r++, o += c) {
#pragma omp simd
            for (int i = 0; i < n; i++)
                sum[i] += (double)get(x[o + i]);
        }
#pragma omp simd
        for (int i = 0; i < n; i++)
            y[s + i] = put((float)(sum[i] / hw));
    }
}

static void gap_bwd(int hw, int c, const void *from, void *to, bool add)
{
    const act *dy = from;
    act *dx = to;
    for (int s = 0; s < c; s += POOL_STRIP) {
        const int n = c - s < POOL_STRIP ? c - s : POOL_STRIP;
        float share[POOL_STRIP];
        act stored[POOL_STRIP];
#pragma omp simd
        for (int i = 0; i < n; i++) {
            share[i] = get(dy[s + i]) / (float)hw;
            stored[i] = put(share[i]);
        }
        for (int64_t o = s, r = 0; r < hw; r++, o += c) {
            if (!add) {
                memcpy(dx + o, stored, sizeof(act) * (size_t)n);
                continue;
            }
#pragma omp simd
            for (int i = 0; i < n; i++)
                dx[o + i] = put(get(dx[o + i]) + share[i]);
        }
    }
}
