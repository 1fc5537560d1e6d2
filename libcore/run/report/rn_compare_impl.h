/* SPDX-License-Identifier: MIT */
/* Between rn_compare.c and rn_compare_page.c. */
#ifndef RN_COMPARE_IMPL_H
#define RN_COMPARE_IMPL_H

#include "run/report/rn_report_impl.h"

typedef struct rn_compared {
    char name[128], group[128]; /* the folder's; its part before the last '-' */
    json_t *run, *windows, *epochs;
    json_t *last, *best; /* borrowed from epochs: the newest and the best with an evaluation; NULL: none */
    double epochs_done;
    bool finished;
} rn_compared;

/* The whole page. `runs` are sorted, best first. */
int rn_compare_page(rn_html *h, const rn_compared *runs, int n, const char *title);

#endif
