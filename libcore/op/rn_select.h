/* SPDX-License-Identifier: MIT */
/*
 * Turns (descriptor, direction, policy) into a plan. What was chosen, out of what, and what each
 * candidate cost or why it refused is always available to the caller: nothing is chosen silently. On a device (a backend with
 * `sync`) nothing but a tuning's choice is taken, in any mode, that has not come to the plain row's results (rn_measure_agreeing).
 */
#ifndef RN_SELECT_H
#define RN_SELECT_H

#include "op/rn_backend.h"
#include "op/rn_measure.h"
#include "op/rn_tuning.h"

enum rn_select_mode {
    RN_SELECT_ORDER = 0, /* first of the backend's list that supports the case and says it suits it; when none does,
                          * the first that supports it. The same in every run */
    RN_SELECT_QUICK =
        1,             /* time those that supports() and suits() agree to, but REFERENCE; the fastest wins, the earlier
                          * row where that costs no more than 3 % (rn_measure.h) */
    RN_SELECT_FULL = 2 /* with five times the time, and those that do not suit, too */
};

typedef struct rn_select_policy {
    enum rn_select_mode mode;
    const char *pattern; /* only algorithms whose name matches (rn_select_match); NULL: all */
    bool allow_lowprec;  /* also consider RN_ALGO_LOWPREC */
    bool allow_nondet;   /* also consider algorithms that are not RN_ALGO_DETERMINISTIC */
    bool counts_prepare; /* measured: with the time for new weights, which come before each run in training */
    bool times_lone;     /* measured: also what there is no choice for, as whoever compares sums of costs needs it */
    double
        budget_s; /* measured: seconds for one case, up to six times that where the choice is close; 0: 0.1, FULL 0.5 */
    rn_tuning *tuning; /* choices measured before are taken from it (in any mode), and new ones kept there. Must outlive
                            * the selector. NULL: one of its own */
} rn_select_policy;

enum rn_select_by {
    RN_SELECTED_BY_ORDER,
    RN_SELECTED_ALONE /* nothing else fits */,
    RN_SELECTED_MEASURED,
    RN_SELECTED_REMEMBERED /* measured before this selector was opened: the tuning had it */
};

typedef struct rn_select_choice {
    const rn_conv_algo *algo, *second; /* second: next best that was measured, or NULL */
    double ms, second_ms;              /* cost in quiet rounds; 0 when not measured */
    enum rn_select_by by;
} rn_select_choice;

typedef struct rn_selector rn_selector;

int rn_selector_open(rn_backend *be, const rn_select_policy *policy, rn_selector **out);
/* Picks; RN_E_UNSUPPORTED with every candidate's reason when none fits. */
int rn_selector_pick(rn_selector *s, const rn_conv_desc *d, rn_conv_dir dir, rn_select_choice *out);
/* What a batch norm costs that stands by itself: measured, or measured before; 0 where nothing is measured. */
int rn_selector_bn_ms(rn_selector *s, const rn_bn_case *c, double *ms);
void rn_selector_close(rn_selector *s); /* accepts NULL */

/* Does `name` match the comma-separated fnmatch list `pattern` (NULL and "" match all)? What matches an entry behind a '!' is
 * left out: "cpu:*,!*:winograd", or "!onednn:*" of all. */
bool rn_select_match(const char *pattern, const char *name);

#endif
