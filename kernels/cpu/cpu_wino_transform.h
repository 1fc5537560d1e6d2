/* SPDX-License-Identifier: MIT */
/*
 * The transforms of F(OUT x OUT, 3 x 3), included once for each OUT by cpu_wino_tile.h. A transform of a tile is the same
 * transform in one dimension, of its columns and then of its rows; vectors go along channels.
 */
#define WINO_JOIN_(a, b) a##b
#define WINO_JOIN(a, b)  WINO_JOIN_(a, b)
#define WINO(name)       WINO_JOIN(name##_, OUT)
#define SIDE             (OUT + 2)
#define FREQS            (SIDE * SIDE)

/* ---- one dimension -------------------------------------------------------------------------------------------------- */

#if OUT == 4
/* Points 0, +-P, +-Q and infinity; see cpu_wino.h for why these. */
#define P    0.75f
#define Q    1.5f
#define PP   (P * P)
#define QQ   (Q * Q)
/* One over the product of a point's distances from the others. */
#define AT_0 ((float)(1.0 / ((double)PP * QQ)))
#define AT_P ((float)(1.0 / (2.0 * PP * ((double)PP - QQ))))
#define AT_Q ((float)(1.0 / (2.0 * QQ * ((double)QQ - PP))))

/* B^T d: the values that the tile of src, seen as a polynomial, contributes at each point. */
INLINE void WINO(src_1d)(const vec *d, vec *o)
{
    const vec p_even = d[4] - QQ * d[2], p_odd = P * d[3] - P * QQ * d[1];
    const vec q_even = d[4] - PP * d[2], q_odd = Q * d[3] - Q * PP * d[1];

    o[0] = PP * QQ * d[0] + (d[4] - (PP + QQ) * d[2]);
    o[1] = p_even + p_odd;
    o[2] = p_even - p_odd;
    o[3] = q_even + q_odd;
    o[4] = q_even - q_odd;
    o[5] = PP * QQ * d[1] + (d[5] - (PP + QQ) * d[3]);
}

/* G g */
INLINE void WINO(wei_1d)(const vec *g, vec *o)
{
    const vec p_even = g[0] + PP * g[2], q_even = g[0] + QQ * g[2];

    o[0] = AT_0 * g[0];
    o[1] = AT_P * (p_even + P * g[1]);
    o[2] = AT_P * (p_even - P * g[1]);
    o[3] = AT_Q * (q_even + Q * g[1]);
    o[4] = AT_Q * (q_even - Q * g[1]);
    o[5] = g[2];
}

/* G^T m */
INLINE void WINO(wei_back_1d)(const vec *m, vec *o)
{
    const vec p_sum = AT_P * (m[1] + m[2]), q_sum = AT_Q * (m[3] + m[4]);

    o[0] = AT_0 * m[0] + (p_sum + q_sum);
    o[1] = (AT_P * P) * (m[1] - m[2]) + (AT_Q * Q) * (m[3] - m[4]);
    o[2] = PP * p_sum + (QQ * q_sum + m[5]);
}

/* A y */
INLINE void WINO(dst_1d)(const vec *y, vec *o)
{
    const vec p_even = y[0] + PP * y[2], p_odd = P * y[1] + P * PP * y[3];
    const vec q_even = y[0] + QQ * y[2], q_odd = Q * y[1] + Q * QQ * y[3];

    o[0] = y[0];
    o[1] = p_even + p_odd;
    o[2] = p_even - p_odd;
    o[3] = q_even + q_odd;
    o[4] = q_even - q_odd;
    o[5] = y[3];
}

/* A^T m */
INLINE void WINO(dst_back_1d)(const vec *m, vec *o)
{
    const vec p_sum = m[1] + m[2], p_diff = m[1] - m[2], q_sum = m[3] + m[4], q_diff = m[3] - m[4];

    o[0] = m[0] + (p_sum + q_sum);
    o[1] = P * p_diff + Q * q_diff;
    o[2] = PP * p_sum + QQ * q_sum;
    o[3] = P * PP * p_diff + (Q * QQ * q_diff + m[5]);
}

#undef P
#undef Q
#undef PP
#undef QQ
#undef AT_0
#undef AT_P
#undef AT_Q
#else
/* Points 0, +-1 and infinity: Lavin and Gray's, section 4.1. */
INLINE void WINO(src_1d)(const vec *d, vec *o)
{
    o[0] = d[0] - d[2];
    o[1] = d[1] + d[2];
    o[2] = d[2] - d[1];
    o[3] = d[1] - d[3];
}

INLINE void WINO(wei_1d)(const vec *g, vec *o)
{
    const vec even = g[0] + g[2];

    o[0] = g[0];
    o[1] = 0.5f * (even + g[1]);
    o[2] = 0.5f * (even - g[1]);
    o[3] = g[2];
}

INLINE void WINO(wei_back_1d)(const vec *m, vec *o)
{
    const vec sum = 0.5f * (m[1] + m[2]);

    o[0] = m[0] + sum;
    o[1] = 0.5f * (m[1] - m[2]);
    o[2] = sum + m[3];
}

INLINE void WINO(dst_1d)(const vec *y, vec *o)
{
    o[0] = y[0];
    o[1] = y[0] + y[1];
    o[2] = y[0] - y[1];
    o[3] = -y[1];
}

INLINE void WINO(dst_back_1d)(const vec *m, vec *o)
{
    o[0] = m[0] + (m[1] + m[2]);
    o[1] = (m[1] - m[2]) - m[3];
}
#endif

/* ---- two dimensions ------------------------------------------------------------------------------------------------- */

/* x: rows of `from` values to `to`, along columns and along rows. */
#define WINO_2D(name, one, from, to)                                                                                   \
    INLINE void WINO(name)(vec(*x)[SIDE], vec(*o)[SIDE])                                                               \
    {                                                                                                                  \
        vec t[SIDE][SIDE];                                                                                             \
        UNROLL                                                                                                         \
        for (int j = 0; j < (from); j++) {                                                                             \
            vec c[SIDE], r[SIDE];                                                                                      \
            UNROLL                                                                                                     \
            for (int i = 0; i < (from); i++)                                                                           \
                c[i] = x[i][j];                                                                                        \
            one(c, r);                                                                                                 \
            UNROLL                                                                                                     \
            for (int i = 0; i < (to); i++)                                                                             \
                t[i][j] = r[i];                                                                                        \
        }                                                                                                              \
        UNROLL                                                                                                         \
        for (int i = 0; i < (to); i++)                                                                                 \
            one(t[i], o[i]);                                                                                           \
    }

WINO_2D(src_2d, WINO(src_1d), SIDE, SIDE)
WINO_2D(wei_2d, WINO(wei_1d), 3, SIDE)
WINO_2D(wei_back_2d, WINO(wei_back_1d), SIDE, 3)
WINO_2D(dst_2d, WINO(dst_1d), OUT, SIDE)
WINO_2D(dst_back_2d, WINO(dst_back_1d), SIDE, OUT)

INLINE void WINO(store_all)(float *to, size_t freq, vec (*o)[SIDE])
{
    UNROLL
    for (int i = 0; i < SIDE; i++) {
        UNROLL
        for (int j = 0; j < SIDE; j++)
            v_store(to + (size_t)(i * SIDE + j) * freq, o[i][j]);
    }
}

INLINE void WINO(load_all)(const float *from, size_t freq, vec (*x)[SIDE])
{
    UNROLL
    for (int i = 0; i < SIDE; i++) {
        UNROLL
        for (int j = 0; j < SIDE; j++)
            x[i][j] = v_load(from + (size_t)(i * SIDE + j) * freq);
    }
}

/* ---- tensors -------------------------------------------------------------------------------------------------------- */

/* Tiles of src (side SIDE) or of dst (side OUT), of channels c..c+VL-1, n of which there are. */
INLINE void WINO(read_vector)(const rn_dtype type, const bool src, const rn_wino_read *read, const char *tensor,
                              char *const *pixel, int c, int n, float *to, size_t freq)
{
    const int side = src ? SIDE : OUT;
    vec x[SIDE][SIDE], o[SIDE][SIDE];

    UNROLL
    for (int i = 0; i < side; i++) {
        UNROLL
        for (int j = 0; j < side; j++) {
            vec v = {0};
            if (pixel[i * side + j]) {
                const char *at = pixel[i * side + j] + (size_t)c * e_size(type);
                v = e_load(type, at, n);
                if (read)
                    v = read_through(type, read, v, read->other ? (const char *)read->other + (at - tensor) : NULL, c,
                                     n);
            }
            x[i][j] = v;
        }
    }
    if (src)
        WINO(src_2d)(x, o);
    else
        WINO(dst_2d)(x, o);
    WINO(store_all)(to, freq, o);
}

INLINE void WINO(read)(const rn_dtype type, const bool src, const rn_wino_grid *g, const void *tensor,
                       const rn_wino_read *read, size_t t0, size_t t1, float *to, rn_wino_place place)
{
    char *pixel[FREQS];

    for (size_t t = t0; t < t1; t++) {
        tile_pixels(g, t, src ? SIDE : OUT, (char *)tensor, e_size(type), pixel);
        for (int c = 0; c < (int)rn_wino_up((size_t)g->c, RN_WINO_LINE); c += VL) {
            float *at = to + (size_t)(c / RN_WINO_LINE) * place.line + (t - t0) * place.tile + c % RN_WINO_LINE;
            const int n = g->c - c;
            if (n >= VL && !read)
                WINO(read_vector)(type, src, NULL, tensor, pixel, c, VL, at, place.freq);
            else if (n >= VL)
                WINO(read_vector)(type, src, read, tensor, pixel, c, VL, at, place.freq);
            else /* the rest of a line is zeros */
                WINO(read_vector)(type, src, read, tensor, pixel, n < 0 ? 0 : c, n < 0 ? 0 : n, at, place.freq);
        }
    }
}

/* The epilogue of a tile's channels c0 + c on, n of VL: what is stored, and its part of the sums. */
INLINE void WINO(finish)(const rn_dtype type, const rn_wino_finish *f, const char *tensor, char *const *pixel, int c0,
                         int c, int n, vec *v)
{
    const vec less = e_load(RN_F32, f->less + c0 + c, n);
    vec sum = {0}, sumsq = {0}, scale = {0}, shift = {0};

    if (f->raw) {
        scale = e_load(RN_F32, f->scale + c0 + c, n);
        shift = e_load(RN_F32, f->shift + c0 + c, n);
    }
    for (int i = 0; i < OUT * OUT; i++) {
        vec w;
        if (!pixel[i])
            continue;
        v[i] = e_round(type, v[i]);
        if (f->raw) {
            const char *at = pixel[i] + (size_t)(c0 + c) * e_size(type);
            const vec raw = e_load(type, (const char *)f->raw + (at - tensor), n);
            v[i] = v_gate(raw * scale + shift, v[i]);
            sum += v[i];
            w = v[i] * (raw - less);
        } else {
            const vec d = v[i] - less;
            sum += d;
            w = d * d;
        }
        sumsq += w;
    }
    v_store(f->sum + c, v_load(f->sum + c) + sum);
    v_store(f->sumsq + c, v_load(f->sumsq + c) + sumsq);
}

/* Channels c0 + c on, n of VL, of one tile. */
INLINE void WINO(write_vector)(const rn_dtype type, const rn_wino_finish *finish, const char *tensor,
                               char *const *pixel, int c0, int c, int n, const float *from, size_t freq, bool add)
{
    vec x[SIDE][SIDE], o[SIDE][SIDE], v[OUT * OUT];

    WINO(load_all)(from, freq, x);
    WINO(dst_back_2d)(x, o);
    UNROLL
    for (int i = 0; i < OUT * OUT; i++)
        v[i] = o[i / OUT][i % OUT];
    if (finish)
        WINO(finish)(type, finish, tensor, pixel, c0, c, n, v);
    UNROLL
    for (int i = 0; i < OUT * OUT; i++) {
        if (!pixel[i])
            continue;
        char *p = pixel[i] + (size_t)(c0 + c) * e_size(type);
        e_store(type, p, add ? v[i] + e_load(type, p, n) : v[i], n);
    }
}

INLINE void WINO(write)(const rn_dtype type, const rn_wino_grid *g, void *tensor, int c0, int c1, size_t t0, size_t t1,
                        const float *from, size_t freq, bool add, const rn_wino_finish *finish)
{
    char *pixel[OUT * OUT];

    for (size_t t = t0; t < t1; t++) {
        tile_pixels(g, t, OUT, tensor, e_size(type), pixel);
        for (int c = 0; c < c1 - c0; c += VL) {
            const float *at = from + (t - t0) * NR + (size_t)c;
            const int n = c1 - c0 - c;
            if (n >= VL)
                WINO(write_vector)(type, finish, tensor, pixel, c0, c, VL, at, freq, add);
            else
                WINO(write_vector)(type, finish, tensor, pixel, c0, c, n, at, freq, add);
        }
    }
}

/* ---- weights -------------------------------------------------------------------------------------------------------- */

/* taps[r * 3 + s] to their frequencies. */
INLINE void WINO(pack_vector)(const vec *taps, float *to, size_t freq)
{
    vec x[SIDE][SIDE], o[SIDE][SIDE];

    UNROLL
    for (int i = 0; i < 9; i++)
        x[i / 3][i % 3] = taps[i];
    WINO(wei_2d)(x, o);
    WINO(store_all)(to, freq, o);
}

/* Output channels o0..o1-1, at most VL, a line of input channels at a time: read along them, used across. */
INLINE void WINO(pack_fwd)(const rn_dtype type, const void *wei, int ic, int c0, int c1, int first, int last, float *to,
                           size_t freq)
{
    const char *w = wei;

    for (int o = 0; o < NR; o += VL) {
        const int n = c1 - c0 - o < 0 ? 0 : c1 - c0 - o < VL ? c1 - c0 - o : VL;
        for (int k0 = first; k0 < last; k0 += RN_WINO_LINE) {
            const int kn = last - k0 < RN_WINO_LINE ? last - k0 : RN_WINO_LINE;
            vec across[RN_WINO_LINE][9];
            memset(across, 0, sizeof across);
            for (int i = 0; i < n; i++) {
                for (int r = 0; r < 9; r++) {
                    const size_t row = ((size_t)(c0 + o + i) * 9 + (size_t)r) * (size_t)ic + (size_t)k0;
                    for (int k = 0; k < kn; k++)
                        across[k][r][i] = e_one(type, w + (row + (size_t)k) * e_size(type));
                }
            }
            for (int k = 0; k < kn; k++)
                WINO(pack_vector)(across[k], to + (size_t)(k0 - first + k) * NR + o, freq);
        }
    }
}

INLINE void WINO(pack_bwd_d)(const rn_dtype type, const void *wei, int ic, int c0, int c1, int first, int last,
                             float *to, size_t freq)
{
    for (int k = first; k < last; k++) {
        for (int c = 0; c < NR; c += VL) {
            const int n = c1 - c0 - c < 0 ? 0 : c1 - c0 - c;
            vec taps[9];
            for (int r = 0; r < 9; r++) {
                const size_t row = ((size_t)k * 9 + 8 - (size_t)r) * (size_t)ic + (size_t)c0;
                taps[r] = e_load(type, (const char *)wei + (row + (size_t)(n ? c : 0)) * e_size(type), n);
            }
            WINO(pack_vector)(taps, to + (size_t)(k - first) * NR + c, freq);
        }
    }
}

static void WINO(write_wei)(float *wei, int ic, int o, int c0, int c1, const float *from, size_t freq, bool add)
{
    for (int c = c0; c < c1; c += VL) {
        const int n = c1 - c < VL ? c1 - c : VL;
        vec x[SIDE][SIDE], w[SIDE][SIDE];
        WINO(load_all)(from + (c - c0), freq, x);
        WINO(wei_back_2d)(x, w);
        UNROLL
        for (int i = 0; i < 9; i++) {
            float *p = wei + ((size_t)o * 9 + (size_t)i) * (size_t)ic + c;
            const vec v = w[i / 3][i % 3];
            e_store(RN_F32, p, add ? v + e_load(RN_F32, p, n) : v, n);
        }
    }
}

/* ---- the tables ----------------------------------------------------------------------------------------------------- */

/* The functions for tensors of one type. */
#define WINO_IO(name, type)                                                                                            \
    static void WINO(read_src_##name)(const rn_wino_grid *g, const void *tensor, const rn_wino_read *read, size_t t0,  \
                                      size_t t1, float *to, rn_wino_place place)                                       \
    {                                                                                                                  \
        WINO(read)(type, true, g, tensor, read, t0, t1, to, place);                                                    \
    }                                                                                                                  \
    static void WINO(read_dst_##name)(const rn_wino_grid *g, const void *tensor, const rn_wino_read *read, size_t t0,  \
                                      size_t t1, float *to, rn_wino_place place)                                       \
    {                                                                                                                  \
        WINO(read)(type, false, g, tensor, read, t0, t1, to, place);                                                   \
    }                                                                                                                  \
    static void WINO(write_dst_##name)(const rn_wino_grid *g, void *tensor, int c0, int c1, size_t t0, size_t t1,      \
                                       const float *from, size_t freq, bool add, const rn_wino_finish *finish)         \
    {                                                                                                                  \
        WINO(write)(type, g, tensor, c0, c1, t0, t1, from, freq, add, finish);                                         \
    }                                                                                                                  \
    static void WINO(pack_fwd_##name)(const void *wei, int ic, int c0, int c1, int k0, int k1, float *to, size_t freq) \
    {                                                                                                                  \
        WINO(pack_fwd)(type, wei, ic, c0, c1, k0, k1, to, freq);                                                       \
    }                                                                                                                  \
    static void WINO(pack_bwd_d_##name)(const void *wei, int ic, int c0, int c1, int k0, int k1, float *to,            \
                                        size_t freq)                                                                   \
    {                                                                                                                  \
        WINO(pack_bwd_d)(type, wei, ic, c0, c1, k0, k1, to, freq);                                                     \
    }

WINO_IO(f32, RN_F32)
WINO_IO(bf16, RN_BF16)

#define WINO_IO_OF(name)                                                                                               \
    {                                                                                                                  \
        .read_src = WINO(read_src_##name), .read_dst = WINO(read_dst_##name), .write_dst = WINO(write_dst_##name),     \
        .pack_fwd = WINO(pack_fwd_##name), .pack_bwd_d = WINO(pack_bwd_d_##name)                                       \
    }

const rn_wino_isa TABLE(OUT) = {
    .out = OUT,
    .n = SIDE,
    .vl = VL,
    .mr = MR,
    .nr = NR,
    .product_rows = product_rows,
    .product_cols = product_cols,
    .write_wei = WINO(write_wei),
    .io = {[RN_F32] = WINO_IO_OF(f32), [RN_BF16] = WINO_IO_OF(bf16)},
};

#undef WINO_JOIN_
#undef WINO_JOIN
#undef WINO
#undef WINO_2D
#undef WINO_IO
#undef WINO_IO_OF
#undef SIDE
#undef FREQS
