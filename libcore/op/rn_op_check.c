/* SPDX-License-Identifier: MIT */
#include "op/rn_op_check.h"

#include <math.h>

#include "base/rn_error.h"

static int need_float(const char *op, rn_dtype t)
{
    if (t == RN_F32 || t == RN_BF16 || t == RN_F16)
        return RN_OK;
    return rn_fail(RN_E_UNSUPPORTED, "%s: activations cannot be %s; use f32, bf16 or f16", op, rn_dtype_name(t));
}

static int need(bool ok, const char *op, const char *what)
{
    return ok ? RN_OK : rn_fail(RN_E_RANGE, "%s: %s", op, what);
}

static int need_rows(const char *op, int64_t rows, int c)
{
    if (rows >= 1 && c >= 1 && rows <= INT64_MAX / 8 / c)
        return RN_OK;
    return rn_fail(RN_E_RANGE, "%s: %lld rows of %d channels is not a shape; both must be at least 1", op,
                   (long long)rows, c);
}

static int need_count(const char *op, int64_t n)
{
    return n >= 0 ? RN_OK : rn_fail(RN_E_RANGE, "%s: n is %lld; it must be at least 0", op, (long long)n);
}

int rn_op_check_normalize(const rn_op_normalize *a)
{
    RN_TRY(need_float("normalize", a->dtype));
    RN_TRY(need_rows("normalize", a->rows, a->c));
    RN_TRY(need(a->src && a->dst && a->mul, "normalize", "src, dst and mul must be given"));
    if (!a->image)
        return need(a->add, "normalize", "add must be given, or a mean image");
    RN_TRY(need(a->windows, "normalize", "with a mean image the windows must be given"));
    return need(a->h >= 1 && a->w >= 1 && a->h <= a->image_h && a->w <= a->image_w &&
                    a->rows % ((int64_t)a->h * a->w) == 0,
                "normalize", "rows are of whole images, which the mean image must not be smaller than");
}

int rn_op_check_pick(const rn_op_pick *a)
{
    RN_TRY(need(a->src && a->dst && a->picks, "pick", "src, dst and picks must be given"));
    return need(a->n >= 1 && a->count >= 1 && a->h >= 1 && a->w >= 1 && a->src_h >= 1 && a->src_w >= 1 &&
                    a->h <= INT16_MAX && a->w <= INT16_MAX && a->src_h <= INT16_MAX && a->src_w <= INT16_MAX &&
                    a->c >= 1 && a->c <= 4,
                "pick", "all counts must be at least 1, sides at most 32767 and channels at most 4");
}

int rn_op_check_convert(const rn_op_convert *a)
{
    RN_TRY(need_float("convert", a->from));
    RN_TRY(need_float("convert", a->to));
    return need_count("convert", a->n);
}

static int need_mask(const char *op, const void *mask, bool relu, size_t bytes)
{
    return need(!mask || (relu && bytes), op, "a mask is for relu, and of rows of whole 16 bytes");
}

int rn_op_check_bn_fwd(const rn_op_bn_fwd *a)
{
    RN_TRY(need_float("bn_fwd", a->dtype));
    RN_TRY(need_rows("bn_fwd", a->rows, a->c));
    RN_TRY(need(a->x && a->y && a->gamma && a->beta && a->running_mean && a->running_var, "bn_fwd",
                "x, y, gamma, beta, running_mean and running_var must be given"));
    RN_TRY(need_mask("bn_fwd", a->mask, a->relu, rn_op_bn_mask_bytes(a->dtype, a->rows, a->c)));
    if (!a->train)
        return RN_OK;
    RN_TRY(need(a->mean && a->inv_std, "bn_fwd", "training writes mean and inv_std; give both"));
    return need(a->x != a->y, "bn_fwd", "training cannot write y over x: the backward pass reads x");
}

int rn_op_check_bn_bwd(const rn_op_bn_bwd *a)
{
    RN_TRY(need_float("bn_bwd", a->dtype));
    RN_TRY(need_rows("bn_bwd", a->rows, a->c));
    RN_TRY(need(a->x && a->dy && a->gamma && a->mean && a->inv_std && a->dx && a->dgamma && a->dbeta, "bn_bwd",
                "x, dy, gamma, mean, inv_std, dx, dgamma and dbeta must be given"));
    RN_TRY(need(!a->relu || a->y, "bn_bwd", "with relu, y must be given"));
    RN_TRY(need_mask("bn_bwd", a->mask, a->relu, rn_op_bn_mask_bytes(a->dtype, a->rows, a->c)));
    RN_TRY(need(!(a->dx_beta & ~1) && !(a->dres_beta & ~1), "bn_bwd", "dx_beta and dres_beta are 0 or 1"));
    return need(!a->dres || (a->dx != a->dy && a->dx != a->dres), "bn_bwd",
                "with dres, dx cannot share memory with dy or dres");
}

int rn_op_check_bn_stats(const rn_op_bn_stats *a)
{
    RN_TRY(need_rows("bn_stats", a->rows, a->c));
    RN_TRY(need(a->gamma && a->beta && a->running_mean && a->running_var, "bn_stats",
                "gamma, beta, running_mean and running_var must be given"));
    RN_TRY(need(a->mean && a->var && a->inv_std && a->scale && a->shift, "bn_stats",
                "mean, var, inv_std, scale and shift must be given"));
    return need(!a->train || (a->sum && a->sumsq && a->room), "bn_stats",
                "training reads sum and sumsq and needs room; give all");
}

int rn_op_check_bn_grad_stats(const rn_op_bn_grad_stats *a)
{
    RN_TRY(need_rows("bn_grad_stats", a->rows, a->c));
    RN_TRY(need(a->sum && a->sumsq && a->gamma && a->mean && a->inv_std && a->room, "bn_grad_stats",
                "sum, sumsq, gamma, mean, inv_std and room must be given"));
    return need(a->dgamma && a->dbeta && a->ka && a->kb && a->kc, "bn_grad_stats",
                "dgamma, dbeta, ka, kb and kc must be given");
}

int rn_op_check_relu(const rn_op_relu *a)
{
    RN_TRY(need_float("relu_fwd", a->dtype));
    return need_count("relu_fwd", a->n);
}

int rn_op_check_relu_bwd(const rn_op_relu_bwd *a)
{
    RN_TRY(need_float("relu_bwd", a->dtype));
    return need_count("relu_bwd", a->n);
}

int rn_op_check_add(const rn_op_add *a)
{
    RN_TRY(need_float("add", a->dtype));
    return need_count("add", a->n);
}

int rn_op_check_bias(const rn_op_bias *a)
{
    RN_TRY(need_float("bias_fwd", a->dtype));
    RN_TRY(need_rows("bias_fwd", a->rows, a->c));
    return need(a->x && a->b && a->y, "bias_fwd", "x, b and y must be given");
}

int rn_op_check_bias_bwd(const rn_op_bias_bwd *a)
{
    RN_TRY(need_float("bias_bwd", a->dtype));
    RN_TRY(need_rows("bias_bwd", a->rows, a->c));
    RN_TRY(need(a->dy && a->db, "bias_bwd", "dy and db must be given"));
    return need(!a->relu || a->y, "bias_bwd", "with relu, y must be given");
}

int rn_op_check_eltwise(const rn_op_eltwise *a)
{
    RN_TRY(need_float("eltwise_fwd", a->dtype));
    return need_count("eltwise_fwd", a->n);
}

int rn_op_check_eltwise_bwd(const rn_op_eltwise_bwd *a)
{
    RN_TRY(need_float("eltwise_bwd", a->dtype));
    RN_TRY(need_count("eltwise_bwd", a->n));
    RN_TRY(need(a->kind == RN_ELTWISE_SUM || (a->a && a->b), "eltwise_bwd", "a product or maximum needs a and b"));
    RN_TRY(need(!a->relu || a->y, "eltwise_bwd", "with relu, y must be given"));
    RN_TRY(need(!(a->da_beta & ~1) && !(a->db_beta & ~1), "eltwise_bwd", "da_beta and db_beta are 0 or 1"));
    return need(!a->da || a->da != a->db || a->db_beta, "eltwise_bwd",
                "da and db in one memory must be summed: db_beta 1");
}

int rn_op_check_sigmoid(const rn_op_sigmoid *a)
{
    RN_TRY(need_float("sigmoid_fwd", a->dtype));
    return need_count("sigmoid_fwd", a->n);
}

int rn_op_check_sigmoid_bwd(const rn_op_sigmoid_bwd *a)
{
    RN_TRY(need_float("sigmoid_bwd", a->dtype));
    return need_count("sigmoid_bwd", a->n);
}

int rn_op_check_scale(const rn_op_scale *a)
{
    RN_TRY(need_float("scale_fwd", a->dtype));
    RN_TRY(need(a->mb >= 1 && a->hw >= 1 && a->c >= 1, "scale_fwd", "mb, hw and c must be at least 1"));
    return need(a->x && a->s && a->y, "scale_fwd", "x, s and y must be given");
}

int rn_op_check_scale_bwd(const rn_op_scale_bwd *a)
{
    RN_TRY(need_float("scale_bwd", a->dtype));
    RN_TRY(need(a->mb >= 1 && a->hw >= 1 && a->c >= 1, "scale_bwd", "mb, hw and c must be at least 1"));
    RN_TRY(need(a->x && a->s && a->dy, "scale_bwd", "x, s and dy must be given"));
    RN_TRY(need(!a->relu || a->y, "scale_bwd", "with relu, y must be given"));
    RN_TRY(need(!((a->dx_beta | a->ds_beta | a->dres_beta) & ~1), "scale_bwd", "every beta is 0 or 1"));
    RN_TRY(need(!a->dx || !a->dres || a->dx != a->dy, "scale_bwd", "with dres, dx cannot share memory with dy"));
    return need(!a->dx || a->dx != a->dres || a->dres_beta, "scale_bwd",
                "dx and dres in one memory must be summed: dres_beta 1");
}

int rn_op_check_dropout(const rn_op_dropout *a)
{
    RN_TRY(need_float("dropout", a->dtype));
    RN_TRY(need_count("dropout", a->n));
    RN_TRY(need(a->now ? a->each >= 1 : a->first >= 0, "dropout",
                "first must be at least 0, and elements an image with now at least 1"));
    return need(a->p >= 0 && a->p < 1, "dropout", "p must be at least 0 and below 1");
}

/* A window may be wider than the rows are: what it reaches beyond them is 0. */
static int check_lrn(const char *op, int size, float k)
{
    RN_TRY(need(size >= 1 && size <= 65535, op, "size must be in 1..65535"));
    return need(k > 0, op, "k must be above 0");
}

int rn_op_check_lrn(const rn_op_lrn *a)
{
    RN_TRY(need_float("lrn_fwd", a->dtype));
    RN_TRY(need_rows("lrn_fwd", a->rows, a->c));
    RN_TRY(check_lrn("lrn_fwd", a->size, a->k));
    return need(a->x && a->y && a->x != a->y, "lrn_fwd", "x and y must be given, and not the same");
}

int rn_op_check_lrn_bwd(const rn_op_lrn_bwd *a)
{
    RN_TRY(need_float("lrn_bwd", a->dtype));
    RN_TRY(need_rows("lrn_bwd", a->rows, a->c));
    RN_TRY(check_lrn("lrn_bwd", a->size, a->k));
    RN_TRY(need(!(a->dx_beta & ~1), "lrn_bwd", "dx_beta is 0 or 1"));
    return need(a->x && a->dy && a->dx && a->dx != a->dy && a->dx != a->x, "lrn_bwd",
                "x, dy and dx must be given, and dx not be one of the others");
}

int rn_op_check_part(const rn_op_part *a)
{
    RN_TRY(need_float("part", a->dtype));
    RN_TRY(need_rows("part", a->rows, a->c));
    RN_TRY(need(a->src && a->dst, "part", "src and dst must be given"));
    RN_TRY(need(a->src_at >= 0 && a->dst_at >= 0 && a->src_at <= a->src_c - a->c && a->dst_at <= a->dst_c - a->c,
                "part", "the channels must lie within both rows"));
    return need(!(a->beta & ~1) && !(a->beta && a->clear), "part", "beta is 0 or 1, and 0 with clear");
}

/* Every window overlaps the input: the first must reach over the padding and the last begin before the end. */
static bool windows_fit(int in, int out, int k, int s, int p)
{
    return in >= 1 && out >= 1 && k >= 1 && s >= 1 && p >= 0 && p < k && (int64_t)(out - 1) * s - p < in;
}

int rn_op_check_pool(const rn_op_pool *a, bool max, bool bwd)
{
    const char *op = max ? (bwd ? "maxpool_bwd" : "maxpool_fwd") : (bwd ? "avgpool_bwd" : "avgpool_fwd");
    RN_TRY(need_float(op, a->dtype));
    if (a->mb < 1 || a->c < 1 || !windows_fit(a->ih, a->oh, a->kh, a->sh, a->ph) ||
        !windows_fit(a->iw, a->ow, a->kw, a->sw, a->pw))
        return rn_fail(
            RN_E_RANGE,
            "%s: mb%dc%dih%diw%doh%dow%dkh%dkw%dsh%dsw%dph%dpw%d is not a shape; each window must hold a pixel", op,
            a->mb, a->c, a->ih, a->iw, a->oh, a->ow, a->kh, a->kw, a->sh, a->sw, a->ph, a->pw);
    RN_TRY(need(!(a->beta & ~1), op, "beta is 0 or 1"));
    if (!max)
        return RN_OK;
    RN_TRY(need((int64_t)a->kh * a->kw <= 255, op, "kh * kw is over 255, which argmax cannot number"));
    return need(!bwd || a->argmax, op, "the argmax of the forward pass must be given");
}

int rn_op_check_gap(const rn_op_gap *a)
{
    RN_TRY(need_float("gap", a->dtype));
    RN_TRY(need(!(a->beta & ~1), "gap", "beta is 0 or 1"));
    return need(a->mb >= 1 && a->hw >= 1 && a->c >= 1, "gap", "mb, hw and c must be at least 1");
}

int rn_op_check_linear(const rn_op_linear *a)
{
    RN_TRY(need_float("linear", a->dtype));
    RN_TRY(need_float("linear", a->y_dtype));
    RN_TRY(need(!(a->beta & ~1), "linear", "beta is 0 or 1"));
    return need(a->mb >= 1 && a->ic >= 1 && a->oc >= 1, "linear", "mb, ic and oc must be at least 1");
}

int rn_op_check_xent(const rn_op_xent *a)
{
    RN_TRY(need_float("xent", a->dtype));
    RN_TRY(need(a->mb >= 1 && a->k >= 1 && a->n >= 0 && a->n <= a->mb, "xent",
                "mb and k must be at least 1, and n in 0..mb"));
    RN_TRY(need(!a->labels2 || a->now || (a->share >= 0 && a->share <= 1), "xent", "share must be in 0..1"));
    return need(a->smoothing >= 0 && a->smoothing <= 1, "xent", "smoothing must be in 0..1");
}

static int check_labels(const rn_op_xent *a, const int32_t *labels)
{
    for (int i = 0; i < a->n; i++)
        if (labels[i] < 0 || labels[i] >= a->k)
            return rn_fail(RN_E_RANGE,
                           "xent: label %d of row %d is not in 0..%d; does the data set have the model's classes?",
                           (int)labels[i], i, a->k - 1);
    return RN_OK;
}

int rn_op_check_labels(const rn_op_xent *a)
{
    RN_TRY(check_labels(a, a->labels));
    return a->labels2 ? check_labels(a, a->labels2) : RN_OK;
}

int rn_op_check_distill(const rn_op_distill *a)
{
    RN_TRY(need(a->mb >= 1 && a->k >= 1 && a->n >= 0 && a->n <= a->mb, "distill",
                "mb and k must be at least 1, and n in 0..mb"));
    RN_TRY(need(a->temperature > 0 && a->temperature < INFINITY, "distill", "the temperature must be above 0"));
    RN_TRY(need(a->hard >= 0 && a->soft >= 0 && a->hard < INFINITY && a->soft < INFINITY, "distill",
                "the weights of the two losses must be at least 0"));
    return need(a->logits != a->dlogits, "distill", "the gradient must not lie over the logits, which are still read");
}

int rn_op_check_sgd(const rn_op_sgd *a)
{
    return need_count("sgd", a->n);
}

int rn_op_check_clip(const rn_op_clip *a)
{
    RN_TRY(need(a->sumsq && a->out, "clip", "sumsq and out must be given"));
    RN_TRY(need(a->n >= 0 && (a->loss || a->n == 0), "clip", "as many losses as n says must be given"));
    return need((a->now || (a->scale > 0 && a->times > 0)) && a->limit >= 0, "clip",
                "scale and times must be above 0, limit at least 0");
}

double rn_op_clip_factor(double norm, double limit, bool caffe)
{
    return caffe ? (norm > limit ? limit / norm : 1) : fmin(1, limit / (norm + 1e-6));
}

int rn_op_check_axpby(const rn_op_axpby *a)
{
    return need_count("axpby", a->n);
}

int rn_op_check_sumsq(const rn_op_sumsq *a)
{
    RN_TRY(need_count("sumsq", a->n));
    return need(a->sum, "sumsq", "sum must be given");
}
