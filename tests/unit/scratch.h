/* SPDX-License-Identifier: MIT */
/* A folder of its own for a group of tests, which run in it: enter_scratch and leave_scratch for cmocka_run_group_tests. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char scratch[] = "/tmp/rnkit-test.XXXXXX";

static inline int enter_scratch(void **state)
{
    (void)state;
    return mkdtemp(scratch) && chdir(scratch) == 0 ? 0 : -1;
}

static inline int leave_scratch(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    return chdir("/") || system(command);
}

#endif
