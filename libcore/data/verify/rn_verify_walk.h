/* SPDX-License-Identifier: MIT */
/* Private to verification: an archive from the inside. */
#ifndef RN_VERIFY_WALK_H
#define RN_VERIFY_WALK_H

#include "data/verify/rn_verify.h"

typedef void (*rn_walk_progress_fn)(void *arg, uint64_t bytes_consumed);

/* Walks a tar (of tars, or gzip'ed) or zip and counts what is there; damage is a finding, not a failure. With v->md5
 * wanted on the same pass (tar): digests and size are filled in. RN_E_FORMAT: it is no archive; RN_E_IO. */
int rn_walk_archive(rn_verify_archive *v, rn_walk_progress_fn progress, void *arg);

/* What was counted against v->expected.shape. */
void rn_walk_check_shape(rn_verify_archive *v);

#endif
