/* SPDX-License-Identifier: MIT */
/* Strict numbers: strtol and strtod do the arithmetic, the grammar is checked before. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"

static const char *skip_digits(const char *s)
{
    while (*s >= '0' && *s <= '9')
        s++;
    return s;
}

static bool is_integer(const char *s)
{
    if (*s == '-')
        s++;
    const char *end = skip_digits(s);
    return end > s && *end == 0;
}

/* -? (digits [. digits?] | . digits) ([eE] [+-]? digits)? : no hex, no nan, no inf */
static bool is_real(const char *s)
{
    if (*s == '-')
        s++;
    const char *p = skip_digits(s);
    long digits = p - s;
    if (*p == '.') {
        const char *frac = p + 1;
        p = skip_digits(frac);
        digits += p - frac;
    }
    if (digits == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-')
            p++;
        const char *exp = p;
        p = skip_digits(exp);
        if (p == exp)
            return false;
    }
    return *p == 0;
}

int rn_parse_i64(const char *s, int64_t lo, int64_t hi, int64_t *out)
{
    errno = 0;
    long long v = is_integer(s) ? strtoll(s, NULL, 10) : 0;
    if (is_integer(s) && errno == 0 && v >= lo && v <= hi) {
        *out = v;
        return RN_OK;
    }
    if (lo == INT64_MIN && hi == INT64_MAX)
        return rn_fail(RN_E_USAGE, "'%s' is not an integer of 64 bits", s);
    if (hi == INT64_MAX)
        return rn_fail(RN_E_USAGE, "'%s' is not an integer of at least %" PRId64, s, lo);
    return rn_fail(RN_E_USAGE, "'%s' is not an integer from %" PRId64 " to %" PRId64, s, lo, hi);
}

int rn_parse_u64(const char *s, uint64_t *out)
{
    errno = 0;
    if (is_integer(s) && *s != '-') {
        unsigned long long v = strtoull(s, NULL, 10);
        if (errno == 0) {
            *out = v;
            return RN_OK;
        }
    }
    return rn_fail(RN_E_USAGE, "'%s' is not an integer from 0 to %" PRIu64, s, UINT64_MAX);
}

int rn_parse_real(const char *s, double lo, double hi, double *out)
{
    /* A result of 0 from a text that is not 0 (1e-999) is an underflow: a typo rather than a wish. */
    errno = 0;
    double v = is_real(s) ? strtod(s, NULL) : NAN;
    bool lost = errno == ERANGE && (v == 0 || !isfinite(v));
    if (!lost && v >= lo && v <= hi) {
        *out = v;
        return RN_OK;
    }
    if (isinf(lo) && isinf(hi))
        return rn_fail(RN_E_USAGE, "'%s' is not a finite number", s);
    if (isinf(hi))
        return rn_fail(RN_E_USAGE, "'%s' is not a number of at least %g", s, lo);
    return rn_fail(RN_E_USAGE, "'%s' is not a number from %g to %g", s, lo, hi);
}

/* Length of the character at p, 0 if it is malformed (a NUL ends every comparison below, so nothing beyond it is read). */
static size_t utf8_length(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] >= 0xa0, beyond = p[0] == 0xf4 && p[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : n;
}

bool rn_utf8_ok(const char *s)
{
    for (const unsigned char *p = (const unsigned char *)s; *p;) {
        size_t n = utf8_length(p);
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

char *rn_utf8_escape(const char *s)
{
    static const char hex[] = "0123456789abcdef";
    char *out = malloc(4 * strlen(s) + 1), *to = out;
    for (const unsigned char *p = (const unsigned char *)s; out && *p;) {
        size_t n = utf8_length(p);
        if (n) {
            memcpy(to, p, n);
            to += n;
            p += n;
            continue;
        }
        *to++ = '\\';
        *to++ = 'x';
        *to++ = hex[*p >> 4];
        *to++ = hex[*p++ & 15];
    }
    if (out)
        *to = 0;
    return out;
}

int rn_jobs(int64_t n)
{
    if (n > 0)
        return (int)(n < 65536 ? n : 65536);
    /* Affinity, not the machine: a container or taskset may grant fewer cores than are online. */
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}
