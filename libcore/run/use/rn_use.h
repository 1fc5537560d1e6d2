/* SPDX-License-Identifier: MIT */
/*
 * A weights file opened for use: its model in a network for evaluation, its classes, how its images are made. What
 * predict and export begin with.
 */
#ifndef RN_USE_H
#define RN_USE_H

#include "base/rn_opt.h"
#include "nn/graph/rn_net.h"
#include "run/recipe/rn_recipe.h"
#include "run/save/rn_classes.h"

/* Settings of a command on weights: recipe keys about model, images and machine; what the file says comes between defaults and
 * command line. */
typedef struct rn_use_settings {
    rn_recipe recipe;
    const char *classes_file;        /* --classes; NULL: the weights' metadata */
    rn_opt rows[RN_RECIPE_MAX_ROWS]; /* the command's own rows, then the recipe's */
    rn_opt_spec spec;                /* the caller fills tool, synopsis, summary, epilog and operands */
    rn_opt_result args;              /* of the command line */
    rn_opt_result file_args;         /* of the weights file: owns its texts */
} rn_use_settings;

/* Defaults, and the table: `own` rows first. */
void rn_use_rows(rn_use_settings *s, const rn_opt *own, int nown);
void rn_use_free(rn_use_settings *s);

typedef struct rn_use {
    rn_use_settings *s;
    rn_st_file *file;
    rn_backend *be;
    rn_net *net;
    rn_classes names; /* n 0: none are known */
    int classes;
} rn_use;

/* Opens s->recipe.weights. RN_E_USAGE without; RN_E_MISMATCH when the model cannot be told, or names and model differ in the
 * number of classes. On failure nothing stays open. */
int rn_use_read(rn_use_settings *s, rn_use *out); /* file, recipe, classes; no network */
int rn_use_open(rn_use_settings *s, const rn_backend_entry *backends, int batch, rn_use *out);
void rn_use_close(rn_use *u); /* accepts a zeroed one */

#endif
