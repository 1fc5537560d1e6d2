/* SPDX-License-Identifier: MIT */
#include "run/train/rn_step.h"

#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "nn/optim/rn_optim.h"
#include "run/train/rn_ranks.h"

struct rn_step {
    rn_session *s;
    const rn_recipe *r;
    rn_optim *optim;
};

int rn_step_open(rn_session *s, rn_step **out)
{
    rn_step *st = calloc(1, sizeof *st);
    if (!st)
        return rn_fail(RN_E_NOMEM, "training step: out of memory");
    st->s = s;
    st->r = s->r;
    if (s->r->no_norm_decay)
        rn_optim_spare_norms(s->net);
    int rc = rn_optim_open(s->net, s->r->accumulate > 1, &st->optim);
    if (rc < 0) {
        rn_step_close(st);
        return rc;
    }
    *out = st;
    return RN_OK;
}

void rn_step_close(rn_step *st)
{
    if (!st)
        return;
    rn_optim_close(st->optim);
    free(st);
}

/* ---- (a) gradients ---- */

/* Of a mixed image the label with the larger share counts as its own, so that the training's top-1 means something. */
static int forward_backward(rn_step *st, const rn_batch *b, rn_net_result *res)
{
    rn_net *net = st->s->net;
    if (!b->labels2)
        return rn_net_train_batch(net, b->images, b->labels, b->n, res);
    bool first = b->share >= 0.5f;
    return rn_net_train_batch_mixed(net, b->images, first ? b->labels : b->labels2, first ? b->labels2 : b->labels,
                                    first ? b->share : 1 - b->share, b->n, res);
}

/* Batch i of the step. */
static int one_batch(rn_step *st, const rn_step_at *at, int i, const rn_batch *b, rn_sums *sums)
{
    rn_net_result res;
    const int64_t pass = (int64_t)rn_loader_batches(st->s->train); /* a step may reach into the next one */
    const int64_t epoch = at->epoch + (at->batch + i) / pass, number = (at->batch + i) % pass;
    if (b->epoch != epoch || b->number != (uint64_t)number)
        return rn_fail(RN_E_MISMATCH, "the loader gave batch %llu of epoch %u instead of batch %lld of epoch %lld",
                       (unsigned long long)b->number, b->epoch, (long long)number, (long long)epoch);
    rn_net_set_step(st->s->net, st->r->seed, at->step, (int64_t)i * b->n);
    RN_TRY(forward_backward(st, b, &res));
    sums->n += res.n;
    sums->top1 += res.top1;
    sums->top5 += res.top5;
    sums->loss += res.loss_sum;
    sums->waited += b->waited_s;
    return rn_optim_accumulate(st->optim, i, at->batches);
}

static int gradients(rn_step *st, const rn_step_at *at, rn_sums *sums)
{
    for (int i = 0; i < at->batches; i++) {
        rn_batch b;
        RN_TRY(rn_loader_next(st->s->train, &b));
        int rc = one_batch(st, at, i, &b, sums);
        rn_loader_release(st->s->train, &b);
        if (rc < 0)
            return rc;
    }
    return RN_OK;
}

/* ---- (b) ---- */

/* Each rank's gradients are of its part of the mean: their sum is the whole. Losses are looked at only now, so that all ranks
 * find the same. */
static int over_ranks(rn_step *st, rn_sums *sums)
{
    RN_TRY(rn_ranks_sums(st->s->comm, sums));
    if (!isfinite(sums->loss))
        return rn_fail(RN_E_MISMATCH, "the loss is %g", sums->loss / (double)sums->n);
    return rn_net_reduce(st->s->net);
}

/* ---- (c) and (d) ---- */

/* The gradient's norm; what clipping multiplies it by goes into *scale. */
static int norm_and_clip(rn_step *st, const rn_step_at *at, double *norm, double *scale)
{
    double sq;
    RN_TRY(rn_optim_grad_sumsq(st->optim, &sq));
    *norm = sqrt(sq) * *scale;
    if (!isfinite(*norm))
        return rn_fail(RN_E_MISMATCH, "a gradient is not finite");
    if (st->r->momentum_kind == RN_MOMENTUM_CAFFE)
        *norm *= at->batches;
    if (st->r->clip_norm > 0)
        *scale *= rn_optim_clip(*norm, st->r->clip_norm, st->r->momentum_kind == RN_MOMENTUM_CAFFE);
    return RN_OK;
}

/* ---- (f) ---- */

int rn_step_start_average(rn_step *st)
{
    return st->r->ema > 0 ? rn_optim_average(st->optim, 0, st->s->eval_net) : RN_OK;
}

static int average(rn_step *st, int64_t steps_done)
{
    const rn_recipe *r = st->r;
    if (r->ema == 0 || steps_done % r->ema_every != 0)
        return RN_OK;
    const double decay = rn_optim_decay(r->ema, r->ema_warmup, steps_done / r->ema_every - 1);
    return rn_optim_average(st->optim, decay, st->s->eval_net);
}

/* ---- the whole ---- */

static int step(rn_step *st, const rn_step_at *at, rn_step_result *out)
{
    const rn_recipe *r = st->r;
    double scale = 1; /* what each stage multiplies the gradients by; the update does it */
    RN_TRY(gradients(st, at, &out->sums));
    RN_TRY(over_ranks(st, &out->sums));
    RN_TRY(norm_and_clip(st, at, &out->grad_norm, &scale));
    const rn_sgd_opts sgd = {.lr = (float)at->lr,
                             .momentum = (float)at->momentum,
                             .weight_decay = (float)r->weight_decay,
                             .grad_scale = (float)scale,
                             .nesterov = r->nesterov,
                             .caffe = r->momentum_kind == RN_MOMENTUM_CAFFE};
    RN_TRY(rn_optim_sgd(st->s->net, &sgd));
    return average(st, at->step + 1);
}

int rn_step_run(rn_step *st, const rn_step_at *at, rn_step_result *out)
{
    double from = rn_now();
    *out = (rn_step_result){.grad_norm = NAN};
    RN_TRY(step(st, at, out));
    out->sums.seconds = rn_now() - from;
    return RN_OK;
}
