/* SPDX-License-Identifier: MIT */
/* Resize: plans (coefficients for both axes), the portable passes, geometry. */
#include "data/rn_resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/rn_resize_kernels.h"

const char *const rn_filter_names[RN_FILTER_COUNT + 1] = {"box",     "bilinear",      "hamming", "bicubic",
                                                          "lanczos", "opencv-linear", NULL};

struct rn_resizer {
    bool portable, avx2;
    enum rn_filter filter;
    bool planned;
    bool same_x, same_y; /* that pass would copy */
    bool vertical_first; /* Pillow's order of the two passes, which rounding in between makes part of the result */
    bool half;           /* OpenCV's 2:1 */
    rn_rect window, need;
    bool flip;
    rn_pass x, y;
    uint8_t *rows; /* between the passes: (need.h, window.w, channels) or (window.h, need.w, channels) */
    size_t cap_rows;
    int32_t *lines; /* OpenCV's two horizontal lines */
    size_t cap_lines;
};

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
    return sin(x) / x * (0.54 + 0.46 * cos(x));
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

/* ---- passes --------------------------------------------------------------------------------------------------- */

static int grow(void *pp, size_t *cap, size_t n, size_t size)
{
    void **p = pp;
    if (n <= *cap)
        return RN_OK;
    free(*p);
    *cap = 0;
    *p = calloc(n, size);
    if (!*p)
        return rn_fail(RN_E_NOMEM, "resize: out of memory (%zu bytes)", n * size);
    *cap = n;
    return RN_OK;
}

/* Room for n outputs of `taps` taps. Arrays that grow together share a block. */
static int pass_reserve(rn_pass *p, int n, int taps)
{
    p->n = n;
    p->taps = (taps + 3) & ~3;
    RN_TRY(grow(&p->w, &p->cap_w, (size_t)p->taps, sizeof *p->w));
    RN_TRY(grow(&p->first, &p->cap_n, (size_t)n, 2 * sizeof *p->first));
    p->count = p->first + p->cap_n;
    RN_TRY(grow(&p->k, &p->cap_k, (size_t)n * (size_t)p->taps, 2 * sizeof *p->k));
    p->low = (int16_t *)(p->k + p->cap_k);
    p->high = p->low + p->cap_k;
    return RN_OK;
}

static void pass_free(rn_pass *p)
{
    free(p->first);
    free(p->k);
    free(p->w);
}

/* Makes `first` count from the first pixel needed, and tells which pixels are. */
static void pass_rebase(rn_pass *p, int *from, int *n)
{
    int lo = p->first[0], hi = 0;
    for (int i = 0; i < p->n; i++) {
        lo = p->first[i] < lo ? p->first[i] : lo;
        hi = p->first[i] + p->count[i] > hi ? p->first[i] + p->count[i] : hi;
    }
    for (int i = 0; i < p->n; i++)
        p->first[i] -= lo;
    *from = lo;
    *n = hi - lo;
}

static void set_tap(rn_pass *p, int i, int t, int32_t k)
{
    size_t at = (size_t)i * (size_t)p->taps + (size_t)t;
    p->k[at] = k;
    p->low[at] = (int16_t)(k & ((1 << RN_RESIZE_LOW_BITS) - 1));
    p->high[at] = (int16_t)(k >> RN_RESIZE_LOW_BITS);
}

/* Pillow's coefficients for outputs from .. from+n-1 of in -> out; the order of the operations is part of the result.
 */
static int plan_pillow(rn_pass *p, enum rn_filter filter, int in, int out, int from, int n, bool flip)
{
    double scale = (double)in / out, filterscale = scale < 1.0 ? 1.0 : scale;
    double support = filters[filter].support * filterscale, ss = 1.0 / filterscale;
    RN_TRY(pass_reserve(p, n, (int)ceil(support) * 2 + 1));
    for (int i = 0; i < n; i++) {
        double center = ((flip ? from + n - 1 - i : from + i) + 0.5) * scale, sum = 0.0;
        int lo = (int)(center - support + 0.5), hi = (int)(center + support + 0.5);
        lo = lo < 0 ? 0 : lo;
        hi = hi > in ? in : hi;
        p->first[i] = lo;
        p->count[i] = hi - lo;
        for (int t = 0; t < hi - lo; t++) {
            p->w[t] = filters[filter].weight((t + lo - center + 0.5) * ss);
            sum += p->w[t];
        }
        for (int t = 0; t < p->taps; t++) {
            double w = t < hi - lo ? p->w[t] : 0.0;
            if (sum != 0.0)
                w /= sum;
            w *= 1 << RN_RESIZE_BITS;
            set_tap(p, i, t, (int32_t)(w < 0 ? w - 0.5 : w + 0.5));
        }
    }
    return RN_OK;
}

/*
 * OpenCV's two taps, with fractions in float. Horizontally the fraction is dropped at the ends; vertically it stays and
 * the rows are clamped, which comes to another rounding: hence `clamp_rows`.
 */
static int plan_opencv(rn_pass *p, int in, int out, int from, int n, bool flip, bool clamp_rows)
{
    double scale = 1.0 / ((double)out / in);
    RN_TRY(pass_reserve(p, n, 2));
    for (int i = 0; i < n; i++) {
        int o = flip ? from + n - 1 - i : from + i;
        float f = (float)((o + 0.5) * scale - 0.5);
        int s = (int)floorf(f);
        f -= (float)s;
        if (!clamp_rows && s < 0)
            s = 0, f = 0;
        if (!clamp_rows && s >= in - 1)
            s = in - 1, f = 0;
        int a = s < 0 ? 0 : s > in - 1 ? in - 1 : s, b = s + 1 > in - 1 ? in - 1 : s + 1;
        p->first[i] = a;
        p->count[i] = b - a + 1;
        /* one row twice (count 1): both taps read it */
        p->k[(size_t)i * (size_t)p->taps] = (int32_t)lrintf((1.f - f) * 2048.f);
        p->k[(size_t)i * (size_t)p->taps + 1] = (int32_t)lrintf(f * 2048.f);
    }
    return RN_OK;
}

void rn_resize_row_h_ref(const rn_pass *p, const uint8_t *src, int c, uint8_t *dst)
{
    for (int i = 0; i < p->n; i++) {
        const int32_t *k = p->k + (size_t)i * (size_t)p->taps;
        const uint8_t *s = src + (size_t)p->first[i] * (size_t)c;
        for (int ch = 0; ch < c; ch++) {
            int32_t acc = 1 << (RN_RESIZE_BITS - 1);
            for (int t = 0; t < p->count[i]; t++)
                acc += k[t] * s[t * c + ch];
            acc >>= RN_RESIZE_BITS;
            *dst++ = (uint8_t)(acc < 0 ? 0 : acc > 255 ? 255 : acc);
        }
    }
}

void rn_resize_row_v_ref(const rn_pass *p, int i, const uint8_t *src, size_t stride, int n, uint8_t *dst)
{
    const int32_t *k = p->k + (size_t)i * (size_t)p->taps;
    const uint8_t *s = src + (size_t)p->first[i] * stride;
    for (int b = 0; b < n; b++) {
        int32_t acc = 1 << (RN_RESIZE_BITS - 1);
        for (int t = 0; t < p->count[i]; t++)
            acc += k[t] * s[(size_t)t * stride + (size_t)b];
        acc >>= RN_RESIZE_BITS;
        dst[b] = (uint8_t)(acc < 0 ? 0 : acc > 255 ? 255 : acc);
    }
}

/* ---- plan and run --------------------------------------------------------------------------------------------- */

int rn_resizer_open(rn_resizer **out)
{
    rn_resizer *rs = *out = calloc(1, sizeof *rs);
    if (!rs)
        return rn_fail(RN_E_NOMEM, "resizer: out of memory");
#if defined(__x86_64__)
    rs->avx2 = __builtin_cpu_supports("avx2");
#endif
    return RN_OK;
}

void rn_resizer_close(rn_resizer *rs)
{
    if (!rs)
        return;
    pass_free(&rs->x);
    pass_free(&rs->y);
    free(rs->rows);
    free(rs->lines);
    free(rs);
}

void rn_resizer_portable(rn_resizer *rs, bool on)
{
    rs->portable = on;
}

static int check_plan(enum rn_filter filter, const int size[4], const rn_rect *win)
{
    if ((unsigned)filter >= RN_FILTER_COUNT)
        return rn_fail(RN_E_RANGE, "resize: unknown filter %d", (int)filter);
    for (int i = 0; i < 4; i++) {
        int most = i < 2 ? RN_RESIZE_MAX_IN : RN_RESIZE_MAX_OUT;
        if (size[i] < 1 || size[i] > most)
            return rn_fail(RN_E_RANGE, "resize: %d x %d to %d x %d; sides of 1 to %d to sides of 1 to %d are possible",
                           size[0], size[1], size[2], size[3], RN_RESIZE_MAX_IN, RN_RESIZE_MAX_OUT);
    }
    if (win->x < 0 || win->y < 0 || win->w < 1 || win->h < 1 || win->x > size[2] - win->w || win->y > size[3] - win->h)
        return rn_fail(RN_E_RANGE, "resize: window %d,%d %d x %d does not lie inside %d x %d", win->x, win->y, win->w,
                       win->h, size[2], size[3]);
    return RN_OK;
}

int rn_resizer_plan(rn_resizer *rs, enum rn_filter filter, int in_w, int in_h, int out_w, int out_h,
                    const rn_rect *window, bool flip, rn_rect *need)
{
    rn_rect all = {0, 0, out_w, out_h}, *n = &rs->need;
    const rn_rect *win = window ? window : &all;
    rs->planned = false;
    RN_TRY(check_plan(filter, (const int[]){in_w, in_h, out_w, out_h}, win));
    rs->filter = filter;
    rs->window = *win;
    rs->flip = flip;
    rs->same_x = in_w == out_w;
    rs->same_y = in_h == out_h;
    rs->vertical_first = out_h < in_h && in_h - out_h > 2 * (in_w - out_w);
    rs->half = filter == RN_FILTER_OPENCV_LINEAR && in_w == 2 * out_w && in_h == 2 * out_h;
    /* A pass that changes nothing is left out, but for the horizontal one that mirrors. */
    *n = (rn_rect){win->x, win->y, win->w, win->h};
    if (rs->half) {
        *n = (rn_rect){2 * win->x, 2 * win->y, 2 * win->w, 2 * win->h};
    } else if (filter == RN_FILTER_OPENCV_LINEAR) {
        RN_TRY(plan_opencv(&rs->x, in_w, out_w, win->x, win->w, flip, false));
        RN_TRY(plan_opencv(&rs->y, in_h, out_h, win->y, win->h, false, true));
        pass_rebase(&rs->x, &n->x, &n->w);
        pass_rebase(&rs->y, &n->y, &n->h);
    } else {
        if (!rs->same_x || flip) {
            RN_TRY(plan_pillow(&rs->x, filter, in_w, out_w, win->x, win->w, flip));
            pass_rebase(&rs->x, &n->x, &n->w);
        }
        if (!rs->same_y) {
            RN_TRY(plan_pillow(&rs->y, filter, in_h, out_h, win->y, win->h, false));
            pass_rebase(&rs->y, &n->y, &n->h);
        }
    }
    *need = *n;
    rs->planned = true;
    return RN_OK;
}

/* The horizontal pass over h rows. */
static void run_h(const rn_resizer *rs, int h, const uint8_t *px, size_t stride, int c, uint8_t *dst, size_t dst_stride)
{
    rn_row_h_fn *row = rn_resize_row_h_ref;
    int fast = 0;
#if defined(__x86_64__)
    if (rs->avx2 && !rs->portable && c == 3) {
        row = rn_resize_row_h3_avx2;
        /* what it reads beyond a row must still be of the image: the last rows go the portable way */
        int tail = (int)(RN_RESIZE_OVERREAD / stride) + 1;
        fast = h > tail ? h - tail : 0;
    }
#endif
    for (int y = 0; y < h; y++, px += stride, dst += dst_stride)
        (y < fast ? row : rn_resize_row_h_ref)(&rs->x, px, c, dst);
}

/* The vertical pass over rows of n bytes. */
static void run_v(const rn_resizer *rs, int n, const uint8_t *px, size_t stride, uint8_t *dst, size_t dst_stride)
{
    rn_row_v_fn *row = rn_resize_row_v_ref;
#if defined(__x86_64__)
    if (rs->avx2 && !rs->portable)
        row = rn_resize_row_v_avx2;
#endif
    for (int y = 0; y < rs->window.h; y++)
        row(&rs->y, y, px, stride, n, dst + (size_t)y * dst_stride);
}

/* OpenCV's 2:1: the mean of four, halves up. */
static void run_half(const rn_resizer *rs, const uint8_t *px, size_t stride, int c, uint8_t *dst, size_t dst_stride)
{
    int w = rs->window.w;
    for (int y = 0; y < rs->window.h; y++, px += 2 * stride, dst += dst_stride)
        for (int x = 0; x < w; x++)
            for (int ch = 0; ch < c; ch++) {
                const uint8_t *s = px + (size_t)(2 * x * c + ch);
                int at = (rs->flip ? w - 1 - x : x) * c + ch;
                dst[at] = (uint8_t)((s[0] + s[c] + s[stride] + s[stride + (size_t)c] + 2) >> 2);
            }
}

int rn_resizer_run(rn_resizer *rs, const uint8_t *px, size_t stride, int channels, uint8_t *dst, size_t dst_stride)
{
    if (!rs->planned || (channels != 1 && channels != 3))
        return rn_fail(RN_E_RANGE, "resize: %s", rs->planned ? "channels must be 1 or 3" : "run without a plan");
    size_t row = (size_t)rs->window.w * (size_t)channels;
    if (rs->half) {
        run_half(rs, px, stride, channels, dst, dst_stride);
    } else if (rs->filter == RN_FILTER_OPENCV_LINEAR) {
        RN_TRY(grow(&rs->lines, &rs->cap_lines, 2 * row, sizeof *rs->lines));
        rn_resize_opencv(&rs->x, &rs->y, px, stride, channels, rs->lines, dst, dst_stride);
    } else if (rs->same_x && !rs->flip && rs->same_y) {
        for (int y = 0; y < rs->window.h; y++)
            memcpy(dst + (size_t)y * dst_stride, px + (size_t)y * stride, row);
    } else if (rs->same_y) {
        run_h(rs, rs->window.h, px, stride, channels, dst, dst_stride);
    } else if (rs->same_x && !rs->flip) {
        run_v(rs, (int)row, px, stride, dst, dst_stride);
    } else if (rs->vertical_first) {
        size_t mid = (size_t)rs->need.w * (size_t)channels;
        RN_TRY(grow(&rs->rows, &rs->cap_rows, mid * (size_t)rs->window.h, 1));
        run_v(rs, (int)mid, px, stride, rs->rows, mid);
        run_h(rs, rs->window.h, rs->rows, mid, channels, dst, dst_stride);
    } else {
        RN_TRY(grow(&rs->rows, &rs->cap_rows, row * (size_t)rs->need.h, 1));
        run_h(rs, rs->need.h, px, stride, channels, rs->rows, row);
        run_v(rs, (int)row, rs->rows, row, dst, dst_stride);
    }
    return RN_OK;
}

int rn_resize(rn_resizer *rs, const rn_image *src, const rn_rect *crop, enum rn_filter filter, int w, int h,
              rn_image *dst)
{
    rn_rect all = {0, 0, src->w, src->h}, need;
    const rn_rect *r = crop ? crop : &all;
    if (r->x < 0 || r->y < 0 || r->w < 1 || r->h < 1 || r->x > src->w - r->w || r->y > src->h - r->h)
        return rn_fail(RN_E_RANGE, "resize: crop %d,%d %d x %d does not lie inside the %d x %d image", r->x, r->y, r->w,
                       r->h, src->w, src->h);
    RN_TRY(rn_resizer_plan(rs, filter, r->w, r->h, w, h, NULL, false, &need));
    RN_TRY(rn_image_alloc(dst, w, h, src->c));
    size_t stride = (size_t)src->w * (size_t)src->c;
    const uint8_t *px = src->px + (size_t)(r->y + need.y) * stride + (size_t)(r->x + need.x) * (size_t)src->c;
    return rn_resizer_run(rs, px, stride, src->c, dst->px, (size_t)w * (size_t)src->c);
}

/* ---- geometry ------------------------------------------------------------------------------------------------- */

void rn_resize_short_size(int w, int h, int short_side, int *ow, int *oh)
{
    int s = w < h ? w : h, l = w < h ? h : w;
    int other = (int)((double)short_side * l / s);
    *ow = w <= h ? short_side : other;
    *oh = w <= h ? other : short_side;
}

void rn_center_crop(int size, int crop, int *from, int *n, int *to)
{
    int d = size - crop;
    if (d >= 0) {
        int half = d / 2;
        *from = half + (d % 2 && half % 2); /* d/2 = half + 0.5 goes to the even neighbour */
        *n = crop;
        *to = 0;
    } else {
        *from = 0;
        *n = size;
        *to = -d / 2;
    }
}
