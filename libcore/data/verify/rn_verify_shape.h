/* SPDX-License-Identifier: MIT */
/* Private to verification: counts of a split against a manifest. */
#ifndef RN_VERIFY_SHAPE_H
#define RN_VERIFY_SHAPE_H

#include "data/verify/rn_verify.h"

/* What was counted of one split. */
typedef struct rn_counted {
    const char *where; /* for messages: "tree/train" */
    uint64_t images;
    int nclasses; /* 0: no classes, or not known */
    const struct rn_verify_class *class;
    size_t prefix; /* bytes before the class's own name: "train/" */
} rn_counted;

/*
 * The shape to hold it against: that of the manifest the user gave (opts->manifest), else the built-in one's if the
 * split has as many classes, all of them WNIDs, as ILSVRC2012; else NULL.
 */
const rn_shape *rn_shape_for(const rn_verify_opts *opts, const char *split, const rn_counted *c);

/* Findings where counts differ. Against the built-in shape a set of less than nine tenths of the images is taken for a
 * subset on purpose: a note. `beside`: images that are known to be left out. */
void rn_shape_compare(const rn_verify_opts *opts, const rn_shape *s, const rn_counted *c, uint64_t beside,
                      rn_findings *f);

#endif
