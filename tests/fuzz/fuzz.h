/* SPDX-License-Identifier: MIT */
/*
 * What every program in this folder is: a libFuzzer target, `make fuzz` links it with libFuzzer. `make check` links the
 * same objects with driver.c, which replays corpus/<name>/ and thousands of mutations of it, always the same ones.
 *
 * A target aborts (RN_FUZZ_CHECK) when the library breaks its word; sanitizers see the rest.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* libFuzzer's, or the driver's: changes data in place (room for `cap` bytes) and returns its new size. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t cap);

/* A target may have one: what it makes of the data gets past checksums that chance never would. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t cap, unsigned seed) __attribute__((weak));

/* Holds in builds without assert(), too. */
#define RN_FUZZ_CHECK(cond)                                                                                            \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
