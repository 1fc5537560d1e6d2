/* SPDX-License-Identifier: MIT */
/* Fused work by itself, as rn_conv.h says what it is. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "op/rn_measure_data.h"

enum { NONE = RN_MEASURE_BLOCKS };

static int take(rn_backend *be, const rn_measure_data *m, const int *blocks, int n, float **v)
{
    for (int i = 0; i < n; i++) {
        if (blocks[i] != NONE)
            RN_TRY(rn_measure_numbers(be, m, (enum rn_measure_block)blocks[i], &v[i]));
    }
    return RN_OK;
}

static void drop(float **v, int n)
{
    for (int i = 0; i < n; i++)
        free(v[i]);
}

enum { V, W, BY_V, BY_W, PLUS, NPARTS };

/* v = v a + w b + c, by channels. */
static void go_through(float *const part[NPARTS], size_t count, size_t channels, bool relu)
{
    float *v = part[V];

    for (size_t i = 0; i < count; i++) {
        const size_t c = i % channels;
        v[i] = v[i] * part[BY_V][c] + part[PLUS][c];
        if (part[W])
            v[i] += part[BY_W] ? part[W][i] * part[BY_W][c] : part[W][i];
        v[i] = relu && v[i] < 0 ? 0 : v[i];
    }
}

int rn_measure_apart_in(rn_backend *be, const rn_conv_desc *d, const rn_measure_data *m, enum rn_measure_block at,
                        void **out)
{
    static const int of_src[NPARTS] = {RN_MEASURE_SRC, RN_MEASURE_RESIDUAL, RN_MEASURE_SCALE, NONE, RN_MEASURE_SHIFT};
    static const int of_dst[NPARTS] = {RN_MEASURE_DST, RN_MEASURE_X, RN_MEASURE_KA, RN_MEASURE_KB, RN_MEASURE_KC};
    const bool src = at == RN_MEASURE_SRC;
    const size_t count = m->block[at].count, channels = (size_t)(src ? d->ic : d->oc);
    float *part[NPARTS] = {0};
    int rc = RN_OK;

    *out = NULL;
    if (!(d->fuse & (src ? RN_PRO_BN : RN_PRO_DBN)))
        return RN_OK;
    RN_GO(take(be, m, src ? of_src : of_dst, NPARTS, part));
    go_through(part, count, channels, src && d->fuse & RN_PRO_RELU);
    RN_GO(be->alloc(be, count * rn_dtype_size(d->dtype), out));
    RN_GO(rn_measure_store(be, part[V], count, d->dtype, *out));
out:
    drop(part, NPARTS);
    return rc;
}

enum { RAW, SCALE, SHIFT, MEAN, PIVOT, NBESIDE };

static void go_out(const rn_conv_desc *d, float *const by[NBESIDE], float *v, size_t count, size_t channels,
                   double *sums)
{
    const bool dbn = d->fuse & RN_EPI_DBN;

    memset(sums, 0, 2 * channels * sizeof *sums);
    for (size_t i = 0; i < count; i++) {
        const size_t c = i % channels;
        if (dbn && !(by[RAW][i] * by[SCALE][c] + by[SHIFT][c] > 0))
            v[i] = 0;
        const double one = dbn ? (double)v[i] : (double)v[i] - (double)by[PIVOT][c];
        sums[c] += one;
        sums[channels + c] += one * (dbn ? (double)by[RAW][i] - (double)by[MEAN][c] : one);
    }
}

int rn_measure_apart_out(rn_backend *be, const rn_conv_desc *d, const rn_measure_data *m, float *v, double *sums)
{
    static const int blocks[NBESIDE] = {RN_MEASURE_RAW, RN_MEASURE_SCALE, RN_MEASURE_SHIFT, RN_MEASURE_MEAN,
                                        RN_MEASURE_PIVOT};
    const bool dbn = d->fuse & RN_EPI_DBN;
    float *by[NBESIDE] = {0};
    int rc = RN_OK;

    if (!(d->fuse & (RN_EPI_STATS | RN_EPI_DBN)))
        return RN_OK;
    RN_GO(take(be, m, blocks, NBESIDE, by));
    go_out(d, by, v, m->block[dbn ? RN_MEASURE_SRC : RN_MEASURE_DST].count, (size_t)(dbn ? d->ic : d->oc), sums);
out:
    drop(by, NBESIDE);
    return rc;
}
