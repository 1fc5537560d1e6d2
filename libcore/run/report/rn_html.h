/* SPDX-License-Identifier: MIT */
/* A page under construction: raw markup and escaped text into one buffer. The first failure sticks and is told at the end. */
#ifndef RN_HTML_H
#define RN_HTML_H

#include "base/rn_io.h"

typedef struct rn_html {
    rn_buf b;
    int rc; /* 0, or the first failure: later calls do nothing */
} rn_html;

void rn_html_raw(rn_html *h, const char *markup);
void rn_html_fmt(rn_html *h, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));       /* markup; no foreign text in it */
void rn_html_text(rn_html *h, const char *text); /* escaped; NULL: nothing */
/* <tag>text</tag>, attributes allowed: "td class=num". */
void rn_html_tag(rn_html *h, const char *tag, const char *text);
/* A row <tr> of a header cell and a value. */
void rn_html_pair(rn_html *h, const char *key, const char *value);
void rn_html_pairf(rn_html *h, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* 1234567 -> "1 234 567" (narrow no-break spaces); 13.4 GB; 1 h 02 min. */
const char *rn_html_count(int64_t n, char out[48]);
const char *rn_html_bytes(double n, char out[48]);
const char *rn_html_seconds(double s, char out[48]);

#endif
