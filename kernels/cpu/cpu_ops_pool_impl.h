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

/*
 * Values as integers of the same order, a register of them: -0 and 0 are one, a NaN is above everything. Neither widening
 * nor telling NaNs apart is then needed to find a maximum, and in 16 bits a register holds twice as many.
 */
#if defined(CPU_OPS_BF16) || defined(CPU_OPS_F16)
typedef int16_t key;
enum { KEY_MAX = INT16_MAX, KEY_INF = ACT_INF };
#else
typedef int32_t key;
enum { KEY_MAX = INT32_MAX, KEY_INF = 0x7f800000 };
#endif
enum { KEYS = CPU_VEC_BYTES / sizeof(act) };
typedef key keys __attribute__((vector_size(CPU_VEC_BYTES)));
typedef uint8_t marks __attribute__((vector_size(CPU_VEC_BYTES / sizeof(act))));

INLINE keys order_of(keys v)
{
    const keys sign = v < 0;
    const keys size = v & (key)KEY_MAX;
    const keys nan = size > (key)KEY_INF;
    return (((size ^ sign) - sign) & ~nan) | (nan & (key)KEY_MAX);
}

/* The window's inputs, and where its first tap would be. */
typedef struct pool_window {
    pool_span h, w;
    int top, left;
} pool_window;

/* n <= KEYS channels of one output pixel; x, y, argmax: the first of them. Of equals the first one wins. */
INLINE void max_lanes(const rn_op_pool *a, const pool_window *in, const act *x, act *y, uint8_t *argmax, const int n)
{
    keys best = {0}, who = {0}, highest = best - (key)KEY_MAX; /* below every value's */
    for (int h = in->h.lo; h < in->h.hi; h++)
        for (int w = in->w.lo; w < in->w.hi; w++) {
            keys v = {0};
            memcpy(&v, x + ((int64_t)h * a->iw + w) * a->c, (size_t)n * sizeof(act));
            const keys order = order_of(v), takes = order > highest;
            const keys tap = (keys){0} + (key)((h - in->top) * a->kw + (w - in->left));
            best = (v & takes) | (best & ~takes);
            who = (tap & takes) | (who & ~takes);
            highest = (order & takes) | (highest & ~takes);
        }
    memcpy(y, &best, (size_t)n * sizeof(act));
    if (argmax) {
        const marks won = __builtin_convertvector(who, marks);
        memcpy(argmax, &won, (size_t)n);
    }
}

static void maxpool_fwd(const rn_op_pool *a, int64_t from, int64_t to)
{
    for (int64_t line = from; line < to; line++) {
        const act *image = (const act *)a->src + line / a->oh * a->ih * a->iw * a->c;
        const int oh = (int)(line % a->oh);
        for (int ow = 0; ow < a->ow; ow++) {
            const int64_t o = (line * a->ow + ow) * a->c;
            const pool_window in = {pool_inputs(oh, a->kh, a->sh, a->ph, a->ih),
                                    pool_inputs(ow, a->kw, a->sw, a->pw, a->iw), oh * a->sh - a->ph,
                                    ow * a->sw - a->pw};
            act *y = (act *)a->dst + o;
            uint8_t *argmax = a->argmax ? a->argmax + o : NULL;
            int s = 0;
            for (; s + KEYS <= a->c; s += KEYS)
                max_lanes(a, &in, image + s, y + s, argmax ? argmax + s : NULL, KEYS);
            if (s < a->c)
                max_lanes(a, &in, image + s, y + s, argmax ? argmax + s : NULL, a->c - s);
        }
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

/* An input pixel, the windows that cover it, and the offset of the image's first output. */
typedef struct pool_pixel {
    int h, w;
    pool_span hs, ws;
    int64_t out;
} pool_pixel;

#ifdef CPU_OPS_BF16
/* The windows' gradients of n <= PAIR channels, where tap `tap` of them won: told in 16 bits, before they are widened. */
INLINE two won_pair(const act *dy, const uint8_t *won, int tap, const int n)
{
    enum { PARTS = PAIR / KEYS };
    act t[PAIR] = {0};
    marks m[PARTS] = {0};
    keys v[PARTS];
    memcpy(t, dy, (size_t)n * sizeof *t);
    memcpy(m, won, (size_t)n);
    memcpy(v, t, sizeof v);
    for (size_t i = 0; i < PARTS; i++)
        v[i] &= __builtin_convertvector(m[i], keys) == (key)tap;
    memcpy(t, v, sizeof t);
    return get_pair(t);
}

/* The gradient of the pixel's n channels from s on; n is POOL_STRIP, or at most a PAIR. */
INLINE void max_grad(const rn_op_pool *a, const pool_pixel *at, int s, act *dx, const int n, bool past)
{
    enum { PAIRS = POOL_STRIP / PAIR };
    const int pairs = n == POOL_STRIP ? PAIRS : 1, each = n == POOL_STRIP ? PAIR : n;
    two sum[PAIRS] = {0};
    for (int oh = at->hs.lo; oh < at->hs.hi; oh++)
        for (int ow = at->ws.lo; ow < at->ws.hi; ow++) {
            const int64_t o = at->out + ((int64_t)oh * a->ow + ow) * a->c + s;
            const int tap = (at->h - (oh * a->sh - a->ph)) * a->kw + (at->w - (ow * a->sw - a->pw));
            for (int i = 0; i < pairs; i++)
                sum[i] =
                    two_add(sum[i], won_pair((const act *)a->src + o + i * PAIR, a->argmax + o + i * PAIR, tap, each));
        }
    for (int i = 0; i < pairs; i++) {
        if (a->beta)
            sum[i] = two_add(get_some(dx + i * PAIR, each), sum[i]);
        put_either(dx + i * PAIR, sum[i], each, past);
    }
}
#else
INLINE void max_grad(const rn_op_pool *a, const pool_pixel *at, int s, act *dx, const int n, bool past)
{
    (void)past;
    float sum[POOL_STRIP] = {0};
    for (int oh = at->hs.lo; oh < at->hs.hi; oh++)
        for (int ow = at->ws.lo; ow < at->ws.hi; ow++) {
            const int64_t o = at->out + ((int64_t)oh * a->ow + ow) * a->c + s;
            const act *dy = (const act *)a->src + o;
            const uint8_t *won = a->argmax + o;
            const int tap = (at->h - (oh * a->sh - a->ph)) * a->kw + (at->w - (ow * a->sw - a->pw));
#pragma omp simd
            for (int i = 0; i < n; i++) {
                const float g = get(dy[i]);
                sum[i] += won[i] == tap ? g : 0;
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
#endif

static void maxpool_bwd(const rn_op_pool *a, int64_t from, int64_t to, bool past)
{
    past = past && can_put_past(a->dst, a->c);
    for (int64_t line = from; line < to; line++) {
        pool_pixel at = {.h = (int)(line % a->ih), .out = line / a->ih * a->oh * a->ow * a->c};
        at.hs = pool_windows(at.h, a->kh, a->sh, a->ph, a->oh);
        for (at.w = 0; at.w < a->iw; at.w++) {
            at.ws = pool_windows(at.w, a->kw, a->sw, a->pw, a->ow);
            act *dx = (act *)a->dst + (line * a->iw + at.w) * a->c;
            int s = 0;
            for (; s + POOL_STRIP <= a->c; s += POOL_STRIP) /* of a known length: the sums stay in registers */
                max_grad(a, &at, s, dx + s, POOL_STRIP, past);
            for (; s + PAIR <= a->c; s += PAIR)
                max_grad(a, &at, s, dx + s, PAIR, past);
            if (s < a->c)
                max_grad(a, &at, s, dx + s, a->c - s, false);
        }
    }
    if (past)
        put_past_end();
}

INLINE void avg_grad(const rn_op_pool *a, const pool_pixel *at, int s, act *dx, const int n)
{
    float sum[POOL_STRIP] = {0};
    for (int oh = at->hs.lo; oh < at->hs.hi; oh++)
        for (int ow = at->ws.lo; ow < at->ws.hi; ow++) {
            const act *dy = (const act *)a->src + at->out + ((int64_t)oh * a->ow + ow) * a->c + s;
            const float count = pool_count(a, oh, ow);
#pragma omp simd
            for (int i = 0; i < n; i++)
                sum[i] += get(dy[i]) / count;
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

static void avgpool_bwd(const rn_op_pool *a, int64_t from, int64_t to)
{
    for (int64_t line = from; line < to; line++) {
        pool_pixel at = {.h = (int)(line % a->ih), .out = line / a->ih * a->oh * a->ow * a->c};
        at.hs = pool_windows(at.h, a->kh, a->sh, a->ph, a->oh);
        for (at.w = 0; at.w < a->iw; at.w++) {
            at.ws = pool_windows(at.w, a->kw, a->sw, a->pw, a->ow);
            act *dx = (act *)a->dst + (line * a->iw + at.w) * a->c;
            int s = 0;
            for (; s + POOL_STRIP <= a->c; s += POOL_STRIP)
                avg_grad(a, &at, s, dx + s, POOL_STRIP);
            if (s < a->c)
                avg_grad(a, &at, s, dx + s, a->c - s);
        }
    }
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
