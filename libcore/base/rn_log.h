/* SPDX-License-Identifier: MIT */
/* Messages for people, on stderr, one line each, prefixed with the tool's name. Thread-safe;
 * a line never tears a progress bar (rn_progress.h redraws below it). */
#ifndef RN_LOG_H
#define RN_LOG_H

enum rn_log_level { RN_LOG_QUIET = 0 /* errors only */, RN_LOG_NORMAL = 1, RN_LOG_VERBOSE = 2 };

/* Process-wide, set once by main before threads start. `tool` must outlive the process. */
void rn_log_init(const char *tool, enum rn_log_level level);
enum rn_log_level rn_log_level(void);

void rn_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));   /* always shown */
void rn_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));    /* not with --quiet */
void rn_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));    /* not with --quiet */
void rn_verbose(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* only with --verbose */

#endif
