/* SPDX-License-Identifier: MIT */
#include "data/pack/rn_convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "data/image/rn_exif.h"
#include "data/image/rn_image.h"
#include "data/store/rn_datum.h"

enum { SIDE_MAX = 8192 };

/* ---- options ------------------------------------------------------------------------------------------------ */

static bool parse_side(const char *text, size_t n, int *out)
{
    char digits[16];
    int64_t v;
    if (n == 0 || n >= sizeof digits)
        return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (rn_parse_i64(digits, 1, SIDE_MAX, &v) < 0)
        return false;
    *out = (int)v;
    return true;
}

int rn_convert_parse_size(const char *text, rn_convert_opts *o)
{
    const char *x;
    o->w = o->h = 0;
    if (strcmp(text, "none") == 0) {
        o->size = RN_SIZE_NONE;
        return RN_OK;
    }
    if (strncmp(text, "short:", 6) == 0 && parse_side(text + 6, strlen(text + 6), &o->w)) {
        o->size = RN_SIZE_SHORT;
        return RN_OK;
    }
    x = strncmp(text, "exact:", 6) == 0 ? strchr(text + 6, 'x') : NULL;
    if (x && parse_side(text + 6, (size_t)(x - text - 6), &o->w) && parse_side(x + 1, strlen(x + 1), &o->h)) {
        o->size = RN_SIZE_EXACT;
        return RN_OK;
    }
    return rn_fail(RN_E_USAGE, "--resize %s: accepted are none, short:N, exact:WxH with sides from 1 to %d", text,
                   SIDE_MAX);
}

int rn_convert_parse_encode(const char *text, rn_convert_opts *o)
{
    int64_t q;
    o->quality = 0;
    if (strcmp(text, "keep") == 0)
        o->encode = RN_ENCODE_KEEP;
    else if (strcmp(text, "raw") == 0)
        o->encode = RN_ENCODE_RAW;
    else if (strncmp(text, "jpeg:", 5) == 0 && rn_parse_i64(text + 5, 1, 100, &q) == 0) {
        o->encode = RN_ENCODE_JPEG;
        o->quality = (int)q;
    } else
        return rn_fail(RN_E_USAGE, "--encode %s: accepted are keep, raw, jpeg:QUALITY with QUALITY from 1 to 100",
                       text);
    return RN_OK;
}

int rn_convert_check(const rn_convert_opts *o)
{
    if (o->encode == RN_ENCODE_KEEP && o->size != RN_SIZE_NONE)
        return rn_fail(RN_E_USAGE, "--encode keep stores the files as they are, --resize changes them: "
                                   "add --encode jpeg:QUALITY or --encode raw");
    if (o->encode == RN_ENCODE_KEEP && o->exif_rotate)
        return rn_fail(RN_E_USAGE,
                       "--encode keep stores the files as they are, with their EXIF, --exif-rotate turns pixels: add "
                       "--encode jpeg:QUALITY or --encode raw");
    return RN_OK;
}

int rn_convert_text(const rn_convert_opts *o, rn_buf *out)
{
    if (o->size == RN_SIZE_SHORT)
        RN_TRY(rn_buf_printf(out, "resize=short:%d filter=%s ", o->w, rn_filter_names[o->filter]));
    else if (o->size == RN_SIZE_EXACT)
        RN_TRY(rn_buf_printf(out, "resize=exact:%dx%d filter=%s ", o->w, o->h, rn_filter_names[o->filter]));
    else
        RN_TRY(rn_buf_printf(out, "resize=none "));
    if (o->exif_rotate) /* said only when on: sets packed without it keep their seal */
        RN_TRY(rn_buf_printf(out, "exif-rotate=yes "));
    if (o->encode == RN_ENCODE_JPEG)
        return rn_buf_printf(out, "encode=jpeg:%d", o->quality);
    if (o->encode == RN_ENCODE_RAW)
        return rn_buf_printf(out, "encode=raw");
    return rn_buf_printf(out, "encode=keep check=%s", o->check_decode ? "decode" : "markers");
}

/* ---- markers ------------------------------------------------------------------------------------------------ */

enum { SOI = 0xd8, EOI = 0xd9, SOS = 0xda, TEM = 0x01, RST0 = 0xd0, RST7 = 0xd7 };

/* Walks the segments to the first scan and returns the offset after its header, 0 if they do not hang together. */
static size_t find_scan(const uint8_t *p, size_t n)
{
    size_t at = 2;
    while (at + 4 <= n) {
        if (p[at] !=
            0xff) { /* stray bytes between segments: libjpeg skips them with a warning, so they do not matter */
            at++;
            continue;
        }
        uint8_t marker = p[at + 1];
        if (marker == 0xff || marker == 0x00) {
            at++;
            continue;
        }
        if (marker == TEM || marker == SOI || (marker >= RST0 && marker <= RST7)) {
            at += 2;
            continue;
        }
        if (marker == EOI)
            return 0;
        size_t length = (size_t)p[at + 2] << 8 | p[at + 3];
        if (length < 2 || length > n - at - 2)
            return 0;
        at += 2 + length;
        if (marker == SOS)
            return at;
    }
    return 0;
}

/* Inside a scan 0xff is followed by 0, a restart marker or another segment, so ff d9 is EOI and nothing else (but inside
 * the tables between two scans, where a false one can only make this lenient). */
static bool has_eoi(const uint8_t *p, size_t from, size_t n)
{
    const uint8_t *at = p + from, *end = p + n;
    while (end - at >= 2 && (at = memchr(at, 0xff, (size_t)(end - at - 1))) != NULL) {
        if (at[1] == EOI)
            return true;
        at++;
    }
    return false;
}

int rn_convert_check_markers(const void *data, size_t n, const char *name)
{
    static const uint8_t iend[] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
    rn_image_info info;
    enum rn_image_format format = rn_image_sniff(data, n);
    if (format == RN_IMG_UNKNOWN)
        return rn_fail(RN_E_FORMAT, "%s: neither JPEG nor PNG", name);
    int rc = rn_image_peek(data, n, &info);
    if (rc < 0)
        return rn_fail_prefix(rc, "%s", name);
    if (format == RN_IMG_PNG) {
        if (n < sizeof iend || !memmem((const uint8_t *)data + 8, n - 8, iend, sizeof iend))
            return rn_fail(RN_E_FORMAT, "%s: PNG without its end: cut short", name);
        return RN_OK;
    }
    size_t scan = find_scan(data, n);
    if (!scan)
        return rn_fail(RN_E_FORMAT, "%s: JPEG without image data: damaged or cut short", name);
    if (!has_eoi(data, scan, n))
        return rn_fail(RN_E_FORMAT, "%s: JPEG without its end marker: cut short", name);
    return RN_OK;
}

/* ---- converting --------------------------------------------------------------------------------------------- */

struct rn_converter {
    rn_convert_opts opts;
    rn_resizer *resizer;
    rn_image decoded, turned, resized;
    uint8_t *jpeg; /* re-encoded */
    size_t jpeg_cap;
    rn_buf planar;
};

int rn_converter_open(const rn_convert_opts *opts, rn_converter **out)
{
    *out = NULL;
    rn_converter *c = calloc(1, sizeof *c);
    if (!c)
        return rn_fail(RN_E_NOMEM, "no memory for a converter");
    c->opts = *opts;
    int rc = rn_resizer_open(&c->resizer);
    if (rc < 0) {
        rn_converter_close(c);
        return rc;
    }
    *out = c;
    return RN_OK;
}

void rn_converter_close(rn_converter *c)
{
    if (!c)
        return;
    rn_resizer_close(c->resizer);
    rn_image_free(&c->decoded);
    rn_image_free(&c->turned);
    rn_image_free(&c->resized);
    rn_buf_free(&c->planar);
    free(c->jpeg);
    free(c);
}

/* Pixels the right way up, in c->decoded or c->turned. */
static int decode(rn_converter *c, const void *image, size_t n, const char *name, const rn_image **out)
{
    RN_TRY(rn_image_decode(image, n, name, NULL, &c->decoded, NULL));
    *out = &c->decoded;
    int orientation = c->opts.exif_rotate ? rn_exif_orientation(image, n) : 1;
    if (orientation == 1)
        return RN_OK;
    *out = &c->turned;
    int rc = rn_exif_turn(&c->decoded, orientation, &c->turned);
    return rc < 0 ? rn_fail_prefix(rc, "%s", name) : RN_OK;
}

/* Pixels of the wanted size, in one of c's images. */
static int make_pixels(rn_converter *c, const void *image, size_t n, const char *name, const rn_image **out)
{
    const rn_convert_opts *o = &c->opts;
    RN_TRY(decode(c, image, n, name, out));
    int w = (*out)->w, h = (*out)->h;
    if (o->size == RN_SIZE_SHORT)
        rn_resize_short_size((*out)->w, (*out)->h, o->w, &w, &h);
    else if (o->size == RN_SIZE_EXACT) {
        w = o->w;
        h = o->h;
    }
    if (w == (*out)->w && h == (*out)->h)
        return RN_OK;
    int rc = rn_resize(c->resizer, *out, NULL, o->filter, w, h, &c->resized);
    *out = &c->resized;
    return rc < 0 ? rn_fail_prefix(rc, "%s", name) : RN_OK;
}

static int lay_raw(rn_converter *c, const rn_image *im, int32_t label, rn_buf *datum, uint64_t *data_n)
{
    size_t n = (size_t)im->w * (size_t)im->h * (size_t)im->c;
    RN_TRY(rn_buf_reserve(&c->planar, n));
    rn_datum_planar_from_rgb(im->px, im->h, im->w, im->c, c->planar.data);
    *data_n = n;
    return rn_datum_pack_raw(c->planar.data, im->c, im->h, im->w, label, datum);
}

int rn_converter_run(rn_converter *c, const void *image, size_t n, const char *name, int32_t label, rn_buf *datum,
                     uint64_t *data_n)
{
    const rn_image *im = NULL;
    if (c->opts.encode == RN_ENCODE_KEEP) {
        if (c->opts.check_decode)
            RN_TRY(rn_image_decode(image, n, name, NULL, &c->decoded, NULL));
        else
            RN_TRY(rn_convert_check_markers(image, n, name));
        *data_n = n;
        return rn_datum_pack_encoded(image, n, label, datum);
    }
    RN_TRY(make_pixels(c, image, n, name, &im));
    if (c->opts.encode == RN_ENCODE_RAW)
        return lay_raw(c, im, label, datum, data_n);
    size_t jpeg_n = 0;
    RN_TRY(rn_image_encode_jpeg(im, c->opts.quality, &c->jpeg, &c->jpeg_cap, &jpeg_n));
    *data_n = jpeg_n;
    return rn_datum_pack_encoded(c->jpeg, jpeg_n, label, datum);
}
