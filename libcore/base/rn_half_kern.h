/* SPDX-License-Identifier: MIT */
/* Between the files of rn_half: the tables. */
#ifndef RN_HALF_KERN_H
#define RN_HALF_KERN_H

#include "base/rn_half.h"

extern const rn_half_kern rn_half_kern_portable;
#if defined(__x86_64__)
extern const rn_half_kern rn_half_kern_avx2, rn_half_kern_avx512;
#endif

#endif
