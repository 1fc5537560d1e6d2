/* SPDX-License-Identifier: MIT */
/* `rn-train compare RUN_DIR... --out PAGE.html`: several runs on one page. */
#ifndef RN_COMPARE_H
#define RN_COMPARE_H

/*
 * The command: options, the page, a table on stdout. argv[0] is "compare". Runs are told apart by their folders' names; those
 * that share what stands before the last '-' are one group and one picture ("step-0.01", "step-0.1"). A run that did
 * not finish is shown as far as it came. Needs nothing but the folders' log.jsonl; pictures need gnuplot, and are left out with a
 * note without it. Returns the exit code.
 */
int rn_compare_main(int argc, char **argv);

#endif
