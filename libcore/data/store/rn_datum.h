/* SPDX-License-Identifier: MIT */
/*
 * Caffe's Datum, the value of every record. Written through protobuf-c, whose field order is that of
 * Caffe's own serializer, so the bytes are the same:
 *   encoded   22 <len> <file> 28 <label> 38 01                          data, label, encoded = true; nothing else
 *   raw       08 <c> 10 <h> 18 <w> 22 <len> <pixels> 28 <label> 38 00   planar BGR, encoded = false said explicitly
 * (NVIDIA DALI takes a Datum without `encoded` for a JPEG, so a raw one must say false.)
 *
 * Read by a small parser of our own, because protobuf-c would copy the image out of the mapped page. It takes what
 * protobuf takes: fields in any order, unknown fields skipped, the last of a repeated field wins.
 */
#ifndef RN_DATUM_H
#define RN_DATUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_io.h"

typedef struct rn_datum {
    const uint8_t *data; /* into the parsed buffer; NULL when absent */
    size_t data_n;
    int32_t label;                   /* 0 when absent, as in Caffe */
    int32_t channels, height, width; /* 0 when absent */
    bool encoded;                    /* false when absent */
} rn_datum;

/*
 * Parses n bytes; `out->data` points into `buf`. RN_E_FORMAT: a field runs over the end, a varint of more than 10 bytes, a
 * known field with another wire type, a group, no data, or raw pixels that are not channels * height * width bytes.
 * RN_E_UNSUPPORTED: float_data (rnkit stores bytes). Thread-safe; no allocation.
 */
int rn_datum_parse(const void *buf, size_t n, rn_datum *out);

/* Replace out's content by the Datum of an encoded image, or of raw planar BGR pixels (c * h * w bytes). */
int rn_datum_pack_encoded(const void *image, size_t n, int32_t label, rn_buf *out);
int rn_datum_pack_raw(const uint8_t *planar, int c, int h, int w, int32_t label, rn_buf *out);

/* Interleaved RGB (h, w, 3) to planar BGR (3, h, w); gray (c == 1) is copied. */
void rn_datum_planar_from_rgb(const uint8_t *rgb, int h, int w, int c, uint8_t *planar);

#endif
