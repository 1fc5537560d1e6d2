/* SPDX-License-Identifier: MIT */
#include "op/rn_measure_data.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"

static void set(rn_measure_data *m, enum rn_measure_block at, size_t count, rn_dtype dtype)
{
    m->block[at].count = count;
    m->block[at].dtype = dtype;
}

static void sizes(const rn_conv_desc *d, rn_conv_dir dir, rn_measure_data *m)
{
    const size_t ic = (size_t)d->ic, oc = (size_t)d->oc, channels = dir == RN_FWD ? oc : ic;
    const size_t src = (size_t)d->mb * d->ih * d->iw * ic, dst = (size_t)d->mb * d->oh * d->ow * oc;

    set(m, RN_MEASURE_SRC, src, d->dtype);
    set(m, RN_MEASURE_WEI, oc * d->kh * d->kw * ic, dir == RN_BWD_W ? RN_F32 : d->dtype);
    set(m, RN_MEASURE_DST, dst, d->dtype);
    if (d->fuse & (RN_PRO_BN | RN_EPI_DBN)) {
        set(m, RN_MEASURE_SCALE, ic, RN_F32);
        set(m, RN_MEASURE_SHIFT, ic, RN_F32);
    }
    if (d->fuse & RN_PRO_ADD)
        set(m, RN_MEASURE_RESIDUAL, src, d->dtype);
    if (d->fuse & (RN_EPI_STATS | RN_EPI_DBN)) {
        set(m, RN_MEASURE_SUM, 2 * channels, RN_F32);
        set(m, RN_MEASURE_SUMSQ, 2 * channels, RN_F32);
    }
    if (d->fuse & RN_EPI_STATS)
        set(m, RN_MEASURE_PIVOT, oc, RN_F32);
    if (d->fuse & RN_PRO_DBN) {
        set(m, RN_MEASURE_X, dst, d->dtype);
        for (int i = RN_MEASURE_KA; i <= RN_MEASURE_KC; i++)
            set(m, (enum rn_measure_block)i, oc, RN_F32);
    }
    if (d->fuse & RN_EPI_DBN) {
        set(m, RN_MEASURE_RAW, src, d->dtype);
        set(m, RN_MEASURE_MEAN, ic, RN_F32);
    }
}

static int finish(rn_backend *be)
{
    return be->sync ? be->sync(be, NULL) : RN_OK;
}

int rn_measure_alloc(rn_backend *be, size_t count, rn_dtype dtype, uint32_t tag, void **out)
{
    const size_t bytes = count * rn_dtype_size(dtype);
    rn_rng rng;

    RN_TRY(be->alloc(be, bytes, out));
    uint8_t *host = malloc(bytes);
    if (!host)
        return rn_fail(RN_E_NOMEM, "selector: %zu bytes: out of memory", bytes);
    rn_rng_seed(&rng, 1, RN_STREAM_TEST, tag, 0);
    for (size_t i = 0; i < count; i++) {
        if (dtype == RN_F32) {
            float v = (float)rn_rng_u32(&rng) * 0x1p-31f - 1.0f;
            memcpy(host + i * 4, &v, 4);
        } else { /* a 16-bit float of either kind near +-1: sign at random, the rest from 0.5 */
            uint16_t v = (uint16_t)((dtype == RN_BF16 ? 0x3f00 : 0x3800) | (rn_rng_u32(&rng) & 0x80ff));
            memcpy(host + i * 2, &v, 2);
        }
    }
    int rc = be->copy(be, *out, host, bytes, RN_COPY_H2D, NULL);
    if (rc == 0)
        rc = finish(be);
    free(host);
    return rc;
}

int rn_measure_store(rn_backend *be, const float *v, size_t count, rn_dtype dtype, void *mem)
{
    const size_t bytes = count * rn_dtype_size(dtype);
    void *raw = malloc(bytes);

    if (!raw)
        return rn_fail(RN_E_NOMEM, "selector: %zu bytes: out of memory", bytes);
    rn_dtype_narrow(dtype, raw, v, count);
    int rc = be->copy(be, mem, raw, bytes, RN_COPY_H2D, NULL);
    if (rc == 0)
        rc = finish(be);
    free(raw);
    return rc;
}

int rn_measure_numbers(rn_backend *be, const rn_measure_data *m, enum rn_measure_block at, float **out)
{
    const size_t count = m->block[at].count, bytes = count * rn_dtype_size(m->block[at].dtype);
    int rc = RN_OK;

    *out = NULL;
    if (!count)
        return RN_OK;
    float *v = malloc(count * sizeof *v);
    void *raw = malloc(bytes);
    if (!v || !raw)
        rc = rn_fail(RN_E_NOMEM, "selector: %zu bytes: out of memory", bytes);
    if (rc == 0)
        rc = be->copy(be, raw, m->block[at].mem, bytes, RN_COPY_D2H, NULL);
    if (rc == 0)
        rc = finish(be);
    if (rc == 0) {
        rn_dtype_widen(m->block[at].dtype, v, raw, count);
        *out = v;
        v = NULL;
    }
    free(raw);
    free(v);
    return rc;
}

int rn_measure_data_open(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, rn_measure_data *m)
{
    memset(m, 0, sizeof *m);
    sizes(d, dir, m);
    for (int i = 0; i < RN_MEASURE_BLOCKS; i++) {
        if (m->block[i].count)
            RN_TRY(rn_measure_alloc(be, m->block[i].count, m->block[i].dtype, (uint32_t)i + 1, &m->block[i].mem));
    }
    return RN_OK;
}

void rn_measure_data_close(rn_backend *be, rn_measure_data *m)
{
    for (int i = 0; i < RN_MEASURE_BLOCKS; i++)
        be->free(be, m->block[i].mem);
}

rn_conv_args rn_measure_args(const rn_measure_data *m)
{
    return (rn_conv_args){.src = m->block[RN_MEASURE_SRC].mem,
                          .wei = m->block[RN_MEASURE_WEI].mem,
                          .dst = m->block[RN_MEASURE_DST].mem,
                          .scale = m->block[RN_MEASURE_SCALE].mem,
                          .shift = m->block[RN_MEASURE_SHIFT].mem,
                          .residual = m->block[RN_MEASURE_RESIDUAL].mem,
                          .sum = m->block[RN_MEASURE_SUM].mem,
                          .sumsq = m->block[RN_MEASURE_SUMSQ].mem,
                          .pivot = m->block[RN_MEASURE_PIVOT].mem,
                          .x = m->block[RN_MEASURE_X].mem,
                          .ka = m->block[RN_MEASURE_KA].mem,
                          .kb = m->block[RN_MEASURE_KB].mem,
                          .kc = m->block[RN_MEASURE_KC].mem,
                          .raw = m->block[RN_MEASURE_RAW].mem,
                          .mean = m->block[RN_MEASURE_MEAN].mem};
}

enum rn_measure_block rn_measure_written(rn_conv_dir dir)
{
    return dir == RN_FWD ? RN_MEASURE_DST : dir == RN_BWD_D ? RN_MEASURE_SRC : RN_MEASURE_WEI;
}
