/* SPDX-License-Identifier: MIT */
/* One net on several ranks: each computes its rows of a batch, and all hold the same weights. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_digest.h"
#include "base/rn_error.h"
#include "nn/graph/rn_net_impl.h"

rn_comm *rn_net_bn_comm(const rn_net *net)
{
    return net->opts.local_bn ? NULL : net->opts.comm;
}

/* What travels does so from and to host memory: that of a device that copies and computes at once. */
static int check_host(const rn_net *net)
{
    if (!net->be->sync)
        return RN_OK;
    return rn_fail(RN_E_UNSUPPORTED, "ranks on %s: this version knows them on the CPU only", net->be->device);
}

/* With statistics of its own rows each rank's running ones differ: all take the mean, every step. */
static int average_statistics(const rn_net *net)
{
    rn_weights *w = net->weights;
    float *stats = w->values + w->n_decay + w->n_spared;
    const int64_t n = w->n_total - w->n_decay - w->n_spared;
    RN_TRY(rn_comm_sum_f32(net->opts.comm, stats, n));
    for (int64_t i = 0; i < n; i++)
        stats[i] /= (float)net->opts.comm->size;
    return RN_OK;
}

int rn_net_reduce(rn_net *net)
{
    const rn_weights *w = net->weights;
    if (!net->opts.comm)
        return RN_OK;
    RN_TRY(check_host(net));
    RN_TRY(rn_comm_sum_f32(net->opts.comm, w->grads, w->n_decay + w->n_spared));
    return net->opts.local_bn ? average_statistics(net) : RN_OK;
}

int rn_net_share(rn_net *net, rn_comm *comm)
{
    const rn_weights *w = net->weights;
    if (!comm)
        return RN_OK;
    RN_TRY(check_host(net));
    RN_TRY(rn_comm_bcast(comm, w->values, (size_t)w->n_total * sizeof *w->values));
    if (w->momentum)
        RN_TRY(rn_comm_bcast(comm, w->momentum, (size_t)(w->n_decay + w->n_spared) * sizeof *w->momentum));
    RN_TRY(rn_comm_bcast(comm, &net->batches, sizeof net->batches));
    return rn_net_params_changed(net);
}

static int digest_weights(const rn_weights *w, char hex[RN_DIGEST_HEX_MAX])
{
    rn_digest *d = NULL;
    int rc;
    memset(hex, 0, RN_DIGEST_HEX_MAX);
    RN_GO(rn_digest_open(RN_SHA256, &d));
    RN_GO(rn_digest_update(d, w->values, (size_t)w->n_total * sizeof *w->values));
    if (w->momentum)
        RN_GO(rn_digest_update(d, w->momentum, (size_t)(w->n_decay + w->n_spared) * sizeof *w->momentum));
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
    RN_TRY(check_host(net));
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
