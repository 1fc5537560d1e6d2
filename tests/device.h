/* SPDX-License-Identifier: MIT */
/* RNKIT_DEVICE: what the tests that can run on any device run on (make check-cuda); not set: the CPU. */
#ifndef TESTS_DEVICE_H
#define TESTS_DEVICE_H

#include <stdlib.h>

static inline const char *test_device(void)
{
    const char *named = getenv("RNKIT_DEVICE");

    return named && *named ? named : "cpu";
}

#endif
