/* SPDX-License-Identifier: MIT */
/*
 * Caffe's words as recipe keys: what a prototxt's data layers and a solver say, as `key = value` lines that are read like a
 * recipe file. The resolved recipe of such a run then tells all of it in the keys that every run has.
 */
#ifndef RN_RECIPE_CAFFE_H
#define RN_RECIPE_CAFFE_H

#include "nn/caffe/rn_caffe_net.h"
#include "nn/caffe/rn_caffe_solver.h"

/*
 * The data layers of `net`: batch, eval-batch, image-size, channels, crop, val-resize, no-flip, mean or mean-image, std. Where the text leaves the
 * images' size or channels to the data, as Caffe does, a look at `train_db` tells (a packed set; NULL: nothing is looked at
 * and those keys are left out). `file` names the net in errors; a mean_file is read.
 */
int rn_recipe_from_net(const char *file, const rn_caffe_net *net, const char *train_db, rn_buf *out);

/* The solver: lr, schedule and its numbers in steps, max-steps, accumulate, momentum, weight-decay, clip-norm, seed,
 * epoch-steps (from test_interval), log-steps (display), checkpoint-steps (snapshot). */
int rn_recipe_from_solver(const rn_caffe_solver *s, rn_buf *out);

/* One line when test_iter * batch_size is not what is evaluated here: every image of `val_db`, once. */
int rn_recipe_note_test(const rn_caffe_solver *s, const rn_caffe_net *net, const char *val_db);

#endif
