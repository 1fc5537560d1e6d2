/* SPDX-License-Identifier: MIT */
/*
 * Local response normalisation. A block takes some channels of a row, with what their windows reach beyond them, in shared memory: x once, then what each
 * s came to, then the window over that. 2 s bytes an element, 3 s backward.
 */
extern "C" {
#include "base/rn_error.h"
#include "kernels/cuda/cuda_ops.h"
#include "op/rn_op_check.h"
}
#include "kernels/cuda/cuda_vec.h"

enum { LRN_THREADS = 128, LRN_SHARED = 48 << 10 };

/* s^-beta; of the usual 3/4 without a logarithm. */
static __device__ inline float power(float s, float beta)
{
    if (beta == 0.75f) {
        const float r = sqrtf(s);
        return 1 / (r * sqrtf(r));
    }
    return powf(s, -beta);
}

/* Channels lo..hi-1 of a row in shared memory; those beyond the row are not there. */
typedef struct window {
    int lo, hi;
} window;

static __device__ inline window reach(int first, int last, int back, int on, int c)
{
    window w;
    w.lo = first - back > 0 ? first - back : 0;
    w.hi = last < c - on ? last + on : c;
    return w;
}

struct lrn_shape {
    int64_t rows;
    int c, tile, tiles, size;
    float alpha, beta, k;
};

/* s of channel ch, from x of channels lo..: */
static __device__ inline float lrn_base(const lrn_shape &s, const float *x, int lo, int ch)
{
    const window w = reach(ch, ch + 1, s.size / 2, (s.size - 1) / 2, s.c);
    float sum = 0;
    for (int j = w.lo; j < w.hi; j++)
        sum = fmaf(x[j - lo], x[j - lo], sum);
    return s.k + s.alpha / (float)s.size * sum;
}

template <typename T> static __global__ void lrn_fwd_kernel(lrn_shape s, const T *x, T *y)
{
    RN_CUDA_SHARED(float, room);
    for (int64_t i = blockIdx.x; i < s.rows * s.tiles; i += gridDim.x) {
        const int64_t row = i / s.tiles * s.c;
        const int first = (int)(i % s.tiles) * s.tile, last = first + s.tile < s.c ? first + s.tile : s.c;
        const window w = reach(first, last, s.size / 2, (s.size - 1) / 2, s.c);
        for (int j = w.lo + (int)threadIdx.x; j < w.hi; j += LRN_THREADS)
            room[j - w.lo] = rn_load1(x + row + j);
        __syncthreads();
        for (int j = first + (int)threadIdx.x; j < last; j += LRN_THREADS)
            rn_store1(y + row + j, room[j - w.lo] * power(lrn_base(s, room, w.lo, j), s.beta));
        __syncthreads();
    }
}

template <typename T>
static __global__ void lrn_bwd_kernel(lrn_shape s, const T *x, const T *dy, T *dx, int dx_beta, int most)
{
    RN_CUDA_SHARED(float, room);
    float *ratio = room + most;
    const float back = 2 * s.alpha * s.beta / (float)s.size;
    for (int64_t i = blockIdx.x; i < s.rows * s.tiles; i += gridDim.x) {
        const int64_t row = i / s.tiles * s.c;
        const int first = (int)(i % s.tiles) * s.tile, last = first + s.tile < s.c ? first + s.tile : s.c;
        const window r = reach(first, last, (s.size - 1) / 2, s.size / 2, s.c);
        const window w = reach(r.lo, r.hi, s.size / 2, (s.size - 1) / 2, s.c);
        for (int j = w.lo + (int)threadIdx.x; j < w.hi; j += LRN_THREADS)
            room[j - w.lo] = rn_load1(x + row + j);
        __syncthreads();
        for (int j = r.lo + (int)threadIdx.x; j < r.hi; j += LRN_THREADS) {
            const float base = lrn_base(s, room, w.lo, j);
            ratio[j - r.lo] = rn_load1(dy + row + j) * room[j - w.lo] * power(base, s.beta) / base;
        }
        __syncthreads();
        for (int j = first + (int)threadIdx.x; j < last; j += LRN_THREADS) {
            const window to = reach(j, j + 1, (s.size - 1) / 2, s.size / 2, s.c);
            float sum = 0;
            for (int o = to.lo; o < to.hi; o++)
                sum += ratio[o - r.lo];
            const float own = rn_load1(dy + row + j) * power(lrn_base(s, room, w.lo, j), s.beta);
            const float d = own - back * room[j - w.lo] * sum;
            rn_store1(dx + row + j, dx_beta ? rn_load1(dx + row + j) + d : d);
        }
        __syncthreads();
    }
}

/* Channels a block takes: the whole row, or as many as fit shared memory beside `halo` on each side, in `copies`. */
static int lrn_shape_of(lrn_shape *s, int halo, int copies)
{
    const int64_t fit = LRN_SHARED / (int64_t)sizeof(float) / copies - 2 * (int64_t)halo;
    s->tile = s->c;
    if (s->c > LRN_SHARED / (int)sizeof(float) / copies)
        s->tile = fit < 1 ? 0 : (int)fit;
    s->tiles = s->tile ? (s->c + s->tile - 1) / s->tile : 0;
    if (s->tile)
        return RN_OK;
    return rn_fail(RN_E_UNSUPPORTED,
                   "lrn: a window of %d over %d channels is too wide for this device's kernel; use --device cpu",
                   s->size, s->c);
}

static unsigned lrn_grid(const lrn_shape *s)
{
    const int64_t blocks = s->rows * s->tiles;
    return (unsigned)(blocks < 1 << 20 ? blocks : 1 << 20);
}

static int lrn_least(int64_t a, int b)
{
    return a < b ? (int)a : b;
}

template <typename T> static int lrn_fwd(const rn_op_lrn *a, void *stream)
{
    lrn_shape s = {a->rows, a->c, 0, 0, a->size, a->alpha, a->beta, a->k};
    RN_TRY(lrn_shape_of(&s, a->size, 1));
    const size_t bytes = (size_t)lrn_least((int64_t)s.tile + 2 * s.size, s.c) * sizeof(float);
    return RN_CUDA_LAUNCH((lrn_fwd_kernel<T>), lrn_grid(&s), LRN_THREADS, bytes, stream, s, (const T *)a->x, (T *)a->y);
}

int rn_cuda_lrn_fwd(struct rn_backend *be, const rn_op_lrn *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_lrn(a));
    RN_CUDA_BY_TYPE(a->dtype, T, lrn_fwd<T>(a, stream));
}

template <typename T> static int lrn_bwd(const rn_op_lrn_bwd *a, void *stream)
{
    lrn_shape s = {a->rows, a->c, 0, 0, a->size, a->alpha, a->beta, a->k};
    RN_TRY(lrn_shape_of(&s, a->size, 2));
    const int most = lrn_least((int64_t)s.tile + 2 * s.size, s.c);
    return RN_CUDA_LAUNCH((lrn_bwd_kernel<T>), lrn_grid(&s), LRN_THREADS, 2 * (size_t)most * sizeof(float), stream, s,
                          (const T *)a->x, (const T *)a->dy, (T *)a->dx, a->dx_beta, most);
}

int rn_cuda_lrn_bwd(struct rn_backend *be, const rn_op_lrn_bwd *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_lrn_bwd(a));
    RN_CUDA_BY_TYPE(a->dtype, T, lrn_bwd<T>(a, stream));
}
