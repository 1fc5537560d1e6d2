/* SPDX-License-Identifier: MIT */
/*
 * What an optimizer does to all of a net's parameters at once: gradients of several batches added up, their norm, the
 * update, a running average. Everything goes through the backend's ops on whole blocks of parameters.
 */
#ifndef RN_OPTIM_H
#define RN_OPTIM_H

#include "nn/graph/rn_net.h"

typedef struct rn_sgd_opts {
    float lr, momentum, weight_decay;
    float grad_scale; /* multiplies the gradients first; 0 stands for 1 */
    bool nesterov;
    bool caffe;         /* Caffe's momentum, the rate inside the buffer; see rn_op_sgd */
    const float *scale; /* in device memory, in grad_scale's place (rn_op_sgd); NULL: grad_scale */
} rn_sgd_opts;

/* One SGD step from the net's gradients; each parameter at lr * lr_mult and weight_decay * decay_mult. Then the
 * convolutions' plans take over the new weights. RN_E_UNSUPPORTED: an evaluation net. */
int rn_optim_sgd(rn_net *net, const rn_sgd_opts *o);

/* No weight decay on biases and on batch norm's gamma and beta: their decay_mult becomes 0. */
void rn_optim_spare_norms(rn_net *net);

/* All gradients: one block of *n f32 in device memory (gaps between parameters are 0). NULL in an evaluation net. */
float *rn_optim_grads(rn_net *net, int64_t *n);

/* The memory that this takes beside the net's own. */
typedef struct rn_optim rn_optim;

/* `accumulates`: rn_optim_accumulate will be called (memory for one more set of gradients). The net must outlive it. */
int rn_optim_open(rn_net *net, bool accumulates, rn_optim **out);
void rn_optim_close(rn_optim *o);         /* accepts NULL */
size_t rn_optim_bytes(const rn_optim *o); /* of device memory */

/* After the backward pass of batch i of n (0 <= i < n): after the last one the net's gradients are the mean of all. */
int rn_optim_accumulate(rn_optim *o, int i, int n);

/* The sum of squares over all gradients, or over all weights and running statistics; finite exactly when all of them
 * are. The square root of the first is what clipping by norm looks at. */
int rn_optim_grad_sumsq(rn_optim *o, double *out);
int rn_optim_weight_sumsq(rn_optim *o, double *out);

/*
 * Steps as a whole, of which nothing is waited for, and which go with the net's passes: what a device captures, it is given
 * with them as one.
 *   of every batch but a step's last: the gradients' sum of squares, and their part in the step's sum
 *   of the last: the mean; its sum of squares; what gradients are multiplied by, as clip says; the update, which does nothing
 *   when a gradient or one of the step's losses is not finite; the weights' sum of squares; the running average, unless there was
 *   no update or that sum is not finite
 * Of the batch whose results were told last (rn_net_results, which waits for all this, too) rn_optim_sums tells both sums.
 * The losses of several ranks are looked at, and their gradients added up, before the last batch's part that follows the mean: that
 * is given by rn_optim_follow, and looks at no loss.
 */
typedef struct rn_optim_rule { /* the same at every step */
    float weight_decay;
    bool nesterov, caffe; /* as rn_sgd_opts */
    double limit;         /* of the gradient's norm; 0: none */
    rn_net *average;      /* as rn_optim_average's, which has been called with decay 0; NULL: none */
    /* Nobody has looked at the step before. If it found something that is not finite, or has made weights so, this step does
     * nothing either, nor do others after it, so that one can still look for where that began. */
    bool blind;
} rn_optim_rule;
typedef struct rn_optim_now {
    int batch, batches; /* of the step, 0 <= batch < batches; more than one if that was said when it was opened */
    float lr, momentum;
    double loss_scale; /* 1: none. Not looked at where it moves */
    double decay;      /* of the average, rn_optim_decay's; NAN: none is due */
} rn_optim_now;
/* Before the first step, and between any two. */
int rn_optim_set_rule(rn_optim *o, const rn_optim_rule *rule);
/* Between steps: from now on the loss scale moves, beginning so; NULL: it does not. A step whose gradients overflow changes nothing
 * then, and those behind it go on (rn_op_clip). */
int rn_optim_move_loss_scale(rn_optim *o, const rn_loss_scale *from);
/* Before each training batch. */
void rn_optim_before(rn_optim *o, const rn_optim_now *now);
/* After the last batch of a step of several ranks, once their gradients have been added up. Nothing if they are not several. */
int rn_optim_follow(rn_optim *o);
typedef struct rn_optim_facts {
    double grads, weights; /* sums of squares: finite exactly when all are. weights: after the update, or without it */
    rn_loss_scale loss_scale; /* after the step, where it moves */
} rn_optim_facts;
rn_optim_facts rn_optim_sums(const rn_optim *o);

/* What clipping to `limit` multiplies a gradient of that norm by: torch.nn.utils.clip_grad_norm_'s factor, or Caffe's
 * (without its 1e-6). */
double rn_optim_clip(double norm, double limit, bool caffe);

/* The decay of average number t, from 0: `decay`, with `warmup` at most (1 + t) / (10 + t), as TensorFlow's num_updates:
 * a high decay would remember the initial weights for long. */
double rn_optim_decay(double decay, bool warmup, int64_t t);

/* average = decay * average + (1 - decay) * net, weights and running statistics alike; a decay of 0 copies. `average` is
 * a net of the same model with weights of its own, otherwise RN_E_RANGE, or, where a copy finds other parameters (a prototxt's
 * phases), RN_E_MISMATCH. */
int rn_optim_average(rn_optim *o, double decay, rn_net *average);

#endif
