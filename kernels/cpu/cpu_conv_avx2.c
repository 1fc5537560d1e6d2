/* SPDX-License-Identifier: MIT */
/* 6 x 16 tiles: 12 of the 16 registers accumulate. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VL 8
#define MR 6

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

/* AVX2 has no masked loads of 16 bits. */
static inline __m128i load_halves(const uint16_t *p, int n)
{
    uint16_t all[VL] = {0};
    for (int i = 0; i < n; i++)
        all[i] = p[i];
    return _mm_loadu_si128((const __m128i *)all);
}

#define h_all(p)            _mm_loadu_si128((const __m128i *)(p))
#define h_bf16(h)           _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16))
#define h_load_bf16(p)      h_bf16(h_all(p))
#define h_load_n_bf16(p, n) h_bf16(load_halves(p, n))
#define h_load_f16(p)       _mm256_cvtph_ps(h_all(p))
#define h_load_n_f16(p, n)  _mm256_cvtph_ps(load_halves(p, n))
#define TABLE_OF(type)      rn_conv_isa_avx2_##type

#include "kernels/cpu/cpu_conv_tile.h"
#include "kernels/cpu/cpu_conv_types.h"
