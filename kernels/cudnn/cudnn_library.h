/* SPDX-License-Identifier: MIT */
/* NVIDIA's cuDNN 9, loaded when a convolution asks for it: a machine without it has the project's own. (C++) */
#ifndef CUDNN_LIBRARY_H
#define CUDNN_LIBRARY_H

#include <cudnn.h>

#define RN_CUDNN_FUNCTIONS(X)                                                                                          \
    X(GetVersion)                                                                                                      \
    X(GetErrorString)                                                                                                  \
    X(GetLastErrorString)                                                                                              \
    X(Create)                                                                                                          \
    X(Destroy)                                                                                                         \
    X(SetStream)                                                                                                       \
    X(BackendCreateDescriptor)                                                                                         \
    X(BackendDestroyDescriptor)                                                                                        \
    X(BackendSetAttribute)                                                                                             \
    X(BackendGetAttribute)                                                                                             \
    X(BackendFinalize)                                                                                                 \
    X(BackendExecute)

struct rn_cudnn_library {
#define X(name) decltype(&cudnn##name) name;
    RN_CUDNN_FUNCTIONS(X)
#undef X
};

/* libcudnn.so.9, or what RNKIT_CUDNN_LIBRARY names. RN_E_ABSENT, in words: it is not there, or not 9. Never unloaded. */
int rn_cudnn_load(rn_cudnn_library *l);
/* RN_OK, or the failure of `what` with the library's own reason. CUDNN_STATUS_NOT_SUPPORTED is RN_E_UNSUPPORTED. */
int rn_cudnn_status(const rn_cudnn_library *l, cudnnStatus_t status, const char *what);

#endif
