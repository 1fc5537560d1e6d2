/* SPDX-License-Identifier: MIT */
/*
 * Names of classes in label order, as they travel in a weights file: metadata "rnkit.classes", a JSON array of
 * [wnid, words]; the wnid is the class's folder name where there are no WNIDs, the words may be "".
 */
#ifndef RN_CLASSES_H
#define RN_CLASSES_H

#include "base/rn_io.h"
#include "data/store/rn_store.h"
#include "run/save/rn_safetensors.h"

typedef struct rn_class {
    char *wnid, *words; /* both may be "" */
} rn_class;

typedef struct rn_classes {
    rn_class *c;
    int n; /* 0: unknown */
} rn_classes;

/* The metadata's text, of a sealed set; words that one set lacks are taken from the other. */
int rn_classes_text(const rn_store *train, const rn_store *val, rn_buf *out);

/* Reads that text; RN_E_FORMAT. */
int rn_classes_parse(const char *text, const char *name, rn_classes *out);
/* Out of a weights file: rnkit.classes, in older files rnkit.wnids; n 0 when it has neither. */
int rn_classes_of_weights(const rn_st_file *f, rn_classes *out);
/* Out of a text file, one class a line in label order: "n01440764 tench, Tinca tinca" (Caffe's synset_words.txt), or a name. */
int rn_classes_of_file(const char *path, rn_classes *out);
void rn_classes_free(rn_classes *c); /* accepts a zeroed one */

/* What people call class i: its words, else its wnid, else "class 17". */
const char *rn_classes_name(const rn_classes *c, int i, char buf[32]);

#endif
