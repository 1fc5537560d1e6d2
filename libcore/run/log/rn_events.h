/* SPDX-License-Identifier: MIT */
/*
 * TensorBoard's event file, RUN_DIR/events.out.tfevents.rnkit: scalars against the step. Records are framed as
 * TFRecords: length (u64), masked CRC-32C of it, data, masked CRC-32C of them, all little-endian.
 */
#ifndef RN_EVENTS_H
#define RN_EVENTS_H

#include <stddef.h>
#include <stdint.h>

typedef struct rn_events rn_events;

typedef struct rn_scalar {
    const char *tag; /* "train/loss" */
    double value;
} rn_scalar;

/* Goes on after the first keep_bytes bytes (0: anew), as the run's log does. */
int rn_events_open(const char *path, int64_t keep_bytes, rn_events **out);
int rn_events_add(rn_events *e, int64_t step, const rn_scalar *v, int n); /* n <= 16 */
int rn_events_sync(rn_events *e, int64_t *bytes);
void rn_events_close(rn_events *e); /* accepts NULL */

/* CRC-32C (Castagnoli), and TFRecord's mask over it. */
uint32_t rn_crc32c(const void *data, size_t n);
uint32_t rn_crc32c_masked(const void *data, size_t n);

#endif
