/* SPDX-License-Identifier: MIT */
#include "data/rn_tarscan.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "data/rn_archive.h"

/* Small, because most of what follows a header is data that will be seeked over. */
enum { READ_BLOCK = 4096, TAR_BLOCK = 512 };

typedef struct window {
    int fd;
    uint64_t at, end;
    uint8_t block[READ_BLOCK];
} window;

static ssize_t pread_some(int fd, void *buf, size_t n, uint64_t at)
{
    ssize_t got;
    do
        got = pread(fd, buf, n, (off_t)at);
    while (got < 0 && errno == EINTR);
    return got;
}

static la_ssize_t on_read(struct archive *a, void *arg, const void **block)
{
    window *w = arg;
    uint64_t left = w->end - w->at;
    ssize_t got = pread_some(w->fd, w->block, left < READ_BLOCK ? (size_t)left : READ_BLOCK, w->at);
    if (got < 0) {
        archive_set_error(a, errno, "read failed: %s", strerror(errno));
        return -1;
    }
    w->at += (uint64_t)got;
    *block = w->block;
    return got;
}

static la_int64_t on_skip(struct archive *a, void *arg, la_int64_t want)
{
    window *w = arg;
    uint64_t left = w->end - w->at, n = want < 0 ? 0 : (uint64_t)want;
    (void)a;
    if (n > left)
        n = left;
    w->at += n;
    return (la_int64_t)n;
}

/* libarchive ends quietly where a tar stops at a member's end; the closing zeros tell a whole one from one cut there. */
static int check_end(int fd, const char *what, uint64_t at, uint64_t end)
{
    static const uint8_t zeros[TAR_BLOCK];
    uint8_t block[TAR_BLOCK];
    ssize_t got = at + TAR_BLOCK <= end ? pread_some(fd, block, TAR_BLOCK, at) : 0;
    if (got != TAR_BLOCK || memcmp(block, zeros, TAR_BLOCK) != 0)
        return rn_fail(RN_E_FORMAT, "%s: cut short: no end-of-archive block at byte %llu; fetch it again", what,
                       (unsigned long long)at);
    return RN_OK;
}

static int check_start(int fd, const char *what, uint64_t start)
{
    uint8_t magic[6] = {0};
    ssize_t got = pread_some(fd, magic, sizeof magic, start);
    if (got < 0)
        return rn_fail_errno(errno, "%s", what);
    if ((magic[0] == 0x1f && magic[1] == 0x8b) || memcmp(magic, "BZh", 3) == 0 ||
        memcmp(magic,
               "\xfd"
               "7zXZ",
               5) == 0)
        return rn_fail(RN_E_UNSUPPORTED, "%s: compressed; reading by offset needs a plain tar: decompress it first",
                       what);
    return RN_OK;
}

static int on_member(const char *what, struct archive_entry *e, uint64_t offset, uint64_t end, rn_tar_member_fn fn,
                     void *arg)
{
    const char *name = archive_entry_pathname(e);
    if (archive_entry_filetype(e) == AE_IFDIR)
        return RN_OK;
    while (name && strncmp(name, "./", 2) == 0)
        name += 2;
    if (!name || !rn_archive_name_ok(name))
        return rn_fail(RN_E_FORMAT, "%s: refused a member with the name '%s'", what, name ? name : "(unreadable)");
    if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) || archive_entry_sparse_count(e) > 0)
        return rn_fail(RN_E_FORMAT, "%s: %s is a link, a device or a sparse file, not a plain one", what, name);
    uint64_t size = (uint64_t)archive_entry_size(e);
    if (offset > end || size > end - offset)
        return rn_fail(RN_E_FORMAT, "%s: cut short inside %s; fetch it again", what, name);
    return fn(arg, name, offset, size);
}

int rn_tar_scan(int fd, const char *what, uint64_t start, uint64_t n, rn_tar_member_fn fn, void *arg)
{
    RN_TRY(check_start(fd, what, start));
    window w = {.fd = fd, .at = start, .end = start + n};
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    uint64_t next = start; /* where the header after the last member is due */
    int rc = RN_OK;
    if (!a)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", what);
    archive_read_support_format_tar(a);
    archive_read_set_read_callback(a, on_read);
    archive_read_set_skip_callback(a, on_skip);
    archive_read_set_callback_data(a, &w);
    int la = archive_read_open1(a);
    while (la == ARCHIVE_OK && rc >= 0) {
        la = archive_read_next_header(a, &e);
        if (la != ARCHIVE_OK && la != ARCHIVE_WARN)
            break;
        la = ARCHIVE_OK;
        /* All headers of the entry (also pax and GNU long names) are consumed by now: what comes next is its data. */
        uint64_t offset = start + (uint64_t)archive_filter_bytes(a, 0);
        next = offset + ((uint64_t)archive_entry_size(e) + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
        rc = on_member(what, e, offset, w.end, fn, arg);
    }
    if (rc >= 0 && la != ARCHIVE_EOF)
        rc = next == start
                 ? rn_fail(RN_E_FORMAT, "%s: not a tar archive (%s)", what, archive_error_string(a))
                 : rn_fail(RN_E_FORMAT, "%s: damaged or cut short (%s); fetch it again", what, archive_error_string(a));
    else if (rc >= 0)
        rc = check_end(fd, what, next, w.end);
    archive_read_free(a);
    return rc;
}
