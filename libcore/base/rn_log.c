/* SPDX-License-Identifier: MIT */
#include "base/rn_log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/rn_term.h"

#define LOG_LINE_MAX 2048

/* Set once by main before threads start; read-only afterwards. */
static const char *tool_name = "rnkit";
static enum rn_log_level level_now = RN_LOG_NORMAL;

void rn_log_init(const char *tool, enum rn_log_level level)
{
    tool_name = tool;
    level_now = level;
}

enum rn_log_level rn_log_level(void)
{
    return level_now;
}

static void emit(const char *kind, const char *fmt, va_list ap)
{
    char line[LOG_LINE_MAX];
    int n = snprintf(line, sizeof(line), "%s: %s", tool_name, kind);
    if (n < 0 || (size_t)n >= sizeof(line))
        n = 0;
    vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
    /* One message is one line, whatever a file name in it holds. */
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    rn_term_line(line);
}

void rn_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit("error: ", fmt, ap);
    va_end(ap);
}

void rn_warn(const char *fmt, ...)
{
    if (level_now < RN_LOG_NORMAL)
        return;
    va_list ap;
    va_start(ap, fmt);
    emit("warning: ", fmt, ap);
    va_end(ap);
}

void rn_info(const char *fmt, ...)
{
    if (level_now < RN_LOG_NORMAL)
        return;
    va_list ap;
    va_start(ap, fmt);
    emit("", fmt, ap);
    va_end(ap);
}

void rn_verbose(const char *fmt, ...)
{
    if (level_now < RN_LOG_VERBOSE)
        return;
    va_list ap;
    va_start(ap, fmt);
    emit("", fmt, ap);
    va_end(ap);
}
