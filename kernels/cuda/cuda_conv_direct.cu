/* SPDX-License-Identifier: MIT */
/*
 * cuda:direct: plain sums, any shape, nothing fused. A thread has a few pixels and 8 channels of what is written (bwd_w: 8
 * of oc and one weight of each), so that a value that was loaded is used more than once; f32 FMA. For what nothing else takes,
 * and where there are few channels to a pixel, as in a stem.
 */
#include <stdlib.h>

extern "C" {
#include "base/rn_error.h"
#include "op/rn_backend.h"
}
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_conv.h"
#include "kernels/cuda/cuda_conv_gemm_run.h"
#include "kernels/cuda/cuda_conv_types.h"

enum { THREADS = 128, CHANNELS = 8, PIXELS = 4 };
#define MOST          0x7fffffff
/* bwd_w: pixels of a part at least, and threads for each multiprocessor. */
#define PIXELS_A_PART 64
#define THREADS_EACH  1024

/* fwd and bwd_d: `in` is src or dst, of `inner` channels; `out` of `outer`. */
struct direct_args {
    rn_conv_desc d;
    const void *in;
    const float *wei; /* [kh][kw][inner][groups * CHANNELS] */
    void *out;
    int inner, outer, groups;
    int64_t pixels; /* of out */
    bool add;
};

struct direct_weights_args {
    rn_conv_desc d;
    const void *src, *dst;
    float *to; /* [splits][oc][columns] */
    int columns, groups, splits;
    int64_t pixels; /* of dst */
    bool add;
};

/* ---- fwd and bwd_d ------------------------------------------------------------------------------------------------------ */

/* Pixel (y, x) of what is written reads, at a tap, this one of an image, -1: none. */
static __device__ __forceinline__ int64_t pixel_read(const rn_conv_desc &d, bool back, int y, int x, int r, int s)
{
    const int64_t ty = back ? (int64_t)y + d.ph - r : (int64_t)y * d.sh - d.ph + r;
    const int64_t tx = back ? (int64_t)x + d.pw - s : (int64_t)x * d.sw - d.pw + s;

    if (!back)
        return ty < 0 || tx < 0 || ty >= d.ih || tx >= d.iw ? -1 : ty * d.iw + tx;
    if (ty < 0 || tx < 0 || ty % d.sh || tx % d.sw || ty / d.sh >= d.oh || tx / d.sw >= d.ow)
        return -1;
    return ty / d.sh * d.ow + tx / d.sw;
}

template <class type, bool back> static __global__ void __launch_bounds__(THREADS, 4) direct(const direct_args p)
{
    typedef typename type::store store;
    const int64_t id = (int64_t)blockIdx.x * THREADS + threadIdx.x, first = id / p.groups * PIXELS;
    const int c0 = (int)(id % p.groups) * CHANNELS;
    const int height = back ? p.d.ih : p.d.oh, width = back ? p.d.iw : p.d.ow;
    const int64_t image = back ? (int64_t)p.d.oh * p.d.ow : (int64_t)p.d.ih * p.d.iw;
    const store *in = (const store *)p.in;
    float sums[PIXELS][CHANNELS] = {};

    for (int r = 0; r < p.d.kh; r++) {
        for (int s = 0; s < p.d.kw; s++) {
            int64_t at[PIXELS];
            bool any = false;
            RN_UNROLL
            for (int i = 0; i < PIXELS; i++) {
                const int64_t q = first + i, line = q / width;
                at[i] = q < p.pixels ? pixel_read(p.d, back, (int)(line % height), (int)(q % width), r, s) : -1;
                if (at[i] >= 0)
                    at[i] = (line / height * image + at[i]) * p.inner;
                any = any || at[i] >= 0;
            }
            const float *w = p.wei + (((int64_t)r * p.d.kw + s) * p.inner * p.groups) * CHANNELS + c0;
            for (int k = 0; any && k < p.inner; k++, w += (int64_t)p.groups * CHANNELS) {
                const float4 low = *(const float4 *)w, high = *(const float4 *)(w + 4);
                RN_UNROLL
                for (int i = 0; i < PIXELS; i++) {
                    const float v = at[i] >= 0 ? type::widen(in[at[i] + k]) : 0;
                    sums[i][0] = fmaf(v, low.x, sums[i][0]);
                    sums[i][1] = fmaf(v, low.y, sums[i][1]);
                    sums[i][2] = fmaf(v, low.z, sums[i][2]);
                    sums[i][3] = fmaf(v, low.w, sums[i][3]);
                    sums[i][4] = fmaf(v, high.x, sums[i][4]);
                    sums[i][5] = fmaf(v, high.y, sums[i][5]);
                    sums[i][6] = fmaf(v, high.z, sums[i][6]);
                    sums[i][7] = fmaf(v, high.w, sums[i][7]);
                }
            }
        }
    }
    RN_UNROLL
    for (int i = 0; i < PIXELS; i++) {
        store *to = (store *)p.out + (first + i) * p.outer + c0;
        RN_UNROLL
        for (int c = 0; c < CHANNELS; c++) {
            if (first + i < p.pixels && c0 + c < p.outer)
                to[c] = type::narrow(sums[i][c] + (p.add ? type::widen(to[c]) : 0));
        }
    }
}

/* Weights as the kernel reads them, zeros behind the last channel. */
template <class type, bool back>
static __global__ void __launch_bounds__(THREADS)
    pack(float *to, const typename type::store *wei, int oc, int taps, int ic, int groups, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, row = i / (groups * CHANNELS);
    const int outer = (int)(i % (groups * CHANNELS)), inner = (int)(row % (back ? oc : ic));
    const int64_t tap = row / (back ? oc : ic);
    const int o = back ? inner : outer, c = back ? outer : inner;

    if (i < n)
        to[i] = outer < (back ? ic : oc) ? type::widen(wei[((int64_t)o * taps + tap) * ic + c]) : 0;
}

/* ---- bwd_w -------------------------------------------------------------------------------------------------------------- */

template <class type> static __global__ void __launch_bounds__(THREADS) direct_weights(const direct_weights_args p)
{
    typedef typename type::store store;
    const int64_t id = (int64_t)blockIdx.x * THREADS + threadIdx.x, each = (int64_t)p.columns * p.groups;
    const int column = (int)(id % p.columns), o0 = (int)(id / p.columns % p.groups) * CHANNELS;
    const int64_t split = id / each, first = p.pixels * split / p.splits, end = p.pixels * (split + 1) / p.splits;
    const int tap = column / p.d.ic, c = column % p.d.ic, r = tap / p.d.kw, s = tap % p.d.kw;
    const store *src = (const store *)p.src, *dst = (const store *)p.dst;
    int x = (int)(first % p.d.ow), y = (int)(first / p.d.ow % p.d.oh);
    int64_t n = first / p.d.ow / p.d.oh;
    float sums[CHANNELS] = {};

    if (split >= p.splits)
        return;
    for (int64_t q = first; q < end; q++) {
        const int64_t at = pixel_read(p.d, false, y, x, r, s);
        if (at >= 0) {
            const float v = type::widen(src[(n * p.d.ih * p.d.iw + at) * p.d.ic + c]);
            RN_UNROLL
            for (int o = 0; o < CHANNELS; o++)
                sums[o] = fmaf(v, o0 + o < p.d.oc ? type::widen(dst[q * p.d.oc + o0 + o]) : 0, sums[o]);
        }
        if (++x == p.d.ow) {
            x = 0;
            if (++y == p.d.oh) {
                y = 0;
                n++;
            }
        }
    }
    RN_UNROLL
    for (int o = 0; o < CHANNELS; o++) {
        if (o0 + o < p.d.oc) {
            float *to = p.to + (split * p.d.oc + o0 + o) * p.columns + column;
            *to = p.add ? *to + sums[o] : sums[o];
        }
    }
}

/* ---- host --------------------------------------------------------------------------------------------------------------- */

typedef struct direct_plan {
    float *packed;
} direct_plan;

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static int outer_of(const rn_conv_desc *d, rn_conv_dir dir)
{
    return dir == RN_BWD_D ? d->ic : d->oc;
}

static int64_t packed_floats(const rn_conv_desc *d, rn_conv_dir dir)
{
    return (int64_t)d->kh * d->kw * (dir == RN_BWD_D ? d->oc : d->ic) * up(outer_of(d, dir), CHANNELS) * CHANNELS;
}

static int splits_of(struct rn_backend *be, const rn_conv_desc *d)
{
    const int64_t columns = (int64_t)d->kh * d->kw * d->ic, pixels = (int64_t)d->mb * d->oh * d->ow;
    int64_t n = (int64_t)rn_cuda_multiprocessors(be) * THREADS_EACH / (columns * up(d->oc, CHANNELS));

    if (n > pixels / PIXELS_A_PART)
        n = pixels / PIXELS_A_PART;
    if (be->workspace_limit && n > (int64_t)be->workspace_limit / (columns * d->oc * 4))
        n = (int64_t)be->workspace_limit / (columns * d->oc * 4);
    return n > 1 ? (int)n : 1;
}

static int64_t threads_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    const int64_t groups = up(outer_of(d, dir), CHANNELS);

    if (dir == RN_BWD_W)
        return splits_of(be, d) * groups * d->kh * d->kw * d->ic;
    return up((int64_t)d->mb * (dir == RN_FWD ? (int64_t)d->oh * d->ow : (int64_t)d->ih * d->iw), PIXELS) * groups;
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    const char *fuse = rn_conv_fuse_refusal(d, dir, 0);

    *why = fuse ? fuse : "f32, bf16 and f16 only";
    if (fuse || (d->dtype != RN_F32 && d->dtype != RN_BF16 && d->dtype != RN_F16))
        return false;
    *why = "more blocks than a grid has";
    return threads_of(be, d, dir) / THREADS < MOST && packed_floats(d, dir) / THREADS < MOST;
}

static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    const int splits = dir == RN_BWD_W ? splits_of(be, d) : 1;

    return splits > 1 ? (size_t)splits * d->oc * d->kh * d->kw * d->ic * sizeof(float) : 0;
}

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    direct_plan *p = (direct_plan *)calloc(1, sizeof *p);

    *priv = p;
    if (!p)
        return rn_fail(RN_E_NOMEM, "cuda:direct: out of memory");
    if (dir == RN_BWD_W)
        return RN_OK;
    return be->alloc(be, (size_t)packed_floats(d, dir) * sizeof(float), (void **)&p->packed);
}

static void close_plan(struct rn_backend *be, void *priv)
{
    direct_plan *p = (direct_plan *)priv;

    if (p)
        be->free(be, p->packed);
    free(p);
}

/* One type's kernels. */
template <class type> struct of_type {
    typedef typename type::store store;

    static int prepare(const rn_conv_plan *plan, const void *wei, void *stream)
    {
        const rn_conv_desc *d = &plan->desc;
        float *to = ((const direct_plan *)plan->priv)->packed;
        const int64_t n = packed_floats(d, plan->dir);
        const int taps = d->kh * d->kw, groups = (int)up(outer_of(d, plan->dir), CHANNELS);
        const unsigned blocks = (unsigned)up(n, THREADS);

        if (plan->dir == RN_FWD)
            return RN_CUDA_LAUNCH((pack<type, false>), blocks, THREADS, 0, stream, to, (const store *)wei, d->oc, taps,
                                  d->ic, groups, n);
        return RN_CUDA_LAUNCH((pack<type, true>), blocks, THREADS, 0, stream, to, (const store *)wei, d->oc, taps,
                              d->ic, groups, n);
    }
    static int run(const rn_conv_plan *plan, const direct_args &p, unsigned blocks, void *stream)
    {
        if (plan->dir == RN_FWD)
            return RN_CUDA_LAUNCH((direct<type, false>), blocks, THREADS, 0, stream, p);
        return RN_CUDA_LAUNCH((direct<type, true>), blocks, THREADS, 0, stream, p);
    }
    static int weights(const direct_weights_args &p, unsigned blocks, void *stream)
    {
        return RN_CUDA_LAUNCH(direct_weights<type>, blocks, THREADS, 0, stream, p);
    }
};

static int prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    const rn_dtype t = plan->desc.dtype;

    if (plan->dir == RN_BWD_W)
        return RN_OK;
    return t == RN_F32    ? of_type<rn_type_f32>::prepare(plan, wei, stream)
           : t == RN_BF16 ? of_type<rn_type_bf16>::prepare(plan, wei, stream)
                          : of_type<rn_type_f16>::prepare(plan, wei, stream);
}

static int run_weights(const rn_conv_plan *plan, const rn_conv_args *a, int beta, void *parts, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const unsigned blocks = (unsigned)up(threads_of(plan->be, d, RN_BWD_W), THREADS);
    direct_weights_args p = {};

    p.d = *d;
    p.src = a->src;
    p.dst = a->dst;
    p.columns = d->kh * d->kw * d->ic;
    p.groups = (int)up(d->oc, CHANNELS);
    p.splits = splits_of(plan->be, d);
    p.pixels = (int64_t)d->mb * d->oh * d->ow;
    p.to = (float *)(p.splits > 1 ? parts : a->wei);
    p.add = p.splits == 1 && beta;
    RN_TRY(d->dtype == RN_F32    ? of_type<rn_type_f32>::weights(p, blocks, stream)
           : d->dtype == RN_BF16 ? of_type<rn_type_bf16>::weights(p, blocks, stream)
                                 : of_type<rn_type_f16>::weights(p, blocks, stream));
    if (p.splits == 1)
        return RN_OK;
    return rn_conv_add_parts((float *)a->wei, p.to, (int64_t)d->oc * p.columns, p.splits, beta != 0, stream);
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *parts, void *stream)
{
    const rn_conv_desc *d = &plan->desc;
    const bool back = plan->dir == RN_BWD_D;
    const unsigned blocks = (unsigned)up(threads_of(plan->be, d, plan->dir), THREADS);
    direct_args p = {};

    if (plan->dir == RN_BWD_W)
        return run_weights(plan, a, beta, parts, stream);
    p.d = *d;
    p.in = back ? a->dst : a->src;
    p.wei = ((const direct_plan *)plan->priv)->packed;
    p.out = back ? a->src : a->dst;
    p.inner = back ? d->oc : d->ic;
    p.outer = outer_of(d, plan->dir);
    p.groups = (int)up(p.outer, CHANNELS);
    p.pixels = (int64_t)d->mb * (back ? (int64_t)d->ih * d->iw : (int64_t)d->oh * d->ow);
    p.add = beta != 0;
    return d->dtype == RN_F32    ? of_type<rn_type_f32>::run(plan, p, blocks, stream)
           : d->dtype == RN_BF16 ? of_type<rn_type_bf16>::run(plan, p, blocks, stream)
                                 : of_type<rn_type_f16>::run(plan, p, blocks, stream);
}

extern "C" {
const rn_conv_algo rn_cuda_direct = {
    "cuda:direct", RN_ALGO_DETERMINISTIC, supports, workspace, open_plan, close_plan, prepare, run, NULL};
}
