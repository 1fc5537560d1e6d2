/* SPDX-License-Identifier: MIT */
#include <immintrin.h>

#define NAME bench_fma_avx2
#define VL   8
typedef __m256 vec;
#define v_set1(x)      _mm256_set1_ps(x)
#define v_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define v_first(v)     _mm256_cvtss_f32(v)

#include "bench_fma.h"
