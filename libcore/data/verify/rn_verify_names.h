/* SPDX-License-Identifier: MIT */
/* Private to verification: which images there should be, with their labels; from Caffe's lists, archives, or numbers.
 */
#ifndef RN_VERIFY_NAMES_H
#define RN_VERIFY_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rn_io.h"
#include "data/meta/rn_findings.h"

typedef struct rn_listed {
    size_t path;   /* offset in text */
    int32_t label; /* -1: not known */
    int32_t class; /* for the one who looks: of the folder it was found in, -1 */
    bool seen;
} rn_listed;

typedef struct rn_name_list {
    char from[1100]; /* for messages: "tree/train.txt"; "" when there is none */
    rn_buf text;
    rn_listed *row; /* n, in the order of paths once sorted */
    uint32_t n, cap;
    bool folders; /* paths are "<class>/<file>"; else found by the file's name alone */
    char **class; /* nclasses, in label order; NULL when they are not known */
    int nclasses;
} rn_name_list;

/*
 * What should be in `split` ("train", "val", "test"): from `against` if it is not NULL (a folder of ILSVRC2012's
 * archives, or one of lists), else from the lists beside it in `own` (may be NULL), else, if numbered > 0 and the split
 * is val or test, the names numbered 1 to that. Nothing of these: an empty list and RN_OK. What is wrong with a list
 * itself becomes findings of `f`.
 */
int rn_name_list_open(const char *against, const char *own, const char *split, int64_t numbered, rn_findings *f,
                      rn_name_list *out);
void rn_name_list_free(rn_name_list *l); /* accepts a zeroed one */

const char *rn_name_list_path(const rn_name_list *l, uint32_t i);
/* The row of "<class>/<file>" or "<file>", NULL if it is not listed. */
rn_listed *rn_name_list_find(const rn_name_list *l, const char *path);
/* Findings for the rows that were not seen; `where` is the set's name in messages. */
void rn_name_list_missing(const rn_name_list *l, const char *where, rn_findings *f);

#endif
