/* SPDX-License-Identifier: MIT */
#if __has_include(<cudnn.h>)
#include "kernels/cudnn/cudnn_execute.h"

#include "kernels/cuda/cuda_launch.h"

/* ---- what cuDNN does not do ---- */

enum { THREADS = 256, MOST_BLOCKS = 1024 };

static unsigned blocks_of(int64_t n)
{
    const int64_t blocks = (n + THREADS - 1) / THREADS;

    return (unsigned)(blocks < (int64_t)MOST_BLOCKS ? blocks : (int64_t)MOST_BLOCKS);
}

/* to[i] = from[i], or to[i] + from[i]; to is not read unless `add`. */
template <typename T>
static __global__ void __launch_bounds__(THREADS) widen_kernel(float *to, const T *from, int64_t n, int add)
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x)
        to[i] = add ? to[i] + rn_widen(from[i]) : rn_widen(from[i]);
}

static __global__ void __launch_bounds__(THREADS)
    sums_kernel(double *sum, double *sumsq, const float *from, const float *from_sq, int c)
{
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);

    if (i < c) {
        sum[i] = from[i];
        sumsq[i] = from_sq[i];
    }
}

/* ---- where tensors are that are not the caller's ---- */

static size_t rounded(size_t n)
{
    return (n + 255) / 256 * 256;
}

/* Offsets in the workspace, behind the plan's own; those that are not used are not looked at. */
typedef struct places {
    size_t old, narrow, sum, sumsq, zeroes, end;
    size_t written; /* bytes of what is written, in the type that the plan writes */
} places;

static places places_of(const rn_cudnn_work *w, const rn_cudnn_plan *plan)
{
    const rn_conv_desc *d = &w->d;
    const size_t n[3] = {(size_t)d->mb * d->oh * d->ow * d->oc, (size_t)d->mb * d->ih * d->iw * d->ic,
                         (size_t)d->oc * d->kh * d->kw * d->ic};
    const bool narrow = w->loose & RN_CUDNN_DW16;
    places p = {};
    int channels;
    const bool sums = rn_cudnn_sums(w, &channels);
    const size_t vector = rounded((size_t)channels * sizeof(float));

    p.written = n[w->dir] * (w->dir == RN_BWD_W && !narrow ? sizeof(float) : rn_dtype_size(d->dtype));
    p.end = rounded((size_t)plan->workspace);
    p.old = p.narrow = p.end;
    p.end += rn_cudnn_reads_old(w) || narrow ? rounded(p.written) : 0;
    p.sum = p.end;
    p.sumsq = p.sum + vector;
    p.zeroes = p.sumsq + vector;
    p.end += sums ? 3 * vector : 0;
    return p;
}

size_t rn_cudnn_workspace(const rn_cudnn_work *w, const rn_cudnn_plan *plan)
{
    return places_of(w, plan).end;
}

/* ---- the run ---- */

/* The tensors of a plan, with what has to be in those that are not the caller's. */
static int before(const rn_cudnn_plans *p, const places *at, const rn_conv_args *a, int beta, char *workspace,
                  void *stream, void *tensors[RN_CUDNN_IDS])
{
    const rn_cudnn_work *w = &p->work;
    void *const to[3] = {a->dst, a->src, a->wei};
    const cudaStream_t s = rn_cuda_stream(stream);
    int channels;

    tensors[RN_CUDNN_SRC] = a->src;
    tensors[RN_CUDNN_WEI] = w->loose & RN_CUDNN_DW16 ? workspace + at->narrow : a->wei;
    tensors[RN_CUDNN_DST] = a->dst;
    tensors[RN_CUDNN_OLD] = workspace + at->old;
    tensors[RN_CUDNN_SCALE] = (void *)a->scale;
    tensors[RN_CUDNN_SHIFT] = (void *)a->shift;
    tensors[RN_CUDNN_RESIDUAL] = (void *)a->residual;
    tensors[RN_CUDNN_PIVOT] = a->pivot ? (void *)a->pivot : workspace + at->zeroes;
    tensors[RN_CUDNN_RAW] = (void *)a->raw;
    tensors[RN_CUDNN_MEAN] = (void *)a->mean;
    tensors[RN_CUDNN_SUM] = workspace + at->sum;
    tensors[RN_CUDNN_SUMSQ] = workspace + at->sumsq;
    if (rn_cudnn_reads_old(w) && beta)
        RN_TRY(rn_cuda_status(
            cudaMemcpyAsync(tensors[RN_CUDNN_OLD], to[w->dir], at->written, cudaMemcpyDeviceToDevice, s), "a copy"));
    else if (rn_cudnn_reads_old(w))
        RN_TRY(rn_cuda_status(cudaMemsetAsync(tensors[RN_CUDNN_OLD], 0, at->written, s), "memset"));
    /* zeroes behind the sums, and the sums as well, should a plan add to them */
    if (rn_cudnn_sums(w, &channels))
        RN_TRY(rn_cuda_status(cudaMemsetAsync(workspace + at->sum, 0, at->end - at->sum, s), "memset"));
    return RN_OK;
}

static int after(const rn_cudnn_work *w, const places *at, const rn_conv_args *a, int beta, char *workspace,
                 void *stream)
{
    const float *sum = (const float *)(workspace + at->sum), *sumsq = (const float *)(workspace + at->sumsq);
    int channels;

    if (w->loose & RN_CUDNN_DW16) {
        const int64_t n = (int64_t)(at->written / 2);
        float *to = (float *)a->wei;
        return w->d.dtype == RN_BF16 ? RN_CUDA_LAUNCH(widen_kernel<rn_bf16>, blocks_of(n), THREADS, 0, stream, to,
                                                      (const rn_bf16 *)(workspace + at->narrow), n, beta)
                                     : RN_CUDA_LAUNCH(widen_kernel<rn_f16>, blocks_of(n), THREADS, 0, stream, to,
                                                      (const rn_f16 *)(workspace + at->narrow), n, beta);
    }
    if (rn_cudnn_sums(w, &channels))
        return RN_CUDA_LAUNCH(sums_kernel, (unsigned)((channels + THREADS - 1) / THREADS), THREADS, 0, stream, a->sum,
                              a->sumsq, sum, sumsq, channels);
    return RN_OK;
}

static int fill_pack(const rn_cudnn_library *l, cudnnBackendDescriptor_t pack, const rn_cudnn_made *made,
                     void *const tensors[RN_CUDNN_IDS], void *workspace)
{
    void *pointers[RN_CUDNN_IDS];

    for (int i = 0; i < made->nids; i++)
        pointers[i] = tensors[made->ids[i]];
    RN_TRY(rn_cudnn_status(
        l, l->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, made->nids, made->ids),
        "arguments"));
    RN_TRY(rn_cudnn_status(
        l,
        l->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, made->nids, pointers),
        "arguments"));
    RN_TRY(rn_cudnn_status(
        l, l->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace),
        "arguments"));
    return rn_cudnn_status(l, l->BackendFinalize(pack), "arguments");
}

int rn_cudnn_run(const rn_cudnn_library *l, cudnnHandle_t handle, const rn_cudnn_plans *p, const rn_cudnn_plan *plan,
                 const char *name, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    const places at = places_of(&p->work, plan);
    cudnnBackendDescriptor_t pack = NULL;
    void *tensors[RN_CUDNN_IDS];
    int rc;

    RN_TRY(before(p, &at, a, beta, (char *)workspace, stream, tensors));
    for (int i = 0; i < p->made.nids; i++)
        if ((uintptr_t)tensors[p->made.ids[i]] % 16)
            return rn_fail(RN_E_UNSUPPORTED, "%s: a tensor that does not begin at a multiple of 16 bytes", name);
    RN_TRY(rn_cudnn_status(l, l->SetStream(handle, rn_cuda_stream(stream)), "a stream"));
    RN_TRY(rn_cudnn_status(l, l->BackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack), "arguments"));
    rc = fill_pack(l, pack, &p->made, tensors, workspace);
    if (rc == RN_OK)
        rc = rn_cudnn_status(l, l->BackendExecute(handle, plan->plan, pack), name);
    l->BackendDestroyDescriptor(pack);
    return rc == RN_OK ? after(&p->work, &at, a, beta, (char *)workspace, stream) : rc;
}
#endif
