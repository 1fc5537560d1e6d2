/* SPDX-License-Identifier: MIT */
/* Within the checker: which operations of streams come before which. */
#ifndef EMULATE_CHECK_ORDER_H
#define EMULATE_CHECK_ORDER_H

enum { CHECK_OPS = 1 << 15 }; /* numbers of operations, from 1; then they begin anew */

/* The one that runs, 0: none. */
extern unsigned rn_check_op;

/* Whether operation `a` is done before `b` begins, by the order of streams, events and the host's waits. */
bool rn_check_op_before(unsigned a, unsigned b);

/* To be had from emulate_check.cpp: all numbers that memory remembers are old and come before everything. */
void rn_check_ops_anew(void);

#endif
