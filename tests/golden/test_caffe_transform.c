/* SPDX-License-Identifier: MIT */
/*
 * A mean image from Caffe's file to what a net sees, against a rendering of Caffe's data transformer: the binaryproto's planes, the
 * window that the loader draws, the normalisation by every CPU backend. The file: make_caffe_transform.py.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_base64.h"
#include "base/rn_error.h"
#include "base/rn_origin.h"
#include "data/load/rn_augment.h"
#include "data/pack/rn_mean.h"
#include "golden_text.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/rn_kernels.h"
#include "op/rn_op.h"
#include "run/recipe/rn_recipe_mean.h"

enum { MAX = 256 };

typedef struct golden {
    int c, h, w, crop;
    rn_origin at;
    float scale;
    uint8_t datum[MAX];
    float mean[MAX], out[MAX];
} golden;

static void done(int rc)
{
    if (rc < 0)
        fail_msg("%s", rn_error_text());
}

static bool read_case(const char **at, golden *g)
{
    *at += strspn(*at, " \n");
    if (!**at)
        return false;
    g->c = (int)golden_number(at);
    g->h = (int)golden_number(at);
    g->w = (int)golden_number(at);
    g->crop = (int)golden_number(at);
    g->at.y = (int)golden_number(at);
    g->at.x = (int)golden_number(at);
    g->at.mirror = (int)golden_number(at);
    g->scale = (float)golden_number(at);
    const int n = g->c * g->h * g->w, m = g->c * g->crop * g->crop;
    assert_true(n <= MAX && m <= n);
    for (int i = 0; i < n; i++)
        g->datum[i] = (uint8_t)golden_number(at);
    for (int i = 0; i < n; i++)
        g->mean[i] = (float)golden_number(at);
    for (int i = 0; i < m; i++)
        g->out[i] = (float)golden_number(at);
    return true;
}

/* The pixels as the loader has them: window and mirror are done, the mean is not. */
static void draw(const golden *g, uint8_t *px)
{
    rn_renderer *rd;
    const rn_place p = {.crop = {0, 0, g->w, g->h},
                        .rw = g->w,
                        .rh = g->h,
                        .window = {g->at.x, g->at.y, g->crop, g->crop},
                        .flip = g->at.mirror};
    done(rn_renderer_open(&rd));
    done(rn_renderer_begin_raw(rd, g->datum, g->c, g->h, g->w, "datum"));
    done(rn_renderer_draw(rd, &p, false, g->crop, g->crop, g->c, px));
    rn_renderer_close(rd);
}

/* Two images of the case, so that the second one's window is read, too. */
static void hold(rn_backend *be, const rn_ops *ops, const golden *g, const rn_net_opts *o)
{
    const int n = g->c * g->crop * g->crop;
    uint8_t px[2 * MAX];
    float got[2 * MAX], mul[3] = {g->scale, g->scale, g->scale};
    const rn_origin at[2] = {g->at, g->at};
    draw(g, px);
    memcpy(px + n, px, (size_t)n);
    const rn_op_normalize a = {.dtype = RN_F32,
                               .rows = (int64_t)2 * g->crop * g->crop,
                               .c = g->c,
                               .src = px,
                               .dst = got,
                               .mul = mul,
                               .image = o->mean_image,
                               .image_h = o->mean_h,
                               .image_w = o->mean_w,
                               .h = g->crop,
                               .w = g->crop,
                               .windows = at};
    done(ops->normalize(be, &a, NULL));
    for (int i = 0; i < 2 * n; i++) {
        const int k = i % n, c = g->c - 1 - k % g->c, pixel = k / g->c; /* blue first there */
        const double want = (double)g->out[c * g->crop * g->crop + pixel];
        if (!(fabs((double)got[i] - want) <= 1e-6 * fabs(want)))
            fail_msg("value %d is %.9g, Caffe's %.9g", i, (double)got[i], want);
    }
}

static void as_caffe(void **state)
{
    (void)state;
    const char *at;
    char *text = golden_open("caffe_transform.txt", &at);
    golden g;
    int cases = 0;
    rn_backend *be;
    done(rn_backend_open(rn_backends, "cpu", &(rn_backend_opts){.threads = 2}, &be));
    for (; read_case(&at, &g); cases++) {
        char *line;
        float *image;
        rn_net_opts o = {0};
        const rn_mean m = {.channels = g.c, .height = g.h, .width = g.w, .data = g.mean};
        done(rn_mean_write(&m, "golden_mean.binaryproto"));
        done(rn_recipe_mean_read("golden_mean.binaryproto", &line));
        done(rn_recipe_mean_image(&(rn_recipe){.mean_text = line}, &o, &image));
        hold(be, be->ops, &g, &o);
        hold(NULL, &rn_ref_ops, &g, &o);
        free(image);
        free(line);
    }
    assert_int_equal(cases, 7);
    rn_backend_close(be);
    free(text);
}

static void damaged_texts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "1 1",
                                      "1 1 1",
                                      "1 1 1 ",
                                      "1 1 1 AAAA",
                                      "0 1 1 AAAAAA==",
                                      "1 1 4 AAAA",
                                      "a 1 1 AAAA",
                                      "1 1 1 AAAAA*==",
                                      "1 1 1 AAAAAB==",
                                      "1 1 1 AAAAAA=A",
                                      "1 1 1 AACAfw==",
                                      "99999 1 1 AAAAAA==",
                                      "1 1 1 AAAAAAAA"};
    rn_net_opts o;
    float *image;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (rn_recipe_mean_image(&(rn_recipe){.mean_text = bad[i]}, &o, &image) >= 0)
            fail_msg("'%s' is taken", bad[i]);
        assert_null(image);
    }
    done(rn_recipe_mean_image(&(rn_recipe){.mean_text = "1 1 1 AACAPw=="}, &o, &image));
    assert_true(o.mean_image[0] >= 1 && o.mean_image[0] <= 1);
    free(image);
}

static void base64_goes_and_comes(void **state)
{
    (void)state;
    uint8_t in[40], out[40];
    rn_buf b = {0};
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * 37 + 200);
    for (size_t n = 0; n <= sizeof in; n++) {
        b.n = 0;
        done(rn_base64_put(&b, in, n));
        done(rn_buf_append(&b, "", 1));
        done(rn_base64_get((const char *)b.data, out, n));
        assert_memory_equal(in, out, n);
        assert_int_equal(rn_base64_get((const char *)b.data, out, n + 3), RN_E_FORMAT);
    }
    b.n = 0;
    done(rn_base64_put(&b, "foobar", 5));
    assert_memory_equal(b.data, "Zm9vYmE=", 8); /* RFC 4648 */
    rn_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_caffe),
        cmocka_unit_test(damaged_texts_are_refused),
        cmocka_unit_test(base64_goes_and_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
