/* SPDX-License-Identifier: MIT */
/*
 * Tars. rn_archive and rn_tar_scan take the same archives with the same members, sizes and places, or both refuse; what
 * they take, libarchive takes for the same members with the same bytes.
 */
#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/archive/rn_archive.h"
#include "data/archive/rn_tarhead.h"
#include "data/archive/rn_tarscan.h"
#include "fuzz.h"

enum { MEMBERS_MAX = 512, TAR_MAX = 1 << 20 };

typedef struct member {
    char *name;
    uint64_t offset, data, size;
    uint8_t *bytes;
} member;

typedef struct list {
    member m[MEMBERS_MAX];
    int n;
} list;

static void free_list(list *l)
{
    for (int i = 0; i < l->n; i++) {
        free(l->m[i].name);
        free(l->m[i].bytes);
    }
    free(l);
}

static list *new_list(void)
{
    list *l = calloc(1, sizeof *l);
    RN_FUZZ_CHECK(l != NULL);
    return l;
}

static member *add(list *l, const char *name, uint64_t size)
{
    RN_FUZZ_CHECK(l->n < MEMBERS_MAX && size <= TAR_MAX);
    member *m = &l->m[l->n++];
    m->name = strdup(name);
    m->size = size;
    m->bytes = malloc(size + 1);
    RN_FUZZ_CHECK(m->name && m->bytes);
    return m;
}

static int by_stream(const uint8_t *data, size_t n, bool raw, list *l)
{
    rn_archive *a;
    rn_archive_entry e;
    int rc;
    RN_TRY(rn_archive_open_memory("fuzz", data, n, &(rn_archive_opts){.digest = -1, .raw_names = raw}, &a));
    while ((rc = rn_archive_next(a, &e)) > 0) {
        RN_FUZZ_CHECK(raw || (!e.why && rn_archive_name_ok(e.name)));
        if (e.size > TAR_MAX ||
            l->n == MEMBERS_MAX) { /* nothing that large was put in: the next call has to refuse it */
            if (l->n == MEMBERS_MAX)
                break;
            continue;
        }
        member *m = add(l, e.name, e.size);
        m->offset = e.offset;
        if (l->n % 3 && (rc = rn_archive_read(a, m->bytes, (size_t)e.size)) < 0)
            break;
    }
    rn_archive_close(a);
    return rc;
}

static int on_member(void *arg, const char *name, uint64_t offset, uint64_t size)
{
    list *l = arg;
    if (l->n == MEMBERS_MAX)
        return RN_E_RANGE;
    add(l, name, size)->data = offset;
    return RN_OK;
}

/* The same members through a window of a file. */
static void by_window(int fd, uint64_t at, size_t n, int want, const list *l)
{
    rn_archive *a;
    rn_archive_entry e;
    int i = 0, rc = rn_archive_open_window("fuzz", fd, at, n, NULL, &a);
    RN_FUZZ_CHECK(rc == RN_OK || want < 0);
    if (rc < 0)
        return;
    while ((rc = rn_archive_next(a, &e)) > 0 && i < l->n) {
        RN_FUZZ_CHECK(strcmp(e.name, l->m[i].name) == 0 && e.size == l->m[i].size && e.data == l->m[i].data - at);
        i++;
    }
    RN_FUZZ_CHECK(want < 0 || (rc == 0 && i == l->n));
    rn_archive_close(a);
}

/* Inside a larger file, as a class's tar lies in the train set's. */
static int by_offset(const uint8_t *data, size_t n, list *l)
{
    static const uint8_t before[700], behind[3000];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    RN_FUZZ_CHECK(fd >= 0 && rn_write_all(fd, before, sizeof before, "fuzz") == RN_OK);
    RN_FUZZ_CHECK(rn_write_all(fd, data, n, "fuzz") == RN_OK &&
                  rn_write_all(fd, behind, sizeof behind, "fuzz") == RN_OK);
    int rc = rn_tar_scan(fd, "fuzz", sizeof before, n, on_member, l);
    by_window(fd, sizeof before, n, rc, l);
    for (int i = 0; i < l->n && rc == RN_OK; i++) {
        l->m[i].data -= sizeof before;
        RN_FUZZ_CHECK(l->m[i].data <= n && l->m[i].size <= n - l->m[i].data);
        memcpy(l->m[i].bytes, data + l->m[i].data, l->m[i].size);
    }
    close(fd);
    return rc;
}

static void same_lists(const list *a, const list *b)
{
    RN_FUZZ_CHECK(a->n == b->n);
    for (int i = 0; i < a->n; i++) {
        RN_FUZZ_CHECK(strcmp(a->m[i].name, b->m[i].name) == 0 && a->m[i].size == b->m[i].size);
        RN_FUZZ_CHECK(a->m[i].offset < b->m[i].data && (b->m[i].data - a->m[i].offset) % RN_TAR_BLOCK == 0);
        RN_FUZZ_CHECK((i + 1) % 3 == 0 || memcmp(a->m[i].bytes, b->m[i].bytes, a->m[i].size) == 0);
    }
}

static const char *clean(const char *name)
{
    while (name[0] == '.' && name[1] == '/')
        for (name += 2; *name == '/';)
            name++;
    return name;
}

/* libarchive converts names in pax headers to the locale's characters and may have none; then only the bytes are compared. */
static void same_as_libarchive(const uint8_t *data, size_t n, const list *l)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    int i = 0, r;
    RN_FUZZ_CHECK(a != NULL);
    archive_read_support_format_tar(a);
    archive_read_support_filter_gzip(a);
    r = archive_read_open_memory(a, data, n);
    while (l->n > 0 && r == ARCHIVE_OK) {
        r = archive_read_next_header(a, &e);
        if (r == ARCHIVE_WARN)
            r = ARCHIVE_OK;
        if (r != ARCHIVE_OK || archive_entry_filetype(e) == AE_IFDIR)
            continue;
        RN_FUZZ_CHECK(i < l->n && archive_entry_filetype(e) == AE_IFREG && !archive_entry_hardlink(e));
        const char *name = archive_entry_pathname(e);
        RN_FUZZ_CHECK(!name || strcmp(clean(name), l->m[i].name) == 0);
        RN_FUZZ_CHECK((uint64_t)archive_entry_size(e) == l->m[i].size);
        uint8_t *bytes = malloc(l->m[i].size + 1);
        RN_FUZZ_CHECK(bytes && archive_read_data(a, bytes, l->m[i].size + 1) == (la_ssize_t)l->m[i].size);
        RN_FUZZ_CHECK(memcmp(bytes, l->m[i].bytes, l->m[i].size) == 0);
        free(bytes);
        i++;
    }
    RN_FUZZ_CHECK(i == l->n && (l->n == 0 || r == ARCHIVE_EOF));
    archive_read_free(a);
}

static bool is_gzip(const uint8_t *data, size_t n)
{
    return n >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n > TAR_MAX)
        return 0;
    list *streamed = new_list(), *scanned = new_list(), *raw = new_list();
    int rc = by_stream(data, n, false, streamed);
    int raw_rc = by_stream(data, n, true, raw);
    RN_FUZZ_CHECK(rc < 0 || (raw_rc == rc && raw->n == streamed->n)); /* raw lists more, and never less */
    RN_FUZZ_CHECK(raw_rc >= 0 || rc < 0);
    if (!is_gzip(data, n)) {
        int scan = by_offset(data, n, scanned);
        if (rc != 1 && scan != RN_E_RANGE) { /* neither stopped at MEMBERS_MAX */
            RN_FUZZ_CHECK((rc < 0) == (scan < 0));
            if (rc == RN_OK) {
                same_lists(streamed, scanned);
                same_as_libarchive(data, n, scanned);
            }
        }
    }
    free_list(streamed);
    free_list(scanned);
    free_list(raw);
    return 0;
}

/* Puts the checksum of every block right that looks like a header. */
static void repair(uint8_t *data, size_t n)
{
    for (size_t at = 0; at + RN_TAR_BLOCK <= n; at += RN_TAR_BLOCK) {
        uint8_t *b = data + at;
        unsigned sum = 0;
        char field[8];
        if (memcmp(b + 257, "ustar", 5) != 0 && b[148] != '0')
            continue;
        for (int i = 0; i < RN_TAR_BLOCK; i++)
            sum += i >= 148 && i < 156 ? ' ' : b[i];
        snprintf(field, sizeof field, "%06o", sum & 0777777);
        memcpy(b + 148, field, 7);
        b[155] = ' ';
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t cap, unsigned seed)
{
    n = LLVMFuzzerMutate(data, n, cap);
    if (seed % 8)
        repair(data, n);
    return n;
}
