/* SPDX-License-Identifier: MIT */
#include <immintrin.h>

#define NAME bench_stream_avx512
typedef __m512i vec;
#define v_load(p)     _mm512_load_si512(p)
#define v_store(p, v) _mm512_store_si512(p, v)
#define v_or(a, b)    _mm512_or_si512(a, b)
#define v_any(v)      ((uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(v)))

#include "bench_stream.h"
