/* SPDX-License-Identifier: MIT */
#include "nn/graph/rn_input.h"

#include <stdlib.h>

#include "base/rn_error.h"

enum { ROOMS = 2 };

typedef struct room {
    void *pixels;         /* a whole batch's */
    rn_event there, read; /* the copy has come; nobody needs it any more */
} room;

struct rn_input {
    rn_stream stream;
    room rooms[ROOMS];
    int at;              /* the room that the next batch has, or has been sent to */
    const uint8_t *sent; /* what is on its way there; NULL: nothing */
    int n;               /* images of it */
};

static size_t bytes_of(const rn_net *net, int n)
{
    return rn_tensor_bytes(&net->graph.values[net->graph.images].t) / (size_t)net->opts.batch * (size_t)n;
}

static size_t room_bytes(const rn_net *net)
{
    return rn_net_aligned(bytes_of(net, net->opts.batch));
}

size_t rn_input_bytes(const rn_net *net)
{
    const rn_backend *be = net->be;
    return net->opts.train && be->stream_open && be->event_wait ? ROOMS * room_bytes(net) : 0;
}

int rn_input_open(rn_net *net, void *rooms)
{
    rn_backend *be = net->be;
    if (!rn_input_bytes(net))
        return RN_OK;
    rn_input *in = calloc(1, sizeof *in);
    if (!in)
        return rn_fail(RN_E_NOMEM, "net: out of memory");
    net->input = in; /* whatever happens: rn_input_close cleans up */
    RN_TRY(be->stream_open(be, &in->stream));
    for (int i = 0; i < ROOMS; i++) {
        in->rooms[i].pixels = (uint8_t *)rooms + (size_t)i * room_bytes(net);
        RN_TRY(be->event_open(be, &in->rooms[i].there));
        RN_TRY(be->event_open(be, &in->rooms[i].read));
    }
    return RN_OK;
}

void rn_input_close(rn_net *net)
{
    rn_backend *be = net->be;
    rn_input *in = net->input;
    if (!in)
        return;
    if (in->stream)
        be->sync(be, in->stream);
    for (int i = 0; i < ROOMS; i++) {
        be->event_close(be, in->rooms[i].there);
        be->event_close(be, in->rooms[i].read);
    }
    be->stream_close(be, in->stream);
    free(in);
    net->input = NULL;
}

int rn_net_send(rn_net *net, const uint8_t *images, int n)
{
    rn_backend *be = net->be;
    rn_input *in = net->input;
    if (!in)
        return RN_OK;
    if (n != net->opts.batch)
        return rn_fail(RN_E_RANGE, "net: %d images for a training batch of %d", n, net->opts.batch);
    const room *r = &in->rooms[in->at];
    RN_TRY(be->event_wait(be, r->read, in->stream));
    RN_TRY(be->copy(be, r->pixels, images, bytes_of(net, n), RN_COPY_H2D, in->stream));
    RN_TRY(be->event_record(be, r->there, in->stream));
    in->sent = images;
    in->n = n;
    return RN_OK;
}

int rn_net_settle(rn_net *net)
{
    rn_backend *be = net->be;
    for (int i = 0; i < RN_NET_TURNS; i++)
        net->turns[i].n = 0;
    if (net->input) {
        net->input->sent = NULL;
        RN_TRY(be->sync(be, net->input->stream));
    }
    return be->sync ? be->sync(be, NULL) : RN_OK;
}

int rn_input_begin(rn_net *net, const uint8_t *images, int n)
{
    rn_backend *be = net->be;
    rn_input *in = net->input;
    if (in->sent != images || in->n != n)
        RN_TRY(rn_net_send(net, images, n));
    in->sent = NULL;
    RN_TRY(be->event_wait(be, in->rooms[in->at].there, NULL));
    net->graph.values[net->graph.images].t.data = in->rooms[in->at].pixels;
    return RN_OK;
}

int rn_input_done(rn_net *net)
{
    rn_input *in = net->input;
    const room *r = &in->rooms[in->at];
    rn_value *v = &net->graph.values[net->graph.images];
    v->t.data = rn_net_slot(net, RN_SLOT_VALUE, v->stored);
    in->at = (in->at + 1) % ROOMS;
    return net->be->event_record(net->be, r->read, NULL);
}
