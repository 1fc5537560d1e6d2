/* SPDX-License-Identifier: MIT */
/* Over channels: a factor each, local response normalisation, parts of them. Included by cpu_ops_kern_impl.h only. */

enum { CHANNEL_STRIP = 256, CHANNEL_CHUNK = 64 };

INLINE void scale_fwd_as(int64_t rows, int c, const act *x, const act *s, const act *res, act *y, const bool has_res,
                         const bool relu)
{
    for (int64_t r = 0; r < rows; r++) {
#pragma omp simd
        for (int i = 0; i < c; i++) {
            float v = get(x[i]) * get(s[i]);
            if (has_res)
                v += get(res[i]);
            y[i] = put(relu && v < 0 ? 0 : v);
        }
        x += c, y += c;
        if (has_res)
            res += c;
    }
}

static void scale_fwd(int64_t rows, int c, const void *x, const void *s, const void *res, void *y, bool relu)
{
    if (res && relu)
        scale_fwd_as(rows, c, x, s, res, y, true, true);
    else if (res)
        scale_fwd_as(rows, c, x, s, res, y, true, false);
    else
        scale_fwd_as(rows, c, x, s, NULL, y, false, relu);
}

/* to [+]= v */
INLINE void give_row(int n, const float *v, act *to, bool add)
{
    if (add) {
#pragma omp simd
        for (int i = 0; i < n; i++)
            to[i] = put(get(to[i]) + v[i]);
    } else {
#pragma omp simd
        for (int i = 0; i < n; i++)
            to[i] = put(v[i]);
    }
}

/* n channels of one pixel. g is kept aside: dx or dres may lie over dy. */
INLINE void scale_grad_row(const cpu_scale_grad *p, int64_t o, int s, int n, float *sum)
{
    float g[CHANNEL_STRIP], d[CHANNEL_STRIP];
    const act *x = (const act *)p->x + o, *y = p->y, *dy = (const act *)p->dy + o, *factor = (const act *)p->s + s;
    if (y) {
#pragma omp simd
        for (int i = 0; i < n; i++) {
            const float all = get(dy[i]);
            g[i] = above_zero(y[o + i]) ? all : 0;
        }
    } else {
#pragma omp simd
        for (int i = 0; i < n; i++)
            g[i] = get(dy[i]);
    }
#pragma omp simd
    for (int i = 0; i < n; i++) {
        sum[i] += g[i] * get(x[i]);
        d[i] = g[i] * get(factor[i]);
    }
    if (p->dx)
        give_row(n, d, (act *)p->dx + o, p->dx_add);
    if (p->dres)
        give_row(n, g, (act *)p->dres + o, p->dres_add);
}

/* One image. */
static void scale_grad(int64_t rows, int c, const cpu_scale_grad *p)
{
    act *ds = p->ds;
    for (int s = 0; s < c; s += CHANNEL_STRIP) {
        const int n = c - s < CHANNEL_STRIP ? c - s : CHANNEL_STRIP;
        double sum[CHANNEL_STRIP] = {0};
        for (int64_t from = 0; from < rows; from += CHANNEL_CHUNK) {
            const int64_t to = rows - from < CHANNEL_CHUNK ? rows : from + CHANNEL_CHUNK;
            float part[CHANNEL_STRIP] = {0};
            for (int64_t r = from; r < to; r++)
                scale_grad_row(p, r * c + s, s, n, part);
#pragma omp simd
            for (int i = 0; i < n; i++)
                sum[i] += part[i];
        }
        for (int i = 0; ds && i < n; i++)
            ds[s + i] = put((float)(p->ds_add ? get(ds[s + i]) + sum[i] : sum[i]));
    }
}

/* s[i] = k + share * s[i], p[i] = s[i]^-beta. AlexNet's 3/4 is two square roots; anything else is the library's. */
INLINE void lrn_power(int n, const cpu_lrn *a, float *s, float *p)
{
    const float share = a->alpha / (float)a->size, k = a->k, beta = a->beta;
    if (beta == 0.75f) {
#pragma omp simd
        for (int i = 0; i < n; i++) {
            const float b = k + share * s[i];
            s[i] = b;
            p[i] = 1 / (sqrtf(b) * sqrtf(sqrtf(b)));
        }
    } else {
        for (int i = 0; i < n; i++) {
            s[i] = k + share * s[i];
            p[i] = powf(s[i], -beta);
        }
    }
}

INLINE void lrn_window_of(int n, const int size, const float *v, float *sum)
{
#pragma omp simd
    for (int i = 0; i < n; i++) {
        float all = v[i];
        for (int j = 1; j < size; j++)
            all += v[i + j];
        sum[i] = all;
    }
}

/* sum[i] = v[i] + .. + v[i + size - 1]: usual sizes in one pass, anything else in one for each of the window's values. */
INLINE void lrn_window(int n, int size, const float *v, float *sum)
{
    if (size == 5) {
        lrn_window_of(n, 5, v, sum);
    } else if (size == 3) {
        lrn_window_of(n, 3, v, sum);
    } else {
        memset(sum, 0, sizeof(float) * (size_t)n);
        for (int j = 0; j < size; j++) {
#pragma omp simd
            for (int i = 0; i < n; i++)
                sum[i] += v[i + j];
        }
    }
}

/* Some rows at x: s and its power of channel i of row r at [r * (c + size) + i]. */
INLINE void lrn_bases(const cpu_lrn *a, int rows, const act *x, float *v, float *s, float *p)
{
    const int c = a->c, step = c + a->size, all = rows * step;
    memset(v, 0, sizeof(float) * (size_t)(all + a->size));
    for (int r = 0; r < rows; r++, x += c) {
        float *to = v + r * step + a->size / 2;
#pragma omp simd
        for (int i = 0; i < c; i++)
            to[i] = get(x[i]) * get(x[i]);
    }
    lrn_window(all, a->size, v, s);
    lrn_power(all, a, s, p);
}

INLINE void lrn_fwd_rows(const cpu_lrn *a, int rows, const act *x, act *y, float *v, float *s, float *p)
{
    const int c = a->c, step = c + a->size;
    lrn_bases(a, rows, x, v, s, p);
    for (int r = 0; r < rows; r++, x += c, y += c, p += step) {
#pragma omp simd
        for (int i = 0; i < c; i++)
            y[i] = put(get(x[i]) * p[i]);
    }
}

INLINE void lrn_bwd_rows(const cpu_lrn *a, int rows, const act *x, const act *dy, act *dx, float *v, float *s, float *p)
{
    const int c = a->c, step = c + a->size, all = rows * step;
    const float back = 2 * a->alpha * a->beta / (float)a->size;
    lrn_bases(a, rows, x, v, s, p);
    memset(v, 0, sizeof(float) * (size_t)(all + a->size));
    for (int r = 0; r < rows; r++) {
        float *to = v + r * step + (a->size - 1) / 2;
        const float *rp = p + r * step, *rs = s + r * step;
#pragma omp simd
        for (int i = 0; i < c; i++)
            to[i] = get(dy[r * c + i]) * get(x[r * c + i]) * rp[i] / rs[i];
    }
    lrn_window(all, a->size, v, s);
    for (int r = 0; r < rows; r++, x += c, dy += c, dx += c, s += step, p += step) {
#pragma omp simd
        for (int i = 0; i < c; i++)
            p[i] = get(dy[i]) * p[i] - back * get(x[i]) * s[i];
        give_row(c, p, dx, a->add);
    }
}

static void lrn(const cpu_lrn *a, int64_t from, int64_t to, float *room)
{
    const int some = cpu_lrn_rows(a->c, a->size);
    const size_t third = cpu_lrn_room(a->c, a->size) / 3;
    float *s = room + third, *p = s + third;
    for (int64_t r = from; r < to; r += some) {
        const int rows = to - r < some ? (int)(to - r) : some;
        const int64_t at = r * a->c;
        if (a->dy)
            lrn_bwd_rows(a, rows, (const act *)a->x + at, (const act *)a->dy + at, (act *)a->to + at, room, s, p);
        else
            lrn_fwd_rows(a, rows, (const act *)a->x + at, (act *)a->to + at, room, s, p);
    }
}

static void part(const rn_op_part *a, int64_t from, int64_t to)
{
    const size_t before = sizeof(act) * (size_t)a->dst_at, after = sizeof(act) * (size_t)(a->dst_c - a->dst_at - a->c);
    for (int64_t r = from; r < to; r++) {
        const act *src = (const act *)a->src + r * a->src_c + a->src_at;
        act *row = (act *)a->dst + r * a->dst_c, *dst = row + a->dst_at;
        if (a->beta) {
#pragma omp simd
            for (int i = 0; i < a->c; i++)
                dst[i] = put(get(dst[i]) + get(src[i]));
        } else {
            memcpy(dst, src, sizeof(act) * (size_t)a->c);
        }
        if (a->clear) {
            memset(row, 0, before);
            memset(dst + a->c, 0, after);
        }
    }
}
