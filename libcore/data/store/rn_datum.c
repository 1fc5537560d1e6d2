/* SPDX-License-Identifier: MIT */
#include "data/store/rn_datum.h"

#include <limits.h>
#include <string.h>

#include "base/rn_error.h"
#include "caffe.pb-c.h"

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum field { F_CHANNELS = 1, F_HEIGHT = 2, F_WIDTH = 3, F_DATA = 4, F_LABEL = 5, F_FLOAT = 6, F_ENCODED = 7 };

typedef struct cursor {
    const uint8_t *p, *end;
} cursor;

/* As protobuf has it: 10 bytes at most, the tenth at most 1 (more does not fit 64 bits); tags and lengths 5. */
enum varint_limit { VALUE = 10, SHORT = 5 };

static bool take_varint(cursor *c, enum varint_limit limit, uint64_t *out)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 7 * (int)limit; shift += 7) {
        if (c->p == c->end)
            return false;
        uint8_t b = *c->p++;
        if (shift == 63 && b > 1)
            return false;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

static bool take_bytes(cursor *c, uint64_t n, const uint8_t **out)
{
    if (n > (uint64_t)(c->end - c->p))
        return false;
    *out = c->p;
    c->p += n;
    return true;
}

static bool skip_field(cursor *c, int wire)
{
    const uint8_t *ignored;
    uint64_t v;
    switch (wire) {
    case WIRE_VARINT:
        return take_varint(c, VALUE, &v);
    case WIRE_FIXED64:
        return take_bytes(c, 8, &ignored);
    case WIRE_FIXED32:
        return take_bytes(c, 4, &ignored);
    case WIRE_BYTES:
        return take_varint(c, SHORT, &v) && take_bytes(c, v, &ignored);
    default:
        return false;
    }
}

/* One float, or packed ones. */
static bool skip_floats(cursor *c, int wire)
{
    const uint8_t *ignored;
    uint64_t n = 4;
    if (wire == WIRE_BYTES && (!take_varint(c, SHORT, &n) || n % 4 != 0))
        return false;
    return (wire == WIRE_BYTES || wire == WIRE_FIXED32) && take_bytes(c, n, &ignored);
}

static int broken(const char *what, const uint8_t *at, const void *buf)
{
    return rn_fail(RN_E_FORMAT, "not a Datum: %s at byte %zu", what, (size_t)(at - (const uint8_t *)buf));
}

/* protobuf keeps the low 32 bits of an int32's varint; a negative one takes ten bytes. */
static int32_t low32(uint64_t v)
{
    uint32_t u = (uint32_t)v;
    int32_t s;
    memcpy(&s, &u, sizeof s);
    return s;
}

static int check_shape(const rn_datum *d)
{
    if (!d->data)
        return rn_fail(RN_E_FORMAT, "not a Datum of an image: it has no data");
    if (d->encoded)
        return RN_OK;
    if (d->channels < 1 || d->height < 1 || d->width < 1)
        return rn_fail(RN_E_FORMAT, "raw Datum of %d x %d x %d (channels, height, width)", d->channels, d->height,
                       d->width);
    uint64_t plane = (uint64_t)d->height * (uint64_t)d->width; /* < 2^62: no wrap */
    if (d->data_n % plane != 0 || d->data_n / plane != (uint64_t)d->channels)
        return rn_fail(RN_E_FORMAT, "raw Datum of %d x %d x %d holds %zu bytes", d->channels, d->height, d->width,
                       d->data_n);
    return RN_OK;
}

int rn_datum_parse(const void *buf, size_t n, rn_datum *out)
{
    cursor c = {buf, (const uint8_t *)buf + n};
    rn_datum d = {0};
    bool floats = false;
    while (c.p < c.end) {
        const uint8_t *at = c.p;
        uint64_t tag, v;
        if (!take_varint(&c, SHORT, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
            return broken("bad field tag", at, buf);
        int wire = (int)(tag & 7);
        uint32_t number = (uint32_t)(tag >> 3);
        if (number == F_FLOAT) {
            floats = true;
            if (!skip_floats(&c, wire))
                return broken("bad or cut float_data", at, buf);
            continue;
        }
        if (number < F_CHANNELS || number > F_ENCODED) {
            if (!skip_field(&c, wire))
                return broken("bad or cut field", at, buf);
            continue;
        }
        if (wire != (number == F_DATA ? WIRE_BYTES : WIRE_VARINT))
            return broken("known field with a wrong wire type", at, buf);
        if (!take_varint(&c, number == F_DATA ? SHORT : VALUE, &v))
            return broken("bad or cut varint", at, buf);
        switch (number) {
        case F_CHANNELS:
            d.channels = low32(v);
            break;
        case F_HEIGHT:
            d.height = low32(v);
            break;
        case F_WIDTH:
            d.width = low32(v);
            break;
        case F_LABEL:
            d.label = low32(v);
            break;
        case F_ENCODED:
            d.encoded = v != 0;
            break;
        case F_DATA:
            if (!take_bytes(&c, v, &d.data))
                return broken("data runs over the end", at, buf);
            d.data_n = (size_t)v;
            break;
        }
    }
    if (floats && !d.data)
        return rn_fail(RN_E_UNSUPPORTED, "Datum with float_data: rnkit reads images stored as bytes");
    RN_TRY(check_shape(&d));
    *out = d;
    return RN_OK;
}

static int pack(Rn__Datum *m, const void *data, size_t n, int32_t label, bool encoded, rn_buf *out)
{
    if (n > INT_MAX - 64)
        return rn_fail(RN_E_RANGE, "image of %zu bytes: a protobuf message holds less than 2 GiB", n);
    m->has_data = m->has_label = m->has_encoded = 1;
    m->data.data = (uint8_t *)(uintptr_t)data; /* protobuf-c has no const, and only reads */
    m->data.len = n;
    m->label = label;
    m->encoded = encoded;
    size_t size = rn__datum__get_packed_size(m);
    out->n = 0;
    RN_TRY(rn_buf_reserve(out, size));
    out->n = rn__datum__pack(m, out->data);
    return RN_OK;
}

int rn_datum_pack_encoded(const void *image, size_t n, int32_t label, rn_buf *out)
{
    Rn__Datum m = RN__DATUM__INIT;
    return pack(&m, image, n, label, true, out);
}

int rn_datum_pack_raw(const uint8_t *planar, int c, int h, int w, int32_t label, rn_buf *out)
{
    if (c < 1 || h < 1 || w < 1)
        return rn_fail(RN_E_RANGE, "raw Datum of %d x %d x %d", c, h, w);
    Rn__Datum m = RN__DATUM__INIT;
    m.has_channels = m.has_height = m.has_width = 1;
    m.channels = c;
    m.height = h;
    m.width = w;
    return pack(&m, planar, (size_t)c * (size_t)h * (size_t)w, label, false, out);
}

void rn_datum_planar_from_rgb(const uint8_t *rgb, int h, int w, int c, uint8_t *planar)
{
    size_t n = (size_t)h * (size_t)w;
    if (c == 1) {
        memcpy(planar, rgb, n);
        return;
    }
    uint8_t *b = planar, *g = planar + n, *r = planar + 2 * n;
    for (size_t i = 0; i < n; i++) {
        r[i] = rgb[3 * i];
        g[i] = rgb[3 * i + 1];
        b[i] = rgb[3 * i + 2];
    }
}
