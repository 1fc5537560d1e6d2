/* SPDX-License-Identifier: MIT */
#include "data/archive/rn_tarhead.h"

#include <string.h>

#include "base/rn_error.h"

/* Offset and length of a header's fields. */
enum { NAME = 0, NAME_N = 100, SIZE = 124, SIZE_N = 12, SUM = 148, SUM_N = 8, TYPE = 156, MAGIC = 257, MAGIC_N = 8 };
enum { PREFIX = 345, PREFIX_N = 155, GNU_MAP = 386, GNU_MORE_MAP = 482, GNU_MAP_END = 495 };

/* An exabyte; libarchive draws the line there, too. */
#define SIZE_LIMIT ((UINT64_C(1) << 60) - 1)

bool rn_tar_is_zero(const void *data, size_t n)
{
    const uint8_t *p = data;
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* Blanks, octal digits, then nothing but blanks and NULs. A field without digits is 0, as in headers of folders. */
static bool octal(const uint8_t *p, size_t n, uint64_t *out)
{
    size_t i = 0;
    uint64_t v = 0;
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        v = v << 3 | (uint64_t)(p[i] - '0'); /* 12 digits at most: 36 bits */
    for (; i < n; i++)
        if (p[i] != ' ' && p[i] != 0)
            return false;
    *out = v;
    return true;
}

/* A size is octal or, for 8 GiB and more, big-endian after a byte 0x80. */
static int size_field(const uint8_t *p, uint64_t *out)
{
    uint64_t v = 0;
    if (p[0] < 0x80) {
        if (!octal(p, SIZE_N, out))
            return rn_fail(RN_E_FORMAT, "its size is no octal number");
        return RN_OK;
    }
    if (p[0] & 0x40)
        return rn_fail(RN_E_FORMAT, "its size is negative");
    if (p[0] != 0x80 || !rn_tar_is_zero(p + 1, 3))
        return rn_fail(RN_E_FORMAT, "its size is over an exabyte");
    for (int i = 4; i < SIZE_N; i++)
        v = v << 8 | p[i];
    if (v > SIZE_LIMIT)
        return rn_fail(RN_E_FORMAT, "its size is over an exabyte");
    *out = v;
    return RN_OK;
}

/* What stands in the fields that are of no interest here. Readers judge by them whether this is a tar at all. */
static bool numbers_fit(const uint8_t *b)
{
    static const struct {
        int at, n;
    } fields[] = {{100, 8}, {108, 8}, {116, 8}, {136, 12}, {329, 8}, {337, 8}}; /* mode, owner, group, time, device */
    uint64_t ignored;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const uint8_t *p = b + fields[i].at;
        if (p[0] != 0x80 && p[0] != 0xff && !octal(p, (size_t)fields[i].n, &ignored))
            return false;
    }
    return true;
}

/* The sum of the header's bytes, its own field read as blanks. Old writers took the bytes as signed. */
static bool sum_fits(const uint8_t *b)
{
    uint64_t want;
    int64_t plain = 0, with_sign = 0;
    for (int i = 0; i < RN_TAR_BLOCK; i++) {
        uint8_t c = i >= SUM && i < SUM + SUM_N ? ' ' : b[i];
        plain += c;
        with_sign += c < 0x80 ? c : c - 0x100;
    }
    return b[SUM] != 0 && octal(b + SUM, SUM_N, &want) && ((int64_t)want == plain || (int64_t)want == with_sign);
}

/* ---- one block --------------------------------------------------------------------------------------------------- */

enum form { POSIX, GNU, SEVENTH, UNKNOWN };

static enum form form_of(const uint8_t *magic)
{
    if (memcmp(magic, "ustar  ", MAGIC_N) == 0) /* and a NUL */
        return GNU;
    if (memcmp(magic, "ustar", 6) == 0)
        return POSIX;
    return rn_tar_is_zero(magic, MAGIC_N) ? SEVENTH : UNKNOWN;
}

static void take_name(const uint8_t *b, enum form form, char *name)
{
    size_t n = 0;
    if (form == POSIX && b[PREFIX]) {
        n = strnlen((const char *)b + PREFIX, PREFIX_N);
        memcpy(name, b + PREFIX, n);
        name[n++] = '/';
    }
    size_t k = strnlen((const char *)b + NAME, NAME_N);
    memcpy(name + n, b + NAME, k);
    name[n + k] = 0;
}

static void take_kind(uint8_t type, rn_tar_head *h)
{
    static const struct {
        char type;
        enum rn_tar_kind kind;
        const char *why;
    } kinds[] = {
        {'0', RN_TAR_FILE, NULL},        {'\0', RN_TAR_FILE, NULL},
        {'7', RN_TAR_FILE, NULL},        {'5', RN_TAR_FOLDER, NULL},
        {'x', RN_TAR_PAX, NULL},         {'g', RN_TAR_GLOBAL, NULL},
        {'L', RN_TAR_LONG_NAME, NULL},   {'K', RN_TAR_LONG_LINK, NULL},
        {'1', RN_TAR_OTHER, "a link"},   {'2', RN_TAR_OTHER, "a link"},
        {'3', RN_TAR_OTHER, "a device"}, {'4', RN_TAR_OTHER, "a device"},
        {'6', RN_TAR_OTHER, "a pipe"},   {'S', RN_TAR_OTHER, "a sparse file"},
    };
    h->kind = RN_TAR_OTHER;
    h->why = "a member of a kind that is neither file nor folder";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((char)type == kinds[i].type) {
            h->kind = kinds[i].kind;
            h->why = kinds[i].why;
        }
}

int rn_tar_head_parse(const uint8_t block[RN_TAR_BLOCK], rn_tar_head *out)
{
    rn_tar_head h = {.size = 0};
    if (!sum_fits(block))
        return rn_fail(RN_E_FORMAT, "its checksum does not fit");
    enum form form = form_of(block + MAGIC);
    if (form == UNKNOWN || !numbers_fit(block))
        return rn_fail(RN_E_FORMAT, form == UNKNOWN ? "its form is unknown" : "a field is no number");
    RN_TRY(size_field(block + SIZE, &h.size));
    take_name(block, form, h.name);
    take_kind(block[TYPE], &h);
    size_t n = strlen(h.name);
    /* Before there was a type for folders, a slash at the end made one. */
    if (h.kind == RN_TAR_FILE && n > 0 && h.name[n - 1] == '/')
        h.kind = RN_TAR_FOLDER;
    /* Some readers skip as much, some take it for the next header. */
    if (h.size > 0 && (h.kind == RN_TAR_FOLDER || (block[TYPE] >= '1' && block[TYPE] <= '6')))
        return rn_fail(RN_E_FORMAT, "'%.100s' is a folder, link or device that claims data", h.name);
    if (form == GNU && block[TYPE] != 'S' && !rn_tar_is_zero(block + GNU_MAP, GNU_MAP_END - GNU_MAP))
        return rn_fail(RN_E_FORMAT, "'%.100s' has the map of a sparse file and is none", h.name);
    h.more_map = block[TYPE] == 'S' && block[GNU_MORE_MAP];
    *out = h;
    return RN_OK;
}

/* ---- extensions -------------------------------------------------------------------------------------------------- */

static int set_name(const char *from, size_t n, char name[RN_TAR_NAME_MAX + 1])
{
    if (n > RN_TAR_NAME_MAX)
        return rn_fail(RN_E_FORMAT, "a name of over 1,024 bytes ('%.60s...')", from);
    if (n == 0 || memchr(from, 0, n))
        return rn_fail(RN_E_FORMAT, "a name that is empty or holds a NUL byte");
    memcpy(name, from, n);
    name[n] = 0;
    return RN_OK;
}

int rn_tar_long_name(const char *data, size_t n, char name[RN_TAR_NAME_MAX + 1])
{
    if (n > 0 && data[n - 1] == 0) /* GNU counts the NUL at its end */
        n--;
    return set_name(data, n, name);
}

static int pax_size(const char *p, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    if (n == 0 || n > 19)
        return rn_fail(RN_E_FORMAT, "a pax header with a size that is no number or over an exabyte");
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return rn_fail(RN_E_FORMAT, "a pax header with the size '%.*s'", (int)n, p);
        v = v * 10 + (uint64_t)(p[i] - '0');
    }
    if (v > SIZE_LIMIT)
        return rn_fail(RN_E_FORMAT, "a pax header with a size of over an exabyte");
    *out = v;
    return RN_OK;
}

static bool is_key(const char *key, size_t n, const char *want)
{
    return n == strlen(want) && memcmp(key, want, n) == 0;
}

/* One "KEY=VALUE". An empty value would take back an earlier one; nobody writes that for what matters here. */
static int pax_record(const char *p, size_t n, rn_tar_pax *out)
{
    static const char sparse[] = "GNU.sparse.";
    const char *eq = memchr(p, '=', n);
    if (!eq || eq == p)
        return rn_fail(RN_E_FORMAT, "a pax header with a record without a key");
    size_t key = (size_t)(eq - p), value = n - key - 1;
    if (is_key(p, key, "path")) {
        if (out->has_path)
            return rn_fail(RN_E_FORMAT, "a pax header with two names");
        out->has_path = true;
        return set_name(eq + 1, value, out->path);
    }
    if (is_key(p, key, "size")) {
        if (out->has_size)
            return rn_fail(RN_E_FORMAT, "a pax header with two sizes");
        out->has_size = true;
        return pax_size(eq + 1, value, &out->size);
    }
    if (key >= sizeof sparse - 1 && memcmp(p, sparse, sizeof sparse - 1) == 0)
        out->sparse = true;
    return RN_OK;
}

/* Records are "LENGTH KEY=VALUE\n", LENGTH counting all of it. */
int rn_tar_pax_parse(const char *data, size_t n, rn_tar_pax *out)
{
    *out = (rn_tar_pax){.has_path = false};
    for (size_t at = 0; at < n;) {
        size_t length = 0, i = at;
        while (i < n && i - at < 8 && data[i] >= '0' && data[i] <= '9')
            length = length * 10 + (size_t)(data[i++] - '0');
        if (i == at || i == n || data[i] != ' ' || length <= i - at + 1 || length > n - at ||
            data[at + length - 1] != '\n')
            return rn_fail(RN_E_FORMAT, "a pax header that is damaged at its byte %zu", at);
        RN_TRY(pax_record(data + i + 1, length - (i - at) - 2, out));
        at += length;
    }
    return RN_OK;
}
