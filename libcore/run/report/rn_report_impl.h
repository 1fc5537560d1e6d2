/* SPDX-License-Identifier: MIT */
/* Private to the report: its parts write into one page. */
#ifndef RN_REPORT_IMPL_H
#define RN_REPORT_IMPL_H

#include <jansson.h>

#include "run/report/rn_html.h"
#include "run/report/rn_report.h"

typedef struct rn_report {
    const char *run_dir;
    json_t *run;              /* the log's first line */
    json_t *windows, *epochs; /* arrays of its other lines */
    json_t *sessions;         /* array; empty when there is no sessions.jsonl */
    json_t *predictions;      /* of the newest evaluation; NULL: none */
    json_t *last_eval, *best; /* borrowed from epochs: the newest and the best with an evaluation; NULL: none */
    rn_html h;
} rn_report;

extern const char rn_report_css[];

void rn_report_curves(rn_report *r); /* rn_report_curves.c */
void rn_report_images(rn_report *r); /* rn_report_classes.c */
void rn_report_classes(rn_report *r);
int rn_report_extras(rn_report *r, const char *extra); /* rn_report_extra.c */

/* Members of objects, with what stands for "absent". */
double rn_report_num(const json_t *o, const char *key);      /* NaN */
const char *rn_report_str(const json_t *o, const char *key); /* "" */

/* Classes of the training set. Of five or fewer every image is right among the first five: top-5 says nothing. */
int rn_report_nclasses(const rn_report *r);

/* Parses a file of one or more JSON values into an array. */
int rn_report_load(const char *path, json_t **out);
/* The same of lines that a killed process may have left half of: a last one without its end is passed over, with a warning. */
int rn_report_load_lines(const char *path, json_t **out);

void rn_report_open(rn_report *r, const char *id, const char *title); /* a section */
void rn_report_shut(rn_report *r);

#endif
