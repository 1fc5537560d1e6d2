/* SPDX-License-Identifier: MIT */
/* A bias joined to rows, two values joined element by element. Included by cpu_ops_kern_impl.h only. */

enum { JOIN_STRIP = 256, JOIN_CHUNK = 64 };

INLINE void bias_fwd_as(int64_t rows, int c, const act *x, const float *b, act *y, const bool relu)
{
    for (int64_t r = 0; r < rows; r++, x += c, y += c) {
#pragma omp simd
        for (int i = 0; i < c; i++) {
            const float v = get(x[i]) + b[i];
            y[i] = put(relu && v < 0 ? 0 : v);
        }
    }
}

static void bias_fwd(int64_t rows, int c, const void *x, const float *b, void *y, bool relu)
{
    if (relu)
        bias_fwd_as(rows, c, x, b, y, true);
    else
        bias_fwd_as(rows, c, x, b, y, false);
}

/* Columns at..at+n-1: in f32 over a chunk of rows, in double over the chunks. */
INLINE void bias_grad_strip(int64_t rows, int c, int n, const act *y, const act *dy, act *dx, double *sum,
                            const bool relu, const bool store)
{
    for (int i = 0; i < n; i++)
        sum[i] = 0;
    for (int64_t from = 0; from < rows; from += JOIN_CHUNK) {
        const int64_t to = rows - from < JOIN_CHUNK ? rows : from + JOIN_CHUNK;
        float part[JOIN_STRIP] = {0};
        for (int64_t r = from; r < to; r++) {
            const int64_t o = r * c;
#pragma omp simd
            for (int i = 0; i < n; i++) {
                const act all = dy[o + i], g = !relu || above_zero(y[o + i]) ? all : 0;
                part[i] += get(g);
                if (store)
                    dx[o + i] = g;
            }
        }
#pragma omp simd
        for (int i = 0; i < n; i++)
            sum[i] += part[i];
    }
}

static void bias_grad(int64_t rows, int c, const void *out, const void *from, void *to, double *sum)
{
    const act *y = out, *dy = from;
    act *dx = to;
    for (int i = 0; i < c; i += JOIN_STRIP) {
        const int n = c - i < JOIN_STRIP ? c - i : JOIN_STRIP;
        if (y && dx)
            bias_grad_strip(rows, c, n, y + i, dy + i, dx + i, sum + i, true, true);
        else if (y)
            bias_grad_strip(rows, c, n, y + i, dy + i, NULL, sum + i, true, false);
        else if (dx)
            bias_grad_strip(rows, c, n, NULL, dy + i, dx + i, sum + i, false, true);
        else
            bias_grad_strip(rows, c, n, NULL, dy + i, NULL, sum + i, false, false);
    }
}

INLINE void eltwise_fwd_as(const rn_op_eltwise *e, int64_t from, int64_t to, const enum rn_eltwise_kind kind,
                           const bool relu)
{
    const act *a = e->a, *b = e->b;
    const float ca = e->ca, cb = e->cb;
    act *y = e->y;
#pragma omp simd
    for (int64_t i = from; i < to; i++) {
        const float p = get(a[i]), q = get(b[i]);
        float v;
        if (kind == RN_ELTWISE_SUM)
            v = ca * p + cb * q;
        else if (kind == RN_ELTWISE_PRODUCT)
            v = p * q;
        else
            v = ((p != p) | (p > q)) ? p : q;
        y[i] = put(relu && v < 0 ? 0 : v);
    }
}

static void eltwise_fwd(const rn_op_eltwise *e, int64_t from, int64_t to)
{
    switch (e->kind) {
    case RN_ELTWISE_SUM:
        if (e->relu)
            eltwise_fwd_as(e, from, to, RN_ELTWISE_SUM, true);
        else
            eltwise_fwd_as(e, from, to, RN_ELTWISE_SUM, false);
        break;
    case RN_ELTWISE_PRODUCT:
        eltwise_fwd_as(e, from, to, RN_ELTWISE_PRODUCT, e->relu);
        break;
    case RN_ELTWISE_MAX:
        eltwise_fwd_as(e, from, to, RN_ELTWISE_MAX, e->relu);
        break;
    }
}

/* to [+]= g * factor (factor NULL: scale) */
INLINE void give(int n, const act *g, const act *factor, float scale, act *to, bool add)
{
    if (add) {
#pragma omp simd
        for (int i = 0; i < n; i++)
            to[i] = put(get(to[i]) + get(g[i]) * (factor ? get(factor[i]) : scale));
    } else {
#pragma omp simd
        for (int i = 0; i < n; i++)
            to[i] = put(get(g[i]) * (factor ? get(factor[i]) : scale));
    }
}

/* to [+]= g where the maximum was this one's */
INLINE void give_winner(int n, const act *g, const act *a, const act *b, const bool first, act *to, bool add)
{
#pragma omp simd
    for (int i = 0; i < n; i++) {
        const float p = get(a[i]), q = get(b[i]);
        const bool takes = (p != p) | (p > q);
        const float all = get(g[i]), mine = takes == first ? all : 0;
        to[i] = put(add ? get(to[i]) + mine : mine);
    }
}

/* A strip at a time: its gradient behind the ReLU is kept aside, because da or db may lie over dy. */
static void eltwise_bwd(const rn_op_eltwise_bwd *e, int64_t from, int64_t to)
{
    const act *a = e->a, *b = e->b, *y = e->y, *dy = e->dy;
    act *da = e->da, *db = e->db, g[JOIN_STRIP];
    for (int64_t o = from; o < to; o += JOIN_STRIP) {
        const int n = to - o < JOIN_STRIP ? (int)(to - o) : JOIN_STRIP;
        if (e->relu)
            relu_bwd(n, y + o, dy + o, g);
        else
            memcpy(g, dy + o, sizeof(act) * (size_t)n);
        if (e->kind == RN_ELTWISE_MAX) {
            if (da)
                give_winner(n, g, a + o, b + o, true, da + o, e->da_beta);
            if (db)
                give_winner(n, g, a + o, b + o, false, db + o, e->db_beta);
            continue;
        }
        const bool product = e->kind == RN_ELTWISE_PRODUCT;
        if (da)
            give(n, g, product ? b + o : NULL, e->ca, da + o, e->da_beta);
        if (db)
            give(n, g, product ? a + o : NULL, e->cb, db + o, e->db_beta);
    }
}
