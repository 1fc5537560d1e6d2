/* SPDX-License-Identifier: MIT */
/*
 * The weights are f32 and stay so (rn_op.h): what is 16 bits wide is widened into scratch and multiplied in f32, and results are
 * narrowed behind it. The weights' gradient is of 16-bit values on both sides, whose products are exact in f32: it takes the
 * tensor cores as it is.
 */
#include "kernels/cuda/cuda_blas_linear.h"

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_blas.h"
#include "kernels/cuda/cuda_ops.h"

extern "C" {
#include "base/rn_error.h"
}

/* A tensor and, where it is not f32, its f32 values in scratch. */
typedef struct wide {
    void *own;
    rn_dtype type;
    int64_t n;
    float *v;
} wide;

/* Takes room for t from *at on where it needs some, or only counts its bytes where room is NULL. */
static void place(wide *t, char *room, size_t *at)
{
    t->v = t->type == RN_F32 ? (float *)t->own : room ? (float *)(void *)(room + *at) : NULL;
    *at += t->type == RN_F32 ? 0 : ((size_t)t->n * sizeof(float) + 255) / 256 * 256;
}

static int read(struct rn_backend *be, const wide *t, void *stream)
{
    const rn_op_convert widen = {t->type, RN_F32, t->n, t->own, t->v};

    return t->type == RN_F32 ? RN_OK : rn_cuda_convert(be, &widen, stream);
}

static int write(struct rn_backend *be, const wide *t, void *stream)
{
    const rn_op_convert narrow = {RN_F32, t->type, t->n, t->v, t->own};

    return t->type == RN_F32 ? RN_OK : rn_cuda_convert(be, &narrow, stream);
}

/* y = x w^T + b (fwd), x (+)= y w (bwd_d) */
static int by_weights(struct rn_backend *be, const rn_op_linear *a, bool back, void *stream)
{
    wide x = {a->x, a->dtype, (int64_t)a->mb * a->ic, NULL}, y = {a->y, a->y_dtype, (int64_t)a->mb * a->oc, NULL};
    wide *from = back ? &y : &x, *to = back ? &x : &y;
    rn_blas_product p = {};
    void *room = NULL;
    size_t at = RN_BLAS_WORKSPACE;

    place(&x, NULL, &at);
    place(&y, NULL, &at);
    RN_TRY(rn_cuda_scratch(be, at, &room));
    at = RN_BLAS_WORKSPACE;
    place(&x, (char *)room, &at);
    place(&y, (char *)room, &at);
    p.m = back ? a->ic : a->oc;
    p.n = a->mb;
    p.k = back ? a->oc : a->ic;
    p.type = RN_F32;
    p.turned_a = back;
    p.add = back && a->beta;
    p.a = a->w;
    p.b = from->v;
    p.bias = back ? NULL : a->b;
    p.d = to->v;
    RN_TRY(read(be, from, stream));
    if (p.add)
        RN_TRY(read(be, to, stream));
    const int done = rn_blas_multiply(be, &p, room, stream);
    if (done == 1)
        RN_TRY(write(be, to, stream));
    return done;
}

/* w = y^T x */
static int to_weights(struct rn_backend *be, const rn_op_linear *a, void *stream)
{
    wide x = {a->x, a->dtype, (int64_t)a->mb * a->ic, NULL}, y = {a->y, a->y_dtype, (int64_t)a->mb * a->oc, NULL};
    const bool as_it_is = x.type == y.type;
    rn_blas_product p = {};
    void *room = NULL;
    size_t at = RN_BLAS_WORKSPACE;

    if (!as_it_is) {
        place(&x, NULL, &at);
        place(&y, NULL, &at);
    }
    RN_TRY(rn_cuda_scratch(be, at, &room));
    at = RN_BLAS_WORKSPACE;
    if (!as_it_is) {
        place(&x, (char *)room, &at);
        place(&y, (char *)room, &at);
        RN_TRY(read(be, &x, stream));
        RN_TRY(read(be, &y, stream));
    }
    p.m = a->ic;
    p.n = a->oc;
    p.k = a->mb;
    p.type = as_it_is ? x.type : RN_F32;
    p.turned_a = p.turned_b = true;
    p.a = as_it_is ? x.own : x.v;
    p.b = as_it_is ? y.own : y.v;
    p.d = (float *)a->w;
    return rn_blas_multiply(be, &p, room, stream);
}

int rn_blas_linear(struct rn_backend *be, const rn_op_linear *a, rn_conv_dir dir, void *stream)
{
    if (!rn_blas_there(be))
        return 0;
    return dir == RN_BWD_W ? to_weights(be, a, stream) : by_weights(be, a, dir == RN_BWD_D, stream);
}
