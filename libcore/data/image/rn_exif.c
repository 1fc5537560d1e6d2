/* SPDX-License-Identifier: MIT */
#include "data/image/rn_exif.h"

#include <stdint.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

enum { TAG_ORIENTATION = 0x0112, ENTRY_BYTES = 12 };
enum jpeg_marker { M_TEM = 0x01, M_RST0 = 0xd0, M_SOI = 0xd8, M_EOI = 0xd9, M_SOS = 0xda, M_APP1 = 0xe1 };

static const char exif_head[] = "Exif\0"; /* six bytes with its end */
static const char xmp_head[] = "http://ns.adobe.com/xap/1.0/";

/* ---- TIFF --------------------------------------------------------------------------------------------------- */

typedef struct tiff {
    const uint8_t *p;
    size_t n;
    bool big;
} tiff;

/* k bytes at `at`; the caller knows that they are there. */
static uint64_t number(const tiff *t, size_t at, int k)
{
    uint64_t v = 0;
    for (int i = 0; i < k; i++)
        v = v << 8 | t->p[at + (size_t)(t->big ? i : k - 1 - i)];
    return v;
}

/* Bytes of one value of an integer type, 0 for all others (a BYTE is text to Pillow, and so no orientation). */
static int integer_size(unsigned type)
{
    switch (type) {
    case 6: /* SBYTE */
        return 1;
    case 3: /* SHORT */
    case 8: /* SSHORT */
        return 2;
    case 4:  /* LONG */
    case 9:  /* SLONG */
    case 13: /* IFD */
        return 4;
    case 16: /* LONG8 */
        return 8;
    default:
        return 0;
    }
}

/* The entry's first value; false when it has none or it lies outside. A negative number comes out large, which is no
 * orientation either. */
static bool entry_value(const tiff *t, size_t entry, uint64_t *out)
{
    int size = integer_size((unsigned)number(t, entry + 2, 2));
    uint64_t count = number(t, entry + 4, 4), at = entry + 8;
    if (size == 0 || count == 0)
        return false;
    if (count * (uint64_t)size > 4) { /* count < 2^32: no wrap */
        at = number(t, entry + 8, 4);
        if (at > t->n || count * (uint64_t)size > t->n - at)
            return false;
    }
    *out = number(t, (size_t)at, size);
    return true;
}

/* True when the first directory has the tag; *out is its value, whatever that is. */
static bool tiff_orientation(const uint8_t *p, size_t n, uint64_t *out)
{
    tiff t = {p, n, false};
    while (t.n >= 6 && memcmp(t.p, exif_head, 6) == 0 && t.p - p < 12) { /* some write the prefix twice */
        t.p += 6;
        t.n -= 6;
    }
    if (t.n < 8)
        return false;
    t.big = t.p[0] == 'M';
    if (t.p[1] != t.p[0] || (t.p[0] != 'M' && t.p[0] != 'I'))
        return false;
    if (number(&t, 2, 2) != 42 && number(&t, 2, 2) != 42 << 8)
        return false;
    uint64_t at = number(&t, 4, 4);
    if (at > t.n || t.n - at < 2)
        return false;
    uint64_t entries = number(&t, (size_t)at, 2);
    for (at += 2; entries > 0 && t.n - at >= ENTRY_BYTES; entries--, at += ENTRY_BYTES)
        if (number(&t, (size_t)at, 2) == TAG_ORIENTATION && entry_value(&t, (size_t)at, out))
            return true;
    return false;
}

/* ---- JPEG --------------------------------------------------------------------------------------------------- */

/* What the APP1 segments hold. */
typedef struct found {
    rn_buf exif; /* all of them, one after another */
    const uint8_t *xmp;
    size_t xmp_n;
} found;

static int note_app1(found *f, const uint8_t *p, size_t n)
{
    if (n >= 6 && memcmp(p, exif_head, 6) == 0) {
        size_t skip = f->exif.n ? 6 : 0;
        return rn_buf_append(&f->exif, p + skip, n - skip);
    }
    if (n >= sizeof xmp_head && memcmp(p, xmp_head, sizeof xmp_head) == 0) {
        f->xmp = p + sizeof xmp_head;
        f->xmp_n = n - sizeof xmp_head;
    }
    return RN_OK;
}

/* The segments up to the first scan; where they stop hanging together there is nothing more to be found. */
static int walk_jpeg(const uint8_t *p, size_t n, found *f)
{
    for (size_t at = 2; n - at >= 4;) {
        uint8_t marker = p[at + 1];
        if (p[at] != 0xff || marker == 0xff || marker == 0x00) {
            at++;
            continue;
        }
        if (marker == M_TEM || (marker >= M_RST0 && marker <= M_SOI)) {
            at += 2;
            continue;
        }
        size_t length = (size_t)p[at + 2] << 8 | p[at + 3];
        if (marker == M_EOI || marker == M_SOS || length < 2 || length > n - at - 2)
            break;
        if (marker == M_APP1)
            RN_TRY(note_app1(f, p + at + 4, length - 2));
        at += 2 + length;
    }
    return RN_OK;
}

/* tiff:Orientation="6" or <tiff:Orientation>6, the first of them. */
static uint64_t xmp_orientation(const uint8_t *p, size_t n)
{
    static const char name[] = "tiff:Orientation";
    const size_t k = sizeof name - 1;
    const uint8_t *end = p + n;
    while ((p = memmem(p, (size_t)(end - p), name, k)) != NULL) {
        p += k;
        size_t skip = end - p >= 2 && p[0] == '=' && p[1] == '"' ? 2 : end - p >= 1 && p[0] == '>' ? 1 : 0;
        if (skip && (size_t)(end - p) > skip && p[skip] >= '0' && p[skip] <= '9')
            return (uint64_t)(p[skip] - '0');
    }
    return 1;
}

static uint64_t jpeg_orientation(const uint8_t *p, size_t n)
{
    found f = {0};
    uint64_t v = 1;
    if (walk_jpeg(p, n, &f) == RN_OK && !tiff_orientation(f.exif.data, f.exif.n, &v) && f.xmp)
        v = xmp_orientation(f.xmp, f.xmp_n);
    rn_buf_free(&f.exif);
    return v;
}

/* ---- PNG ---------------------------------------------------------------------------------------------------- */

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* PNG's CRC-32 (specification, annex D), bit by bit: an eXIf chunk is small and rare. */
static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
    }
    return ~c;
}

/* A chunk is length, type, data, CRC of type and data. The last eXIf counts, and it may stand after the pixels. */
static uint64_t png_orientation(const uint8_t *p, size_t n)
{
    uint64_t v = 1;
    for (size_t at = 8; n - at >= 12;) {
        size_t length = be32(p + at);
        if (length > n - at - 12 || memcmp(p + at + 4, "IEND", 4) == 0)
            break;
        if (memcmp(p + at + 4, "eXIf", 4) == 0 && crc32_of(p + at + 4, 4 + length) == be32(p + at + 8 + length)) {
            v = 1;
            (void)tiff_orientation(p + at + 8, length, &v);
        }
        at += 12 + length;
    }
    return v;
}

int rn_exif_orientation(const void *file, size_t n)
{
    uint64_t v = 1;
    switch (rn_image_sniff(file, n)) {
    case RN_IMG_JPEG:
        v = jpeg_orientation(file, n);
        break;
    case RN_IMG_PNG:
        v = png_orientation(file, n);
        break;
    default:
        break;
    }
    return v >= 1 && v <= 8 ? (int)v : 1;
}

/* ---- turning ------------------------------------------------------------------------------------------------ */

int rn_exif_turn(const rn_image *in, int orientation, rn_image *out)
{
    const ptrdiff_t c = in->c, row = (ptrdiff_t)in->w * c;
    const ptrdiff_t right = row - c, bottom = (ptrdiff_t)(in->h - 1) * row; /* offsets of the last column and row */
    /* Where the first output pixel comes from, and how far to go in the input for a step right and a step down. */
    const struct {
        ptrdiff_t start, dx, dy;
    } way[9] = {{0, c, row},       {0, c, row}, {right, -c, row},  {right + bottom, -c, -row},
                {bottom, c, -row}, {0, row, c}, {bottom, -row, c}, {right + bottom, -row, -c},
                {right, row, -c}};
    int o = orientation >= 1 && orientation <= 8 ? orientation : 1;
    RN_TRY(o >= 5 ? rn_image_alloc(out, in->h, in->w, in->c) : rn_image_alloc(out, in->w, in->h, in->c));
    uint8_t *dst = out->px;
    for (int y = 0; y < out->h; y++) {
        const uint8_t *src = in->px + way[o].start + y * way[o].dy;
        for (int x = 0; x < out->w; x++, src += way[o].dx)
            for (int k = 0; k < in->c; k++)
                *dst++ = src[k];
    }
    return RN_OK;
}
