/* SPDX-License-Identifier: MIT */
#include "kernels/cuda/cuda_blas.h"

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_launch.h"

extern "C" {
#include "base/rn_error.h"
#include "base/rn_log.h"
}

#if __has_include(<cublasLt.h>)

#include <cublasLt.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All calls are in 12.0; what comes behind 13 nobody knows. Algorithms that are looked at for one product. */
enum { VERSION_LEAST = 120000, VERSION_BEHIND = 140000, CANDIDATES = 16 };

#define FUNCTIONS(X)                                                                                                   \
    X(GetVersion)                                                                                                      \
    X(GetStatusString)                                                                                                 \
    X(Create)                                                                                                          \
    X(Destroy)                                                                                                         \
    X(MatmulDescCreate)                                                                                                \
    X(MatmulDescDestroy)                                                                                               \
    X(MatmulDescSetAttribute)                                                                                          \
    X(MatrixLayoutCreate)                                                                                              \
    X(MatrixLayoutDestroy)                                                                                             \
    X(MatmulPreferenceCreate)                                                                                          \
    X(MatmulPreferenceDestroy)                                                                                         \
    X(MatmulPreferenceSetAttribute)                                                                                    \
    X(MatmulAlgoGetHeuristic)                                                                                          \
    X(MatmulAlgoCapGetAttribute)                                                                                       \
    X(MatmulAlgoConfigGetAttribute)                                                                                    \
    X(Matmul)

/* What an algorithm is chosen by. Compared byte by byte: made of zeros. */
typedef struct key {
    int m, n, k, type, turned_a, turned_b, add, bias;
    unsigned align_a, align_b, align_d, align_bias;
} key;

/* A product of the library's: column by column, d (m x n) = op(a) (m x k) op(b) (k x n). */
typedef struct planned {
    key of;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algo;
    bool there; /* an algorithm that keeps the contract */
    struct planned *next;
} planned;

struct rn_blas {
#define X(name) decltype(&cublasLt##name) name;
    FUNCTIONS(X)
#undef X
    cublasLtHandle_t handle; /* NULL: not to be had */
    planned *first;
};

/* ---- the library ---- */

static void *open_library(const char **file)
{
    const char *named = getenv("RNKIT_CUBLASLT_LIBRARY");

    *file = named && *named ? named : "libcublasLt.so.13";
#ifdef RN_CUDA_EMULATED /* whose memory the real one does not know */
    if (!named || !*named) {
        (void)rn_fail(RN_E_ABSENT, "the emulated device takes the cuBLASLt that RNKIT_CUBLASLT_LIBRARY names");
        return NULL;
    }
#endif
    void *so = dlopen(*file, RTLD_NOW | RTLD_LOCAL);
    if (!so && !(named && *named)) {
        *file = "libcublasLt.so.12";
        so = dlopen(*file, RTLD_NOW | RTLD_LOCAL);
    }
    if (!so)
        (void)rn_fail(
            RN_E_ABSENT,
            "cannot load cuBLASLt: %s (it comes with the CUDA toolkit; or have RNKIT_CUBLASLT_LIBRARY name it)",
            dlerror());
    return so;
}

static int failed(const struct rn_blas *l, const char *what, cublasStatus_t status)
{
    return rn_fail(RN_E_IO, "cuBLASLt: %s: %s", what, l->GetStatusString(status));
}

/* Never unloaded. */
static int load(struct rn_blas *l)
{
    const char *file = NULL;
    void *so = open_library(&file);

    if (!so)
        return RN_E_ABSENT;
#define X(name)                                                                                                        \
    l->name = (decltype(l->name))dlsym(so, "cublasLt" #name);                                                          \
    if (!l->name)                                                                                                      \
        return rn_fail(RN_E_ABSENT, "%s is no cuBLASLt that is known here: it has no %s", file, "cublasLt" #name);
    FUNCTIONS(X)
#undef X
    const size_t version = l->GetVersion();
    if (version < VERSION_LEAST || version >= VERSION_BEHIND)
        return rn_fail(RN_E_ABSENT, "%s is cuBLASLt of version code %zu: 12 or 13 is needed", file, version);
    const cublasStatus_t status = l->Create(&l->handle);
    if (status != CUBLAS_STATUS_SUCCESS) {
        l->handle = NULL;
        return failed(l, "a handle", status);
    }
    return RN_OK;
}

static const struct rn_blas *open_once(struct rn_backend *be)
{
    struct rn_blas **l = rn_cuda_blas(be);
    const char *named = getenv("RNKIT_CUBLASLT_LIBRARY");

    if (*l)
        return *l;
    *l = (struct rn_blas *)calloc(1, sizeof **l);
    if (*l && load(*l) < 0)
        (named && *named ? rn_warn : rn_verbose)("%s: linear layers take the product of this project", rn_error_text());
    return *l;
}

bool rn_blas_there(const struct rn_backend *be)
{
    const struct rn_blas *l = *rn_cuda_blas(be);

    return l && l->handle;
}

void rn_blas_describe(struct rn_backend *be, char *text, size_t cap)
{
    const size_t n = strlen(text);
    const struct rn_blas *l = open_once(be);

    if (l && l->handle) {
        const int v = (int)l->GetVersion();
        snprintf(text + n, cap - n, ", cuBLASLt %d.%d.%d", v / 10000, v / 100 % 100, v % 100);
    } else {
        snprintf(text + n, cap - n, ", no cuBLASLt");
    }
}

static void forget(const struct rn_blas *l, planned *p)
{
    if (p->product)
        l->MatmulDescDestroy(p->product);
    if (p->a)
        l->MatrixLayoutDestroy(p->a);
    if (p->b)
        l->MatrixLayoutDestroy(p->b);
    if (p->d)
        l->MatrixLayoutDestroy(p->d);
    free(p);
}

void rn_blas_close(struct rn_backend *be)
{
    struct rn_blas *l = *rn_cuda_blas(be);

    *rn_cuda_blas(be) = NULL;
    if (!l)
        return;
    for (planned *p = l->first, *next; p; p = next) {
        next = p->next;
        forget(l, p);
    }
    if (l->handle)
        l->Destroy(l->handle);
    free(l);
}

/* ---- an algorithm for a product ---- */

/* Of a pointer, in bytes, up to 256. NULL: 0. */
static unsigned alignment(const void *p)
{
    const uintptr_t at = (uintptr_t)p | (p ? 256 : 0);

    return (unsigned)(at & -at);
}

static key key_of(const rn_blas_product *p)
{
    key k;

    memset(&k, 0, sizeof k);
    k.m = p->m, k.n = p->n, k.k = p->k;
    k.type = p->type;
    k.turned_a = p->turned_a, k.turned_b = p->turned_b;
    k.add = p->add, k.bias = p->bias != NULL;
    k.align_a = alignment(p->a), k.align_b = alignment(p->b), k.align_d = alignment(p->d);
    k.align_bias = alignment(p->bias);
    return k;
}

static cudaDataType_t type_of(rn_dtype t)
{
    return t == RN_BF16 ? CUDA_R_16BF : t == RN_F16 ? CUDA_R_16F : CUDA_R_32F;
}

/* The library counts a matrix column by column: what lies here as rows of m values are its columns. */
static cublasStatus_t describe(const struct rn_blas *l, planned *p, const float *bias)
{
    const key *k = &p->of;
    const cudaDataType_t type = type_of((rn_dtype)k->type);
    const cublasOperation_t turn_a = k->turned_a ? CUBLAS_OP_N : CUBLAS_OP_T,
                            turn_b = k->turned_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cublasStatus_t s;

    s = l->MatmulDescCreate(&p->product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = l->MatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_TRANSA, &turn_a, sizeof turn_a);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = l->MatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_TRANSB, &turn_b, sizeof turn_b);
    if (s == CUBLAS_STATUS_SUCCESS && bias)
        s = l->MatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (s == CUBLAS_STATUS_SUCCESS && bias) /* it is asked how it is aligned */
        s = l->MatmulDescSetAttribute(p->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = k->turned_a ? l->MatrixLayoutCreate(&p->a, type, (uint64_t)k->m, (uint64_t)k->k, k->m)
                        : l->MatrixLayoutCreate(&p->a, type, (uint64_t)k->k, (uint64_t)k->m, k->k);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = k->turned_b ? l->MatrixLayoutCreate(&p->b, type, (uint64_t)k->n, (uint64_t)k->k, k->n)
                        : l->MatrixLayoutCreate(&p->b, type, (uint64_t)k->k, (uint64_t)k->n, k->k);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = l->MatrixLayoutCreate(&p->d, CUDA_R_32F, (uint64_t)k->m, (uint64_t)k->n, k->m);
    return s;
}

/* What the library is asked for. */
static cublasStatus_t prefer(const struct rn_blas *l, const key *k, cublasLtMatmulPreference_t *out)
{
    /* "In place" promises that parts are added one after another, but not in which order. */
    const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint64_t workspace = RN_BLAS_WORKSPACE;
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        const void *value;
        size_t bytes;
    } all[] = {{CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
               {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &k->align_a, sizeof k->align_a},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &k->align_b, sizeof k->align_b},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &k->align_d, sizeof k->align_d},
               {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &k->align_d, sizeof k->align_d}};
    cublasStatus_t s = l->MatmulPreferenceCreate(out);

    for (size_t i = 0; i < sizeof all / sizeof *all && s == CUBLAS_STATUS_SUCCESS; i++)
        s = l->MatmulPreferenceSetAttribute(*out, all[i].name, all[i].value, all[i].bytes);
    return s;
}

/* Does an algorithm that the library offers compute as rn_blas_product says? It is asked, not trusted. */
static bool keeps(const struct rn_blas *l, const cublasLtMatmulHeuristicResult_t *r, rn_dtype type)
{
    const uint64_t sums = CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_TYPE_MASK,
                   in_f32 = CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_32F;
    uint64_t flags = 0;
    uint32_t scheme = 0;
    size_t n = 0;

    if (r->state != CUBLAS_STATUS_SUCCESS || r->workspaceSize > RN_BLAS_WORKSPACE)
        return false;
    if (l->MatmulAlgoCapGetAttribute(&r->algo, CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS, &flags, sizeof flags, &n) !=
            CUBLAS_STATUS_SUCCESS ||
        l->MatmulAlgoConfigGetAttribute(&r->algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme, sizeof scheme, &n) !=
            CUBLAS_STATUS_SUCCESS)
        return false;
    if (scheme != CUBLASLT_REDUCTION_SCHEME_NONE && scheme != CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)
        return false;
    /* f32 by tensor cores is TF32, or parts of 16 bits */
    return (flags & sums) == in_f32 && (type != RN_F32 || !(flags & CUBLASLT_NUMERICAL_IMPL_FLAGS_TENSOR_OP_MASK));
}

/* The first of those that the library estimates to be fastest. */
static cublasStatus_t choose(const struct rn_blas *l, planned *p)
{
    cublasLtMatmulHeuristicResult_t offers[CANDIDATES];
    cublasLtMatmulPreference_t wanted = NULL;
    int n = 0;

    cublasStatus_t s = prefer(l, &p->of, &wanted);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = l->MatmulAlgoGetHeuristic(l->handle, p->product, p->a, p->b, p->d, p->d, wanted, CANDIDATES, offers, &n);
    for (int i = 0; s == CUBLAS_STATUS_SUCCESS && i < n && !p->there; i++) {
        p->there = keeps(l, &offers[i], (rn_dtype)p->of.type);
        p->algo = offers[i].algo;
    }
    if (wanted)
        l->MatmulPreferenceDestroy(wanted);
    return s;
}

static planned *plan(struct rn_blas *l, const key *k, const float *bias)
{
    planned *p = (planned *)calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->of = *k;
    p->next = l->first;
    l->first = p;
    cublasStatus_t s = describe(l, p, bias);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = choose(l, p);
    if (!p->there)
        rn_warn("cuBLASLt has no algorithm that adds up in f32, in a fixed order, for a product of %d x %d x %d in "
                "%s%s%s: the "
                "product of this project takes its place",
                k->m, k->n, k->k, rn_dtype_name((rn_dtype)k->type), s == CUBLAS_STATUS_SUCCESS ? "" : ": ",
                s == CUBLAS_STATUS_SUCCESS ? "" : l->GetStatusString(s));
    return p;
}

int rn_blas_multiply(struct rn_backend *be, const rn_blas_product *p, void *workspace, void *stream)
{
    const float one = 1, beta = p->add ? 1.0f : 0.0f;
    struct rn_blas *l = *rn_cuda_blas(be);
    const key k = key_of(p);
    planned *how = l->first;

    while (how && memcmp(&how->of, &k, sizeof k) != 0)
        how = how->next;
    /*
     * In a rehearsal, which is a capture, the library is not called at all: of CUDA 13.3 it finds no algorithm then ("Could not obtain
     * green context information"), and it may look at the workspace, which may not be there yet. The first run asks.
     */
    if (rn_cuda_rehearsing(be))
        return !how || how->there;
    if (!how)
        how = plan(l, &k, p->bias);
    if (!how)
        return rn_fail(RN_E_NOMEM, "cuda: out of memory");
    if (!how->there)
        return 0;
    cublasStatus_t s = CUBLAS_STATUS_SUCCESS;
    if (p->bias)
        s = l->MatmulDescSetAttribute(how->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = l->Matmul(l->handle, how->product, &one, p->a, how->a, p->b, how->b, &beta, p->d, how->d, p->d, how->d,
                      &how->algo, workspace, RN_BLAS_WORKSPACE, rn_cuda_stream(stream));
    return s == CUBLAS_STATUS_SUCCESS ? 1 : failed(l, "a product", s);
}

#else

void rn_blas_describe(struct rn_backend *, char *, size_t) {}

void rn_blas_close(struct rn_backend *) {}

bool rn_blas_there(const struct rn_backend *)
{
    return false;
}

int rn_blas_multiply(struct rn_backend *, const rn_blas_product *, void *, void *)
{
    return rn_fail(RN_E_UNSUPPORTED, "this build has no cuBLASLt: build where cublasLt.h is");
}

#endif
