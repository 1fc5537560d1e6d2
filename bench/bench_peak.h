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

/* The units that count on this backend: "f32_fma", "bf16_pairs", ...; their number. None on a device without loops here. */
int bench_units(const rn_backend *be, const char *names[BENCH_MAX_UNITS]);
double bench_unit_gflops(const rn_backend *be, const char *name, int threads, double seconds);

/* Bytes that `threads` threads find in a level of cache, all together; SIZE_MAX for DRAM; 0 where it is unknown. */
size_t bench_level_bytes(int level, int threads);
/* GB/s read, or read and written by a copy, of a working set that half fills the level; *out 0 where it is unknown. */
int bench_level_gb_s(const rn_backend *be, int level, bool copy, int threads, double seconds, double *out);

#endif
