/* SPDX-License-Identifier: MIT */
#include "data/meta/rn_matcheck.h"

#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "base/rn_error.h"

enum { HEADER = 128, TAG = 8, DEPTH_MAX = 4, RANK_MAX = 8, FIELDS_MAX = 64, FIELD_NAME_MAX = 64, NAME_MAX_LEN = 63 };
enum { INFLATED_MAX = 64 << 20 };
enum type { INT8 = 1, UINT8, INT16, UINT16, INT32, UINT32, SINGLE, DOUBLE = 9, INT64 = 12, UINT64, MATRIX, COMPRESSED };
enum { UTF8 = 16, UTF16 = 17 };
enum array_class { CELL = 1, STRUCT, CHAR = 4, FIRST_NUMBER = 6, LAST_NUMBER = 15, COMPLEX = 0x800 };

/* Bytes not looked at yet. `swap`: the file's byte order is not little-endian. */
typedef struct cursor {
    const uint8_t *p;
    size_t n;
    bool swap;
} cursor;

typedef struct array {
    int class;
    uint64_t count; /* of elements */
    char name[NAME_MAX_LEN + 1];
    cursor rest; /* after the name */
} array;

static uint32_t word(const cursor *c, size_t at)
{
    const uint8_t *p = c->p + at;
    return c->swap ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                   : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* One data element. Small ones have their size in the tag's upper half and their data behind it. */
static bool take(cursor *c, uint32_t *type, cursor *data)
{
    if (c->n < TAG)
        return false;
    uint32_t first = word(c, 0), small = first >> 16;
    size_t size = small ? small : word(c, 4), all = small ? TAG : TAG + (size + 7) / 8 * 8;
    if (small > 4 || all > c->n)
        return false;
    *type = first & 0xffff;
    *data = (cursor){c->p + (small ? 4 : TAG), size, c->swap};
    c->p += all;
    c->n -= all;
    return true;
}

static bool take_of(cursor *c, uint32_t want, cursor *data)
{
    uint32_t type;
    return take(c, &type, data) && type == want;
}

/* Bytes of a number of that type, 0 if it is none. */
static size_t size_of(uint32_t type)
{
    static const uint8_t sizes[] = {[INT8] = 1,   [UINT8] = 1,  [INT16] = 2,  [UINT16] = 2, [INT32] = 4,
                                    [UINT32] = 4, [SINGLE] = 4, [DOUBLE] = 8, [INT64] = 8,  [UINT64] = 8};
    return type < sizeof sizes ? sizes[type] : 0;
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

/* Flags, dimensions and name, which every array begins with. */
static const char *take_heading(cursor c, array *a)
{
    cursor flags, dims, name;
    if (!take_of(&c, UINT32, &flags) || flags.n != 8)
        return "an array without flags";
    a->class = (int)(word(&flags, 0) & 0xff);
    if (word(&flags, 0) & COMPLEX)
        return "a complex array";
    if (!take_of(&c, INT32, &dims) || dims.n < 8 || dims.n > (size_t)4 * RANK_MAX || dims.n % 4)
        return "an array with odd dimensions";
    a->count = 1;
    for (size_t i = 0; i < dims.n; i += 4) {
        uint32_t d = word(&dims, i);
        if (d > INT32_MAX || (d > 0 && a->count > INFLATED_MAX / d))
            return "an array that is too large";
        a->count *= d;
    }
    if (!take_of(&c, INT8, &name) || name.n > NAME_MAX_LEN)
        return "an array without a name";
    memcpy(a->name, name.p, name.n);
    a->name[name.n] = 0;
    a->rest = c;
    return NULL;
}

static const char *check_array(cursor c, int depth);

static const char *check_numbers(array *a)
{
    uint32_t type;
    cursor data;
    if (!take(&a->rest, &type, &data) || size_of(type) == 0 || data.n != a->count * size_of(type))
        return "numbers that are not as many as the dimensions say";
    return NULL;
}

/* Text is 8 or 16 bits a character, or UTF-8, which takes up to four bytes for one. */
static const char *check_text(array *a)
{
    uint32_t type;
    cursor data;
    if (!take(&a->rest, &type, &data))
        return "a text without characters";
    bool fits = type == UTF8    ? data.n >= a->count && data.n <= 4 * a->count
                : type == UTF16 ? data.n == 2 * a->count
                                : (size_of(type) == 1 || size_of(type) == 2) && data.n == a->count * size_of(type);
    return fits ? NULL : "a text that is not as long as its dimensions say";
}

static const char *check_cells(cursor c, uint64_t count, int depth)
{
    if (count > c.n / TAG)
        return "fewer cells than the dimensions say";
    for (uint64_t i = 0; i < count; i++) {
        cursor body;
        if (!take_of(&c, MATRIX, &body))
            return "a cell that is no array";
        const char *bad = body.n ? check_array(body, depth + 1) : NULL; /* nothing at all: an empty one */
        if (bad)
            return bad;
    }
    return NULL;
}

static const char *check_struct(array *a, int depth)
{
    cursor length, names;
    if (a->rest.n < TAG || word(&a->rest, 0) != (4u << 16 | INT32) || !take_of(&a->rest, INT32, &length))
        return "a struct without the length of its fields' names";
    uint32_t len = word(&length, 0);
    if (len < 1 || len > FIELD_NAME_MAX || !take_of(&a->rest, INT8, &names) || names.n == 0 || names.n % len ||
        names.n / len > FIELDS_MAX)
        return "a struct without names of its fields";
    for (size_t i = 0; i < names.n; i += len)
        if (names.p[i] == 0 || !memchr(names.p + i, 0, len))
            return "a struct with a bad name of a field";
    return check_cells(a->rest, a->count * (names.n / len), depth);
}

/* What is wrong with it, or NULL. */
static const char *check_array(cursor c, int depth)
{
    array a;
    if (depth > DEPTH_MAX)
        return "arrays nested too deep";
    const char *bad = take_heading(c, &a);
    if (bad)
        return bad;
    if (a.class >= FIRST_NUMBER && a.class <= LAST_NUMBER)
        return check_numbers(&a);
    switch (a.class) {
    case CHAR:
        return check_text(&a);
    case STRUCT:
        return check_struct(&a, depth);
    case CELL:
        return check_cells(a.rest, a.count, depth);
    default:
        return "an array that is neither numbers, text, struct nor cells";
    }
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static int inflate_all(const cursor *packed, const char *name, rn_buf *out)
{
    int rc, r = Z_OK;
    z_stream z = {.next_in = (Bytef *)(uintptr_t)packed->p, .avail_in = (uInt)packed->n};
    if (inflateInit(&z) != Z_OK)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", name);
    out->n = 0;
    while (r == Z_OK) {
        size_t step = out->n < 65536 ? 65536 : out->n;
        if (out->n > INFLATED_MAX)
            RN_GO(rn_fail(RN_E_FORMAT, "%s: over 64 MiB when inflated", name));
        RN_GO(rn_buf_reserve(out, out->n + step));
        z.next_out = out->data + out->n;
        z.avail_out = (uInt)step;
        r = inflate(&z, Z_NO_FLUSH);
        out->n += step - z.avail_out;
    }
    rc = r == Z_STREAM_END ? RN_OK
                           : rn_fail(RN_E_FORMAT, "%s: damaged or truncated (%s)", name, z.msg ? z.msg : "zlib data");
out:
    inflateEnd(&z);
    return rc;
}

static void put_word(uint8_t *to, uint32_t v, bool swap)
{
    for (int i = 0; i < 4; i++)
        to[swap ? 3 - i : i] = (uint8_t)(v >> 8 * i);
}

/* Deflated again: libmatio is given a file, and a limit on the size of files (ulimit -f) counts even for one in memory. */
static int emit(const uint8_t *header, const cursor *element, rn_buf *out)
{
    uLongf n = compressBound((uLong)element->n);
    RN_TRY(rn_buf_reserve(out, HEADER + TAG + n));
    uint8_t *p = out->data;
    memset(p, ' ', 116);
    memcpy(p, "MATLAB 5.0 MAT-file", 19);
    memset(p + 116, 0, 8); /* no subsystem data */
    memcpy(p + 124, header + 124, 4);
    if (compress2(p + HEADER + TAG, &n, element->p, (uLong)element->n, Z_BEST_SPEED) != Z_OK)
        return rn_fail(RN_E_NOMEM, "out of memory");
    put_word(p + HEADER, COMPRESSED, element->swap);
    put_word(p + HEADER + 4, (uint32_t)n, element->swap);
    out->n = HEADER + TAG + n;
    return RN_OK;
}

/* Looks at one element of the file, inflated: 1 if it was `variable`, which then stands in out. */
static int look(cursor element, const uint8_t *header, const char *name, const char *variable, rn_buf *out)
{
    array a;
    uint32_t type;
    cursor body;
    const cursor whole = element;
    if (!take(&element, &type, &body))
        return rn_fail(RN_E_FORMAT, "%s: damaged: an element runs over the end", name);
    if (type != MATRIX || take_heading(body, &a) != NULL || strcmp(a.name, variable) != 0)
        return 0;
    const char *bad = body.p == whole.p + TAG ? check_array(body, 0) : "an array that is too small";
    if (bad)
        return rn_fail(RN_E_FORMAT, "%s: `%s` holds %s", name, variable, bad);
    RN_TRY(emit(header, &(cursor){whole.p, whole.n - element.n, whole.swap}, out));
    return 1;
}

int rn_mat_extract(const void *data, size_t n, const char *name, const char *variable, rn_buf *out)
{
    const uint8_t *header = data;
    rn_buf inflated = {0};
    int rc = 0;
    if (n < HEADER || (memcmp(header + 124, "\0\1IM", 4) != 0 && memcmp(header + 124, "\1\0MI", 4) != 0))
        return rn_fail(RN_E_FORMAT, "%s: not a MATLAB 5 file", name);
    cursor c = {header + HEADER, n - HEADER, header[126] == 'M'};
    while (rc == 0 && c.n >= TAG) {
        size_t size = word(&c, 4);
        if (size > c.n - TAG)
            RN_GO(rn_fail(RN_E_FORMAT, "%s: truncated: an element of %zu bytes, %zu are there", name, size, c.n - TAG));
        cursor element = {c.p, TAG + size, c.swap};
        if (word(&c, 0) == COMPRESSED) {
            cursor packed = {c.p + TAG, size, c.swap};
            RN_GO(inflate_all(&packed, name, &inflated));
            element = (cursor){inflated.data, inflated.n, c.swap};
        }
        rc = look(element, header, name, variable, out);
        c.p += TAG + size;
        c.n -= TAG + size;
    }
    if (rc == 0)
        rc = rn_fail(RN_E_FORMAT, "%s: has no readable variable `%s`", name, variable);
out:
    rn_buf_free(&inflated);
    return rc < 0 ? rc : RN_OK;
}
