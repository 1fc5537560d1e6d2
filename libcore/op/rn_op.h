/* SPDX-License-Identifier: MIT */
/*
 * Every op but convolution: one table per backend. Shapes are NHWC; `rows` is mb*h*w; all vectors
 * per channel (scale, statistics, gradients of them), weights, their gradients and all losses are f32; activations have
 * the dtype of the argument block: f32, bf16 or f16. The latter two are computed as if widened to f32 (sums no less
 * precise than with f32 activations) and rounded once, to nearest even, where they are stored. Where a destination may be the same memory as a source, the comment says so;
 * otherwise they must not overlap. Each op returns 0 or RN_E_*; a CPU backend's ops cannot fail on
 * valid arguments but for want of memory, and not for that once the same shape has run. All ops are deterministic for a
 * given thread count.
 */
#ifndef RN_OP_H
#define RN_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "op/rn_tensor.h"

struct rn_backend;
struct rn_pick;

/*
 * A factor on the loss that finds itself (nn/optim/rn_loss_scale.h), in device memory: clip says of a step whether its gradients
 * overflow, and what the next one's factor is. `scale` is a power of two times what it began with, so that nothing rounds.
 */
enum { RN_LOSS_SCALE_GROWTH = 2000, RN_LOSS_SCALE_FLOOR = 1 };
typedef struct rn_loss_scale {
    double scale;    /* of the next step; 0: not begun */
    int64_t good;    /* steps in a row that did not overflow, since the scale last changed */
    int64_t skipped; /* steps left out in all */
} rn_loss_scale;

/*
 * What may differ from batch to batch and from step to step, in device memory, where one copy puts it ahead of the ops that read it.
 * An op that is given `now` takes from there what its comment says, and is the same call each time, so that it can be captured
 * (rn_backend.h) and given again. NULL: its own fields.
 */
typedef struct rn_op_now {
    double scale, times; /* clip's */
    uint64_t seed;       /* dropout's: seed, step, and this batch's place among the step's images */
    int64_t first_image; /* at least 0 */
    uint32_t step;
    float share, grad_scale; /* xent's and distill's */
    float rows;              /* with loss_scale: grad_scale is its scale, as f32, divided by this; */
    rn_loss_scale
        *loss_scale; /* and clip's scale is 1 / its scale; clip moves it. NULL: those here, and nothing moves */
    float lr, mu;    /* sgd's */
    float sum[2], finite[2],
        average[2]; /* axpby's a and b: of several batches' gradients, and losses; of several steps' weights */
} rn_op_now;

/*
 * dst = (src / 255 - mean[c]) * inv_std[c]; src u8 NHWC, computed as src * mul[c] + add[c] in f32 with
 * mul = 1 / (255 std), add = -mean / std.
 * With a mean image, as Caffe's data_transformer.cpp: dst = (src - image[y][x][c]) * mul[c], where y and x are the pixel's
 * place in the picture that image i was cut out of: windows[i]'s corner added, and counted from the right if it is mirrored.
 */
typedef struct rn_op_normalize {
    rn_dtype dtype;
    int64_t rows;
    int c;
    const uint8_t *src; /* (rows, c) */
    void *dst;          /* (rows, c) */
    const float *mul, *add;
    const float *
        image; /* (image_h, image_w, c), of pixels in 0..255; NULL: none, and the rest is not read. `add` is not read with it */
    int image_h, image_w;
    int h, w;                        /* of one image: rows is a multiple of h * w; no larger than the mean image */
    const struct rn_origin *windows; /* (rows / (h * w)), in the backend's memory; each inside the mean image */
} rn_op_normalize;

/*
 * A batch of pixels out of images that are in the backend's memory, by what base/rn_pick.h tells of each. u8 NHWC. Pixel (y, x) of
 * image i is that of the record at picks[i + 1]'s corner plus y and x (from the right if mirrored), 0 outside of it; then `fill`
 * in the hole; then, with a share below 65536, (share * it + (65536 - share) * that of picks[i] + 32768) >> 16, which has a
 * window, a mirror and a hole of its own. A record of `count` or more is all zeros, hole and all.
 * All that changes from batch to batch is in the picks: the call is the same each time.
 */
typedef struct rn_op_pick {
    int n, h, w, c, count, src_h, src_w; /* sides up to 32767, c up to 4 */
    const uint8_t *src;                  /* (count, src_h, src_w, c) */
    const struct rn_pick *picks; /* (n + 1), in the backend's memory; the first only for image 0 to be mixed with */
    uint8_t fill[4];             /* a value a channel */
    uint8_t *dst;                /* (n, h, w, c) */
} rn_op_pick;

/*
 * Batch normalisation over rows (Ioffe & Szegedy 2015), with residual add and ReLU fused:
 *   train: mean, var (biased) over rows; xhat = (x - mean) * inv_std, inv_std = 1/sqrt(var + eps)
 *   y = gamma * xhat + beta [+ res] [then max(., 0)]
 *   running_mean += momentum * (mean - running_mean); running_var likewise with the unbiased variance
 *   (var * rows / (rows - 1)), as PyTorch does; with one row, where that is 0/0 and PyTorch refuses, the factor is 1.
 * With `comm` set, "rows" are those of all its ranks, each having as many: the statistics are synchronised (rn_bn_sync.h).
 * mean and inv_std are outputs in training, kept for backward. In inference the running statistics are
 * used and mean, inv_std may be NULL.
 *
 * Masks: with relu, a backend of `bn_masks` (rn_backend.h) notes in `mask`, if one is given, what bn_bwd has to know of y, a
 * byte for each 16 bytes: bit k of byte i is y[i * V + k] > 0, with V elements in 16 bytes. bn_bwd is then given the mask and
 * reads it in place of y, a sixteenth of the bytes. For tensors that begin at 16 bytes, c a multiple of V.
 */
typedef struct rn_op_bn_fwd {
    rn_dtype dtype;
    bool train, relu;
    int64_t rows;
    int c;
    float eps, momentum;
    const float *momentum_now; /* in device memory, in momentum's place; NULL: momentum */
    const void *x;             /* (rows, c) */
    const void *res;           /* (rows, c) or NULL; may equal y */
    void *y;                   /* (rows, c); may equal x when !train */
    const float *gamma, *beta;
    float *running_mean, *running_var; /* written in training, read in inference */
    float *mean, *inv_std;
    struct rn_comm *comm; /* NULL: statistics of these rows alone. Not read in inference */
    uint8_t *mask;        /* NULL, or rn_op_bn_mask_bytes, written. Only for a backend of bn_masks */
} rn_op_bn_fwd;

/* 0: none can be made of such tensors. */
static inline size_t rn_op_bn_mask_bytes(rn_dtype dtype, int64_t rows, int c)
{
    const size_t line = (size_t)c * rn_dtype_size(dtype);
    return line % 16 == 0 ? (size_t)rows * (line / 16) : 0;
}

/*
 * Backward of the above in training. With g = dy where (!relu || y > 0) else 0:
 *   dbeta = sum g; dgamma = sum g * xhat; dx = gamma * inv_std * (g - dbeta/rows - xhat * dgamma/rows)
 *   dres = g
 * With `comm` set, dx is made of the sums over all its ranks' rows, while dgamma and dbeta are this rank's share of them, as
 * the gradients of all other parameters are.
 * dgamma and dbeta are overwritten. dx is overwritten (dx_beta 0) or added to (1); dres likewise with dres_beta.
 */
typedef struct rn_op_bn_bwd {
    rn_dtype dtype;
    bool relu;
    int64_t rows;
    int c;
    const void *x, *y, *dy; /* (rows, c); y only read when relu */
    const float *gamma, *mean, *inv_std;
    void *dx;   /* (rows, c); may equal dy when dres is NULL */
    void *dres; /* (rows, c) or NULL; may equal dy */
    int dx_beta, dres_beta;
    float *dgamma, *dbeta; /* (c) */
    struct rn_comm *comm;  /* that of the forward pass */
    const uint8_t *mask;   /* NULL, or what bn_fwd wrote: y is not read */
} rn_op_bn_bwd;

/*
 * The same where convolutions read and write instead (rn_conv.h): all vectors (c), of rows of x that nobody normalises in
 * memory. Forward, train: from the sums of RN_EPI_STATS, whose pivot was running_mean as it is when this is called, what
 * bn_fwd computes of x itself: mean, inv_std, the running statistics; var as well, and y = x * scale + shift. Otherwise
 * the same of the running statistics, with the sums not read.
 */
typedef struct rn_op_bn_stats {
    bool train;
    int64_t rows;
    int c;
    float eps, momentum;
    const float *momentum_now; /* as bn_fwd's */
    const double *sum, *sumsq;
    const float *gamma, *beta;
    float *running_mean, *running_var;
    float *mean, *var, *inv_std, *scale, *shift; /* written */
    double *room;                                /* (2 c), contents undefined before and after */
    struct rn_comm *comm;                        /* as bn_fwd's */
} rn_op_bn_stats;

/* Backward, from the sums of RN_EPI_DBN: dgamma, dbeta (overwritten), and ka, kb, kc of RN_PRO_DBN. */
typedef struct rn_op_bn_grad_stats {
    int64_t rows;
    int c;
    const double *sum, *sumsq;
    const float *gamma, *mean, *inv_std;
    float *dgamma, *dbeta, *ka, *kb, *kc; /* written */
    double *room;                         /* (2 c) */
    struct rn_comm *comm;                 /* that of the forward pass; dgamma and dbeta are this rank's share */
} rn_op_bn_grad_stats;

/* dst = src in another type: f32, bf16 or f16; narrowing rounds to nearest even. No overlap. */
typedef struct rn_op_convert {
    rn_dtype from, to;
    int64_t n;
    const void *src;
    void *dst;
} rn_op_convert;

/* y = max(x, 0), a NaN stays NaN; may be in place. Backward: dx = y > 0 ? dy : 0; may be in place. */
typedef struct rn_op_relu {
    rn_dtype dtype;
    int64_t n;
    const void *x;
    void *y;
} rn_op_relu;
typedef struct rn_op_relu_bwd {
    rn_dtype dtype;
    int64_t n;
    const void *y, *dy;
    void *dx;
} rn_op_relu_bwd;

/* y = a + b; y may equal a or b. */
typedef struct rn_op_add {
    rn_dtype dtype;
    int64_t n;
    const void *a, *b;
    void *y;
} rn_op_add;

/*
 * Bias over rows, with ReLU fused: y = x + b [then max(., 0)]; y may equal x.
 * Backward, with g = dy where (!relu || y > 0) else 0: db = sum of g over rows (overwritten), dx = g (overwritten; may
 * equal dy; NULL: not wanted).
 */
typedef struct rn_op_bias {
    rn_dtype dtype;
    bool relu;
    int64_t rows;
    int c;
    const void *x;  /* (rows, c) */
    const float *b; /* (c) */
    void *y;        /* (rows, c) */
} rn_op_bias;
typedef struct rn_op_bias_bwd {
    rn_dtype dtype;
    bool relu;
    int64_t rows;
    int c;
    const void *y, *dy; /* (rows, c); y only read when relu */
    void *dx;
    float *db; /* (c) */
} rn_op_bias_bwd;

/*
 * Two values, element by element, with ReLU fused:
 *   sum y = ca * a + cb * b; product y = a * b; maximum y = a > b ? a : b, NaN where either is [then max(., 0)]
 * y may equal a or b. Backward, with g = dy where (!relu || y > 0) else 0:
 *   sum da = ca * g, db = cb * g; product da = g * b, db = g * a; maximum: g to the larger, to b on a tie (as Caffe's)
 * da and db are overwritten (da_beta 0) or added to (1); either may be NULL, and either may equal dy if its beta is 0. They
 * may be the same memory if db_beta is 1.
 */
enum rn_eltwise_kind { RN_ELTWISE_SUM, RN_ELTWISE_PRODUCT, RN_ELTWISE_MAX };
typedef struct rn_op_eltwise {
    rn_dtype dtype;
    enum rn_eltwise_kind kind;
    bool relu;
    int64_t n;
    float ca, cb; /* sum only */
    const void *a, *b;
    void *y;
} rn_op_eltwise;
typedef struct rn_op_eltwise_bwd {
    rn_dtype dtype;
    enum rn_eltwise_kind kind;
    bool relu;
    int64_t n;
    float ca, cb;
    const void *a, *b, *y, *dy; /* a, b not read by a sum; y only when relu */
    void *da, *db;
    int da_beta, db_beta;
} rn_op_eltwise_bwd;

/* y = 1 / (1 + exp(-x)); may be in place. Backward: dx = dy * y * (1 - y); dx may equal dy. */
typedef struct rn_op_sigmoid {
    rn_dtype dtype;
    int64_t n;
    const void *x;
    void *y;
} rn_op_sigmoid;
typedef struct rn_op_sigmoid_bwd {
    rn_dtype dtype;
    int64_t n;
    const void *y, *dy;
    void *dx;
} rn_op_sigmoid_bwd;

/*
 * A factor for each channel of each image (Hu et al. 2017, squeeze and excitation), with residual add and ReLU fused:
 *   y[m, p, c] = x[m, p, c] * s[m, c] [+ res] [then max(., 0)]; y may equal x or res.
 * Backward, with g = dy where (!relu || y > 0) else 0:
 *   dx = g * s; ds[m, c] = sum over p of g * x; dres = g
 * dx, ds and dres are overwritten (beta 0) or added to (1); each may be NULL. dx may equal dy when dres is NULL; dres
 * may equal dy; dx and dres may be the same memory if dres_beta is 1.
 */
typedef struct rn_op_scale {
    rn_dtype dtype;
    bool relu;
    int mb, hw, c;
    const void *x;   /* (mb, hw, c) */
    const void *s;   /* (mb, c) */
    const void *res; /* (mb, hw, c) or NULL */
    void *y;         /* (mb, hw, c) */
} rn_op_scale;
typedef struct rn_op_scale_bwd {
    rn_dtype dtype;
    bool relu;
    int mb, hw, c;
    const void *x, *s, *y, *dy; /* y only read when relu */
    void *dx, *ds, *dres;
    int dx_beta, ds_beta, dres_beta;
} rn_op_scale_bwd;

/*
 * Dropout (Srivastava et al. 2014), inverted as PyTorch's and Caffe's: y = x * m, m = 1 / (1 - p) with probability
 * 1 - p, else 0 (a NaN stays one); y may equal x. Backward is the same on gradients. Nothing is stored: element i
 * is dropped when word first + i of stream (RN_STREAM_DROPOUT, node, step) of `seed` is below p * 2^32 (rn_rng.h). It
 * depends on nothing else: neither threads, nor how a batch is parted among ranks or passes, with `first` the
 * number of elements before this part. With `now`: its seed and step are taken, and first is its first_image * each.
 */
typedef struct rn_op_dropout {
    rn_dtype dtype;
    int64_t n;
    float p; /* 0 <= p < 1 */
    uint64_t seed;
    uint32_t node, step;
    int64_t first;
    const void *x;
    void *y;
    int64_t each; /* elements an image; not read without now */
    const rn_op_now *now;
} rn_op_dropout;

/*
 * Local response normalisation across channels (Krizhevsky et al. 2012), as torch's LocalResponseNorm and Caffe's LRN:
 *   y[c] = x[c] * s[c]^-beta, s[c] = k + alpha / size * sum over j of x[j]^2, j in c - size/2 .. c + (size-1)/2
 * Backward, from x alone:
 *   dx[c] = dy[c] * s[c]^-beta - 2 alpha beta / size * x[c] * sum over j whose window holds c of dy[j] x[j] s[j]^(-beta-1)
 * dx is overwritten (dx_beta 0) or added to (1). Neither works in place.
 */
typedef struct rn_op_lrn {
    rn_dtype dtype;
    int64_t rows;
    int c, size;
    float alpha, beta, k;
    const void *x;
    void *y;
} rn_op_lrn;
typedef struct rn_op_lrn_bwd {
    rn_dtype dtype;
    int64_t rows;
    int c, size;
    float alpha, beta, k;
    const void *x, *dy;
    void *dx;
    int dx_beta;
} rn_op_lrn_bwd;

/*
 * Part of the channels: dst[r, dst_at + i] = src[r, src_at + i] for i < c (added with beta 1). src has rows of src_c
 * values, dst of dst_c; dst's other channels stay, or become 0 with `clear` (beta 0 only). Concatenation and slices, forward
 * and backward.
 */
typedef struct rn_op_part {
    rn_dtype dtype;
    int64_t rows;
    int c;
    const void *src;
    int src_c, src_at;
    void *dst;
    int dst_c, dst_at;
    int beta;
    bool clear;
} rn_op_part;

/*
 * Max and average pooling. Windows are clipped at the border (padding never wins a maximum and, with
 * count_include_pad false, is not counted in an average; with it, padding is, but not what ceil mode reaches beyond
 * it). oh, ow are given by the caller (floor or ceil mode); every window must hold a pixel, otherwise RN_E_RANGE.
 * max: argmax (mb, oh, ow, c) holds the winning tap kh_i * kw + kw_i as u8 (kh * kw <= 255), the first on ties
 * (a NaN wins over numbers); NULL in inference.
 */
typedef struct rn_op_pool {
    rn_dtype dtype;
    int mb, c, ih, iw, oh, ow, kh, kw, sh, sw, ph, pw;
    bool count_include_pad;
    const void *src; /* fwd: input; bwd: gradient of the output */
    void *dst;       /* fwd: output; bwd: gradient of the input */
    uint8_t *argmax;
    int beta; /* bwd: dst is overwritten (0) or added to (1) */
} rn_op_pool;

/* Mean over h*w: src (mb, hw, c) -> dst (mb, c); backward spreads dy / hw: src (mb, c) -> dst (mb, hw, c). */
typedef struct rn_op_gap {
    rn_dtype dtype;
    int mb, hw, c;
    const void *src;
    void *dst;
    int beta; /* backward: dst is overwritten (0) or added to (1) */
} rn_op_gap;

/* y = x w^T + b. x (mb, ic), w (oc, ic), b (oc) or NULL, y (mb, oc). w and b are the f32 masters in every precision: the
 * layer is small beside the convolutions, and a copy of w would be rounded for nothing.
 * bwd_d: x = dy w (x overwritten, or added to with beta 1). bwd_w: w = dy^T x, b = column sums of dy (both overwritten; b may be NULL). */
typedef struct rn_op_linear {
    rn_dtype dtype; /* of x */
    int mb, ic, oc;
    void *x, *w, *y; /* w: f32 */
    float *b;
    int beta;         /* bwd_d */
    rn_dtype y_dtype; /* of y: f32 for the logits, whose softmax wants more than 8 bits */
} rn_op_linear;

/*
 * Softmax cross-entropy over rows of logits, with label smoothing (q = 1-eps+eps/k on the label, eps/k elsewhere,
 * as PyTorch's). With labels2 (mixup), q = share * q(labels[i]) + (1 - share) * q(labels2[i]), so that the loss is the
 * same mixture of the two losses; rank is that of labels[i]. The log-sum-exp subtracts the row's maximum. For i < n:
 *   loss[i]; dlogits[i] = (softmax - q) * grad_scale; rank[i] = number of classes ranked before the label (a tie
 *   counts as before when its index is lower; NaN anywhere in the row makes rank k and loss NaN).
 * Rows n..mb-1 (padding of the last batch) give dlogits 0, loss 0, rank -1. dlogits NULL: evaluation.
 */
typedef struct rn_op_xent {
    rn_dtype dtype; /* of logits and dlogits */
    int mb, n, k;
    const void *logits;     /* (mb, k) */
    const int32_t *labels;  /* (mb), each 0..k-1 for i < n */
    const int32_t *labels2; /* (mb), likewise, or NULL; may name the same class */
    float share;            /* of labels, 0..1; not read without labels2 */
    float smoothing, grad_scale;
    const rn_op_now *now; /* its share and grad_scale are taken */
    void *dlogits;        /* (mb, k), may equal logits, or NULL */
    float *loss;          /* (mb) */
    int32_t *rank;        /* (mb) */
} rn_op_xent;

/*
 * Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531), after xent of the same rows. With p = softmax(z / T) of
 * `logits` and r = softmax(t / T) of `teacher`, for i < n:
 *   loss[i]    = hard * loss[i] + soft * T^2 * sum_j r_j (log r_j - log p_j)
 *   dlogits[i] = hard * dlogits[i] + soft * T * (p - r) * grad_scale        (left alone where dlogits is NULL)
 * A class with r_j = 0 adds nothing; a NaN in either row makes loss and gradient NaN. Rows n.. are not touched.
 */
typedef struct rn_op_distill {
    int mb, n, k;
    const float *logits, *teacher;             /* (mb, k), as the linear layers wrote them */
    float temperature, hard, soft, grad_scale; /* T above 0; the others at least 0 */
    const rn_op_now *now;                      /* its grad_scale is taken */
    float *dlogits;                            /* (mb, k), read and written, not `logits`; or NULL */
    float *loss;                               /* (mb), read and written */
} rn_op_distill;

/*
 * SGD with momentum over a run of parameters, f32 master weights; d = g * grad_scale + wd * w.
 *   PyTorch's order: v = mu * v + d (first step: v = d, which v = 0 gives); u = nesterov ? d + mu * v : v;
 *                    w -= lr * u
 *   Caffe's order:   v' = mu * v + lr * d; w -= nesterov ? (1 + mu) * v' - mu * v : v'; v = v'
 * The two differ once lr changes, and by a factor of lr in v. With `now`: lr is its lr * lr, rounded to f32; mu is its mu.
 */
typedef struct rn_op_sgd {
    int64_t n;
    float *w, *v;
    const float *g;
    float lr, mu, wd, grad_scale;
    const float *
        scale; /* in device memory, in grad_scale's place: clip's; not finite: neither w nor v change. NULL: grad_scale */
    bool nesterov, caffe;
    const rn_op_now *now;
} rn_op_sgd;

/*
 * What a step multiplies its gradients by, decided where they are: nobody waits for their norm.
 *   norm = sqrt(*sumsq) * scale * times
 *   *out = scale * min(1, limit / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_; Caffe's: norm > limit ? limit / norm : 1
 * in double, rounded once; limit 0: none. NaN where *sumsq or one of the n losses is not finite: nothing to be done.
 * A step that is given before anybody has looked at the one before, after which there may be none: `before`, if not NULL, has to be
 * finite as well, and *out not NaN yet. With `now`: its scale and times are taken, both above 0.
 * With now's loss_scale, gradients that are not finite are no reason to stop: unless something else is, *out is infinite then, which is
 * no step to take, either, and the loss scale is halved; after RN_LOSS_SCALE_GROWTH steps in a row that were taken it is doubled.
 * Below RN_LOSS_SCALE_FLOOR *out is NaN. Where something else is not finite it stays.
 */
typedef struct rn_op_clip {
    const double *sumsq; /* all four in device memory */
    const double *before;
    const float *loss;
    float *out;
    int n;
    double scale, times, limit;
    bool caffe;
    const rn_op_now *now;
} rn_op_clip;

/*
 * y = a * x + b * y; with b = 0 y is not read (it may be NaN). x may be y. f32. What follows x and y is in device memory, as they are,
 * and each of it may be NULL:
 *   ab: a and b, in the place of those here; a NaN as a changes nothing
 *   scale, sumsq: where either is not finite, nothing is changed: clip's, and a sum of squares
 */
typedef struct rn_op_axpby {
    int64_t n;
    float a, b;
    const float *x;
    float *y;
    const float *ab, *scale;
    const double *sumsq;
} rn_op_axpby;

/*
 * *sum = the sum of x[i]^2, in double: finite exactly when every x[i] is, as no sum of fewer than 2^700 squares of f32
 * overflows. The same bits at any number of threads. n may be 0. sum lies in device memory, as x.
 */
typedef struct rn_op_sumsq {
    int64_t n;
    const float *x;
    double *sum;
} rn_op_sumsq;

typedef struct rn_ops {
    int (*normalize)(struct rn_backend *, const rn_op_normalize *, void *stream);
    int (*convert)(struct rn_backend *, const rn_op_convert *, void *stream);
    int (*bn_fwd)(struct rn_backend *, const rn_op_bn_fwd *, void *stream);
    int (*bn_bwd)(struct rn_backend *, const rn_op_bn_bwd *, void *stream);
    /* Optional, both or none: without them no convolution is asked for fused work. */
    int (*bn_stats)(struct rn_backend *, const rn_op_bn_stats *, void *stream);
    int (*bn_grad_stats)(struct rn_backend *, const rn_op_bn_grad_stats *, void *stream);
    int (*relu_fwd)(struct rn_backend *, const rn_op_relu *, void *stream);
    int (*relu_bwd)(struct rn_backend *, const rn_op_relu_bwd *, void *stream);
    int (*add)(struct rn_backend *, const rn_op_add *, void *stream);
    int (*bias_fwd)(struct rn_backend *, const rn_op_bias *, void *stream);
    int (*bias_bwd)(struct rn_backend *, const rn_op_bias_bwd *, void *stream);
    int (*eltwise_fwd)(struct rn_backend *, const rn_op_eltwise *, void *stream);
    int (*eltwise_bwd)(struct rn_backend *, const rn_op_eltwise_bwd *, void *stream);
    int (*sigmoid_fwd)(struct rn_backend *, const rn_op_sigmoid *, void *stream);
    int (*sigmoid_bwd)(struct rn_backend *, const rn_op_sigmoid_bwd *, void *stream);
    int (*scale_fwd)(struct rn_backend *, const rn_op_scale *, void *stream);
    int (*scale_bwd)(struct rn_backend *, const rn_op_scale_bwd *, void *stream);
    int (*dropout)(struct rn_backend *, const rn_op_dropout *, void *stream);
    int (*lrn_fwd)(struct rn_backend *, const rn_op_lrn *, void *stream);
    int (*lrn_bwd)(struct rn_backend *, const rn_op_lrn_bwd *, void *stream);
    int (*part)(struct rn_backend *, const rn_op_part *, void *stream);
    int (*maxpool_fwd)(struct rn_backend *, const rn_op_pool *, void *stream);
    int (*maxpool_bwd)(struct rn_backend *, const rn_op_pool *, void *stream);
    int (*avgpool_fwd)(struct rn_backend *, const rn_op_pool *, void *stream);
    int (*avgpool_bwd)(struct rn_backend *, const rn_op_pool *, void *stream);
    int (*gap_fwd)(struct rn_backend *, const rn_op_gap *, void *stream);
    int (*gap_bwd)(struct rn_backend *, const rn_op_gap *, void *stream);
    int (*linear_fwd)(struct rn_backend *, const rn_op_linear *, void *stream);
    int (*linear_bwd_d)(struct rn_backend *, const rn_op_linear *, void *stream);
    int (*linear_bwd_w)(struct rn_backend *, const rn_op_linear *, void *stream);
    int (*xent)(struct rn_backend *, const rn_op_xent *, void *stream);
    int (*distill)(struct rn_backend *, const rn_op_distill *, void *stream);
    int (*sgd)(struct rn_backend *, const rn_op_sgd *, void *stream);
    int (*axpby)(struct rn_backend *, const rn_op_axpby *, void *stream);
    int (*sumsq)(struct rn_backend *, const rn_op_sumsq *, void *stream);
    int (*clip)(struct rn_backend *, const rn_op_clip *, void *stream);
    int (*pick)(struct rn_backend *, const rn_op_pick *, void *stream);
} rn_ops;

#endif
