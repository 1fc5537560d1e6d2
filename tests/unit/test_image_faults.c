/* SPDX-License-Identifier: MIT */
/* rn_image and damaged files: cut short, flipped, tampered with, declared huge. Nothing crashes, hangs or reads beyond
 * the data, what decodes with a warning says so, and the decoder stays good for the next image. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_rng.h"
#include "data/image/rn_image.h"
#include "image_makers.h"
#include "sanitized.h"

enum { W = 45, H = 37 };

static int below(rn_rng *r, size_t n)
{
    return (int)rn_rng_below(r, (uint32_t)n);
}

/* ---- cut short ------------------------------------------------------------------------------------------------ */

/* Every prefix fails, naming the file and the remedy. */
static void check_prefixes(const blob *b)
{
    rn_image im = {0};
    for (unsigned long n = 0; n < b->n; n++) {
        uint8_t *p = prefix(b, n);
        assert_int_equal(rn_image_decode(p, n, "some/file.JPEG", NULL, &im, NULL), RN_E_FORMAT);
        assert_non_null(strstr(rn_error_text(), "some/file.JPEG"));
        assert_non_null(strstr(rn_error_text(), "leave it out"));
        free(p);
    }
    assert_int_equal(rn_image_decode(b->data, b->n, "x", NULL, &im, NULL), 0);
    rn_image_free(&im);
}

static void every_truncation_fails(void **state)
{
    (void)state;
    uint8_t rgb[WIDE * HIGH * 3];
    for (size_t k = 0; k < NKINDS; k += k < 6 ? 1 : 5) {
        blob b = make_jpeg(&kinds[k], W, H, 3);
        check_prefixes(&b);
        free(b.data);
    }
    for (size_t k = 0; k < NPNGS; k += 3) {
        blob b = make_png(&pngs[k], rgb);
        check_prefixes(&b);
        free(b.data);
    }
}

/* ---- mutations ------------------------------------------------------------------------------------------------ */

enum damage { FLIPS, BYTES, LENGTHS, MARKERS, SPANS, DAMAGES };

/* The place of a segment's length field, any of them, before the first scan. */
static size_t some_length(const blob *b, rn_rng *r)
{
    size_t at[64], n = 0;
    for (size_t i = 2; i + 4 <= b->n && b->data[i] == 0xff && n < 64;) {
        at[n++] = i + 2;
        if (b->data[i + 1] == 0xda)
            break;
        i += 2 + ((size_t)b->data[i + 2] << 8 | b->data[i + 3]);
    }
    assert_true(n > 3);
    return at[below(r, n)];
}

/* A damaged copy, in a block of its exact size. */
static blob damaged(const blob *good, enum damage how, rn_rng *r)
{
    size_t at = 2 + (size_t)below(r, good->n - 2), len = 1 + (size_t)below(r, 32);
    len = len > good->n - at ? good->n - at : len;
    blob b = {.n = good->n + (how == MARKERS ? 2 : how == SPANS ? len : 0)};
    b.data = malloc(b.n);
    assert_non_null(b.data);
    memcpy(b.data, good->data, good->n);
    switch (how) {
    case FLIPS:
        for (int i = below(r, 4); i >= 0; i--)
            b.data[2 + below(r, good->n - 2)] ^= (uint8_t)(1 << below(r, 8));
        break;
    case BYTES:
        for (size_t i = 0, fill = (size_t)below(r, 3); i < len; i++)
            b.data[at + i] = (uint8_t)(fill == 0 ? 0 : fill == 1 ? 0xff : rn_rng_u32(r));
        break;
    case LENGTHS: {
        static const unsigned lengths[] = {0, 1, 2, 3, 0x7fff, 0xffff};
        size_t field = some_length(good, r);
        unsigned v = below(r, 2) ? lengths[below(r, 6)] : (unsigned)below(r, 70);
        b.data[field] = (uint8_t)(v >> 8);
        b.data[field + 1] = (uint8_t)v;
        break;
    }
    case MARKERS:
        memmove(b.data + at + 2, b.data + at, good->n - at);
        b.data[at] = 0xff;
        b.data[at + 1] = (uint8_t)(0xc0 + below(r, 0x40));
        break;
    default: /* a span twice */
        memmove(b.data + at + len, b.data + at, good->n - at);
        break;
    }
    return b;
}

typedef struct tally {
    int failed, decoded, warned;
} tally;

/* The damaged file, whole and by a region, and once more strictly. */
static void check_damaged(rn_decoder *d, const blob *b, rn_rng *r, tally *t)
{
    rn_image im = {0}, part = {0};
    rn_image_info info = {0};
    const rn_decode_opts strict = {.strict = true};
    int rc = rn_decoder_begin(d, b->data, b->n, "x", &info);
    if (rc == 0 && (int64_t)info.w * info.h > 1 << 20) {
        /* damage made it large: the region alone */
    } else if (rc == 0) {
        rc = rn_decoder_read(d, NULL, NULL, &im, &info);
        assert_true(rc != 0 || (im.w == info.w && im.h == info.h && im.c == 3));
        assert_int_equal(rn_decoder_begin(d, b->data, b->n, "x", NULL), 0);
        int again = rn_decoder_read(d, &strict, NULL, &part, NULL);
        assert_int_equal(again, rc == 0 && info.warnings ? RN_E_FORMAT : rc);
    }
    assert_true(rc == 0 || rc == RN_E_FORMAT || rc == RN_E_RANGE || rc == RN_E_UNSUPPORTED);
    t->failed += rc != 0;
    t->decoded += rc == 0;
    t->warned += rc == 0 && info.warnings > 0;
    if (rn_decoder_begin(d, b->data, b->n, "x", &info) == 0) {
        rn_rect g = {.w = 1 + below(r, info.w < 64 ? (size_t)info.w : 64),
                     .h = 1 + below(r, info.h < 64 ? (size_t)info.h : 64)};
        g.x = below(r, (size_t)(info.w - g.w + 1));
        g.y = below(r, (size_t)(info.h - g.h + 1));
        rc = rn_decoder_read(d, NULL, &g, &part, NULL);
        assert_true(rc == 0 || rc == RN_E_FORMAT || rc == RN_E_UNSUPPORTED);
    }
    rn_image_free(&im);
    rn_image_free(&part);
}

static void mutations_are_survived(void **state)
{
    (void)state;
    rn_rng r;
    rn_rng_seed(&r, 8, RN_STREAM_TEST, 2, 0);
    rn_decoder *d;
    assert_int_equal(rn_decoder_open(&d), 0);
    tally t[DAMAGES] = {0};
    for (size_t k = 0; k < NKINDS; k++) {
        blob good = make_jpeg(&kinds[k], W, H, 4);
        rn_image want = {0}, im = {0};
        assert_int_equal(rn_image_decode(good.data, good.n, "x", NULL, &want, NULL), 0);
        for (int i = 0; i < DAMAGES * 32; i++) {
            blob bad = damaged(&good, (enum damage)(i % DAMAGES), &r);
            check_damaged(d, &bad, &r, &t[i % DAMAGES]);
            free(bad.data);
        }
        assert_int_equal(rn_decoder_begin(d, good.data, good.n, "x", NULL), 0);
        assert_int_equal(rn_decoder_read(d, NULL, NULL, &im, NULL), 0);
        assert_memory_equal(im.px, want.px, (size_t)W * H * 3);
        rn_image_free(&im);
        rn_image_free(&want);
        free(good.data);
    }
    rn_decoder_close(d);
    for (int i = 0; i < DAMAGES; i++) { /* every kind was seen to fail, and to be decoded all the same */
        assert_true(t[i].failed + t[i].decoded >= 1000);
        assert_true(t[i].failed > 50 && t[i].decoded > 50);
    }
    assert_true(t[FLIPS].warned > 50);
}

static void png_mutations_fail(void **state)
{
    (void)state;
    uint8_t rgb[WIDE * HIGH * 3];
    rn_rng r;
    rn_rng_seed(&r, 12, RN_STREAM_TEST, 4, 0);
    int failed = 0;
    for (int i = 0; i < 1300; i++) {
        blob b = make_png(&pngs[i % NPNGS], rgb);
        rn_image im = {0};
        b.data[8 + rn_rng_below(&r, (uint32_t)b.n - 8)] ^= (uint8_t)(1 + below(&r, 255));
        int rc = rn_image_decode(b.data, b.n, "y.png", NULL, &im, NULL);
        assert_true(rc == 0 || rc == RN_E_FORMAT || rc == RN_E_RANGE);
        assert_true(rc == 0 || strstr(rn_error_text(), "y.png"));
        failed += rc != 0;
        rn_image_free(&im);
        free(b.data);
    }
    assert_true(failed > 1000); /* the checksums see nearly all of it */
}

/* ---- declared sizes, scans, kinds ------------------------------------------------------------------------------- */

/* The frame header of a baseline or progressive JPEG: marker, length, precision, height, width. */
static uint8_t *frame(const blob *b)
{
    for (unsigned long i = 2; i + 9 < b->n; i++)
        if (b->data[i] == 0xff && (b->data[i + 1] == 0xc0 || b->data[i + 1] == 0xc2))
            return b->data + i;
    fail_msg("no frame header");
    return NULL;
}

/* A JPEG that says it is w x h. */
static blob declared(size_t kind, unsigned w, unsigned h)
{
    blob b = make_jpeg(&kinds[kind], W, H, 3);
    uint8_t *at = frame(&b) + 5;
    at[0] = (uint8_t)(h >> 8), at[1] = (uint8_t)h;
    at[2] = (uint8_t)(w >> 8), at[3] = (uint8_t)w;
    return b;
}

/* A PNG header of w x h, and nothing more to speak of. */
static blob declared_png(unsigned w, unsigned h)
{
    blob b = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    assert_true(png && info);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
    png_set_write_fn(png, &b, png_append, NULL);
    png_set_IHDR(png, info, w, h, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    png_destroy_write_struct(&png, &info);
    b.data = realloc(b.data, b.n + 16);
    assert_non_null(b.data);
    memcpy(b.data + b.n, "\0\0\0\4IDAT\x78\xda\xed\xc1....", 16);
    b.n += 16;
    return b;
}

static void check_refused(const blob *b, int want)
{
    rn_image im = {0};
    rn_image_info info;
    assert_int_equal(rn_image_decode(b->data, b->n, "bomb", NULL, &im, NULL), want);
    assert_non_null(strstr(rn_error_text(), "bomb: "));
    assert_null(im.px);
    assert_int_equal(rn_image_peek(b->data, b->n, &info), want == RN_E_RANGE ? want : 0);
}

/* Sizes beyond the limits, and sizes within them that the file is far too short for. */
static void refuse_all(void)
{
    static const struct {
        unsigned w, h;
        int want;
    } cases[] = {{65500, 65500, RN_E_RANGE}, {65500, 1, RN_E_RANGE},      {1, 65500, RN_E_RANGE},
                 {32000, 32000, RN_E_RANGE}, {13000, 13000, RN_E_FORMAT}, {32768, 5000, RN_E_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob b[3] = {declared(KIND_420, cases[i].w, cases[i].h), declared(KIND_PROGRESSIVE, cases[i].w, cases[i].h),
                     declared_png(cases[i].w, cases[i].h)};
        for (int k = 0; k < 3; k++) {
            check_refused(&b[k], cases[i].want);
            free(b[k].data);
        }
    }
}

/* In a process that could not get the memory: that it is never asked for is what the status tells. */
static void huge_sizes_are_refused(void **state)
{
    (void)state;
    refuse_all();
    if (SANITIZED)
        return; /* it reserves terabytes itself */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        FILE *f = fopen("/proc/self/statm", "r");
        unsigned long pages = 0;
        if (!f || fscanf(f, "%lu", &pages) != 1) /* NOLINT(cert-err34-c): the kernel's own number */
            _exit(2);
        fclose(f);
        struct rlimit lim = {.rlim_cur = pages * 4096 + (32u << 20), .rlim_max = RLIM_INFINITY};
        lim.rlim_max = lim.rlim_cur;
        if (setrlimit(RLIMIT_AS, &lim) != 0)
            _exit(2);
        refuse_all(); /* a failed assertion ends the child otherwise than by 0 */
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* A file of a few kilobytes that asks for 600 passes over the image. */
static void endless_scans_are_refused(void **state)
{
    (void)state;
    blob b = make_jpeg(&kinds[KIND_PROGRESSIVE], W, H, 3);
    unsigned long last = 0;
    for (unsigned long i = 0; i + 1 < b.n; i++)
        if (b.data[i] == 0xff && b.data[i + 1] == 0xda)
            last = i;
    unsigned long scan = b.n - 2 - last;
    uint8_t *many = malloc(b.n + 600 * scan);
    assert_non_null(many);
    memcpy(many, b.data, b.n);
    for (unsigned long i = 0; i < 600; i++)
        memcpy(many + b.n - 2 + i * scan, b.data + last, scan);
    memcpy(many + b.n - 2 + 600 * scan, "\xff\xd9", 2);
    rn_image im = {0};
    assert_int_equal(rn_image_decode(many, b.n + 600 * scan, "x", NULL, &im, NULL), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "more scans than 500"));
    rn_image_free(&im);
    free(many);
    free(b.data);
}

/* Kinds that the library has no code for: told as such, not as damage. */
static void other_processes_are_unsupported(void **state)
{
    (void)state;
    rn_image im = {0};
    static const uint8_t sofs[] = {0xc3, 0xc5, 0xc6, 0xc7, 0xcb, 0xcd, 0xce, 0xcf};
    for (size_t i = 0; i <= sizeof sofs; i++) {
        blob b = make_jpeg(&kinds[KIND_420], W, H, 3);
        uint8_t *at = frame(&b);
        if (i < sizeof sofs)
            at[1] = sofs[i]; /* lossless, hierarchical */
        else
            at[4] = 12; /* bits a sample */
        assert_int_equal(rn_image_decode(b.data, b.n, "odd.JPEG", NULL, &im, NULL), RN_E_UNSUPPORTED);
        assert_non_null(strstr(rn_error_text(), "odd.JPEG"));
        free(b.data);
    }
    rn_image_free(&im);
}

/* ---- warnings ------------------------------------------------------------------------------------------------- */

static void warnings_are_told(void **state)
{
    (void)state;
    enum { JUNK = 100 };
    blob b = make_jpeg(&kinds[KIND_420], 64, 64, 3);
    uint8_t *dirty = malloc(b.n + JUNK);
    assert_non_null(dirty);
    memcpy(dirty, b.data, b.n - 2);
    memset(dirty + b.n - 2, 'x', JUNK); /* before the end of image, more than the decoder's bit buffer swallows */
    memcpy(dirty + b.n + JUNK - 2, "\xff\xd9", 2);
    rn_image im = {0};
    rn_image_info info;
    assert_int_equal(rn_image_decode(dirty, b.n + JUNK, "x", NULL, &im, &info), 0);
    assert_int_equal(info.warnings, 1);
    assert_non_null(strstr(info.warning, "extraneous"));
    assert_int_equal(rn_image_decode(dirty, b.n + JUNK, "x", &(rn_decode_opts){.strict = true}, &im, &info),
                     RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "extraneous"));
    free(dirty);
    free(b.data);
    rn_image_free(&im);
}

/* A JPEG cut in half whose end marker was put back: decoded, grey below, and told. */
static void a_mended_half_is_told(void **state)
{
    (void)state;
    for (size_t k = KIND_420; k <= KIND_CMYK; k += KIND_CMYK) { /* of one scan: the cut falls into its data */
        blob b = make_jpeg(&kinds[k], 90, 90, 3);
        b.n = b.n * 2 / 3;
        memcpy(b.data + b.n - 2, "\xff\xd9", 2);
        rn_image im = {0};
        rn_image_info info;
        assert_int_equal(rn_image_decode(b.data, b.n, "x", NULL, &im, &info), 0);
        assert_true(info.warnings > 0 && im.w == 90 && im.h == 90);
        assert_int_equal(rn_image_decode(b.data, b.n, "x", &(rn_decode_opts){.strict = true}, &im, NULL), RN_E_FORMAT);
        free(b.data);
        rn_image_free(&im);
    }
}

/* A PNG with a broken checksum in a chunk that no pixel depends on. */
static void a_png_warning_is_told(void **state)
{
    (void)state;
    uint8_t rgb[WIDE * HIGH * 3];
    blob b = make_png(&pngs[6], rgb);
    static const char chunk[] = "\0\0\0\3tEXta\0bCRC!";
    uint8_t *with = malloc(b.n + 15);
    assert_non_null(with);
    memcpy(with, b.data, 33); /* signature, IHDR */
    memcpy(with + 33, chunk, 15);
    memcpy(with + 48, b.data + 33, b.n - 33);
    rn_image im = {0};
    rn_image_info info;
    assert_int_equal(rn_image_decode(with, b.n + 15, "x", NULL, &im, &info), 0);
    assert_int_equal(info.warnings, 1);
    assert_memory_equal(im.px, rgb, sizeof rgb);
    assert_int_equal(rn_image_decode(with, b.n + 15, "x", &(rn_decode_opts){.strict = true}, &im, NULL), RN_E_FORMAT);
    assert_non_null(strstr(rn_error_text(), "CRC"));
    free(with);
    free(b.data);
    rn_image_free(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_truncation_fails),    cmocka_unit_test(mutations_are_survived),
        cmocka_unit_test(png_mutations_fail),        cmocka_unit_test(huge_sizes_are_refused),
        cmocka_unit_test(endless_scans_are_refused), cmocka_unit_test(other_processes_are_unsupported),
        cmocka_unit_test(warnings_are_told),         cmocka_unit_test(a_mended_half_is_told),
        cmocka_unit_test(a_png_warning_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
