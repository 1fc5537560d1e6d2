/* SPDX-License-Identifier: MIT */
/*
 * What Caffe's messages hold (BVLC/caffe 1.0's caffe.proto): fields with their types and defaults, so that a tree of text can be
 * checked and read, and so that what nobody has read is found.
 *
 * The rule of the whole folder: a field is honoured, or it says what holds anyway (its default), or it decides nothing that
 * is computed here (RN_CF_INERT: engine, device_id), or it is an error with its line. Reading a field marks it as used;
 * rn_caffe_check_used then finds the others.
 */
#ifndef RN_CAFFE_SCHEMA_H
#define RN_CAFFE_SCHEMA_H

#include "nn/caffe/rn_prototext.h"

enum rn_cf_type { RN_CF_INT, RN_CF_UINT, RN_CF_REAL, RN_CF_BOOL, RN_CF_TEXT, RN_CF_ENUM, RN_CF_MESSAGE, RN_CF_OPAQUE };
enum rn_cf_flags { RN_CF_REPEATED = 1, RN_CF_INERT = 2 };

typedef struct rn_caffe_field {
    const char *name; /* NULL ends a message's array */
    enum rn_cf_type type;
    unsigned flags;
    double dflt;              /* numbers, bools, the place of an enum's word */
    const char *const *words; /* ENUM, NULL-terminated */
    const struct rn_caffe_field
        *fields; /* MESSAGE; OPAQUE ones are known by name alone: no layer that uses them is built */
} rn_caffe_field;

extern const rn_caffe_field rn_caffe_net_fields[], rn_caffe_solver_fields[];
extern const char *const rn_caffe_v1_types[]; /* "NONE", "ABSVAL", ...: a V1 layer's types, NULL-terminated */

/* Gives every node below `node` its field and its value. Errors: a field that Caffe does not have, one given twice, a value
 * of another type or out of its range. */
int rn_caffe_check(rn_prototext *t, int node, const rn_caffe_field *fields);

/* A message's field of that name; -1 if it is not given. Marks it as used. */
int rn_cf_find(rn_prototext *t, int message, const char *name);
/* The next one of a repeated field, -1: no more. */
int rn_cf_next(rn_prototext *t, int node);
int rn_cf_count(const rn_prototext *t, int message, const char *name);
bool rn_cf_has(const rn_prototext *t, int message, const char *name); /* without marking */

/* The value, or `dflt` if it is not given or `message` is -1. They mark what they read. */
int64_t rn_cf_int(rn_prototext *t, int message, const char *name, int64_t dflt);
double rn_cf_real(rn_prototext *t, int message, const char *name, double dflt);
bool rn_cf_bool(rn_prototext *t, int message, const char *name, bool dflt);
const char *rn_cf_text(rn_prototext *t, int message, const char *name); /* NULL if not given */

/* The first field below `node`, in the order of the text, that was not read and does not say what holds anyway: an error
 * with its line ("not supported", and `why` if it is not NULL). `node` itself is not looked at. */
int rn_caffe_check_used(const rn_prototext *t, int node, const char *why);

#endif
