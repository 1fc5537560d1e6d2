/* SPDX-License-Identifier: MIT */
#include "data/archive/rn_tarwrite.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"

enum { FIXED_TIME = 1339200000 /* 2012-06-09, the year of the set */ };

struct rn_tarwrite {
    char *path, *tmp; /* NULL in memory */
    struct archive *ar;
    struct archive_entry *entry;
    int fd;
    rn_buf *into;
    rn_digest *digest;
    uint64_t bytes;
    int rc; /* first failure of the sink */
};

static la_ssize_t sink(struct archive *ar, void *client, const void *data, size_t n)
{
    rn_tarwrite *w = client;
    if (w->rc == RN_OK)
        w->rc = w->into ? rn_buf_append(w->into, data, n) : rn_write_all(w->fd, data, n, w->tmp);
    if (w->rc == RN_OK && w->digest)
        w->rc = rn_digest_update(w->digest, data, n);
    if (w->rc < 0) {
        archive_set_error(ar, EIO, "%s", rn_error_text());
        return -1;
    }
    w->bytes += n;
    return (la_ssize_t)n;
}

static int failed(rn_tarwrite *w, const char *name)
{
    const char *text = archive_error_string(w->ar);
    if (w->rc < 0)
        return rn_fail(w->rc, "%s", text ? text : name);
    return rn_fail(RN_E_IO, "%s: writing '%s': %s", w->path ? w->path : "tar in memory", name,
                   text ? text : "no detail");
}

static int begin(rn_tarwrite *w, bool gzip)
{
    w->ar = archive_write_new();
    w->entry = archive_entry_new();
    if (!w->ar || !w->entry)
        return rn_fail(RN_E_NOMEM, "out of memory for a tar");
    archive_write_set_format_ustar(w->ar);
    if (gzip) {
        archive_write_add_filter_gzip(w->ar);
        archive_write_set_options(w->ar, "gzip:!timestamp,gzip:compression-level=9");
        archive_write_set_bytes_in_last_block(w->ar, 1); /* pads what comes out of gzip otherwise, not the tar */
    }
    return archive_write_open(w->ar, w, NULL, sink, NULL) == ARCHIVE_OK ? RN_OK : failed(w, "its start");
}

int rn_tarwrite_file(const char *path, bool gzip, rn_tarwrite **out)
{
    int rc;
    *out = NULL;
    rn_tarwrite *w = calloc(1, sizeof *w);
    if (!w)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    w->fd = -1;
    w->path = strdup(path);
    if (!w->path || asprintf(&w->tmp, "%s.tmp", path) < 0) {
        w->tmp = NULL;
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", path));
    }
    w->fd = open(w->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0)
        RN_GO(rn_fail_errno(errno, "%s: creating it", w->tmp));
    RN_GO(rn_digest_open(RN_MD5, &w->digest));
    RN_GO(begin(w, gzip));
    *out = w;
    return RN_OK;
out:
    rn_tarwrite_close(w);
    return rc;
}

int rn_tarwrite_memory(rn_buf *into, rn_tarwrite **out)
{
    *out = NULL;
    rn_tarwrite *w = calloc(1, sizeof *w);
    if (!w)
        return rn_fail(RN_E_NOMEM, "out of memory for a tar");
    w->fd = -1;
    w->into = into;
    int rc = begin(w, false);
    if (rc < 0)
        rn_tarwrite_close(w);
    else
        *out = w;
    return rc;
}

int rn_tarwrite_add(rn_tarwrite *w, const char *name, const void *data, size_t n)
{
    archive_entry_clear(w->entry);
    archive_entry_set_pathname(w->entry, name);
    archive_entry_set_filetype(w->entry, AE_IFREG);
    archive_entry_set_perm(w->entry, 0644);
    archive_entry_set_mtime(w->entry, FIXED_TIME, 0);
    archive_entry_set_size(w->entry, (la_int64_t)n);
    if (archive_write_header(w->ar, w->entry) != ARCHIVE_OK)
        return failed(w, name);
    if (n > 0 && archive_write_data(w->ar, data, n) != (la_ssize_t)n)
        return failed(w, name);
    return RN_OK;
}

int rn_tarwrite_finish(rn_tarwrite *w, char md5[RN_DIGEST_HEX_MAX], uint64_t *bytes)
{
    if (archive_write_close(w->ar) != ARCHIVE_OK)
        return failed(w, "its end");
    if (bytes)
        *bytes = w->bytes;
    if (md5 && w->digest)
        RN_TRY(rn_digest_final(w->digest, md5));
    if (w->into)
        return RN_OK;
    if (fsync(w->fd) < 0 || rename(w->tmp, w->path) < 0)
        return rn_fail_errno(errno, "%s: putting it in place", w->path);
    free(w->tmp);
    w->tmp = NULL;
    return RN_OK;
}

void rn_tarwrite_close(rn_tarwrite *w)
{
    if (!w)
        return;
    if (w->ar) {
        /* Without this an abandoned writer would still write its end into the sink. */
        archive_write_fail(w->ar);
        archive_write_free(w->ar);
    }
    archive_entry_free(w->entry);
    if (w->fd >= 0)
        close(w->fd);
    if (w->tmp)
        unlink(w->tmp);
    rn_digest_close(w->digest);
    free(w->tmp);
    free(w->path);
    free(w);
}
