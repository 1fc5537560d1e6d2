/* SPDX-License-Identifier: MIT */
#include "nn/graph/rn_stock.h"

#include <string.h>

#include "base/rn_error.h"
#include "nn/graph/rn_net_impl.h"

static size_t image_bytes(const rn_stock *s)
{
    return (size_t)s->h * (size_t)s->w * (size_t)s->c;
}

int rn_stock_open(rn_backend *be, int count, int h, int w, int c, rn_stock *out)
{
    void *p;
    *out = (rn_stock){.be = be, .count = count, .h = h, .w = w, .c = c};
    const size_t bytes = (size_t)count * image_bytes(out);
    int rc = be->alloc(be, bytes, &p);
    if (rc < 0)
        return rn_fail_prefix(rc, "%d decoded images (%zu bytes)", count, bytes);
    out->pixels = p;
    return RN_OK;
}

int rn_stock_put(const rn_stock *s, const uint8_t *images, int first, int n)
{
    rn_backend *be = s->be;
    if (first < 0 || n < 0 || n > s->count - first)
        return rn_fail(RN_E_RANGE, "images %d to %d of %d", first, first + n - 1, s->count);
    RN_TRY(be->copy(be, s->pixels + (size_t)first * image_bytes(s), images, (size_t)n * image_bytes(s), RN_COPY_H2D,
                    NULL));
    return be->sync ? be->sync(be, NULL) : RN_OK;
}

void rn_stock_close(rn_stock *s)
{
    if (s->be)
        s->be->free(s->be, s->pixels);
    *s = (rn_stock){0};
}

int rn_net_set_stock(rn_net *net, const rn_stock *stock)
{
    rn_backend *be = net->be;
    void *p;
    net->stock = stock;
    if (!stock)
        return RN_OK;
    if (stock->be != be || stock->c != net->spec.channels)
        return rn_fail(RN_E_MISMATCH, "net: decoded images of %d channels, or of another device", stock->c);
    if (net->picks)
        return RN_OK;
    RN_TRY(be->alloc(be, (size_t)(net->opts.batch + 1) * sizeof *net->picks, &p));
    net->picks = p;
    return RN_OK;
}

int rn_net_set_picks(rn_net *net, const rn_pick *picks, int n)
{
    if (!net->stock || !picks || n < 1 || n > net->opts.batch)
        return rn_fail(RN_E_RANGE, "net: %d picks%s; this net takes 1..%d", picks ? n : 0,
                       net->stock ? "" : " of no images", net->opts.batch);
    net->picked = n;
    return net->be->copy(net->be, net->picks, picks, (size_t)(n + 1) * sizeof *picks, RN_COPY_H2D, NULL);
}

int rn_net_pick(rn_net *net, int n)
{
    const rn_tensor *t = &net->graph.values[net->graph.images].t;
    const rn_stock *s = net->stock;
    const int picked = net->picked;
    net->picked = 0;
    if (!s || picked != n)
        return rn_fail(RN_E_RANGE, "net: a batch of %d images without pixels, of which %d were picked", n, picked);
    rn_op_pick a = {.n = n,
                    .h = (int)t->dim[1],
                    .w = (int)t->dim[2],
                    .c = (int)t->dim[3],
                    .count = s->count,
                    .src_h = s->h,
                    .src_w = s->w,
                    .src = s->pixels,
                    .picks = net->picks,
                    .dst = t->data};
    memcpy(a.fill, s->fill, sizeof a.fill);
    return net->be->ops->pick(net->be, &a, NULL);
}
