/* SPDX-License-Identifier: MIT */
/*
 * RUN_DIR/report.html out of RUN_DIR/log.jsonl: one page that needs no other file and no network. Curves are SVG drawn
 * by gnuplot; without gnuplot the page says so and shows tables.
 */
#ifndef RN_REPORT_H
#define RN_REPORT_H

/* extra: comma list of JSON files of other tools (verify, pack, bench, eval), told apart by their keys; may be NULL. */
int rn_report_write(const char *run_dir, const char *extra);

#endif
