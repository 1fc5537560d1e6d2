/* SPDX-License-Identifier: MIT */
#include "run/train/rn_step.h"

#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "nn/graph/rn_watch.h"
#include "nn/optim/rn_optim.h"
#include "run/train/rn_ranks.h"

/* A step that the device was given. */
typedef struct flight {
    rn_step_at at;
    rn_batch batch;      /* its last one */
    bool holds;          /* which is the loader's, and has to be given back */
    int64_t first_image; /* where that batch stands in the step, */
    int64_t batches;     /* and which of the net's it was */
    rn_sums sums;        /* of the batches that were looked at already */
    double began;        /* rn_now() */
} flight;

enum { FLIGHTS = 2 };

struct rn_step {
    rn_session *s;
    const rn_recipe *r;
    rn_optim *optim;
    bool moves;              /* the loss scale is dynamic: gradients that are not finite are no error */
    rn_loss_scale scale;     /* of the step that is looked at next */
    flight flights[FLIGHTS]; /* oldest first */
    int n;
    rn_batch next;   /* images that travel already, of a batch whose turn comes later; */
    bool has_next;   /* the loader's, too */
    bool not_finite; /* something was */
    bool untouched;  /* no batch of the step has been run yet */
    double looked;   /* when results were looked at last */
};

static bool is_caffe(const rn_step *st)
{
    return st->r->momentum_kind == RN_MOMENTUM_CAFFE;
}

bool rn_step_overlaps(const rn_step *st)
{
    return st->s->be->event_sync && !st->s->comm && st->r->accumulate <= 1;
}

static int set_rule(rn_step *st)
{
    const rn_recipe *r = st->r;
    const rn_optim_rule rule = {.weight_decay = (float)r->weight_decay,
                                .nesterov = r->nesterov,
                                .caffe = is_caffe(st),
                                .limit = r->clip_norm,
                                .average = r->ema > 0 ? st->s->eval_net : NULL,
                                .blind = rn_step_overlaps(st)};
    rn_loss_scale start = {0};
    RN_TRY(rn_optim_set_rule(st->optim, &rule));
    RN_TRY(rn_recipe_loss_scale(r, &st->moves, &start.scale));
    return rn_step_start_loss_scale(st, &start);
}

int rn_step_start_loss_scale(rn_step *st, const rn_loss_scale *from)
{
    st->scale = *from;
    return rn_optim_move_loss_scale(st->optim, st->moves ? from : NULL);
}

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
    if (rc >= 0)
        rc = set_rule(st);
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

size_t rn_step_bytes(const rn_step *st)
{
    return rn_optim_bytes(st->optim);
}

static void give_back(rn_step *st, flight *f)
{
    if (f->holds)
        rn_loader_release(st->s->train, &f->batch);
    f->holds = false;
}

void rn_step_let_go(rn_step *st)
{
    (void)rn_net_settle(st->s->net); /* what is on its way is still read */
    for (int i = 0; i < FLIGHTS; i++)
        give_back(st, &st->flights[i]);
    st->n = 0;
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
    if (b->picks)
        RN_TRY(rn_net_set_picks(net, b->picks, b->n));
    if (!b->labels2)
        return rn_net_train_batch(net, b->images, b->labels, b->n, res);
    bool first = b->share >= 0.5f;
    return rn_net_train_batch_mixed(net, b->images, first ? b->labels : b->labels2, first ? b->labels2 : b->labels,
                                    first ? b->share : 1 - b->share, b->n, res);
}

/*
 * Something is not finite: the step's last batch is run once more, looked at node by node, to say where that began. What the
 * device was given behind that step has changed no weight (rn_optim_rule), and is forgotten. Ranks come here together, after
 * all of a step's batches.
 */
static int not_finite(rn_step *st, const flight *f, const char *what)
{
    rn_net *net = st->s->net;
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

static int check_gradients(rn_step *st, const flight *f, double sumsq)
{
    if (isfinite(sumsq) || st->moves)
        return RN_OK;
    return not_finite(st, f,
                      st->scale.scale > 1 ? "under a --loss-scale that may be too high, a gradient" : "a gradient");
}

static void add_results(rn_sums *sums, const rn_net_result *res)
{
    sums->n += res->n;
    sums->top1 += res->top1;
    sums->top5 += res->top5;
    sums->loss += res->loss_sum;
}

/* Whether the results of batch i are waited for with the step's: not where the host has to look before that. */
static bool looks_later(const rn_step *st, const rn_step_at *at, int i)
{
    return !rn_net_host_ranks(st->s->net) && i == at->batches - 1;
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

static int take_batch(rn_step *st, flight *f)
{
    give_back(st, f);
    if (st->has_next)
        f->batch = st->next;
    else
        RN_TRY(rn_loader_next(st->s->train, &f->batch));
    st->has_next = false;
    f->holds = true;
    return RN_OK;
}

/* Batch i of the step, which is at hand. */
static int one_batch(rn_step *st, flight *f, int i)
{
    rn_net *net = st->s->net;
    const rn_batch *b = &f->batch;
    const rn_step_at *at = &f->at;
    rn_net_result res;
    const int64_t pass = (int64_t)rn_loader_batches(st->s->train); /* a step may reach into the next one */
    const int64_t epoch = at->epoch + (at->batch + i) / pass, number = (at->batch + i) % pass;
    if (b->epoch != epoch || b->number != (uint64_t)number)
        return rn_fail(RN_E_MISMATCH, "the loader gave batch %llu of epoch %u instead of batch %lld of epoch %lld",
                       (unsigned long long)b->number, b->epoch, (long long)number, (long long)epoch);
    const int64_t before = (int64_t)i * rn_comm_size(st->s->comm) + rn_comm_rank(st->s->comm); /* parts of this step */
    f->first_image = before * b->n;
    rn_net_set_step(net, st->r->seed, at->step, f->first_image);
    f->sums.waited += b->waited_s;
    tell_optimizer(st, at, i);
    RN_TRY(forward_backward(st, b, NULL));
    f->batches = rn_net_batches(net);
    if (!rn_step_overlaps(st)) /* where steps do, the next one sends its own, as early */
        RN_TRY(send_next(st, i + 1 < at->batches || at->more));
    if (looks_later(st, at, i))
        return RN_OK;
    RN_TRY(rn_net_results(net, &res));
    add_results(&f->sums, &res);
    if (st->s->comm)
        return RN_OK;
    if (!isfinite(res.loss_sum))
        return not_finite(st, f, "the loss");
    /* Now: of the sum one could not tell which batch it was. */
    return check_gradients(st, f, rn_optim_sums(st->optim).grads);
}

/* The last batch stays with the step, and so does one that went wrong. */
static int gradients(rn_step *st, flight *f)
{
    for (int i = 0; i < f->at.batches; i++) {
        RN_TRY(take_batch(st, f));
        st->untouched = false;
        RN_TRY(one_batch(st, f, i));
    }
    return RN_OK;
}

/* ---- (b) ---- */

/*
 * Each rank's gradients are of its part of the mean: their sum is the whole. Losses are looked at only when all batches have been
 * run, so that all ranks find the same: here, where the host adds up. Devices that do have decided by themselves.
 */
static int over_ranks(rn_step *st, flight *f)
{
    if (!rn_net_host_ranks(st->s->net))
        return RN_OK;
    RN_TRY(rn_ranks_sums(st->s->comm, &f->sums));
    return isfinite(f->sums.loss) ? rn_optim_follow(st->optim) : not_finite(st, f, "the loss");
}

/* ---- (c) to (f): what the device has been given by now ---- */

/* Waits for the step, of which the device has decided by itself whether to take it, and finds the same. */
static int look(rn_step *st, const flight *f, rn_step_result *out)
{
    rn_net_result res;
    const rn_step_at *at = &f->at;
    RN_TRY(rn_net_results(st->s->net, &res));
    out->sums = f->sums;
    add_results(&out->sums, &res);
    if (!rn_net_host_ranks(st->s->net))
        RN_TRY(rn_ranks_sums(st->s->comm, &out->sums));
    if (!isfinite(out->sums.loss))
        return not_finite(st, f, "the loss");
    const rn_optim_facts facts = rn_optim_sums(st->optim);
    RN_TRY(check_gradients(st, f, facts.grads));
    out->grad_norm =
        sqrt(facts.grads) * (1 / st->scale.scale) * (is_caffe(st) && isfinite(facts.grads) ? at->batches : 1);
    out->skipped = !isfinite(out->grad_norm);
    if (st->moves)
        st->scale = facts.loss_scale;
    out->loss_scale = st->scale;
    if (out->skipped || isfinite(facts.weights))
        return RN_OK;
    /* Rate or decay have made them overflow: they are lost, but no checkpoint or average has seen them. */
    st->not_finite = true;
    return rn_fail_prefix(rn_net_check_weights(st->s->net), "after the step");
}

int rn_step_start_average(rn_step *st)
{
    return st->r->ema > 0 ? rn_optim_average(st->optim, 0, st->s->eval_net) : RN_OK;
}

/* ---- the whole ---- */

static int give(rn_step *st, flight *f)
{
    rn_net_set_loss_scale(st->s->net, (float)st->scale.scale); /* as long as it does not move */
    RN_TRY(gradients(st, f));
    return over_ranks(st, f);
}

int rn_step_give(rn_step *st, const rn_step_at *at, rn_step_result *out)
{
    flight *f = &st->flights[st->n];
    *out = (rn_step_result){.grad_norm = NAN};
    if (st->n == FLIGHTS)
        return rn_fail(RN_E_RANGE, "training step: nobody has looked at the last %d steps", FLIGHTS);
    *f = (flight){.at = *at, .began = rn_now()};
    st->not_finite = false;
    st->untouched = true;
    int rc = give(st, f);
    out->not_finite = st->not_finite;
    out->untouched = st->untouched;
    if (rc < 0)
        give_back(st, f);
    else
        st->n++;
    return rc;
}

int rn_step_look(rn_step *st, rn_step_result *out)
{
    flight f = st->flights[0];
    *out = (rn_step_result){.grad_norm = NAN};
    st->not_finite = false;
    int rc = look(st, &f, out);
    out->not_finite = st->not_finite;
    give_back(st, &f);
    st->flights[0] = st->flights[1];
    st->flights[1].holds = false;
    st->n--;
    if (rc < 0)
        return rc;
    /* A step that was given while another was under way begins when that one ends. */
    const double now = rn_now();
    out->sums.seconds = now - fmax(f.began, st->looked);
    st->looked = now;
    return RN_OK;
}

int rn_step_run(rn_step *st, const rn_step_at *at, rn_step_result *out)
{
    RN_TRY(rn_step_give(st, at, out));
    return rn_step_look(st, out);
}
