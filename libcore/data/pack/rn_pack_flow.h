/* SPDX-License-Identifier: MIT */
/* Private to data/pack/rn_pack*.c: images through a pool of workers, and out again one by one in key order. */
#ifndef RN_PACK_FLOW_H
#define RN_PACK_FLOW_H

#include <signal.h>
#include <stdint.h>

#include "base/rn_progress.h"
#include "data/pack/rn_convert.h"
#include "data/pack/rn_inputs.h"

/* A converted image, or why it could not be: then rc < 0 and only place and why are set. Good during the call. */
typedef struct rn_flow_record {
    uint32_t place; /* in key order */
    int rc;
    const char *why;
    const char *key;
    const void *value; /* the Datum, n bytes */
    size_t n;
    uint64_t data_n; /* of them image */
    const char *hex; /* rn_chain_record's digest */
} rn_flow_record;

typedef struct rn_flow {
    const rn_inputs *inputs;
    const uint32_t *order; /* order[place] = input */
    uint32_t from, end;    /* the places wanted */
    const rn_convert_opts *convert;
    int jobs;                          /* >= 1 */
    const volatile sig_atomic_t *stop; /* becomes non-zero: RN_E_INTERRUPTED; may be NULL */
    rn_progress *progress;             /* may be NULL */
} rn_flow;

/* Returns 0 to go on, or RN_E_* to stop. Called in this thread. */
typedef int (*rn_flow_fn)(void *arg, const rn_flow_record *r);

/* Memory stays bounded whatever the images are: some 64 MiB wait for `fn`, and each worker has one in hand. */
int rn_flow_run(const rn_flow *flow, rn_flow_fn fn, void *arg);

#endif
