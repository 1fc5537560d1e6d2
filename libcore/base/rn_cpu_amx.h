/* SPDX-License-Identifier: MIT */
/* What a person wants to know of a CPU that should have AMX. See rn_cpu.h. */
#ifndef RN_CPU_AMX_H
#define RN_CPU_AMX_H

/* Why AMX is not used although the CPU has some of it: the kernel, a hypervisor, a part that is missing. A static text; NULL: it is
 * used, or is not there at all. */
const char *rn_isa_no_amx(void);

#endif
