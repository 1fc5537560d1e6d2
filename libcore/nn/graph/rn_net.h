/* SPDX-License-Identifier: MIT */
/*
 * A network: an array of nodes built once by a model builder, bound to a backend with a memory plan that
 * gives every tensor its place. The training loop allocates nothing, and no node names an algorithm: convolutions go
 * through the selector.
 *
 * Threads: one thread drives a net.
 */
#ifndef RN_NET_H
#define RN_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rn_comm.h"
#include "base/rn_origin.h"
#include "nn/graph/rn_fill.h"
#include "op/rn_backend.h"
#include "op/rn_select.h"

enum rn_stem { RN_STEM_IMAGENET = 0 /* 7x7 s2, 3x3 s2 max pool */, RN_STEM_CIFAR = 1 /* 3x3 s1, no pool */ };

/*
 * Residual networks by the names of "Bag of Tricks" (He et al. 2018, arXiv 1812.01187).
 *   NONE  torchvision's: a bottleneck's stride is in its 3x3 ("v1.5"), which is what the paper calls ResNet-B
 *   V1    He et al. 2015, as in Caffe: the stride is in the first 1x1
 *   B     NONE by its other name
 *   C     B, and three 3x3 (32, 32, 64 channels) in place of the 7x7
 *   D     C, and an average pool before a 1x1 of stride 1 in place of a shortcut's strided 1x1 (timm's resnet50d)
 * Basic blocks (ResNet-18 and -34) have no 1x1: NONE, V1 and B are the same net there. With the CIFAR stem D changes the
 * shortcuts alone, and C would change nothing: it is refused.
 */
enum rn_variant { RN_VARIANT_NONE = 0, RN_VARIANT_V1, RN_VARIANT_B, RN_VARIANT_C, RN_VARIANT_D };
extern const char *const rn_variant_names[]; /* "none", "v1", ...; NULL-terminated */

struct rn_graph;

typedef struct rn_model_spec {
    const char *arch; /* one of rn_model_names() */
    enum rn_variant variant;
    /* Squeeze and excitation (Hu et al. 2017, arXiv 1709.01507) before each residual add: `se` divides the channels (16;
     * 0: none), `se_round` rounds the quotient to a multiple and at least to it, timm's make_divisible (0, 1: as it is). */
    int se, se_round;
    enum rn_stem stem;
    double width; /* multiplies every channel count (64 -> 64 * width, rounded to a multiple of 8, at least 8) */
    int classes, channels; /* channels of the input: 3, or 1 */
    int height, width_px;  /* input size in pixels; width_px 0: as height */
    bool zero_gamma;       /* last BN of each block starts at 0 */
    double dropout;        /* probability, before the linear layers that have it; 0: none, -1: the model's usual */
    rn_init init;          /* zeroed: as the model's source does */
    /* arch "prototxt": the net's text (nn/caffe/rn_caffe_net.h) and what errors call it (NULL: "prototxt"), of which a net
     * keeps copies; and the phase to build, which rn_net_open sets. */
    const char *net_text, *net_file;
    bool train_phase;
    /* A net described elsewhere: `build` declares the parameters and nodes in g, down to the loss, at the spec's input
     * size, and returns 0 or RN_E_*; `described` is its own. Both, and arch, which is then a name for messages, must
     * outlive the nets. The fields from variant to width and zero_gamma are not looked at. NULL: `arch` says it. */
    int (*build)(const struct rn_model_spec *spec, int batch, struct rn_graph *g);
    const void *described;
} rn_model_spec;

/* What a parameter is, in the order of the model: torchvision's names and, in files, torchvision's layouts (rn_param.h). */
enum rn_param_kind {
    RN_PARAM_CONV /* memory OHWI, file OIHW */,
    RN_PARAM_LINEAR /* (oc, ic), or (oc, h, w, c) behind a 4-d value */,
    RN_PARAM_BIAS,
    RN_PARAM_GAMMA,
    RN_PARAM_BETA,
    RN_PARAM_RUNNING_MEAN,
    RN_PARAM_RUNNING_VAR /* buffers: no gradient */
};

typedef struct rn_param {
    char name[96]; /* "layer1.0.conv1.weight" */
    enum rn_param_kind kind;
    int nd;
    bool file_1x1;  /* LINEAR: (oc, ic, 1, 1) in files */
    int64_t dim[4]; /* memory order */
    int64_t count;
    int64_t fan_in,
        fan_out;      /* as PyTorch and Caffe count: weights per output; outputs times taps. A bias: its weight's */
    rn_filler filler; /* how rn_net_init starts it */
    float *value;     /* device memory of the backend, f32 master */
    void *operand;    /* what a convolution reads: `value`, or a copy in the type of the activations */
    float *grad, *momentum; /* NULL for buffers and in an evaluation-only net */
    bool fixed;             /* of a batch norm without gamma or beta: 1 or 0, never trained, no weight of the model */
    float lr_mult, decay_mult; /* of the learning rate and the weight decay; 1 unless someone sets them */
} rn_param;

typedef struct rn_net rn_net;

/*
 * Batch norms of training nets. OFF: all by themselves. ON: convolutions take over, while they read and write, whatever the
 * algorithms that are chosen for them anyway can do: that takes least memory. AUTO: where measured costs
 * of each batch norm and the convolutions beside it, in all directions, say that it is faster; where these are equal but for
 * noise, and where nothing is measured, it stays by itself (docs/kernels.md has the measurements).
 * Read through a convolution, x * scale + shift takes the place of (x - mean) * inv_std * gamma + beta: other roundings.
 */
enum rn_fuse { RN_FUSE_OFF = 0, RN_FUSE_AUTO = 1, RN_FUSE_ON = 2 };

/* How a batch norm runs. */
enum rn_bn_way {
    RN_BN_APART = 0,  /* by itself */
    RN_BN_GIVEN = 1,  /* its statistics come from the convolution before it */
    RN_BN_THROUGH = 2 /* likewise, and the convolution behind it reads through it: the output is not stored */
};
extern const char *const rn_bn_way_names[]; /* "apart", "given", "through" */

typedef struct rn_net_opts {
    int batch;
    bool train; /* false: evaluation only: no gradients, activations are reused */
    /* Of activations and their gradients: RN_F32, RN_BF16, RN_F16. Weights, their gradients and momentum, batch norm's
     * vectors, scores and losses are f32 in each. */
    rn_dtype dtype;
    rn_select_policy select;
    enum rn_fuse fuse;         /* of training nets */
    float bn_momentum, bn_eps; /* 0: 0.1, 1e-5 */
    const float *mean, *std;   /* per channel, of pixels scaled to 0..1; NULL: ImageNet's (one channel: 0.449, 0.226) */
    /* A mean image in place of `mean`, of pixels in 0..255: (mean_h, mean_w, channels), no smaller than the net's images, which
     * are windows of pictures of that size (rn_net_set_windows). The net then sees (pixel - image) / (255 std). NULL: none */
    const float *mean_image;
    int mean_h, mean_w;
    float label_smoothing;
    /*
     * Training in several ranks (NULL: one): `batch` is what this one computes, as many as every other; the loss that
     * gradients are of is the mean over all of them. Batch norm's statistics are of all ranks' rows, unless local_bn leaves
     * each rank to its own. The communicator must outlive the net.
     */
    rn_comm *comm;
    bool local_bn;
    int64_t bucket; /* on a device: so many floats of gradients travel between ranks at a time; 0: 2 Mi */
} rn_net_opts;

/* Names of the architectures, NULL-terminated. */
const char *const *rn_model_names(void);
/* Has it variants, squeeze and excitation, stems and gammas? */
bool rn_model_is_resnet(const char *arch);

/* RN_E_USAGE: unknown architecture; RN_E_RANGE: a number out of range; RN_E_UNSUPPORTED: dtype, or no algorithm fits;
 * RN_E_NOMEM. Nothing of `model` and `opts` needs to outlive the call
 * but comm and select.tuning. The weights are zero until rn_net_init or a
 * load; whoever writes values calls rn_net_params_changed. */
int rn_net_open(rn_backend *be, const rn_model_spec *model, const rn_net_opts *opts, rn_net **out);

/* An evaluation net on the weights of `owner`: no copy, its own activations and convolution plans (which follow the
 * weights by themselves). height 0: the owner's input size; width_px 0: as height. The weights are freed
 * with the last of the nets that share them. */
int rn_net_open_shared(rn_net *owner, int batch, int height, int width_px, rn_net **out);
/* Takes square images of `side` pixels from now on: same weights, gradients and momentum, other memory and algorithms (which
 * rn_net_choice_at then tells). RN_E_UNSUPPORTED, with nothing changed, where the weights depend on the size (AlexNet) or the net
 * is a prototxt's; after any other failure the net can only be closed. */
int rn_net_resize(rn_net *net, int side);
void rn_net_close(rn_net *net); /* accepts NULL */

/* Draws every parameter by its filler (rn_fill.h) from stream RN_STREAM_INIT of `seed`, the same on every backend, and clears
 * the momentum. RN_E_RANGE: a filler that cannot be. */
int rn_net_init(rn_net *net, uint64_t seed);

int rn_net_nparams(const rn_net *net); /* parameters and buffers */
rn_param *rn_net_param(rn_net *net, int i);
rn_param *rn_net_find(rn_net *net, const char *name); /* NULL if there is none */
int64_t rn_net_weights(const rn_net *net);            /* number of trained values (11,689,512 for ResNet-18) */

/* Result of one batch. */
typedef struct rn_net_result {
    int n;
    double loss_sum;
    int top1, top5;
} rn_net_result;

/* Where the next training batch stands: dropout draws by (seed, step, image) alone, so that a resumed run, ranks or passes
 * that part a batch among them drop the same values as one run, one rank, one pass. first_image: images of this step that
 * come before the batch (in lower ranks, in earlier passes). All 0 until called. */
void rn_net_set_step(rn_net *net, uint64_t seed, int64_t step, int64_t first_image);

/* Where the next batch's n images lie in the pictures that the mean image is of; needed before each batch then, and nothing
 * without a mean image. Copied. RN_E_RANGE: outside of it. */
int rn_net_set_windows(rn_net *net, const rn_origin *windows, int n);

/* images: host u8 NHWC (batch, h, w, c), or NULL: what rn_net_set_picks (rn_stock.h) told. labels: host, each 0..classes-1. Rows n..
 * are padding and not read. Train:
 * forward in training mode (batch statistics, running ones updated), loss, backward: gradients of the mean loss over n.
 * Padding would enter the batch statistics: n must be the net's batch, otherwise RN_E_RANGE. */
int rn_net_train_batch(rn_net *net, const uint8_t *images, const int32_t *labels, int n, rn_net_result *out);
/* The same with mixed images (mixup): the loss is share * that of labels + (1 - share) * that of labels2, share in 0..1; top1
 * and top5 count `labels`. */
int rn_net_train_batch_mixed(rn_net *net, const uint8_t *images, const int32_t *labels, const int32_t *labels2,
                             float share, int n, rn_net_result *out);
/*
 * Has the images of a coming training batch travel while the device is still at work on what it was given: the next of the two
 * calls above, with the same images and n, finds them there. At most one batch is on its way so. They must stay what they are until that
 * batch's results have been told, or rn_net_settle was called. Nothing on a device without streams. RN_E_RANGE: n.
 */
int rn_net_send(rn_net *net, const uint8_t *images, int n);
/* Waits until the device has come to the end of all it was given, and forgets what was sent ahead and results not asked for. */
int rn_net_settle(rn_net *net);
/*
 * Of the oldest batch whose out was NULL and whose results were not asked for: this waits for it, and not for what the device was
 * given behind it. There may be two such batches; a third waits for the first, whose results are lost. n is 0 when none was
 * left; then this waits for the last.
 */
int rn_net_results(rn_net *net, rn_net_result *out);
/* The last batch's losses (batch), in device memory. */
const float *rn_net_losses(const rn_net *net);
/* Forward with running statistics, 1 <= n <= batch; the loss is without label smoothing. Also on a training net, whose
 * gradients stay. */
int rn_net_eval_batch(rn_net *net, const uint8_t *images, const int32_t *labels, int n, rn_net_result *out);
/* The same two on f32 input that is already normalised (NHWC, host): for checks against PyTorch. */
int rn_net_train_batch_f32(rn_net *net, const float *input, const int32_t *labels, int n, rn_net_result *out);
int rn_net_eval_batch_f32(rn_net *net, const float *input, const int32_t *labels, int n, rn_net_result *out);
/*
 * Knowledge distillation: from now on a training batch of `net` also goes through `teacher`, in evaluation mode, and its loss is
 *   hard * (cross-entropy with smoothing and mixed labels) + soft * T^2 * KL(softmax(teacher / T) || softmax(logits / T)).
 * Evaluation is as before. The teacher, a net of its own on the same backend, must outlive this and take the same batch,
 * pixels and classes, otherwise RN_E_MISMATCH; NULL ends it.
 */
typedef struct rn_distill {
    rn_net *teacher;
    float temperature, hard, soft;
} rn_distill;
int rn_net_distill(rn_net *net, const rn_distill *d);
/* Copies the logits (batch, classes) and per-image losses (batch) of the last batch to the host; either may be NULL.
 * Rows n.. mean nothing. */
int rn_net_outputs(rn_net *net, float *logits, float *losses);

/* Multiplies the loss that gradients are of (1 at first), so that those in f16 do not underflow: all gradients come out
 * multiplied by it, the losses told do not. Powers of two cost no rounding. From the next batch on, unless rn_optim says that it moves. */
void rn_net_set_loss_scale(rn_net *net, float scale);

/* Training batches that this net has run, or its weights before it. A prototxt's running statistics are weighted by it:
 * whoever goes on with loaded weights sets it. */
int64_t rn_net_batches(const rn_net *net);
void rn_net_set_batches(rn_net *net, int64_t batches);

/* ---- several ranks (rn_net_opts.comm); all of them call, and nothing is done without ---- */

/* Whether there are ranks and the host adds up what they exchange, so that it has to be there; otherwise devices do (rn_backend.ranks_sum). */
bool rn_net_host_ranks(const rn_net *net);

/* After the backward pass: the gradients become the sums over ranks; with local_bn the running statistics become the
 * ranks' mean. */
int rn_net_reduce(rn_net *net);
/*
 * Has the backward pass of every training batch from now on do most of that by itself, on a device: gradients travel while it
 * goes on with others. For steps of one batch: rn_net_reduce must follow before the next, and nothing may change gradients in
 * between. All ranks alike.
 */
void rn_net_set_overlap(rn_net *net, bool on);
/* Weights, statistics and momentum of rank 0 for everybody. */
int rn_net_share(rn_net *net, rn_comm *comm);
/* RN_E_MISMATCH, on every rank, unless all hold the same bits of them. */
int rn_net_same(rn_net *net, rn_comm *comm);

/* Call after values were changed from outside (weights loaded). */
int rn_net_params_changed(rn_net *net);

/* One row per convolution and direction: what was chosen. For the log and the report. */
typedef struct rn_net_choice {
    const char *layer;
    rn_conv_desc desc;
    rn_conv_dir dir;
    rn_select_choice choice;
} rn_net_choice;
/* One row per batch norm that a convolution could take over, in a training net with fuse not OFF. */
typedef struct rn_net_fusion {
    const char *layer;
    enum rn_bn_way way, second; /* second: next best that was measured */
    double ms,
        second_ms; /* of it and the convolutions beside it in all directions, the others as chosen; 0: not measured */
} rn_net_fusion;
int rn_net_nfusions(const rn_net *net);
const rn_net_fusion *rn_net_fusion_at(const rn_net *net, int i);
int rn_net_nchoices(const rn_net *net);
const rn_net_choice *rn_net_choice_at(const rn_net *net, int i);
/*
 * Bytes of device memory: parameters with gradients and momentum, and in the activations' type (shared ones count in each net);
 * activations and their gradients after planning, and the same without sharing; workspace of the convolutions and what their
 * plans hold (0: not counted); pixels on their way and what goes with them; scratch of the ops, which all nets of a device share.
 * Activations, workspace and pixels are one block, which is allocated when a net is opened or resized; then the scratch is as
 * large as any op of a pass will ask for, so that no batch allocates.
 */
typedef struct rn_net_memory {
    size_t params, activations, unshared, workspace, plans, pixels, scratch;
} rn_net_memory;
void rn_net_memory_use(const rn_net *net, rn_net_memory *out);

#endif
