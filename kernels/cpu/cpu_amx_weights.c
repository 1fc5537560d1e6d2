/* SPDX-License-Identifier: MIT */
/* cpu:amx, fwd and bwd_d: the weights as tiles of B: 16 rows of pairs along K, 16 columns. */
#include <string.h>

#include "kernels/cpu/cpu_amx.h"

#define COLS 16

static int pairs_of(const rn_amx_plan *p)
{
    return rn_amx_ceil(p->cols, RN_AMX_PAIR);
}

size_t rn_amx_weight_bytes(const rn_amx_plan *p, int nsteps)
{
    return (size_t)pairs_of(p) * (size_t)nsteps * 2 * RN_AMX_TILE;
}

/* fwd: n columns, each k numbers in one piece, `stride` apart. */
static void tile_fwd(const uint16_t *wei, size_t stride, int n, int k, uint16_t *b)
{
    memset(b, 0, RN_AMX_TILE);
    for (int j = 0; j < n; j++, wei += stride) {
        for (int i = 0; i + 1 < k; i += 2)
            memcpy(b + i * COLS + 2 * j, wei + i, 2 * sizeof *b);
        if (k % 2)
            b[(k - 1) * COLS + 2 * j] = wei[k - 1];
    }
}

/* bwd_d: k rows of n columns in one piece, `stride` apart. */
static void tile_bwd_d(const uint16_t *wei, size_t stride, int n, int k, uint16_t *b)
{
    memset(b, 0, RN_AMX_TILE);
    for (int i = 0; i < k; i++, wei += stride) {
        uint16_t *to = b + i / 2 * 2 * COLS + i % 2;
        for (int j = 0; j < n; j++)
            to[2 * j] = wei[j];
    }
}

/* The tile of step (plane, tap) for columns c0..c0+n-1. */
static void pack_tile(const rn_conv_plan *plan, const rn_amx_tap *t, int plane, int c0, int n, const uint16_t *wei,
                      uint16_t *b)
{
    const rn_amx_plan *p = plan->priv;
    const rn_conv_desc *d = &plan->desc;
    const int k0 = plane * RN_AMX_PAIR, k = rn_amx_min(p->run - k0, RN_AMX_PAIR);
    const size_t tap = (size_t)t->r * d->kw + t->s, filter = (size_t)d->kh * d->kw * d->ic;

    if (plan->dir == RN_FWD)
        tile_fwd(wei + (size_t)c0 * filter + tap * d->ic + k0, filter, n, k, b);
    else
        tile_bwd_d(wei + (size_t)k0 * filter + tap * d->ic + c0, filter, n, k, b);
}

static void pack_pair(const rn_conv_plan *plan, const rn_amx_phase *f, int pair, const uint16_t *wei)
{
    const rn_amx_plan *p = plan->priv;
    const int tiles = rn_amx_min(rn_amx_ceil(p->cols, COLS) - 2 * pair, 2);
    char *b = p->b + f->b + (size_t)pair * f->nsteps * 2 * RN_AMX_TILE;

    for (int i = 0; i < f->nsteps; i++) {
        for (int j = 0; j < tiles; j++) {
            const int c0 = (2 * pair + j) * COLS;
            pack_tile(plan, &f->taps[i % f->ntaps], i / f->ntaps, c0, rn_amx_min(p->cols - c0, COLS), wei,
                      (uint16_t *)(b + (size_t)(2 * i + j) * RN_AMX_TILE));
        }
    }
}

void rn_amx_pack_weights(const rn_conv_plan *plan, const void *wei)
{
    const rn_amx_plan *p = plan->priv;
    const int pairs = pairs_of(p);

#pragma omp parallel for schedule(dynamic) num_threads(plan->be->threads)
    for (int t = 0; t < pairs * p->nphases; t++)
        pack_pair(plan, &p->phases[t / pairs], t % pairs, wei);
}
