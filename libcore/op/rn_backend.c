/* SPDX-License-Identifier: MIT */
#include "op/rn_backend.h"

#include <stdio.h>
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
