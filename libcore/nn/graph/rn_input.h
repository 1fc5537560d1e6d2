/* SPDX-License-Identifier: MIT */
/*
 * Pixels of training batches on their way to a device that computes meanwhile: a stream of their own and two rooms in its memory,
 * which batches take in turns. A room's copy waits until what was there before has been read, and who reads it waits for
 * the copy; the host waits for neither. The room is read before what may be captured begins (rn_pass.c), so that one graph
 * serves both rooms and no byte is moved twice. Without streams there are no rooms: a batch is copied when its turn comes.
 *
 * For the files of this folder only; rn_net_send and rn_net_settle are everybody's.
 */
#ifndef RN_INPUT_H
#define RN_INPUT_H

#include "nn/graph/rn_net_impl.h"

/* Bytes of the rooms for a training net's batches of pixels; 0: it has none. */
size_t rn_input_bytes(const rn_net *net);
/* With the layout; `rooms`: so many bytes of device memory, 256-byte aligned, the caller's. */
int rn_input_open(rn_net *net, void *rooms);
void rn_input_close(rn_net *net); /* accepts what is half open, or not at all */

/*
 * The n images, sent by now if they were not before, become what the graph's first value holds: for what the default stream is
 * given until rn_input_done, which must follow and gives the value its own memory back. RN_E_* of the backend's.
 */
int rn_input_begin(rn_net *net, const uint8_t *images, int n);
int rn_input_done(rn_net *net);

#endif
