/* SPDX-License-Identifier: MIT */
/* Resize: the filters, and the coefficients of one axis. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/image/rn_resize_kernels.h"

/* ---- filters: x in units of the (stretched) filter's own scale -------------------------------------------------- */

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming(double x)
{
    x = fabs(x);
    if (x == 0.0)
        return 1.0;
    if (x >= 1.0)
        return 0.0;
    x *= M_PI;
    return sin(x) / x * (0.54f + 0.46f * cos(x)); /* constants of float: part of the bits */
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0)
        return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x *= M_PI;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

static const struct {
    double (*weight)(double);
    double support;
} filters[] = {{box, 0.5}, {bilinear, 1.0}, {hamming, 1.0}, {bicubic, 2.0}, {lanczos, 3.0}};

/* ---- coefficients ------------------------------------------------------------------------------------------------ */

static int grow(void *pp, size_t *cap, size_t n, size_t size)
{
    void **p = pp;
    if (n <= *cap)
        return RN_OK;
    free(*p);
    *cap = 0;
    *p = calloc(1, n * size + RN_RESIZE_PAD);
    if (!*p)
        return rn_fail(RN_E_NOMEM, "resize: out of memory (%zu bytes)", n * size);
    *cap = n;
    return RN_OK;
}

/* Room for n outputs of `taps` taps. first and count share a block. */
static int pass_reserve(rn_pass *p, int n, int taps)
{
    p->n = n;
    p->taps = (taps + 3) & ~3;
    RN_TRY(grow(&p->first, &p->cap_n, (size_t)n, 2 * sizeof *p->first));
    p->count = p->first + p->cap_n;
    return grow(&p->k, &p->cap_k, (size_t)n * (size_t)p->taps, sizeof *p->k);
}

/* Pillow's coefficients for outputs from .. from+n-1 of in -> out; the order of the operations is part of the result.
 */
static int plan_pillow(rn_pass *p, const rn_pass_key *key)
{
    double scale = (double)key->in / key->out, filterscale = scale < 1.0 ? 1.0 : scale;
    double support = filters[key->filter].support * filterscale, ss = 1.0 / filterscale;
    double (*const weight)(double) = filters[key->filter].weight;
    RN_TRY(pass_reserve(p, key->n, (int)ceil(support) * 2 + 1));
    double *w = malloc((size_t)p->taps * sizeof *w);
    if (!w)
        return rn_fail(RN_E_NOMEM, "resize: out of memory");
    for (int i = 0; i < key->n; i++) {
        double center = ((key->flip ? key->from + key->n - 1 - i : key->from + i) + 0.5) * scale, sum = 0.0;
        int lo = (int)(center - support + 0.5), hi = (int)(center + support + 0.5);
        lo = lo < 0 ? 0 : lo;
        hi = hi > key->in ? key->in : hi;
        p->first[i] = lo;
        p->count[i] = hi - lo;
        for (int t = 0; t < hi - lo; t++) {
            w[t] = weight((t + lo - center + 0.5) * ss);
            sum += w[t];
        }
        int32_t *k = p->k + (size_t)i * (size_t)p->taps;
        memset(k, 0, (size_t)p->taps * sizeof *k);
        for (int t = 0; t < hi - lo; t++) {
            double v = (sum != 0.0 ? w[t] / sum : w[t]) * (1 << RN_RESIZE_BITS);
            k[t] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
        }
    }
    free(w);
    return RN_OK;
}

/*
 * OpenCV's two taps, with fractions in float. Horizontally the fraction is dropped at the ends; vertically it stays and
 * the rows are clamped, which comes to another rounding.
 */
static int plan_opencv(rn_pass *p, const rn_pass_key *key)
{
    const int in = key->in;
    double scale = 1.0 / ((double)key->out / in);
    RN_TRY(pass_reserve(p, key->n, 2));
    for (int i = 0; i < key->n; i++) {
        int o = key->flip ? key->from + key->n - 1 - i : key->from + i;
        float f = (float)((o + 0.5) * scale - 0.5);
        int s = (int)floorf(f);
        f -= (float)s;
        if (!key->vertical && s < 0)
            s = 0, f = 0;
        if (!key->vertical && s >= in - 1)
            s = in - 1, f = 0;
        int a = s < 0 ? 0 : s > in - 1 ? in - 1 : s, b = s + 1 > in - 1 ? in - 1 : s + 1;
        p->first[i] = a;
        p->count[i] = b - a + 1;
        /* one row twice (count 1): both taps read it */
        p->k[(size_t)i * (size_t)p->taps] = (int32_t)lrintf((1.f - f) * (1 << RN_RESIZE_CV_BITS));
        p->k[(size_t)i * (size_t)p->taps + 1] = (int32_t)lrintf(f * (1 << RN_RESIZE_CV_BITS));
    }
    return RN_OK;
}

/* Makes `first` count from the first pixel needed, and notes which pixels are. */
static void rebase(rn_pass *p)
{
    int lo = p->first[0], hi = 0;
    p->most = 0;
    for (int i = 0; i < p->n; i++) {
        lo = p->first[i] < lo ? p->first[i] : lo;
        hi = p->first[i] + p->count[i] > hi ? p->first[i] + p->count[i] : hi;
        p->most = p->count[i] > p->most ? p->count[i] : p->most;
    }
    for (int i = 0; i < p->n; i++)
        p->first[i] -= lo;
    p->from = lo;
    p->in_n = hi - lo;
}

bool rn_pass_is(const rn_pass *p, const rn_pass_key *b)
{
    const rn_pass_key *a = &p->key;
    return p->used && a->filter == b->filter && a->in == b->in && a->out == b->out && a->from == b->from &&
           a->n == b->n && a->flip == b->flip && a->vertical == b->vertical;
}

int rn_pass_plan(rn_pass *p, const rn_pass_key *key)
{
    if (rn_pass_is(p, key))
        return RN_OK;
    p->used = 0;
    p->form = RN_FORM_NONE;
    p->form_c = -1;
    RN_TRY(key->filter == RN_FILTER_OPENCV_LINEAR ? plan_opencv(p, key) : plan_pillow(p, key));
    rebase(p);
    p->key = *key;
    return RN_OK;
}

void rn_pass_free(rn_pass *p)
{
    free(p->first);
    free(p->k);
    free(p->block);
    memset(p, 0, sizeof *p);
}

/* ---- coefficients for the vectors --------------------------------------------------------------------------------- */

/* Can neighbouring outputs share a vector: does all that a block of them reads for one group lie in 64 bytes? */
static bool blocks_fit(const rn_pass *p, int c)
{
    int per = rn_resize_lanes(c);
    for (int i = 0; i < p->n; i += per) {
        int last = i + per < p->n ? i + per - 1 : p->n - 1;
        if ((abs(p->first[last] - p->first[i]) + 4) * c > 64)
            return false;
    }
    return true;
}

static enum rn_pass_form choose(const rn_pass *p, rn_isa isa, int c)
{
    if (isa == RN_ISA_PORTABLE)
        return RN_FORM_NONE;
    if (p->key.filter == RN_FILTER_OPENCV_LINEAR)
        return c ? RN_FORM_PAIRS : RN_FORM_NONE; /* its vertical step takes k as it is */
    if (isa == RN_ISA_AVX2)
        return RN_FORM_WORDS;
    return !c || p->fits ? RN_FORM_BYTES : RN_FORM_WIDE;
}

/* The place of tap t of output i in the arrays of a form. */
static size_t place(const rn_pass *p, int i, int t)
{
    size_t g = (size_t)t / 4, at = (size_t)t % 4;
    if (p->form == RN_FORM_WIDE)
        return ((size_t)i * (size_t)p->groups + g) * 4 + at;
    return (g * (size_t)p->n + (size_t)i) * 4 + at;
}

/* False when one does not fit, which no filter here comes near: the portable code will do it. */
static bool split_words(rn_pass *p)
{
    for (int i = 0; i < p->n; i++)
        for (int t = 0; t < p->most; t++) {
            int32_t k = p->k[(size_t)i * (size_t)p->taps + (size_t)t], high = k >> RN_RESIZE_LOW_BITS;
            size_t at = place(p, i, t);
            if (high != (int16_t)high)
                return false;
            p->low[at] = (int16_t)(k & ((1 << RN_RESIZE_LOW_BITS) - 1));
            p->high[at] = (int16_t)high;
        }
    return true;
}

static bool split_bytes(rn_pass *p)
{
    for (int i = 0; i < p->n; i++)
        for (int t = 0; t < p->most; t++) {
            int32_t k = p->k[(size_t)i * (size_t)p->taps + (size_t)t];
            size_t at = place(p, i, t);
            int8_t d0 = (int8_t)k;
            k = (k - d0) >> 8;
            int8_t d1 = (int8_t)k;
            k = (k - d1) >> 8;
            if (k != (int8_t)k)
                return false;
            p->d[0][at] = d0;
            p->d[1][at] = d1;
            p->d[2][at] = (int8_t)k;
        }
    return true;
}

static void join_pairs(rn_pass *p)
{
    for (int i = 0; i < p->n; i++) {
        const int32_t *k = p->k + (size_t)i * (size_t)p->taps;
        bool two = p->count[i] > 1;
        p->pairs[(size_t)2 * (size_t)i] = (int16_t)(two ? k[0] : k[0] + k[1]);
        p->pairs[(size_t)2 * (size_t)i + 1] = (int16_t)(two ? k[1] : 0);
    }
}

int rn_pass_prepare(rn_pass *p, rn_isa isa, int c)
{
    if (p->form_c == c)
        return RN_OK;
    p->fits = isa == RN_ISA_AVX512 && c && blocks_fit(p, c);
    p->form = choose(p, isa, c);
    p->groups = (p->most + 3) / 4;
    if (p->form == RN_FORM_WIDE) /* whole vectors: of 16 taps of 3 channels, or 64 of one */
        p->groups = c == 3 ? (p->groups + 3) & ~3 : (p->groups + 15) & ~15;
    size_t n = (size_t)p->n * (size_t)p->groups * 4;
    if (p->form != RN_FORM_NONE) {
        RN_TRY(grow(&p->block, &p->cap_block, 4 * n + (size_t)4 * RN_RESIZE_PAD, 1));
        memset(p->block, 0, 4 * n + (size_t)4 * RN_RESIZE_PAD);
    }
    bool fits = true;
    if (p->form == RN_FORM_WORDS) {
        p->low = (int16_t *)p->block;
        p->high = p->low + n + RN_RESIZE_PAD / 2;
        fits = split_words(p);
    } else if (p->form == RN_FORM_BYTES || p->form == RN_FORM_WIDE) {
        for (int i = 0; i < 3; i++)
            p->d[i] = (int8_t *)p->block + (size_t)i * (n + RN_RESIZE_PAD);
        fits = split_bytes(p);
    } else if (p->form == RN_FORM_PAIRS) {
        p->pairs = (int16_t *)p->block;
        join_pairs(p);
    }
    p->form = fits ? p->form : RN_FORM_NONE;
    p->form_c = c;
    return RN_OK;
}
