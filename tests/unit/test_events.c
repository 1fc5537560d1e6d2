/* SPDX-License-Identifier: MIT */
/* TensorBoard events: the checksum's published vectors, and a file read back record by record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "run/log/rn_events.h"

static void checksums(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0}, ones[32], rising[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++)
        rising[i] = (uint8_t)i;
    /* RFC 3720, B.4, and the usual check value */
    assert_int_equal(rn_crc32c(zeros, 32), 0x8a9136aa);
    assert_int_equal(rn_crc32c(ones, 32), 0x62a8ab43);
    assert_int_equal(rn_crc32c(rising, 32), 0x46dd794e);
    assert_int_equal(rn_crc32c("123456789", 9), 0xe3069283);
}

/* Number of records whose framing and checksums hold; fails otherwise. */
static int records(const char *path)
{
    char *data;
    size_t n, at = 0;
    int count = 0;
    assert_int_equal(rn_read_file(path, 0, &data, &n), 0);
    while (at < n) {
        uint64_t len;
        uint32_t crc;
        assert_true(at + 16 <= n);
        memcpy(&len, data + at, 8);
        memcpy(&crc, data + at + 8, 4);
        assert_int_equal(crc, rn_crc32c_masked(data + at, 8));
        assert_true(len <= n - at - 16);
        memcpy(&crc, data + at + 12 + len, 4);
        assert_int_equal(crc, rn_crc32c_masked(data + at + 12, len));
        at += len + 16;
        count++;
    }
    free(data);
    return count;
}

static void goes_on(void **state)
{
    (void)state;
    static const char path[] = "events.tmp";
    const rn_scalar v[] = {{"train/loss", 0.5}, {"train/top1", 75}};
    rn_events *e;
    int64_t bytes, later;
    assert_int_equal(rn_events_open(path, 0, &e), 0);
    assert_int_equal(rn_events_add(e, 10, v, 2), 0);
    assert_int_equal(rn_events_sync(e, &bytes), 0);
    assert_int_equal(rn_events_add(e, 20, v, 2), 0);
    assert_int_equal(rn_events_add(e, 30, v, 17), RN_E_RANGE);
    rn_events_close(e);
    assert_int_equal(records(path), 3); /* version, 10, 20 */
    assert_int_equal(rn_events_open(path, bytes, &e), 0);
    assert_int_equal(rn_events_add(e, 15, v, 1), 0);
    assert_int_equal(rn_events_sync(e, &later), 0);
    rn_events_close(e);
    assert_int_equal(records(path), 3); /* version, 10, 15: 20 came after the cut */
    assert_int_equal(rn_file_size(path), later);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(checksums), cmocka_unit_test(goes_on)};
    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
