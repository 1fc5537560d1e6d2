/* SPDX-License-Identifier: MIT */
#include "data/rn_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "data/rn_filestream.h"

/* A window's block is small enough to stay in a core's cache between being read and being used. */
enum { TAR_BLOCK = 512, NAME_MAX_BYTES = 1024, WINDOW_BLOCK = 256 << 10 };

struct rn_archive {
    char *path;
    struct archive *ar;
    rn_filestream *stream; /* NULL for an archive in memory, a window and a zip file */
    struct {
        int fd;
        uint64_t at, end;
        uint8_t *block; /* NULL if this is none */
    } window;
    bool zip;
    int digest; /* of a zip file */
    bool raw_names;
    bool ended; /* clean end or failure: next gives `last` again */
    int last;
    int stream_rc; /* failure of the stream below libarchive */
    uint64_t start, consumed;
    uint64_t left;     /* of the current entry's data */
    uint64_t data_end; /* where the next header must begin, counted from `start` */
    char name[NAME_MAX_BYTES + 1];
};

/* ---- what a tar looks like --------------------------------------------------------------------------------- */

static bool is_gzip(const uint8_t *b, size_t n)
{
    return n >= 2 && b[0] == 0x1f && b[1] == 0x8b;
}

/* A header block: its checksum is the sum of its bytes with the checksum field read as blanks; or end-of-archive. */
static bool is_tar_block(const uint8_t *b, size_t n)
{
    unsigned sum = 0, zero = 1;
    char field[9] = "";
    if (n < TAR_BLOCK)
        return false;
    for (int i = 0; i < TAR_BLOCK; i++) {
        sum += i >= 148 && i < 156 ? ' ' : b[i];
        zero &= b[i] == 0;
    }
    if (zero)
        return true;
    memcpy(field, b + 148, 8);
    char *end;
    unsigned long want = strtoul(field, &end, 8);
    return end != field && want == sum;
}

static void describe(const uint8_t *b, size_t n, char *out, size_t cap)
{
    size_t k = 0;
    for (size_t i = 0; i < n && i < 24 && k + 5 < cap; i++) {
        if (isprint(b[i]))
            out[k++] = (char)b[i];
        else
            k += (size_t)snprintf(out + k, cap - k, "\\x%02x", b[i]);
    }
    out[k] = 0;
}

static bool is_zip(const uint8_t *b, size_t n)
{
    return n >= 4 && b[0] == 'P' && b[1] == 'K' && ((b[2] == 3 && b[3] == 4) || (b[2] == 5 && b[3] == 6));
}

static int check_start(const char *name, const uint8_t *b, size_t n)
{
    char text[160];
    if (n == 0)
        return rn_fail(RN_E_FORMAT, "%s: empty; download it again", name);
    if (is_gzip(b, n) || is_tar_block(b, n))
        return RN_OK;
    describe(b, n, text, sizeof text);
    return rn_fail(RN_E_FORMAT, "%s: not a tar archive (it begins with \"%s\"); download it again", name, text);
}

static int pread_start(int fd, const char *name, uint64_t start, uint8_t b[TAR_BLOCK], size_t *n)
{
    *n = 0;
    while (*n < TAR_BLOCK) {
        ssize_t k = pread(fd, b + *n, TAR_BLOCK - *n, (off_t)(start + *n));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return rn_fail_errno(errno, "%s: reading it", name);
        if (k == 0)
            break;
        *n += (size_t)k;
    }
    return RN_OK;
}

/* Looks at the first block of the file; with opts->zip it may be a zip file's. */
static int check_file_start(rn_archive *a, bool zip)
{
    uint8_t b[TAR_BLOCK];
    size_t n;
    int fd = open(a->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rn_fail_errno(errno, "%s: opening it", a->path);
    int rc = pread_start(fd, a->path, a->start, b, &n);
    close(fd);
    if (rc < 0)
        return rc;
    a->zip = zip && is_zip(b, n);
    return a->zip ? RN_OK : check_start(a->path, b, n);
}

/* ---- opening ----------------------------------------------------------------------------------------------- */

static la_ssize_t feed(struct archive *ar, void *client, const void **block)
{
    rn_archive *a = client;
    int64_t n = rn_filestream_next(a->stream, block);
    if (n < 0) {
        a->stream_rc = (int)n;
        archive_set_error(ar, EIO, "%s", rn_error_text());
        return -1;
    }
    a->consumed += (uint64_t)n;
    return (la_ssize_t)n;
}

static la_int64_t skip(struct archive *ar, void *client, la_int64_t n)
{
    rn_archive *a = client;
    (void)ar;
    int64_t k = rn_filestream_skip(a->stream, n);
    a->consumed += (uint64_t)k;
    return k;
}

static la_ssize_t feed_window(struct archive *ar, void *client, const void **block)
{
    rn_archive *a = client;
    uint64_t left = a->window.end - a->window.at;
    ssize_t n;
    do
        n = pread(a->window.fd, a->window.block, left < WINDOW_BLOCK ? (size_t)left : WINDOW_BLOCK,
                  (off_t)a->window.at);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        a->stream_rc = rn_fail_errno(errno, "%s: reading it", a->path);
        archive_set_error(ar, EIO, "%s", rn_error_text());
        return -1;
    }
    a->window.at += (uint64_t)n;
    a->consumed += (uint64_t)n;
    *block = a->window.block;
    return n;
}

static la_int64_t skip_window(struct archive *ar, void *client, la_int64_t n)
{
    rn_archive *a = client;
    uint64_t left = a->window.end - a->window.at, k = n < 0 ? 0 : (uint64_t)n;
    (void)ar;
    if (k > left)
        k = left;
    a->window.at += k;
    a->consumed += k;
    return (la_int64_t)k;
}

static int new_archive(const char *name, const rn_archive_opts *opts, rn_archive **out)
{
    rn_archive *a = calloc(1, sizeof *a);
    *out = a;
    if (!a)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", name);
    a->path = strdup(name);
    a->ar = archive_read_new();
    if (!a->path || !a->ar)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", name);
    if (opts) {
        a->raw_names = opts->raw_names;
        a->start = opts->start;
    }
    archive_read_support_filter_gzip(a->ar);
    archive_read_support_format_tar(a->ar);
    return RN_OK;
}

/* A zip file's directory is at its end: libarchive reads it by seeking. */
static int open_zip(rn_archive *a, int digest)
{
    a->digest = digest;
    archive_read_support_format_zip_seekable(a->ar);
    if (archive_read_open_filename(a->ar, a->path, 1 << 16) != ARCHIVE_OK)
        return rn_fail(RN_E_FORMAT, "%s: damaged (%s); download it again", a->path, archive_error_string(a->ar));
    return RN_OK;
}

int rn_archive_open(const char *path, const rn_archive_opts *opts, rn_archive **out)
{
    int rc;
    rn_archive *a = NULL;
    *out = NULL;
    RN_GO(new_archive(path, opts, &a));
    if (opts && opts->zip)
        RN_GO(check_file_start(a, true));
    if (a->zip) {
        RN_GO(open_zip(a, opts->digest));
        *out = a;
        return RN_OK;
    }
    RN_GO(rn_filestream_open(path, opts ? opts->digest : -1, a->start, &a->stream));
    RN_GO(check_file_start(a, false));
    if (archive_read_open2(a->ar, a, NULL, feed, skip, NULL) != ARCHIVE_OK)
        RN_GO(a->stream_rc
                  ? a->stream_rc
                  : rn_fail(RN_E_FORMAT, "%s: damaged (%s); download it again", path, archive_error_string(a->ar)));
    *out = a;
    return RN_OK;
out:
    rn_archive_close(a);
    return rc;
}

int rn_archive_open_memory(const char *name, const void *data, size_t n, const rn_archive_opts *opts, rn_archive **out)
{
    int rc;
    rn_archive *a = NULL;
    *out = NULL;
    RN_GO(new_archive(name, opts, &a));
    if (a->start > n)
        RN_GO(rn_fail(RN_E_RANGE, "%s: a start beyond its %zu bytes", name, n));
    RN_GO(check_start(name, (const uint8_t *)data + a->start, n - a->start));
    if (archive_read_open_memory(a->ar, (const char *)data + a->start, n - a->start) != ARCHIVE_OK)
        RN_GO(rn_fail(RN_E_FORMAT, "%s: %s", name, archive_error_string(a->ar)));
    a->consumed = n;
    *out = a;
    return RN_OK;
out:
    rn_archive_close(a);
    return rc;
}

int rn_archive_open_window(const char *name, int fd, uint64_t start, uint64_t n, rn_archive **out)
{
    int rc;
    rn_archive *a = NULL;
    uint8_t b[TAR_BLOCK];
    size_t got;
    *out = NULL;
    RN_GO(new_archive(name, NULL, &a));
    a->window.fd = fd;
    a->window.at = start;
    a->window.end = start + n;
    a->window.block = malloc(WINDOW_BLOCK);
    if (!a->window.block)
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", name));
    RN_GO(pread_start(fd, name, start, b, &got));
    RN_GO(check_start(name, b, got < n ? got : (size_t)n));
    if (archive_read_open2(a->ar, a, NULL, feed_window, skip_window, NULL) != ARCHIVE_OK)
        RN_GO(a->stream_rc
                  ? a->stream_rc
                  : rn_fail(RN_E_FORMAT, "%s: damaged (%s); download it again", name, archive_error_string(a->ar)));
    *out = a;
    return RN_OK;
out:
    rn_archive_close(a);
    return rc;
}

/* ---- iterating --------------------------------------------------------------------------------------------- */

bool rn_archive_name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > NAME_MAX_BYTES)
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

/* Why an entry may not be used, or NULL. */
static const char *refusal(struct archive_entry *entry, const char *name)
{
    if (!rn_archive_name_ok(name))
        return "a name that could leave the folder (absolute, \"..\", empty part or over 1,024 bytes)";
    if (archive_entry_hardlink(entry) || archive_entry_filetype(entry) == AE_IFLNK)
        return "a link";
    if (archive_entry_filetype(entry) != AE_IFREG)
        return "a device, pipe or other special file";
    if (archive_entry_sparse_count(entry) > 0)
        return "a sparse file";
    return NULL;
}

static int end_with(rn_archive *a, int rc)
{
    a->ended = true;
    a->last = rc;
    return rc;
}

static int damaged(rn_archive *a, const char *doing)
{
    const char *text = archive_error_string(a->ar);
    if (a->stream_rc)
        return end_with(a, rn_fail(a->stream_rc, "%s", text ? text : a->path));
    return end_with(a, rn_fail(RN_E_FORMAT, "%s: damaged or truncated %s '%s' (%s); download it again", a->path, doing,
                               a->name, text ? text : "no detail"));
}

/* libarchive takes a file that stops between two entries for whole; tar ends an archive with two blocks of zeros. */
static int check_end(rn_archive *a)
{
    uint64_t seen = (uint64_t)archive_filter_bytes(a->ar, 0);
    if (a->zip || seen >= a->data_end + (uint64_t)2 * TAR_BLOCK)
        return end_with(a, 0);
    return end_with(a, rn_fail(RN_E_FORMAT, "%s: truncated after '%s': no end-of-archive mark; download it again",
                               a->path, a->name));
}

static int keep_name(rn_archive *a, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    if (!name)
        return end_with(
            a, rn_fail(RN_E_FORMAT, "%s: the entry after '%s' has a name that cannot be read", a->path, a->name));
    while (name[0] == '.' && name[1] == '/') {
        name += 2;
        while (*name == '/')
            name++;
    }
    /* One byte more than is allowed is enough to refuse it. */
    snprintf(a->name, sizeof a->name, "%s", name);
    if (strlen(name) > NAME_MAX_BYTES)
        return end_with(a, rn_fail(RN_E_FORMAT, "%s: an entry's name is over 1,024 bytes ('%.60s...')", a->path, name));
    return RN_OK;
}

int rn_archive_next(rn_archive *a, rn_archive_entry *e)
{
    struct archive_entry *entry;
    if (a->ended && a->last < 0)
        return rn_fail(a->last, "%s: read on after a failure", a->path);
    if (a->ended)
        return 0;
    for (;;) {
        int r = archive_read_next_header(a->ar, &entry);
        if (r == ARCHIVE_EOF)
            return check_end(a);
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return damaged(a, "at or after");
        RN_TRY(keep_name(a, entry));
        a->left = (uint64_t)archive_entry_size(entry);
        uint64_t data = (uint64_t)archive_filter_bytes(a->ar, 0);
        a->data_end = data + (a->left + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
        bool folder = archive_entry_filetype(entry) == AE_IFDIR;
        size_t n = strlen(a->name);
        while (folder && n > 0 && a->name[n - 1] == '/')
            a->name[--n] = 0;
        if (folder && (n == 0 || strcmp(a->name, ".") == 0 || rn_archive_name_ok(a->name)))
            continue;
        const char *why = refusal(entry, a->name);
        if (why && !a->raw_names)
            return end_with(a, rn_fail(RN_E_FORMAT, "%s: entry '%s' is refused: %s", a->path, a->name, why));
        *e = (rn_archive_entry){.name = a->name,
                                .size = a->left,
                                .offset = a->start + (uint64_t)archive_read_header_position(a->ar),
                                .data = a->start + data,
                                .why = why};
        return 1;
    }
}

int64_t rn_archive_read_some(rn_archive *a, void *buf, size_t n)
{
    if (a->ended || a->left == 0 || n == 0)
        return 0;
    if (n > a->left)
        n = (size_t)a->left;
    la_ssize_t k = archive_read_data(a->ar, buf, n);
    if (k <= 0)
        return damaged(a, "inside");
    a->left -= (uint64_t)k;
    return k;
}

int64_t rn_archive_read_block(rn_archive *a, const void **block)
{
    size_t n = 0;
    la_int64_t at;
    if (a->ended || a->left == 0)
        return 0;
    int r = archive_read_data_block(a->ar, block, &n, &at);
    if ((r != ARCHIVE_OK && r != ARCHIVE_WARN) || n == 0 || n > a->left)
        return damaged(a, "inside");
    a->left -= n;
    return (int64_t)n;
}

bool rn_archive_is_plain(const rn_archive *a)
{
    return a->stream && archive_filter_count(a->ar) == 1 && archive_filter_code(a->ar, 0) == ARCHIVE_FILTER_NONE;
}

int rn_archive_read(rn_archive *a, void *buf, size_t size)
{
    size_t done = 0;
    if (size < a->left)
        return rn_fail(RN_E_RANGE, "%s: '%s' has %llu bytes, the buffer %zu", a->path, a->name,
                       (unsigned long long)a->left, size);
    while (a->left > 0) {
        int64_t k = rn_archive_read_some(a, (char *)buf + done, size - done);
        if (k < 0)
            return (int)k;
        done += (size_t)k;
    }
    return RN_OK;
}

uint64_t rn_archive_consumed(const rn_archive *a)
{
    return a->zip ? (uint64_t)archive_filter_bytes(a->ar, -1) : a->consumed;
}

int rn_archive_digest(rn_archive *a, char hex[RN_DIGEST_HEX_MAX], uint64_t *bytes)
{
    if (a->zip && a->digest >= 0)
        return rn_digest_file((enum rn_digest_kind)a->digest, a->path, hex, bytes);
    if (!a->stream)
        return rn_fail(RN_E_USAGE, "%s: an archive in memory has no digest", a->path);
    return rn_filestream_digest(a->stream, hex, bytes);
}

void rn_archive_close(rn_archive *a)
{
    if (!a)
        return;
    if (a->ar)
        archive_read_free(a->ar);
    rn_filestream_close(a->stream);
    free(a->window.block);
    free(a->path);
    free(a);
}
