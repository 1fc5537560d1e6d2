/* SPDX-License-Identifier: MIT */
/* Element by element: blocks of CPU_OPS_SMALL values, handed out in order. */
#include "base/rn_error.h"
#include "base/rn_origin.h"
#include "kernels/cpu/cpu_ops.h"
#include "op/rn_op_check.h"
#include "op/rn_op_now.h"

int cpu_relu_fwd(struct rn_backend *be, const rn_op_relu *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_relu(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int nt = cpu_ops_threads(be, a->n);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < cpu_ops_blocks(a->n); b++) {
        const int64_t o = b * CPU_OPS_SMALL;
        k->relu_fwd(cpu_ops_block_len(a->n, b), cpu_ops_at(a->x, a->dtype, o), cpu_ops_to(a->y, a->dtype, o));
    }
    return RN_OK;
}

int cpu_relu_bwd(struct rn_backend *be, const rn_op_relu_bwd *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_relu_bwd(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int nt = cpu_ops_threads(be, a->n);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < cpu_ops_blocks(a->n); b++) {
        const int64_t o = b * CPU_OPS_SMALL;
        k->relu_bwd(cpu_ops_block_len(a->n, b), cpu_ops_at(a->y, a->dtype, o), cpu_ops_at(a->dy, a->dtype, o),
                    cpu_ops_to(a->dx, a->dtype, o));
    }
    return RN_OK;
}

int cpu_add(struct rn_backend *be, const rn_op_add *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_add(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int nt = cpu_ops_threads(be, a->n);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < cpu_ops_blocks(a->n); b++) {
        const int64_t o = b * CPU_OPS_SMALL;
        k->add(cpu_ops_block_len(a->n, b), cpu_ops_at(a->a, a->dtype, o), cpu_ops_at(a->b, a->dtype, o),
               cpu_ops_to(a->y, a->dtype, o));
    }
    return RN_OK;
}

/* Less a mean image: row by row of the images, whose windows lie in different places. */
static void normalize_less(struct rn_backend *be, const rn_op_normalize *a)
{
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int64_t lines = a->rows / a->w, width = (int64_t)a->w * a->c;
    const int nt = cpu_ops_threads(be, a->rows * a->c);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t i = 0; i < lines; i++) {
        const rn_origin *win = &a->windows[i / a->h];
        const int64_t y = i % a->h + win->y, x = win->mirror ? win->x + a->w - 1 : win->x;
        k->normalize_less(a->w, a->c, a->src + i * width, cpu_ops_to(a->dst, a->dtype, i * width), a->mul,
                          a->image + (y * a->image_w + x) * a->c, win->mirror ? -a->c : a->c);
    }
}

/* Three channels make a poor vector: rows are taken many at a time, with the constants repeated. */
int cpu_normalize(struct rn_backend *be, const rn_op_normalize *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_normalize(a));
    if (a->image) {
        normalize_less(be, a);
        return RN_OK;
    }
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int fold = cpu_ops_fold(a->c), width = a->c * fold;
    float wide_mul[16 * CPU_OPS_FOLD_BELOW], wide_add[16 * CPU_OPS_FOLD_BELOW];
    const float *mul = a->mul, *add = a->add;
    if (fold > 1) {
        for (int i = 0; i < width; i++) {
            wide_mul[i] = a->mul[i % a->c];
            wide_add[i] = a->add[i % a->c];
        }
        mul = wide_mul, add = wide_add;
    }
    const int64_t rows = a->rows / fold, per = CPU_OPS_SMALL / width + 1, blocks = (rows + per - 1) / per;
    const int nt = cpu_ops_threads(be, a->rows * a->c);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t n = rows - b * per < per ? rows - b * per : per, o = b * per * width;
        k->normalize(n, width, a->src + o, cpu_ops_to(a->dst, a->dtype, o), mul, add);
    }
    k->normalize(a->rows % fold, a->c, a->src + rows * width, cpu_ops_to(a->dst, a->dtype, rows * width), mul, add);
    return RN_OK;
}

int cpu_sigmoid_fwd(struct rn_backend *be, const rn_op_sigmoid *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_sigmoid(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int nt = cpu_ops_threads(be, a->n);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < cpu_ops_blocks(a->n); b++) {
        const int64_t o = b * CPU_OPS_SMALL;
        k->sigmoid_fwd(cpu_ops_block_len(a->n, b), cpu_ops_at(a->x, a->dtype, o), cpu_ops_to(a->y, a->dtype, o));
    }
    return RN_OK;
}

int cpu_sigmoid_bwd(struct rn_backend *be, const rn_op_sigmoid_bwd *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_sigmoid_bwd(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const int nt = cpu_ops_threads(be, a->n);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < cpu_ops_blocks(a->n); b++) {
        const int64_t o = b * CPU_OPS_SMALL;
        k->sigmoid_bwd(cpu_ops_block_len(a->n, b), cpu_ops_at(a->y, a->dtype, o), cpu_ops_at(a->dy, a->dtype, o),
                       cpu_ops_to(a->dx, a->dtype, o));
    }
    return RN_OK;
}

int cpu_dropout(struct rn_backend *be, const rn_op_dropout *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_dropout(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const rn_op_dropout now = rn_op_dropout_of_now(a);
    rn_rng r;
    rn_rng_seed(&r, now.seed, RN_STREAM_DROPOUT, now.node, now.step);
    const int nt = cpu_ops_threads(be, a->n * 4);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < cpu_ops_blocks(a->n); b++)
        k->dropout(&now, &r, b * CPU_OPS_SMALL, b * CPU_OPS_SMALL + cpu_ops_block_len(a->n, b));
    return RN_OK;
}

/* One block, through f32 on the stack where neither side is f32. */
static void convert_block(const struct rn_backend *be, const rn_op_convert *a, int64_t from, int64_t n)
{
    const void *src = cpu_ops_at(a->src, a->from, from);
    void *dst = cpu_ops_to(a->dst, a->to, from);
    if (a->to == RN_F32) {
        cpu_ops_widen(be, a->from, src, dst, n);
    } else if (a->from == RN_F32) {
        cpu_ops_narrow(be, a->to, src, dst, n);
    } else {
        float wide[1024];
        for (int64_t i = 0; i < n; i += 1024) {
            const int64_t some = n - i < 1024 ? n - i : 1024;
            cpu_ops_widen(be, a->from, cpu_ops_at(src, a->from, i), wide, some);
            cpu_ops_narrow(be, a->to, wide, cpu_ops_to(dst, a->to, i), some);
        }
    }
}

int cpu_convert(struct rn_backend *be, const rn_op_convert *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_convert(a));
    const int nt = cpu_ops_threads(be, a->n);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t b = 0; b < cpu_ops_blocks(a->n); b++)
        convert_block(be, a, b * CPU_OPS_SMALL, cpu_ops_block_len(a->n, b));
    return RN_OK;
}
