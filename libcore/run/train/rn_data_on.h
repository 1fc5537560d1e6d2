/* SPDX-License-Identifier: MIT */
/* --data-on: where a set's batches are made, and telling so. */
#ifndef RN_DATA_ON_H
#define RN_DATA_ON_H

#include "run/train/rn_session.h"

/* Of what a device has left when its nets are there, --data-on auto takes at most 1 / this for a set. */
enum { RN_DATA_SHARE = 4 };

/*
 * Of one of the session's sets, before its loader is opened with `opts`, and again, without decoding, when that is opened anew:
 * has its batches made on the device as the recipe says, or as is best with auto; `held` (zeroed at first) keeps what that
 * takes, opts->decoded is set then, and `net` takes picks. Says in a line which way it is and why. RN_E_USAGE: --data-on device, of what
 * has to be made by the loader.
 */
int rn_data_on(rn_session *s, const char *name, rn_store *db, rn_net *net, rn_loader_opts *opts, rn_held *held);
/* After the nets and the loaders, before the backend. */
void rn_data_off(rn_held *held); /* accepts a zeroed one */

#endif
