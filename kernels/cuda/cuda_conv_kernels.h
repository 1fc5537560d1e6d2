/* SPDX-License-Identifier: MIT */
/* Makes the row of one tile and type: included by cuda_conv_gemm_*.cu alone. */
#ifndef CUDA_CONV_KERNELS_H
#define CUDA_CONV_KERNELS_H

#include "kernels/cuda/cuda_conv_gemm.h"
#include "kernels/cuda/cuda_conv_gemm_run.h"

template <class T> struct rn_conv_instance {
    static int open(void)
    {
        RN_TRY(rn_cuda_allow_shared(rn_conv_gemm<T, true>, T::SHARED_BYTES));
        RN_TRY(rn_cuda_allow_shared(rn_conv_gemm<T, false>, T::SHARED_BYTES));
        RN_TRY(rn_cuda_allow_shared(rn_conv_weights<T, true>, T::SHARED_BYTES));
        return rn_cuda_allow_shared(rn_conv_weights<T, false>, T::SHARED_BYTES);
    }
    static int gemm(const rn_conv_gemm_args *p, bool async, unsigned blocks, void *stream)
    {
        return async ? RN_CUDA_LAUNCH((rn_conv_gemm<T, true>), blocks, T::THREADS, T::SHARED_BYTES, stream, *p)
                     : RN_CUDA_LAUNCH((rn_conv_gemm<T, false>), blocks, T::THREADS, T::SHARED_BYTES, stream, *p);
    }
    static int weights(const rn_conv_weights_args *p, bool async, unsigned blocks, void *stream)
    {
        return async ? RN_CUDA_LAUNCH((rn_conv_weights<T, true>), blocks, T::THREADS, T::SHARED_BYTES, stream, *p)
                     : RN_CUDA_LAUNCH((rn_conv_weights<T, false>), blocks, T::THREADS, T::SHARED_BYTES, stream, *p);
    }
};

#define RN_CONV_KERNELS(name, ...)                                                                                     \
    extern const rn_conv_kernels name = {__VA_ARGS__::M,                                                               \
                                         __VA_ARGS__::N,                                                               \
                                         __VA_ARGS__::K,                                                               \
                                         rn_conv_instance<__VA_ARGS__>::open,                                          \
                                         rn_conv_instance<__VA_ARGS__>::gemm,                                          \
                                         rn_conv_instance<__VA_ARGS__>::weights}

#endif
