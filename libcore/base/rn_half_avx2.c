/* SPDX-License-Identifier: MIT */
#include <immintrin.h>

#include "base/rn_half_kern.h"

#define HALF_KERN rn_half_kern_avx2
#define F16_STEP  8

static inline void f16_widen(float *to, const uint16_t *from)
{
    _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from)));
}

static inline void f16_narrow(uint16_t *to, const float *from)
{
    _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
}

#include "base/rn_half_impl.h"
