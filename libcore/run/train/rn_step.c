/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "nn/graph/rn_watch.h"
#include "run/train/rn_ranks.h"
#include "run/train/rn_step_impl.h"

bool rn_step_overlaps(const rn_step *st)
{
    return st->s->be->event_sync && !rn_net_host_ranks(st->s->net);
}

static int set_rule(rn_step *st)
{
    const rn_recipe *r = st->r;
    const rn_optim_rule rule = {.weight_decay = (float)r->weight_decay,
                                .nesterov = r->nesterov,
                                .caffe = rn_step_is_caffe(st),
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

void rn_step_let_go(rn_step *st)
{
    (void)rn_net_settle(st->s->net); /* what is on its way is still read */
    rn_step_give_back(st);
    st->nways = 0;
}

int rn_step_start_average(rn_step *st)
{
    return st->r->ema > 0 ? rn_optim_average(st->optim, 0, st->s->eval_net) : RN_OK;
}

/* ---- given ---- */

int rn_step_give(rn_step *st, const rn_step_at *at, rn_step_result *out)
{
    *out = (rn_step_result){.grad_norm = NAN};
    if (st->nways == 2 || (st->nways && !st->ways[0].whole))
        return rn_fail(RN_E_RANGE, "training step: nobody has looked at the last one");
    rn_step_way *w = &st->ways[st->nways];
    *w = (rn_step_way){.at = *at, .began = rn_now()};
    st->not_finite = false;
    st->untouched = true;
    int rc = rn_step_give_batch(st, w);
    out->untouched = st->untouched;
    st->nways += rc >= 0;
    return rc;
}

/*
 * Each rank's gradients are of its part of the mean: their sum is the whole. Losses are looked at only when all batches have been
 * run, so that all ranks find the same: here, where the host adds up. Devices that do have decided by themselves.
 */
static int over_ranks(rn_step *st, rn_step_way *w)
{
    double loss;
    if (!rn_net_host_ranks(st->s->net))
        return RN_OK;
    RN_TRY(rn_step_results(st, &w->sums, &loss));
    RN_TRY(rn_ranks_sums(st->s->comm, &w->sums));
    return isfinite(w->sums.loss) ? rn_optim_follow(st->optim) : rn_step_not_finite(st, "the loss");
}

/* The next batch, while the one before is under way, where that may be and the loader has it: the device would wait for it, otherwise,
 * and nobody would have looked. */
static int next_batch(rn_step *st, rn_step_way *w)
{
    if (rn_step_overlaps(st) && rn_loader_ready(st->s->train)) {
        const int given = w->given;
        st->untouched = true;
        int rc = rn_step_give_batch(st, w);
        if (rc < 0 && !st->untouched)
            return rc;
        RN_TRY(rn_step_look_at_batch(st));
        if (w->given > given)
            return RN_OK;
    } else
        RN_TRY(rn_step_look_at_batch(st));
    return rn_step_give_batch(st, w);
}

static int give_rest(rn_step *st, rn_step_way *w)
{
    while (w->given < w->at.batches)
        RN_TRY(next_batch(st, w));
    RN_TRY(over_ranks(st, w));
    w->whole = true;
    return RN_OK;
}

int rn_step_rest(rn_step *st, rn_step_result *out)
{
    *out = (rn_step_result){.grad_norm = NAN};
    st->not_finite = false;
    int rc = st->ways[0].whole ? RN_OK : give_rest(st, &st->ways[0]);
    out->not_finite = st->not_finite;
    return rc;
}

/* ---- looked at ---- */

/* Waits for the step, of which the device has decided by itself whether to take it, and finds the same. */
static int look(rn_step *st, const rn_step_way *w, rn_step_result *out)
{
    double loss;
    out->sums = w->sums;
    RN_TRY(rn_step_results(st, &out->sums, &loss));
    if (!rn_net_host_ranks(st->s->net))
        RN_TRY(rn_ranks_sums(st->s->comm, &out->sums));
    if (!isfinite(out->sums.loss))
        return rn_step_not_finite(st, "the loss");
    const rn_optim_facts facts = rn_optim_sums(st->optim);
    RN_TRY(rn_step_check_gradients(st, facts.grads));
    out->grad_norm =
        sqrt(facts.grads) * (1 / st->scale.scale) * (rn_step_is_caffe(st) && isfinite(facts.grads) ? w->at.batches : 1);
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

int rn_step_look(rn_step *st, rn_step_result *out)
{
    RN_TRY(rn_step_rest(st, out));
    const rn_step_way w = st->ways[0];
    int rc = look(st, &w, out);
    out->not_finite = st->not_finite;
    rn_step_drop_batch(st);
    st->ways[0] = st->ways[1];
    st->nways--;
    if (rc < 0)
        return rc;
    /* A step that was given while another was under way begins when that one ends. */
    const double now = rn_now();
    out->sums.seconds = now - fmax(w.began, st->looked);
    st->looked = now;
    return RN_OK;
}

int rn_step_run(rn_step *st, const rn_step_at *at, rn_step_result *out)
{
    RN_TRY(rn_step_give(st, at, out));
    return rn_step_look(st, out);
}
