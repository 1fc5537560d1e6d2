/* SPDX-License-Identifier: MIT */
/* Two rows of 16-bit numbers as one of pairs, for what is compiled with AVX-512. */
#ifndef CPU_INTERLEAVE_H
#define CPU_INTERLEAVE_H

#include <immintrin.h>

/* Words 0, 32, 1, 33, ... of two vectors, from word `from` (0 or 16) of each on. */
static inline __m512i rn_interleave(__m512i p, __m512i q, int from)
{
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37,
                                         5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    return _mm512_permutex2var_epi16(p, _mm512_add_epi16(low, _mm512_set1_epi16((short)from)), q);
}

#endif
