/* SPDX-License-Identifier: MIT */
/* What the checks of the ops share, beside check.h. */
#ifndef CHECK_OPS_H
#define CHECK_OPS_H

#include "check.h"

extern const check_group check_point_group, check_bn_group, check_pool_group, check_dense_group, check_optim_group,
    check_distill_group, check_join_group, check_channel_group, check_half_group, check_time_group, check_now_group,
    check_pick_group;

/* The part of the group half that is exact, and of bn from sums of convolutions, and with masks. */
void check_half_exact(check_run *r);
void check_bn_sums(check_run *r);
void check_bn_masks(check_run *r);

/* Runs `body` once an instruction set, for the op named `dir` and the case named `cas`. */
typedef void (*check_ops_body)(check_run *r, rn_backend *be, const void *what);
void check_ops_each(check_run *r, const char *group, const char *cas, const char *dir, check_ops_body body,
                    const void *what);

/* Integers of -5 to 5, or reals of -2 to 2. */
float *check_values(check_run *r, size_t n, bool integers);
float *check_copy(check_run *r, const float *p, size_t n); /* in a buffer of its own */
/* Fails unless the call returned 0. */
void check_ran(check_run *r, const char *what, int rc);
/* As check_close, against the reference's f32 result. */
bool check_near(check_run *r, const char *what, const float *got, const float *want, const double *mag, size_t n,
                double tol);
/* Of a 16-bit type: the value nearest to x; the value that h is. */
uint16_t check_half_of(rn_dtype t, float x);
float check_half_value(rn_dtype t, uint16_t h);
/* n activations of type t: integers in -max..max that every type holds, or with max 0 reals in [-2, 2). */
void *check_act(check_run *r, rn_dtype t, size_t n, int max);
/* A copy of them; from NULL: NaN. */
void *check_act_copy(check_run *r, rn_dtype t, size_t n, const void *from);
/* As check_near, of activations: the kernel's f32 error, which is `tol`, and one rounding to their type. tol 0: equal. */
bool check_act_near(check_run *r, rn_dtype t, const char *what, const void *got, const void *want, const double *mag,
                    size_t n, double tol);
/* Same bits, NaN included. */
bool check_bits(check_run *r, const char *what, const void *got, const void *want, size_t bytes);

#endif
