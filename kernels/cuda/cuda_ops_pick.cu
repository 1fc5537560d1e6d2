/* SPDX-License-Identifier: MIT */
/*
 * Batches out of images in the device's memory. A thread makes four bytes of a row, or, of rows that are no whole words, one:
 * what it writes is one word beside its neighbours'. What it reads are bytes: padding moves a row by any number of them, and a mirror
 * turns pixels round, but all of a row's lie together, so that a warp asks memory for the two or three lines of its rows, once, and
 * the cache for the rest. 2 bytes a value.
 */
extern "C" {
#include "base/rn_error.h"
#include "base/rn_pick.h"
#include "kernels/cuda/cuda_ops.h"
#include "op/rn_op_check.h"
}
#include "kernels/cuda/cuda_vec.h"

enum { WORD = 4 };

struct pick_body {
    rn_op_pick a;
    int width; /* bytes of a row */

    __device__ uint32_t value_of(const rn_pick &p, int y, int x, int c) const
    {
        if (p.record >= (uint32_t)a.count)
            return 0;
        if (x >= p.hole_x && x < p.hole_x + p.hole_w && y >= p.hole_y && y < p.hole_y + p.hole_h)
            return c == 0 ? a.fill[0] : c == 1 ? a.fill[1] : c == 2 ? a.fill[2] : a.fill[3]; /* no indexed local copy */
        const int sy = p.y + y, sx = p.x + (p.mirror ? a.w - 1 - x : x);
        if ((unsigned)sy >= (unsigned)a.src_h || (unsigned)sx >= (unsigned)a.src_w)
            return 0;
        return a.src[(((int64_t)p.record * a.src_h + sy) * a.src_w + sx) * a.c + c];
    }

    /* V bytes of one row. */
    template <int V> __device__ void at(int64_t i) const
    {
        const int64_t line = i / width;
        const int within = (int)(i - line * width), image = (int)(line / a.h), y = (int)(line - (int64_t)image * a.h);
        const rn_pick p = a.picks[image + 1];
        rn_vec_pack<uint8_t, V> out;
        int x = within / a.c, c = within - x * a.c;
        rn_pick before = {};
        if (p.share < RN_PICK_WHOLE)
            before = a.picks[image];
        RN_UNROLL
        for (int k = 0; k < V; k++) {
            uint32_t v = value_of(p, y, x, c);
            if (p.share < RN_PICK_WHOLE)
                v = (p.share * v + (RN_PICK_WHOLE - p.share) * value_of(before, y, x, c) + 32768) >> 16;
            out.e[k] = (uint8_t)v;
            c = c + 1 == a.c ? 0 : c + 1;
            x += c == 0;
        }
        *(typename rn_vec_word<V>::type *)(a.dst + i) = out.word;
    }
};

int rn_cuda_pick(struct rn_backend *be, const rn_op_pick *a, void *stream)
{
    (void)be;
    RN_TRY(rn_op_check_pick(a));
    const pick_body b = {*a, a->w * a->c};
    return rn_point<WORD>(b, (int64_t)a->n * a->h * b.width, b.width % WORD == 0 && rn_aligned(WORD, a->dst), stream);
}
