/* SPDX-License-Identifier: MIT */
/*
 * libcuda.so.1 of a machine with NVIDIA's driver and without a device, for check-cudnn-plans: cuDNN's engines that compile their kernels want
 * a driver before they plan, though it is the toolkit that compiles. Initialising says that there is no device (100); whatever a plan asks
 * beyond that is answered with success, and a module that is loaded is nothing: nothing here can run.
 */
#include <stddef.h>

static char nothing; /* what handles point to */

int cuInit(unsigned flags);
int cuInit(unsigned flags)
{
    (void)flags;
    return 100;
}

int cuDriverGetVersion(int *version);
int cuDriverGetVersion(int *version)
{
    *version = 13000;
    return 0;
}

int cuLibraryLoadData(void **library);
int cuLibraryLoadData(void **library)
{
    *library = &nothing;
    return 0;
}

int cuLibraryGetKernel(void **kernel);
int cuLibraryGetKernel(void **kernel)
{
    *kernel = &nothing;
    return 0;
}

/* Looked up, and not called before a plan runs, or called without a look at what it returns. */
#define YES(name)                                                                                                      \
    int name(void);                                                                                                    \
    int name(void)                                                                                                     \
    {                                                                                                                  \
        return 0;                                                                                                      \
    }
YES(cuCtxGetCurrent)
YES(cuCtxGetLimit)
YES(cuCtxPopCurrent)
YES(cuCtxPushCurrent)
YES(cuDeviceGet)
YES(cuDeviceGetCount)
YES(cuGetErrorName)
YES(cuGetErrorString)
YES(cuKernelGetAttribute)
YES(cuKernelSetAttribute)
YES(cuLaunchCooperativeKernel)
YES(cuLaunchKernel)
YES(cuLaunchKernelEx)
YES(cuLibraryLoadFromFile)
YES(cuLibraryUnload)
YES(cuLinkAddData)
YES(cuLinkComplete)
YES(cuLinkCreate)
YES(cuLinkDestroy)
YES(cuOccupancyMaxPotentialClusterSize)
YES(cuStreamGetCtx)
