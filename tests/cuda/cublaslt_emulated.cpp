/* SPDX-License-Identifier: MIT */
/*
 * cuBLASLt's calls on the emulated device: what cublasLt.h beside this file declares, for column-major matrices whose d is f32. It is
 * stricter than the library where that finds mistakes: what it is given and what does not fit together ends the program. Of a
 * product it first offers what may not be taken: TF32 for f32, sums in f16 for 16-bit values, and, unless the preference
 * forbids it, a reduction in no certain order, which ends the program when it is run. Then, of long sums, one in two parts through the
 * workspace, in reverse order of memory; then plain sums.
 * While a stream is capturing it looks for no algorithm, as CUDA 13.3's does.
 * RNKIT_EMULATE_CUBLASLT=fail: no handle; none: no algorithm that may be taken; uncaptured: no product is captured, either.
 */
#include <dlfcn.h>
#include <stdio.h>

#include <vector>

#include "cublasLt.h"
#include "cuda_bf16.h"
#include "cuda_fp16.h"

typedef void give_fn(cudaStream_t s, void (*fn)(void *with), void *with);
typedef void move_fn(void *dst, const void *src, size_t bytes);
typedef int has_fn(const void *p, size_t bytes);
typedef int capturing_fn(void);

struct cublasLtContext {
    give_fn *give;
    move_fn *move;
    has_fn *has;
    capturing_fn *capturing;
};
struct cublasLtMatmulDesc {
    cublasOperation_t turn_a, turn_b;
    cublasLtEpilogue_t epilogue;
    const float *bias;
};
struct cublasLtMatrixLayout {
    cudaDataType_t type;
    uint64_t rows, columns;
    int64_t ld;
};
struct cublasLtMatmulPreference {
    uint64_t workspace;
    uint32_t schemes, a, b, c, d;
};

/* In an algorithm's data: the magic number, how it adds up, and what it was made for. */
enum how { PLAIN = 1, SPLIT, IN_PLACE, ROUNDED };
enum slot { MAGIC, HOW, SHAPE_M, SHAPE_N, SHAPE_K, ALIGN_AB, ALIGN_CD, WORKSPACE };
static const uint64_t magic = 0x726e6b69746c7431u;

static void die(const char *what)
{
    fprintf(stderr, "emulated cuBLASLt: %s\n", what);
    abort();
}

static void need(bool good, const char *what)
{
    if (!good)
        die(what);
}

static bool told(const char *what)
{
    const char *how = getenv("RNKIT_EMULATE_CUBLASLT");

    return how && strcmp(how, what) == 0;
}

/* ---- handles and descriptors ---- */

size_t cublasLtGetVersion(void)
{
    return 139900; /* none that exists */
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_NOT_INITIALIZED  ? "the library was not initialized"
           : status == CUBLAS_STATUS_INTERNAL_ERROR ? "an internal operation failed"
                                                    : "an unsupported value";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    void *so = dlopen(getenv("RNKIT_CUDA_MODULE"), RTLD_NOW | RTLD_NOLOAD);

    *handle = NULL;
    if (!so || told("fail"))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = new cublasLtContext{(give_fn *)dlsym(so, "rn_emu_give"), (move_fn *)dlsym(so, "rn_emu_move"),
                                  (has_fn *)dlsym(so, "rn_emu_has"), (capturing_fn *)dlsym(so, "rn_emu_capturing")};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute, cudaDataType_t scale)
{
    need(compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F, "sums and factors are in f32 here");
    *d = new cublasLtMatmulDesc{CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, NULL};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    delete d;
    return CUBLAS_STATUS_SUCCESS;
}

template <class T> static void set(T *to, const void *value, size_t bytes)
{
    need(bytes == sizeof *to, "an attribute of another size");
    memcpy(to, value, bytes);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t name,
                                              const void *value, size_t bytes)
{
    switch (name) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        set(&d->turn_a, value, bytes);
        break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
        set(&d->turn_b, value, bytes);
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        set(&d->epilogue, value, bytes);
        break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        set(&d->bias, value, bytes);
        break;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *m, cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t ld)
{
    need(rows > 0 && columns > 0 && ld >= (int64_t)rows, "a matrix of no size, or whose columns overlap");
    *m = new cublasLtMatrixLayout{type, rows, columns, ld};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t m)
{
    delete m;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p)
{
    *p = new cublasLtMatmulPreference{0, CUBLASLT_REDUCTION_SCHEME_MASK, 256, 256, 256, 256};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    delete p;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t name, const void *value,
                                                    size_t bytes)
{
    switch (name) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        set(&p->workspace, value, bytes);
        break;
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        set(&p->schemes, value, bytes);
        break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        set(&p->a, value, bytes);
        break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        set(&p->b, value, bytes);
        break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        set(&p->c, value, bytes);
        break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        set(&p->d, value, bytes);
        break;
    }
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- algorithms ---- */

typedef struct shape {
    uint64_t m, n, k;
} shape;

static shape shape_of(const cublasLtMatmulDesc *p, const cublasLtMatrixLayout *a, const cublasLtMatrixLayout *b,
                      const cublasLtMatrixLayout *c, const cublasLtMatrixLayout *d)
{
    const bool turn_a = p->turn_a == CUBLAS_OP_T, turn_b = p->turn_b == CUBLAS_OP_T;
    const shape s = {turn_a ? a->columns : a->rows, turn_b ? b->rows : b->columns, turn_a ? a->rows : a->columns};

    need(a->type == b->type && c->type == CUDA_R_32F && d->type == CUDA_R_32F, "types that do not go together here");
    need((turn_b ? b->columns : b->rows) == s.k, "a and b have other numbers of terms");
    need(c->rows == s.m && c->columns == s.n && d->rows == s.m && d->columns == s.n, "c or d is of another size");
    need(p->epilogue == CUBLASLT_EPILOGUE_DEFAULT || p->bias, "a bias that is nowhere");
    return s;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t wanted, int most,
                                              cublasLtMatmulHeuristicResult_t *out, int *count)
{
    const shape s = shape_of(product, a, b, c, d);
    const uint64_t parts = 2 * s.m * s.n * sizeof(float);
    std::vector<how> offers(1, ROUNDED);

    if (handle->capturing())
        return CUBLAS_STATUS_INTERNAL_ERROR;
    if (wanted->schemes & CUBLASLT_REDUCTION_SCHEME_INPLACE)
        offers.push_back(IN_PLACE);
    if (wanted->schemes & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE && parts <= wanted->workspace && s.k >= 32)
        offers.push_back(SPLIT);
    offers.push_back(PLAIN);
    if (told("none"))
        offers.resize(1);
    *count = (int)offers.size() < most ? (int)offers.size() : most;
    for (int i = 0; i < *count; i++) {
        const uint64_t room = offers[(size_t)i] == SPLIT ? parts : 0;
        memset(&out[i], 0, sizeof out[i]);
        out[i].algo =
            cublasLtMatmulAlgo_t{{magic, (uint64_t)offers[(size_t)i] | (uint64_t)a->type << 32, s.m, s.n, s.k,
                                  (uint64_t)wanted->a << 32 | wanted->b, (uint64_t)wanted->c << 32 | wanted->d, room}};
        out[i].workspaceSize = (size_t)room;
        out[i].state = CUBLAS_STATUS_SUCCESS;
    }
    return CUBLAS_STATUS_SUCCESS;
}

static how how_of(const cublasLtMatmulAlgo_t *algo)
{
    return (how)(algo->data[HOW] & 0xff);
}

cublasStatus_t cublasLtMatmulAlgoCapGetAttribute(const cublasLtMatmulAlgo_t *algo, cublasLtMatmulAlgoCapAttributes_t,
                                                 void *value, size_t bytes, size_t *written)
{
    const bool f32 = algo->data[HOW] >> 32 == CUDA_R_32F, rounded = how_of(algo) == ROUNDED;
    const uint64_t flags = (f32 && !rounded ? CUBLASLT_NUMERICAL_IMPL_FLAGS_FMA : CUBLASLT_NUMERICAL_IMPL_FLAGS_HMMA) |
                           (!f32 && rounded ? CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_16F
                                            : CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_32F);

    need(bytes == sizeof flags, "a capability of another size");
    memcpy(value, &flags, bytes);
    *written = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t, void *value, size_t bytes,
                                                    size_t *written)
{
    const uint32_t scheme = how_of(algo) == SPLIT      ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                            : how_of(algo) == IN_PLACE ? CUBLASLT_REDUCTION_SCHEME_INPLACE
                                                       : CUBLASLT_REDUCTION_SCHEME_NONE;

    need(bytes == sizeof scheme, "a configuration's value of another size");
    memcpy(value, &scheme, bytes);
    *written = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- products ---- */

typedef struct work {
    const cublasLtContext *on;
    cublasLtMatmulDesc product;
    cublasLtMatrixLayout a, b, d;
    const void *from_a, *from_b;
    float *to, *parts;
    size_t bytes; /* at parts */
    shape s;
    how way;
    float beta;
} work;

static size_t size_of(cudaDataType_t type)
{
    return type == CUDA_R_32F ? 4 : 2;
}

static uint64_t extent(const cublasLtMatrixLayout *m)
{
    return (m->columns - 1) * (uint64_t)m->ld + m->rows;
}

static float value_of(const char *p, cudaDataType_t type)
{
    uint16_t bits;
    float v;

    if (type == CUDA_R_32F) {
        memcpy(&v, p, sizeof v);
        return v;
    }
    memcpy(&bits, p, sizeof bits);
    if (type == CUDA_R_16F)
        return __half2float(__ushort_as_half(bits));
    const uint32_t wide = (uint32_t)bits << 16;
    memcpy(&v, &wide, sizeof v);
    return v;
}

/* A matrix of the device's, widened; ROUNDED: to TF32. */
static std::vector<float> fetch(const work *w, const void *p, const cublasLtMatrixLayout *m)
{
    const size_t size = size_of(m->type), n = (size_t)extent(m);
    std::vector<char> raw(n * size);
    std::vector<float> v(n);

    w->on->move(raw.data(), p, raw.size());
    for (size_t i = 0; i < n; i++) {
        v[i] = value_of(&raw[i * size], m->type);
        if (w->way == ROUNDED && m->type == CUDA_R_32F) {
            uint32_t bits;
            memcpy(&bits, &v[i], sizeof bits);
            bits &= 0xffffe000u;
            memcpy(&v[i], &bits, sizeof bits);
        }
    }
    return v;
}

/* Terms from..to-1 of all sums. ROUNDED: each sum in f16 if the values are of 16 bits. */
static std::vector<float> sums(const work *w, const float *a, const float *b, uint64_t from, uint64_t to)
{
    const bool turn_a = w->product.turn_a == CUBLAS_OP_T, turn_b = w->product.turn_b == CUBLAS_OP_T;
    const bool round = w->way == ROUNDED && w->a.type != CUDA_R_32F;
    std::vector<float> out((size_t)(w->s.m * w->s.n));

    for (uint64_t j = 0; j < w->s.n; j++)
        for (uint64_t i = 0; i < w->s.m; i++) {
            float sum = 0;
            for (uint64_t k = from; k < to; k++) {
                sum = fmaf(a[turn_a ? k + i * (uint64_t)w->a.ld : i + k * (uint64_t)w->a.ld],
                           b[turn_b ? j + k * (uint64_t)w->b.ld : k + j * (uint64_t)w->b.ld], sum);
                if (round)
                    sum = __half2float(__float2half_rn(sum));
            }
            out[(size_t)(j * w->s.m + i)] = sum;
        }
    return out;
}

/* Nothing of the workspace is to be relied on, before or behind. */
static void spoil(const work *w)
{
    const std::vector<char> nan(w->bytes, -1);

    w->on->move(w->parts, nan.data(), nan.size());
}

static void run(void *with)
{
    const work *w = (const work *)with;
    spoil(w);
    const std::vector<float> a = fetch(w, w->from_a, &w->a), b = fetch(w, w->from_b, &w->b);
    const uint64_t half = w->way == SPLIT ? w->s.k / 2 : w->s.k;
    std::vector<float> sum = sums(w, a.data(), b.data(), 0, half), bias((size_t)w->s.m);

    need(w->way != IN_PLACE, "a sum in no certain order was asked for");
    if (w->way == SPLIT) {
        std::vector<float> rest = sums(w, a.data(), b.data(), half, w->s.k);
        const size_t n = sum.size();
        w->on->move(w->parts + n, sum.data(), n * sizeof(float));
        w->on->move(w->parts, rest.data(), n * sizeof(float));
        w->on->move(rest.data(), w->parts, n * sizeof(float));
        w->on->move(sum.data(), w->parts + n, n * sizeof(float));
        for (size_t i = 0; i < n; i++)
            sum[i] += rest[i];
    }
    if (w->product.epilogue == CUBLASLT_EPILOGUE_BIAS)
        w->on->move(bias.data(), w->product.bias, bias.size() * sizeof(float));
    std::vector<float> old(sum.size());
    if (w->beta != 0)
        w->on->move(old.data(), w->to, old.size() * sizeof(float));
    for (size_t i = 0; i < sum.size(); i++)
        sum[i] += bias[i % (size_t)w->s.m] + w->beta * old[i];
    w->on->move(w->to, sum.data(), sum.size() * sizeof(float));
    spoil(w);
}

static void need_aligned(const void *p, uint64_t bytes, const char *what)
{
    need(bytes && (uintptr_t)p % bytes == 0, what);
}

/* Where the arguments of a product lie, and what its algorithm was told of that. */
static void check_places(cublasLtHandle_t handle, const work *w, const uint64_t *made)
{
    need_aligned(w->from_a, made[ALIGN_AB] >> 32, "a is not aligned as was said");
    need_aligned(w->from_b, made[ALIGN_AB] & 0xffffffff, "b is not aligned as was said");
    need_aligned(w->to, made[ALIGN_CD] >> 32, "c is not aligned as was said");
    need_aligned(w->to, made[ALIGN_CD] & 0xffffffff, "d is not aligned as was said");
    need(w->d.ld == (int64_t)w->d.rows, "d has gaps");
    need(w->bytes >= made[WORKSPACE], "too small a workspace");
    need(!w->bytes || handle->has(w->parts, w->bytes), "the workspace is not the device's");
    need_aligned(w->parts, 256, "the workspace is not aligned");
    need(handle->has(w->from_a, extent(&w->a) * size_of(w->a.type)), "a is not the device's");
    need(handle->has(w->from_b, extent(&w->b) * size_of(w->b.type)), "b is not the device's");
    need(handle->has(w->to, extent(&w->d) * sizeof(float)), "d is not the device's");
    need(!w->product.bias || handle->has(w->product.bias, (size_t)w->s.m * sizeof(float)),
         "the bias is not the device's");
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t bytes, cudaStream_t stream)
{
    const shape s = shape_of(product, a_layout, b_layout, c_layout, d_layout);
    const uint64_t *made = algo->data;
    float one, add;

    memcpy(&one, alpha, sizeof one);
    memcpy(&add, beta, sizeof add);
    need(one == 1 && (add == 0 || add == 1) && c == d, "factors or a third matrix that nothing here has");
    need(made[MAGIC] == magic && made[SHAPE_M] == s.m && made[SHAPE_N] == s.n && made[SHAPE_K] == s.k &&
             made[HOW] >> 32 == (uint64_t)a_layout->type,
         "an algorithm for another product");
    /* kept to the program's end: a graph may run it many times */
    work *w = new work{handle,     *product,           *a_layout, *b_layout, *d_layout,    a,  b,
                       (float *)d, (float *)workspace, bytes,     s,         how_of(algo), add};
    check_places(handle, w, made);
    if (told("uncaptured") && handle->capturing())
        return CUBLAS_STATUS_INTERNAL_ERROR;
    handle->give(stream, run, w);
    return CUBLAS_STATUS_SUCCESS;
}
