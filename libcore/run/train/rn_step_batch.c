/* SPDX-License-Identifier: MIT */
/* A step's batches: given to the device, looked at, and searched for where something began to be not finite. */
#include <math.h>

#include "base/rn_error.h"
#include "nn/graph/rn_watch.h"
#include "run/train/rn_step_impl.h"

/* ---- what is held ---- */

static void give_back(rn_step *st, rn_flight *f)
{
    if (f->holds)
        rn_loader_release(st->s->train, &f->batch);
    f->holds = false;
}

void rn_step_drop_batch(rn_step *st)
{
    give_back(st, &st->flights[0]);
    st->flights[0] = st->flights[1];
    st->flights[1].holds = false;
    st->n -= st->n > 0;
}

void rn_step_give_back(rn_step *st)
{
    for (int i = 0; i < RN_FLIGHTS; i++)
        give_back(st, &st->flights[i]);
    st->n = 0;
    if (st->has_next)
        rn_loader_release(st->s->train, &st->next);
    st->has_next = false;
}

/* ---- given ---- */

/* Of a mixed image the label with the larger share counts as its own, so that the training's top-1 means something. */
static int forward_backward(rn_step *st, const rn_batch *b, rn_net_result *res)
{
    rn_net *net = st->s->net;
    RN_TRY(rn_net_set_windows(net, b->windows, b->n));
    if (b->picks)
        RN_TRY(rn_net_set_picks(net, b->picks, b->n));
    if (!b->labels2)
        return rn_net_train_batch(net, b->images, b->labels, b->n, res);
    bool first = b->share >= 0.5f;
    return rn_net_train_batch_mixed(net, b->images, first ? b->labels : b->labels2, first ? b->labels2 : b->labels,
                                    first ? b->share : 1 - b->share, b->n, res);
}

/* Of the running average, at this step; NAN: none is due. */
static double decay(const rn_recipe *r, int64_t steps_done)
{
    if (r->ema == 0 || steps_done % r->ema_every != 0)
        return NAN;
    return rn_optim_decay(r->ema, r->ema_warmup, steps_done / r->ema_every - 1);
}

/* The update is given with the last batch, but between ranks. */
static void tell_optimizer(const rn_step *st, const rn_step_at *at, int i)
{
    const rn_optim_now now = {.batch = i,
                              .batches = at->batches,
                              .lr = (float)at->lr,
                              .momentum = (float)at->momentum,
                              .loss_scale = st->scale.scale,
                              .decay = decay(st->r, at->step + 1)};
    rn_net_set_loss_scale(st->s->net, (float)st->scale.scale); /* as long as it does not move */
    rn_optim_before(st->optim, &now);
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
    return st->next.picks ? RN_OK : rn_net_send(st->s->net, st->next.images, st->next.n);
}

static int take_batch(rn_step *st, rn_flight *f)
{
    if (st->has_next)
        f->batch = st->next;
    else
        RN_TRY(rn_loader_next(st->s->train, &f->batch));
    st->has_next = false;
    f->holds = true;
    return RN_OK;
}

/* Batch i of its step, which is at hand. */
static int give(rn_step *st, rn_step_way *w, rn_flight *f, int i)
{
    rn_net *net = st->s->net;
    const rn_batch *b = &f->batch;
    const rn_step_at *at = &f->at;
    const int64_t pass = (int64_t)rn_loader_batches(st->s->train); /* a step may reach into the next one */
    const int64_t epoch = at->epoch + (at->batch + i) / pass, number = (at->batch + i) % pass;
    if (b->epoch != epoch || b->number != (uint64_t)number)
        return rn_fail(RN_E_MISMATCH, "the loader gave batch %llu of epoch %u instead of batch %lld of epoch %lld",
                       (unsigned long long)b->number, b->epoch, (long long)number, (long long)epoch);
    const int64_t before = (int64_t)i * rn_comm_size(st->s->comm) + rn_comm_rank(st->s->comm); /* parts of this step */
    f->first_image = before * b->n;
    rn_net_set_step(net, st->r->seed, at->step, f->first_image);
    w->sums.waited += b->waited_s;
    tell_optimizer(st, at, i);
    RN_TRY(forward_backward(st, b, NULL));
    f->batches = rn_net_batches(net);
    if (!rn_step_overlaps(st)) /* where batches do, the next one sends its own, as early */
        RN_TRY(send_next(st, i + 1 < at->batches || at->more));
    return RN_OK;
}

int rn_step_give_batch(rn_step *st, rn_step_way *w)
{
    rn_flight *f = &st->flights[st->n];
    *f = (rn_flight){.at = w->at};
    RN_TRY(take_batch(st, f));
    st->untouched = false;
    int rc = give(st, w, f, w->given);
    if (rc < 0) {
        give_back(st, f);
        return rc;
    }
    w->given++;
    st->n++;
    return RN_OK;
}

/* ---- looked at ---- */

int rn_step_results(rn_step *st, rn_sums *sums, double *loss)
{
    rn_net_result res;
    RN_TRY(rn_net_results(st->s->net, &res));
    sums->n += res.n;
    sums->top1 += res.top1;
    sums->top5 += res.top5;
    sums->loss += res.loss_sum;
    *loss = res.loss_sum;
    return RN_OK;
}

/*
 * The oldest batch under way is run once more, looked at node by node. What the device was given behind it has changed no
 * weight (rn_optim_rule), and is forgotten. Ranks come here together, after all of a step's batches.
 */
int rn_step_not_finite(rn_step *st, const char *what)
{
    rn_net *net = st->s->net;
    const rn_flight *f = &st->flights[0];
    rn_net_result res;
    st->not_finite = true;
    RN_TRY(rn_net_settle(net));
    rn_net_set_loss_scale(net, (float)st->scale.scale);
    rn_net_set_batches(net, f->batches - 1); /* so that it is the same batch in every respect */
    rn_net_set_step(net, st->r->seed, f->at.step, f->first_image);
    rn_net_watch(net, true);
    int rc = forward_backward(st, &f->batch, &res);
    rn_net_watch(net, false);
    if (rc < 0)
        return rn_fail_prefix(rc, "%s is not finite", what);
    return rn_fail(RN_E_MISMATCH, "%s is not finite, though every number on the way to it in the last batch is", what);
}

int rn_step_check_gradients(rn_step *st, double sumsq)
{
    if (isfinite(sumsq) || st->moves)
        return RN_OK;
    return rn_step_not_finite(st, st->scale.scale > 1 ? "under a --loss-scale that may be too high, a gradient"
                                                      : "a gradient");
}

int rn_step_look_at_batch(rn_step *st)
{
    double loss;
    RN_TRY(rn_step_results(st, &st->ways[0].sums, &loss));
    if (!st->s->comm) { /* now: of the sum one could not tell which batch it was */
        if (!isfinite(loss))
            return rn_step_not_finite(st, "the loss");
        RN_TRY(rn_step_check_gradients(st, rn_optim_sums(st->optim).grads));
    }
    rn_step_drop_batch(st);
    return RN_OK;
}
