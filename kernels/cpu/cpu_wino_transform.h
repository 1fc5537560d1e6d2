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
#define M_TILE           ((FREQS * NR / RN_WINO_LINE | 1) * RN_WINO_LINE)

/* ---- one dimension -------------------------------------------------------------------------------------------------- */

/* The values at 0, at each pair of points +-x, and at infinity are made apart: part 0, 1, .., PARTS - 1, of one value or of two. */
#define PARTS          (OUT / 2 + 2)
#define PART_AT(part)  ((part) ? 2 * (part)-1 : 0)
#define PART_LEN(part) ((part) == 0 || (part) == PARTS - 1 ? 1 : 2)

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
INLINE void WINO(src_part)(const int part, const vec *d, vec *o)
{
    const float one = part == 1 ? P : Q, other = part == 1 ? QQ : PP; /* the point, and the other one's square */

    if (part == 0) {
        o[0] = PP * QQ * d[0] + (d[4] - (PP + QQ) * d[2]);
    } else if (part == 3) {
        o[0] = PP * QQ * d[1] + (d[5] - (PP + QQ) * d[3]);
    } else {
        const vec even = d[4] - other * d[2], odd = one * d[3] - one * other * d[1];
        o[0] = even + odd;
        o[1] = even - odd;
    }
}

/* G g */
INLINE void WINO(wei_part)(const int part, const vec *g, vec *o)
{
    const float one = part == 1 ? P : Q, at = part == 1 ? AT_P : AT_Q;

    if (part == 0) {
        o[0] = AT_0 * g[0];
    } else if (part == 3) {
        o[0] = g[2];
    } else {
        const vec even = g[0] + one * one * g[2];
        o[0] = at * (even + one * g[1]);
        o[1] = at * (even - one * g[1]);
    }
}

/* A y */
INLINE void WINO(dst_part)(const int part, const vec *y, vec *o)
{
    const float one = part == 1 ? P : Q;

    if (part == 0) {
        o[0] = y[0];
    } else if (part == 3) {
        o[0] = y[3];
    } else {
        const vec even = y[0] + one * one * y[2], odd = one * y[1] + one * one * one * y[3];
        o[0] = even + odd;
        o[1] = even - odd;
    }
}

/* G^T m */
INLINE void WINO(wei_back_1d)(const vec *m, vec *o)
{
    const vec p_sum = AT_P * (m[1] + m[2]), q_sum = AT_Q * (m[3] + m[4]);

    o[0] = AT_0 * m[0] + (p_sum + q_sum);
    o[1] = (AT_P * P) * (m[1] - m[2]) + (AT_Q * Q) * (m[3] - m[4]);
    o[2] = PP * p_sum + (QQ * q_sum + m[5]);
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
INLINE void WINO(src_part)(const int part, const vec *d, vec *o)
{
    if (part == 0) {
        o[0] = d[0] - d[2];
    } else if (part == 2) {
        o[0] = d[1] - d[3];
    } else {
        o[0] = d[1] + d[2];
        o[1] = d[2] - d[1];
    }
}

INLINE void WINO(wei_part)(const int part, const vec *g, vec *o)
{
    if (part == 0) {
        o[0] = g[0];
    } else if (part == 2) {
        o[0] = g[2];
    } else {
        o[0] = 0.5f * (g[0] + g[2] + g[1]);
        o[1] = 0.5f * (g[0] + g[2] - g[1]);
    }
}

INLINE void WINO(dst_part)(const int part, const vec *y, vec *o)
{
    if (part == 0) {
        o[0] = y[0];
    } else if (part == 2) {
        o[0] = -y[1];
    } else {
        o[0] = y[0] + y[1];
        o[1] = y[0] - y[1];
    }
}

INLINE void WINO(wei_back_1d)(const vec *m, vec *o)
{
    const vec sum = 0.5f * (m[1] + m[2]);

    o[0] = m[0] + sum;
    o[1] = 0.5f * (m[1] - m[2]);
    o[2] = sum + m[3];
}

INLINE void WINO(dst_back_1d)(const vec *m, vec *o)
{
    o[0] = m[0] + (m[1] + m[2]);
    o[1] = (m[1] - m[2]) - m[3];
}
#endif

/* ---- two dimensions ------------------------------------------------------------------------------------------------- */

/* x(i, j), `side` x `side` of them, to their frequencies: a part along the columns, then the rows that this makes. Two rows of
 * frequencies are under way at a time, which fit the registers; all of them would not, and it is cheaper to load twice than
 * to store once more. */
#define WINO_2D(name, one, side, x, store, ...)                                                                        \
    INLINE void WINO(name)(__VA_ARGS__, float *to, size_t freq)                                                        \
    {                                                                                                                  \
        UNROLL                                                                                                         \
        for (int g = 0; g < PARTS; g++) {                                                                              \
            vec t[2][SIDE];                                                                                            \
            UNROLL                                                                                                     \
            for (int j = 0; j < (side); j++) {                                                                         \
                vec c[SIDE], r[2];                                                                                     \
                UNROLL                                                                                                 \
                for (int i = 0; i < (side); i++)                                                                       \
                    c[i] = x(i, j);                                                                                    \
                one(g, c, r);                                                                                          \
                t[0][j] = r[0];                                                                                        \
                if (PART_LEN(g) == 2)                                                                                  \
                    t[1][j] = r[1];                                                                                    \
            }                                                                                                          \
            UNROLL                                                                                                     \
            for (int r = 0; r < 2; r++) {                                                                              \
                if (r >= PART_LEN(g))                                                                                  \
                    break;                                                                                             \
                float *row = to + (size_t)((PART_AT(g) + r) * SIDE) * freq;                                            \
                UNROLL                                                                                                 \
                for (int h = 0; h < PARTS; h++) {                                                                      \
                    vec o[2];                                                                                          \
                    one(h, t[r], o);                                                                                   \
                    store(row + (size_t)PART_AT(h) * freq, o[0]);                                                      \
                    if (PART_LEN(h) == 2)                                                                              \
                        store(row + (size_t)(PART_AT(h) + 1) * freq, o[1]);                                            \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

#define IN_MEMORY(i, j)  e_load(type, x + (size_t)(i)*row + (size_t)(j)*pixel, VL)
#define IN_VECTORS(i, j) x[(i)*3 + (j)]
/* row, pixel: bytes between rows, and between the pixels of a row */
WINO_2D(src_any, WINO(src_part), SIDE, IN_MEMORY, v_store, const rn_dtype type, const char *x, size_t row, size_t pixel)
WINO_2D(dst_any, WINO(dst_part), OUT, IN_MEMORY, v_store, const rn_dtype type, const char *x, size_t row, size_t pixel)
#define PUT_EITHER(p, v) v_store_either(p, v, past)
WINO_2D(wei_any, WINO(wei_part), 3, IN_VECTORS, PUT_EITHER, const bool past, const vec *x)
#undef PUT_EITHER
#undef IN_MEMORY
#undef IN_VECTORS

/* Functions of their own: inlined into a loop, compilers keep every address of it on the stack. */
#define WINO_CALLED(name, of, type)                                                                                    \
    static __attribute__((noinline)) void WINO(name)(const char *x, size_t row, size_t pixel, float *to, size_t freq)  \
    {                                                                                                                  \
        WINO(of)(type, x, row, pixel, to, freq);                                                                       \
    }
WINO_CALLED(src_2d_f32, src_any, RN_F32)
WINO_CALLED(src_2d_bf16, src_any, RN_BF16)
WINO_CALLED(dst_2d_f32, dst_any, RN_F32)
WINO_CALLED(dst_2d_bf16, dst_any, RN_BF16)
static __attribute__((noinline)) void WINO(wei_2d)(const vec *x, float *to, size_t freq)
{
    WINO(wei_any)(false, x, to, freq);
}

static __attribute__((noinline)) void WINO(wei_2d_past)(const vec *x, float *to, size_t freq)
{
    WINO(wei_any)(true, x, to, freq);
}

/* Frequencies back to `side` x `side` values: along their rows, then along the columns. */
#define WINO_BACK(name, one, side)                                                                                     \
    INLINE void WINO(name)(const float *from, size_t freq, vec(*o)[SIDE])                                              \
    {                                                                                                                  \
        vec t[SIDE][SIDE];                                                                                             \
        UNROLL                                                                                                         \
        for (int i = 0; i < SIDE; i++) {                                                                               \
            vec m[SIDE];                                                                                               \
            UNROLL                                                                                                     \
            for (int j = 0; j < SIDE; j++)                                                                             \
                m[j] = v_load(from + (size_t)(i * SIDE + j) * freq);                                                   \
            one(m, t[i]);                                                                                              \
        }                                                                                                              \
        UNROLL                                                                                                         \
        for (int j = 0; j < (side); j++) {                                                                             \
            vec c[SIDE], r[SIDE];                                                                                      \
            UNROLL                                                                                                     \
            for (int i = 0; i < SIDE; i++)                                                                             \
                c[i] = t[i][j];                                                                                        \
            one(c, r);                                                                                                 \
            UNROLL                                                                                                     \
            for (int i = 0; i < (side); i++)                                                                           \
                o[i][j] = r[i];                                                                                        \
        }                                                                                                              \
    }

WINO_BACK(dst_back_2d, WINO(dst_back_1d), OUT)
WINO_BACK(wei_back_2d, WINO(wei_back_1d), 3)

/* ---- tensors -------------------------------------------------------------------------------------------------------- */

/* Channels c..c+VL-1 of a tile, n of which there are, as f32 side by side: what lies at its pixels, through `read`. */
INLINE void WINO(gather)(const rn_dtype type, const int side, const rn_wino_read *read, const char *tensor,
                         char *const *pixel, int c, int n, float *to)
{
    for (int i = 0; i < side * side; i++, to += VL) {
        vec v = {0};
        if (pixel[i]) {
            const char *at = pixel[i] + (size_t)c * e_size(type);
            v = e_load(type, at, n);
            if (read)
                v = read_through(type, read, v, read->other ? (const char *)read->other + (at - tensor) : NULL, c, n);
        }
        v_store(to, v);
    }
}

/* Tiles of src (side SIDE) or of dst (side OUT): those that need no more than their transform are read in place. */
INLINE void WINO(read)(const rn_dtype type, const bool src, const rn_wino_grid *g, const void *tensor,
                       const rn_wino_read *read, size_t t0, size_t t1, float *to, rn_wino_place place)
{
    const int side = src ? SIDE : OUT;
    void (*const transform)(const char *, size_t, size_t, float *, size_t) =
        type == RN_BF16 ? (src ? WINO(src_2d_bf16) : WINO(dst_2d_bf16))
        : src           ? WINO(src_2d_f32)
                        : WINO(dst_2d_f32);
    char *pixel[FREQS];
    float tile[FREQS * VL] __attribute__((aligned(64)));

    for (size_t t = t0; t < t1; t++) {
        const bool in_place = !read && tile_inside(g, t, side);
        tile_pixels(g, t, in_place ? 1 : side, (char *)tensor, e_size(type), pixel);
        for (int c = 0; c < (int)rn_wino_up((size_t)g->c, RN_WINO_LINE); c += VL) {
            float *at = to + (size_t)(c / RN_WINO_LINE) * place.line + (t - t0) * place.tile + c % RN_WINO_LINE;
            const int n = g->c - c;
            if (place.ask && c % RN_WINO_LINE == 0) {
                for (size_t f = 0; f < FREQS; f++)
                    __builtin_prefetch(at + place.line + f * place.freq, 1);
            }
            if (in_place && n >= VL) {
                const size_t one = (size_t)g->c * e_size(type), row = one * (size_t)g->w;
                const char *x = pixel[0] + (size_t)c * e_size(type);
                transform(x, row, one, at, place.freq);
                continue;
            }
            if (in_place)
                tile_pixels(g, t, side, (char *)tensor, e_size(type), pixel);
            if (n >= VL && !read)
                WINO(gather)(type, side, NULL, tensor, pixel, c, VL, tile);
            else if (n >= VL)
                WINO(gather)(type, side, read, tensor, pixel, c, VL, tile);
            else /* the rest of a line is zeros */
                WINO(gather)(type, side, read, tensor, pixel, n < 0 ? 0 : c, n < 0 ? 0 : n, tile);
            (src ? WINO(src_2d_f32) : WINO(dst_2d_f32))((const char *)tile, (size_t)side * VL * sizeof *tile,
                                                        VL * sizeof *tile, at, place.freq);
        }
    }
}

/* What the values of a tile's pixels are near (cpu_sums.h): the mean of four that it has, or one. */
INLINE vec WINO(about)(char *const *pixel, const vec *v)
{
    return pixel[OUT + 1] ? ((v[0] + v[1]) + (v[OUT] + v[OUT + 1])) * 0.25F : v[0];
}

/* The epilogue of a tile's channels c0 + c on, n of VL: what is stored, and its part of the sums. */
INLINE void WINO(finish)(const rn_dtype type, const rn_wino_finish *f, const char *tensor, char *const *pixel, int c0,
                         int c, int n, vec *v)
{
    const vec less = f->raw ? e_load(RN_F32, f->less + c0 + c, n) : WINO(about)(pixel, v);
    vec sum = {0}, sumsq = {0}, scale = {0}, shift = {0};
    float part[3][VL];
    int m = 0;

    if (f->raw) {
        scale = e_load(RN_F32, f->scale + c0 + c, n);
        shift = e_load(RN_F32, f->shift + c0 + c, n);
    }
    for (int i = 0; i < OUT * OUT; i++) {
        vec w;
        if (!pixel[i])
            continue;
        m++;
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
    v_store(part[0], sum);
    v_store(part[1], sumsq);
    v_store(part[2], less);
    if (f->raw)
        rn_add_wide(n, part[0], part[1], f->sum + c, f->sumsq + c);
    else if (n == VL)
        rn_add_about(VL, m, part[0], part[1], part[2], f->less + c0 + c, f->sum + c, f->sumsq + c);
    else
        rn_add_about(n, m, part[0], part[1], part[2], f->less + c0 + c, f->sum + c, f->sumsq + c);
}

/* The pixels of a tile out of its frequencies. */
INLINE void WINO(write_vector)(const rn_dtype type, const rn_wino_finish *finish, const char *tensor,
                               char *const *pixel, int c0, int c, int n, const float *from, bool add)
{
    vec o[SIDE][SIDE], v[OUT * OUT];

    WINO(dst_back_2d)(from, NR, o);
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

/* ... and nothing else to be done. */
INLINE void WINO(write_plain)(const rn_dtype type, char *p, size_t row, size_t pixel, const float *from)
{
    vec o[SIDE][SIDE];

    WINO(dst_back_2d)(from, NR, o);
    UNROLL
    for (int i = 0; i < OUT * OUT; i++)
        e_store(type, p + (size_t)(i / OUT) * row + (size_t)(i % OUT) * pixel, o[i / OUT][i % OUT], VL);
}

INLINE void WINO(write)(const rn_dtype type, const rn_wino_grid *g, void *tensor, int c0, int c1, size_t t0, size_t t1,
                        const float *from, bool add, const rn_wino_finish *finish)
{
    const size_t one = (size_t)g->c * e_size(type), row = one * (size_t)g->w;
    char *pixel[OUT * OUT];

    for (size_t t = t0; t < t1; t++, from += M_TILE) {
        const bool plain = !finish && !add && tile_inside(g, t, OUT);
        tile_pixels(g, t, OUT, tensor, e_size(type), pixel);
        for (int c = 0; c < c1 - c0; c += VL) {
            const int n = c1 - c0 - c;
            if (n >= VL && plain)
                WINO(write_plain)(type, pixel[0] + (size_t)(c0 + c) * e_size(type), row, one, from + c);
            else if (n >= VL)
                WINO(write_vector)(type, finish, tensor, pixel, c0, c, VL, from + c, add);
            else
                WINO(write_vector)(type, finish, tensor, pixel, c0, c, n, from + c, add);
        }
    }
}

/* ---- weights -------------------------------------------------------------------------------------------------------- */

/* The taps of rows k and k + 1 of a panel, VL columns of them, transformed: to their place, by way of cells where there are any. n:
 * how many of the two there are. */
INLINE void WINO(put_taps)(vec (*taps)[9], int n, const rn_wino_pack *to, size_t k, int column)
{
    float two[2 * FREQS * VL] __attribute__((aligned(64)));

    if (to->cells) {
        WINO(wei_2d)(taps[0], two, VL);
        if (n > 1)
            WINO(wei_2d)(taps[1], two + FREQS * VL, VL);
        to->cells(two, n > 1 ? two + FREQS * VL : NULL, FREQS, to->to + k / 2 * NR + column, to->freq, to->past);
        return;
    }
    for (int i = 0; i < n; i++) {
        float *at = to->to + (k + (size_t)i) * NR + column;
        if (to->past)
            WINO(wei_2d_past)(taps[i], at, to->freq);
        else
            WINO(wei_2d)(taps[i], at, to->freq);
    }
}

/* Read along input channels, used across: VL of them at a time. */
INLINE void WINO(pack_fwd)(const rn_dtype type, const void *wei, int ic, int c0, int c1, int k0, int k1,
                           const rn_wino_pack *to)
{
    const size_t pixel = (size_t)ic * e_size(type);

    for (int k = k0; k < k1; k += VL) {
        const int kn = k1 - k < VL ? k1 - k : VL;
        vec across[2][VL][9];
        for (int half = 0; half < 2; half++) {
            const int left = c1 - c0 - half * VL, n = left < 0 ? 0 : left < VL ? left : VL;
            const char *w = (const char *)wei + (size_t)k * e_size(type);
            if (n)
                w += (size_t)(c0 + half * VL) * 9 * pixel;
            if (n == VL && kn == VL)
                taps_across(type, w, 9 * pixel, pixel, VL, VL, across[half]);
            else
                taps_across(type, w, 9 * pixel, pixel, n, kn, across[half]);
        }
        for (int i = 0; i < kn; i += 2) {
            for (int half = 0; half < 2; half++)
                WINO(put_taps)(across[half] + i, kn - i < 2 ? kn - i : 2, to, (size_t)(k + i), half * VL);
        }
    }
    v_store_end();
}

INLINE void WINO(pack_bwd_d)(const rn_dtype type, const void *wei, int ic, int c0, int c1, int k0, int k1,
                             const rn_wino_pack *to)
{
    for (int k = k0; k < k1; k += 2) {
        const int kn = k1 - k < 2 ? k1 - k : 2;
        for (int c = 0; c < NR; c += VL) {
            const int n = c1 - c0 - c < 0 ? 0 : c1 - c0 - c;
            vec taps[2][9];
            for (int i = 0; i < kn; i++) {
                for (int r = 0; r < 9; r++) {
                    const size_t row = ((size_t)(k + i) * 9 + 8 - (size_t)r) * (size_t)ic + (size_t)c0;
                    taps[i][r] = e_load(type, (const char *)wei + (row + (size_t)(n ? c : 0)) * e_size(type), n);
                }
            }
            WINO(put_taps)(taps, kn, to, (size_t)k, c);
        }
    }
    v_store_end();
}

static void WINO(write_wei)(float *wei, int ic, int o, int c0, int c1, const float *from, size_t freq, bool add)
{
    for (int c = c0; c < c1; c += VL) {
        const int n = c1 - c < VL ? c1 - c : VL;
        vec w[SIDE][SIDE];
        WINO(wei_back_2d)(from + (c - c0), freq, w);
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
                                       const float *from, bool add, const rn_wino_finish *finish)                      \
    {                                                                                                                  \
        WINO(write)(type, g, tensor, c0, c1, t0, t1, from, add, finish);                                               \
    }                                                                                                                  \
    static void WINO(pack_fwd_##name)(const void *wei, int ic, int c0, int c1, int k0, int k1, const rn_wino_pack *to) \
    {                                                                                                                  \
        WINO(pack_fwd)(type, wei, ic, c0, c1, k0, k1, to);                                                             \
    }                                                                                                                  \
    static void WINO(pack_bwd_d_##name)(const void *wei, int ic, int c0, int c1, int k0, int k1,                       \
                                        const rn_wino_pack *to)                                                        \
    {                                                                                                                  \
        WINO(pack_bwd_d)(type, wei, ic, c0, c1, k0, k1, to);                                                           \
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
    .m_tile = M_TILE,
    .product_rows = product_rows,
    .product_cols = product_cols,
    .write_wei = WINO(write_wei),
    .io = {[RN_F32] = WINO_IO_OF(f32), [RN_BF16] = WINO_IO_OF(bf16)},
};

#undef WINO_JOIN_
#undef WINO_JOIN
#undef WINO
#undef WINO_2D
#undef WINO_BACK
#undef PARTS
#undef PART_AT
#undef PART_LEN
#undef WINO_IO
#undef WINO_IO_OF
#undef SIDE
#undef FREQS
#undef M_TILE
