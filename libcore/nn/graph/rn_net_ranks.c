/* SPDX-License-Identifier: MIT */
/* One net on several ranks: each computes its rows of a batch, and all hold the same weights. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_digest.h"
#include "base/rn_error.h"
#include "nn/graph/rn_net_impl.h"
#include "nn/graph/rn_reduce.h"

bool rn_net_host_ranks(const rn_net *net)
{
    return net->opts.comm && !net->be->ranks[0];
}

rn_comm *rn_net_bn_comm(const rn_net *net)
{
    return net->opts.local_bn ? NULL : net->opts.comm;
}

/* ---- gradients ---- */

/* With statistics of its own rows each rank's running ones differ: all take the mean, every step. */
static int average_statistics(const rn_net *net, float *stats, int64_t n)
{
    RN_TRY(rn_comm_sum_f32(net->opts.comm, stats, n));
    for (int64_t i = 0; i < n; i++)
        stats[i] /= (float)net->opts.comm->size;
    return RN_OK;
}

int rn_net_reduce(rn_net *net)
{
    const rn_weights *w = net->weights;
    const int64_t trained = w->n_decay + w->n_spared, n = w->n_total - trained;
    float *stats = w->values + trained;
    if (!net->opts.comm)
        return RN_OK;
    if (net->reduce) {
        RN_TRY(rn_reduce_all(net));
        return net->opts.local_bn ? rn_reduce_mean(net, stats, n) : RN_OK;
    }
    RN_TRY(rn_comm_sum_f32(net->opts.comm, w->grads, trained));
    return net->opts.local_bn ? average_statistics(net, stats, n) : RN_OK;
}

/* ---- the same weights everywhere ---- */

enum { STAGE = 1 << 20 }; /* floats of page-locked memory */

/* Has the host see n values, which are a device's or its own: in pieces, in their order. `back`: what `see` makes of them is kept. */
static int by_host(rn_backend *be, float *v, int64_t n, bool back, int (*see)(void *with, float *piece, int64_t n),
                   void *with)
{
    void *room = NULL;
    int rc;
    if (!be->sync)
        return see(with, v, n);
    RN_TRY(be->alloc_host(be, STAGE * sizeof *v, &room));
    for (int64_t at = 0; at < n; at += STAGE) {
        const int64_t some = n - at < STAGE ? n - at : STAGE;
        const size_t bytes = (size_t)some * sizeof *v;
        RN_GO(be->copy(be, room, v + at, bytes, RN_COPY_D2H, NULL));
        RN_GO(be->sync(be, NULL));
        RN_GO(see(with, room, some));
        if (back) {
            RN_GO(be->copy(be, v + at, room, bytes, RN_COPY_H2D, NULL));
            RN_GO(be->sync(be, NULL));
        }
    }
    rc = RN_OK;
out:
    be->free_host(be, room);
    return rc;
}

static int share_piece(void *with, float *piece, int64_t n)
{
    return rn_comm_bcast(with, piece, (size_t)n * sizeof *piece);
}

int rn_net_share(rn_net *net, rn_comm *comm)
{
    const rn_weights *w = net->weights;
    if (!comm)
        return RN_OK;
    RN_TRY(by_host(net->be, w->values, w->n_total, true, share_piece, comm));
    if (w->momentum)
        RN_TRY(by_host(net->be, w->momentum, w->n_decay + w->n_spared, true, share_piece, comm));
    RN_TRY(rn_comm_bcast(comm, &net->batches, sizeof net->batches));
    return rn_net_params_changed(net);
}

static int digest_piece(void *with, float *piece, int64_t n)
{
    return rn_digest_update(with, piece, (size_t)n * sizeof *piece);
}

static int digest_weights(const rn_weights *w, char hex[RN_DIGEST_HEX_MAX])
{
    rn_digest *d = NULL;
    int rc;
    memset(hex, 0, RN_DIGEST_HEX_MAX);
    RN_GO(rn_digest_open(RN_SHA256, &d));
    RN_GO(by_host(w->be, w->values, w->n_total, false, digest_piece, d));
    if (w->momentum)
        RN_GO(by_host(w->be, w->momentum, w->n_decay + w->n_spared, false, digest_piece, d));
    RN_GO(rn_digest_final(d, hex));
out:
    rn_digest_close(d);
    return rc;
}

int rn_net_same(rn_net *net, rn_comm *comm)
{
    char mine[RN_DIGEST_HEX_MAX];
    if (!comm)
        return RN_OK;
    RN_TRY(digest_weights(net->weights, mine));
    char *all = malloc((size_t)comm->size * sizeof mine);
    if (!all)
        return rn_fail(RN_E_NOMEM, "no memory for the digests of %d ranks", comm->size);
    int rc = rn_comm_allgather(comm, mine, sizeof mine, all);
    for (int r = 1; rc == RN_OK && r < comm->size; r++)
        if (memcmp(all + (size_t)r * sizeof mine, all, sizeof mine) != 0)
            rc = rn_fail(RN_E_MISMATCH,
                         "the weights of rank %d are no longer those of rank 0: a fault of memory or network, or other "
                         "builds or CPUs among the ranks; go on from the last checkpoint",
                         r);
    free(all);
    return rc;
}
