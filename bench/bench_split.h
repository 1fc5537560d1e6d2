/* SPDX-License-Identifier: MIT */
/*
 * Where a step's time goes: a backend that does what another does and keeps the time of every call, with the operations
 * and bytes that the call's own arguments say are needed. Nets run on it unchanged, so what is split is what rn-train
 * runs, fused or not. Two readings of the clock a call; on a device that works on while the caller goes on, two of its
 * events, which are read at the step's end, so that nothing waits within it.
 *
 * Conventions. FLOP: two a multiply-add of convolutions and linear layers; with `inbounds` the taps of a convolution
 * that fall in the padding are not counted. All else is taken as bound by bytes: its operations are counted as 0. An algorithm that
 * multiplies less (Winograd) is credited with the direct convolution's. Bytes: each tensor of a call once for reading
 * and once for writing, as if caches held nothing between calls and everything within one. The roofline's time of a
 * call is the longer of FLOP at the measured peak of its type and bytes at the measured bandwidth of memory; where
 * a tensor is still cached from the call before, a call can be faster than that (above 100 per cent).
 *
 * Threads: one, the one that drives the net.
 */
#ifndef BENCH_SPLIT_H
#define BENCH_SPLIT_H

#include "op/rn_backend.h"

typedef struct bench_split bench_split;

/* What calls of one kind and one size cost in a step. */
typedef struct bench_part {
    const char *kind; /* "conv_fwd", "conv_prepare", or a slot's name in rn_ops: "bn_bwd" */
    bool is_conv;     /* of a descriptor, and not its prepare */
    rn_conv_desc desc;
    rn_conv_dir dir;
    rn_dtype dtype;     /* whose peak holds */
    double flop, bytes; /* of one call */
    double ms;          /* of all calls in a step: median over the steps */
    int calls;          /* in a step */
} bench_part;

/* For rn_session_open_bare and rn_backend_open in place of rn_backends. Ended by {NULL, NULL}. */
extern const rn_backend_entry bench_split_backends[];
/* NULL: `be` was not opened out of that table. */
bench_split *bench_split_of(const rn_backend *be);

/* Padding counts unless told otherwise here. */
void bench_split_count_inbounds(bench_split *s, bool inbounds);
/* Does the device take whole passes as one, captured? Then those of a split are launched op by op, unless it is paused: then nothing is
 * kept, and the device does as it does for rn-train. */
bool bench_split_captures(const bench_split *s);
void bench_split_pause(bench_split *s, bool pause);
/* What was called since the last of these two becomes one step that took `ms`, or is forgotten. */
int bench_split_step(bench_split *s, double ms);
void bench_split_forget(bench_split *s);

/* Parts in the order of their first call; the text of the last one's kind is "between": what a step does between calls. Valid until
 * the next step or the backend's end. RN_E_NOTHING before the first step. */
int bench_split_parts(bench_split *s, const bench_part **out, int *n);

#endif
