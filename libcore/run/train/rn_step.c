/* SPDX-License-Identifier: MIT */
#include "run/train/rn_step.h"

#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "nn/graph/rn_watch.h"
#include "nn/optim/rn_optim.h"
#include "run/train/rn_ranks.h"

struct rn_step {
    rn_session *s;
    const rn_recipe *r;
    rn_optim *optim;
    rn_batch batch;       /* the one at hand */
    rn_batch next;        /* the one after it, whose images travel already */
    bool holds, has_next; /* they are the loader's and have to be given back */
    bool not_finite;      /* something was */
    bool untouched;       /* no batch of the step has been run yet */
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
    rn_net_set_overlap(s->net, s->r->accumulate <= 1);
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
    rn_step_let_go(st);
    rn_optim_close(st->optim);
    free(st);
}

/* The batch at hand. */
static void let_go(rn_step *st)
{
    if (st->holds)
        rn_loader_release(st->s->train, &st->batch);
    st->holds = false;
}

void rn_step_let_go(rn_step *st)
{
    (void)rn_net_settle(st->s->net); /* what is on its way is still read */
    let_go(st);
    if (st->has_next)
        rn_loader_release(st->s->train, &st->next);
    st->has_next = false;
}

/* ---- (a) gradients ---- */

/* Of a mixed image the label with the larger share counts as its own, so that the training's top-1 means something. */
static int forward_backward(rn_step *st, const rn_batch *b, rn_net_result *res)
{
    rn_net *net = st->s->net;
    RN_TRY(rn_net_set_windows(net, b->windows, b->n));
    if (!b->labels2)
        return rn_net_train_batch(net, b->images, b->labels, b->n, res);
    bool first = b->share >= 0.5f;
    return rn_net_train_batch_mixed(net, b->images, first ? b->labels : b->labels2, first ? b->labels2 : b->labels,
                                    first ? b->share : 1 - b->share, b->n, res);
}

/*
 * Something is not finite: the batch at hand is run once more, looked at node by node, to say where that began. Ranks come
 * here together, after all of a step's batches, of which the last is at hand.
 */
static int not_finite(rn_step *st, const char *what)
{
    rn_net *net = st->s->net;
    rn_net_result res;
    st->not_finite = true;
    rn_net_set_batches(net, rn_net_batches(net) - 1); /* so that it is the same batch in every respect */
    rn_net_watch(net, true);
    int rc = forward_backward(st, &st->batch, &res);
    rn_net_watch(net, false);
    if (rc < 0)
        return rn_fail_prefix(rc, "%s is not finite", what);
    return rn_fail(RN_E_MISMATCH, "%s is not finite, though every number on the way to it in the last batch is", what);
}

static int check_gradients(rn_step *st, const rn_step_at *at, double sumsq)
{
    if (isfinite(sumsq) || at->may_skip)
        return RN_OK;
    return not_finite(st, at->loss_scale > 1 ? "under a --loss-scale that may be too high, a gradient" : "a gradient");
}

static void add_results(rn_sums *sums, const rn_net_result *res)
{
    sums->n += res->n;
    sums->top1 += res->top1;
    sums->top5 += res->top5;
    sums->loss += res->loss_sum;
}

/* Whether a batch's results are waited for with the step's: not where the host has to look before that. */
static bool looks_later(const rn_step *st, const rn_step_at *at)
{
    return !st->s->comm && at->batches == 1;
}

/*
 * While the device is at work on a batch, the next one travels, if the loader has it by now: the host does not wait for it here,
 * so that what it waits is what the device waits, too. An image that cannot be read is told when its turn comes.
 */
static int send_next(rn_step *st, bool more)
{
    rn_loader *l = st->s->train;
    if (!more || !st->s->be->stream_open || !rn_loader_ready(l) || rn_loader_next(l, &st->next) < 0)
        return RN_OK;
    st->has_next = true;
    return rn_net_send(st->s->net, st->next.images, st->next.n);
}

static int take_batch(rn_step *st)
{
    let_go(st);
    if (st->has_next)
        st->batch = st->next;
    else
        RN_TRY(rn_loader_next(st->s->train, &st->batch));
    st->has_next = false;
    st->holds = true;
    return RN_OK;
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
    const int64_t before = (int64_t)i * rn_comm_size(st->s->comm) + rn_comm_rank(st->s->comm); /* parts of this step */
    rn_net_set_step(st->s->net, st->r->seed, at->step, before * b->n);
    sums->waited += b->waited_s;
    RN_TRY(forward_backward(st, b, NULL));
    RN_TRY(send_next(st, i + 1 < at->batches || at->more));
    if (looks_later(st, at))
        return RN_OK;
    RN_TRY(rn_net_results(st->s->net, &res));
    add_results(sums, &res);
    if (!st->s->comm && !isfinite(res.loss_sum))
        return not_finite(st, "the loss");
    if (!st->s->comm) { /* now: of the sum one could not tell which batch it was */
        double sumsq;
        RN_TRY(rn_optim_grad_sumsq(st->optim, &sumsq));
        RN_TRY(check_gradients(st, at, sumsq));
    }
    return rn_optim_accumulate(st->optim, i, at->batches);
}

/* The last batch stays with the step, and so does one that went wrong. */
static int gradients(rn_step *st, const rn_step_at *at, rn_sums *sums)
{
    for (int i = 0; i < at->batches; i++) {
        RN_TRY(take_batch(st));
        st->untouched = false;
        RN_TRY(one_batch(st, at, i, &st->batch, sums));
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
        return not_finite(st, "the loss");
    return rn_net_reduce(st->s->net);
}

/* ---- (c) to (e) ---- */

static bool is_caffe(const rn_step *st)
{
    return st->r->momentum_kind == RN_MOMENTUM_CAFFE;
}

/* What the gradients are multiplied by to be without the loss scale. */
static double unscaling(const rn_step_at *at)
{
    return 1 / (at->loss_scale > 0 ? at->loss_scale : 1);
}

static int update(rn_step *st, const rn_step_at *at)
{
    const rn_recipe *r = st->r;
    const rn_net *net = st->s->net;
    const bool looks = looks_later(st, at);
    const rn_op_clip clip = {.loss = looks ? rn_net_losses(net) : NULL,
                             .n = looks ? st->batch.n : 0,
                             .scale = unscaling(at),
                             .times = is_caffe(st) ? at->batches : 1,
                             .limit = r->clip_norm,
                             .caffe = is_caffe(st)};
    const rn_sgd_opts sgd = {.lr = (float)at->lr,
                             .momentum = (float)at->momentum,
                             .weight_decay = (float)r->weight_decay,
                             .nesterov = r->nesterov,
                             .caffe = is_caffe(st)};
    return rn_optim_step(st->optim, &sgd, &clip);
}

/* Waits for the device, which has decided by itself whether to take the step, and finds the same. */
static int look(rn_step *st, const rn_step_at *at, rn_step_result *out)
{
    rn_net_result res;
    RN_TRY(rn_net_results(st->s->net, &res));
    add_results(&out->sums, &res);
    if (!isfinite(out->sums.loss))
        return not_finite(st, "the loss");
    const rn_optim_facts facts = rn_optim_sums(st->optim);
    RN_TRY(check_gradients(st, at, facts.grads));
    out->grad_norm = sqrt(facts.grads) * unscaling(at) * (is_caffe(st) && isfinite(facts.grads) ? at->batches : 1);
    out->skipped = !isfinite(out->grad_norm);
    if (out->skipped || isfinite(facts.weights))
        return RN_OK;
    /* Rate or decay have made them overflow: they are lost, but no checkpoint or average has seen them. */
    st->not_finite = true;
    return rn_fail_prefix(rn_net_check_weights(st->s->net), "after the step");
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
    rn_net_set_loss_scale(st->s->net, (float)(at->loss_scale > 0 ? at->loss_scale : 1));
    RN_TRY(gradients(st, at, &out->sums));
    RN_TRY(over_ranks(st, &out->sums));
    RN_TRY(update(st, at));
    RN_TRY(look(st, at, out));
    return out->skipped ? RN_OK : average(st, at->step + 1);
}

int rn_step_run(rn_step *st, const rn_step_at *at, rn_step_result *out)
{
    double from = rn_now();
    *out = (rn_step_result){.grad_norm = NAN};
    st->not_finite = false;
    st->untouched = true;
    int rc = step(st, at, out);
    out->not_finite = st->not_finite;
    out->untouched = st->untouched;
    let_go(st);
    if (rc < 0)
        return rc;
    out->sums.seconds = rn_now() - from;
    return RN_OK;
}
