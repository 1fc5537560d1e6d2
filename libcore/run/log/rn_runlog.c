/* SPDX-License-Identifier: MIT */
#include "run/log/rn_runlog.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"

struct rn_runlog {
    char *path;
    int fd;
    int64_t bytes;  /* in the file */
    rn_buf waiting; /* what a full disk did not take */
};

int rn_runlog_open(const char *path, int64_t keep_bytes, rn_runlog **out)
{
    int rc = RN_OK;
    struct stat st;
    rn_runlog *log = calloc(1, sizeof *log);
    if (!log || !(log->path = strdup(path))) {
        free(log);
        return rn_fail(RN_E_NOMEM, "no memory for %s", path);
    }
    log->bytes = keep_bytes;
    log->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (log->fd < 0 || fstat(log->fd, &st) != 0)
        RN_GO(rn_fail_errno(errno, "cannot open %s", path));
    if (st.st_size < keep_bytes) {
        rn_warn("%s is shorter than its checkpoint says (%lld of %lld bytes): lines are missing", path,
                (long long)st.st_size, (long long)keep_bytes);
        log->bytes = st.st_size;
    }
    if (ftruncate(log->fd, log->bytes) != 0 || lseek(log->fd, log->bytes, SEEK_SET) < 0)
        RN_GO(rn_fail_errno(errno, "cannot cut %s to %lld bytes", path, (long long)log->bytes));
    *out = log;
    return RN_OK;
out:
    rn_runlog_close(log);
    return rc;
}

/* Half a line is taken back, so that a reader never sees one. */
static int write_waiting(rn_runlog *log)
{
    int rc = rn_write_all(log->fd, log->waiting.data, log->waiting.n, log->path);
    if (rc == RN_OK) {
        log->bytes += (int64_t)log->waiting.n;
        log->waiting.n = 0;
        return RN_OK;
    }
    if (ftruncate(log->fd, log->bytes) != 0 || lseek(log->fd, log->bytes, SEEK_SET) < 0)
        return rn_fail_errno(errno, "cannot cut %s to %lld bytes", log->path, (long long)log->bytes);
    return rc;
}

int rn_runlog_bytes(rn_runlog *log, const void *data, size_t n)
{
    const bool first = log->waiting.n == 0;
    RN_TRY(rn_buf_append(&log->waiting, data, n));
    int rc = write_waiting(log);
    if (rc != RN_E_NOSPACE)
        return rc;
    if (first)
        rn_warn("%s; what should go there waits in memory until there is room", rn_error_text());
    return RN_OK;
}

int rn_runlog_line(rn_runlog *log, json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(10)) : NULL;
    json_decref(line);
    if (!text)
        return rn_fail(RN_E_NOMEM, "no memory for a line of %s", log->path);
    size_t n = strlen(text);
    text[n] = '\n'; /* one write a line: a reader never sees half of one */
    int rc = rn_runlog_bytes(log, text, n + 1);
    free(text);
    return rc;
}

int rn_runlog_sync(rn_runlog *log, int64_t *bytes)
{
    if (log->waiting.n)
        RN_TRY(write_waiting(log));
    if (fsync(log->fd) != 0)
        return rn_fail_errno(errno, "cannot sync %s", log->path);
    *bytes = log->bytes;
    return RN_OK;
}

void rn_runlog_close(rn_runlog *log)
{
    if (!log)
        return;
    if (log->fd >= 0)
        close(log->fd);
    rn_buf_free(&log->waiting);
    free(log->path);
    free(log);
}

json_t *rn_runlog_text(const char *s)
{
    char *text = rn_utf8_escape(s);
    json_t *j = text ? json_string(text) : NULL;
    free(text);
    return j;
}

json_t *rn_runlog_real(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}
