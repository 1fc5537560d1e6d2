/* SPDX-License-Identifier: MIT */
/* The backends this build has: what a tool's main hands to libcore. */
#ifndef RN_KERNELS_H
#define RN_KERNELS_H

#include "op/rn_backend.h"

/* Ended by {NULL, NULL}. */
extern const rn_backend_entry rn_backends[];

/*
 * First thing in the main() of a tool that computes. OpenMP's runtimes let a thread that waits at a barrier spin for milliseconds
 * by default; where the loader's workers or other programs want the core, steps become several times slower for it. The
 * runtimes read their settings before main, so this sets short waits and starts the program anew, once; it returns when
 * OMP_WAIT_POLICY, GOMP_SPINCOUNT or KMP_BLOCKTIME is set, by the caller's wish or by the first call.
 */
void rn_kernels_start(char **argv);

#endif
