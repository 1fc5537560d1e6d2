/* SPDX-License-Identifier: MIT */
/*
 * Activations two registers of f32 at a time, included by cpu_ops_kern_impl.h only.
 *
 * In bf16 a register of 16-bit values is taken apart into its even and its odd ones, which is a shift and a mask: both
 * are f32 then, in an order of their own. Vectors per channel that meet them are brought into that order once (to_lanes), sums
 * are brought back from it at the end (from_lanes).
 */

enum { VLEN = CPU_VEC_BYTES / 4, PAIR = 2 * VLEN };

typedef float vec __attribute__((vector_size(CPU_VEC_BYTES)));
typedef uint32_t bits __attribute__((vector_size(CPU_VEC_BYTES)));
typedef int32_t mask __attribute__((vector_size(CPU_VEC_BYTES)));

INLINE vec load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* PAIR values. */
typedef struct two {
    vec a, b;
} two;

INLINE two load_two(const float *p)
{
    return (two){load(p), load(p + VLEN)};
}
INLINE void store_two(float *p, two v)
{
    memcpy(p, &v.a, sizeof v.a);
    memcpy(p + VLEN, &v.b, sizeof v.b);
}

#if defined(CPU_OPS_BF16)
/* Nearest, ties to even; a NaN stays one: rn_bf16_of_f32, with the 16 bits left where they are. */
INLINE bits rounded(vec v)
{
    const bits u = (bits)v, nan = (bits)(v != v); /* NOLINT(misc-redundant-expression): what a NaN is */
    return ((u + 0x7fff + (u >> 16 & 1)) & ~nan) | ((u | 0x400000) & nan);
}
INLINE two get_pair(const act *p)
{
    bits u;
    memcpy(&u, p, sizeof u);
    return (two){(vec)(u << 16), (vec)(u & 0xffff0000)};
}
INLINE void put_pair(act *p, two v)
{
    const bits u = rounded(v.a) >> 16 | (rounded(v.b) & 0xffff0000);
    memcpy(p, &u, sizeof u);
}
/* A pair of a vector per channel into that order, and sums back out of it. */
INLINE void pair_to_lanes(const float *v, float *out)
{
#pragma omp simd
    for (int i = 0; i < VLEN; i++) {
        out[i] = v[2 * i];
        out[VLEN + i] = v[2 * i + 1];
    }
}
INLINE void pair_from_lanes(const double *v, double *out)
{
#pragma omp simd
    for (int i = 0; i < VLEN; i++) {
        out[2 * i] = v[i];
        out[2 * i + 1] = v[VLEN + i];
    }
}
#else
INLINE two get_pair(const act *p)
{
    float t[PAIR];
#pragma omp simd
    for (int i = 0; i < PAIR; i++)
        t[i] = get(p[i]);
    return load_two(t);
}
INLINE void put_pair(act *p, two v)
{
    float t[PAIR];
    store_two(t, v);
#pragma omp simd
    for (int i = 0; i < PAIR; i++)
        p[i] = put(t[i]);
}
INLINE void pair_to_lanes(const float *v, float *out)
{
    memcpy(out, v, PAIR * sizeof *out);
}
INLINE void pair_from_lanes(const double *v, double *out)
{
    memcpy(out, v, PAIR * sizeof *out);
}
#endif

/* The same of n <= PAIR values; get: 0 beyond. n is a constant where it matters. */
INLINE two get_some(const act *p, const int n)
{
    act t[PAIR] = {0};
    if (n == PAIR)
        return get_pair(p);
    memcpy(t, p, (size_t)n * sizeof *t);
    return get_pair(t);
}
INLINE void put_some(act *p, two v, const int n)
{
    act t[PAIR];
    if (n == PAIR) {
        put_pair(p, v);
        return;
    }
    put_pair(t, v);
    memcpy(p, t, (size_t)n * sizeof *t);
}

/*
 * Past the caches, for what is larger than they are: a line that is written in whole is then not read first, and drives out
 * nothing that is read next. Only at addresses that are whole registers apart from 0; put_past_end() before others read it.
 */
INLINE void put_past(act *p, two v)
{
    enum { PARTS = PAIR * sizeof(act) / CPU_VEC_BYTES };
    act t[PAIR];
    bits u[PARTS];
    put_pair(t, v);
    memcpy(u, t, sizeof u);
    for (size_t i = 0; i < PARTS; i++) {
#if CPU_VEC_BYTES == 64
        _mm512_stream_si512((__m512i *)p + i, (__m512i)u[i]);
#elif CPU_VEC_BYTES == 32
        _mm256_stream_si256((__m256i *)p + i, (__m256i)u[i]);
#elif defined(__SSE2__)
        _mm_stream_si128((__m128i *)p + i, (__m128i)u[i]);
#else
        memcpy((bits *)p + i, &u[i], sizeof u[i]);
#endif
    }
}
INLINE void put_either(act *p, two v, const int n, bool past)
{
    if (n == PAIR && past)
        put_past(p, v);
    else
        put_some(p, v, n);
}
INLINE void put_past_end(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}
/* True where rows of `ld` values from p on are whole registers apart from 0. */
INLINE bool can_put_past(const act *p, int64_t ld)
{
    return (uintptr_t)p % CPU_VEC_BYTES == 0 && ld % PAIR == 0;
}

/* Whole pairs that hold n values. */
INLINE int in_pairs(int n)
{
    return (n + PAIR - 1) / PAIR * PAIR;
}

/* n values of a vector per channel in the lanes' order; 0 up to a whole pair. */
INLINE void to_lanes(const float *v, int n, float *out)
{
    float last[PAIR] = {0};
    int i = 0;
    for (; i + PAIR <= n; i += PAIR)
        pair_to_lanes(v + i, out + i);
    if (i < n) {
        memcpy(last, v + i, (size_t)(n - i) * sizeof *last);
        pair_to_lanes(last, out + i);
    }
}
/* n values out of sums in the lanes' order. */
INLINE void from_lanes(const double *v, int n, double *out)
{
    double last[PAIR];
    int i = 0;
    for (; i + PAIR <= n; i += PAIR)
        pair_from_lanes(v + i, out + i);
    if (i < n) {
        pair_from_lanes(v + i, last);
        memcpy(out + i, last, (size_t)(n - i) * sizeof *last);
    }
}

INLINE two two_add(two x, two y)
{
    return (two){x.a + y.a, x.b + y.b};
}
INLINE two two_sub(two x, two y)
{
    return (two){x.a - y.a, x.b - y.b};
}
INLINE two two_mul(two x, two y)
{
    return (two){x.a * y.a, x.b * y.b};
}
/* x * y + z */
INLINE two two_fma(two x, two y, two z)
{
    return (two){x.a * y.a + z.a, x.b * y.b + z.b};
}
/* max(., 0), but a NaN stays one. */
INLINE two two_relu(two x)
{
    return (two){(vec)((mask)x.a & ~(x.a < 0)), (vec)((mask)x.b & ~(x.b < 0))};
}
/* x where y > 0, else 0. */
INLINE two two_gate(two x, two y)
{
    return (two){(vec)((mask)x.a & (y.a > 0)), (vec)((mask)x.b & (y.b > 0))};
}

/* A bit a lane, a's first. */
#if CPU_VEC_BYTES == 64
typedef uint32_t signs;
#elif CPU_VEC_BYTES == 32
typedef uint16_t signs;
#else
typedef uint8_t signs;
#endif
INLINE signs lane_bits(mask m)
{
#if CPU_VEC_BYTES == 64
    return _mm512_test_epi32_mask((__m512i)m, (__m512i)m);
#elif CPU_VEC_BYTES == 32
    return (signs)_mm256_movemask_ps((__m256)m);
#elif defined(__SSE2__)
    return (signs)_mm_movemask_ps((__m128)m);
#else
    signs s = 0;
    for (int i = 0; i < VLEN; i++)
        s |= (signs)((m[i] & 1) << i);
    return s;
#endif
}
INLINE vec where_bits(vec x, signs s)
{
#if CPU_VEC_BYTES == 64
    return (vec)_mm512_maskz_mov_ps((__mmask16)s, (__m512)x);
#elif CPU_VEC_BYTES == 32
    const bits lane = {1, 2, 4, 8, 16, 32, 64, 128};
    return (vec)((mask)x & ((lane & s) != 0));
#else
    const bits lane = {1, 2, 4, 8};
    return (vec)((mask)x & ((lane & s) != 0));
#endif
}
/* Where y > 0, to keep; and x there, else 0: two_gate in two steps. */
INLINE signs two_above(two y)
{
    return (signs)(lane_bits(y.a > 0) | lane_bits(y.b > 0) << VLEN);
}
INLINE two two_where(two x, signs s)
{
    return (two){where_bits(x.a, s), where_bits(x.b, (signs)(s >> VLEN))};
}
