/* SPDX-License-Identifier: MIT */
/* Between librnkit and the shared object that knows MPI: its file, and the one function in it. */
#ifndef RN_COMM_MODULE_H
#define RN_COMM_MODULE_H

#include "base/rn_comm.h"

#define RN_COMM_MODULE        "rnkit_mpi.so"
/* Named after what has to fit; raised whenever rn_comm changes. */
#define RN_COMM_MODULE_SYMBOL "rnkit_mpi_open_1"

/* Fills `c` (zeroed). Failures are told through `fail` (rn_fail_text): the object links nothing of librnkit. */
typedef int rn_comm_module(rn_comm *c, int (*fail)(int code, const char *fmt, ...));

#endif
