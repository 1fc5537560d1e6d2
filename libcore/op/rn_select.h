/* SPDX-License-Identifier: MIT */
/*
 * Turns (descriptor, direction, policy) into a plan. What was chosen, out of what, and what each
 * candidate cost or why it refused is always available to the caller: nothing is chosen silently.
 */
#ifndef RN_SELECT_H
#define RN_SELECT_H

#include "op/rn_backend.h"

enum rn_select_mode {
    RN_SELECT_ORDER = 0,  /* first of the backend's list that supports the case and says it suits it; when none does,
                           * the first that supports it */
    RN_SELECT_MEASURE = 1 /* time every candidate that is not REFERENCE; the fastest wins, the
                           * earlier row on a tie. Results are cached (see below). */
};

typedef struct rn_select_policy {
    enum rn_select_mode mode;
    const char *pattern;    /* only algorithms whose name matches (fnmatch, comma-separated); NULL: all */
    bool allow_lowprec;     /* also consider RN_ALGO_LOWPREC */
    bool allow_nondet;      /* also consider algorithms that are not RN_ALGO_DETERMINISTIC */
    double budget_s;        /* MEASURE: seconds for one case; 0: 0.1 */
    const char *cache_file; /* MEASURE: JSON, read at open, written whole at close; NULL: in memory */
} rn_select_policy;

typedef struct rn_select_choice {
    const rn_conv_algo *algo, *second; /* second: next best that was measured, or NULL */
    double ms, second_ms;              /* medians; 0 when not measured */
    bool cached;
} rn_select_choice;

typedef struct rn_selector rn_selector;

int rn_selector_open(rn_backend *be, const rn_select_policy *policy, rn_selector **out);
/* Picks; RN_E_UNSUPPORTED with every candidate's reason when none fits. */
int rn_selector_pick(rn_selector *s, const rn_conv_desc *d, rn_conv_dir dir, rn_select_choice *out);
int rn_selector_close(rn_selector *s); /* saves the cache file; accepts NULL */

/* Does `name` match the comma-separated fnmatch list `pattern` (NULL matches all)? */
bool rn_select_match(const char *pattern, const char *name);

#endif
