/* SPDX-License-Identifier: MIT */
#define NAME bench_fma_portable
#define VL   4
typedef float vec __attribute__((vector_size(16)));
#define v_set1(x)      ((vec){x, x, x, x})
#define v_fma(a, b, c) ((a) * (b) + (c))
#define v_first(v)     ((v)[0])

#include "bench_fma.h"
