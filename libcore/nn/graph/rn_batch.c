/* SPDX-License-Identifier: MIT */
/* One batch: input in, forward, backward, results out. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_half.h"
#include "nn/graph/rn_input.h"
#include "nn/graph/rn_net_impl.h"

static int check_batch(const rn_net *net, int n, bool train)
{
    if (train && !net->opts.train)
        return rn_fail(RN_E_UNSUPPORTED, "net: opened for evaluation only; open it with train set");
    if (train && n != net->opts.batch)
        return rn_fail(RN_E_RANGE,
                       "net: %d images for a training batch of %d: padding would enter the batch statistics; "
                       "drop the last batch",
                       n, net->opts.batch);
    if (n < 1 || n > net->opts.batch)
        return rn_fail(RN_E_RANGE, "net: %d images; this net takes 1..%d", n, net->opts.batch);
    return RN_OK;
}

static int check_labels(const rn_net *net, const int32_t *labels, int n)
{
    for (int i = 0; i < n; i++)
        if (labels[i] < 0 || labels[i] >= net->spec.classes)
            return rn_fail(RN_E_RANGE, "net: label %d of image %d; the net has %d classes", (int)labels[i], i,
                           net->spec.classes);
    return RN_OK;
}

static float *loss_slot(const rn_net *net)
{
    return rn_net_slot(net, RN_SLOT_AUX, net->graph.nnodes - 1);
}

/*
 * What goes with a batch beside its images, in the loss's slot as on the host: out come losses and ranks, in go two sets of labels
 * and what may differ from batch to batch. Each way is one copy.
 */
enum { HALF = 2 }; /* words an image, each way */

static size_t out_bytes(const rn_net *net)
{
    return HALF * sizeof(float) * (size_t)net->opts.batch;
}

static size_t in_bytes(const rn_net *net)
{
    return HALF * sizeof(int32_t) * (size_t)net->opts.batch + rn_plan_now_bytes(&net->graph);
}

int rn_net_open_io(rn_net *net)
{
    rn_backend *be = net->be;
    for (int i = 0; i < RN_NET_TURNS; i++) {
        RN_TRY(rn_backend_alloc_host(be, out_bytes(net) + in_bytes(net), &net->turns[i].host));
        if (be->event_sync)
            RN_TRY(be->event_open(be, &net->turns[i].given));
    }
    return RN_OK;
}

void rn_net_close_io(rn_net *net)
{
    for (int i = 0; i < RN_NET_TURNS; i++) {
        if (net->turns[i].given)
            net->be->event_close(net->be, net->turns[i].given);
        rn_backend_free_host(net->be, net->turns[i].host);
    }
}

static int32_t *host_labels(const rn_net *net, int which)
{
    return (int32_t *)net->turns[net->newest].host + (size_t)(HALF + which) * (size_t)net->opts.batch;
}

static rn_op_now *host_now(const rn_net *net)
{
    return (rn_op_now *)(void *)host_labels(net, 2);
}

static int fetch(const rn_net *net, void *dst, const void *src, size_t bytes)
{
    rn_backend *be = net->be;
    RN_TRY(be->copy(be, dst, src, bytes, RN_COPY_D2H, NULL));
    return be->sync ? be->sync(be, NULL) : RN_OK;
}

int rn_net_extend_turn(rn_net *net)
{
    rn_backend *be = net->be;
    return be->event_sync ? be->event_record(be, net->turns[net->newest].given, NULL) : RN_OK;
}

/* Results to the host, by the time that someone waits for this turn. */
static int send_results(rn_net *net, int n)
{
    rn_backend *be = net->be;
    rn_net_turn *t = &net->turns[net->newest];
    RN_TRY(be->copy(be, t->host, loss_slot(net), out_bytes(net), RN_COPY_D2H, NULL));
    t->n = n;
    return rn_net_extend_turn(net);
}

static int wait_for(rn_net *net, const rn_net_turn *t)
{
    rn_backend *be = net->be;
    if (be->event_sync)
        return be->event_sync(be, t->given);
    return be->sync ? be->sync(be, NULL) : RN_OK;
}

/* What a batch is given with is still read until its results are known: it takes the older turn. */
static int next_turn(rn_net *net)
{
    const int next = (net->newest + 1) % RN_NET_TURNS;
    const bool late = net->turns[next].n > 0; /* nobody has asked */
    net->turns[next].n = 0;
    net->newest = next;
    return late ? wait_for(net, &net->turns[next]) : RN_OK;
}

int rn_net_results(rn_net *net, rn_net_result *out)
{
    const int older = (net->newest + 1) % RN_NET_TURNS;
    net->told = net->turns[older].n > 0 ? older : net->newest;
    rn_net_turn *t = &net->turns[net->told];
    const float *loss = t->host;
    const int32_t *rank = (const int32_t *)t->host + net->opts.batch;
    const int n = t->n;
    *out = (rn_net_result){.n = n};
    t->n = 0;
    RN_TRY(wait_for(net, t));
    for (int i = 0; i < n; i++) {
        out->loss_sum += (double)loss[i];
        out->top1 += rank[i] < 1;
        out->top5 += rank[i] < 5 && rank[i] < net->spec.classes; /* a NaN's rank is the latter */
    }
    return RN_OK;
}

const float *rn_net_losses(const rn_net *net)
{
    return loss_slot(net);
}

/* Place 0 or 1 of the labels. */
static int put_labels(rn_net *net, int which, const int32_t *labels, int n)
{
    RN_TRY(check_labels(net, labels, n));
    memcpy(host_labels(net, which), labels, (size_t)n * sizeof *labels);
    return RN_OK;
}

static int put_in(rn_net *net, const int32_t *labels, int n, bool train)
{
    RN_TRY(put_labels(net, 0, labels, n));
    if (net->mixed)
        RN_TRY(put_labels(net, 1, net->labels2, n));
    net->now.rows = (float)n * (float)rn_comm_size(net->opts.comm);
    net->now.grad_scale = net->loss_scale / net->now.rows;
    rn_net_put_now(net, train, host_now(net));
    return net->be->copy(net->be, loss_slot(net) + HALF * (size_t)net->opts.batch, host_labels(net, 0), in_bytes(net),
                         RN_COPY_H2D, NULL);
}

int rn_net_distill(rn_net *net, const rn_distill *d)
{
    const rn_net *t = d->teacher;
    if (t) {
        const rn_tensor *mine = &net->graph.values[net->graph.images].t, *its = &t->graph.values[t->graph.images].t;
        if (t->spec.classes != net->spec.classes)
            return rn_fail(RN_E_MISMATCH, "the teacher tells %d classes apart, the model %d", t->spec.classes,
                           net->spec.classes);
        if (t->be != net->be || memcmp(mine->dim, its->dim, sizeof mine->dim) != 0)
            return rn_fail(RN_E_MISMATCH,
                           "the teacher takes batches of %lldx%lldx%lldx%lld, the model of "
                           "%lldx%lldx%lldx%lld",
                           (long long)its->dim[0], (long long)its->dim[1], (long long)its->dim[2],
                           (long long)its->dim[3], (long long)mine->dim[0], (long long)mine->dim[1],
                           (long long)mine->dim[2], (long long)mine->dim[3]);
        if (net->graph.values[net->graph.logits].t.dtype != RN_F32 ||
            t->graph.values[t->graph.logits].t.dtype != RN_F32)
            return rn_fail(RN_E_UNSUPPORTED, "distillation compares scores in f32, those of a net here are not");
        if (!(d->temperature > 0) || !(d->hard >= 0) || !(d->soft >= 0))
            return rn_fail(RN_E_RANGE, "distillation at temperature %g with the weights %g and %g",
                           (double)d->temperature, (double)d->hard, (double)d->soft);
    }
    rn_net_forget_pass(net);
    net->distill = *d;
    return RN_OK;
}

int rn_net_set_windows(rn_net *net, const rn_origin *windows, int n)
{
    const rn_net_opts *o = &net->opts;
    const int64_t *dim = net->graph.values[net->graph.images].t.dim;
    if (!net->windows)
        return RN_OK;
    if (!windows || n < 1 || n > o->batch)
        return rn_fail(RN_E_RANGE, "net: the places of %d images in a mean image; this net takes 1..%d",
                       windows ? n : 0, o->batch);
    for (int i = 0; i < n; i++)
        if (windows[i].x < 0 || windows[i].y < 0 || windows[i].y > o->mean_h - dim[1] ||
            windows[i].x > o->mean_w - dim[2])
            return rn_fail(RN_E_RANGE, "net: image %d lies at %d,%d: outside of the mean image of %d x %d", i,
                           (int)windows[i].x, (int)windows[i].y, o->mean_w, o->mean_h);
    net->placed = n;
    return net->be->copy(net->be, net->windows, windows, (size_t)n * sizeof *windows, RN_COPY_H2D, NULL);
}

/* Each batch's images lie elsewhere. */
static int check_windows(rn_net *net, bool pixels, int n)
{
    const int placed = net->placed;
    net->placed = 0;
    if (!pixels || !net->windows || placed == n)
        return RN_OK;
    return rn_fail(RN_E_RANGE, "net: a batch of %d images, of which %d have a place in the mean image", n, placed);
}

/*
 * The teacher's scores of the batch, of which our own value has the pixels already, or f32 whatever comes instead. Its own loss
 * is of no concern: the labels it reads are those its memory began with, 0.
 */
static int ask_teacher(rn_net *net, int value, int first, int n)
{
    rn_net *t = net->distill.teacher;
    rn_tensor *its = &t->graph.values[value == net->graph.images ? t->graph.images : t->graph.input].t;
    void *own = its->data;
    int rc = rn_net_prepare(t);
    its->data = net->graph.values[value].t.data; /* nobody writes there before it has run */
    if (rc >= 0)
        rc = rn_net_forward(t, first, false, n);
    its->data = own;
    return rc < 0 ? rn_fail_prefix(rc, "teacher") : RN_OK;
}

/* A training batch of pixels that lie in a room of their own, which is free again when they have been read. */
static int train_sent(rn_net *net, const uint8_t *images, int n)
{
    const bool whole = net->watched; /* the first node is looked at, too */
    RN_TRY(rn_input_begin(net, images, n));
    int rc = net->distill.teacher ? ask_teacher(net, net->graph.images, 0, n) : RN_OK;
    if (rc >= 0)
        rc = whole ? rn_net_train_pass(net, 0) : rn_net_normalize(net);
    const int done = rn_input_done(net);
    RN_TRY(rc);
    RN_TRY(done);
    return whole ? RN_OK : rn_net_train_pass(net, 1);
}

/* `value`: the graph's input, to which `data` is copied; NULL: what was picked. */
static int copy_and_run(rn_net *net, int value, int first, const void *data, int n, bool train)
{
    rn_backend *be = net->be;
    const rn_tensor *in = &net->graph.values[value].t;
    const size_t bytes = rn_tensor_bytes(in) / (size_t)net->opts.batch * (size_t)n;
    RN_TRY(data ? be->copy(be, in->data, data, bytes, RN_COPY_H2D, NULL) : rn_net_pick(net, n));
    if (train && net->distill.teacher)
        RN_TRY(ask_teacher(net, value, first, n));
    return train ? rn_net_train_pass(net, first) : rn_net_forward(net, first, false, n);
}

/* The nodes from `first` on are run. */
static int run_batch(rn_net *net, int value, int first, const void *data, const int32_t *labels, int n, bool train,
                     rn_net_result *out)
{
    const bool pixels = value == net->graph.images;
    RN_TRY(check_batch(net, n, train));
    RN_TRY(next_turn(net));
    RN_TRY(check_windows(net, pixels, n));
    RN_TRY(rn_net_prepare(net));
    RN_TRY(put_in(net, labels, n, train));
    net->batches += train;
    RN_TRY(train && pixels && data && net->input ? train_sent(net, data, n)
                                                 : copy_and_run(net, value, first, data, n, train));
    RN_TRY(send_results(net, n));
    return out ? rn_net_results(net, out) : RN_OK;
}

void rn_net_set_step(rn_net *net, uint64_t seed, int64_t step, int64_t first_image)
{
    net->now.seed = seed;
    net->now.step = (uint32_t)step;
    net->now.first_image = first_image;
}

int rn_net_train_batch(rn_net *net, const uint8_t *images, const int32_t *labels, int n, rn_net_result *out)
{
    return run_batch(net, net->graph.images, 0, images, labels, n, true, out);
}

int rn_net_train_batch_mixed(rn_net *net, const uint8_t *images, const int32_t *labels, const int32_t *labels2,
                             float share, int n, rn_net_result *out)
{
    if (!(share >= 0 && share <= 1))
        return rn_fail(RN_E_RANGE, "net: a share of %g; 0 to 1 are possible", (double)share);
    net->labels2 = labels2;
    net->now.share = share;
    net->mixed = true;
    int rc = run_batch(net, net->graph.images, 0, images, labels, n, true, out);
    net->mixed = false;
    return rc;
}

int rn_net_eval_batch(rn_net *net, const uint8_t *images, const int32_t *labels, int n, rn_net_result *out)
{
    return run_batch(net, net->graph.images, 0, images, labels, n, false, out);
}

/* f32 input by way of the type of the activations. */
static int run_f32(rn_net *net, const float *input, const int32_t *labels, int n, bool train, rn_net_result *out)
{
    const rn_dtype t = net->opts.dtype;
    if (t == RN_F32)
        return run_batch(net, net->graph.input, 1, input, labels, n, train, out);
    RN_TRY(check_batch(net, n, train));
    const int64_t count = rn_tensor_count(&net->graph.values[net->graph.input].t) / net->opts.batch * n;
    uint16_t *narrow = malloc((size_t)count * sizeof *narrow);
    if (!narrow)
        return rn_fail(RN_E_NOMEM, "net: no memory for %d images in %s", n, rn_dtype_name(t));
    for (int64_t i = 0; i < count; i++)
        narrow[i] = t == RN_BF16 ? rn_bf16_of_f32(input[i]) : rn_f16_of_f32(input[i]);
    int rc = run_batch(net, net->graph.input, 1, narrow, labels, n, train, out);
    free(narrow);
    return rc;
}

int rn_net_train_batch_f32(rn_net *net, const float *input, const int32_t *labels, int n, rn_net_result *out)
{
    return run_f32(net, input, labels, n, true, out);
}

int rn_net_eval_batch_f32(rn_net *net, const float *input, const int32_t *labels, int n, rn_net_result *out)
{
    return run_f32(net, input, labels, n, false, out);
}

int rn_net_outputs(rn_net *net, float *logits, float *losses)
{
    const rn_tensor *t = &net->graph.values[net->graph.logits].t;
    if (logits)
        RN_TRY(fetch(net, logits, t->data, rn_tensor_bytes(t)));
    if (losses)
        RN_TRY(fetch(net, losses, loss_slot(net), (size_t)net->opts.batch * sizeof *losses));
    return RN_OK;
}
