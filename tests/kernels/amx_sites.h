/* SPDX-License-Identifier: MIT */
/*
 * Where a program has AMX instructions, on a CPU that has them not. The first time that one is met it raises SIGILL; it is then
 * overwritten, in memory, by a jump to a stub that saves all registers, calls amx_execute and goes on behind it: no signal after
 * that. Each of them is at least as long as a jump (5 bytes). Where pages of code may not be written, each one raises its
 * signal each time, and all else is the same.
 *
 * Other threads may be running through the bytes meanwhile: the first one becomes int3 while the others change, whose
 * signal leads to the stub as well.
 */
#ifndef AMX_SITES_H
#define AMX_SITES_H

#include <stdbool.h>
#include <stdint.h>

/* Decoded. Registers by their numbers in the encoding; -1: none. */
typedef struct amx_insn {
    uint8_t *at;
    int bytes;
    int pp;      /* 0 none, 1 66, 2 F3, 3 F2 */
    int op;      /* after 0F38 */
    int reg, rm; /* of ModRM, extended */
    int vvvv;
    bool memory, sib;
    int base, index, scale; /* index << scale */
    int64_t disp;           /* with base -1: the address itself */
} amx_insn;

/* Steps over it, with the values of the 16 registers. In the thread that met it, outside of any signal handler. */
void amx_execute(const amx_insn *insn, const uint64_t *gpr);

/* Handlers of SIGILL and SIGTRAP. False: not set. */
bool amx_sites_start(void);
/* All as it was, the code too. */
void amx_sites_stop(void);
/* The instructions met so far do nothing, or are done again. While no other thread executes any. False: code is not writable. */
bool amx_sites_skip(bool skip);

#endif
