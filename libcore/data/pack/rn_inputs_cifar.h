/* SPDX-License-Identifier: MIT */
/*
 * CIFAR's binary form (Krizhevsky 2009; cifar-10-binary.tar.gz, cifar-100-binary.tar.gz), for rn_inputs_archive.c. A record of
 * CIFAR-10 is a label and 3 x 32 x 32 bytes, planes of red, green and blue; one of CIFAR-100 has two labels, coarse and
 * fine, of which the fine one counts. The classes' names, a line each, stand in a text of their own and are sorted.
 */
#ifndef RN_INPUTS_CIFAR_H
#define RN_INPUTS_CIFAR_H

#include "data/archive/rn_archive.h"
#include "data/pack/rn_inputs.h"

/* A file without a name that pictures are unpacked into; opened when the first byte comes. */
typedef struct rn_spool {
    int fd; /* -1: not opened */
    const char *dir;
    uint64_t at;
} rn_spool;
int rn_spool_add(rn_spool *sp, const void *data, size_t n);

enum { RN_CIFAR_FILES = 8 };
typedef struct rn_cifar {
    int n; /* binary files */
    rn_buf file[RN_CIFAR_FILES];
    char name[RN_CIFAR_FILES][32]; /* "data_batch_1" */
    rn_buf classes;                /* text */
    bool fine;                     /* CIFAR-100 */
} rn_cifar;

/* Whether an archive's member is one of these files, by its name. */
bool rn_cifar_is_member(const char *name);
/* Reads the archive's current entry, which is one. */
int rn_cifar_take(rn_cifar *c, rn_archive *a, const rn_archive_entry *e);
/* All pictures of a split into `s`: "<class>/<file>-00042.png", their PNGs into the spool. */
int rn_cifar_unpack(const rn_cifar *c, rn_inputs *s, bool train, rn_spool *spool);
void rn_cifar_free(rn_cifar *c);

#endif
