/* SPDX-License-Identifier: MIT */
/* Between the checks of convolutions: the lists (check_conv.c, check_conv_fuse.c), the data (check_conv_data.c), the runs. */
#ifndef CHECK_CONV_H
#define CHECK_CONV_H

#include "check.h"

/* Of the sum of the terms' absolute values. f32 rounding of a sum in any order stays well inside for the sizes here;
 * bf16 or TF32 products fall well outside. */
#define CHECK_REAL_TOL 0x1p-20

enum { DST, SRC, WEI, TENSORS }; /* as the directions that write them */

typedef struct conv_data {
    const char *name;
    bool exact;
    float *t[TENSORS]; /* values of the tensors' types; the destination's is what beta 1 adds to */
    float *residual, *x, *raw;
    float *scale, *shift, *mean, *pivot, *ka, *kb, *kc;
    double *want, *loss; /* of the destination, beta 0, before it is rounded; what f32 may lose of it */
    double most;         /* the largest sum of absolute terms */
} conv_data;

/* One case and direction, shared by all algorithms: the data are made when the first of them runs. */
typedef struct conv_case {
    const char *group, *text;
    rn_conv_desc d;
    rn_conv_dir dir;
    size_t n[TENSORS]; /* elements */
    conv_data of[2];   /* integers, reals */
} conv_case;

/* Every algorithm of every instruction set, on a descriptor and fused work ("": none); the check's case is both, with a blank
 * between. dirs: 1 << RN_FWD | ... */
void check_conv_case(check_run *r, const char *group, rn_dtype dtype, const char *desc, const char *fuse,
                     unsigned dirs);

void check_conv_data_make(check_run *r, conv_case *c);
void check_conv_data_free(conv_case *c);
rn_dtype check_conv_type(const conv_case *c, int tensor);
size_t check_conv_channels(const conv_case *c); /* of the epilogue's sums */
double check_conv_terms(const conv_case *c);    /* in one sum of the destination */

/* The nearest value of a type; n values to memory of type t, and back. */
float check_conv_round(rn_dtype t, double x);
void check_conv_store(rn_dtype t, void *to, const float *from, size_t n);
void check_conv_load(rn_dtype t, float *to, const void *from, size_t n);

void *check_conv_alloc(size_t n, size_t size); /* zeroed; the program stops when memory is short */

#endif
