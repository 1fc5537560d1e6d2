/* SPDX-License-Identifier: MIT */
/* What a device's clocks and power are at the moment: read by the driver's own library (NVML), where that is there; nothing is ever
 * set. Not linked: loaded when a device is measured. */
#ifndef BENCH_NVML_H
#define BENCH_NVML_H

#include <jansson.h>

#include "op/rn_backend.h"

typedef struct bench_nvml bench_nvml;

/* Never fails: what cannot be had, bench_nvml_read says. NULL: `be` is the CPU, or memory is short. */
bench_nvml *bench_nvml_open(const rn_backend *be);
void bench_nvml_close(bench_nvml *n); /* accepts NULL */
/*
 * Sets in `machine` what is known of gpu_sm_mhz, gpu_sm_mhz_max, gpu_memory_mhz, gpu_power_w, gpu_power_limit_w, gpu_celsius,
 * gpu_slowed_by (words, "nothing") and driver; where nothing is, nvml with the reason. NULL: nothing.
 */
void bench_nvml_read(const bench_nvml *n, json_t *machine);

#endif
