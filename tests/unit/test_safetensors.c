/* SPDX-License-Identifier: MIT */
/* safetensors: what is written reads back, a file of the Python package reads, and damage of every kind is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "run/save/rn_safetensors.h"

/* A file from a header text and `ndata` bytes 0, 1, 2, ... */
static int open_text(const char *header, size_t ndata, rn_st_file **f)
{
    uint64_t len = strlen(header);
    char *p = malloc(8 + len + ndata + 1);
    assert_non_null(p);
    memcpy(p, &len, 8);
    memcpy(p + 8, header, len);
    for (size_t i = 0; i < ndata; i++)
        p[8 + len + i] = (char)i;
    return rn_st_open_memory("t.safetensors", p, 8 + len + ndata, f);
}

static void round_trip(void **state)
{
    (void)state;
    float a[6] = {1, -2.5f, INFINITY, 0, 1e-40f, 7};
    int64_t steps = 1234567890123, dims[2] = {2, 3}, none[1] = {0};
    uint8_t flag = 1;
    rn_st_writer *w;
    rn_buf b = {0};
    assert_int_equal(rn_st_writer_open(&w), 0);
    assert_int_equal(rn_st_add(w, "flag", RN_ST_U8, 0, NULL, &flag), 0);
    assert_int_equal(rn_st_add(w, "a", RN_ST_F32, 2, dims, a), 0);
    assert_int_equal(rn_st_add(w, "empty", RN_ST_F32, 1, none, NULL), 0);
    assert_int_equal(rn_st_add(w, "steps", RN_ST_I64, 0, NULL, &steps), 0);
    assert_int_equal(rn_st_add(w, "a", RN_ST_F32, 2, dims, a), RN_E_RANGE);
    assert_int_equal(rn_st_add_meta(w, "note", "r\xc3\xa9sum\xc3\xa9 \"quoted\"\n"), 0);
    assert_int_equal(rn_st_build(w, &b), 0);
    uint64_t len;
    memcpy(&len, b.data, 8);
    assert_int_equal(len % 8, 0);
    assert_int_equal(b.n, 8 + len + 24 + 8 + 1);
    rn_st_writer_close(w);

    rn_st_file *f;
    assert_int_equal(rn_st_open_memory("mem", (char *)b.data, b.n, &f), 0);
    assert_int_equal(rn_st_count(f), 4);
    const rn_st_tensor *t = rn_st_find(f, "a");
    assert_non_null(t);
    assert_int_equal(t->nd, 2);
    assert_int_equal(t->dim[1], 3);
    float back[6];
    assert_int_equal(rn_st_read_f32(t, back), 0);
    assert_memory_equal(back, a, sizeof a);
    assert_int_equal((uintptr_t)rn_st_find(f, "steps")->data % 8, (uintptr_t)b.data % 8);
    assert_memory_equal(rn_st_find(f, "steps")->data, &steps, 8);
    assert_int_equal(rn_st_find(f, "empty")->bytes, 0);
    assert_string_equal(rn_st_meta(f, "note"), "r\xc3\xa9sum\xc3\xa9 \"quoted\"\n");
    assert_null(rn_st_meta(f, "other"));
    assert_null(rn_st_find(f, "other"));
    rn_st_close(f);
}

/* Written by the Python package (safetensors.numpy.save): {"h": float16 [1, -2, 6e-8], "d": float64 [[0.1]]}. */
static const unsigned char from_python[] = {
    144, 0,   0,   0,   0,   0,   0,   0,   123, 34,  95,  95,  109, 101, 116, 97,  100, 97,  116, 97,  95,
    95,  34,  58,  123, 34,  102, 111, 114, 109, 97,  116, 34,  58,  34,  110, 112, 34,  125, 44,  34,  100,
    34,  58,  123, 34,  100, 116, 121, 112, 101, 34,  58,  34,  70,  54,  52,  34,  44,  34,  115, 104, 97,
    112, 101, 34,  58,  91,  49,  44,  49,  93,  44,  34,  100, 97,  116, 97,  95,  111, 102, 102, 115, 101,
    116, 115, 34,  58,  91,  48,  44,  56,  93,  125, 44,  34,  104, 34,  58,  123, 34,  100, 116, 121, 112,
    101, 34,  58,  34,  70,  49,  54,  34,  44,  34,  115, 104, 97,  112, 101, 34,  58,  91,  51,  93,  44,
    34,  100, 97,  116, 97,  95,  111, 102, 102, 115, 101, 116, 115, 34,  58,  91,  56,  44,  49,  52,  93,
    125, 125, 32,  32,  32,  154, 153, 153, 153, 153, 153, 185, 63,  0,   60,  0,   192, 1,   0};

static void reads_python(void **state)
{
    (void)state;
    char *p = malloc(sizeof from_python);
    assert_non_null(p);
    memcpy(p, from_python, sizeof from_python);
    rn_st_file *f;
    float v[3];
    assert_int_equal(rn_st_open_memory("python", p, sizeof from_python, &f), 0);
    assert_int_equal(rn_st_count(f), 2);
    assert_int_equal(rn_st_read_f32(rn_st_find(f, "h"), v), 0);
    assert_true(v[0] == 1.0f && v[1] == -2.0f && v[2] == 0x1p-24f);
    assert_int_equal(rn_st_read_f32(rn_st_find(f, "d"), v), 0);
    assert_true(v[0] == (float)0.1);
    assert_string_equal(rn_st_meta(f, "format"), "np");
    rn_st_close(f);
}

static void half_types(void **state)
{
    (void)state;
    static const struct {
        uint16_t h;
        float f16, bf16;
    } c[] = {{0x0000, 0, 0},
             {0x3c00, 1, 0x1p-7f},
             {0x0001, 0x1p-24f, 0x1p-133f},
             {0x03ff, 0x1.ff8p-15f, 0x1.fep-120f},
             {0x7bff, 65504, 0x1.fep120f},
             {0x7c00, INFINITY, 0x1p121f},
             {0xc000, -2, -2},
             {0x3f80, 1.875f, 1}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        float x, y;
        rn_st_tensor t = {.name = (char *)"x", .dtype = RN_ST_F16, .count = 1, .data = &c[i].h, .bytes = 2};
        assert_int_equal(rn_st_read_f32(&t, &x), 0);
        t.dtype = RN_ST_BF16;
        assert_int_equal(rn_st_read_f32(&t, &y), 0);
        if (x != c[i].f16)
            fail_msg("f16 %04x gave %a", c[i].h, (double)x);
        if (y != c[i].bf16)
            fail_msg("bf16 %04x gave %a", c[i].h, (double)y);
    }
    uint16_t nan16 = 0x7e01;
    float x;
    rn_st_tensor t = {.name = (char *)"x", .dtype = RN_ST_F16, .count = 1, .data = &nan16, .bytes = 2};
    assert_int_equal(rn_st_read_f32(&t, &x), 0);
    assert_true(x != x);
    t.dtype = RN_ST_BOOL;
    assert_int_equal(rn_st_read_f32(&t, &x), RN_E_UNSUPPORTED);
}

static void bad_files(void **state)
{
    (void)state;
#define A "{\"a\":{\"dtype\":\"F32\",\"shape\":"
    static const struct {
        const char *header;
        size_t ndata;
        const char *says;
    } c[] = {
        {A "[2],\"data_offsets\":[0,8]}}", 7, "damaged or truncated"},
        {A "[2],\"data_offsets\":[0,8]}}", 9, "1 bytes at the end belong to no tensor"},
        {A "[2],\"data_offsets\":[1,9]}}", 9, "1 bytes before tensor a"},
        {A "[3],\"data_offsets\":[0,8]}}", 8, "do not give that"},
        {A "[2],\"data_offsets\":[8,0]}}", 8, "damaged or truncated"},
        {A "[2],\"data_offsets\":[-8,0]}}", 8, "damaged or truncated"},
        {A "[2],\"data_offsets\":[0,8.0]}}", 8, "not a pair of offsets"},
        {A "[2],\"data_offsets\":[0]}}", 8, "not a pair of offsets"},
        {A "[2]}}", 8, "not a pair of offsets"},
        {A "[-2],\"data_offsets\":[0,8]}}", 8, "no valid size"},
        {A "[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8, "no valid size"},
        {A "[4611686018427387904],\"data_offsets\":[0,8]}}", 8, "do not give that"},
        {A "2,\"data_offsets\":[0,8]}}", 8, "is not a list"},
        {"{\"a\":{\"dtype\":\"Q4\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "unknown dtype \"Q4\""},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "no \"dtype\""},
        {"{\"a\":7}", 0, "not described by an object"},
        {A "[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12,
         "tensors a and b overlap"},
        {A "[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}", 16,
         "duplicate"},
        {"{\"__metadata__\":{\"k\":3}}", 0, "\"k\" is not a text"},
        {"{\"__metadata__\":[]}", 0, "not an object"},
        {"{\"a\":", 0, "no valid JSON"},
        {"[]", 0, "not a safetensors file"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        rn_st_file *f = (void *)1;
        int rc = open_text(c[i].header, c[i].ndata, &f);
        if (rc != RN_E_FORMAT || f || !strstr(rn_error_text(), c[i].says) || !strstr(rn_error_text(), "t.safetensors"))
            fail_msg("%s: %d, %s", c[i].header, rc, rc < 0 ? rn_error_text() : "accepted");
    }
}

static void no_header(void **state)
{
    (void)state;
    rn_st_file *f;
    for (size_t n = 0; n < 8; n++)
        assert_int_equal(rn_st_open_memory("short", calloc(1, n + 1), n, &f), RN_E_FORMAT);
    char *p = malloc(16);
    assert_non_null(p);
    memset(p, 0xff, 16); /* a length of 2^64-1 */
    assert_int_equal(rn_st_open_memory("long", p, 16, &f), RN_E_FORMAT);
    assert_int_equal(rn_st_open("/nonexistent/x.safetensors", &f, NULL), RN_E_NOENT);
    assert_int_equal(open_text("{}", 0, &f), 0);
    assert_int_equal(rn_st_count(f), 0);
    rn_st_close(f);
}

/* Every truncation and every one-byte change of a header either fails or still describes memory inside the file. */
static void any_damage(void **state)
{
    (void)state;
    static const char good[] =
        A "[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]}}";
    size_t n = strlen(good);
    for (size_t i = 0; i < n; i++)
        for (int c = 1; c < 256; c += 7) {
            char text[sizeof good];
            memcpy(text, good, sizeof good);
            text[i] = (char)c;
            rn_st_file *f;
            if (open_text(text, 16, &f) < 0)
                continue;
            for (int k = 0; k < rn_st_count(f); k++) {
                float v[16];
                const rn_st_tensor *t = rn_st_at(f, k);
                assert_in_range(t->bytes, 0, 16);
                if (t->count <= 16)
                    (void)rn_st_read_f32(t, v);
            }
            rn_st_close(f);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip), cmocka_unit_test(reads_python),
                                       cmocka_unit_test(half_types), cmocka_unit_test(bad_files),
                                       cmocka_unit_test(no_header),  cmocka_unit_test(any_damage)};
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
