/* SPDX-License-Identifier: MIT */
#include "data/archive/rn_ziparchive.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/archive/rn_tarhead.h"

struct rn_ziparchive {
    char *path;
    struct archive *ar;
    bool raw_names, ended;
    int last;
    uint64_t left;
    char name[RN_TAR_NAME_MAX + 2]; /* one byte more than is taken */
};

int rn_ziparchive_open(const char *path, bool raw_names, rn_ziparchive **out)
{
    int rc;
    *out = NULL;
    rn_ziparchive *z = calloc(1, sizeof *z);
    if (!z)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    z->path = strdup(path);
    z->raw_names = raw_names;
    z->ar = archive_read_new();
    if (!z->path || !z->ar)
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", path));
    archive_read_support_format_zip_seekable(z->ar);
    if (archive_read_open_filename(z->ar, path, 1 << 16) != ARCHIVE_OK)
        RN_GO(rn_fail(RN_E_FORMAT, "%s: damaged (%s); download it again", path, archive_error_string(z->ar)));
    *out = z;
    return RN_OK;
out:
    rn_ziparchive_close(z);
    return rc;
}

void rn_ziparchive_close(rn_ziparchive *z)
{
    if (!z)
        return;
    if (z->ar)
        archive_read_free(z->ar);
    free(z->path);
    free(z);
}

static int end_with(rn_ziparchive *z, int rc)
{
    z->ended = true;
    z->last = rc;
    return rc;
}

static int damaged(rn_ziparchive *z, const char *doing)
{
    const char *text = archive_error_string(z->ar);
    return end_with(z, rn_fail(RN_E_FORMAT, "%s: damaged or truncated %s '%s' (%s); download it again", z->path, doing,
                               z->name, text ? text : "no detail"));
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
    return NULL;
}

int rn_ziparchive_next(rn_ziparchive *z, rn_archive_entry *e)
{
    struct archive_entry *entry;
    if (z->ended)
        return z->last < 0 ? rn_fail(z->last, "%s: read on after a failure", z->path) : 0;
    for (;;) {
        int r = archive_read_next_header(z->ar, &entry);
        if (r == ARCHIVE_EOF)
            return end_with(z, 0);
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return damaged(z, "at or after");
        const char *name = archive_entry_pathname(entry);
        if (!name)
            return end_with(
                z, rn_fail(RN_E_FORMAT, "%s: the entry after '%s' has a name that cannot be read", z->path, z->name));
        snprintf(z->name, sizeof z->name, "%s", strncmp(name, "./", 2) == 0 ? name + 2 : name);
        if (archive_entry_filetype(entry) == AE_IFDIR && strstr(z->name, "..") == NULL && z->name[0] != '/')
            continue;
        const char *why = refusal(entry, z->name);
        if (why && !z->raw_names)
            return end_with(z, rn_fail(RN_E_FORMAT, "%s: entry '%s' is refused: %s", z->path, z->name, why));
        z->left = archive_entry_size(entry) > 0 ? (uint64_t)archive_entry_size(entry) : 0;
        *e = (rn_archive_entry){
            .name = z->name, .size = z->left, .offset = (uint64_t)archive_read_header_position(z->ar), .why = why};
        return 1;
    }
}

int64_t rn_ziparchive_read_block(rn_ziparchive *z, const void **block)
{
    size_t n = 0;
    la_int64_t at;
    if (z->ended || z->left == 0)
        return 0;
    int r = archive_read_data_block(z->ar, block, &n, &at);
    if ((r != ARCHIVE_OK && r != ARCHIVE_WARN) || n == 0 || n > z->left)
        return damaged(z, "inside");
    z->left -= n;
    return (int64_t)n;
}

uint64_t rn_ziparchive_left(const rn_ziparchive *z)
{
    return z->left;
}

uint64_t rn_ziparchive_consumed(const rn_ziparchive *z)
{
    return (uint64_t)archive_filter_bytes(z->ar, -1);
}
