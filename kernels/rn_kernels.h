/* SPDX-License-Identifier: MIT */
/* The backends this build has: what a tool's main hands to libcore. */
#ifndef RN_KERNELS_H
#define RN_KERNELS_H

#include "op/rn_backend.h"

/* Ended by {NULL, NULL}. */
extern const rn_backend_entry rn_backends[];

#endif
