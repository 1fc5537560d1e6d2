/* SPDX-License-Identifier: MIT */
#include "base/rn_cpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/rn_cpu_amx.h"
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

/* What XCR0 says that the system saves: the tiles' configuration and their data. A hypervisor may let the CPU's bits through and
 * not these. */
static bool saves_tiles(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return false;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a >> 17 & 3) == 3;
}

/* The kernel gives each thread room for 8 KB of tiles only if asked; until then the first tile instruction faults. Why there
 * are none, or NULL: "" where the CPU has none. */
static const char *no_amx(void)
{
    unsigned a, b, c, d;
    unsigned long long granted = 0;

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & CPUID_AMX_TILE))
        return "";
    if (!(d & CPUID_AMX_BF16))
        return "the CPU has tiles, but not their products of bf16";
    if (!saves_tiles())
        return "the kernel or a hypervisor does not save the tiles' registers";
    if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) < 0)
        return errno == ENOSPC
                   ? "a thread has an alternate signal stack that is too small for the tiles (AT_MINSIGSTKSZ)"
               : errno == EPERM ? "this process may not ask the kernel for tiles (seccomp)"
                                : "the kernel does not hand out tiles: that takes Linux 5.16";
    if (syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &granted) < 0 || !(granted >> XFEATURE_XTILEDATA & 1))
        return "the kernel did not grant tiles";
    return NULL;
}
#endif

/* Without AMX, for which the kernel has to be asked. */
static rn_isa best_of_avx(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return __builtin_cpu_supports("avx512bf16") ? RN_ISA_AVX512_BF16 : RN_ISA_AVX512;
    if (avx2)
        return RN_ISA_AVX2;
#endif
    return RN_ISA_PORTABLE;
}

rn_isa rn_isa_best(void)
{
    rn_isa best = best_of_avx();

#if defined(__x86_64__)
    if (best == RN_ISA_AVX512_BF16 && !no_amx())
        best = RN_ISA_AMX;
#endif
    return best;
}

const char *rn_isa_no_amx(void)
{
#if defined(__x86_64__)
    const char *why = best_of_avx() == RN_ISA_AVX512_BF16 ? no_amx() : "";
    return why && *why ? why : NULL;
#else
    return NULL;
#endif
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
    const char *why = i == RN_ISA_AMX ? rn_isa_no_amx() : NULL;
    if ((rn_isa)i > best)
        return rn_fail(RN_E_ABSENT, "instruction set %s: this CPU has only %s%s%s", cap, rn_isa_names[best],
                       why ? ": " : "", why ? why : "");
    *out = (rn_isa)i;
    return RN_OK;
}
