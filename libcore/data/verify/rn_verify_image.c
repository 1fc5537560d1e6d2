/* SPDX-License-Identifier: MIT */
#include "data/verify/rn_verify_image.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/verify/rn_verify_exif.h"

enum { TAIL = 64 << 10 };

/* ---- a JPEG's markers ------------------------------------------------------------------------------------ */

typedef struct markers {
    size_t scan; /* where the first scan's data begin; 0: the headers do not get that far */
    int components;
    bool exif_broken;
} markers;

static bool is_frame(uint8_t marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

static void read_markers(const uint8_t *p, size_t n, markers *m)
{
    size_t at = 2;
    memset(m, 0, sizeof *m);
    while (at + 4 <= n && p[at] == 0xff) {
        uint8_t marker = p[at + 1];
        if (marker == 0xff) { /* fill */
            at++;
            continue;
        }
        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) { /* no length follows */
            at += 2;
            continue;
        }
        size_t length = (size_t)p[at + 2] << 8 | p[at + 3];
        const uint8_t *body = p + at + 4;
        if (length < 2 || length > n - at - 2)
            return;
        if (is_frame(marker) && length >= 8)
            m->components = body[5];
        if (marker == 0xe1 && length >= 8 && memcmp(body, "Exif\0\0", 6) == 0)
            m->exif_broken |= !rn_exif_sound(body + 6, length - 8);
        at += 2 + length;
        if (marker == 0xda) {
            m->scan = at;
            return;
        }
    }
}

/* Real files may have bytes after the end marker, so it is looked for in the last 64 KiB; not before the first scan,
 * where a thumbnail's would be found. */
static bool has_end(const uint8_t *data, size_t n, size_t scan)
{
    for (size_t i = n; i >= scan + 2 && n - i < TAIL; i--)
        if (data[i - 2] == 0xff && data[i - 1] == 0xd9)
            return true;
    return false;
}

/* ---- findings -------------------------------------------------------------------------------------------- */

#define COUNT(check, what)                                                                                             \
    do {                                                                                                               \
        if ((check)->counts)                                                                                           \
            (check)->counts->what++;                                                                                   \
    } while (0)

/* A file's name without its folder, and without the number that a packed set's key puts before it. */
static const char *file_name(const char *name)
{
    const char *base = rn_base_name(name);
    size_t digits = strspn(base, "0123456789");
    return digits >= 8 && base[digits] == '_' ? base + digits + 1 : base;
}

void rn_verify_oddity(const rn_image_check *c, enum rn_kind kind, const char *name, const char *text)
{
    bool known = rn_manifest_knows(c->manifest, kind, file_name(name));
    rn_findings_add(c->found, known ? RN_KNOWN : RN_NOTE, kind, name, "%s: %s", name, text);
}

static void damage(const rn_image_check *c, enum rn_kind kind, const char *name, const char *text)
{
    rn_findings_add(c->found, RN_BAD, kind, name, "%s: %s", name, text);
}

static void png(const rn_image_check *c, const char *name)
{
    COUNT(c, png);
    if (strstr(rn_base_name(name), ".png") == NULL)
        rn_verify_oddity(c, RN_K_PNG, name, "a PNG");
}

static void cmyk(const rn_image_check *c, const char *name)
{
    COUNT(c, cmyk);
    rn_verify_oddity(c, RN_K_CMYK, name, "CMYK");
}

static void glance(const rn_image_check *c, const uint8_t *data, size_t n, const char *name)
{
    markers m;
    switch (rn_image_sniff(data, n)) {
    case RN_IMG_JPEG:
        read_markers(data, n, &m);
        if (m.components == 4)
            cmyk(c, name);
        if (m.exif_broken)
            rn_verify_oddity(c, RN_K_EXIF, name, "corrupt EXIF data");
        if (m.components == 1)
            COUNT(c, gray);
        if (!m.scan || !has_end(data, n, m.scan))
            damage(c, RN_K_TRUNCATED, name, "truncated (no JPEG end marker)");
        break;
    case RN_IMG_PNG:
        png(c, name);
        break;
    default:
        damage(c, RN_K_NOT_IMAGE, name, "neither JPEG nor PNG");
    }
}

/* Why it could not be decoded. */
static enum rn_kind failure(int rc, const uint8_t *data, size_t n, const char *name)
{
    if (rn_image_sniff(data, n) == RN_IMG_UNKNOWN)
        return RN_K_NOT_IMAGE;
    if (rc == RN_E_UNSUPPORTED || rc == RN_E_RANGE)
        return RN_K_UNSUPPORTED;
    const char *text = rn_error_text(); /* the codecs say "NAME: truncated ..." */
    bool cut = strncmp(text, name, strlen(name)) == 0 && strncmp(text + strlen(name), ": truncated ", 12) == 0;
    return cut ? RN_K_TRUNCATED : RN_K_DAMAGED;
}

static void decode_whole(const rn_image_check *c, const uint8_t *data, size_t n, const char *name, rn_image *scratch)
{
    rn_image_info info = {0};
    markers m;
    int rc = rn_image_decode(data, n, name, &(rn_decode_opts){0}, scratch, &info);
    if (rc < 0) {
        rn_findings_add(c->found, RN_BAD, failure(rc, data, n, name), name, "%s", rn_error_text());
        return;
    }
    COUNT(c, decoded);
    if (info.components == 1)
        COUNT(c, gray);
    if (info.format == RN_IMG_PNG)
        png(c, name);
    if (info.cmyk)
        cmyk(c, name);
    /* Decoders give the same pixels all the same, ILSVRC2012 has such files: said, not failed. */
    if (info.warnings > 0) {
        COUNT(c, warned);
        rn_verify_oddity(c, RN_K_WARNING, name, info.warning);
    }
    if (info.format != RN_IMG_JPEG)
        return;
    read_markers(data, n, &m);
    if (m.exif_broken)
        rn_verify_oddity(c, RN_K_EXIF, name, "corrupt EXIF data");
}

void rn_verify_image(const rn_image_check *c, const uint8_t *data, size_t n, const char *name, rn_image *scratch)
{
    if (c->counts) {
        c->counts->images++;
        c->counts->bytes += n;
    }
    if (n == 0)
        damage(c, RN_K_EMPTY, name, "empty");
    else if (c->decode)
        decode_whole(c, data, n, name, scratch);
    else
        glance(c, data, n, name);
}

/* ---- the set's ------------------------------------------------------------------------------------------- */

void rn_verify_take_counts(const rn_image_counts *c, rn_verify_set *set)
{
    set->images = c->images;
    set->bytes = c->bytes;
    set->decoded = c->decoded;
    set->gray = c->gray;
    set->cmyk = c->cmyk;
    set->png = c->png;
    set->warned = c->warned;
    for (int i = 0; i < set->classes; i++) {
        uint64_t k = set->class[i].images;
        set->least = i == 0 || k < set->least ? k : set->least;
        set->most = k > set->most ? k : set->most;
    }
    rn_findings_sort(&set->found);
}

void rn_verify_set_free(rn_verify_set *s)
{
    rn_findings_free(&s->found);
    for (int i = 0; s->class && i < s->classes; i++)
        free(s->class[i].name);
    free(s->class);
    s->class = NULL;
}
