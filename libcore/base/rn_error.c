/* SPDX-License-Identifier: MIT */
#include "base/rn_error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 1024

static _Thread_local char last_text[TEXT_MAX];

/* Arguments may point into last_text (a caller that rewrites rn_error_text()), so every message is
 * built aside and copied in. */
static void set_text(const char *text)
{
    memcpy(last_text, text, strlen(text) + 1);
}

int rn_fail_text(int code, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    set_text(text);
    return code;
}

static int status_of_errno(int err)
{
    switch (err) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return RN_E_NOSPACE;
    case ENOENT:
        return RN_E_NOENT;
    case ENOMEM:
        return RN_E_NOMEM;
    default:
        return RN_E_IO;
    }
}

int rn_fail_errno_text(int err, const char *fmt, ...)
{
    char text[TEXT_MAX], reason[128];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    /* GNU strerror_r: thread-safe, and it may return a constant instead of filling the buffer. */
    const char *why = strerror_r(err, reason, sizeof(reason));
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at >= sizeof(text))
        at = sizeof(text) - 1;
    snprintf(text + at, sizeof(text) - at, ": %s", why);
    set_text(text);
    return status_of_errno(err);
}

int rn_fail_prefix_text(int code, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n;
    /* Used as a condition because a long message may be cut here, and that is meant. */
    if (at < sizeof(text) && snprintf(text + at, sizeof(text) - at, ": %s", last_text) < 0)
        text[at] = 0;
    set_text(text);
    return code;
}

const char *rn_error_text(void)
{
    return last_text;
}

const char *rn_status_name(int code)
{
    switch (code) {
    case RN_OK:
        return "RN_OK";
    case RN_E_NOMEM:
        return "RN_E_NOMEM";
    case RN_E_IO:
        return "RN_E_IO";
    case RN_E_NOSPACE:
        return "RN_E_NOSPACE";
    case RN_E_NOENT:
        return "RN_E_NOENT";
    case RN_E_USAGE:
        return "RN_E_USAGE";
    case RN_E_FORMAT:
        return "RN_E_FORMAT";
    case RN_E_MISMATCH:
        return "RN_E_MISMATCH";
    case RN_E_RANGE:
        return "RN_E_RANGE";
    case RN_E_UNSUPPORTED:
        return "RN_E_UNSUPPORTED";
    case RN_E_NOTHING:
        return "RN_E_NOTHING";
    case RN_E_ABSENT:
        return "RN_E_ABSENT";
    case RN_E_INTERRUPTED:
        return "RN_E_INTERRUPTED";
    default:
        return "unknown status";
    }
}

int rn_exit_code(int status)
{
    if (status >= 0)
        return RN_EXIT_DONE;
    switch (status) {
    case RN_E_USAGE:
        return RN_EXIT_USAGE;
    case RN_E_NOTHING:
        return RN_EXIT_NOTHING;
    case RN_E_ABSENT:
        return RN_EXIT_ABSENT;
    default:
        return RN_EXIT_FAILED;
    }
}
