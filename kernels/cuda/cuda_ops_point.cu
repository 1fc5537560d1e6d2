/* SPDX-License-Identifier: MIT */
/*
 * Element by element: pixels to numbers, other types, ReLU, addition, sigmoid, dropout. All are bound by memory; what each
 * moves is said at its body, in bytes an element, with s the size of the type.
 */
extern "C" {
#include "base/rn_error.h"
#include "base/rn_origin.h"
#include "base/rn_rng.h"
#include "kernels/cuda/cuda_ops.h"
#include "op/rn_op_check.h"
}
#include "kernels/cuda/cuda_vec.h"

/* ---- pixels ---- */

enum { PIXELS = 16 }; /* bytes a thread reads at once */

/* 1 + s bytes. The channel is divided out once for 16 of them, and counted on from there. */
template <typename T> struct normalize_body {
    const uint8_t *src;
    T *dst;
    const float *mul, *add;
    int c;

    template <int V> __device__ void at(int64_t i) const
    {
        rn_vec_pack<uint8_t, V> in;
        float v[V];
        int ch = (int)(i % c);
        in.word = *(const typename rn_vec_word<V>::type *)(src + i);
        RN_UNROLL
        for (int k = 0; k < V; k++) {
            v[k] = fmaf((float)in.e[k], mul[ch], add[ch]);
            ch = ch + 1 == c ? 0 : ch + 1;
        }
        rn_store<T, V>(dst + i, v);
    }
};

/* One pixel: its place in the mean image costs divisions, so that the channels of it go together. */
template <typename T> struct normalize_less_body {
    rn_op_normalize a;

    template <int V> __device__ void at(int64_t r) const
    {
        const int64_t of_image = (int64_t)a.h * a.w, image = r / of_image;
        const int pixel = (int)(r % of_image), y = pixel / a.w, x = pixel % a.w;
        const rn_origin win = a.windows[image];
        const int64_t column = (win.mirror ? a.w - 1 - x : x) + win.x;
        const float *mean = a.image + ((y + win.y) * (int64_t)a.image_w + column) * a.c;
        for (int c = 0; c < a.c; c++)
            rn_store1((T *)a.dst + r * a.c + c, ((float)a.src[r * a.c + c] - mean[c]) * a.mul[c]);
    }
};

template <typename T> static int normalize(const rn_op_normalize *a, void *stream)
{
    if (a->image)
        return rn_point<1>(normalize_less_body<T>{*a}, a->rows, false, stream);
    const normalize_body<T> b = {a->src, (T *)a->dst, a->mul, a->add, a->c};
    return rn_point<PIXELS>(b, a->rows * a->c, rn_aligned(PIXELS, a->src, a->dst), stream);
}

int rn_cuda_normalize(struct rn_backend *be, const rn_op_normalize *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_normalize(a));
    RN_CUDA_BY_TYPE(a->dtype, T, normalize<T>(a, stream));
}

/* ---- types ---- */

/* The sum of both types' sizes. */
template <typename F, typename T> struct convert_body {
    const F *src;
    T *dst;

    template <int V> __device__ void at(int64_t i) const
    {
        float v[V];
        rn_load<F, V>(src + i, v);
        rn_store<T, V>(dst + i, v);
    }
};

template <typename F, typename T> static int convert(const rn_op_convert *a, void *stream)
{
    enum { V = (int)rn_vec<F>::N > (int)rn_vec<T>::N ? (int)rn_vec<F>::N : (int)rn_vec<T>::N };
    const convert_body<F, T> b = {(const F *)a->src, (T *)a->dst};
    return rn_point<V>(b, a->n, rn_aligned(16, a->src, a->dst), stream);
}

template <typename F> static int convert_from(const rn_op_convert *a, void *stream)
{
    RN_CUDA_BY_TYPE(a->to, T, (convert<F, T>(a, stream)));
}

int rn_cuda_convert(struct rn_backend *be, const rn_op_convert *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_convert(a));
    RN_CUDA_BY_TYPE(a->from, F, convert_from<F>(a, stream));
}

/* ---- one or two in, one out ---- */

/* What is done to one element: of x, or of x and z. */
struct relu_of {
    __device__ float operator()(float x, float) const
    {
        return x < 0 ? 0 : x; /* this way round a NaN stays one */
    }
};
struct relu_bwd_of {
    __device__ float operator()(float y, float dy) const
    {
        return y > 0 ? dy : 0;
    }
};
struct add_of {
    __device__ float operator()(float a, float b) const
    {
        return a + b;
    }
};
struct sigmoid_of {
    __device__ float operator()(float x, float) const
    {
        return 1 / (1 + expf(-x));
    }
};
struct sigmoid_bwd_of {
    __device__ float operator()(float y, float dy) const
    {
        return dy * y * (1 - y);
    }
};

/* 2 s bytes of one, 3 s of two (TWO). */
template <typename T, class F, bool TWO> struct map_body {
    const T *x, *z;
    T *y;

    template <int V> __device__ void at(int64_t i) const
    {
        float p[V], q[V];
        rn_load<T, V>(x + i, p);
        if (TWO)
            rn_load<T, V>(z + i, q);
        RN_UNROLL
        for (int k = 0; k < V; k++)
            p[k] = F()(p[k], TWO ? q[k] : 0);
        rn_store<T, V>(y + i, p);
    }
};

template <typename T, class F> static int map1(int64_t n, const void *x, void *y, void *stream)
{
    const map_body<T, F, false> b = {(const T *)x, NULL, (T *)y};
    return rn_point<rn_vec<T>::N>(b, n, rn_aligned(16, x, y), stream);
}

template <typename T, class F> static int map2(int64_t n, const void *x, const void *z, void *y, void *stream)
{
    const map_body<T, F, true> b = {(const T *)x, (const T *)z, (T *)y};
    return rn_point<rn_vec<T>::N>(b, n, rn_aligned(16, x, z, y), stream);
}

int rn_cuda_relu_fwd(struct rn_backend *be, const rn_op_relu *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_relu(a));
    RN_CUDA_BY_TYPE(a->dtype, T, (map1<T, relu_of>(a->n, a->x, a->y, stream)));
}

int rn_cuda_relu_bwd(struct rn_backend *be, const rn_op_relu_bwd *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_relu_bwd(a));
    RN_CUDA_BY_TYPE(a->dtype, T, (map2<T, relu_bwd_of>(a->n, a->y, a->dy, a->dx, stream)));
}

int rn_cuda_add(struct rn_backend *be, const rn_op_add *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_add(a));
    RN_CUDA_BY_TYPE(a->dtype, T, (map2<T, add_of>(a->n, a->a, a->b, a->y, stream)));
}

int rn_cuda_sigmoid_fwd(struct rn_backend *be, const rn_op_sigmoid *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_sigmoid(a));
    RN_CUDA_BY_TYPE(a->dtype, T, (map1<T, sigmoid_of>(a->n, a->x, a->y, stream)));
}

int rn_cuda_sigmoid_bwd(struct rn_backend *be, const rn_op_sigmoid_bwd *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_sigmoid_bwd(a));
    RN_CUDA_BY_TYPE(a->dtype, T, (map2<T, sigmoid_bwd_of>(a->n, a->y, a->dy, a->dx, stream)));
}

/* ---- dropout ---- */

/* rn_rng.c's block of four words, for a counter whose upper half does not count. */
static __device__ inline void philox(uint64_t block, uint32_t c1_top, uint32_t c2, uint32_t c3, uint32_t k0,
                                     uint32_t k1, uint32_t (&out)[4])
{
    uint32_t c0 = (uint32_t)block, c1 = c1_top + (uint32_t)(block >> 32);
    for (int i = 0; i < RN_PHILOX_ROUNDS; i++) {
        const uint64_t p0 = (uint64_t)RN_PHILOX_M0 * c0, p1 = (uint64_t)RN_PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += RN_PHILOX_W0;
        k1 += RN_PHILOX_W1;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* 2 s bytes, and ten rounds of Philox for four elements. One block of words: elements 4 * block - skip onwards. */
template <typename T> struct dropout_body {
    rn_op_dropout a;
    uint64_t below;  /* a word below it drops its element: p * 2^32, rounded up */
    uint32_t c1, c3; /* of the counter: rn_rng_seed's */
    bool aligned;    /* to four elements */
    float keep;

    template <int V> __device__ void at(int64_t block) const
    {
        const uint64_t seed = a.now ? a.now->seed : a.seed;
        const int64_t first = a.now ? a.now->first_image * a.each : a.first, n = a.n;
        const int skip = (int)(first % 4); /* words of the first block that are of elements before this part */
        const int64_t i = 4 * block - skip;
        const T *x = (const T *)a.x;
        T *y = (T *)a.y;
        uint32_t word[4];
        float v[4];
        philox((uint64_t)first / 4 + (uint64_t)block, c1, a.now ? a.now->step : a.step, c3, (uint32_t)seed,
               (uint32_t)(seed >> 32), word);
        if (aligned && skip == 0 && i + 4 <= n) {
            rn_load<T, 4>(x + i, v);
            for (int k = 0; k < 4; k++)
                v[k] *= word[k] < below ? 0 : keep; /* a NaN stays one */
            rn_store<T, 4>(y + i, v);
            return;
        }
        for (int k = 0; k < 4; k++)
            if (i + k >= 0 && i + k < n)
                rn_store1(y + i + k, rn_load1(x + i + k) * (word[k] < below ? 0 : keep));
    }
};

template <typename T> static int dropout(const rn_op_dropout *a, void *stream)
{
    rn_rng r;
    rn_rng_seed(&r, a->seed, RN_STREAM_DROPOUT, a->node,
                a->step); /* words 0 and 2 and the key are the kernel's to set */
    dropout_body<T> b = {};
    b.a = *a;
    b.below = (uint64_t)ceil((double)a->p * 0x1p32);
    b.c1 = r.ctr[1], b.c3 = r.ctr[3];
    b.aligned = rn_aligned(4 * sizeof(T), a->x, a->y);
    b.keep = (float)(1 / (1 - (double)a->p));
    const int64_t skip = a->now ? 3 : a->first % 4; /* at most */
    return a->n == 0 ? RN_OK : rn_point<1>(b, (skip + a->n + 3) / 4, false, stream);
}

int rn_cuda_dropout(struct rn_backend *be, const rn_op_dropout *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_dropout(a));
    RN_CUDA_BY_TYPE(a->dtype, T, dropout<T>(a, stream));
}
