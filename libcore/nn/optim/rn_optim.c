/* SPDX-License-Identifier: MIT */
#include "nn/optim/rn_optim.h"

#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "nn/graph/rn_net_impl.h"
#include "op/rn_op_check.h"

struct rn_optim {
    rn_net *net;
    rn_optim_rule rule;
    bool averages;         /* at the step under way */
    bool moves;            /* facts->loss_scale is the next step's */
    float *sum;            /* of the gradients of the batches before; NULL: never more than one */
    float *losses;         /* of a step's batches and all ranks, place by place: 0, or NaN where one is not finite; NULL
                              where the host has looked at them, or there is one batch of one rank */
    rn_optim_facts *facts; /* on the device; behind them what clip has found */
    size_t bytes;          /* of device memory */
    rn_optim_facts *host;  /* page-locked where that matters; for each of the net's turns */
};

/* ---- the update ---- */

static bool is_norm_or_bias(const rn_param *p)
{
    return p->kind == RN_PARAM_BIAS || p->kind == RN_PARAM_GAMMA || p->kind == RN_PARAM_BETA;
}

void rn_optim_spare_norms(rn_net *net)
{
    for (int i = 0; i < net->graph.nparams; i++)
        if (is_norm_or_bias(&net->graph.params[i]))
            net->graph.params[i].decay_mult = 0;
}

/* The values from..to-1 of the block, whose parameters all have p's factors. now: see rn_op_sgd. */
static int sgd_range(const rn_net *net, const rn_sgd_opts *o, const rn_op_now *now, const rn_param *p, int64_t from,
                     int64_t to)
{
    const rn_weights *w = net->weights;
    const rn_op_sgd a = {.n = to - from,
                         .w = w->values + from,
                         .v = w->momentum + from,
                         .g = w->grads + from,
                         .lr = o->lr * p->lr_mult,
                         .mu = o->momentum,
                         .wd = o->weight_decay * p->decay_mult,
                         .grad_scale = o->grad_scale == 0 ? 1 : o->grad_scale,
                         .nesterov = o->nesterov,
                         .scale = o->scale,
                         .caffe = o->caffe,
                         .now = now};
    return net->be->ops->sgd(net->be, &a, NULL);
}

static int sgd(const rn_net *net, const rn_sgd_opts *o, const rn_op_now *now)
{
    const rn_weights *w = net->weights;
    const rn_param *first = NULL; /* of the range under way, which begins at `from` */
    int64_t from = 0;
    for (int spared = 0; spared < 2; spared++) { /* the order in memory: see rn_weights */
        for (int i = 0; i < net->graph.nparams; i++) {
            const rn_param *p = &net->graph.params[i];
            if (!p->grad || (p->grad - w->grads >= w->n_decay) != spared)
                continue;
            if (first && p->lr_mult == first->lr_mult && p->decay_mult == first->decay_mult)
                continue;
            if (first)
                RN_TRY(sgd_range(net, o, now, first, from, p->grad - w->grads));
            first = p;
            from = p->grad - w->grads;
        }
    }
    if (first)
        RN_TRY(sgd_range(net, o, now, first, from, w->n_decay + w->n_spared));
    return RN_OK;
}

int rn_optim_sgd(rn_net *net, const rn_sgd_opts *o)
{
    if (!net->weights->grads)
        return rn_fail(RN_E_UNSUPPORTED, "net: an evaluation net has no gradients to step along");
    RN_TRY(sgd(net, o, NULL));
    return rn_net_params_changed(net);
}

float *rn_optim_grads(rn_net *net, int64_t *n)
{
    *n = net->weights->grads ? net->weights->n_decay + net->weights->n_spared : 0;
    return net->weights->grads;
}

/* ---- over several batches and steps ---- */

/* One block: facts, clip's result, and the sums where there are such. */
static int alloc_state(rn_optim *o, int64_t n, bool accumulates)
{
    rn_backend *be = o->net->be;
    const size_t facts = rn_net_aligned(sizeof *o->facts + sizeof(float));
    void *p = NULL;
    const size_t sum = accumulates ? rn_net_aligned((size_t)n * sizeof *o->sum) : 0;
    const bool losses = (accumulates || o->net->opts.comm) && !rn_net_host_ranks(o->net);
    o->bytes = facts + sum + (losses ? (size_t)o->net->opts.batch * sizeof *o->losses : 0);
    RN_TRY(be->alloc(be, o->bytes, &p));
    o->facts = p;
    o->sum = accumulates ? (float *)(void *)((uint8_t *)p + facts) : NULL;
    o->losses = losses ? (float *)(void *)((uint8_t *)p + facts + sum) : NULL;
    RN_TRY(be->memset(be, p, 0, facts, NULL)); /* of no step: finite */
    RN_TRY(rn_backend_alloc_host(be, RN_NET_TURNS * sizeof *o->host, &p));
    o->host = p;
    return RN_OK;
}

static int grad_sumsq(const rn_optim *o);
static int weight_sumsq(const rn_optim *o);

/* The ops' scratch, as for a net's pass; where that cannot be found out, the first step takes it. */
static int rehearse(const rn_optim *o)
{
    rn_backend *be = o->net->be;
    size_t scratch;
    if (!be->rehearse_begin)
        return RN_OK;
    int rc = be->rehearse_begin(be);
    if (rc >= 0) {
        rc = grad_sumsq(o);
        if (rc >= 0)
            rc = weight_sumsq(o);
        const int end = be->rehearse_end(be, &scratch);
        rc = rc < 0 ? rc : end;
    }
    return rc == RN_E_NOMEM ? rc : RN_OK;
}

int rn_optim_open(rn_net *net, bool accumulates, rn_optim **out)
{
    int64_t n;
    if (!rn_optim_grads(net, &n))
        return rn_fail(RN_E_UNSUPPORTED, "net: an evaluation net cannot be optimized");
    rn_optim *o = calloc(1, sizeof *o);
    if (!o)
        return rn_fail(RN_E_NOMEM, "optimizer: out of memory");
    o->net = net;
    int rc = alloc_state(o, n, accumulates);
    if (rc >= 0)
        rc = rehearse(o);
    if (rc < 0) {
        rn_optim_close(o);
        return rn_fail_prefix(rc, "the optimizer's state");
    }
    *out = o;
    return RN_OK;
}

size_t rn_optim_bytes(const rn_optim *o)
{
    return o->bytes;
}

void rn_optim_close(rn_optim *o)
{
    if (!o)
        return;
    rn_backend *be = o->net->be;
    rn_net_forget_pass(o->net); /* its memory may be part of it */
    be->free(be, o->facts);     /* and the sum behind them */
    rn_backend_free_host(be, o->host);
    free(o);
}

static int axpby(const rn_optim *o, const rn_op_axpby *a)
{
    return o->net->be->ops->axpby(o->net->be, a, NULL);
}

/* What a batch before the last adds to the sum, and the last one makes of it. */
static void set_shares(int i, int n, float ab[2])
{
    const float part = 1.0f / (float)n;
    ab[0] = i < n - 1 ? 1 : part;
    ab[1] = i < n - 1 ? (i > 0 ? 1 : 0) : part;
}

/* ab: NULL for a and b, or in device memory. */
static int add_up(const rn_optim *o, bool last, float a, float b, const float *ab)
{
    rn_op_axpby p = {.a = a, .b = b, .ab = ab};
    float *g = rn_optim_grads(o->net, &p.n);
    p.x = last ? o->sum : g;
    p.y = last ? g : o->sum;
    return axpby(o, &p);
}

int rn_optim_accumulate(rn_optim *o, int i, int n)
{
    float ab[2];
    set_shares(i, n, ab);
    return n == 1 ? RN_OK : add_up(o, i == n - 1, ab[0], ab[1], NULL);
}

static int sumsq(const rn_optim *o, const float *x, int64_t n, double *sum)
{
    rn_backend *be = o->net->be;
    return be->ops->sumsq(be, &(rn_op_sumsq){n, x, sum}, NULL);
}

static int grad_sumsq(const rn_optim *o)
{
    int64_t n;
    const float *g = rn_optim_grads(o->net, &n);
    return sumsq(o, g, n, &o->facts->grads);
}

static int weight_sumsq(const rn_optim *o)
{
    return sumsq(o, o->net->weights->values, o->net->weights->n_total, &o->facts->weights);
}

static int send_facts(const rn_optim *o)
{
    rn_backend *be = o->net->be;
    return be->copy(be, &o->host[o->net->newest], o->facts, sizeof *o->host, RN_COPY_D2H, NULL);
}

static int wait_for_facts(const rn_optim *o)
{
    rn_backend *be = o->net->be;
    RN_TRY(send_facts(o));
    return be->sync ? be->sync(be, NULL) : RN_OK;
}

int rn_optim_grad_sumsq(rn_optim *o, double *out)
{
    RN_TRY(grad_sumsq(o));
    RN_TRY(wait_for_facts(o));
    *out = o->host[o->net->newest].grads;
    return RN_OK;
}

int rn_optim_weight_sumsq(rn_optim *o, double *out)
{
    RN_TRY(weight_sumsq(o));
    RN_TRY(wait_for_facts(o));
    *out = o->host[o->net->newest].weights;
    return RN_OK;
}

rn_optim_facts rn_optim_sums(const rn_optim *o)
{
    return o->host[o->net->told];
}

double rn_optim_clip(double norm, double limit, bool caffe)
{
    return rn_op_clip_factor(norm, limit, caffe);
}

double rn_optim_decay(double decay, bool warmup, int64_t t)
{
    return warmup ? fmin(decay, (double)(1 + t) / (double)(10 + t)) : decay;
}

static int check_average(const rn_optim *o, const rn_net *average)
{
    if (average->weights == o->net->weights || average->weights->n_total != o->net->weights->n_total)
        return rn_fail(RN_E_RANGE, "optimizer: the average needs a net of the same model with weights of its own");
    return RN_OK;
}

/* How: all but n, x and y. */
static int average_with(const rn_optim *o, rn_op_axpby how, rn_net *average)
{
    how.n = o->net->weights->n_total;
    how.x = o->net->weights->values;
    how.y = average->weights->values;
    return axpby(o, &how);
}

int rn_optim_average(rn_optim *o, double decay, rn_net *average)
{
    RN_TRY(check_average(o, average));
    if (decay == 0) /* where each average begins: as many weights may still be others */
        RN_TRY(rn_net_same_params(&o->net->graph, &average->graph));
    average->weights->version++; /* its convolutions follow when it is run */
    return average_with(o, (rn_op_axpby){.a = (float)(1 - decay), .b = (float)decay}, average);
}

/* ---- with the net's passes ---- */

int rn_optim_set_rule(rn_optim *o, const rn_optim_rule *rule)
{
    if (rule->average)
        RN_TRY(check_average(o, rule->average));
    rn_net_forget_pass(o->net);
    o->rule = *rule;
    return RN_OK;
}

int rn_optim_move_loss_scale(rn_optim *o, const rn_loss_scale *from)
{
    rn_backend *be = o->net->be;
    rn_optim_facts *host = &o->host[o->net->newest];
    o->moves = from;
    if (!from)
        return RN_OK;
    host->loss_scale = *from;
    RN_TRY(be->copy(be, &o->facts->loss_scale, &host->loss_scale, sizeof *from, RN_COPY_H2D, NULL));
    return be->sync ? be->sync(be, NULL) : RN_OK;
}

/* The losses of a batch, each times 0: what is not finite stays so in every sum. */
static int add_losses(const rn_optim *o)
{
    const rn_op_axpby a = {
        .n = o->net->opts.batch, .x = rn_net_losses(o->net), .y = o->losses, .ab = rn_net_now(o->net)->finite};
    return o->losses ? axpby(o, &a) : RN_OK;
}

/* What one rank alone finds all have to find. */
static int over_ranks(const rn_optim *o)
{
    rn_backend *be = o->net->be;
    if (!o->net->opts.comm || !o->losses)
        return RN_OK;
    RN_TRY(be->ranks_sum(be, o->losses, o->net->opts.batch, false, NULL));
    return rn_net_reduce(o->net);
}

static int update(rn_optim *o)
{
    rn_net *net = o->net;
    rn_backend *be = net->be;
    const rn_optim_rule *r = &o->rule;
    const rn_op_now *now = rn_net_now(net);
    float *scale = (float *)(o->facts + 1);
    const bool looked = rn_net_host_ranks(net); /* at the losses of all */
    const rn_op_clip clip = {.sumsq = &o->facts->grads,
                             .before = r->blind ? &o->facts->weights : NULL,
                             .loss = looked      ? NULL
                                     : o->losses ? o->losses
                                                 : rn_net_losses(net),
                             .out = scale,
                             .n = looked ? 0 : net->opts.batch,
                             .limit = r->limit,
                             .caffe = r->caffe,
                             .now = now};
    const rn_sgd_opts factors = {
        .lr = 1, .weight_decay = r->weight_decay, .nesterov = r->nesterov, .caffe = r->caffe, .scale = scale};
    RN_TRY(grad_sumsq(o));
    RN_TRY(be->ops->clip(be, &clip, NULL));
    RN_TRY(sgd(net, &factors, now));
    RN_TRY(rn_net_give_params(net));
    RN_TRY(weight_sumsq(o));
    if (!r->average)
        return RN_OK;
    return average_with(o, (rn_op_axpby){.ab = now->average, .scale = scale, .sumsq = &o->facts->weights}, r->average);
}

static int give(void *with, unsigned kind)
{
    rn_optim *o = with;
    const float *ab = rn_net_now(o->net)->sum;
    if (kind & RN_TAIL_SUM) {
        RN_TRY(o->net->opts.comm
                   ? RN_OK
                   : grad_sumsq(o)); /* the host looks at it: of the sum one could not tell which it was */
        RN_TRY(add_up(o, false, 1, 1, ab));
    }
    if (kind & RN_TAIL_MEAN)
        RN_TRY(add_up(o, true, 1, 1, ab));
    RN_TRY(add_losses(o));
    if (!(kind & RN_TAIL_UPDATE))
        return RN_OK;
    RN_TRY(over_ranks(o));
    return update(o);
}

static int given(void *with, unsigned kind)
{
    const rn_optim *o = with;
    if (kind & RN_TAIL_UPDATE) {
        rn_net_gave_params(o->net);
        if (o->averages)
            o->rule.average->weights->version++;
    }
    return send_facts(o);
}

static void follow(rn_optim *o, unsigned kind)
{
    o->net->tail = (rn_tail){.kind = kind, .give = give, .given = given, .with = o};
}

void rn_optim_before(rn_optim *o, const rn_optim_now *now)
{
    rn_op_now *n = &o->net->now;
    const bool last = now->batch == now->batches - 1;
    unsigned kind = 0;
    n->lr = now->lr;
    n->mu = now->momentum;
    n->scale = 1 / now->loss_scale;
    n->loss_scale = o->moves ? &o->facts->loss_scale : NULL;
    n->times = o->rule.caffe ? now->batches : 1;
    n->average[0] = (float)(1 - now->decay);
    n->average[1] = (float)now->decay;
    set_shares(now->batch, now->batches, n->sum);
    n->finite[0] = 0;
    n->finite[1] = now->batch > 0;
    o->averages = o->rule.average && !isnan(now->decay);
    if (now->batches > 1)
        kind |= last ? RN_TAIL_MEAN : RN_TAIL_SUM;
    if (last && !rn_net_host_ranks(o->net))
        kind |= RN_TAIL_UPDATE;
    follow(o, kind);
}

int rn_optim_follow(rn_optim *o)
{
    if (!rn_net_host_ranks(o->net))
        return RN_OK;
    RN_TRY(rn_net_reduce(o->net));
    follow(o, RN_TAIL_UPDATE);
    RN_TRY(rn_net_tail(o->net));
    return rn_net_extend_turn(o->net);
}
