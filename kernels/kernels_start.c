/* SPDX-License-Identifier: MIT */
#include "kernels/rn_kernels.h"

#include <stdlib.h>
#include <unistd.h>

void rn_kernels_start(char **argv)
{
    static const char *const set[] = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        if (getenv(set[i]))
            return;
    /* 1,000 turns, some microseconds: on idle cores as fast as the default of 300,000, and on a shared machine a step of a
     * narrow net took a quarter of the default time. By its path, so that the process keeps its name. */
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0 && setenv("GOMP_SPINCOUNT", "1000", 1) == 0 && setenv("KMP_BLOCKTIME", "0", 1) == 0) {
        self[n] = 0;
        execv(self, argv);
    }
    /* Still here: without /proc, say. Slower where cores are shared, otherwise the same. */
}
