/* SPDX-License-Identifier: MIT */
/* A page of rn-bench conv's results: one file, no scripts, pictures drawn here as SVG in the page's colours. */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include <jansson.h>

#include "run/report/rn_html.h"

/* rows: those of --json. Written whole or not at all. */
int bench_page_write(const char *path, const json_t *rows);

/* What goes into one picture: rows of one type and one number of threads. */
typedef struct bench_view {
    const json_t *rows;
    const char *dtype;
    int threads;
    const char *algos[64]; /* in the order of their colours */
    int nalgos;
} bench_view;

bool bench_view_has(const bench_view *v, const json_t *row);
int bench_view_colour(const bench_view *v, const json_t *row);  /* 1..7, of the page's --c1 .. --c7 */
const char *bench_row_text(const json_t *row, const char *key); /* "" when it has none */
double bench_row_number(const json_t *row, const char *key);    /* 0 when it has none */

void bench_page_roofline(rn_html *h, const bench_view *v);              /* bench_page_roofline.c */
void bench_page_bars(rn_html *h, const bench_view *v, const char *dir); /* bench_page_bars.c */

#endif
