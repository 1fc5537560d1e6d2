/* SPDX-License-Identifier: MIT */
/*
 * cpu:direct: kernels of one tap without padding. Which pixel lies beside which does not matter there: all of a batch are one row,
 * of which a tile takes as many as it has rows, on maps of any size. With a stride, the pixels that the window meets are a lattice
 * in the larger tensor: forward they are gathered into the strip; backward they are finished in the cache, and go to their places
 * together with the zeros around them, so that memory is written once, from end to end.
 */
#include <string.h>

#include "kernels/cpu/cpu_direct_plan.h"

#define MOST_PIXELS (1 << 30)
#define LINE        64

bool rn_direct_flatten(const rn_conv_desc *d, rn_conv_dir dir, rn_conv_desc *flat, rn_direct_lattice *l)
{
    const int64_t pixels = (int64_t)d->mb * d->oh * d->ow;
    const bool dense = d->oh == d->ih && d->ow == d->iw;

    *l = (rn_direct_lattice){0};
    *flat = *d;
    if (d->kh * d->kw != 1 || d->ph || d->pw || pixels > MOST_PIXELS)
        return false;
    /* The sums over pixels that are 0 are left to the way that visits each of them. */
    if (!dense && (d->fuse & RN_EPI_DBN))
        return false;
    flat->mb = flat->ih = flat->oh = flat->sh = flat->sw = 1;
    flat->iw = flat->ow = (int)pixels;
    if (!dense)
        *l = (rn_direct_lattice){.gathers = dir == RN_FWD,
                                 .scatters = dir == RN_BWD_D,
                                 .ih = d->ih,
                                 .iw = d->iw,
                                 .oh = d->oh,
                                 .ow = d->ow,
                                 .sh = d->sh,
                                 .sw = d->sw};
    return true;
}

rn_direct_segment rn_direct_segment_at(const rn_direct_lattice *l, int pixel, int m)
{
    rn_direct_segment s = {.x = pixel % l->ow, .y = pixel / l->ow % l->oh};
    const int n = pixel / l->ow / l->oh;

    s.count = rn_imin(m, l->ow - s.x);
    s.at = ((size_t)n * l->ih + (size_t)s.y * l->sh) * l->iw + (size_t)s.x * l->sw;
    return s;
}

void rn_direct_bring(const rn_direct_lattice *l, int pixel, int m, const char *tensor, size_t bytes, char *to)
{
    for (rn_direct_segment s; m > 0; m -= s.count, pixel += s.count) {
        s = rn_direct_segment_at(l, pixel, m);
        for (int i = 0; i < s.count; i++, to += bytes)
            memcpy(to, tensor + (s.at + (size_t)i * l->sw) * bytes, bytes);
    }
}

void rn_direct_scatter(const rn_direct_lattice *l, int pixel, int m, const char *from, size_t bytes, size_t column,
                       size_t columns, char *tensor)
{
    for (rn_direct_segment s; m > 0; m -= s.count, pixel += s.count) {
        s = rn_direct_segment_at(l, pixel, m);
        for (int i = 0; i < s.count; i++, from += bytes)
            memcpy(tensor + (s.at + (size_t)i * l->sw) * bytes + column, from + column, columns);
    }
}

void rn_direct_clear(const rn_direct_lattice *l, int pixel, int m, size_t bytes, char *tensor)
{
    for (rn_direct_segment s; m > 0; m -= s.count, pixel += s.count) {
        s = rn_direct_segment_at(l, pixel, m);
        char *row = tensor + s.at * bytes;
        const int below = (s.y + 1 == l->oh ? l->ih - s.y * l->sh : l->sh) - 1;
        /* the last pixel of a row has what is left of it, whether the stride goes on or not */
        const size_t width = (size_t)(s.x + s.count == l->ow ? l->iw - s.x * l->sw : s.count * l->sw);
        for (int i = 0; i < s.count; i++) {
            const size_t at = (size_t)i * l->sw + 1, next = i + 1 < s.count ? at + (size_t)l->sw - 1 : width;
            memset(row + at * bytes, 0, (next - at) * bytes);
        }
        for (int r = 1; r <= below; r++)
            memset(row + (size_t)r * l->iw * bytes, 0, width * bytes);
    }
}

void rn_direct_ask_pixels(const rn_direct_lattice *l, int pixel, int m, const char *tensor, size_t bytes)
{
    for (rn_direct_segment s; m > 0; m -= s.count, pixel += s.count) {
        s = rn_direct_segment_at(l, pixel, m);
        for (int i = 0; i < s.count; i++) {
            const char *from = tensor + (s.at + (size_t)i * l->sw) * bytes;
            for (size_t b = 0; b < bytes; b += LINE)
                __builtin_prefetch(from + b, 0, 3);
        }
    }
}
