/* SPDX-License-Identifier: MIT */
/* What a check found: lines of text, the first 200 kept, all counted. Any thread may add; sorted when they are read. */
#ifndef RN_FINDINGS_H
#define RN_FINDINGS_H

#include <pthread.h>
#include <stdint.h>

enum { RN_FINDINGS_KEPT = 200 };

typedef struct rn_findings {
    char *text[RN_FINDINGS_KEPT];
    int n;          /* kept */
    uint64_t total; /* all */
    pthread_mutex_t lock;
} rn_findings;

void rn_findings_init(rn_findings *f);
void rn_findings_add(rn_findings *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void rn_findings_sort(rn_findings *f);
void rn_findings_free(rn_findings *f);

#endif
