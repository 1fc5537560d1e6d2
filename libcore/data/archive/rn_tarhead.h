/* SPDX-License-Identifier: MIT */
/*
 * One header of a tar, strictly: POSIX ustar and pax, GNU's long names and base-256 sizes, and the seventh edition's. What
 * readers of tar disagree about is refused rather than guessed (a number with something behind it, a pax record that does
 * not fit, a link that claims data), so that what is taken here means the same to tar, libarchive and Python.
 * Pure functions; failures are RN_E_FORMAT with a text that the caller puts archive and place before.
 */
#ifndef RN_TARHEAD_H
#define RN_TARHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RN_TAR_BLOCK = 512,
    RN_TAR_NAME_MAX = 1024,         /* bytes of a name; longer ones are refused */
    RN_TAR_EXTENSION_MAX = 1 << 20, /* bytes of a pax header or a long name; real ones have some hundred */
};

enum rn_tar_kind {
    RN_TAR_FILE,
    RN_TAR_FOLDER,
    RN_TAR_OTHER,     /* is refused, for the reason in `why`; `size` bytes follow all the same */
    RN_TAR_PAX,       /* `size` bytes of records for the next member */
    RN_TAR_GLOBAL,    /* the same for all that follow */
    RN_TAR_LONG_NAME, /* `size` bytes: the next member's name */
    RN_TAR_LONG_LINK  /* `size` bytes: what the next member, a link, points to */
};

typedef struct rn_tar_head {
    enum rn_tar_kind kind;
    uint64_t size;   /* of what follows, before padding */
    const char *why; /* of RN_TAR_OTHER: "a link" */
    bool more_map;   /* an old GNU sparse member whose map goes on in the next block */
    char name[RN_TAR_NAME_MAX + 1];
} rn_tar_head;

/* What the records of a pax header change. */
typedef struct rn_tar_pax {
    bool has_path, has_size, sparse;
    uint64_t size;
    char path[RN_TAR_NAME_MAX + 1];
} rn_tar_pax;

bool rn_tar_is_zero(const void *data, size_t n);

/* A header block that is not all zeros. */
int rn_tar_head_parse(const uint8_t block[RN_TAR_BLOCK], rn_tar_head *out);

/* The data of an RN_TAR_PAX or RN_TAR_GLOBAL. */
int rn_tar_pax_parse(const char *data, size_t n, rn_tar_pax *out);

/* The data of an RN_TAR_LONG_NAME. */
int rn_tar_long_name(const char *data, size_t n, char name[RN_TAR_NAME_MAX + 1]);

#endif
