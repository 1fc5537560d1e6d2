/* SPDX-License-Identifier: MIT */
/* What the batch normalisation ops share: their scratch, work on vectors of channels, the sums over ranks. (C++) */
#ifndef CUDA_BN_H
#define CUDA_BN_H

extern "C" {
#include "base/rn_comm.h"
#include "base/rn_error.h"
#include "kernels/cuda/cuda_ops.h"
#include "op/rn_op_check.h"
}
#include "kernels/cuda/cuda_rows.h"

/* Scratch: the parts, two sums of each channel, four factors of each channel. */
typedef struct rn_bn_room {
    double *parts, *sums;
    float *factors;
} rn_bn_room;

static inline int rn_bn_room_for(struct rn_backend *be, int64_t parts, int c, rn_bn_room *out)
{
    void *p;
    RN_TRY(rn_cuda_scratch(be, (size_t)c * ((size_t)(2 * parts + 2) * sizeof(double) + 4 * sizeof(float)), &p));
    out->sums = (double *)p;
    out->parts = out->sums + 2 * (int64_t)c;
    out->factors = (float *)(out->parts + 2 * parts * c);
    return RN_OK;
}

/* Where tensors are not aligned to 16 bytes. */
static inline int rn_bn_refuse_mask(const char *op, const void *mask)
{
    return mask ? rn_fail(RN_E_RANGE, "cuda: %s: with a mask, tensors must be aligned to 16 bytes", op) : RN_OK;
}

/* A vector of each channel: one thread each. */
template <class B> static __global__ void rn_bn_channels_kernel(B b, int c)
{
    const int64_t ch = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (ch < c)
        b.channel((int)ch);
}

template <class B> static int rn_bn_channels(const B &b, int c, void *stream)
{
    const unsigned grid = (unsigned)(((int64_t)c + 127) / 128);
    return RN_CUDA_LAUNCH((rn_bn_channels_kernel<B>), grid, 128, 0, stream, b, c);
}

/*
 * Over ranks: the two vectors of sums (c each, in device memory; rows 0: plain sums, otherwise rn_bn_sync.h's moments of so
 * many rows) go from device to device where these are joined (cuda_nccl.h); else through page-locked memory and the host,
 * which waits for them, and then a step cannot be captured.
 */
int rn_bn_exchange(struct rn_backend *be, rn_comm *comm, int64_t rows, int c, double *sums, void *stream);

#endif
