/* SPDX-License-Identifier: MIT */
/* What the ranks of a run settle among themselves. All of them call; without ranks (NULL) nothing is changed. */
#ifndef RN_RANKS_H
#define RN_RANKS_H

#include <stdbool.h>

#include "base/rn_comm.h"
#include "run/save/rn_checkpoint.h"

/* Counts and losses are added up; the time waited is the longest. */
int rn_ranks_sums(rn_comm *c, rn_sums *s);
/* Any rank that was asked to stop stops all; rank 0's clock says when a checkpoint is due. */
int rn_ranks_agree(rn_comm *c, bool *stop, bool *due);
/* Also, all wait for any that waits for something. */
int rn_ranks_agree_ahead(rn_comm *c, bool *stop, bool *due, bool *wait);

#endif
