/* SPDX-License-Identifier: MIT */
/* The devices of a run's ranks: which of them takes which, and how they add up. */
#ifndef RN_DEVICES_H
#define RN_DEVICES_H

#include "run/train/rn_session.h"

/* Which of its machine's devices this rank takes: the launcher says which of the ranks there it is, or the names of their
 * machines do. 0 without ranks. */
int rn_devices_place(rn_comm *c, int *place);

/*
 * After the backends are open. RN_E_ABSENT, on all ranks, where two have the same device, unless --comm host says that they may;
 * then, for a training session, joins the devices as --comm asks (rn_backend.ranks_open), and tells how sums are made.
 */
int rn_devices_join(rn_session *s, bool train);

enum { RN_DEVICES_HOW_MAX = 256 };
/* What makes the sums, for the log: "NCCL 2.28.3 ...", "Open MPI v4.1.4 ..."; "" for one rank. Returns `out`. */
const char *rn_devices_how(const rn_session *s, char out[RN_DEVICES_HOW_MAX]);

#endif
