/* SPDX-License-Identifier: MIT */
/* The loops over memory, for each instruction set: the including file defines vec (of 64 bytes or less), v_load(p), v_store(p, v),
 * v_or(a, b), v_any(v) and NAME. Eight loads in flight; an OR waits one cycle for the one before, an addition would wait four. */
#include "bench.h"

#define UNROLL 8

static uint64_t stream_read(const void *p, size_t bytes)
{
    vec s[UNROLL];

#pragma GCC unroll 8
    for (int i = 0; i < UNROLL; i++)
        s[i] = v_load(p);
    for (const char *c = p, *end = c + bytes; c < end; c += UNROLL * sizeof(vec)) {
#pragma GCC unroll 8
        for (int i = 0; i < UNROLL; i++)
            s[i] = v_or(s[i], v_load(c + (size_t)i * sizeof(vec)));
    }
#pragma GCC unroll 8
    for (int i = 1; i < UNROLL; i++)
        s[0] = v_or(s[0], s[i]);
    return v_any(s[0]);
}

static void stream_copy(void *to, const void *from, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += UNROLL * sizeof(vec)) {
#pragma GCC unroll 8
        for (int i = 0; i < UNROLL; i++)
            v_store((char *)to + at + (size_t)i * sizeof(vec),
                    v_load((const char *)from + at + (size_t)i * sizeof(vec)));
    }
}

const bench_stream NAME = {stream_read, stream_copy};
