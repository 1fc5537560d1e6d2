/* SPDX-License-Identifier: MIT */
/* The table of plain C, and the choice. */
#define HALF_KERN rn_half_kern_portable
#include "base/rn_half_impl.h"
#include "base/rn_half_kern.h"

const rn_half_kern *rn_half_kern_of(rn_isa isa)
{
#if defined(__x86_64__)
    if (isa >= RN_ISA_AVX512)
        return &rn_half_kern_avx512;
    if (isa == RN_ISA_AVX2)
        return &rn_half_kern_avx2;
#else
    (void)isa;
#endif
    return &rn_half_kern_portable;
}
