/* SPDX-License-Identifier: MIT */
/* What cuDNN can be asked for, and what it does of that in its own way. */
#if __has_include(<cudnn.h>)
#include "kernels/cudnn/cudnn_graph.h"

bool rn_cudnn_reads_old(const rn_cudnn_work *w)
{
    /* Of 16-bit tensors, bwd_w to f32 is had only as the sum of an f32 intermediate and an f32 tensor: so in either case. */
    if (w->dir == RN_BWD_W && w->d.dtype != RN_F32)
        return !(w->loose & RN_CUDNN_DW16);
    return w->add && w->d.fuse;
}

bool rn_cudnn_sums(const rn_cudnn_work *w, int *channels)
{
    *channels = w->dir == RN_FWD ? w->d.oc : w->d.ic;
    return w->d.fuse & (RN_EPI_STATS | RN_EPI_DBN);
}

bool rn_cudnn_compiles(const rn_cudnn_work *w)
{
    return w->d.fuse || (w->dir == RN_BWD_W && w->d.dtype != RN_F32 && !(w->loose & RN_CUDNN_DW16));
}

const char *rn_cudnn_refusal(const rn_cudnn_work *w)
{
    const rn_conv_desc *d = &w->d;
    const bool sums = d->fuse & (RN_EPI_STATS | RN_EPI_DBN);
    unsigned can = 0;

    if (d->dtype != RN_F32 && d->dtype != RN_BF16 && d->dtype != RN_F16)
        return "f32, bf16 and f16 only";
    if ((w->loose & RN_CUDNN_TF32) && d->dtype != RN_F32)
        return "f32 only";
    if ((w->loose & RN_CUDNN_DW16) && (d->dtype == RN_F32 || w->dir != RN_BWD_W))
        return "bwd_w of bf16 and f16 only";
    if ((w->loose & RN_CUDNN_SUMS32) && !(w->loose & RN_CUDNN_TF32) && !sums)
        return "with epi_stats or epi_dbn only";
    if (sums && !(w->loose & RN_CUDNN_SUMS32))
        return "its fused sums are f32 from beginning to end, which is less than asked for";
    /* What 9.19 plans for no shape that was tried; the second it would compile for ten seconds before it says so. */
    if ((d->fuse & RN_EPI_STATS) && (d->fuse & RN_PRO_BN))
        return "a prologue and sums are not planned at once";
    if ((d->fuse & RN_EPI_DBN) && (d->sh > 1 || d->sw > 1))
        return "sums of a gradient with a stride are not planned";
    if (w->dir == RN_FWD)
        can = RN_PRO_BN | RN_PRO_RELU | RN_PRO_ADD | RN_EPI_STATS;
    else if (w->dir == RN_BWD_D)
        can = RN_EPI_DBN;
    return rn_conv_fuse_refusal(d, w->dir, can);
}
#endif
