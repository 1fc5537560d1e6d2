/* SPDX-License-Identifier: MIT */
#include "base/rn_module.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

int rn_module_path(const char *name, char out[PATH_MAX])
{
    char exe[PATH_MAX], in[NAME_MAX + 16];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

    if (n < 0)
        return rn_fail(RN_E_IO, "cannot tell where this program lies (/proc/self/exe)");
    exe[n] = 0;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(exe, '/');
        if (slash)
            *slash = 0;
    }
    snprintf(in, sizeof in, "lib/rnkit/%s", name);
    return rn_path_join(out, PATH_MAX, exe, in);
}
