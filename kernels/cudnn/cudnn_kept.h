/* SPDX-License-Identifier: MIT */
/*
 * Compiled plans in files, so that a kernel is compiled once a machine and not in each run. cuDNN writes a plan as JSON with the
 * kernel in it (CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION) and makes a plan of that in hundredths of a second. (C++)
 */
#ifndef CUDNN_KEPT_H
#define CUDNN_KEPT_H

#include "kernels/cudnn/cudnn_plan.h"

/*
 * The folder: what RNKIT_CUDNN_PLANS names, else rnkit/cudnn in $XDG_CACHE_HOME or in ~/.cache; "": plans are not kept, as where that
 * variable is empty. RN_E_RANGE: its name is too long.
 */
int rn_cudnn_kept_folder(char *out, size_t cap);

/* What a plan depends on: library, device, what is asked for, and which of the heuristics' engines it is of. */
typedef struct rn_cudnn_kept_key {
    char text[768];
} rn_cudnn_kept_key;
void rn_cudnn_kept_name(const rn_cudnn_target *t, const rn_cudnn_plans *p, int config, int64_t engine,
                        rn_cudnn_kept_key *key);

/* The plan that is kept, finalized. RN_E_ABSENT: none, or its file is damaged or of something else, or the library does not take it. */
int rn_cudnn_kept_get(const rn_cudnn_maker *m, const rn_cudnn_kept_key *key, cudnnBackendDescriptor_t *plan);
/* Writes it, whole or not at all. What goes wrong is said once, and no failure: the next run compiles again. */
void rn_cudnn_kept_put(const rn_cudnn_maker *m, const rn_cudnn_kept_key *key, cudnnBackendDescriptor_t plan);

#endif
