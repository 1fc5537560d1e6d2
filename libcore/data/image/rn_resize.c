/* SPDX-License-Identifier: MIT */
/* Resize: which passes an image takes, in which order, and with which code; geometry. */
#include "data/image/rn_resize.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/image/rn_resize_kernels.h"

const char *const rn_filter_names[RN_FILTER_COUNT + 1] = {"box",     "bilinear",      "hamming", "bicubic",
                                                          "lanczos", "opencv-linear", NULL};

enum { PASSES = 8 }; /* kept: those of the last few images */

struct rn_resizer {
    rn_isa isa;
    enum rn_filter filter;
    bool planned;
    bool same_x, same_y; /* that pass would copy */
    bool vertical_first; /* Pillow's order of the two passes, which rounding in between makes part of the result */
    bool half;           /* OpenCV's 2:1 */
    rn_rect window, need;
    bool flip;
    rn_pass *x, *y; /* in passes */
    rn_pass passes[PASSES];
    uint64_t clock;
    uint8_t *rows; /* between the passes */
    size_t cap_rows;
    const uint8_t **at; /* the rows that one row of the vertical pass reads */
    size_t cap_at;
};

static const struct {
    rn_rows_h_fn *rows_h;
    rn_row_v_fn *row_v;
    rn_cv_h_fn *cv_h;
    rn_cv_v_fn *cv_v;
    rn_cv_half_fn *cv_half;
} ways[] = {
    [RN_ISA_PORTABLE] = {rn_resize_rows_h_ref, rn_resize_row_v_ref, rn_resize_cv_h_ref, rn_resize_cv_v_ref,
                         rn_resize_cv_half_ref},
#if defined(__x86_64__)
    [RN_ISA_AVX2] = {rn_resize_rows_h_avx2, rn_resize_row_v_avx2, rn_resize_cv_h_avx2, rn_resize_cv_v_avx2,
                     rn_resize_cv_half_avx2},
    [RN_ISA_AVX512] = {rn_resize_rows_h_avx512, rn_resize_row_v_avx512, rn_resize_cv_h_avx512, rn_resize_cv_v_avx512,
                       rn_resize_cv_half_avx512},
#endif
};

static int grow(void *pp, size_t *cap, size_t n, size_t size)
{
    void **p = pp;
    if (n <= *cap)
        return RN_OK;
    free(*p);
    *cap = 0;
    *p = aligned_alloc(64, (n * size + 63) & ~(size_t)63); /* rows that begin with a line of the cache load faster */
    if (!*p)
        return rn_fail(RN_E_NOMEM, "resize: out of memory (%zu bytes)", n * size);
    *cap = n;
    return RN_OK;
}

/* ---- plan ------------------------------------------------------------------------------------------------------ */

rn_isa rn_resizer_isa(rn_resizer *rs, rn_isa most)
{
    rn_isa best = rn_isa_best();
    rs->isa = most < best ? most : best;
    if (rs->isa > RN_ISA_AVX512)
        rs->isa = RN_ISA_AVX512;
    if (rs->isa == RN_ISA_AVX512 && !rn_isa_bytes512())
        rs->isa = RN_ISA_AVX2;
    rs->planned = false;
    for (int i = 0; i < PASSES; i++)
        rs->passes[i].form_c = -1;
    return rs->isa;
}

int rn_resizer_open(rn_resizer **out)
{
    rn_isa isa = RN_ISA_PORTABLE;
    *out = NULL;
    RN_TRY(rn_isa_pick(NULL, &isa));
    rn_resizer *rs = *out = calloc(1, sizeof *rs);
    if (!rs)
        return rn_fail(RN_E_NOMEM, "resizer: out of memory");
    rn_resizer_isa(rs, isa);
    return RN_OK;
}

void rn_resizer_close(rn_resizer *rs)
{
    if (!rs)
        return;
    for (int i = 0; i < PASSES; i++)
        rn_pass_free(&rs->passes[i]);
    free(rs->rows);
    free(rs->at);
    free(rs);
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

/* The pass of that key: one that is kept, or in the place of the one unused for longest. */
static int take_pass(rn_resizer *rs, const rn_pass_key *key, rn_pass **out)
{
    rn_pass *p = &rs->passes[0];
    for (int i = 0; i < PASSES; i++) {
        rn_pass *q = &rs->passes[i];
        if (rn_pass_is(q, key)) {
            p = q;
            break;
        }
        p = q->used < p->used ? q : p;
    }
    RN_TRY(rn_pass_plan(p, key));
    p->used = ++rs->clock;
    *out = p;
    return RN_OK;
}

int rn_resizer_plan(rn_resizer *rs, enum rn_filter filter, int in_w, int in_h, int out_w, int out_h,
                    const rn_rect *window, bool flip, rn_rect *need)
{
    rn_rect all = {0, 0, out_w, out_h}, *n = &rs->need;
    const rn_rect *win = window ? window : &all;
    rs->planned = false;
    RN_TRY(check_plan(filter, (const int[]){in_w, in_h, out_w, out_h}, win));
    bool cv = filter == RN_FILTER_OPENCV_LINEAR;
    rs->filter = filter;
    rs->window = *win;
    rs->flip = flip;
    rs->same_x = in_w == out_w;
    rs->same_y = in_h == out_h;
    rs->vertical_first = out_h < in_h && in_h - out_h > 2 * (in_w - out_w);
    rs->half = cv && in_w == 2 * out_w && in_h == 2 * out_h;
    /* A pass that changes nothing is left out, but for the horizontal one that mirrors. */
    *n = (rn_rect){win->x, win->y, win->w, win->h};
    if (rs->half) {
        *n = (rn_rect){2 * win->x, 2 * win->y, 2 * win->w, 2 * win->h};
    } else {
        const rn_pass_key x = {filter, in_w, out_w, win->x, win->w, flip, false};
        const rn_pass_key y = {filter, in_h, out_h, win->y, win->h, false, true};
        if (cv || !rs->same_x || flip) {
            RN_TRY(take_pass(rs, &x, &rs->x));
            n->x = rs->x->from;
            n->w = rs->x->in_n;
        }
        if (cv || !rs->same_y) {
            RN_TRY(take_pass(rs, &y, &rs->y));
            n->y = rs->y->from;
            n->h = rs->y->in_n;
        }
    }
    *need = *n;
    rs->planned = true;
    return RN_OK;
}

/* ---- run ------------------------------------------------------------------------------------------------------- */

/* An image in memory: its first row, bytes between rows, bytes a pixel. */
typedef struct view {
    const uint8_t *px;
    size_t stride;
    int c;
} view;

static inline int least(int a, int b)
{
    return a < b ? a : b;
}

static rn_rows_h_fn *way_h(const rn_resizer *rs)
{
    return ways[rs->x->form == RN_FORM_NONE ? RN_ISA_PORTABLE : rs->isa].rows_h;
}

static rn_row_v_fn *way_v(const rn_resizer *rs)
{
    return ways[rs->y->form == RN_FORM_NONE ? RN_ISA_PORTABLE : rs->isa].row_v;
}

/* The horizontal pass alone. */
static int run_h(rn_resizer *rs, const view *in, uint8_t *dst, size_t dst_stride)
{
    RN_TRY(rn_pass_prepare(rs->x, rs->isa, in->c));
    for (int y = 0; y < rs->window.h; y += RN_RESIZE_ROWS) {
        const uint8_t *src[RN_RESIZE_ROWS];
        uint8_t *to[RN_RESIZE_ROWS];
        for (int r = 0; r < RN_RESIZE_ROWS; r++) {
            size_t q = (size_t)least(y + r, rs->window.h - 1);
            src[r] = in->px + q * in->stride;
            to[r] = dst + q * dst_stride;
        }
        way_h(rs)(rs->x, in->c, src, to);
    }
    return RN_OK;
}

/* The vertical pass alone, over rows of n bytes. */
static int run_v(rn_resizer *rs, int n, const view *in, uint8_t *dst, size_t dst_stride)
{
    const rn_pass *p = rs->y;
    RN_TRY(rn_pass_prepare(rs->y, rs->isa, 0));
    RN_TRY(grow(&rs->at, &rs->cap_at, (size_t)p->most, sizeof *rs->at));
    for (int y = 0; y < p->n; y++) {
        for (int t = 0; t < p->count[y]; t++)
            rs->at[t] = in->px + (size_t)(p->first[y] + t) * in->stride;
        way_v(rs)(p, y, rs->at, n, dst + (size_t)y * dst_stride);
    }
    return RN_OK;
}

/* Both, horizontal first: rows go through a ring that is as long as one output row needs, and so stays in the cache. */
static int run_hv(rn_resizer *rs, const view *in, uint8_t *dst, size_t dst_stride)
{
    const rn_pass *p = rs->y;
    int row = rs->window.w * in->c, ring = p->most + RN_RESIZE_ROWS - 1, made = 0;
    size_t pitch = ((size_t)row + 63) & ~(size_t)63;
    RN_TRY(rn_pass_prepare(rs->x, rs->isa, in->c));
    RN_TRY(rn_pass_prepare(rs->y, rs->isa, 0));
    RN_TRY(grow(&rs->at, &rs->cap_at, (size_t)p->most, sizeof *rs->at));
    RN_TRY(grow(&rs->rows, &rs->cap_rows, pitch * (size_t)ring, 1));
    for (int y = 0; y < p->n; y++) {
        for (; made < p->first[y] + p->count[y]; made += RN_RESIZE_ROWS) {
            const uint8_t *src[RN_RESIZE_ROWS];
            uint8_t *to[RN_RESIZE_ROWS];
            for (int r = 0; r < RN_RESIZE_ROWS; r++) {
                int q = least(made + r, p->in_n - 1);
                src[r] = in->px + (size_t)q * in->stride;
                to[r] = rs->rows + (size_t)(q % ring) * pitch;
            }
            way_h(rs)(rs->x, in->c, src, to);
        }
        for (int t = 0; t < p->count[y]; t++)
            rs->at[t] = rs->rows + (size_t)((p->first[y] + t) % ring) * pitch;
        way_v(rs)(p, y, rs->at, row, dst + (size_t)y * dst_stride);
    }
    return RN_OK;
}

/* Both, vertical first. */
static int run_vh(rn_resizer *rs, const view *in, uint8_t *dst, size_t dst_stride)
{
    const rn_pass *p = rs->y;
    int row = rs->need.w * in->c;
    size_t pitch = ((size_t)row + 63) & ~(size_t)63;
    RN_TRY(rn_pass_prepare(rs->x, rs->isa, in->c));
    RN_TRY(rn_pass_prepare(rs->y, rs->isa, 0));
    RN_TRY(grow(&rs->at, &rs->cap_at, (size_t)p->most, sizeof *rs->at));
    RN_TRY(grow(&rs->rows, &rs->cap_rows, pitch * RN_RESIZE_ROWS, 1));
    for (int y = 0; y < p->n; y += RN_RESIZE_ROWS) {
        const uint8_t *src[RN_RESIZE_ROWS];
        uint8_t *to[RN_RESIZE_ROWS];
        for (int r = 0; r < RN_RESIZE_ROWS; r++) {
            int q = least(y + r, p->n - 1);
            uint8_t *mid = rs->rows + (size_t)(q - y) * pitch;
            for (int t = 0; y + r == q && t < p->count[q]; t++)
                rs->at[t] = in->px + (size_t)(p->first[q] + t) * in->stride;
            if (y + r == q)
                way_v(rs)(p, q, rs->at, row, mid);
            src[r] = mid;
            to[r] = dst + (size_t)q * dst_stride;
        }
        way_h(rs)(rs->x, in->c, src, to);
    }
    return RN_OK;
}

/* OpenCV: two lines are kept, as neighbouring output rows often share them. */
static int run_opencv(rn_resizer *rs, const view *in, uint8_t *dst, size_t dst_stride)
{
    const rn_pass *p = rs->y;
    int row = rs->window.w * in->c, held[2] = {-1, -1}; /* the source rows in the lines */
    size_t pitch = (((size_t)row * sizeof(int16_t) + 63) & ~(size_t)63) + RN_RESIZE_PAD;
    RN_TRY(rn_pass_prepare(rs->x, rs->isa, in->c));
    RN_TRY(grow(&rs->rows, &rs->cap_rows, 2 * pitch, 1));
    for (int y = 0; y < p->n; y++, dst += dst_stride) {
        const int16_t *l[2];
        for (int t = 0; t < 2; t++) {
            int q = p->first[y] + (t < p->count[y] ? t : 0);
            int16_t *line = (int16_t *)(rs->rows + (size_t)(q & 1) * pitch);
            if (held[q & 1] != q)
                ways[rs->isa].cv_h(rs->x, in->c, in->px + (size_t)q * in->stride, line);
            held[q & 1] = q;
            l[t] = line;
        }
        ways[rs->isa].cv_v(p->k + (size_t)y * (size_t)p->taps, l[0], l[1], row, dst);
    }
    return RN_OK;
}

/* OpenCV's 2:1. */
static void run_half(const rn_resizer *rs, const view *in, uint8_t *dst, size_t dst_stride)
{
    int w = rs->window.w, c = in->c;
    for (int y = 0; y < rs->window.h; y++, dst += dst_stride) {
        const uint8_t *a = in->px + (size_t)2 * (size_t)y * in->stride;
        ways[rs->isa].cv_half(a, a + in->stride, c, w, dst);
        for (int l = 0, r = w - 1; rs->flip && l < r; l++, r--)
            for (int ch = 0; ch < c; ch++) {
                uint8_t t = dst[l * c + ch];
                dst[l * c + ch] = dst[r * c + ch];
                dst[r * c + ch] = t;
            }
    }
}

int rn_resizer_run(rn_resizer *rs, const uint8_t *px, size_t stride, int channels, uint8_t *dst, size_t dst_stride)
{
    if (!rs->planned || (channels != 1 && channels != 3))
        return rn_fail(RN_E_RANGE, "resize: %s", rs->planned ? "channels must be 1 or 3" : "run without a plan");
    const view in = {px, stride, channels};
    int row = rs->window.w * channels;
    bool x = !rs->same_x || rs->flip, y = !rs->same_y;
    if (rs->half)
        run_half(rs, &in, dst, dst_stride);
    else if (rs->filter == RN_FILTER_OPENCV_LINEAR)
        return run_opencv(rs, &in, dst, dst_stride);
    else if (x && y)
        return (rs->vertical_first ? run_vh : run_hv)(rs, &in, dst, dst_stride);
    else if (x)
        return run_h(rs, &in, dst, dst_stride);
    else if (y)
        return run_v(rs, row, &in, dst, dst_stride);
    else
        for (int i = 0; i < rs->window.h; i++)
            memcpy(dst + (size_t)i * dst_stride, px + (size_t)i * stride, (size_t)row);
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
