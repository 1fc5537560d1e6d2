/* SPDX-License-Identifier: MIT */
/*
 * Stands for NCCL's header where the CUDA backend is compiled for the host, as cuda_runtime.h beside this file stands for the
 * toolkit's: as much of it as kernels/cuda uses, with the same names and numbers. nccl_emulated.cpp is a library that does it.
 */
#ifndef NCCL_H
#define NCCL_H

#include "cuda_runtime.h"

typedef struct ncclComm *ncclComm_t;
typedef struct ncclUniqueId {
    char internal[128];
} ncclUniqueId;
typedef enum {
    ncclSuccess = 0,
    ncclUnhandledCudaError = 1,
    ncclSystemError = 2,
    ncclInvalidArgument = 4,
    ncclRemoteError = 6
} ncclResult_t;
typedef enum { ncclFloat32 = 7, ncclFloat64 = 8 } ncclDataType_t;
typedef enum { ncclSum = 0, ncclAvg = 4 } ncclRedOp_t;

#define RN_NCCL_API __attribute__((visibility("default")))

extern "C" {
RN_NCCL_API ncclResult_t ncclGetVersion(int *version);
RN_NCCL_API ncclResult_t ncclGetUniqueId(ncclUniqueId *id);
RN_NCCL_API const char *ncclGetErrorString(ncclResult_t result);
RN_NCCL_API const char *ncclGetLastError(ncclComm_t comm);
RN_NCCL_API ncclResult_t ncclCommInitRank(ncclComm_t *comm, int size, ncclUniqueId id, int rank);
RN_NCCL_API ncclResult_t ncclCommAbort(ncclComm_t comm);
RN_NCCL_API ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error);
RN_NCCL_API ncclResult_t ncclAllReduce(const void *src, void *dst, size_t n, ncclDataType_t type, ncclRedOp_t op,
                                       ncclComm_t comm, cudaStream_t s);
RN_NCCL_API ncclResult_t ncclAllGather(const void *src, void *dst, size_t n, ncclDataType_t type, ncclComm_t comm,
                                       cudaStream_t s);
}

#endif
