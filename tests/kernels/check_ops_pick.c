/* SPDX-License-Identifier: MIT */
/*
 * Batches out of images in memory: windows inside, across and far outside of them, mirrored, holes at and over every border,
 * mixed and not, records that are not there; rows of whole words and of odd bytes. Bytes have to be equal. (That the reference
 * does what a loader does is test_picks' business.)
 */
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_pick.h"
#include "check_ops.h"
#include "kernels/ref/ref_ops.h"

typedef struct shape {
    int n, h, w, c, count, src_h, src_w;
} shape;

static const shape shapes[] = {{1, 1, 1, 1, 1, 1, 1},       {5, 4, 4, 3, 7, 4, 4},   {33, 32, 32, 3, 40, 32, 32},
                               {9, 28, 28, 1, 12, 28, 28},  {7, 5, 7, 3, 3, 9, 11},  {4, 13, 300, 1, 2, 11, 310},
                               {3, 17, 301, 3, 2, 20, 290}, {6, 6, 10, 2, 5, 6, 10}, {40, 24, 24, 3, 9, 32, 36}};

static int16_t between(check_run *r, int lo, int hi)
{
    return (int16_t)(lo + (int)rn_rng_below(&r->rng, (uint32_t)(hi - lo + 1)));
}

/* As a loader draws them, and some that none would. */
static rn_pick draw(check_run *r, const shape *s, int i)
{
    const int wild = i % 5 == 4;
    const int pad = wild ? 40 : 4;
    rn_pick p = {.record = rn_rng_below(&r->rng, (uint32_t)s->count),
                 .share = i % 3 == 2 ? rn_rng_below(&r->rng, RN_PICK_WHOLE + 1) : RN_PICK_WHOLE,
                 .x = between(r, -pad, s->src_w - s->w > -pad ? s->src_w - s->w + pad : pad),
                 .y = between(r, -pad, s->src_h - s->h > -pad ? s->src_h - s->h + pad : pad),
                 .mirror = i & 1};
    if (i % 4 < 2) {
        p.hole_x = between(r, wild ? -5 : 0, s->w - 1);
        p.hole_y = between(r, wild ? -5 : 0, s->h - 1);
        p.hole_w = between(r, 0, s->w);
        p.hole_h = between(r, 0, s->h);
    }
    if (i % 11 == 7)
        p.record = i & 1 ? (uint32_t)s->count : RN_PICK_NONE;
    return p;
}

static void pick(check_run *r, rn_backend *be, const void *what)
{
    const shape s = *(const shape *)what;
    const size_t line = (size_t)s.w * (size_t)s.c, n = (size_t)s.n * (size_t)s.h * line;
    const size_t stored = (size_t)s.count * (size_t)s.src_h * (size_t)s.src_w * (size_t)s.c;
    uint8_t *src = check_bytes(r, stored), *got = check_bytes(r, n), *want = check_bytes(r, n);
    rn_pick *picks = check_bytes(r, (size_t)(s.n + 1) * sizeof *picks);
    for (size_t i = 0; i < stored; i++)
        src[i] = (uint8_t)rn_rng_below(&r->rng, 256);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i <= s.n; i++)
            picks[i] = draw(r, &s, i + 7 * round);
        picks[0].share = 1; /* nobody looks at it: the first has no other before it */
        const rn_op_pick a = {s.n, s.h, s.w, s.c, s.count, s.src_h, s.src_w, src, picks, {9, 130, 251, 77}, got};
        rn_op_pick w = a;
        w.dst = want;
        check_ran(r, "pick", be->ops->pick(be, &a, NULL));
        check_ran(r, "ref", rn_ref_ops.pick(NULL, &w, NULL));
        check_bits(r, "pixels", got, want, n);
        check_poison(got, n);
    }
    rn_op_pick bad = {s.n, s.h, s.w, 5, s.count, s.src_h, s.src_w, src, picks, {0}, got};
    if (be->ops->pick(be, &bad, NULL) == RN_OK)
        check_fail(r, "five channels were taken");
}

static void run(check_run *r)
{
    char cas[48];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape *s = &shapes[i];
        snprintf(cas, sizeof cas, "%dx%dx%dx%d-of-%dx%dx%d", s->n, s->h, s->w, s->c, s->count, s->src_h, s->src_w);
        check_ops_each(r, "pick", cas, "pick", pick, s);
    }
}

const check_group check_pick_group = {"pick", run};
