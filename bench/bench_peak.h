/* SPDX-License-Identifier: MIT */
/* One ceiling at a time: for `rn-bench peak`, which prints them all, and for bench_ceilings_measure. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

#include "bench.h"

#define BENCH_WINDOW_S 200e-6 /* shorter than a scheduler's slice */

enum { BENCH_MAX_UNITS = 8 };

/* Calls work(arg, thread) in all threads at once; the seconds from the first one's start to the last one's end. 0, with nothing
 * done, where OpenMP gives fewer threads. */
double bench_window(int threads, void (*work)(void *arg, int thread), void *arg);
/* How many of so many threads run at once: no more than there are cores, or than OpenMP gives (OMP_THREAD_LIMIT, OMP_DYNAMIC).
 * Ceilings are of these: what more threads than cores do is not more. */
int bench_at_once(int threads);

/* The units that count on this backend: "f32_fma", "bf16_pairs", ...; their number. A device's are its backend's probes. */
int bench_units(const rn_backend *be, const char *names[BENCH_MAX_UNITS]);
/* *out 0: not to be measured here. RN_E_UNSUPPORTED: this device has no such unit. threads: of the CPU. */
int bench_unit_gflops(rn_backend *be, const char *name, int threads, double seconds, double *out);

/* Bytes that `threads` threads find in a level of cache, all together; SIZE_MAX for DRAM; 0 where it is unknown. */
size_t bench_level_bytes(int level, int threads);
/* GB/s read, or read and written by a copy, of a working set that half fills the level; *out 0 where it is unknown. */
int bench_level_gb_s(rn_backend *be, int level, bool copy, int threads, double seconds, double *out);

/* ---- a device's (bench_probe.c) ---- */

/* NULL: the backend has none of that name. */
const rn_probe *bench_probe_named(const rn_backend *be, const char *name);
/* FLOP or bytes a second of the best window of at least 2 ms, after the probe was seen to do its work (RN_E_MISMATCH if not). *out 0
 * on an emulated device, which is run, but not timed. RN_E_UNSUPPORTED: not on this device. */
int bench_probe_best(rn_backend *be, const rn_probe *p, double seconds, double *out);

#endif
