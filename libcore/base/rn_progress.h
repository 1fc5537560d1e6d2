/* SPDX-License-Identifier: MIT */
/* A progress line on stderr: bar, done/total, rate, time left; at most 6 redraws a second. In
 * auto mode it is drawn only when stderr is a terminal. Any thread may add. One bar at a time. */
#ifndef RN_PROGRESS_H
#define RN_PROGRESS_H

#include <stdint.h>

enum rn_progress_when { RN_PROGRESS_AUTO = 0, RN_PROGRESS_ALWAYS = 1, RN_PROGRESS_NEVER = 2 };
enum rn_progress_unit { RN_UNIT_BYTES = 0, RN_UNIT_ITEMS = 1 };

/* Process-wide policy, set once by main (rn_opt_parse does it from --progress). */
void rn_progress_policy(enum rn_progress_when when);

typedef struct rn_progress rn_progress;

/* `what` names the work ("extract train"); `noun` the items ("images"), NULL for bytes. total 0:
 * unknown (no bar, no time left). Returns NULL when nothing is to be drawn or memory is short;
 * every call below accepts NULL. */
rn_progress *rn_progress_start(const char *what, const char *noun, enum rn_progress_unit unit, uint64_t total);
void rn_progress_add(rn_progress *p, uint64_t n);  /* thread-safe, cheap */
void rn_progress_skip(rn_progress *p, uint64_t n); /* done by an earlier run: counts, not in the rate */
/* Short text after the bar (copied), its fields two blanks apart. Where the terminal is narrow the bar, the count and the rate give
 * way to it, then its last fields fall off, each as a whole. */
void rn_progress_note(rn_progress *p, const char *text);
void rn_progress_done(rn_progress *p); /* removes the bar, frees */

#endif
