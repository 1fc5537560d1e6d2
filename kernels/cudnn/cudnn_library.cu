/* SPDX-License-Identifier: MIT */
#if __has_include(<cudnn.h>)
#include "kernels/cudnn/cudnn_library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
#include "base/rn_error.h"
}

/* Plans without a device, by which the descriptors are tested, came with 9.8. */
enum { VERSION_LEAST = 90800, VERSION_BEHIND = 100000 };

int rn_cudnn_load(rn_cudnn_library *l)
{
    const char *named = getenv("RNKIT_CUDNN_LIBRARY"), *file = named && *named ? named : "libcudnn.so.9";
    void *so = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (!so)
        return rn_fail(RN_E_ABSENT, "cannot load cuDNN: %s (install cudnn9, or have RNKIT_CUDNN_LIBRARY name it)",
                       dlerror());
#define X(name)                                                                                                        \
    l->name = (decltype(l->name))dlsym(so, "cudnn" #name);                                                             \
    if (!l->name)                                                                                                      \
        return rn_fail(RN_E_ABSENT, "%s is no cuDNN that is known here: it has no %s", file, "cudnn" #name);
    RN_CUDNN_FUNCTIONS(X)
#undef X
    const size_t version = l->GetVersion();
    if (version < VERSION_LEAST || version >= VERSION_BEHIND)
        return rn_fail(RN_E_ABSENT, "%s is cuDNN of version code %zu: 9.8 or a later 9 is needed", file, version);
    return RN_OK;
}

int rn_cudnn_status(const rn_cudnn_library *l, cudnnStatus_t status, const char *what)
{
    char more[512] = "";

    if (status == CUDNN_STATUS_SUCCESS)
        return RN_OK;
    l->GetLastErrorString(more, sizeof more);
    more[strcspn(more, "\n")] = 0;
    /* statuses come in groups of a thousand: 3000 is "not supported" with all its kinds */
    return rn_fail(status / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000 ? RN_E_UNSUPPORTED : RN_E_IO, "cuDNN: %s: %s%s%s",
                   what, l->GetErrorString(status), *more ? ": " : "", more);
}
#endif
