/* SPDX-License-Identifier: MIT */
#include "op/rn_op_now.h"

#include <math.h>

static float grad_scale(const rn_op_now *now)
{
    return now->loss_scale ? (float)now->loss_scale->scale / now->rows : now->grad_scale;
}

rn_op_xent rn_op_xent_of_now(const rn_op_xent *a)
{
    rn_op_xent b = *a;
    if (a->now) {
        b.share = a->now->share;
        b.grad_scale = grad_scale(a->now);
        b.now = NULL;
    }
    return b;
}

rn_op_distill rn_op_distill_of_now(const rn_op_distill *a)
{
    rn_op_distill b = *a;
    if (a->now) {
        b.grad_scale = grad_scale(a->now);
        b.now = NULL;
    }
    return b;
}

rn_op_dropout rn_op_dropout_of_now(const rn_op_dropout *a)
{
    rn_op_dropout b = *a;
    if (a->now) {
        b.seed = a->now->seed;
        b.step = a->now->step;
        b.first = a->now->first_image * a->each;
        b.now = NULL;
    }
    return b;
}

rn_op_clip rn_op_clip_of_now(const rn_op_clip *a)
{
    rn_op_clip b = *a;
    if (a->now) {
        b.scale = a->now->loss_scale ? 1 / a->now->loss_scale->scale : a->now->scale;
        b.times = a->now->times;
        b.now = NULL;
    }
    return b;
}

bool rn_loss_scale_move(rn_loss_scale *s, bool overflowed)
{
    if (overflowed) {
        s->good = 0;
        s->skipped++;
        s->scale /= 2;
    } else if (++s->good >= RN_LOSS_SCALE_GROWTH) {
        s->good = 0;
        s->scale *= 2;
    }
    return s->scale >= RN_LOSS_SCALE_FLOOR;
}

float rn_op_clip_result(const rn_op_clip *a, bool stop, float taken)
{
    rn_loss_scale *s = a->now ? a->now->loss_scale : NULL;
    const bool overflowed = !isfinite(*a->sumsq);
    if (stop || (s ? !rn_loss_scale_move(s, overflowed) : overflowed))
        return NAN;
    return overflowed ? INFINITY : taken;
}

bool rn_op_sgd_of_now(const rn_op_sgd *a, rn_op_sgd *out)
{
    *out = *a;
    if (a->now) {
        out->lr = a->now->lr * a->lr;
        out->mu = a->now->mu;
        out->now = NULL;
    }
    if (!a->scale)
        return true;
    out->grad_scale = *a->scale;
    out->scale = NULL;
    return isfinite(out->grad_scale);
}

bool rn_op_axpby_of_now(const rn_op_axpby *a, rn_op_axpby *out)
{
    *out = *a;
    out->ab = out->scale = NULL;
    out->sumsq = NULL;
    if (a->ab) {
        out->a = a->ab[0];
        out->b = a->ab[1];
    }
    return !(a->ab && isnan(out->a)) && (!a->scale || isfinite(*a->scale)) && (!a->sumsq || isfinite(*a->sumsq));
}
