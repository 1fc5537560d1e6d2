/* SPDX-License-Identifier: MIT */
/* Private to extraction: .rnkit/<split>.json. */
#ifndef RN_EXTRACT_STATE_H
#define RN_EXTRACT_STATE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rn_split_state {
    bool whole;
    char archive[256];
    char source[65]; /* fingerprint of the archive and the devkit it was begun with */
    char md5[65];    /* of the whole archive, "" if not computed */
    int classes;
    uint64_t images, bytes;
} rn_split_state;

int rn_state_read(const char *path, rn_split_state *out);          /* RN_E_NOENT if not there, RN_E_FORMAT if damaged */
int rn_state_write(const char *path, const rn_split_state *state); /* whole or not at all */

/* Tells two archives apart without reading them: MD5 over size, first and last 64 KiB. `devkit` (whole) may be "". */
int rn_archive_fingerprint(const char *archive, const char *devkit, char hex[65]);

#endif
