/* SPDX-License-Identifier: MIT */
/* Pooling. A window's taps are h0..h1-1, w0..w1-1 of the input, clipped at the border. */
#include <math.h>

#include "base/rn_error.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_op_check.h"

typedef struct window {
    int h0, h1, w0, w1; /* clipped to the input */
    int top, left;      /* where tap 0 lies: may be negative */
    int counted;        /* what an average divides by */
} window;

static int at_most(int v, int hi)
{
    return v < hi ? v : hi;
}

static int at_least(int v, int lo)
{
    return v > lo ? v : lo;
}

static window window_at(const rn_op_pool *a, int oh, int ow)
{
    window w = {.top = oh * a->sh - a->ph, .left = ow * a->sw - a->pw};
    w.h0 = at_least(w.top, 0), w.h1 = at_most(w.top + a->kh, a->ih);
    w.w0 = at_least(w.left, 0), w.w1 = at_most(w.left + a->kw, a->iw);
    /* Padding counts when asked for, but what ceil mode adds beyond it never does. */
    const int padded_h = at_most(w.top + a->kh, a->ih + a->ph) - w.top;
    const int padded_w = at_most(w.left + a->kw, a->iw + a->pw) - w.left;
    w.counted = a->count_include_pad ? padded_h * padded_w : (w.h1 - w.h0) * (w.w1 - w.w0);
    return w;
}

static int64_t in_at(const rn_op_pool *a, int m, int h, int w, int c)
{
    return (((int64_t)m * a->ih + h) * a->iw + w) * a->c + c;
}

static int64_t out_at(const rn_op_pool *a, int m, int h, int w, int c)
{
    return (((int64_t)m * a->oh + h) * a->ow + w) * a->c + c;
}

/* One output: its value by either kind of pooling; *tap is the winner of a maximum. */
static double max_of(const rn_op_pool *a, int m, window w, int c, int *tap)
{
    double best = 0;
    *tap = -1;
    for (int h = w.h0; h < w.h1; h++)
        for (int x = w.w0; x < w.w1; x++) {
            const double v = ref_get(a->dtype, a->src, in_at(a, m, h, x, c));
            if (*tap < 0 || (!(v <= best) && !isnan(best))) { /* the first NaN wins and stays */
                best = v;
                *tap = (h - w.top) * a->kw + (x - w.left);
            }
        }
    return best;
}

static double mean_of(const rn_op_pool *a, int m, window w, int c)
{
    double sum = 0;
    for (int h = w.h0; h < w.h1; h++)
        for (int x = w.w0; x < w.w1; x++)
            sum += ref_get(a->dtype, a->src, in_at(a, m, h, x, c));
    return sum / w.counted;
}

int ref_maxpool_fwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_pool(a, true, false));
    for (int m = 0; m < a->mb; m++)
        for (int oh = 0; oh < a->oh; oh++)
            for (int ow = 0; ow < a->ow; ow++)
                for (int c = 0; c < a->c; c++) {
                    int tap;
                    ref_put(a->dtype, a->dst, out_at(a, m, oh, ow, c), max_of(a, m, window_at(a, oh, ow), c, &tap));
                    if (a->argmax)
                        a->argmax[out_at(a, m, oh, ow, c)] = (uint8_t)tap;
                }
    return RN_OK;
}

int ref_avgpool_fwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_pool(a, false, false));
    for (int m = 0; m < a->mb; m++)
        for (int oh = 0; oh < a->oh; oh++)
            for (int ow = 0; ow < a->ow; ow++)
                for (int c = 0; c < a->c; c++)
                    ref_put(a->dtype, a->dst, out_at(a, m, oh, ow, c), mean_of(a, m, window_at(a, oh, ow), c));
    return RN_OK;
}

/* What input (h, w) gets from the outputs whose window covers it. */
static double gather(const rn_op_pool *a, bool max, int m, int h, int w, int c)
{
    double sum = 0;
    for (int oh = 0; oh < a->oh; oh++)
        for (int ow = 0; ow < a->ow; ow++) {
            const window win = window_at(a, oh, ow);
            if (h < win.h0 || h >= win.h1 || w < win.w0 || w >= win.w1)
                continue;
            const int64_t o = out_at(a, m, oh, ow, c);
            if (!max)
                sum += ref_get(a->dtype, a->src, o) / win.counted;
            else if (a->argmax[o] == (h - win.top) * a->kw + (w - win.left))
                sum += ref_get(a->dtype, a->src, o);
        }
    return sum;
}

static void pool_bwd(const rn_op_pool *a, bool max)
{
    for (int m = 0; m < a->mb; m++)
        for (int h = 0; h < a->ih; h++)
            for (int w = 0; w < a->iw; w++)
                for (int c = 0; c < a->c; c++) {
                    const int64_t i = in_at(a, m, h, w, c);
                    const double d = gather(a, max, m, h, w, c);
                    ref_put(a->dtype, a->dst, i, a->beta ? ref_get(a->dtype, a->dst, i) + d : d);
                }
}

int ref_maxpool_bwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_pool(a, true, true));
    pool_bwd(a, true);
    return RN_OK;
}

int ref_avgpool_bwd(struct rn_backend *be, const rn_op_pool *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_pool(a, false, true));
    pool_bwd(a, false);
    return RN_OK;
}

int ref_gap_fwd(struct rn_backend *be, const rn_op_gap *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_gap(a));
    for (int m = 0; m < a->mb; m++)
        for (int c = 0; c < a->c; c++) {
            double sum = 0;
            for (int i = 0; i < a->hw; i++)
                sum += ref_get(a->dtype, a->src, ((int64_t)m * a->hw + i) * a->c + c);
            ref_put(a->dtype, a->dst, (int64_t)m * a->c + c, sum / a->hw);
        }
    return RN_OK;
}

int ref_gap_bwd(struct rn_backend *be, const rn_op_gap *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_gap(a));
    for (int m = 0; m < a->mb; m++)
        for (int i = 0; i < a->hw; i++)
            for (int c = 0; c < a->c; c++) {
                const int64_t at = ((int64_t)m * a->hw + i) * a->c + c;
                const double d = ref_get(a->dtype, a->src, (int64_t)m * a->c + c) / a->hw;
                ref_put(a->dtype, a->dst, at, a->beta ? ref_get(a->dtype, a->dst, at) + d : d);
            }
    return RN_OK;
}
