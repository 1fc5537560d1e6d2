/* SPDX-License-Identifier: MIT */
/* Batches out of images in memory, row by row: black where there is nothing, pixels, the hole, then the other image. */
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_pick.h"
#include "kernels/cpu/cpu_ops.h"
#include "op/rn_op_check.h"

enum { SPAN = 256 }; /* pixels of a row at once: room for the other image's on the stack */

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int most(int a, int b)
{
    return a > b ? a : b;
}

/* Pixels from..to of row y. */
static void draw(const rn_op_pick *a, const rn_pick *p, int y, int from, int to, uint8_t *dst)
{
    const size_t c = (size_t)a->c;
    const int sy = p->y + y;
    memset(dst, 0, (size_t)(to - from) * c);
    if (p->record >= (uint32_t)a->count)
        return;
    if (sy >= 0 && sy < a->src_h) {
        const uint8_t *line = a->src + ((int64_t)p->record * a->src_h + sy) * a->src_w * a->c;
        /* pixel x is the line's p->x + x, or, mirrored, its end - x */
        const int end = p->x + a->w - 1;
        const int first = most(from, p->mirror ? end - (a->src_w - 1) : -p->x);
        const int last = least(to, p->mirror ? end + 1 : a->src_w - p->x);
        if (first < last && !p->mirror)
            memcpy(dst + (size_t)(first - from) * c, line + (size_t)(p->x + first) * c, (size_t)(last - first) * c);
        for (int x = first; p->mirror && x < last; x++)
            for (size_t k = 0; k < c; k++)
                dst[(size_t)(x - from) * c + k] = line[(size_t)(end - x) * c + k];
    }
    if (y >= p->hole_y && y < p->hole_y + p->hole_h)
        for (int x = most(from, p->hole_x); x < least(to, p->hole_x + p->hole_w); x++)
            memcpy(dst + (size_t)(x - from) * c, a->fill, c);
}

static void mix(uint8_t *x, const uint8_t *before, size_t n, uint32_t share)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (uint8_t)((share * x[i] + (RN_PICK_WHOLE - share) * before[i] + 32768) >> 16);
}

static void row(const rn_op_pick *a, const rn_pick *p, int y, uint8_t *dst)
{
    uint8_t other[SPAN * 4];
    for (int from = 0; from < a->w; from += SPAN) {
        const int to = least(from + SPAN, a->w);
        uint8_t *at = dst + (int64_t)from * a->c;
        draw(a, p, y, from, to, at);
        if (p->share >= RN_PICK_WHOLE)
            continue;
        draw(a, p - 1, y, from, to, other);
        mix(at, other, (size_t)(to - from) * (size_t)a->c, p->share);
    }
}

int cpu_pick(struct rn_backend *be, const rn_op_pick *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_pick(a));
    const int64_t rows = (int64_t)a->n * a->h, width = (int64_t)a->w * a->c;
    const int nt = cpu_ops_threads(be, rows * width);
#pragma omp parallel for schedule(static) num_threads(nt) if (nt > 1)
    for (int64_t r = 0; r < rows; r++)
        row(a, &a->picks[r / a->h + 1], (int)(r % a->h), a->dst + r * width);
    return RN_OK;
}
