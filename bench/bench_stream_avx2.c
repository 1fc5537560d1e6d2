/* SPDX-License-Identifier: MIT */
#include <immintrin.h>

#define NAME bench_stream_avx2
typedef __m256i vec;
#define v_load(p)     _mm256_load_si256((const __m256i *)(const void *)(p))
#define v_store(p, v) _mm256_store_si256((__m256i *)(void *)(p), v)
#define v_or(a, b)    _mm256_or_si256(a, b)
#define v_any(v)      ((uint64_t)_mm256_extract_epi64(v, 0))

#include "bench_stream.h"
