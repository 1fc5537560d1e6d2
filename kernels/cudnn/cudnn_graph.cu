/* SPDX-License-Identifier: MIT */
/* Descriptors of the backend API (CUDNN_BACKEND_*): created, given attributes, finalized, and then unchangeable. */
#if __has_include(<cudnn.h>)
#include "kernels/cudnn/cudnn_graph.h"

extern "C" {
#include "base/rn_error.h"
}

enum { MOST_OPS = 12 };

/* ---- descriptors ---- */

int rn_cudnn_make(const rn_cudnn_maker *m, cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    const rn_cudnn_library *l = m->t->library;

    if (m->m->nmade == RN_CUDNN_DESCRIPTORS)
        return rn_fail(RN_E_RANGE, "cuDNN: more than %d descriptors for one convolution", RN_CUDNN_DESCRIPTORS);
    RN_TRY(rn_cudnn_status(l, l->BackendCreateDescriptor(type, out), "a descriptor"));
    m->m->made[m->m->nmade++] = *out;
    return RN_OK;
}

int rn_cudnn_set(const rn_cudnn_maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                 cudnnBackendAttributeType_t type, int64_t n, const void *v)
{
    return rn_cudnn_status(m->t->library, m->t->library->BackendSetAttribute(d, name, type, n, v), "an attribute");
}

int rn_cudnn_set_one(const rn_cudnn_maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                     cudnnBackendDescriptor_t v)
{
    return rn_cudnn_set(m, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &v);
}

int rn_cudnn_finalize(const rn_cudnn_maker *m, cudnnBackendDescriptor_t d, const char *what)
{
    return rn_cudnn_status(m->t->library, m->t->library->BackendFinalize(d), what);
}

void rn_cudnn_unmake(const rn_cudnn_library *l, rn_cudnn_made *made)
{
    while (made->nmade > 0)
        l->BackendDestroyDescriptor(made->made[--made->nmade]);
    made->nids = 0;
}

/* ---- tensors ---- */

/* n, c, h, w, as cuDNN wants it told. */
typedef struct shape {
    int64_t dim[4];
} shape;

typedef struct builder {
    const rn_cudnn_maker *m;
    const rn_cudnn_work *w;
    cudnnDataType_t type; /* of src, wei and dst */
    shape src, wei, dst;
    int64_t next; /* the name of an intermediate */
    cudnnBackendDescriptor_t ops[MOST_OPS];
    int nops;
} builder;

/* NHWC. */
static int tensor(const builder *b, int64_t id, cudnnDataType_t type, const shape *s, bool intermediate,
                  cudnnBackendDescriptor_t *out)
{
    const int64_t c = s->dim[1], h = s->dim[2], w = s->dim[3], stride[4] = {h * w * c, 1, w * c, c}, alignment = 16;
    const rn_cudnn_maker *m = b->m;

    RN_TRY(rn_cudnn_make(m, CUDNN_BACKEND_TENSOR_DESCRIPTOR, out));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, s->dim));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &intermediate));
    return rn_cudnn_finalize(m, *out, "a tensor");
}

static int given(builder *b, enum rn_cudnn_id id, cudnnDataType_t type, const shape *s, cudnnBackendDescriptor_t *out)
{
    b->m->m->ids[b->m->m->nids++] = id;
    return tensor(b, id, type, s, false, out);
}

/* One f32 for each channel. */
static int vector(builder *b, enum rn_cudnn_id id, int64_t channels, cudnnBackendDescriptor_t *out)
{
    const shape s = {{1, channels, 1, 1}};

    return given(b, id, CUDNN_DATA_FLOAT, &s, out);
}

static int between(builder *b, cudnnDataType_t type, const shape *s, cudnnBackendDescriptor_t *out)
{
    return tensor(b, RN_CUDNN_IDS + b->next++, type, s, true, out);
}

/* ---- operations ---- */

static int operation(builder *b, cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    if (b->nops == MOST_OPS)
        return rn_fail(RN_E_RANGE, "cuDNN: more than %d operations in a convolution", MOST_OPS);
    RN_TRY(rn_cudnn_make(b->m, type, out));
    b->ops[b->nops++] = *out;
    return RN_OK;
}

static int mode_of(const builder *b, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t *out)
{
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnNanPropagation_t propagate = CUDNN_PROPAGATE_NAN;
    const rn_cudnn_maker *m = b->m;

    RN_TRY(rn_cudnn_make(m, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, out));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute));
    if (mode == CUDNN_POINTWISE_RELU_FWD)
        RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, &propagate));
    return rn_cudnn_finalize(m, *out, "a pointwise operation");
}

/* y = x op second; second NULL: of x alone. */
static int pointwise(builder *b, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t second,
                     cudnnBackendDescriptor_t y)
{
    cudnnBackendDescriptor_t how, op;

    RN_TRY(mode_of(b, mode, &how));
    RN_TRY(operation(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, &op));
    RN_TRY(rn_cudnn_set_one(b->m, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how));
    RN_TRY(rn_cudnn_set_one(b->m, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x));
    if (second)
        RN_TRY(rn_cudnn_set_one(b->m, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, second));
    RN_TRY(rn_cudnn_set_one(b->m, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y));
    return rn_cudnn_finalize(b->m, op, "a pointwise operation");
}

/* dx = x > 0 ? dy : 0 */
static int relu_bwd(builder *b, cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t dy, cudnnBackendDescriptor_t dx)
{
    cudnnBackendDescriptor_t how, op;

    RN_TRY(mode_of(b, CUDNN_POINTWISE_RELU_BWD, &how));
    RN_TRY(operation(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, &op));
    RN_TRY(rn_cudnn_set_one(b->m, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how));
    RN_TRY(rn_cudnn_set_one(b->m, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x));
    RN_TRY(rn_cudnn_set_one(b->m, op, CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, dy));
    RN_TRY(rn_cudnn_set_one(b->m, op, CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, dx));
    return rn_cudnn_finalize(b->m, op, "a ReLU's gradient");
}

/* Over n, h and w. In one order (since cuDNN 9.11): otherwise blocks would add theirs as they come. */
static int sum(builder *b, cudnnBackendDescriptor_t x, enum rn_cudnn_id id, int64_t channels)
{
    const cudnnReduceTensorOp_t add = CUDNN_REDUCE_TENSOR_ADD;
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const bool ordered = true;
    const rn_cudnn_maker *m = b->m;
    cudnnBackendDescriptor_t how, op, y;

    RN_TRY(rn_cudnn_make(m, CUDNN_BACKEND_REDUCTION_DESCRIPTOR, &how));
    RN_TRY(rn_cudnn_set(m, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &add));
    RN_TRY(rn_cudnn_set(m, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute));
    RN_TRY(rn_cudnn_set(m, how, CUDNN_ATTR_REDUCTION_IS_DETERMINISTIC, CUDNN_TYPE_BOOLEAN, 1, &ordered));
    RN_TRY(rn_cudnn_finalize(m, how, "a sum"));
    RN_TRY(vector(b, id, channels, &y));
    RN_TRY(operation(b, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, &op));
    RN_TRY(rn_cudnn_set_one(m, op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how));
    RN_TRY(rn_cudnn_set_one(m, op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x));
    RN_TRY(rn_cudnn_set_one(m, op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y));
    return rn_cudnn_finalize(m, op, "a sum");
}

static int geometry(const rn_cudnn_maker *m, const rn_conv_desc *d, cudnnBackendDescriptor_t *out)
{
    const int64_t dims = 2, pad[2] = {d->ph, d->pw}, stride[2] = {d->sh, d->sw}, dilation[2] = {1, 1};
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;

    RN_TRY(rn_cudnn_make(m, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, out));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dims));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pad));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pad));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride));
    return rn_cudnn_finalize(m, *out, "a convolution");
}

static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t src, wei, dst, conv, alpha, beta;
} convolutions[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

/* t: src, wei, dst. */
static int convolution(builder *b, const cudnnBackendDescriptor_t t[3], bool add)
{
    const auto &names = convolutions[b->w->dir];
    const float alpha = 1, beta = add ? 1 : 0; /* as the type that is computed in */
    cudnnBackendDescriptor_t conv, op;

    RN_TRY(geometry(b->m, &b->w->d, &conv));
    RN_TRY(operation(b, names.type, &op));
    RN_TRY(rn_cudnn_set_one(b->m, op, names.src, t[0]));
    RN_TRY(rn_cudnn_set_one(b->m, op, names.wei, t[1]));
    RN_TRY(rn_cudnn_set_one(b->m, op, names.dst, t[2]));
    RN_TRY(rn_cudnn_set_one(b->m, op, names.conv, conv));
    RN_TRY(rn_cudnn_set(b->m, op, names.alpha, CUDNN_TYPE_FLOAT, 1, &alpha));
    RN_TRY(rn_cudnn_set(b->m, op, names.beta, CUDNN_TYPE_FLOAT, 1, &beta));
    return rn_cudnn_finalize(b->m, op, "a convolution");
}

/* ---- fused work ---- */

/* x * scale + shift, to an f32 intermediate of x's shape. */
static int affine(builder *b, cudnnBackendDescriptor_t x, const shape *s, cudnnBackendDescriptor_t out)
{
    cudnnBackendDescriptor_t scale, shift, product;

    RN_TRY(vector(b, RN_CUDNN_SCALE, s->dim[1], &scale));
    RN_TRY(vector(b, RN_CUDNN_SHIFT, s->dim[1], &shift));
    RN_TRY(between(b, CUDNN_DATA_FLOAT, s, &product));
    RN_TRY(pointwise(b, CUDNN_POINTWISE_MUL, x, scale, product));
    return pointwise(b, CUDNN_POINTWISE_ADD, product, shift, out);
}

/* src as it is read: the last intermediate has the type that a tensor stored between would have. */
static int prologue(builder *b, cudnnBackendDescriptor_t *src)
{
    const unsigned fuse = b->w->d.fuse;
    cudnnBackendDescriptor_t t[3], residual, last = *src;
    const int steps = 1 + !!(fuse & RN_PRO_ADD) + !!(fuse & RN_PRO_RELU);

    if (!(fuse & RN_PRO_BN))
        return RN_OK;
    for (int i = 0; i < steps; i++)
        RN_TRY(between(b, i == steps - 1 ? b->type : CUDNN_DATA_FLOAT, &b->src, &t[i]));
    RN_TRY(affine(b, *src, &b->src, t[0]));
    last = t[0];
    if (fuse & RN_PRO_ADD) {
        RN_TRY(given(b, RN_CUDNN_RESIDUAL, b->type, &b->src, &residual));
        RN_TRY(pointwise(b, CUDNN_POINTWISE_ADD, last, residual, t[1]));
        last = t[1];
    }
    if (fuse & RN_PRO_RELU) {
        RN_TRY(pointwise(b, CUDNN_POINTWISE_RELU_FWD, last, NULL, t[steps - 1]));
        last = t[steps - 1];
    }
    *src = last;
    return RN_OK;
}

/* sum (dst - pivot), sum (dst - pivot)^2 */
static int stats(builder *b, cudnnBackendDescriptor_t dst)
{
    const int64_t channels = b->dst.dim[1];
    cudnnBackendDescriptor_t pivot, away, square;

    RN_TRY(vector(b, RN_CUDNN_PIVOT, channels, &pivot));
    RN_TRY(between(b, CUDNN_DATA_FLOAT, &b->dst, &away));
    RN_TRY(between(b, CUDNN_DATA_FLOAT, &b->dst, &square));
    RN_TRY(pointwise(b, CUDNN_POINTWISE_SUB, dst, pivot, away));
    RN_TRY(pointwise(b, CUDNN_POINTWISE_MUL, away, away, square));
    RN_TRY(sum(b, away, RN_CUDNN_SUM, channels));
    return sum(b, square, RN_CUDNN_SUMSQ, channels);
}

/* src = raw * scale + shift > 0 ? gradient : 0, sum src, sum src (raw - mean) */
static int dbn(builder *b, cudnnBackendDescriptor_t gradient, cudnnBackendDescriptor_t src)
{
    const int64_t channels = b->src.dim[1];
    cudnnBackendDescriptor_t raw, mean, normalized, away, product;

    RN_TRY(given(b, RN_CUDNN_RAW, b->type, &b->src, &raw));
    RN_TRY(between(b, CUDNN_DATA_FLOAT, &b->src, &normalized));
    RN_TRY(affine(b, raw, &b->src, normalized));
    RN_TRY(relu_bwd(b, normalized, gradient, src));
    RN_TRY(vector(b, RN_CUDNN_MEAN, channels, &mean));
    RN_TRY(between(b, CUDNN_DATA_FLOAT, &b->src, &away));
    RN_TRY(between(b, CUDNN_DATA_FLOAT, &b->src, &product));
    RN_TRY(pointwise(b, CUDNN_POINTWISE_SUB, raw, mean, away));
    RN_TRY(pointwise(b, CUDNN_POINTWISE_MUL, away, src, product));
    RN_TRY(sum(b, src, RN_CUDNN_SUM, channels));
    return sum(b, product, RN_CUDNN_SUMSQ, channels);
}

/* ---- all of it ---- */

/* Tensors in the order of rn_conv_dir's destinations: src and wei and dst, of which one is written. */
static int operations(builder *b)
{
    static const int written[] = {2, 0, 1}; /* by direction, of t */
    const rn_cudnn_work *w = b->w;
    const int to = written[w->dir];
    const bool old = rn_cudnn_reads_old(w), f32 = w->dir == RN_BWD_W && !(w->loose & RN_CUDNN_DW16);
    const shape *shapes[3] = {&b->src, &b->wei, &b->dst};
    cudnnBackendDescriptor_t t[3], stored, added;

    for (int i = 0; i < 3; i++)
        RN_TRY(given(b, (enum rn_cudnn_id)(RN_CUDNN_SRC + i), i == to && f32 ? CUDNN_DATA_FLOAT : b->type, shapes[i],
                     &t[i]));
    stored = t[to];
    if (w->dir == RN_FWD)
        RN_TRY(prologue(b, &t[0]));
    if (old || (w->d.fuse & RN_EPI_DBN))
        RN_TRY(between(b, CUDNN_DATA_FLOAT, shapes[to], &t[to]));
    RN_TRY(convolution(b, t, w->add && !old && !(w->loose & RN_CUDNN_DW16)));
    if (old) {
        RN_TRY(given(b, RN_CUDNN_OLD, f32 ? CUDNN_DATA_FLOAT : b->type, shapes[to], &added));
        RN_TRY(pointwise(b, CUDNN_POINTWISE_ADD, t[to], added, stored));
    }
    if (w->d.fuse & RN_EPI_STATS)
        RN_TRY(stats(b, stored));
    return w->d.fuse & RN_EPI_DBN ? dbn(b, t[to], stored) : RN_OK;
}

int rn_cudnn_graph(const rn_cudnn_maker *m, const rn_cudnn_work *w, cudnnBackendDescriptor_t *out)
{
    const rn_conv_desc *d = &w->d;
    builder b = {m,
                 w,
                 CUDNN_DATA_FLOAT,
                 {{d->mb, d->ic, d->ih, d->iw}},
                 {{d->oc, d->ic, d->kh, d->kw}},
                 {{d->mb, d->oc, d->oh, d->ow}},
                 0,
                 {},
                 0};

    if (d->dtype != RN_F32)
        b.type = d->dtype == RN_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
    RN_TRY(operations(&b));
    RN_TRY(rn_cudnn_make(m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, out));
    RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, b.nops, b.ops));
    if (m->t->handle)
        RN_TRY(rn_cudnn_set(m, *out, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &m->t->handle));
    return rn_cudnn_finalize(m, *out, "a graph");
}
#endif
