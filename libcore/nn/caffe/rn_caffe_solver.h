/* SPDX-License-Identifier: MIT */
/*
 * Caffe's SolverParameter, as far as rn-train does what it says: SGD and Nesterov with the rate inside the momentum buffer, the
 * policies fixed, step, exp, inv, multistep, poly and sigmoid in iterations, iter_size, clipping by the L2 norm. A field that
 * is not honoured is an error with its line. docs/caffe.md has the table.
 */
#ifndef RN_CAFFE_SOLVER_H
#define RN_CAFFE_SOLVER_H

#include <stdbool.h>
#include <stdint.h>

enum rn_caffe_policy {
    RN_CAFFE_FIXED,
    RN_CAFFE_STEP,
    RN_CAFFE_EXP,
    RN_CAFFE_INV,
    RN_CAFFE_MULTISTEP,
    RN_CAFFE_POLY,
    RN_CAFFE_SIGMOID
};

enum { RN_CAFFE_MAX_STEPS = 64 };

typedef struct rn_caffe_solver {
    char net[4096]; /* "": not given */
    enum rn_caffe_policy policy;
    double base_lr, gamma, power, momentum, weight_decay;
    double clip; /* L2 norm of a step's summed gradient; 0: never */
    bool nesterov;
    int64_t stepsize, max_iter, iter_size;
    int64_t steps[RN_CAFFE_MAX_STEPS]; /* MULTISTEP, rising */
    int nsteps;
    int64_t test_iter, test_interval; /* 0: not given */
    int64_t display, snapshot;        /* 0: never */
    int64_t seed;                     /* -1: not given */
} rn_caffe_solver;

/* Reads and checks `text`; `file` stands for it in errors. RN_E_FORMAT, RN_E_RANGE, RN_E_UNSUPPORTED, with the line. */
int rn_caffe_solver_read(const char *file, const char *text, rn_caffe_solver *out);

#endif
