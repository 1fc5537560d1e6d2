/* SPDX-License-Identifier: MIT */
#include "run/report/rn_html.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

static void put(rn_html *h, const char *s, size_t n)
{
    if (h->rc == RN_OK)
        h->rc = rn_buf_append(&h->b, s, n);
}

void rn_html_raw(rn_html *h, const char *markup)
{
    put(h, markup, strlen(markup));
}

static char *format(rn_html *h, const char *fmt, va_list ap)
{
    char *s = NULL;
    if (h->rc == RN_OK && vasprintf(&s, fmt, ap) < 0) {
        h->rc = rn_fail(RN_E_NOMEM, "no memory for the report");
        return NULL;
    }
    return s;
}

void rn_html_fmt(rn_html *h, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = format(h, fmt, ap);
    va_end(ap);
    if (s)
        rn_html_raw(h, s);
    free(s);
}

void rn_html_text(rn_html *h, const char *text)
{
    for (const char *p = text ? text : ""; *p; p++) {
        size_t plain = strcspn(p, "&<>\"'");
        put(h, p, plain);
        p += plain;
        switch (*p) {
        case '&':
            rn_html_raw(h, "&amp;");
            break;
        case '<':
            rn_html_raw(h, "&lt;");
            break;
        case '>':
            rn_html_raw(h, "&gt;");
            break;
        case '"':
            rn_html_raw(h, "&quot;");
            break;
        case '\'':
            rn_html_raw(h, "&#39;");
            break;
        default:
            return;
        }
    }
}

void rn_html_tag(rn_html *h, const char *tag, const char *text)
{
    rn_html_fmt(h, "<%s>", tag);
    rn_html_text(h, text);
    rn_html_fmt(h, "</%.*s>", (int)strcspn(tag, " "), tag);
}

void rn_html_pair(rn_html *h, const char *key, const char *value)
{
    rn_html_raw(h, "<tr>");
    rn_html_tag(h, "th", key);
    rn_html_tag(h, "td", value);
    rn_html_raw(h, "</tr>\n");
}

void rn_html_pairf(rn_html *h, const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = format(h, fmt, ap);
    va_end(ap);
    if (s)
        rn_html_pair(h, key, s);
    free(s);
}

const char *rn_html_count(int64_t n, char out[48])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0 && digits[i - 1] != '-')
            at += snprintf(out + at, 48 - (size_t)at, "\u202f");
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}

const char *rn_html_bytes(double n, char out[48])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    int u = 0;
    while (n >= 1000 && u < 4) {
        n /= 1000;
        u++;
    }
    snprintf(out, 48, "%.*f %s", u && n < 100 ? 1 : 0, n, units[u]);
    return out;
}

const char *rn_html_seconds(double s, char out[48])
{
    if (s < 60)
        snprintf(out, 48, "%.1f s", s);
    else if (s < 3600)
        snprintf(out, 48, "%d min %02d s", (int)s / 60, (int)s % 60);
    else
        snprintf(out, 48, "%d h %02d min", (int)s / 3600, (int)s / 60 % 60);
    return out;
}
