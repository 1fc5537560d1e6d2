/* SPDX-License-Identifier: MIT */
#include "base/rn_cpu.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/rn_error.h"

const char *const rn_isa_names[] = {"portable", "avx2", "avx512", "avx512bf16", "amx", NULL};

#if defined(__x86_64__)
/* clang 14 knows no word for it. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

/* CPUID.7.0:EDX, tiles and their products of bf16; bits that gcc 12 and clang 14 name differently. */
#define CPUID_AMX_BF16      (1u << 22)
#define CPUID_AMX_TILE      (1u << 24)
/* <asm/prctl.h> of Linux 5.16, newer than some distributions' headers; feature 18 is the tiles' data. */
#define ARCH_GET_XCOMP_PERM 0x1022
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA  18

/* The kernel gives each thread room for 8 KB of tiles only if asked; until then the first tile instruction faults. */
static bool has_amx(void)
{
    unsigned a, b, c, d;
    unsigned long long granted = 0;

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & CPUID_AMX_BF16) || !(d & CPUID_AMX_TILE))
        return false;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 &&
           syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &granted) == 0 && (granted >> XFEATURE_XTILEDATA & 1);
}
#endif

rn_isa rn_isa_best(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return !__builtin_cpu_supports("avx512bf16") ? RN_ISA_AVX512 : has_amx() ? RN_ISA_AMX : RN_ISA_AVX512_BF16;
    if (avx2)
        return RN_ISA_AVX2;
#endif
    return RN_ISA_PORTABLE;
}

bool rn_isa_bytes512(void)
{
#if defined(__x86_64__)
    return rn_isa_best() >= RN_ISA_AVX512 && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

int rn_isa_pick(const char *cap, rn_isa *out)
{
    rn_isa best = rn_isa_best();
    int i = 0;

    *out = best;
    cap = cap ? cap : getenv("RNKIT_ISA");
    if (!cap || !*cap)
        return RN_OK;
    while (rn_isa_names[i] && strcmp(cap, rn_isa_names[i]) != 0)
        i++;
    if (!rn_isa_names[i])
        return rn_fail(RN_E_USAGE, "instruction set '%s': unknown; accepted: portable, avx2, avx512, avx512bf16, amx",
                       cap);
    if ((rn_isa)i > best)
        return rn_fail(RN_E_ABSENT, "instruction set %s: this CPU%s has only %s", cap,
                       i == RN_ISA_AMX ? " (or its kernel: AMX needs Linux 5.16)" : "", rn_isa_names[best]);
    *out = (rn_isa)i;
    return RN_OK;
}
