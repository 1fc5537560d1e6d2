/* SPDX-License-Identifier: MIT */
#include "data/archive/rn_archive.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/archive/rn_filestream.h"
#include "data/archive/rn_gunzip.h"
#include "data/archive/rn_tarhead.h"
#include "data/archive/rn_tarread.h"
#include "data/archive/rn_ziparchive.h"

/* A window's block is small enough to stay in a core's cache between being read and being used. */
enum { WINDOW_BLOCK = 256 << 10 };

/* Bytes come from a file, a window of one, or memory, through gunzip if they need it, to the reader of members. */
struct rn_archive {
    char *path;
    rn_filestream *stream; /* one of these three */
    struct {
        int fd;
        uint64_t at, end;
        uint8_t *block; /* NULL: there is no window */
    } window;
    const uint8_t *memory; /* nmemory bytes that were not taken yet */
    size_t nmemory;
    rn_ziparchive *zip; /* then everything is left to it */
    int zip_digest;
    const void *first; /* a block that was taken to look at, and not yet handed on */
    size_t nfirst;
    rn_gunzip *gunzip;
    const uint8_t *block; /* what is left of the current block */
    size_t nblock;
    uint64_t consumed;
    rn_tarread *tar;
};

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static int64_t pull_window(rn_archive *a, const void **block)
{
    uint64_t left = a->window.end - a->window.at;
    size_t want = left < WINDOW_BLOCK ? (size_t)left : WINDOW_BLOCK;
    size_t n;
    RN_TRY(rn_read_at(a->window.fd, a->window.block, want, a->window.at, a->path, &n));
    a->window.at += n;
    a->consumed += n;
    *block = a->window.block;
    return (int64_t)n;
}

/* The next block of the file, window or memory as it is. */
static int64_t pull(void *arg, const void **block)
{
    rn_archive *a = arg;
    int64_t n;
    if (a->nfirst > 0) {
        *block = a->first;
        n = (int64_t)a->nfirst;
        a->nfirst = 0;
        return n;
    }
    if (a->stream) {
        n = rn_filestream_next(a->stream, block);
        a->consumed += n > 0 ? (uint64_t)n : 0;
        return n;
    }
    if (a->window.block)
        return pull_window(a, block);
    *block = a->memory;
    n = (int64_t)a->nmemory;
    a->nmemory = 0;
    return n;
}

/* Makes a->block hold something: 1, or 0 at the end. */
static int refill(rn_archive *a)
{
    const void *block = NULL;
    int64_t n = a->nblock > 0 ? 1 : a->gunzip ? rn_gunzip_next(a->gunzip, &block) : pull(a, &block);
    if (a->nblock > 0 || n <= 0)
        return (int)n;
    a->block = block;
    a->nblock = (size_t)n;
    return 1;
}

static size_t take(rn_archive *a, uint64_t most)
{
    size_t n = a->nblock < most ? a->nblock : (size_t)most;
    a->block += n;
    a->nblock -= n;
    return n;
}

static int64_t read_bytes(void *arg, void *buf, size_t n)
{
    rn_archive *a = arg;
    size_t done = 0;
    while (done < n) {
        int rc = refill(a);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        const uint8_t *from = a->block;
        size_t k = take(a, n - done);
        memcpy((uint8_t *)buf + done, from, k);
        done += k;
    }
    return (int64_t)done;
}

/* Passes over up to n bytes without reading them: not where a digest wants them, nor when the file ends before, which
 * reading will then find. */
static uint64_t seek_over(rn_archive *a, uint64_t n)
{
    uint64_t k = 0;
    if (a->stream && n <= INT64_MAX) {
        k = (uint64_t)rn_filestream_skip(a->stream, (int64_t)n);
    } else if (a->window.block && n <= a->window.end - a->window.at) {
        k = n;
        a->window.at += n;
    }
    a->consumed += k;
    return k;
}

static int64_t skip_bytes(void *arg, uint64_t n)
{
    rn_archive *a = arg;
    uint64_t done = take(a, n);
    if (!a->gunzip && a->nfirst == 0)
        done += seek_over(a, n - done);
    while (done < n) {
        int rc = refill(a);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        done += take(a, n - done);
    }
    return (int64_t)done;
}

static int64_t view_bytes(void *arg, uint64_t n, const void **block)
{
    rn_archive *a = arg;
    int rc = refill(a);
    if (rc <= 0)
        return rc;
    *block = a->block;
    return (int64_t)take(a, n);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static int new_archive(const char *name, rn_archive **out)
{
    rn_archive *a = calloc(1, sizeof *a);
    *out = a;
    if (a)
        a->path = strdup(name);
    return a && a->path ? RN_OK : rn_fail(RN_E_NOMEM, "%s: out of memory", name);
}

static int begin(rn_archive *a, const rn_archive_opts *opts)
{
    uint64_t start = opts ? opts->start : 0;
    int64_t n = pull(a, &a->first);
    if (n < 0)
        return (int)n;
    a->nfirst = (size_t)n;
    const uint8_t *b = a->first;
    if (start == 0 && n >= 2 && b[0] == 0x1f && b[1] == 0x8b)
        RN_TRY(rn_gunzip_open(a->path, pull, a, &a->gunzip));
    return rn_tarread_open(a->path, (rn_tar_source){a, read_bytes, skip_bytes, view_bytes}, start,
                           opts && opts->raw_names, &a->tar);
}

/* Sets a->zip if the file is one. */
static int open_zip(rn_archive *a, const rn_archive_opts *opts)
{
    rn_filestream *s;
    const void *block;
    RN_TRY(rn_filestream_open(a->path, -1, 0, &s));
    int64_t n = rn_filestream_next(s, &block);
    const uint8_t *b = n >= 4 ? block : (const uint8_t *)"none";
    bool is_zip = b[0] == 'P' && b[1] == 'K' && ((b[2] == 3 && b[3] == 4) || (b[2] == 5 && b[3] == 6));
    rn_filestream_close(s);
    a->zip_digest = opts->digest;
    return n < 0 ? (int)n : is_zip ? rn_ziparchive_open(a->path, opts->raw_names, &a->zip) : RN_OK;
}

int rn_archive_open(const char *path, const rn_archive_opts *opts, rn_archive **out)
{
    int rc;
    rn_archive *a = NULL;
    *out = NULL;
    RN_GO(new_archive(path, &a));
    if (opts && opts->zip)
        RN_GO(open_zip(a, opts));
    if (a->zip) {
        *out = a;
        return RN_OK;
    }
    RN_GO(rn_filestream_open(path, opts ? opts->digest : -1, opts ? opts->start : 0, &a->stream));
    RN_GO(begin(a, opts));
    *out = a;
    return RN_OK;
out:
    rn_archive_close(a);
    return rc;
}

int rn_archive_open_memory(const char *name, const void *data, size_t n, const rn_archive_opts *opts, rn_archive **out)
{
    int rc;
    uint64_t start = opts ? opts->start : 0;
    rn_archive *a = NULL;
    *out = NULL;
    RN_GO(new_archive(name, &a));
    if (start > n)
        RN_GO(rn_fail(RN_E_RANGE, "%s: a start beyond its %zu bytes", name, n));
    a->memory = n ? (const uint8_t *)data + start : (const uint8_t *)"";
    a->nmemory = n - (size_t)start;
    RN_GO(begin(a, opts));
    a->consumed = n;
    *out = a;
    return RN_OK;
out:
    rn_archive_close(a);
    return rc;
}

int rn_archive_open_window(const char *name, int fd, uint64_t start, uint64_t n, const rn_archive_opts *opts,
                           rn_archive **out)
{
    int rc;
    rn_archive *a = NULL;
    *out = NULL;
    RN_GO(new_archive(name, &a));
    a->window.fd = fd;
    a->window.at = start;
    a->window.end = start + n;
    a->window.block = malloc(WINDOW_BLOCK);
    if (!a->window.block)
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", name));
    RN_GO(begin(a, opts));
    *out = a;
    return RN_OK;
out:
    rn_archive_close(a);
    return rc;
}

/* ---- iterating --------------------------------------------------------------------------------------------------- */

bool rn_archive_name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > RN_TAR_NAME_MAX)
        return false;
    for (const char *p = name;; p++) {
        size_t part = strcspn(p, "/");
        if (part == 0 || (part == 1 && p[0] == '.') || (part == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += part;
        if (*p == 0)
            return true;
    }
}

int rn_archive_next(rn_archive *a, rn_archive_entry *e)
{
    rn_tar_member m;
    if (a->zip)
        return rn_ziparchive_next(a->zip, e);
    int rc = rn_tarread_next(a->tar, &m);
    if (rc > 0)
        *e = (rn_archive_entry){.name = m.name, .size = m.size, .offset = m.offset, .data = m.data, .why = m.why};
    return rc;
}

int64_t rn_archive_read_block(rn_archive *a, const void **block)
{
    return a->zip ? rn_ziparchive_read_block(a->zip, block) : rn_tarread_view(a->tar, block);
}

static int read_zip(rn_archive *a, uint8_t *to)
{
    const void *block;
    int64_t n;
    while ((n = rn_ziparchive_read_block(a->zip, &block)) > 0) {
        memcpy(to, block, (size_t)n);
        to += n;
    }
    return (int)n;
}

int rn_archive_read(rn_archive *a, void *buf, size_t size)
{
    uint64_t left = a->zip ? rn_ziparchive_left(a->zip) : rn_tarread_left(a->tar);
    if (size < left)
        return rn_fail(RN_E_RANGE, "%s: an entry has %llu bytes, the buffer %zu", a->path, (unsigned long long)left,
                       size);
    return a->zip ? read_zip(a, buf) : rn_tarread_data(a->tar, buf, (size_t)left);
}

bool rn_archive_is_plain(const rn_archive *a)
{
    return a->stream && !a->gunzip;
}

uint64_t rn_archive_consumed(const rn_archive *a)
{
    return a->zip ? rn_ziparchive_consumed(a->zip) : a->consumed;
}

int rn_archive_digest(rn_archive *a, char hex[RN_DIGEST_HEX_MAX], uint64_t *bytes)
{
    if (a->zip && a->zip_digest >= 0)
        return rn_digest_file((enum rn_digest_kind)a->zip_digest, a->path, hex, bytes);
    if (!a->stream)
        return rn_fail(RN_E_USAGE, "%s: opened without a digest", a->path);
    return rn_filestream_digest(a->stream, hex, bytes);
}

int rn_archive_sha256(rn_archive *a, char hex[RN_DIGEST_HEX_MAX])
{
    if (!a->stream)
        return rn_fail(RN_E_USAGE, "%s: an archive in memory has no digest", a->path);
    return rn_filestream_sha256(a->stream, hex);
}

void rn_archive_close(rn_archive *a)
{
    if (!a)
        return;
    rn_tarread_close(a->tar);
    rn_gunzip_close(a->gunzip);
    rn_filestream_close(a->stream);
    rn_ziparchive_close(a->zip);
    free(a->window.block);
    free(a->path);
    free(a);
}
