/* SPDX-License-Identifier: MIT */
/*
 * A mean image as a recipe has it: "H W C BASE64", one line of text, the bytes being H * W * C little-endian f32 in that order,
 * red first, of pixels in 0..255. As text it travels with weights and checkpoints (metadata "rnkit.mean-image"), which then need
 * no other file.
 */
#ifndef RN_RECIPE_MEAN_H
#define RN_RECIPE_MEAN_H

#include "nn/graph/rn_net.h"
#include "run/recipe/rn_recipe.h"

enum { RN_MEAN_IMAGE_MAX = 2048 }; /* pixels a side: 64 MiB of text, in a safetensors header that ends at 100 MB */

/* Reads a file in Caffe's form (binaryproto: blue first, planes) as that text; *text is malloc'ed. */
int rn_recipe_mean_read(const char *path, char **text);

/* The sides that a text tells. RN_E_FORMAT. */
int rn_recipe_mean_size(const char *text, int *h, int *w, int *c);

/* The recipe's image into the net's options, 0 where there is none; *owned is malloc'ed, and what o->mean_image then is. */
int rn_recipe_mean_image(const rn_recipe *r, rn_net_opts *o, float **owned);

/* What does not go with a mean image, and images that are no windows of it. RN_E_USAGE. */
int rn_recipe_check_mean(const rn_recipe *r);

#endif
