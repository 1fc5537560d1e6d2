/* SPDX-License-Identifier: MIT */
/*
 * The development kit: classes from data/meta.mat (libmatio) and the validation ground truth. Ids in
 * meta.mat are NOT in WNID order; labels here are 0..n-1 over the ASCII-sorted WNIDs of the leaves
 * (num_children == 0), as Caffe and torchvision number them. Line i of the ground truth belongs to the i-th
 * validation image in ascending order of NAMES, whatever the order of the archive.
 */
#ifndef RN_DEVKIT_H
#define RN_DEVKIT_H

#include <stddef.h>
#include <stdint.h>

typedef struct rn_synset {
    char wnid[16]; /* "n01440764" */
    char *words;   /* "tench, Tinca tinca" */
    int ilsvrc_id; /* 1..nleaves */
    int num_train; /* num_train_images, -1 if absent */
} rn_synset;

typedef struct rn_devkit {
    int nclasses;
    rn_synset *synsets; /* sorted by wnid: index = label */
    int nval;
    int *val_label; /* nval labels, in ascending order of image name */
} rn_devkit;

/* Reads ILSVRC2012_devkit_t12.tar.gz. Damage, an id outside 1..n, duplicate ids or WNIDs, a missing member:
 * RN_E_FORMAT naming archive and member. */
int rn_devkit_open(const char *path, rn_devkit **out);
void rn_devkit_close(rn_devkit *d); /* accepts NULL */

/* Label of a WNID, -1 if unknown. */
int rn_devkit_label(const rn_devkit *d, const char *wnid);

/* Label for validation image `name` ("ILSVRC2012_val_00000001.JPEG", path and suffix allowed): its number, 1-based,
 * is its rank among the sorted names. -1 if the name has no such number or it is out of range. */
int rn_devkit_val_label(const rn_devkit *d, const char *name);

/* Finds the archives in a RAW_DIR by their published names. A text is empty when the file is not there. */
typedef struct rn_raw_set {
    char train[1024], val[1024], test[1024], devkit[1024], md5sums[1024];
} rn_raw_set;
int rn_raw_find(const char *dir, rn_raw_set *out);

/* Tars of single classes (n01440764.tar ...) lying in `dir`: how many, 0 if it cannot be listed. If there are any, `advice`
 * says in one clause, beginning with ", but", how to make a train archive of them; else it is "". */
int rn_raw_class_tars(const char *dir, char advice[256]);

#endif
