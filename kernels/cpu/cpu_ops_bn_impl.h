/* SPDX-License-Identifier: MIT */
/*
 * Batch normalisation over rows of c channels. Included by cpu_ops_kern_impl.h only.
 *
 * Sums run in f32 over at most BN_CHUNK rows, four rows at a time, and go on in double. A chunk is small enough to
 * stay in the second-level cache, so that it can be read twice for the price of once: first its mean, then the
 * deviations from that mean. What the mean's own rounding leaves in the deviations is put right in double. Neither a
 * large mean, nor a drifting one, nor an outlier costs accuracy.
 */

enum {
    BN_CHUNK = 64,
    BN_STRIP = 256,
    BN_ROWS = 4,
    BN_AHEAD = 16,
    BN_APPLY = 1024 /* channels whose vectors stay in L1 */
};

/* The line that holds what comes `ahead` values later. Past the end is fine. On one core of an EPYC this doubles the pace of both
 * reducing passes (7 to 14 and 10 to 18 GB/s out of memory). */
INLINE void fetch(const act *x, int64_t ahead)
{
    const uintptr_t at = (uintptr_t)x + sizeof(act) * (uintptr_t)ahead; /* not a pointer: there may be nothing */
    for (size_t i = 0; i < PAIR * sizeof(act); i += 64)
        __builtin_prefetch((const void *)(at + i), 0, 2);
}

/* The sum of k rows' values, and of their products: 1 row or BN_ROWS, these in pairs, which keeps chains of roundings short. */
INLINE two rows_sum(const two *v, const int k)
{
    return k == 1 ? v[0] : two_add(two_add(v[0], v[1]), two_add(v[2], v[3]));
}

INLINE two rows_dot(const two *v, const two *w, const int k)
{
    const two first = two_mul(v[0], w[0]);
    return k == 1 ? first : two_add(two_fma(v[1], w[1], first), two_fma(v[3], w[3], two_mul(v[2], w[2])));
}

/* Adds k rows' values of a pair of n channels to sum. */
INLINE void add_pair(const act *x, int64_t ld, const int k, const int n, float *sum)
{
    two v[BN_ROWS];
    for (int r = 0; r < k; r++)
        v[r] = get_some(x + r * ld, n);
    store_two(sum, two_add(load_two(sum), rows_sum(v, k)));
}

/* Adds k rows' deviations from mean, and their squares. */
INLINE void deviate_pair(const act *x, int64_t ld, const int k, const int n, const float *mean, float *sum, float *sq)
{
    const two m = load_two(mean);
    two d[BN_ROWS];
    for (int r = 0; r < k; r++) {
        d[r] = two_sub(get_some(x + r * ld, n), m);
        fetch(x + r * ld, BN_CHUNK * ld);
    }
    store_two(sum, two_add(load_two(sum), rows_sum(d, k)));
    store_two(sq, two_add(load_two(sq), rows_dot(d, d, k)));
}

/* BODY(x + i, k, n, i) for every pair of a strip, BN_ROWS rows at a time: k and n are constants where there are many. */
#define BN_EACH(rows, width, BODY)                                                                                     \
    do {                                                                                                               \
        const int whole = (width) / PAIR * PAIR;                                                                       \
        int64_t r = 0;                                                                                                 \
        for (; r + BN_ROWS <= (rows); r += BN_ROWS) {                                                                  \
            for (int i = 0; i < whole; i += PAIR)                                                                      \
                BODY(r, BN_ROWS, PAIR, i);                                                                             \
            if (whole < (width))                                                                                       \
                BODY(r, BN_ROWS, (width)-whole, whole);                                                                \
        }                                                                                                              \
        for (; r < (rows); r++) {                                                                                      \
            for (int i = 0; i < whole; i += PAIR)                                                                      \
                BODY(r, 1, PAIR, i);                                                                                   \
            if (whole < (width))                                                                                       \
                BODY(r, 1, (width)-whole, whole);                                                                      \
        }                                                                                                              \
    } while (0)

/* Of a strip: the chunk's mean in f32, and the deviations' sum and sum of squares around it, in the lanes' order. */
INLINE void chunk_moments(int64_t rows, int width, int64_t ld, const act *x, float *mean, float *sum, float *sq)
{
    const size_t bytes = sizeof(float) * (size_t)in_pairs(width);
    const float inv = 1.0f / (float)rows;
    memset(mean, 0, bytes);
    memset(sum, 0, bytes);
    memset(sq, 0, bytes);
#define ADD(r, k, n, i) add_pair(x + (r)*ld + (i), ld, k, n, mean + (i))
    BN_EACH(rows, width, ADD);
#undef ADD
#pragma omp simd
    for (int i = 0; i < in_pairs(width); i++)
        mean[i] *= inv;
#define DEVIATE(r, k, n, i) deviate_pair(x + (r)*ld + (i), ld, k, n, mean + (i), sum + (i), sq + (i))
    BN_EACH(rows, width, DEVIATE);
#undef DEVIATE
}

static void bn_moments_strip(int64_t rows, int width, int64_t ld, const act *x, double *mean, double *m2)
{
    float cmean[BN_STRIP], csum[BN_STRIP], csq[BN_STRIP];
    double smean[BN_STRIP] = {0}, sm2[BN_STRIP] = {0}; /* in the lanes' order, as those above */
    for (int64_t done = 0; done < rows; done += BN_CHUNK) {
        const int64_t n = rows - done < BN_CHUNK ? rows - done : BN_CHUNK;
        chunk_moments(n, width, ld, x + done * ld, cmean, csum, csq);
        /* Chan, Golub & LeVeque 1979: joins two sets' means and sums of squares. */
        const double inv = 1.0 / (double)n, share = (double)n / (double)(done + n), both = (double)done * share;
#pragma omp simd
        for (int i = 0; i < in_pairs(width); i++) {
            const double s = csum[i];
            const double delta = cmean[i] + s * inv - smean[i];
            smean[i] += delta * share;
            sm2[i] += csq[i] - s * s * inv + delta * delta * both;
        }
    }
    from_lanes(smean, width, mean);
    from_lanes(sm2, width, m2);
}

static void bn_moments(int64_t rows, int c, const void *x, double *mean, double *m2)
{
    for (int i = 0; i < c; i += BN_STRIP)
        bn_moments_strip(rows, c - i < BN_STRIP ? c - i : BN_STRIP, c, (const act *)x + i, mean + i, m2 + i);
}

/* A strip's vectors in the lanes' order: mean, scale, shift; or mean, a, k, b. */
typedef struct bn_lanes {
    float v[4][BN_APPLY];
} bn_lanes;

INLINE void apply_pair(const act *x, const act *res, act *y, const bn_lanes *p, int i, const int n, const bool has_res,
                       const bool relu, bool past)
{
    two v = two_fma(two_sub(get_some(x + i, n), load_two(p->v[0] + i)), load_two(p->v[1] + i), load_two(p->v[2] + i));
    if (has_res)
        v = two_add(v, get_some(res + i, n));
    put_either(y + i, relu ? two_relu(v) : v, n, past);
}

INLINE void bn_apply_strip(int64_t rows, int width, int64_t ld, const act *x, const act *res, act *y, const bn_lanes *p,
                           const bool has_res, const bool relu, bool past)
{
    const int whole = width / PAIR * PAIR;
    for (int64_t o = 0; o < rows * ld; o += ld) {
        for (int i = 0; i < whole; i += PAIR)
            apply_pair(x + o, has_res ? res + o : NULL, y + o, p, i, PAIR, has_res, relu, past);
        if (whole < width)
            apply_pair(x + o, has_res ? res + o : NULL, y + o, p, whole, width - whole, has_res, relu, past);
    }
}

static void bn_apply(int64_t rows, int c, const void *x, const void *res, void *y, const cpu_bn_affine *p, bool relu,
                     bool past)
{
    bn_lanes lanes;
    past = past && can_put_past(y, c);
    for (int s = 0; s < c; s += BN_APPLY) {
        const int width = c - s < BN_APPLY ? c - s : BN_APPLY;
        const act *xs = (const act *)x + s, *rs = res ? (const act *)res + s : NULL;
        act *ys = (act *)y + s;
        to_lanes(p->mean + s, width, lanes.v[0]);
        to_lanes(p->scale + s, width, lanes.v[1]);
        to_lanes(p->shift + s, width, lanes.v[2]);
        if (res && relu)
            bn_apply_strip(rows, width, c, xs, rs, ys, &lanes, true, true, past);
        else if (res)
            bn_apply_strip(rows, width, c, xs, rs, ys, &lanes, true, false, past);
        else if (relu)
            bn_apply_strip(rows, width, c, xs, NULL, ys, &lanes, false, true, past);
        else
            bn_apply_strip(rows, width, c, xs, NULL, ys, &lanes, false, false, past);
    }
    if (past)
        put_past_end();
}

/* Adds k rows' g, dy where the ReLU let it through, and its products with x less its mean; keeps where that was. */
INLINE void grad_sums_pair(const act *x, const act *y, const act *dy, int64_t ld, const int k, const int n,
                           const float *mean, float *sum, float *dot, unsigned char *open, size_t open_ld,
                           const bool relu)
{
    const two m = load_two(mean);
    two g[BN_ROWS], d[BN_ROWS];
    for (int r = 0; r < k; r++) {
        const int64_t o = r * ld;
        g[r] = get_some(dy + o, n);
        fetch(x + o, BN_AHEAD * ld);
        fetch(dy + o, BN_AHEAD * ld);
        if (relu) {
            fetch(y + o, BN_AHEAD * ld);
            const signs s = two_above(get_some(y + o, n));
            memcpy(open + (size_t)r * open_ld, &s, sizeof s);
            g[r] = two_where(g[r], s);
        }
        d[r] = two_sub(get_some(x + o, n), m);
    }
    store_two(sum, two_add(load_two(sum), rows_sum(g, k)));
    store_two(dot, two_add(load_two(dot), rows_dot(g, d, k)));
}

INLINE void bn_grad_sums_strip(int64_t rows, int width, int64_t ld, const act *x, const act *y, const act *dy,
                               const float *mean, double *sum_g, double *sum_gx, unsigned char *open, size_t open_ld,
                               const bool relu)
{
    float sum[BN_STRIP], dot[BN_STRIP], m[BN_STRIP];
    double g[BN_STRIP] = {0}, gx[BN_STRIP] = {0};
    const size_t bytes = sizeof(float) * (size_t)in_pairs(width);
    to_lanes(mean, width, m);
    for (int64_t done = 0; done < rows; done += BN_CHUNK) {
        const int64_t count = rows - done < BN_CHUNK ? rows - done : BN_CHUNK;
        memset(sum, 0, bytes);
        memset(dot, 0, bytes);
#define SUMS(r, k, n, i)                                                                                               \
    grad_sums_pair(x + (done + (r)) * ld + (i), relu ? y + (done + (r)) * ld + (i) : NULL,                             \
                   dy + (done + (r)) * ld + (i), ld, k, n, m + (i), sum + (i), dot + (i),                              \
                   relu ? open + (size_t)(done + (r)) * open_ld + (size_t)(i) / 8 : NULL, open_ld, relu)
        BN_EACH(count, width, SUMS);
#undef SUMS
#pragma omp simd
        for (int i = 0; i < in_pairs(width); i++) {
            g[i] += sum[i];
            gx[i] += dot[i];
        }
    }
    from_lanes(g, width, sum_g);
    from_lanes(gx, width, sum_gx);
}

static void bn_grad_sums(int64_t rows, int c, const void *x, const void *y, const void *dy, const float *mean,
                         double *sum_g, double *sum_gx, void *open)
{
    const size_t open_ld = cpu_signs_row(c);
    for (int s = 0; s < c; s += BN_STRIP) {
        const int width = c - s < BN_STRIP ? c - s : BN_STRIP;
        const act *xs = (const act *)x + s, *dys = (const act *)dy + s;
        if (y)
            bn_grad_sums_strip(rows, width, c, xs, (const act *)y + s, dys, mean + s, sum_g + s, sum_gx + s,
                               (unsigned char *)open + s / 8, open_ld, true);
        else
            bn_grad_sums_strip(rows, width, c, xs, NULL, dys, mean + s, sum_g + s, sum_gx + s, NULL, 0, false);
    }
}

enum { DRES_NONE, DRES_SET, DRES_ADD };

/* Where the tensors' strips begin. */
typedef struct bn_grad_at {
    const act *x, *dy;
    const unsigned char *open;
    act *dx, *dres;
} bn_grad_at;

INLINE void grad_pair(const bn_grad_at *t, const bn_lanes *p, int64_t o, const unsigned char *open, int i, const int n,
                      const bool relu, const bool dx_add, const int dres_mode, bool past)
{
    two g = get_some(t->dy + o, n);
    if (relu) {
        signs s;
        memcpy(&s, open, sizeof s);
        g = two_where(g, s);
    }
    const two far = two_sub(get_some(t->x + o, n), load_two(p->v[0] + i));
    two d = two_sub(two_mul(load_two(p->v[1] + i), g), two_fma(load_two(p->v[2] + i), far, load_two(p->v[3] + i)));
    if (dx_add)
        d = two_add(get_some(t->dx + o, n), d);
    put_either(t->dx + o, d, n, past);
    if (dres_mode == DRES_SET)
        put_either(t->dres + o, g, n, past);
    else if (dres_mode == DRES_ADD)
        put_either(t->dres + o, two_add(get_some(t->dres + o, n), g), n, past);
}

INLINE void bn_grad_apply_strip(int64_t rows, int width, int64_t ld, const bn_grad_at *t, const bn_lanes *p,
                                const bool relu, const bool dx_add, const int dres_mode, bool past)
{
    const int whole = width / PAIR * PAIR;
    const size_t open_ld = cpu_signs_row((int)ld);
    const unsigned char *open = t->open;
    for (int64_t o = 0; o < rows * ld; o += ld) {
        for (int i = 0; i < whole; i += PAIR)
            grad_pair(t, p, o + i, open + (size_t)i / 8, i, PAIR, relu, dx_add, dres_mode, past);
        if (whole < width)
            grad_pair(t, p, o + whole, open + (size_t)whole / 8, whole, width - whole, relu, dx_add, dres_mode, past);
        if (relu)
            open += open_ld;
    }
}

static void bn_grad_apply(int64_t rows, int c, const void *x, const void *dy, void *dx, void *dres,
                          const cpu_bn_grad *p)
{
    const bool relu = p->open, past = p->past && can_put_past(dx, c) && (!dres || can_put_past(dres, c));
    const int mode = !dres ? DRES_NONE : p->dres_add ? DRES_ADD : DRES_SET;
    const float *const vectors[4] = {p->mean, p->a, p->k, p->b};
    bn_lanes lanes;
    for (int s = 0; s < c; s += BN_APPLY) {
        const int width = c - s < BN_APPLY ? c - s : BN_APPLY;
        const bn_grad_at t = {(const act *)x + s, (const act *)dy + s,
                              relu ? (const unsigned char *)p->open + s / 8 : NULL, (act *)dx + s,
                              dres ? (act *)dres + s : NULL};
        for (int k = 0; k < 4; k++)
            to_lanes(vectors[k] + s, width, lanes.v[k]);
#define AS(relu_, add_, mode_)                                                                                         \
    case (relu_) + 2 * (add_) + 4 * (mode_):                                                                           \
        bn_grad_apply_strip(rows, width, c, &t, &lanes, relu_, add_, mode_, past);                                     \
        break
        switch ((relu ? 1 : 0) + (p->dx_add ? 2 : 0) + 4 * mode) {
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
    if (past)
        put_past_end();
}
