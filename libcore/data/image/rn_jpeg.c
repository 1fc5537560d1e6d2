/* SPDX-License-Identifier: MIT */
/*
 * JPEG through libjpeg-turbo's own API. libjpeg reports errors by longjmp: every call into it runs inside guarded(),
 * whose frame holds nothing that changes after setjmp, and everything a failed call may leave behind hangs off a
 * struct.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "base/rn_error.h"
#include "data/image/rn_codec.h"

struct error_trap {
    struct jpeg_error_mgr mgr; /* first: libjpeg hands back a pointer to it */
    jmp_buf jump;
    char text[JMSG_LENGTH_MAX];
    int code; /* libjpeg's message code of the error */
    rn_image_info *info;
};

struct rn_jpeg {
    struct jpeg_decompress_struct cinfo;
    struct error_trap trap;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    rn_source src;
    /* the read under way */
    const rn_decode_opts *opts;
    rn_rect region;
    rn_image *out;
    rn_image line; /* one decoded row, where it is not the delivered row; c is 1 or 3, the width makes up for CMYK */
    int rc;        /* a failure of our own, already reported */
};

/* ---- error trap ---------------------------------------------------------------------------------------------- */

static void on_error(j_common_ptr cinfo)
{
    struct error_trap *t = (struct error_trap *)cinfo->err;
    t->code = t->mgr.msg_code;
    t->mgr.format_message(cinfo, t->text);
    longjmp(t->jump, 1);
}

static void on_message(j_common_ptr cinfo, int level)
{
    struct error_trap *t = (struct error_trap *)cinfo->err;
    if (level >= 0 || !t->info)
        return; /* a trace message */
    if (t->info->warnings++ == 0) {
        char text[JMSG_LENGTH_MAX];
        t->mgr.format_message(cinfo, text);
        snprintf(t->info->warning, sizeof t->info->warning, "%.*s", (int)sizeof t->info->warning - 1, text);
    }
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo; /* libraries do not print */
}

static struct jpeg_error_mgr *trap_init(struct error_trap *t)
{
    jpeg_std_error(&t->mgr);
    t->mgr.error_exit = on_error;
    t->mgr.emit_message = on_message;
    t->mgr.output_message = on_output;
    return &t->mgr;
}

/* Runs fn; false when libjpeg gave up in it. */
static bool guarded(struct error_trap *t, void (*fn)(void *), void *arg)
{
    if (setjmp(t->jump))
        return false;
    fn(arg);
    return true;
}

static int report(const rn_source *src, const struct error_trap *t)
{
    if (t->code == JERR_OUT_OF_MEMORY)
        return rn_fail(RN_E_NOMEM, "%s: out of memory while decoding", src->name);
    if (t->code == JERR_INPUT_EOF)
        return rn_fail(RN_E_FORMAT, "%s: truncated JPEG (%zu bytes, then the data ends); " RN_BAD_FILE_REMEDY,
                       src->name, src->n);
    if (t->code == JERR_BAD_PROG_SCRIPT)
        return rn_fail(RN_E_FORMAT,
                       "%s: JPEG of more scans than %d, or too many for its size; re-encode it or leave it out",
                       src->name, RN_IMAGE_MAX_SCANS);
    if (t->code == JERR_CONVERSION_NOTIMPL || t->code == JERR_BAD_PRECISION || t->code == JERR_SOF_UNSUPPORTED)
        return rn_fail(RN_E_UNSUPPORTED,
                       "%s: a kind of JPEG that libjpeg-turbo does not decode (%s); re-encode it or leave it out",
                       src->name, t->text);
    return rn_fail(RN_E_FORMAT, "%s: damaged JPEG (%s); " RN_BAD_FILE_REMEDY, src->name, t->text);
}

/* ---- the source: one block of memory, whose end is an error and not a made-up end of image ------------------------
 */

static void source_init(j_decompress_ptr cinfo)
{
    (void)cinfo;
}

static boolean source_fill(j_decompress_ptr cinfo)
{
    ERREXIT(cinfo, JERR_INPUT_EOF);
    return FALSE;
}

static void source_skip(j_decompress_ptr cinfo, long n)
{
    if (n <= 0)
        return;
    if ((size_t)n > cinfo->src->bytes_in_buffer)
        ERREXIT(cinfo, JERR_INPUT_EOF);
    cinfo->src->next_input_byte += n;
    cinfo->src->bytes_in_buffer -= (size_t)n;
}

static void on_progress(j_common_ptr cinfo)
{
    j_decompress_ptr d = (j_decompress_ptr)cinfo;
    uint64_t scans = (uint64_t)d->input_scan_number;
    if (scans > RN_IMAGE_MAX_SCANS || scans * d->image_width * d->image_height > RN_IMAGE_MAX_SCANNED)
        ERREXIT1(cinfo, JERR_BAD_PROG_SCRIPT, RN_IMAGE_MAX_SCANS);
}

/* ---- decode -------------------------------------------------------------------------------------------------- */

static void create(void *arg)
{
    rn_jpeg *j = arg;
    jpeg_create_decompress(&j->cinfo);
}

int rn_jpeg_open(rn_jpeg **out)
{
    rn_jpeg *j = calloc(1, sizeof *j);
    *out = NULL;
    if (!j)
        return rn_fail(RN_E_NOMEM, "JPEG decoder: out of memory");
    j->cinfo.err = trap_init(&j->trap);
    if (!guarded(&j->trap, create, j)) {
        int rc = rn_fail(RN_E_NOMEM, "JPEG decoder: %s", j->trap.text);
        jpeg_destroy_decompress(&j->cinfo);
        free(j);
        return rc;
    }
    j->source = (struct jpeg_source_mgr){.init_source = source_init,
                                         .fill_input_buffer = source_fill,
                                         .skip_input_data = source_skip,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = source_init};
    j->cinfo.src = &j->source;
    j->progress.progress_monitor = on_progress;
    j->cinfo.progress = &j->progress;
    *out = j;
    return RN_OK;
}

void rn_jpeg_close(rn_jpeg *j)
{
    if (!j)
        return;
    jpeg_destroy_decompress(&j->cinfo);
    rn_image_free(&j->line);
    free(j);
}

static void read_header(void *arg)
{
    rn_jpeg *j = arg;
    jpeg_abort_decompress(&j->cinfo); /* drops what an earlier image left */
    j->source.next_input_byte = j->src.data;
    j->source.bytes_in_buffer = j->src.n;
    jpeg_read_header(&j->cinfo, TRUE);
}

int rn_jpeg_begin(rn_jpeg *j, const rn_source *src, rn_image_info *info)
{
    j->src = *src;
    j->trap.info = info;
    if (!guarded(&j->trap, read_header, j))
        return report(src, &j->trap);
    RN_TRY(rn_codec_check_size(src->name, j->cinfo.image_width, j->cinfo.image_height));
    info->w = (int)j->cinfo.image_width;
    info->h = (int)j->cinfo.image_height;
    info->components = j->cinfo.num_components;
    info->cmyk = j->cinfo.num_components == 4;
    if (info->components != 1 && info->components != 3 && info->components != 4)
        return rn_fail(RN_E_UNSUPPORTED,
                       "%s: JPEG of %d components; 1, 3 and 4 are decoded: re-encode it or leave it out", src->name,
                       info->components);
    return RN_OK;
}

/*
 * v is a byte as libjpeg returns it. Pillow inverts all four channels whatever the Adobe marker says, then
 * R = K' - round((255 - C') K' / 255), with the usual exact division by 255.
 */
static uint8_t cmyk_channel(unsigned c, unsigned k)
{
    unsigned t = (255 - c) * k + 128;
    unsigned part = ((t >> 8) + t) >> 8;
    return (uint8_t)(k - part); /* part <= k */
}

static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, int n)
{
    for (int i = 0; i < n; i++, cmyk += 4, rgb += 3) {
        unsigned k = cmyk[3];
        rgb[0] = cmyk_channel(cmyk[0], k);
        rgb[1] = cmyk_channel(cmyk[1], k);
        rgb[2] = cmyk_channel(cmyk[2], k);
    }
}

/* One decoded row, from its pixel x on, into the delivered row. `line` may be changed. */
static void deliver(const rn_jpeg *j, uint8_t *line, int x, uint8_t *dst)
{
    int n = j->region.w, comps = j->cinfo.output_components;
    const uint8_t *src = line + (size_t)x * (size_t)comps;
    if (comps == 4) {
        cmyk_to_rgb(src, j->opts->gray ? line : dst, n); /* in place is fine: 3 bytes written after 4 read */
        src = line;
        comps = 3;
        if (!j->opts->gray)
            return;
    }
    if (comps == 3 && j->opts->gray)
        rn_codec_rgb_to_gray(src, dst, n);
    else
        memcpy(dst, src, (size_t)n * (size_t)comps);
}

static void start(void *arg)
{
    rn_jpeg *j = arg;
    struct jpeg_decompress_struct *c = &j->cinfo;
    c->scale_num = 1;
    c->scale_denom = j->opts->denom > 1 ? (unsigned)j->opts->denom : 1;
    if (c->num_components == 4)
        c->out_color_space = JCS_CMYK;
    else if (c->num_components == 1 && j->opts->gray)
        c->out_color_space = JCS_GRAYSCALE;
    else
        c->out_color_space = JCS_RGB;
    c->dct_method = JDCT_ISLOW;
    c->do_fancy_upsampling = TRUE;
    jpeg_start_decompress(c);
}

/*
 * Narrows the decoder to the iMCU columns that the region touches plus one on either side, since fancy upsampling reads
 * the neighbour's chroma. Returns the x of the first decoded pixel.
 */
static int narrow(rn_jpeg *j)
{
    struct jpeg_decompress_struct *c = &j->cinfo;
    int mcu = c->max_h_samp_factor * 8, width = (int)c->output_width;
    int x0 = j->region.x - mcu, x1 = j->region.x + j->region.w + mcu;
    x0 = x0 < 0 ? 0 : x0;
    x1 = x1 > width ? width : x1;
    if (x1 - x0 + mcu >= width)
        return 0; /* nothing to gain */
    JDIMENSION x = (JDIMENSION)x0, w = (JDIMENSION)(x1 - x0);
    jpeg_crop_scanline(c, &x, &w);
    return (int)x;
}

static void read_rows(void *arg)
{
    rn_jpeg *j = arg;
    struct jpeg_decompress_struct *c = &j->cinfo;
    const rn_rect *r = &j->region;
    int height = (int)c->output_height;
    int x0 = narrow(j);
    size_t row = (size_t)r->w * (size_t)j->out->c;
    bool direct = (int)c->output_width == r->w && c->output_components == j->out->c;
    if (r->y > 0)
        jpeg_skip_scanlines(c, (JDIMENSION)r->y);
    for (int y = 0; y < r->h; y++) {
        uint8_t *dst = j->out->px + (size_t)y * row;
        JSAMPROW line = direct ? dst : j->line.px;
        jpeg_read_scanlines(c, &line, 1); /* the source never suspends: always one row */
        if (!direct)
            deliver(j, line, r->x - x0, dst);
    }
    if (r->y + r->h == height)
        jpeg_finish_decompress(c); /* reads on to the end of image: its absence is a truncation */
    else
        jpeg_abort_decompress(c);
}

/* Huffman codes spend at least a bit on each block of each component: a few bytes cannot make us reserve gigabytes. */
static int check_length(const rn_jpeg *j)
{
    const struct jpeg_decompress_struct *c = &j->cinfo;
    uint64_t blocks = 0;
    for (int i = 0; i < c->num_components; i++)
        blocks += (uint64_t)c->comp_info[i].width_in_blocks * c->comp_info[i].height_in_blocks;
    if (!c->arith_code && blocks / 8 > j->src.n)
        return rn_fail(RN_E_FORMAT, "%s: truncated JPEG (%zu bytes cannot hold %u x %u pixels); " RN_BAD_FILE_REMEDY,
                       j->src.name, j->src.n, c->image_width, c->image_height);
    return RN_OK;
}

int rn_jpeg_read(rn_jpeg *j, const rn_decode_opts *opts, const rn_rect *region, rn_image *out, rn_image_info *info)
{
    j->opts = opts;
    j->out = out;
    j->trap.info = info;
    int s = opts->denom;
    if (s != 0 && s != 1 && s != 2 && s != 4 && s != 8)
        return rn_fail(RN_E_RANGE, "%s: decoding at 1/%d size; 1, 2, 4 and 8 are possible", j->src.name, s);
    s = s ? s : 1;
    int w = (info->w + s - 1) / s, h = (info->h + s - 1) / s;
    j->region = region ? *region : (rn_rect){0, 0, w, h};
    RN_TRY(rn_codec_check_region(j->src.name, &j->region, w, h));
    RN_TRY(check_length(j));
    if (!guarded(&j->trap, start, j))
        return report(&j->src, &j->trap);
    RN_TRY(rn_image_alloc(out, j->region.w, j->region.h, opts->gray ? 1 : 3));
    if (j->cinfo.output_components == 4) /* 4 bytes a pixel, as a row of four gray pixels each */
        RN_TRY(rn_image_alloc(&j->line, 4 * w, 1, 1));
    else
        RN_TRY(rn_image_alloc(&j->line, w, 1, 3));
    if (!guarded(&j->trap, read_rows, j))
        return report(&j->src, &j->trap);
    return RN_OK;
}

/* ---- encode -------------------------------------------------------------------------------------------------- */

/* A destination that grows *data by doubling; unlike jpeg_mem_dest it keeps the caller's pointer right on failure. */
struct encoder {
    struct jpeg_compress_struct cinfo;
    struct error_trap trap;
    struct jpeg_destination_mgr dest;
    const rn_image *im;
    int quality;
    uint8_t **data;
    size_t *cap, *n;
};

static boolean grow(struct encoder *e, size_t used)
{
    size_t cap = *e->cap < 4096 ? 16384 : 2 * *e->cap;
    uint8_t *p = realloc(*e->data, cap);
    if (!p)
        return FALSE;
    *e->data = p;
    *e->cap = cap;
    e->dest.next_output_byte = p + used;
    e->dest.free_in_buffer = cap - used;
    return TRUE;
}

static void dest_init(j_compress_ptr cinfo)
{
    struct encoder *e = cinfo->client_data;
    if (!*e->data)
        *e->cap = 0;
    e->dest.next_output_byte = *e->data;
    e->dest.free_in_buffer = *e->cap;
    if (*e->cap == 0 && !grow(e, 0))
        ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 0);
}

static boolean dest_empty(j_compress_ptr cinfo)
{
    struct encoder *e = cinfo->client_data; /* libjpeg wants the whole buffer taken, whatever free_in_buffer says */
    if (!grow(e, *e->cap))
        ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 0);
    return TRUE;
}

static void dest_term(j_compress_ptr cinfo)
{
    struct encoder *e = cinfo->client_data;
    *e->n = *e->cap - e->dest.free_in_buffer;
}

static void encode(void *arg)
{
    struct encoder *e = arg;
    struct jpeg_compress_struct *c = &e->cinfo;
    const rn_image *im = e->im;
    jpeg_create_compress(c);
    c->client_data = e;
    c->dest = &e->dest;
    c->image_width = (JDIMENSION)im->w;
    c->image_height = (JDIMENSION)im->h;
    c->input_components = im->c;
    c->in_color_space = im->c == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(c);
    jpeg_set_quality(c, e->quality, TRUE);
    jpeg_start_compress(c, TRUE);
    size_t row = (size_t)im->w * (size_t)im->c;
    while (c->next_scanline < c->image_height) {
        JSAMPROW line = im->px + c->next_scanline * row;
        jpeg_write_scanlines(c, &line, 1);
    }
    jpeg_finish_compress(c);
}

int rn_image_encode_jpeg(const rn_image *im, int quality, uint8_t **data, size_t *cap, size_t *n)
{
    if (quality < 1 || quality > 100)
        return rn_fail(RN_E_RANGE, "JPEG quality %d: 1 to 100 are possible", quality);
    struct encoder e = {.im = im, .quality = quality, .data = data, .cap = cap, .n = n};
    e.dest = (struct jpeg_destination_mgr){
        .init_destination = dest_init, .empty_output_buffer = dest_empty, .term_destination = dest_term};
    e.cinfo.err = trap_init(&e.trap);
    int rc = RN_OK;
    if (!guarded(&e.trap, encode, &e))
        rc = rn_fail(e.trap.code == JERR_OUT_OF_MEMORY ? RN_E_NOMEM : RN_E_RANGE, "encoding a %d x %d x %d image: %s",
                     im->w, im->h, im->c, e.trap.text);
    jpeg_destroy_compress(&e.cinfo);
    return rc;
}
