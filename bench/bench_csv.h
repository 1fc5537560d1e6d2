/* SPDX-License-Identifier: MIT */
/* Comma-separated values on stdout (RFC 4180), out of the rows that --json prints: numbers have the same digits. */
#ifndef BENCH_CSV_H
#define BENCH_CSV_H

#include <jansson.h>
#include <stdbool.h>

/* columns: keys, NULL-terminated; a key that the row has not, or null, is an empty field. head: the columns' names come first. */
int bench_csv_row(const char *const *columns, const json_t *row, bool head);

#endif
