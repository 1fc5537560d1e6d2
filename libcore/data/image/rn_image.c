/* SPDX-License-Identifier: MIT */
/* Images in memory, and the choice of the codec by content. */
#include "data/image/rn_image.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/image/rn_codec.h"

struct rn_decoder {
    rn_jpeg *jpeg; /* opened by the first JPEG */
    rn_source src;
    rn_image_info info;
    bool begun;
};

int rn_image_alloc(rn_image *im, int w, int h, int c)
{
    if (w < 1 || h < 1 || (c != 1 && c != 3))
        return rn_fail(RN_E_RANGE, "image of %d x %d x %d: width and height must be positive, channels 1 or 3", w, h,
                       c);
    size_t need = (size_t)w * (size_t)h * (size_t)c;
    if (need > im->cap || !im->px) {
        free(im->px); /* not realloc: the old pixels are not wanted */
        im->cap = 0;
        im->px = malloc(need);
        if (!im->px)
            return rn_fail(RN_E_NOMEM, "image of %d x %d x %d: out of memory", w, h, c);
        im->cap = need;
    }
    im->w = w;
    im->h = h;
    im->c = c;
    return RN_OK;
}

void rn_image_free(rn_image *im)
{
    if (!im)
        return;
    free(im->px);
    memset(im, 0, sizeof *im);
}

enum rn_image_format rn_image_sniff(const void *data, size_t n)
{
    static const uint8_t jpeg[3] = {0xff, 0xd8, 0xff};
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (n >= sizeof jpeg && memcmp(data, jpeg, sizeof jpeg) == 0)
        return RN_IMG_JPEG;
    if (n >= sizeof png && memcmp(data, png, sizeof png) == 0)
        return RN_IMG_PNG;
    return RN_IMG_UNKNOWN;
}

int rn_codec_check_size(const char *name, uint64_t w, uint64_t h)
{
    if (w < 1 || h < 1)
        return rn_fail(RN_E_FORMAT, "%s: the header declares an empty image; " RN_BAD_FILE_REMEDY, name);
    if (w > RN_IMAGE_MAX_SIDE || h > RN_IMAGE_MAX_SIDE || w * h > RN_IMAGE_MAX_PIXELS)
        return rn_fail(RN_E_RANGE,
                       "%s: %llu x %llu pixels; at most %d a side and %d in all are decoded: shrink it or leave it out",
                       name, (unsigned long long)w, (unsigned long long)h, RN_IMAGE_MAX_SIDE, RN_IMAGE_MAX_PIXELS);
    return RN_OK;
}

int rn_codec_check_region(const char *name, const rn_rect *r, int w, int h)
{
    if (r->x < 0 || r->y < 0 || r->w < 1 || r->h < 1 || r->w > w || r->h > h || r->x > w - r->w || r->y > h - r->h)
        return rn_fail(RN_E_RANGE, "%s: region %d,%d %d x %d does not lie inside the %d x %d image", name, r->x, r->y,
                       r->w, r->h, w, h);
    return RN_OK;
}

void rn_codec_rgb_to_gray(const uint8_t *rgb, uint8_t *gray, int n)
{
    for (int i = 0; i < n; i++, rgb += 3)
        gray[i] = (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

int rn_decoder_open(rn_decoder **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? RN_OK : rn_fail(RN_E_NOMEM, "image decoder: out of memory");
}

void rn_decoder_close(rn_decoder *d)
{
    if (!d)
        return;
    rn_jpeg_close(d->jpeg);
    free(d);
}

/* The first bytes in hex, for the message about what is no image. */
static void first_bytes(const rn_source *src, char text[3 * 8 + 1])
{
    static const char hex[] = "0123456789abcdef";
    size_t n = src->n < 8 ? src->n : 8;
    char *t = text;
    for (size_t i = 0; i < n; i++) {
        *t++ = hex[src->data[i] >> 4];
        *t++ = hex[src->data[i] & 15];
        *t++ = ' ';
    }
    if (t > text)
        t--;
    *t = '\0';
}

int rn_decoder_begin(rn_decoder *d, const void *data, size_t n, const char *name, rn_image_info *info)
{
    d->begun = false;
    d->src = (rn_source){data, n, name ? name : "image"};
    d->info = (rn_image_info){.format = rn_image_sniff(data, n)};
    switch (d->info.format) {
    case RN_IMG_JPEG:
        if (!d->jpeg)
            RN_TRY(rn_jpeg_open(&d->jpeg));
        RN_TRY(rn_jpeg_begin(d->jpeg, &d->src, &d->info));
        break;
    case RN_IMG_PNG:
        RN_TRY(rn_png_peek(&d->src, &d->info));
        break;
    default: {
        char bytes[3 * 8 + 1];
        first_bytes(&d->src, bytes);
        if (n == 0)
            return rn_fail(RN_E_FORMAT, "%s: empty file; " RN_BAD_FILE_REMEDY, d->src.name);
        return rn_fail(RN_E_FORMAT, "%s: neither JPEG nor PNG (it begins with %s); " RN_BAD_FILE_REMEDY, d->src.name,
                       bytes);
    }
    }
    if (info)
        *info = d->info;
    d->begun = true;
    return RN_OK;
}

int rn_decoder_read(rn_decoder *d, const rn_decode_opts *opts, const rn_rect *region, rn_image *out,
                    rn_image_info *info)
{
    static const rn_decode_opts defaults;
    if (!opts)
        opts = &defaults;
    if (!d->begun)
        return rn_fail(RN_E_RANGE, "rn_decoder_read: no image was begun");
    d->begun = false;
    int rc;
    if (d->info.format == RN_IMG_JPEG)
        rc = rn_jpeg_read(d->jpeg, opts, region, out, &d->info);
    else if (opts->denom > 1)
        rc = rn_fail(RN_E_UNSUPPORTED, "%s: a PNG cannot be decoded at 1/%d size", d->src.name, opts->denom);
    else
        rc = rn_png_read(&d->src, opts->gray, region, out, &d->info);
    if (info)
        *info = d->info;
    if (rc == 0 && opts->strict && d->info.warnings)
        return rn_fail(RN_E_FORMAT, "%s: damaged %s (%s); " RN_BAD_FILE_REMEDY, d->src.name,
                       d->info.format == RN_IMG_JPEG ? "JPEG" : "PNG", d->info.warning);
    return rc;
}

int rn_image_decode(const void *data, size_t n, const char *name, const rn_decode_opts *opts, rn_image *out,
                    rn_image_info *info)
{
    rn_decoder d = {0};
    int rc;
    RN_GO(rn_decoder_begin(&d, data, n, name, info));
    RN_GO(rn_decoder_read(&d, opts, NULL, out, info));
out:
    rn_jpeg_close(d.jpeg);
    return rc;
}

int rn_image_peek(const void *data, size_t n, rn_image_info *info)
{
    rn_decoder d = {0};
    int rc = rn_decoder_begin(&d, data, n, "image", info);
    rn_jpeg_close(d.jpeg);
    return rc;
}
