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
#define v_sub(a, b)        _mm256_sub_ps(a, b)
#define v_mad(a, b, c)     _mm256_fmadd_ps(a, b, c)
#define v_max(a, b)        _mm256_max_ps(a, b)
#define v_gate(z, v)       _mm256_and_ps(_mm256_cmp_ps(z, _mm256_setzero_ps(), _CMP_GT_OQ), v)
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

/* To nearest even; a NaN stays one. */
static inline vec round_bf16(vec v)
{
    const __m256i bits = _mm256_castps_si256(v),
                  odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i r = _mm256_and_si256(up, _mm256_set1_epi32((int)0xffff0000));
    return _mm256_blendv_ps(_mm256_castsi256_ps(r), v, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

#define h_all(p)            _mm_loadu_si128((const __m128i *)(p))
#define h_bf16(h)           _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16))
#define h_load_bf16(p)      h_bf16(h_all(p))
#define h_load_n_bf16(p, n) h_bf16(load_halves(p, n))
#define h_load_f16(p)       _mm256_cvtph_ps(h_all(p))
#define h_load_n_f16(p, n)  _mm256_cvtph_ps(load_halves(p, n))
#define h_round_bf16(v)     round_bf16(v)
#define h_round_f16(v)      _mm256_cvtph_ps(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT))
#define TABLE_OF(type)      rn_conv_isa_avx2_##type

#include "kernels/cpu/cpu_conv_tile.h"
#include "kernels/cpu/cpu_conv_types.h"
