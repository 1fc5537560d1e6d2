/* SPDX-License-Identifier: MIT */
/*
 * Choices of convolution algorithms that were measured, by everything the measurement depends on; in memory, and in files of JSON
 * (docs/formats.md) that a run keeps, or that runs share. One thread at a time.
 */
#ifndef RN_TUNING_H
#define RN_TUNING_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rn_tuning rn_tuning;

enum { RN_TUNED_NAME_MAX = 64, RN_TUNING_DIGITS = 6 /* of costs, in texts and files */ };

typedef struct rn_tuned {
    char algo[RN_TUNED_NAME_MAX], second[RN_TUNED_NAME_MAX]; /* second: "" when there was one candidate */
    double ms, second_ms;
    bool full; /* measured with the larger budget, among all candidates */
} rn_tuned;

int rn_tuning_open(rn_tuning **out); /* empty */
void rn_tuning_close(rn_tuning *t);  /* accepts NULL */

/* Adds what a file holds and `t` does not. Without `strict` a file that is missing or no tuning file of this version adds
 * nothing, with a warning for the latter: a cache costs a new measurement at worst. With it: RN_E_IO, RN_E_FORMAT. */
int rn_tuning_read(rn_tuning *t, const char *path, bool strict);
/* The same of a text as rn_tuning_text makes it. */
int rn_tuning_add_text(rn_tuning *t, const char *text, size_t n);
/* Everything `t` holds, for another process; the caller frees it. NULL: out of memory. */
char *rn_tuning_text(const rn_tuning *t);
/* Writes what was looked up or put since the opening, beside what the file holds already, whole or not at all; nothing when
 * the file has all of it. */
int rn_tuning_write(const rn_tuning *t, const char *path);

bool rn_tuning_get(rn_tuning *t, const char *key, rn_tuned *out);
int rn_tuning_put(rn_tuning *t, const char *key, const rn_tuned *e);

#endif
