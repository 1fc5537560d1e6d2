/* SPDX-License-Identifier: MIT */
/* The mean image: Caffe's header to the byte, exact sums, the same for any number of jobs and for encoded records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <png.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_rng.h"
#include "data/pack/rn_mean.h"
#include "data/pack/rn_pack.h"
#include "scratch.h"

enum { SIDE = 256, IMAGES = 5, PLANE = SIDE * SIDE };

static uint8_t pixels[IMAGES][PLANE * 3]; /* RGB, interleaved */

static int make_images(void **state)
{
    rn_rng r;
    if (enter_scratch(state) != 0 || rn_mkdir_p("tree/a") < 0 || rn_mkdir_p("odd/a") < 0)
        return -1;
    rn_rng_seed(&r, 9, RN_STREAM_TEST, 0, 0);
    for (int i = 0; i < IMAGES; i++) {
        char name[32];
        png_image png = {.version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE, .format = PNG_FORMAT_RGB};
        for (int k = 0; k < PLANE * 3; k++)
            pixels[i][k] = (uint8_t)(rn_rng_u32(&r) >> (i + k % 3));
        snprintf(name, sizeof name, "tree/a/%d.png", i);
        if (!png_image_write_to_file(&png, name, 0, pixels[i], 0, NULL))
            return -1;
    }
    png_image small = {.version = PNG_IMAGE_VERSION, .width = 8, .height = SIDE, .format = PNG_FORMAT_RGB};
    png_image whole = {.version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE, .format = PNG_FORMAT_RGB};
    return png_image_write_to_file(&whole, "odd/a/0.png", 0, pixels[0], 0, NULL) &&
                   png_image_write_to_file(&small, "odd/a/1.png", 0, pixels[1], 0, NULL)
               ? 0
               : -1;
}

static rn_store *pack(const char *tree, const char *dir, enum rn_convert_encode encode)
{
    rn_inputs *in = NULL;
    rn_store *store = NULL;
    rn_pack_result result;
    rn_pack_opts o = {.convert = {.encode = encode}, .jobs = 2};
    assert_int_equal(rn_inputs_open_tree(tree, &in), 0);
    assert_int_equal(rn_pack_run(in, &o, dir, &result), 0);
    rn_inputs_close(in);
    assert_int_equal(rn_store_open(dir, 0, &store), 0);
    return store;
}

static float want(int plane, int i)
{
    double sum = 0;
    for (int k = 0; k < IMAGES; k++)
        sum += pixels[k][3 * i + 2 - plane];
    return (float)(sum / IMAGES);
}

static void is_the_mean_in_caffes_form(void **state)
{
    static const uint8_t head[14] = {0x08, 1, 0x10, 3, 0x18, 0x80, 2, 0x20, 0x80, 2, 0x2a, 0x80, 0x80, 0x30};
    static const enum rn_convert_encode forms[] = {RN_ENCODE_RAW, RN_ENCODE_KEEP};
    static const char *const dirs[] = {"raw.lmdb", "keep.lmdb"};
    (void)state;
    for (int f = 0; f < 2; f++) {
        rn_store *store = pack("tree", dirs[f], forms[f]);
        for (int jobs = 1; jobs < 8; jobs += 3) { /* more jobs than images, too */
            rn_mean m = {0};
            char *file = NULL;
            size_t n = 0;
            assert_int_equal(rn_mean_compute(store, jobs, &m), 0);
            assert_int_equal(rn_mean_write(&m, "mean.binaryproto"), 0);
            assert_int_equal(rn_read_file("mean.binaryproto", 0, &file, &n), 0);
            assert_int_equal(n, 786446);
            assert_memory_equal(file, head, sizeof head);
            for (int plane = 0; plane < 3; plane++) {
                double sum = 0;
                for (int i = 0; i < PLANE; i++) {
                    float got, expected = want(plane, i);
                    memcpy(&got, file + sizeof head + 4 * (size_t)(plane * PLANE + i), sizeof got);
                    if (!(got == expected))
                        fail_msg("plane %d, pixel %d: %g, not %g", plane, i, (double)got, (double)expected);
                    sum += expected;
                }
                assert_true(m.channel[plane] - sum / PLANE < 1e-4 && sum / PLANE - m.channel[plane] < 1e-4);
            }
            free(file);
            free(m.data);
        }
        rn_store_close(store);
    }
}

static void unequal_sizes_have_none(void **state)
{
    (void)state;
    rn_mean m = {0};
    rn_store *store = pack("odd", "odd.lmdb", RN_ENCODE_RAW);
    assert_int_equal(rn_mean_compute(store, 2, &m), RN_E_MISMATCH);
    assert_non_null(strstr(rn_error_text(), "00000001_a/1.png"));
    rn_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_mean_in_caffes_form),
        cmocka_unit_test(unequal_sizes_have_none),
    };
    return cmocka_run_group_tests(tests, make_images, leave_scratch);
}
