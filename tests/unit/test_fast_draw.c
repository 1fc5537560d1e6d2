/* SPDX-License-Identifier: MIT */
/* The fast way of drawing (decoding at a half, quarter or eighth) against the exact one, over photographs: the bounds that
 * rn_augment.h states. Photographs from RNKIT_DATA where it is; generated pictures always. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "base/rn_error.h"
#include "data/load/rn_augment.h"

enum { MAX_OUT = 224, CROPS = 2 };

/* Differences over all channels of all images, in levels of 255. */
typedef struct sums {
    double absolute, square, n;
    double sum_a[3], sum_b[3], square_a[3], square_b[3]; /* by channel, a exact, b fast */
} sums;

typedef struct measure {
    rn_renderer *rd;
    sums near;    /* fast against the exact drawing of the same crop, its sides moved to multiples of the scale */
    sums whole;   /* fast against the exact drawing of the crop that was drawn */
    sums shifted; /* the same exact drawing one pixel to the right: what the bounds must tell from it */
    int scaled, drawn;
} measure;

static void add(sums *s, const uint8_t *a, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double d = (double)b[i] - a[i];
        s->absolute += fabs(d);
        s->square += d * d;
        s->sum_a[i % 3] += a[i];
        s->sum_b[i % 3] += b[i];
        s->square_a[i % 3] += (double)a[i] * a[i];
        s->square_b[i % 3] += (double)b[i] * b[i];
    }
    s->n += (double)n;
}

static double psnr(const sums *s)
{
    return 10 * log10(255.0 * 255.0 / (s->square / s->n));
}

static double deviation(double sum, double square, double n)
{
    return sqrt(square / n - sum / n * (sum / n));
}

/* Largest difference of a channel's mean, and largest relative difference of its deviation. */
static void moments(const sums *s, double *mean, double *std)
{
    *mean = *std = 0;
    for (int c = 0; c < 3; c++) {
        double n = s->n / 3, a = deviation(s->sum_a[c], s->square_a[c], n),
               b = deviation(s->sum_b[c], s->square_b[c], n);
        *mean = fmax(*mean, fabs(s->sum_a[c] - s->sum_b[c]) / n);
        *std = fmax(*std, fabs(b / a - 1));
    }
}

static void draw(measure *m, const uint8_t *jpeg, size_t n, const rn_place *p, bool fast, int out, uint8_t *px)
{
    int w, h;
    assert_int_equal(rn_renderer_begin(m->rd, jpeg, n, "photograph", &w, &h), 0);
    assert_int_equal(rn_renderer_draw(m->rd, p, fast, out, out, 3, px), 0);
}

static int snap(int v, int s)
{
    return (v + s / 2) / s * s;
}

static void one_crop(measure *m, const uint8_t *jpeg, size_t n, int w, int h, int out, uint32_t seed)
{
    static uint8_t exact[MAX_OUT * MAX_OUT * 3], fast[sizeof exact], other[sizeof exact];
    const double scale[2] = {0.08, 1}, ratio[2] = {3.0 / 4, 4.0 / 3};
    const size_t row = (size_t)out * 3, bytes = row * (size_t)out;
    rn_rng r;
    rn_place p;
    int s = 1;
    rn_rng_seed(&r, 17, RN_STREAM_AUGMENT, (uint32_t)out, seed);
    rn_place_resized(&r, w, h, scale, ratio, true, out, out, &p);
    while (s < 8 && p.crop.w / (2 * s) >= out && p.crop.h / (2 * s) >= out)
        s *= 2;
    m->drawn++;
    if (s == 1)
        return;
    m->scaled++;
    draw(m, jpeg, n, &p, false, out, exact);
    draw(m, jpeg, n, &p, true, out, fast);
    add(&m->whole, exact, fast, bytes);
    for (int y = 0; y < out; y++) { /* its first column twice */
        memcpy(other + (size_t)y * row, exact + (size_t)y * row, 3);
        memcpy(other + (size_t)y * row + 3, exact + (size_t)y * row, row - 3);
    }
    add(&m->shifted, exact, other, bytes);
    rn_place q = p;
    q.crop.x = snap(p.crop.x, s);
    q.crop.y = snap(p.crop.y, s);
    q.crop.w = snap(p.crop.x + p.crop.w, s) - q.crop.x;
    q.crop.h = snap(p.crop.y + p.crop.h, s) - q.crop.y;
    q.crop.w = q.crop.x + q.crop.w > w ? w - q.crop.x : q.crop.w; /* the last pixel of a side may stand for fewer */
    q.crop.h = q.crop.y + q.crop.h > h ? h - q.crop.y : q.crop.h;
    draw(m, jpeg, n, &q, false, out, exact);
    add(&m->near, exact, fast, bytes);
}

static void one_photograph(measure *m, const uint8_t *jpeg, size_t n, uint32_t number)
{
    static const int outs[] = {224, 112, 56, 32};
    rn_image_info info;
    assert_int_equal(rn_image_peek(jpeg, n, &info), 0);
    for (int k = 0; k < 4; k++)
        for (uint32_t c = 0; c < CROPS; c++)
            one_crop(m, jpeg, n, info.w, info.h, outs[k], number * CROPS + c);
}

static void say(const char *what, const sums *s)
{
    double mean, std;
    moments(s, &mean, &std);
    print_message("# %-8s mean |difference| %.3f, PSNR %.2f dB, channel mean %.3f, channel deviation %.3f %%\n", what,
                  s->absolute / s->n, psnr(s), mean, 100 * std);
}

static void report(const measure *m)
{
    print_message("# %d of %d crops were decoded at a smaller size\n", m->scaled, m->drawn);
    say("near", &m->near);
    say("whole", &m->whole);
    say("shifted", &m->shifted);
}

typedef struct bounds {
    double absolute, psnr;
} bounds;

/* Those of rn_augment.h, and what smoother generated pictures keep to. */
static const bounds near_photograph = {1.7, 38.5}, whole_photograph = {4.2, 30.5};
static const bounds near_generated = {0.6, 49}, whole_generated = {1.6, 39};

static bool within(const sums *s, const bounds *b)
{
    double mean, std;
    moments(s, &mean, &std);
    return s->absolute / s->n <= b->absolute && psnr(s) >= b->psnr && mean <= 0.15 && std <= 0.005;
}

static void hold(const measure *m, const bounds *near, const bounds *whole)
{
    report(m);
    assert_true(m->scaled > m->drawn / 4);
    assert_true(within(&m->near, near));
    assert_true(within(&m->whole, whole));
    assert_false(within(&m->shifted, near)); /* a picture one pixel off would be found */
    assert_false(within(&m->shifted, whole));
}

static void over_photographs(void **state)
{
    (void)state;
    char path[4096];
    const char *data = getenv("RNKIT_DATA");
    snprintf(path, sizeof path, "%s/imagenet-sample.tar", data ? data : "");
    struct archive *a = archive_read_new();
    assert_non_null(a);
    archive_read_support_format_tar(a);
    if (!data || archive_read_open_filename(a, path, 1 << 16) != ARCHIVE_OK) {
        archive_read_free(a);
        print_message("# no %s\n", path);
        skip();
    }
    measure m = {0};
    struct archive_entry *e;
    uint32_t number = 0;
    assert_int_equal(rn_renderer_open(&m.rd), 0);
    while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
        size_t n = (size_t)archive_entry_size(e);
        if (archive_entry_filetype(e) != AE_IFREG || n == 0)
            continue;
        uint8_t *jpeg = malloc(n);
        assert_non_null(jpeg);
        assert_int_equal(archive_read_data(a, jpeg, n), n);
        one_photograph(&m, jpeg, n, number++);
        free(jpeg);
    }
    assert_true(number >= 100);
    rn_renderer_close(m.rd);
    archive_read_free(a);
    hold(&m, &near_photograph, &whole_photograph);
}

/* Blots with edges, and grain, as photographs have. */
static void over_generated(void **state)
{
    (void)state;
    measure m = {0};
    assert_int_equal(rn_renderer_open(&m.rd), 0);
    for (uint32_t i = 0; i < 12; i++) {
        rn_rng r;
        rn_image im = {0};
        uint8_t *jpeg = NULL;
        size_t cap = 0, n = 0;
        rn_rng_seed(&r, 18, RN_STREAM_TEST, 0, i);
        assert_int_equal(rn_image_alloc(&im, 500 - (int)i, 375 + (int)i, 3), 0);
        for (int k = 0; k < im.w * im.h; k++) {
            int x = k % im.w, y = k / im.w, grain = (int)rn_rng_below(&r, 10);
            double t = sin(x * 0.021 + i) * cos(y * 0.017) + sin((x + y) * 0.009 * (1 + i % 3));
            for (int c = 0; c < 3; c++)
                im.px[3 * k + c] = (uint8_t)(100 + 50 * t + (t * (c + 1) > 0.8 ? 40 : 0) + grain);
        }
        assert_int_equal(rn_image_encode_jpeg(&im, 90, &jpeg, &cap, &n), 0);
        one_photograph(&m, jpeg, n, i);
        free(jpeg);
        rn_image_free(&im);
    }
    rn_renderer_close(m.rd);
    hold(&m, &near_generated, &whole_generated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(over_generated), cmocka_unit_test(over_photographs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
