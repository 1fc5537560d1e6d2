/* SPDX-License-Identifier: MIT */
/* Loads the shared object that knows CUDA, when --device cuda asks for it: nothing else is linked with CUDA. */
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_digest.h"
#include "base/rn_error.h"
#include "base/rn_module.h"
#include "base/rn_opt.h"
#include "kernels/cuda/cuda_module.h"

/* The module calls the library that the program has, and a linker takes of that only what the program names: this is what some would
 * be without. */
static int (*const digest_buffer)(enum rn_digest_kind, const void *, size_t, char *)
    __attribute__((used)) = rn_digest_buffer;

/* RNKIT_CUDA_MODULE names another object; the tests have one that emulates a device. */
static int find(char path[PATH_MAX])
{
    const char *named = getenv("RNKIT_CUDA_MODULE");

    if (named && *named) {
        if (strlen(named) >= PATH_MAX)
            return rn_fail(RN_E_USAGE, "RNKIT_CUDA_MODULE: the path is too long");
        memcpy(path, named, strlen(named) + 1);
    } else {
        RN_TRY(rn_module_path(RN_CUDA_MODULE, path));
    }
    if (access(path, R_OK) != 0)
        return rn_fail(RN_E_ABSENT,
                       "device cuda: this build has no CUDA (%s is not there): build with CUDA=1, which needs nvcc, or "
                       "use --device cpu",
                       path);
    return RN_OK;
}

int rn_cuda_open(const rn_backend_opts *opts, rn_backend **out)
{
    static const size_t sizes[] = {RN_CUDA_MODULE_SIZES};
    char path[PATH_MAX];

    *out = NULL;
    RN_TRY(find(path));
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so)
        return rn_fail(RN_E_IO, "device cuda: cannot load %s: %s", path, dlerror());
    const rn_cuda_module *m = dlsym(so, RN_CUDA_MODULE_SYMBOL);
    if (!m || strcmp(m->version, RN_VERSION) != 0 || memcmp(&m->backend, sizes, sizeof sizes) != 0) {
        dlclose(so);
        return rn_fail(RN_E_MISMATCH, "device cuda: %s is not of this version of rnkit: install both anew", path);
    }
    return m->open(opts, out); /* never closed: the driver does not survive it */
}
