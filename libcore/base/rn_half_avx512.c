/* SPDX-License-Identifier: MIT */
#include <immintrin.h>

#include "base/rn_half_kern.h"

#define HALF_KERN rn_half_kern_avx512
#define F16_STEP  16

static inline void f16_widen(float *to, const uint16_t *from)
{
    _mm512_storeu_ps(to, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from)));
}

static inline void f16_narrow(uint16_t *to, const float *from)
{
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtps_ph(_mm512_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
}

#include "base/rn_half_impl.h"
