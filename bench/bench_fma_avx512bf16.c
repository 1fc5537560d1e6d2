/* SPDX-License-Identifier: MIT */
/* Pairs of bf16: two terms in each of a vector's sums. */
#include <immintrin.h>

#define NAME bench_fma_avx512bf16
#define VL   16
#define PER  2
typedef __m512 vec;
#define v_set1(x)      _mm512_set1_ps(x)
#define v_fma(a, b, c) _mm512_dpbf16_ps(a, (__m512bh)(b), (__m512bh)(c))
#define v_first(v)     _mm512_cvtss_f32(v)

#include "bench_fma.h"
