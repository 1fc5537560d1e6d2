/* SPDX-License-Identifier: MIT */
/* Descriptors of the backend API (CUDNN_BACKEND_*): created, given attributes, finalized, and then unchangeable. */
#if __has_include(<cudnn.h>)
#include "kernels/cudnn/cudnn_plan.h"

extern "C" {
#include "base/rn_error.h"
}

/* Engine configurations that are looked at: the heuristics offer some forty. */
enum { MOST_CONFIGS = 64, MOST_NOTES = 32 };

const char *rn_cudnn_refusal(const rn_conv_desc *d, rn_conv_dir dir, bool tf32)
{
    if (tf32 && d->dtype != RN_F32)
        return "f32 only";
    if (d->dtype != RN_F32 && d->dtype != RN_BF16 && d->dtype != RN_F16)
        return "f32, bf16 and f16 only";
    if (dir == RN_BWD_W && d->dtype != RN_F32)
        return "no engine of cuDNN 9 makes an f32 gradient of the weights from 16-bit tensors";
    return rn_conv_fuse_refusal(d, dir, 0);
}

/* ---- descriptors ---- */

typedef struct maker {
    const rn_cudnn_target *t;
    rn_cudnn_plans *p;
} maker;

static int make(const maker *m, cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    const rn_cudnn_library *l = m->t->library;

    if (m->p->nmade == RN_CUDNN_DESCRIPTORS)
        return rn_fail(RN_E_RANGE, "cuDNN: more than %d descriptors for one convolution", RN_CUDNN_DESCRIPTORS);
    RN_TRY(rn_cudnn_status(l, l->BackendCreateDescriptor(type, out), "a descriptor"));
    m->p->made[m->p->nmade++] = *out;
    return RN_OK;
}

static int set(const maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
               cudnnBackendAttributeType_t type, int64_t n, const void *v)
{
    return rn_cudnn_status(m->t->library, m->t->library->BackendSetAttribute(d, name, type, n, v), "an attribute");
}

static int set_one(const maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                   cudnnBackendDescriptor_t v)
{
    return set(m, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &v);
}

static int finalize(const maker *m, cudnnBackendDescriptor_t d, const char *what)
{
    return rn_cudnn_status(m->t->library, m->t->library->BackendFinalize(d), what);
}

/* NHWC, told as cuDNN wants it: n, c, h, w and their strides. */
static int tensor(const maker *m, int64_t id, cudnnDataType_t type, int64_t n, int64_t c, int64_t h, int64_t w,
                  cudnnBackendDescriptor_t *out)
{
    const int64_t dim[4] = {n, c, h, w}, stride[4] = {h * w * c, 1, w * c, c}, alignment = 16;

    RN_TRY(make(m, CUDNN_BACKEND_TENSOR_DESCRIPTOR, out));
    RN_TRY(set(m, *out, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type));
    RN_TRY(set(m, *out, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim));
    RN_TRY(set(m, *out, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride));
    RN_TRY(set(m, *out, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id));
    RN_TRY(set(m, *out, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment));
    return finalize(m, *out, "a tensor");
}

static int convolution(const maker *m, const rn_conv_desc *d, cudnnBackendDescriptor_t *out)
{
    const int64_t dims = 2, pad[2] = {d->ph, d->pw}, stride[2] = {d->sh, d->sw}, dilation[2] = {1, 1};
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;

    RN_TRY(make(m, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, out));
    RN_TRY(set(m, *out, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dims));
    RN_TRY(set(m, *out, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute));
    RN_TRY(set(m, *out, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode));
    RN_TRY(set(m, *out, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pad));
    RN_TRY(set(m, *out, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pad));
    RN_TRY(set(m, *out, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation));
    RN_TRY(set(m, *out, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride));
    return finalize(m, *out, "a convolution");
}

static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t src, wei, dst, conv, alpha, beta;
} operations[] = {
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

static int graph(const maker *m, const rn_conv_desc *d, rn_conv_dir dir, bool add, cudnnBackendDescriptor_t *out)
{
    const cudnnDataType_t type = d->dtype == RN_F32    ? CUDNN_DATA_FLOAT
                                 : d->dtype == RN_BF16 ? CUDNN_DATA_BFLOAT16
                                                       : CUDNN_DATA_HALF;
    const float alpha = 1, beta = add ? 1 : 0;
    cudnnBackendDescriptor_t src, wei, dst, conv, op;

    RN_TRY(tensor(m, RN_CUDNN_SRC, type, d->mb, d->ic, d->ih, d->iw, &src));
    RN_TRY(tensor(m, RN_CUDNN_WEI, type, d->oc, d->ic, d->kh, d->kw, &wei));
    RN_TRY(tensor(m, RN_CUDNN_DST, type, d->mb, d->oc, d->oh, d->ow, &dst));
    RN_TRY(convolution(m, d, &conv));
    RN_TRY(make(m, operations[dir].type, &op));
    RN_TRY(set_one(m, op, operations[dir].src, src));
    RN_TRY(set_one(m, op, operations[dir].wei, wei));
    RN_TRY(set_one(m, op, operations[dir].dst, dst));
    RN_TRY(set_one(m, op, operations[dir].conv, conv));
    RN_TRY(set(m, op, operations[dir].alpha, CUDNN_TYPE_FLOAT, 1, &alpha));
    RN_TRY(set(m, op, operations[dir].beta, CUDNN_TYPE_FLOAT, 1, &beta));
    RN_TRY(finalize(m, op, "an operation"));
    RN_TRY(make(m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, out));
    RN_TRY(set_one(m, *out, CUDNN_ATTR_OPERATIONGRAPH_OPS, op));
    if (m->t->handle)
        RN_TRY(set(m, *out, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &m->t->handle));
    return finalize(m, *out, "a graph");
}

/* ---- plans ---- */

static int heuristics(const maker *m, cudnnBackendDescriptor_t of, cudnnBackendHeurMode_t mode,
                      cudnnBackendDescriptor_t *configs, int *n)
{
    const rn_cudnn_library *l = m->t->library;
    cudnnBackendDescriptor_t h;
    int64_t count = 0, got = 0;

    *n = 0;
    RN_TRY(make(m, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &h));
    RN_TRY(set_one(m, h, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, of));
    RN_TRY(set(m, h, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
    if (!m->t->handle)
        RN_TRY(set_one(m, h, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, m->t->properties));
    RN_TRY(finalize(m, h, "heuristics"));
    RN_TRY(rn_cudnn_status(
        l, l->BackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL),
        "heuristics"));
    count = count < (int64_t)MOST_CONFIGS ? count : (int64_t)MOST_CONFIGS;
    for (int i = 0; i < count; i++)
        RN_TRY(make(m, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]));
    RN_TRY(rn_cudnn_status(
        l,
        l->BackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &got, configs),
        "heuristics"));
    *n = (int)(got < count ? got : count);
    return RN_OK;
}

/* Is the engine one that this row may use? */
static int fits(const maker *m, cudnnBackendDescriptor_t config, const rn_conv_desc *d, bool tf32, int64_t *engine,
                bool *yes)
{
    const rn_cudnn_library *l = m->t->library;
    cudnnBackendNumericalNote_t notes[MOST_NOTES];
    cudnnBackendDescriptor_t e;
    int64_t n = 0;

    *yes = false;
    RN_TRY(make(m, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &e));
    RN_TRY(rn_cudnn_status(
        l, l->BackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &e),
        "an engine"));
    RN_TRY(rn_cudnn_status(
        l, l->BackendGetAttribute(e, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, engine), "an engine"));
    RN_TRY(rn_cudnn_status(
        l,
        l->BackendGetAttribute(e, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, MOST_NOTES, &n, notes),
        "an engine's notes"));
    for (int64_t i = 0; i < n && i < MOST_NOTES; i++) {
        const bool rounds =
            notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
        if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
            notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION || notes[i] == CUDNN_NUMERICAL_NOTE_FFT ||
            notes[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD || (rounds && d->dtype == RN_F32 && !tf32))
            return RN_OK;
    }
    *yes = true;
    return RN_OK;
}

static int plan_of(const maker *m, cudnnBackendDescriptor_t config, rn_cudnn_plan *out)
{
    const rn_cudnn_library *l = m->t->library;
    int64_t n = 0;

    RN_TRY(make(m, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &out->plan));
    RN_TRY(set_one(m, out->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config));
    if (m->t->handle)
        RN_TRY(set(m, out->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &m->t->handle));
    else
        RN_TRY(set_one(m, out->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, m->t->properties));
    RN_TRY(finalize(m, out->plan, "a plan"));
    return rn_cudnn_status(l,
                           l->BackendGetAttribute(out->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                                                  1, &n, &out->workspace),
                           "a plan's workspace");
}

/* Those of one mode that are not there yet. */
static int add_plans(const maker *m, cudnnBackendDescriptor_t of, cudnnBackendHeurMode_t mode, const rn_conv_desc *d,
                     bool tf32)
{
    cudnnBackendDescriptor_t configs[MOST_CONFIGS];
    rn_cudnn_plans *out = m->p;
    int n;

    RN_TRY(heuristics(m, of, mode, configs, &n));
    for (int i = 0; i < n && out->count < RN_CUDNN_PLANS; i++) {
        rn_cudnn_plan *p = &out->v[out->count];
        bool yes;
        RN_TRY(fits(m, configs[i], d, tf32, &p->engine, &yes));
        if (!yes)
            continue;
        const int rc = plan_of(m, configs[i], p);
        if (rc < 0 && rc != RN_E_UNSUPPORTED) /* which the heuristics may be wrong about */
            return rc;
        out->count += rc == RN_OK;
    }
    return RN_OK;
}

int rn_cudnn_plans_open(const rn_cudnn_target *t, const rn_conv_desc *d, rn_conv_dir dir, bool add, bool tf32,
                        rn_cudnn_plans *out)
{
    const maker m = {t, out};
    cudnnBackendDescriptor_t g;

    *out = {};
    RN_TRY(graph(&m, d, dir, add, &g));
    RN_TRY(add_plans(&m, g, CUDNN_HEUR_MODE_A, d, tf32));
    /* On older devices A has nothing but TF32 for some f32 cases. */
    return out->count ? RN_OK : add_plans(&m, g, CUDNN_HEUR_MODE_FALLBACK, d, tf32);
}

void rn_cudnn_plans_close(const rn_cudnn_library *l, rn_cudnn_plans *p)
{
    while (p->nmade > 0)
        l->BackendDestroyDescriptor(p->made[--p->nmade]);
    p->count = 0;
}
#endif
