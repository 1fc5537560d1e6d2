/* SPDX-License-Identifier: MIT */
#include <stdint.h>

#define NAME bench_stream_portable
typedef uint64_t vec __attribute__((vector_size(16)));
#define v_load(p)     (*(const vec *)(const void *)(p))
#define v_store(p, v) (*(vec *)(void *)(p) = (v))
#define v_or(a, b)    ((a) | (b))
#define v_any(v)      ((v)[0])

#include "bench_stream.h"
