/* SPDX-License-Identifier: MIT */
/*
 * Small matrix products for the classifier, included by cpu_ops_kern_impl.h only. Four rows by VCOLS vectors of sums
 * stay in registers: sixteen on AVX-512, eight where there are sixteen registers in all.
 */

enum { VROWS = 4, VCOLS = CPU_VEC_BYTES == 64 ? 4 : 2 };

INLINE float lanes_sum(vec v)
{
    float sum = 0;
    for (int i = 0; i < VLEN; i++)
        sum += v[i];
    return sum;
}

/* ni rows of x by nj rows of w: dot products over ic. */
INLINE void dots(const int ni, const int nj, int ic, const float *x, const float *w, const float *b, float *y,
                 int64_t ldy)
{
    vec acc[VROWS][VCOLS];
    memset(acc, 0, sizeof acc);
    int k = 0;
    for (; k + VLEN <= ic; k += VLEN) {
        vec wv[VCOLS];
        for (int j = 0; j < nj; j++)
            wv[j] = load(w + (int64_t)j * ic + k);
        for (int i = 0; i < ni; i++) {
            const vec xv = load(x + (int64_t)i * ic + k);
            for (int j = 0; j < nj; j++)
                acc[i][j] += xv * wv[j];
        }
    }
    for (int i = 0; i < ni; i++)
        for (int j = 0; j < nj; j++) {
            float sum = lanes_sum(acc[i][j]);
            for (int t = k; t < ic; t++)
                sum += x[(int64_t)i * ic + t] * w[(int64_t)j * ic + t];
            y[i * ldy + j] = b ? sum + b[j] : sum;
        }
}

static void linear_fwd(int mb, int oc, int ic, const float *x, const float *w, const float *b, float *y, int64_t ldy)
{
    for (int j = 0; j < oc; j += VCOLS) {
        const float *wj = w + (int64_t)j * ic, *bj = b ? b + j : NULL;
        int i = 0;
        for (; i + VROWS <= mb && j + VCOLS <= oc; i += VROWS)
            dots(VROWS, VCOLS, ic, x + (int64_t)i * ic, wj, bj, y + i * ldy + j, ldy);
        for (; i < mb; i++)
            for (int t = 0; t < VCOLS && j + t < oc; t++)
                dots(1, 1, ic, x + (int64_t)i * ic, wj + (int64_t)t * ic, bj ? bj + t : NULL, y + i * ldy + j + t, ldy);
    }
}

/* ni rows by nv vectors of C. */
INLINE void tile(const cpu_gemm_small *g, int i, int j, const int ni, const int nv)
{
    vec acc[VROWS][VCOLS];
    memset(acc, 0, sizeof acc);
    const float *a = g->a + i * g->a_i, *b = g->b + j;
    for (int k = 0; k < g->depth; k++, a += g->a_k, b += g->ldb) {
        vec bv[VCOLS];
        for (int v = 0; v < nv; v++)
            bv[v] = load(b + v * VLEN);
        for (int r = 0; r < ni; r++) {
            const vec av = a[r * g->a_i] - (vec){0};
            for (int v = 0; v < nv; v++)
                acc[r][v] += av * bv[v];
        }
    }
    for (int r = 0; r < ni; r++)
        for (int v = 0; v < nv; v++) {
            float *c = g->c + (i + r) * g->ldc + j + v * VLEN;
            if (g->add)
                acc[r][v] += load(c);
            memcpy(c, &acc[r][v], sizeof(vec));
        }
}

static void gemm_small(const cpu_gemm_small *g)
{
    int i = 0;
    for (; i < g->rows; i += g->rows - i >= VROWS ? VROWS : 1) {
        const bool four = g->rows - i >= VROWS;
        int j = 0;
        for (; j + VCOLS * VLEN <= g->cols; j += VCOLS * VLEN) {
            if (four)
                tile(g, i, j, VROWS, VCOLS);
            else
                tile(g, i, j, 1, VCOLS);
        }
        for (; j + VLEN <= g->cols; j += VLEN) {
            if (four)
                tile(g, i, j, VROWS, 1);
            else
                tile(g, i, j, 1, 1);
        }
        for (; j < g->cols; j++)
            for (int r = 0; r < (four ? VROWS : 1); r++) {
                float sum = 0;
                for (int k = 0; k < g->depth; k++)
                    sum += g->a[k * g->a_k + (i + r) * g->a_i] * g->b[k * g->ldb + j];
                float *c = g->c + (i + r) * g->ldc + j;
                *c = g->add ? *c + sum : sum;
            }
    }
}
