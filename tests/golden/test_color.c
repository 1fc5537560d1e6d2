/* SPDX-License-Identifier: MIT */
/* The colour adjustments against torchvision's on PIL images, bit for bit; for hue and saturation on every colour there is.
 * The file and its pictures: make_color.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rn_digest.h"
#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "data/load/rn_color.h"

typedef struct picture {
    uint8_t *px;
    size_t n;
    int channels;
} picture;

static void every_colour(picture *p, int step)
{
    int side = 255 / step + 1;
    p->n = (size_t)side * (size_t)side * (size_t)side;
    p->channels = 3;
    uint8_t *at = p->px = malloc(3 * p->n);
    assert_non_null(at);
    for (int r = 0; r < 256; r += step)
        for (int g = 0; g < 256; g += step)
            for (int b = 0; b < 256; b += step, at += 3) {
                at[0] = (uint8_t)r;
                at[1] = (uint8_t)g;
                at[2] = (uint8_t)b;
            }
    assert_true(at == p->px + 3 * p->n);
}

static void waves(picture *p, int channels)
{
    p->n = 97 * 61;
    p->channels = channels;
    p->px = malloc(p->n * (size_t)channels);
    assert_non_null(p->px);
    for (size_t i = 0; i < p->n * (size_t)channels; i++)
        p->px[i] = (uint8_t)(((uint32_t)i * 2654435761u >> 24) + i / 97);
}

static void make(const char *name, picture *p)
{
    if (strcmp(name, "cube") == 0)
        every_colour(p, 1);
    else if (strcmp(name, "levels") == 0)
        every_colour(p, 5);
    else
        waves(p, strcmp(name, "gray") == 0 ? 1 : 3);
}

/* "op:factor" */
static void adjust(const char *word, picture *p)
{
    double factor;
    const char *colon = strchr(word, ':');
    assert_non_null(colon);
    int op = 0;
    while (rn_color_names[op] && strncmp(word, rn_color_names[op], (size_t)(colon - word)) != 0)
        op++;
    assert_true(op < RN_COLOR_OPS);
    assert_int_equal(rn_parse_real(colon + 1, -1, 10, &factor), 0);
    rn_color_adjust((enum rn_color_op)op, (float)factor, p->px, p->n, p->channels);
}

static void adjustments_are_torchvisions(void **state)
{
    (void)state;
    char path[4096], *text, *save = NULL, *save_word = NULL, hex[RN_DIGEST_HEX_MAX];
    size_t n;
    int seen = 0;
    const char *tests = getenv("RNKIT_TESTS");
    assert_non_null(tests);
    snprintf(path, sizeof path, "%s/golden/color.txt", tests);
    if (rn_read_file(path, 0, &text, &n) < 0)
        fail_msg("%s", rn_error_text());
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        picture p;
        char whole[512];
        if (*line == '#')
            continue;
        snprintf(whole, sizeof whole, "%s", line);
        make(strtok_r(line, " ", &save_word), &p);
        char *word = strtok_r(NULL, " ", &save_word), *after;
        for (; (after = strtok_r(NULL, " ", &save_word)); word = after)
            adjust(word, &p);
        assert_int_equal(rn_digest_buffer(RN_MD5, p.px, p.n * (size_t)p.channels, hex), 0);
        if (strcmp(word, hex) != 0)
            fail_msg("%s: other pixels (%s)", whole, hex);
        free(p.px);
        seen++;
    }
    assert_int_equal(seen, 69);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adjustments_are_torchvisions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
