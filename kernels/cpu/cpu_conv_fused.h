/* SPDX-License-Identifier: MIT */
/*
 * Fused work of cpu:im2col, compiled with cpu_conv_gather.h, which includes it, for each instruction set and type: values
 * changed while they are gathered, and what becomes of finished rows of the output. Beside that file's words it uses
 *   v_mad(a, b, c)      a * b + c of f32
 *   v_sub(a, b)
 *   v_max(a, b)         b where either is a NaN
 *   v_gate(z, v)        v where z > 0, else 0
 *   w_load(p)           VL of ELEM as f32, w_load_n(p, n) the first n of them and zeros
 *   w_pack(v0, v1)      with PER 2: 2 VL numbers of f32 as GL of PART, rounded
 *   w_round(v)          with PER 1: f32 rounded to ELEM's type, as f32
 * No include guard: once for each type.
 */

/* GL values through `f`, n of them in the tensor. other: where a second tensor's values are; q: the column of the first. */
INLINE vec TYPED(read_vec)(const rn_conv_read *f, const ELEM *from, const ELEM *other, int q, int n)
{
    vec v = v_mad(n < VL ? w_load_n(from, n) : w_load(from), v_load(f->mul + q), v_load(f->add + q));

    if (other)
        v = v_mad(n < VL ? w_load_n(other, n) : w_load(other), v_load(f->by + q), v);
    return v_max(v_set1(f->floor), v);
}

#if PER == 1
#define READ(f, from, other, q, n) w_round(TYPED(read_vec)(f, from, other, q, n))
#else
#define READ(f, from, other, q, n)                                                                                     \
    w_pack(TYPED(read_vec)(f, from, other, q, n),                                                                      \
           TYPED(read_vec)(f, (from) + VL, (other) ? (other) + VL : NULL, (q) + VL, (n) > VL ? (n)-VL : 0))
#endif

/* copy_run through `f`. */
INLINE void TYPED(read_run)(const rn_conv_read *f, PART *to, const ELEM *from, const ELEM *other, int q, int n,
                            bool spill)
{
    int i = 0;

    for (; i + GL <= n; i += GL)
        g_store(to + i, READ(f, from + i, other ? other + i : NULL, q + i, GL));
    if (i < n && spill)
        g_store(to + i, READ(f, from + i, other ? other + i : NULL, q + i, n - i));
    else if (i < n)
        g_store_n(to + i, READ(f, from + i, other ? other + i : NULL, q + i, n - i), n - i);
}

#undef READ

static void TYPED(read_pixels)(const rn_conv_read *f, const void *from, int n, int c, void *to, ptrdiff_t pitch)
{
    const rn_conv_read r = *f;
    const ELEM *p = from, *other = r.other;
    char *out = to;

    for (int i = 0; i < n; i++, p += c, out += pitch)
        TYPED(read_run)(&r, (PART *)(void *)out, p, other ? other + (ptrdiff_t)i * c : NULL, 0, c, false);
}

static void TYPED(gate_rows)(float *const *sums, const void *const *raw, int m, int n, const float *scale,
                             const float *shift)
{
    for (int j = 0; j < n; j += VL) {
        const int part = n - j < VL ? n - j : VL;
        const vec a = v_load_n(scale + j, part), b = v_load_n(shift + j, part);
        for (int i = 0; i < m; i++) {
            const vec z = v_mad(w_load_n((const ELEM *)raw[i] + j, part), a, b);
            v_store_n(sums[i] + j, v_gate(z, v_load_n(sums[i] + j, part)), part);
        }
    }
}

/* What the values of m rows are near (cpu_sums.h). */
static vec TYPED(about)(const void *const *out, int m, int j, int part)
{
    vec four[4];

    for (int i = 0; i < 4; i++)
        four[i] = w_load_n((const ELEM *)out[rn_about_row(m, i)] + j, part);
    return v_mad(v_add(v_add(four[0], four[1]), v_add(four[2], four[3])), v_set1(0.25F), v_zero());
}

static void TYPED(sum_rows)(const void *const *out, const void *const *raw, int m, int n, const float *less,
                            double *sum, double *sumsq)
{
    float tile[3][VL];

    for (int j = 0; j < n; j += VL) {
        const int part = n - j < VL ? n - j : VL;
        const vec l = raw ? v_load_n(less + j, part) : TYPED(about)(out, m, j, part);
        vec s = v_zero(), t = v_zero();
        for (int i = 0; i < m; i++) {
            vec v = w_load_n((const ELEM *)out[i] + j, part), w;
            if (raw) {
                w = v_sub(w_load_n((const ELEM *)raw[i] + j, part), l);
            } else {
                v = v_sub(v, l);
                w = v;
            }
            s = v_add(s, v);
            t = v_mad(v, w, t);
        }
        v_store(tile[0], s);
        v_store(tile[1], t);
        v_store(tile[2], l);
        if (raw)
            rn_add_wide(part, tile[0], tile[1], sum + j, sumsq + j);
        else if (part == VL)
            rn_add_about(VL, m, tile[0], tile[1], tile[2], less + j, sum + j, sumsq + j);
        else
            rn_add_about(part, m, tile[0], tile[1], tile[2], less + j, sum + j, sumsq + j);
    }
}
