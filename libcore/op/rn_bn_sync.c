/* SPDX-License-Identifier: MIT */
#include "op/rn_bn_sync.h"

#include <string.h>

#include "base/rn_error.h"

/* Both vectors of every rank, in rank order: rank r's a at 2 r c, its b behind it. */
static int exchange(rn_comm *comm, int c, const double *a, const double *b, double **out)
{
    const size_t n = (size_t)c, ranks = (size_t)rn_comm_size(comm);
    void *room = NULL;
    RN_TRY(rn_comm_room(comm, (2 + 2 * ranks) * n * sizeof *a, &room));
    double *mem = room;
    memcpy(mem + 2 * ranks * n, a, n * sizeof *a);
    memcpy(mem + 2 * ranks * n + n, b, n * sizeof *b);
    *out = mem;
    return rn_comm_allgather(comm, mem + 2 * ranks * n, 2 * n * sizeof *mem, mem);
}

/* Chan, Golub & LeVeque 1979, as within one rank: m2 never is a difference of large numbers. */
int rn_bn_sync_moments(rn_comm *comm, int64_t rows, int c, double *mean, double *m2)
{
    double *all;
    RN_TRY(exchange(comm, c, mean, m2, &all));
    for (int ch = 0; ch < c; ch++) {
        mean[ch] = all[ch];
        m2[ch] = all[c + ch];
        for (int r = 1; r < comm->size; r++) {
            const double *of = all + 2 * (int64_t)r * c, delta = of[ch] - mean[ch];
            mean[ch] += delta / (r + 1);
            m2[ch] += of[c + ch] + delta * delta * ((double)rows * r / (r + 1));
        }
    }
    return RN_OK;
}

int rn_bn_sync_sums(rn_comm *comm, int c, double *a, double *b)
{
    double *all;
    RN_TRY(exchange(comm, c, a, b, &all));
    for (int ch = 0; ch < c; ch++) {
        a[ch] = b[ch] = 0;
        for (int r = 0; r < comm->size; r++) {
            a[ch] += all[2 * (int64_t)r * c + ch];
            b[ch] += all[(2 * (int64_t)r + 1) * c + ch];
        }
    }
    return RN_OK;
}
