/* SPDX-License-Identifier: MIT */
/* 6 x 16 tiles: 12 of the 16 registers accumulate. */
#include <immintrin.h>

#define VL    8
#define MR    6
#define TABLE rn_conv_isa_avx2

typedef __m256 vec;
#define v_zero()           _mm256_setzero_ps()
#define v_load(p)          _mm256_loadu_ps(p)
#define v_store(p, v)      _mm256_storeu_ps(p, v)
#define v_set1(x)          _mm256_set1_ps(x)
#define v_fma(a, b, c)     _mm256_fmadd_ps(a, b, c)
#define v_add(a, b)        _mm256_add_ps(a, b)
#define v_mask(n)          _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define v_load_n(p, n)     _mm256_maskload_ps(p, v_mask(n))
#define v_store_n(p, v, n) _mm256_maskstore_ps(p, v_mask(n), v)

#include "kernels/cpu/cpu_conv_tile.h"
