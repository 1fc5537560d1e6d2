/* SPDX-License-Identifier: MIT */
/*
 * PNG through libpng: ILSVRC2012 holds one, named .JPEG. libpng reports errors by longjmp; the frame that calls setjmp
 * changes nothing afterwards, and all that must be freed hangs off struct reader.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "base/rn_error.h"
#include "data/image/rn_codec.h"

struct reader {
    png_structp png;
    png_infop head;
    jmp_buf jump;
    rn_source src;
    size_t at;
    bool truncated;
    char text[160];
    rn_image_info *info;
    uint8_t *pixels; /* the whole image, channels bytes a pixel */
    png_bytep *rows;
    int channels;
    bool gray16; /* rows of 16-bit gray, high byte first, until they are clipped */
};

static void on_error(png_structp png, png_const_charp text)
{
    struct reader *r = png_get_error_ptr(png);
    snprintf(r->text, sizeof r->text, "%s", text);
    longjmp(r->jump, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    struct reader *r = png_get_error_ptr(png);
    if (r->info->warnings++ == 0)
        snprintf(r->info->warning, sizeof r->info->warning, "%s", text);
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
    struct reader *r = png_get_io_ptr(png);
    if (n > r->src.n - r->at) {
        r->truncated = true;
        png_error(png, "the data ends");
    }
    memcpy(to, r->src.data + r->at, n);
    r->at += n;
}

static int report(const struct reader *r)
{
    if (r->truncated)
        return rn_fail(RN_E_FORMAT, "%s: truncated PNG (%zu bytes, then the data ends); " RN_BAD_FILE_REMEDY,
                       r->src.name, r->src.n);
    return rn_fail(RN_E_FORMAT, "%s: damaged PNG (%s); " RN_BAD_FILE_REMEDY, r->src.name, r->text);
}

static bool guarded(struct reader *r, void (*fn)(struct reader *))
{
    if (setjmp(r->jump))
        return false;
    fn(r);
    return true;
}

static void reader_free(struct reader *r)
{
    png_destroy_read_struct(&r->png, &r->head, NULL);
    free(r->pixels);
    free(r->rows);
}

static void read_head(struct reader *r)
{
    png_set_read_fn(r->png, r, on_read);
    /* Nothing in them changes a pixel: no profile is parsed, no text unpacked, and no warning told about either. */
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_user_limits(r->png, 0x7fffffff, 0x7fffffff); /* our own limits have the better message */
    png_read_info(r->png, r->head);
}

static int reader_open(struct reader *r, const rn_source *src, rn_image_info *info)
{
    *r = (struct reader){.src = *src, .info = info};
    r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, on_error, on_warning);
    r->head = r->png ? png_create_info_struct(r->png) : NULL;
    if (!r->head)
        return rn_fail(RN_E_NOMEM, "%s: out of memory while decoding", src->name);
    if (!guarded(r, read_head))
        return report(r);
    uint32_t w = png_get_image_width(r->png, r->head), h = png_get_image_height(r->png, r->head);
    RN_TRY(rn_codec_check_size(src->name, w, h));
    info->w = (int)w;
    info->h = (int)h;
    info->components = png_get_channels(r->png, r->head);
    return RN_OK;
}

int rn_png_peek(const rn_source *src, rn_image_info *info)
{
    struct reader r;
    int rc = reader_open(&r, src, info);
    reader_free(&r);
    info->warnings = 0; /* the read counts them again */
    return rc;
}

/* To 8-bit gray or RGB without alpha; no gamma, as in Pillow. 16-bit gray without alpha stays as it is. */
static void transform(struct reader *r)
{
    int type = png_get_color_type(r->png, r->head);
    r->gray16 = type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(r->png, r->head) == 16;
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(r->png);
    if (type == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(r->png);
    if (!r->gray16)
        png_set_strip_16(r->png);
    png_set_strip_alpha(r->png);
    png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->head);
    r->channels = png_get_channels(r->png, r->head);
}

static void read_pixels(struct reader *r)
{
    png_read_image(r->png, r->rows);
    png_read_end(r->png, NULL);
}

/* Pillow has an own mode for 16-bit gray, whose way to 8 bits is to clip: all above 255 turns white. Odd, but what a
 * network trained through Pillow has seen: so it is followed. */
static void clip_gray16(struct reader *r)
{
    for (int y = 0; y < r->info->h; y++)
        for (int x = 0; x < r->info->w; x++) {
            const uint8_t *v = r->rows[y] + (size_t)2 * (size_t)x;
            r->rows[y][x] = v[0] ? 255 : v[1];
        }
}

static int read_all(struct reader *r)
{
    if (!guarded(r, transform))
        return report(r);
    size_t h = (size_t)r->info->h, row = png_get_rowbytes(r->png, r->head);
    /* before the transform a row was at least an eighth byte a pixel, and deflate makes at most 1032 bytes of one */
    if (h * ((size_t)r->info->w / 8) / 1032 > r->src.n)
        return rn_fail(RN_E_FORMAT, "%s: truncated PNG (%zu bytes cannot hold %d x %d pixels); " RN_BAD_FILE_REMEDY,
                       r->src.name, r->src.n, r->info->w, r->info->h);
    r->pixels = malloc(h * row);
    r->rows = malloc(h * sizeof *r->rows);
    if (!r->pixels || !r->rows)
        return rn_fail(RN_E_NOMEM, "%s: out of memory while decoding", r->src.name);
    for (size_t y = 0; y < h; y++)
        r->rows[y] = r->pixels + y * row;
    if (!guarded(r, read_pixels))
        return report(r);
    if (r->gray16)
        clip_gray16(r);
    return RN_OK;
}

static void deliver(const struct reader *r, const rn_rect *at, rn_image *out)
{
    size_t from = (size_t)r->channels, row = (size_t)at->w * (size_t)out->c;
    for (int y = 0; y < at->h; y++) {
        const uint8_t *src = r->rows[at->y + y] + (size_t)at->x * from;
        uint8_t *dst = out->px + (size_t)y * row;
        if (r->channels == out->c)
            memcpy(dst, src, row);
        else if (out->c == 1)
            rn_codec_rgb_to_gray(src, dst, at->w);
        else
            for (int x = 0; x < at->w; x++)
                memset(dst + (size_t)3 * (size_t)x, src[x], 3);
    }
}

int rn_png_read(const rn_source *src, bool gray, const rn_rect *region, rn_image *out, rn_image_info *info)
{
    struct reader r;
    int rc;
    RN_GO(reader_open(&r, src, info));
    rn_rect all = {0, 0, info->w, info->h};
    region = region ? region : &all;
    RN_GO(rn_codec_check_region(src->name, region, info->w, info->h));
    RN_GO(read_all(&r));
    RN_GO(rn_image_alloc(out, region->w, region->h, gray ? 1 : 3));
    deliver(&r, region, out);
out:
    reader_free(&r);
    return rc;
}
