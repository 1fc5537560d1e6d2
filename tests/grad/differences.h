/* SPDX-License-Identifier: MIT */
/*
 * Gradients by central differences, for the programs of this folder. Inputs are f32 values, so that the ops and the doubles
 * start from the same numbers. Include it after cmocka's header.
 */
#ifndef DIFFERENCES_H
#define DIFFERENCES_H

#include <math.h>
#include <stdint.h>

#include "base/rn_rng.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/rn_kernels.h"

/* Differences over 2 * STEP in double are good to about 1e-9; the ops' f32 sums decide. */
#define STEP 1e-5
#define TOL  4e-6
enum { MOST = 4096 };

/* The weighted sum of a forward formula's outputs, as a function of all its inputs. */
typedef double (*loss_fn)(const void *what, const double *p);

typedef struct bench {
    rn_backend *cpu;
    const rn_ops *ops[2]; /* the reference's, the CPU's */
} bench;

static const char *const names[2] = {"ref", "cpu"};

static inline void fill(rn_rng *r, double *p, int n, double lo, double hi)
{
    for (int i = 0; i < n; i++)
        p[i] = (float)rn_rng_range(r, lo, hi);
}

static inline void narrow(float *to, const double *from, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = (float)from[i];
}

static inline void seed(rn_rng *r, uint32_t which)
{
    rn_rng_seed(r, 20151210, RN_STREAM_TEST, 1, which);
}

/* got[i] is d loss / d p[at + i]. The tolerance is of the largest of them. */
static inline void hold(const char *who, const char *name, loss_fn f, const void *what, double *p, int at, int n,
                        const float *got)
{
    double want[MOST], scale = 1e-3;
    assert_true(n <= MOST);
    for (int i = 0; i < n; i++) {
        const double keep = p[at + i];
        p[at + i] = keep + STEP;
        const double up = f(what, p);
        p[at + i] = keep - STEP;
        const double down = f(what, p);
        p[at + i] = keep;
        want[i] = (up - down) / (2 * STEP);
        scale = fmax(scale, fabs(want[i]));
    }
    for (int i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= TOL * scale))
            fail_msg("%s: %s[%d] is %.9g, by differences %.9g", who, name, i, (double)got[i], want[i]);
}

/* The op's forward pass, weighted and summed, is the loss that the differences are taken of. */
static inline void agree(const char *who, const float *y, const double *weight, int n, double loss)
{
    double sum = 0, scale = 1;
    for (int i = 0; i < n; i++) {
        sum += weight[i] * y[i];
        scale += fabs(weight[i] * y[i]);
    }
    if (!(fabs(sum - loss) <= 1e-7 * scale))
        fail_msg("%s: the forward pass gives %.12g, its formula %.12g", who, sum, loss);
}

static inline int setup(void **state)
{
    static bench b;
    const rn_backend_opts opts = {.threads = 2};
    if (rn_backend_open(rn_backends, "cpu", &opts, &b.cpu) < 0)
        return -1;
    b.ops[0] = &rn_ref_ops;
    b.ops[1] = b.cpu->ops;
    *state = &b;
    return 0;
}

static inline int teardown(void **state)
{
    rn_backend_close(((bench *)*state)->cpu);
    return 0;
}

#endif
