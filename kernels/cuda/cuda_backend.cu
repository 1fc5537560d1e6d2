/* SPDX-License-Identifier: MIT */
/* A device: how it is opened, what it is called, what its failures are in words. */
#include "kernels/cuda/cuda_backend_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/cuda_blas.h"
#include "kernels/cuda/cuda_module.h"
#include "kernels/cuda/cuda_nccl.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/cuda_peak.h"
#ifndef RN_CUDA_EMULATED
#include "kernels/cudnn/cudnn_conv.h"
#endif

extern "C" {
#include "base/rn_opt.h"
}

/* What has mma.sync for bf16 and cp.async. */
enum { CAPABILITY_LEAST = 80 };

int rn_cuda_multiprocessors(const rn_backend *be)
{
    return rn_cuda_of(be)->multiprocessors;
}

int rn_cuda_capability(const rn_backend *be)
{
    return rn_cuda_of(be)->capability;
}

struct rn_nccl **rn_cuda_nccl(const rn_backend *be)
{
    return &rn_cuda_of(be)->nccl;
}

struct rn_blas **rn_cuda_blas(const rn_backend *be)
{
    return &rn_cuda_of(be)->blas;
}

#ifndef RN_CUDA_EMULATED
struct rn_cudnn **rn_cuda_cudnn(const rn_backend *be)
{
    return &rn_cuda_of(be)->cudnn;
}
#endif

int rn_cuda_status(cudaError_t err, const char *what)
{
    if (err != cudaSuccess)
        (void)cudaGetLastError(); /* it is told here: the next launch, which asks for the last one, must not find it */
    switch (err) {
    case cudaSuccess:
        return RN_OK;
    case cudaErrorMemoryAllocation:
        return rn_fail(RN_E_NOMEM, "cuda: %s: the device's memory is full: a smaller batch needs less", what);
    case cudaErrorInsufficientDriver:
        return rn_fail(RN_E_ABSENT,
                       "device cuda: no NVIDIA driver here that this build's CUDA %d.%d can use: install one, "
                       "or use --device cpu",
                       CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    case cudaErrorStubLibrary: /* a toolkit's, for linking alone */
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
        return rn_fail(RN_E_ABSENT,
                       "device cuda: the NVIDIA driver here cannot be used (%s): install it anew, or use --device cpu",
                       cudaGetErrorString(err));
    case cudaErrorSystemNotReady:
        return rn_fail(RN_E_ABSENT, "device cuda: the system is not ready, one of the driver's daemons does not run "
                                    "(machines with NVSwitch need nvidia-fabricmanager): use --device cpu");
    case cudaErrorNoDevice:
        return rn_fail(RN_E_ABSENT, "device cuda: there is a driver, but no device that it lets this process see "
                                    "(CUDA_VISIBLE_DEVICES): use --device cpu");
    default:
        return rn_fail(RN_E_IO, "cuda: %s: %s (%s)", what, cudaGetErrorString(err), cudaGetErrorName(err));
    }
}

/* ---- open --------------------------------------------------------------------------------------------------------- */

static void cuda_close(rn_backend *be)
{
    rn_cuda_device *c = rn_cuda_of(be);

    rn_nccl_close(be);
    rn_blas_close(be);
#ifndef RN_CUDA_EMULATED
    rn_cudnn_close(be);
#endif
    rn_cuda_free_rooms(c);
    free(c);
}

static int describe(rn_cuda_device *c, int device)
{
    cudaDeviceProp p;
    int driver = 0, runtime = 0;

    RN_TRY(rn_cuda_status(cudaGetDeviceProperties(&p, device), "the device's properties"));
    RN_TRY(rn_cuda_status(cudaDriverGetVersion(&driver), "the driver's version"));
    RN_TRY(rn_cuda_status(cudaRuntimeGetVersion(&runtime), "the runtime's version"));
    c->be.cache_bytes = (size_t)p.l2CacheSize;
    c->multiprocessors = p.multiProcessorCount;
    c->reads_host = p.pageableMemoryAccess;
    c->capability = p.major * 10 + p.minor;
    if (c->capability < CAPABILITY_LEAST)
        return rn_fail(RN_E_ABSENT,
                       "device cuda: %s has compute capability %d.%d, this build needs 8.0: use --device cpu", p.name,
                       p.major, p.minor);
    snprintf(c->be.describe, sizeof c->be.describe,
             "%.100s, sm_%d, %d multiprocessors, %.1f GiB, driver for CUDA %d.%d, runtime %d.%d", p.name, c->capability,
             p.multiProcessorCount, (double)p.totalGlobalMem / (1 << 30), driver / 1000, driver % 1000 / 10,
             runtime / 1000, runtime % 1000 / 10);
    rn_blas_describe(&c->be, c->be.describe, sizeof c->be.describe);
#ifndef RN_CUDA_EMULATED
    rn_cudnn_describe(&c->be, c->be.describe, sizeof c->be.describe);
#endif
    for (size_t i = 0; i < sizeof p.uuid.bytes; i++) /* its number differs between processes that see other devices */
        snprintf(c->be.unit + 2 * i, sizeof c->be.unit - 2 * i, "%02x", (unsigned)(unsigned char)p.uuid.bytes[i]);
    return RN_OK;
}

cudaStream_t rn_cuda_default;

/* Once: other backends of this device may still use it. */
static int open_default(int device)
{
    static int of = -1;

    if (of == device)
        return RN_OK;
    RN_TRY(rn_cuda_status(cudaStreamCreateWithFlags(&rn_cuda_default, cudaStreamNonBlocking), "a stream"));
    of = device;
    return RN_OK;
}

static int cuda_open(const rn_backend_opts *opts, rn_backend **out)
{
    int n = 0, rc;

    *out = NULL;
    RN_TRY(rn_cuda_status(cudaGetDeviceCount(&n), "counting devices"));
    if (n < 1)
        return rn_cuda_status(cudaErrorNoDevice, "counting devices");
    const int device = opts->place % n;
    RN_TRY(rn_cuda_status(cudaSetDevice(device), "taking a device"));
    RN_TRY(open_default(device));
    rn_cuda_device *c = (rn_cuda_device *)calloc(1, sizeof *c);
    if (!c)
        return rn_fail(RN_E_NOMEM, "cuda: out of memory");
    rn_backend *be = &c->be;
    be->priv = c;
    be->device = "cuda";
    be->threads = 1; /* nothing here depends on the host's */
    be->workspace_limit = opts->workspace_limit;
    rn_cuda_set_memory(be);
    rn_cuda_set_streams(be);
    rn_cuda_set_graphs(be);
    be->ranks_open = rn_nccl_open;
    be->ranks_sum = rn_nccl_sum;
    be->probes = rn_cuda_probes;
#ifdef RN_CUDA_EMULATED
    be->emulated = true;
#endif
    be->bn_masks = true;
    be->ops = rn_cuda_ops();
    be->conv_algos = rn_cuda_conv_algos();
    be->close = cuda_close;
    be->units = n;
    rc = describe(c, device);
    if (rc == RN_OK)
        rc = rn_cuda_ops_complete();
    if (rc < 0) {
        cuda_close(be);
        return rc;
    }
    *out = be;
    return RN_OK;
}

/* The name is RN_CUDA_MODULE_SYMBOL. */
extern "C" __attribute__((visibility("default")))
const rn_cuda_module rnkit_cuda_module = {RN_VERSION, RN_CUDA_MODULE_SIZES, cuda_open};
