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

static void normalize_less(int w, int c, const uint8_t *src, void *to, const float *mul, const float *mean, int step)
{
    act *dst = to;
    for (int x = 0; x < w; x++, src += c, dst += c, mean += step) {
        for (int i = 0; i < c; i++)
            dst[i] = put(((float)src[i] - mean[i]) * mul[i]);
    }
}

/* Of squeezed channels, which are few: expf is nothing beside the pass over the image. */
static void sigmoid_fwd(int64_t n, const void *from, void *to)
{
    const act *x = from;
    act *y = to;
    for (int64_t i = 0; i < n; i++)
        y[i] = put(1 / (1 + expf(-get(x[i]))));
}

static void sigmoid_bwd(int64_t n, const void *out, const void *from, void *to)
{
    const act *y = out, *dy = from;
    act *dx = to;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float v = get(y[i]);
        dx[i] = put(get(dy[i]) * v * (1 - v));
    }
}

/* Blocks of Philox side by side: word w of block l is out[w][l]. rn_rng.h says how they are counted. */
enum { DROP_LANES = 64 };

INLINE void philox_lanes(const rn_rng *r, uint64_t block, uint32_t out[4][DROP_LANES])
{
    uint32_t *c0 = out[0], *c1 = out[1], *c2 = out[2], *c3 = out[3], k0 = r->key[0], k1 = r->key[1];
#pragma omp simd
    for (int i = 0; i < DROP_LANES; i++) {
        const uint64_t at = block + (uint64_t)i;
        c0[i] = (uint32_t)at;
        c1[i] = r->ctr[1] + (uint32_t)(at >> 32);
        c2[i] = r->ctr[2];
        c3[i] = r->ctr[3];
    }
    for (int round = 0; round < RN_PHILOX_ROUNDS; round++, k0 += RN_PHILOX_W0, k1 += RN_PHILOX_W1) {
#pragma omp simd
        for (int i = 0; i < DROP_LANES; i++) {
            const uint64_t p0 = (uint64_t)RN_PHILOX_M0 * c0[i], p1 = (uint64_t)RN_PHILOX_M1 * c2[i];
            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
            c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)p1;
            c3[i] = (uint32_t)p0;
        }
    }
}

/* Elements from..to-1. Element e of the whole takes word e % 4 of block e / 4. */
static void dropout(const rn_op_dropout *a, const rn_rng *r, int64_t from, int64_t to)
{
    enum { SPAN = 4 * DROP_LANES };
    const uint32_t below = (uint32_t)ceil((double)a->p * 0x1p32);
    const float keep = (float)(1 / (1 - (double)a->p));
    uint32_t word[4][DROP_LANES];
    float m[SPAN];
    const act *x = a->x;
    act *y = a->y;
    while (from < to) {
        const uint64_t e = (uint64_t)(a->first + from);
        const int skip = (int)(e % 4), n = to - from < SPAN - skip ? (int)(to - from) : SPAN - skip;
        philox_lanes(r, e / 4, word);
        for (int i = 0; i < DROP_LANES; i++)
            for (int w = 0; w < 4; w++)
                m[4 * i + w] = word[w][i] < below ? 0 : keep;
#pragma omp simd
        for (int i = 0; i < n; i++)
            y[from + i] = put(get(x[from + i]) * m[skip + i]);
        from += n;
    }
}
