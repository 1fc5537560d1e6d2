/* SPDX-License-Identifier: MIT */
#include <immintrin.h>

#define NAME bench_fma_avx512
#define VL   16
typedef __m512 vec;
#define v_set1(x)      _mm512_set1_ps(x)
#define v_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define v_first(v)     _mm512_cvtss_f32(v)

#include "bench_fma.h"
