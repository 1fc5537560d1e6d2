/* SPDX-License-Identifier: MIT */
/* Batches out of images in memory, value by value. */
#include "base/rn_error.h"
#include "base/rn_pick.h"
#include "kernels/ref/ref_ops.h"
#include "op/rn_op_check.h"

/* What a pick has for channel c of pixel (y, x), before it is mixed. */
static uint8_t value_of(const rn_op_pick *a, const rn_pick *p, int y, int x, int c)
{
    if (p->record >= (uint32_t)a->count)
        return 0;
    if (x >= p->hole_x && x < p->hole_x + p->hole_w && y >= p->hole_y && y < p->hole_y + p->hole_h)
        return a->fill[c];
    const int sy = p->y + y, sx = p->x + (p->mirror ? a->w - 1 - x : x);
    if (sy < 0 || sy >= a->src_h || sx < 0 || sx >= a->src_w)
        return 0;
    return a->src[(((int64_t)p->record * a->src_h + sy) * a->src_w + sx) * a->c + c];
}

int ref_pick(struct rn_backend *be, const rn_op_pick *a, void *stream)
{
    (void)be, (void)stream;
    RN_TRY(rn_op_check_pick(a));
    uint8_t *dst = a->dst;
    for (int i = 0; i < a->n; i++)
        for (int y = 0; y < a->h; y++)
            for (int x = 0; x < a->w; x++)
                for (int c = 0; c < a->c; c++) {
                    const rn_pick *p = &a->picks[i + 1];
                    const uint32_t own = value_of(a, p, y, x, c);
                    *dst++ = p->share >= RN_PICK_WHOLE
                                 ? (uint8_t)own
                                 : (uint8_t)((p->share * own +
                                              (RN_PICK_WHOLE - p->share) * value_of(a, p - 1, y, x, c) + 32768) >>
                                             16);
                }
    return RN_OK;
}
