/* SPDX-License-Identifier: MIT */
/*
 * How a parameter starts. Every parameter of a graph carries one filler and its two fans (rn_param in rn_net.h); the
 * graph's declarations set PyTorch's defaults, a builder overwrites what its model does otherwise, --init
 * (rn_init_apply) what the recipe says, and rn_net_init draws.
 *
 * The field's names in this form (g: fan_in, fan_out or their mean):
 *   Kaiming normal (He et al. 2015, PyTorch)      SCALED_NORMAL  a 2, IN or OUT     N(0, 2/g)
 *   msra (Caffe)                                  SCALED_NORMAL  a 2, IN, OUT, AVG  N(0, 2/g)
 *   Xavier uniform (Glorot & Bengio 2010)         SCALED_UNIFORM a 1, AVG           U(+-sqrt(6/(in+out)))
 *   Xavier normal                                 SCALED_NORMAL  a 1, AVG           N(0, 2/(in+out))
 *   xavier (Caffe)                                SCALED_UNIFORM a 1, IN, OUT, AVG  U(+-sqrt(3/g))
 *   torch.nn.Linear, torch.nn.Conv2d              SCALED_UNIFORM a 1/3, IN          U(+-1/sqrt(in)), biases too
 *   gaussian, uniform, constant (Caffe)           GAUSSIAN, UNIFORM, CONSTANT
 * A filler of Caffe's prototxt is set by assigning rn_param.filler after the parameter is declared.
 */
#ifndef RN_FILL_H
#define RN_FILL_H

#include <stdint.h>

#include "base/rn_rng.h"

enum rn_fill_kind {
    RN_FILL_CONSTANT = 0,   /* a */
    RN_FILL_UNIFORM,        /* [a, b) */
    RN_FILL_GAUSSIAN,       /* mean a, standard deviation b */
    RN_FILL_SCALED_UNIFORM, /* mean 0, variance a / fan */
    RN_FILL_SCALED_NORMAL,  /* mean 0, variance a / fan */
    RN_FILL_UNITBALL,       /* Caffe's positive_unitball: [0, 1), each output's weights divided by their sum */
    RN_FILL_BILINEAR        /* Caffe's: each kernel interpolates between pixels; square kernels only */
};

enum rn_fan { RN_FAN_IN = 0, RN_FAN_OUT, RN_FAN_AVG };

typedef struct rn_filler {
    enum rn_fill_kind kind;
    enum rn_fan fan; /* SCALED_* */
    double a, b;
} rn_filler;

/* What is filled: `outputs` blocks of kh x kw x ic values in memory order (OHWI). A vector is outputs 1, kh 1, kw 1. */
typedef struct rn_fill_shape {
    int64_t outputs, kh, kw, ic;
    int64_t fan_in, fan_out; /* at least 1 */
} rn_fill_shape;

/* RN_E_RANGE: numbers that are not finite, a negative deviation or variance, an empty interval, BILINEAR of a kernel that is
 * not square. `what` names the parameter in messages. */
int rn_fill_check(const rn_filler *f, const rn_fill_shape *s, const char *what);
/* Fills dst, one draw after the other from `r`. The filler has been checked. */
void rn_fill_draw(const rn_filler *f, const rn_fill_shape *s, rn_rng *r, float *dst);

/* What --init asks of all convolutions and linear layers; their biases then start at 0. */
enum rn_init_kind {
    RN_INIT_MODEL = 0,     /* what the model's own source does */
    RN_INIT_TORCHVISION,   /* convolutions Kaiming fan_out, linear layers torch.nn.Linear's default with its bias */
    RN_INIT_KAIMING_OUT,   /* N(0, 2/fan_out) */
    RN_INIT_KAIMING_IN,    /* N(0, 2/fan_in) */
    RN_INIT_XAVIER,        /* U(+-sqrt(6/(fan_in + fan_out))) */
    RN_INIT_XAVIER_NORMAL, /* N(0, 2/(fan_in + fan_out)) */
    RN_INIT_XAVIER_CAFFE,  /* U(+-sqrt(3/fan_in)) */
    RN_INIT_MSRA,          /* Caffe's: N(0, 2/fan_in), kaiming-in by another name */
    RN_INIT_GAUSSIAN       /* N(0, std^2) */
};

typedef struct rn_init {
    enum rn_init_kind kind;
    double std; /* GAUSSIAN */
} rn_init;

/* "kaiming-out", "xavier", "gaussian" (deviation 0.01), "gaussian:0.005", ...; NULL is RN_INIT_MODEL. RN_E_USAGE lists the names. */
int rn_init_parse(const char *text, rn_init *out);

struct rn_graph;
/* Sets the fillers of the graph's weights and biases; batch norm keeps 1 and 0. RN_INIT_MODEL changes nothing. */
void rn_init_apply(const rn_init *init, struct rn_graph *g);

#endif
