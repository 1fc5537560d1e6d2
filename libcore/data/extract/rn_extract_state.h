/* SPDX-License-Identifier: MIT */
/* Private to extraction: .rnkit/<split>.json. */
#ifndef RN_EXTRACT_STATE_H
#define RN_EXTRACT_STATE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rn_split_state {
    bool whole;
    char archive[256];
    char source[65];   /* fingerprint of the archive and the devkit it was begun with */
    char modified[32]; /* when that archive was last changed; "" if not noted */
    char md5[65];      /* of the whole archive, "" if not computed */
    int classes;
    uint64_t images, bytes;
} rn_split_state;

int rn_state_read(const char *path, rn_split_state *out);          /* RN_E_NOENT if not there, RN_E_FORMAT if damaged */
int rn_state_write(const char *path, const rn_split_state *state); /* whole or not at all */

/* Its time of the last change, as text: one that was replaced by another of the same fingerprint (a damaged download,
 * fetched again) shows in it. */
int rn_archive_modified(const char *archive, char out[32]);

/* Tells two archives apart without reading them: MD5 over size, first and last 64 KiB. `devkit` (whole) may be "". */
int rn_archive_fingerprint(const char *archive, const char *devkit, char hex[65]);

#endif
