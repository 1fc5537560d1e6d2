/* SPDX-License-Identifier: MIT */
/* 14 x 32 tiles: 28 of the 32 registers accumulate. */
#include <immintrin.h>
#include <stdint.h>

#define VL 16
#define MR 14

typedef __m512 vec;
#define v_zero()           _mm512_setzero_ps()
#define v_load(p)          _mm512_loadu_ps(p)
#define v_store(p, v)      _mm512_storeu_ps(p, v)
#define v_set1(x)          _mm512_set1_ps(x)
#define v_fma(a, b, c)     _mm512_fmadd_ps(a, b, c)
#define v_add(a, b)        _mm512_add_ps(a, b)
#define v_sub(a, b)        _mm512_sub_ps(a, b)
#define v_mad(a, b, c)     _mm512_fmadd_ps(a, b, c)
#define v_max(a, b)        _mm512_max_ps(a, b)
#define v_gate(z, v)       _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_GT_OQ), v)
#define v_mask(n)          ((__mmask16)((1u << (n)) - 1))
#define v_load_n(p, n)     _mm512_maskz_loadu_ps(v_mask(n), p)
#define v_store_n(p, v, n) _mm512_mask_storeu_ps(p, v_mask(n), v)

/* To nearest even; a NaN stays one. */
static inline vec round_bf16(vec v)
{
    const __m512i bits = _mm512_castps_si512(v),
                  odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(_mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32((int)0xffff0000))), nan, v);
}

#define h_all(p)            _mm256_loadu_si256((const __m256i *)(p))
#define h_n(p, n)           _mm256_maskz_loadu_epi16(v_mask(n), p)
#define h_bf16(h)           _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))
#define h_load_bf16(p)      h_bf16(h_all(p))
#define h_load_n_bf16(p, n) h_bf16(h_n(p, n))
#define h_load_f16(p)       _mm512_cvtph_ps(h_all(p))
#define h_load_n_f16(p, n)  _mm512_cvtph_ps(h_n(p, n))
#define h_round_bf16(v)     round_bf16(v)
#define h_round_f16(v)      _mm512_cvtph_ps(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT))
#define TABLE_OF(type)      rn_conv_isa_avx512_##type

#include "kernels/cpu/cpu_conv_tile.h"
#include "kernels/cpu/cpu_conv_types.h"
