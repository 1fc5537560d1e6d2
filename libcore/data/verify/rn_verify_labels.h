/* SPDX-License-Identifier: MIT */
/* Private to verification: do labels run 0..n-1 over the sorted class names? */
#ifndef RN_VERIFY_LABELS_H
#define RN_VERIFY_LABELS_H

#include <stdbool.h>
#include <stdint.h>

#include "data/meta/rn_findings.h"

/* A set's images: the class each belongs to by its name, and the label it bears. */
typedef struct rn_labelled {
    const char *where;        /* the list or the packed set, for messages */
    const char *const *class; /* nclasses names in ascending order: class[k] should bear label k */
    int nclasses;
    uint32_t n;
    const int32_t *of;    /* n: index of the class, -1: not known (passed over) */
    const int32_t *label; /* n */
    const char *(*name)(const void *arg, uint32_t i);
    const void *arg;
    bool gaps; /* some classes may not be in the set: labels need only rise with the names (but not count from 1) */
    enum rn_level level; /* of what is found */
} rn_labelled;

/*
 * A class most of whose images bear another label than its own is one finding of RN_K_LABEL_ORDER; with it goes a guess
 * where such labels are from (counted from 1; the devkit's ids). An image whose label is not that of most of its class
 * is one of RN_K_LABEL. RN_E_NOMEM.
 */
int rn_labels_check(const rn_labelled *s, rn_findings *f);

#endif
