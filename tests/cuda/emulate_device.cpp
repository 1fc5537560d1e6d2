/* SPDX-License-Identifier: MIT */
/* What the emulated device tells of itself. */
#include <stdio.h>

#include "cuda.h"
#include "emulate.h"

emu_host emu_driver;

/*
 * RNKIT_EMULATE_DEVICES=N: so many, for as many ranks. They have nothing in common. RNKIT_EMULATE_ERROR=NUMBER: a driver that
 * answers so.
 */
cudaError_t cudaGetDeviceCount(int *n)
{
    const char *text = getenv("RNKIT_EMULATE_DEVICES"), *error = getenv("RNKIT_EMULATE_ERROR");

    if (error)
        return emu_driver.error = (cudaError_t)atoi(error);
    *n = text && atoi(text) > 0 ? atoi(text) : 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int)
{
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    memset(p, 0, sizeof *p);
    p->uuid.bytes[15] = (char)device;
    snprintf(p->name, sizeof p->name, "no GPU: emulated on the CPU, for tests");
    p->totalGlobalMem = (size_t)1 << 31;
    p->sharedMemPerBlockOptin = EMU_SHARED_MOST;
    p->major = 9;
    if (const char *text = getenv("RNKIT_EMULATE_CAPABILITY")) { /* 80: a device that knows less */
        p->major = atoi(text) / 10;
        p->minor = atoi(text) % 10;
    }
    p->multiProcessorCount = 4;
    p->l2CacheSize = 128 << 10;
    p->pageableMemoryAccess = emu_reads_host();
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *v)
{
    *v = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *v)
{
    *v = CUDART_VERSION;
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t e)
{
    return e == cudaErrorInvalidConfiguration ? "invalid configuration argument" : "error";
}

const char *cudaGetErrorName(cudaError_t e)
{
    return e == cudaErrorInvalidConfiguration ? "cudaErrorInvalidConfiguration" : "cudaError";
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t e = emu_driver.error;

    emu_driver.error = cudaSuccess;
    return e;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute, int value)
{
    if (value > EMU_SHARED_MOST)
        return cudaErrorInvalidValue;
    emu_driver.allowed[kernel] = value;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *a, const void *)
{
    memset(a, 0, sizeof *a);
    a->numRegs = 255;
    return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **fn, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult *found)
{
    *fn = rn_emu_driver_function(name);
    *found = *fn ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
