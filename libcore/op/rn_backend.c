/* SPDX-License-Identifier: MIT */
#include "op/rn_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

int rn_backend_open(const rn_backend_entry *table, const char *device, const rn_backend_opts *opts, rn_backend **out)
{
    static const rn_backend_opts defaults;
    char known[128] = "";
    size_t n = 0;

    *out = NULL;
    for (const rn_backend_entry *e = table; e->device; e++) {
        if (strcmp(e->device, device) == 0)
            return e->open(opts ? opts : &defaults, out);
        if (n < sizeof known)
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", e->device);
    }
    return rn_fail(RN_E_USAGE, "device '%s': not in this build; it has: %s", device, known);
}

void rn_backend_close(rn_backend *be)
{
    if (be)
        be->close(be);
}

int rn_backend_alloc_host(rn_backend *be, size_t bytes, void **out)
{
    *out = NULL;
    if (!be->alloc_host) {
        *out = aligned_alloc(64, (bytes / 64 + 1) * 64);
        if (!*out)
            return rn_fail(RN_E_NOMEM, "no memory of %zu bytes", bytes);
    } else {
        RN_TRY(be->alloc_host(be, bytes, out));
    }
    memset(*out, 0, bytes);
    return RN_OK;
}

void rn_backend_free_host(rn_backend *be, void *p)
{
    if (be->free_host)
        be->free_host(be, p);
    else
        free(p);
}
