/* SPDX-License-Identifier: MIT */
/* What model a weights file holds, as keys of a recipe: for evaluation, prediction, export, and teachers. */
#ifndef RN_RECIPE_WEIGHTS_H
#define RN_RECIPE_WEIGHTS_H

#include "run/recipe/rn_recipe.h"
#include "run/save/rn_safetensors.h"

/*
 * "key = value" lines of the model and its images (arch, variant, stem, ..., image-size, mean, val-resize). A file that
 * rn-train wrote says so in its metadata; of others (torchvision's, timm's) the model follows from names and shapes, and
 * *guessed is set. RN_E_MISMATCH: neither.
 */
int rn_recipe_weights_lines(const rn_st_file *f, rn_buf *out, bool *guessed);

/* The same as a recipe: the defaults with those lines. Its texts live in `owned` (rn_opt_free). */
int rn_recipe_weights(const rn_st_file *f, rn_recipe *out, rn_opt_result *owned);

/* Number of classes of the file's model, and their WNIDs separated by blanks (NULL where the file does not say). 0: unknown. */
int rn_recipe_weights_classes(const rn_st_file *f, const char **wnids);

#endif
