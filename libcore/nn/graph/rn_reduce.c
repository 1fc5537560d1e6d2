/* SPDX-License-Identifier: MIT */
#include "nn/graph/rn_reduce.h"

#include <stdlib.h>

#include "base/rn_error.h"
#include "nn/graph/rn_buckets.h"

enum { BUCKET_FLOATS = 2 << 20 }; /* 8 MiB */

typedef struct way {
    rn_event ready, copied; /* its gradients are made; they are in the host's memory */
} way;

struct rn_reduce {
    rn_stream stream;
    rn_event done;
    float *host; /* page-locked, of all weights; NULL: from device to device */
    rn_bucket *buckets;
    way *ways;
    int n, sent, summed; /* buckets: all, on their way, added up (the host's part of it) */
    bool joined;         /* the last backward pass has done it all */
};

/* ---- open ---- */

static int open_events(rn_net *net)
{
    rn_backend *be = net->be;
    rn_reduce *r = net->reduce;
    RN_TRY(be->stream_open(be, &r->stream));
    RN_TRY(be->event_open(be, &r->done));
    for (int i = 0; i < r->n; i++) {
        RN_TRY(be->event_open(be, &r->ways[i].ready));
        RN_TRY(be->event_open(be, &r->ways[i].copied));
    }
    return RN_OK;
}

int rn_reduce_open(rn_net *net)
{
    const rn_weights *w = net->weights;
    rn_backend *be = net->be;
    void *p = NULL;
    if (!net->opts.comm || !net->opts.train || !be->stream_open)
        return RN_OK;
    rn_reduce *r = calloc(1, sizeof *r);
    if (!r)
        return rn_fail(RN_E_NOMEM, "net: out of memory");
    net->reduce = r; /* whatever happens: rn_reduce_close cleans up */
    RN_TRY(rn_buckets_cut(&net->graph, w->grads, w->n_decay, w->n_decay + w->n_spared,
                          net->opts.bucket > 0 ? net->opts.bucket : BUCKET_FLOATS, &r->buckets, &r->n));
    r->ways = calloc((size_t)r->n + 1, sizeof *r->ways);
    if (!r->ways)
        return rn_fail(RN_E_NOMEM, "net: out of memory");
    if (rn_net_host_ranks(net)) {
        const size_t bytes = (size_t)w->n_total * sizeof *r->host;
        int rc = be->alloc_host(be, bytes, &p);
        if (rc < 0)
            return rn_fail_prefix(rc, "page-locked memory for what ranks exchange (%zu bytes)", bytes);
        r->host = p;
    }
    return open_events(net);
}

void rn_reduce_close(rn_net *net)
{
    rn_backend *be = net->be;
    rn_reduce *r = net->reduce;
    if (!r)
        return;
    if (r->stream)
        be->sync(be, r->stream); /* a step that failed may have left something under way */
    for (int i = 0; r->ways && i < r->n; i++) {
        be->event_close(be, r->ways[i].ready);
        be->event_close(be, r->ways[i].copied);
    }
    be->event_close(be, r->done);
    be->stream_close(be, r->stream);
    if (r->host)
        be->free_host(be, r->host);
    free(r->ways);
    free(r->buckets);
    free(r);
    net->reduce = NULL;
}

/* ---- one bucket ---- */

static int send_bucket(rn_net *net, int i)
{
    rn_backend *be = net->be;
    rn_reduce *r = net->reduce;
    const rn_bucket *b = &r->buckets[i];
    float *grads = net->weights->grads + b->at;
    RN_TRY(be->event_record(be, r->ways[i].ready, NULL));
    RN_TRY(be->event_wait(be, r->ways[i].ready, r->stream));
    if (!r->host)
        return be->ranks_sum(be, grads, b->count, false, r->stream);
    RN_TRY(be->copy(be, r->host + b->at, grads, (size_t)b->count * sizeof *grads, RN_COPY_D2H, r->stream));
    return be->event_record(be, r->ways[i].copied, r->stream);
}

/* The host's part of it. */
static int sum_bucket(rn_net *net, int i)
{
    rn_backend *be = net->be;
    rn_reduce *r = net->reduce;
    const rn_bucket *b = &r->buckets[i];
    if (!r->host)
        return RN_OK;
    RN_TRY(be->event_sync(be, r->ways[i].copied));
    RN_TRY(rn_comm_sum_f32(net->opts.comm, r->host + b->at, b->count));
    return be->copy(be, net->weights->grads + b->at, r->host + b->at, (size_t)b->count * sizeof(float), RN_COPY_H2D,
                    r->stream);
}

static int sum_until(rn_net *net, int n)
{
    rn_reduce *r = net->reduce;
    while (r->summed < n)
        RN_TRY(sum_bucket(net, r->summed++));
    return RN_OK;
}

/* ---- all of them ---- */

/* Of a step that came to no end: nothing of it may be under way any more. */
static int start(rn_net *net)
{
    rn_reduce *r = net->reduce;
    if (r->sent > 0)
        RN_TRY(net->be->sync(net->be, r->stream));
    r->sent = r->summed = 0;
    r->joined = false;
    return RN_OK;
}

/* Those that are ready when the backward pass has come to `node`. */
static int send_ready(rn_net *net, int node)
{
    rn_reduce *r = net->reduce;
    while (r->sent < r->n && r->buckets[r->sent].node >= node) {
        RN_TRY(send_bucket(net, r->sent));
        if (r->host && rn_net_bn_comm(net))
            RN_TRY(sum_until(net, r->sent)); /* those before this one */
        r->sent++;
    }
    return RN_OK;
}

static int join(rn_net *net)
{
    rn_backend *be = net->be;
    rn_reduce *r = net->reduce;
    RN_TRY(sum_until(net, r->n));
    RN_TRY(be->event_record(be, r->done, r->stream));
    RN_TRY(be->event_wait(be, r->done, NULL));
    r->sent = r->summed = 0;
    return RN_OK;
}

static bool overlaps(const rn_net *net)
{
    return net->reduce && net->overlap && !net->watched;
}

int rn_reduce_begin(rn_net *net)
{
    return net->reduce ? start(net) : RN_OK;
}

int rn_reduce_after(rn_net *net, int node)
{
    return overlaps(net) ? send_ready(net, node) : RN_OK;
}

int rn_reduce_end(rn_net *net)
{
    if (!overlaps(net))
        return RN_OK;
    RN_TRY(send_ready(net, -1));
    RN_TRY(join(net));
    net->reduce->joined = true;
    return RN_OK;
}

int rn_reduce_all(rn_net *net)
{
    rn_reduce *r = net->reduce;
    if (r->joined) {
        r->joined = false;
        return RN_OK;
    }
    RN_TRY(start(net));
    RN_TRY(send_ready(net, -1));
    return join(net);
}

int rn_reduce_mean(rn_net *net, float *v, int64_t n)
{
    rn_backend *be = net->be;
    const rn_reduce *r = net->reduce;
    const size_t bytes = (size_t)n * sizeof *v;
    if (!r->host)
        return be->ranks_sum(be, v, n, true, NULL);
    float *host = r->host + (v - net->weights->values); /* what lies there is no gradient's */
    RN_TRY(be->copy(be, host, v, bytes, RN_COPY_D2H, NULL));
    RN_TRY(be->sync(be, NULL));
    RN_TRY(rn_comm_sum_f32(net->opts.comm, host, n));
    for (int64_t i = 0; i < n; i++)
        host[i] /= (float)net->opts.comm->size;
    return be->copy(be, v, host, bytes, RN_COPY_H2D, NULL);
}

void rn_net_set_overlap(rn_net *net, bool on)
{
    rn_net_forget_pass(net); /* it is part of it */
    net->overlap = on;
}
