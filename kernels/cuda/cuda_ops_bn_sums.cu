/* SPDX-License-Identifier: MIT */
/* Batch normalisation from sums that convolutions have left: a thread a channel. */
#include "kernels/cuda/cuda_bn.h"
#include "kernels/cuda/cuda_nccl.h"

extern "C" {
#include "op/rn_bn_sync.h"
}

/* What rn_bn_sync.c makes of the vectors of all ranks: rank r's first one at 2 r c, its second behind it. */
struct ranks_body {
    const double *all;
    double *sums;
    int c, ranks;
    double rows; /* of a rank; 0: plain sums */

    __device__ void channel(int ch) const
    {
        double a = all[ch], b = all[c + ch];
        for (int r = 1; r < ranks; r++) {
            const double *of = all + 2 * (int64_t)r * c;
            if (rows > 0) {
                const double delta = of[ch] - a;
                a += delta / (r + 1);
                b += of[c + ch] + delta * delta * (rows * r / (r + 1));
            } else {
                a += of[ch];
                b += of[c + ch];
            }
        }
        sums[ch] = a;
        sums[c + ch] = b;
    }
};

int rn_bn_exchange(struct rn_backend *be, rn_comm *comm, int64_t rows, int c, double *sums, void *stream)
{
    const size_t bytes = 2 * (size_t)c * sizeof *sums;
    void *room = NULL;
    double *all = NULL;

    if (rn_nccl_joins(be, comm)) {
        RN_TRY(rn_nccl_gather(be, sums, 2 * (int64_t)c, &all, stream));
        return rn_bn_channels(ranks_body{all, sums, c, comm->size, (double)rows}, c, stream);
    }
    RN_TRY(rn_cuda_locked(be, bytes, &room));
    double *host = (double *)room;
    RN_TRY(be->copy(be, host, sums, bytes, RN_COPY_D2H, stream));
    RN_TRY(be->sync(be, stream));
    RN_TRY(rows ? rn_bn_sync_moments(comm, rows, c, host, host + c) : rn_bn_sync_sums(comm, c, host, host + c));
    return be->copy(be, sums, host, bytes, RN_COPY_H2D, stream); /* the next one's first copy comes behind it */
}

enum { GATHER = 1, FINISH = 2 }; /* up to what ranks exchange, and from there on */

struct stats_body {
    rn_op_bn_stats a;
    double n;
    int stage;

    __device__ void affine(int ch, double mean, double var) const
    {
        const double inv_std = 1 / sqrt(var + (double)a.eps);
        const float scale = (float)((double)a.gamma[ch] * inv_std);
        a.mean[ch] = (float)mean;
        a.var[ch] = (float)var;
        a.inv_std[ch] = (float)inv_std;
        a.scale[ch] = scale;
        a.shift[ch] = (float)((double)a.beta[ch] - mean * (double)scale); /* the rounded one, as in the reference */
    }
    __device__ void channel(int ch) const
    {
        if (!a.train)
            return affine(ch, a.running_mean[ch], a.running_var[ch]);
        if (stage & GATHER) {
            const double off = a.sum[ch] / (double)a.rows, sq = a.sumsq[ch] - a.sum[ch] * off;
            a.room[ch] = (double)a.running_mean[ch] + off;
            a.room[a.c + ch] = sq < 0 ? 0 : sq; /* a NaN stays one */
        }
        if (stage & FINISH) {
            const double mean = a.room[ch], m2 = a.room[a.c + ch], unbiased = n > 1 ? m2 / (n - 1) : 0;
            const double was = a.running_mean[ch], old = a.running_var[ch];
            const double momentum = a.momentum_now ? *a.momentum_now : a.momentum;
            affine(ch, mean, m2 / n);
            a.running_mean[ch] = (float)(was + momentum * (mean - was));
            a.running_var[ch] = (float)(old + momentum * (unbiased - old));
        }
    }
};

int rn_cuda_bn_stats(struct rn_backend *be, const rn_op_bn_stats *a, void *stream)
{
    RN_TRY(rn_op_check_bn_stats(a));
    const double n = (double)a->rows * (a->train ? rn_comm_size(a->comm) : 1);
    if (!a->train || !a->comm)
        return rn_bn_channels(stats_body{*a, n, GATHER | FINISH}, a->c, stream);
    RN_TRY(rn_bn_channels(stats_body{*a, n, GATHER}, a->c, stream));
    RN_TRY(rn_bn_exchange(be, a->comm, a->rows, a->c, a->room, stream));
    return rn_bn_channels(stats_body{*a, n, FINISH}, a->c, stream);
}

struct grad_stats_body {
    rn_op_bn_grad_stats a;
    double n;
    int stage;

    __device__ void channel(int ch) const
    {
        const double inv_std = a.inv_std[ch];
        if (stage & GATHER) {
            a.room[ch] = a.sum[ch];
            a.room[a.c + ch] = a.sumsq[ch];
            a.dbeta[ch] = (float)a.sum[ch];
            a.dgamma[ch] = (float)(a.sumsq[ch] * inv_std);
        }
        if (stage & FINISH) {
            const double ka = (double)a.gamma[ch] * inv_std;
            const float kb = (float)(-ka * inv_std * inv_std * a.room[a.c + ch] / n);
            a.ka[ch] = (float)ka;
            a.kb[ch] = kb;
            a.kc[ch] = (float)(-ka * a.room[ch] / n - (double)a.mean[ch] * (double)kb);
        }
    }
};

int rn_cuda_bn_grad_stats(struct rn_backend *be, const rn_op_bn_grad_stats *a, void *stream)
{
    RN_TRY(rn_op_check_bn_grad_stats(a));
    const double n = (double)a->rows * rn_comm_size(a->comm);
    if (!a->comm)
        return rn_bn_channels(grad_stats_body{*a, n, GATHER | FINISH}, a->c, stream);
    RN_TRY(rn_bn_channels(grad_stats_body{*a, n, GATHER}, a->c, stream));
    RN_TRY(rn_bn_exchange(be, a->comm, 0, a->c, a->room, stream));
    return rn_bn_channels(grad_stats_body{*a, n, FINISH}, a->c, stream);
}
