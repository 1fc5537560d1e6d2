/* SPDX-License-Identifier: MIT */
/*
 * RUN_DIR/log.jsonl: one JSON object a line, "type" first: one "run" (machine, recipe, data, algorithms), then "window"
 * (some training steps) and "epoch" lines in the order they happened. A checkpoint remembers the log's length; going on
 * from it cuts off what came after, so that the log of a run that was killed reads as if it never had been.
 */
#ifndef RN_RUNLOG_H
#define RN_RUNLOG_H

#include <jansson.h>
#include <stdint.h>

typedef struct rn_runlog rn_runlog;

/* Opens the log for appending after its first keep_bytes bytes (0: anew). A log that is shorter than that was tampered
 * with: warns and goes on at its end. */
int rn_runlog_open(const char *path, int64_t keep_bytes, rn_runlog **out);

/* Appends one line and hands it to the kernel; takes `line` over. NULL is RN_E_NOMEM. On a full disk it waits in memory, with
 * a warning, and is tried again with the next line. */
int rn_runlog_line(rn_runlog *log, json_t *line);

/* Appends bytes as they are: the log's way with files serves TensorBoard's events too. */
int rn_runlog_bytes(rn_runlog *log, const void *data, size_t n);

/* Bytes so far, after they have reached the disk: RN_E_NOSPACE while some wait. */
int rn_runlog_sync(rn_runlog *log, int64_t *bytes);

void rn_runlog_close(rn_runlog *log); /* accepts NULL */

/* A text for the log: what is no UTF-8, as a path may be, stands there as \xNN (rn_utf8_escape). */
json_t *rn_runlog_text(const char *s);

/* A number for the log: NaN and infinities, which JSON lacks, become null. */
json_t *rn_runlog_real(double v);

#endif
