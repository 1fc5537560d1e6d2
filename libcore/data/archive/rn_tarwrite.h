/* SPDX-License-Identifier: MIT */
/* Tar archives whose bytes depend on names and data alone: owner 0, mode 0644, one fixed time. For the makers and tests. */
#ifndef RN_TARWRITE_H
#define RN_TARWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_digest.h"
#include "base/rn_io.h"

typedef struct rn_tarwrite rn_tarwrite;

/* Writes to `path`.tmp; finish renames it to `path`. */
int rn_tarwrite_file(const char *path, bool gzip, rn_tarwrite **out);
/* Appends to `into`, which must outlive the writer. */
int rn_tarwrite_memory(rn_buf *into, rn_tarwrite **out);

int rn_tarwrite_add(rn_tarwrite *w, const char *name, const void *data, size_t n);

/* Ends the archive. md5 and bytes of what was written may be NULL. Only close may follow. */
int rn_tarwrite_finish(rn_tarwrite *w, char md5[RN_DIGEST_HEX_MAX], uint64_t *bytes);
void rn_tarwrite_close(rn_tarwrite *w); /* an unfinished file is removed; accepts NULL */

#endif
