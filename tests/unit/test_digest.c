/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rn_digest.h"
#include "base/rn_error.h"

/* RFC 1321, appendix A.5, and FIPS 180-2, appendix B. */
static void test_published_vectors(void **state)
{
    (void)state;
    static const struct {
        enum rn_digest_kind kind;
        const char *text, *want;
    } v[] = {
        {RN_MD5, "", "d41d8cd98f00b204e9800998ecf8427e"},
        {RN_MD5, "abc", "900150983cd24fb0d6963f7d28e17f72"},
        {RN_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {RN_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {RN_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {RN_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        char hex[RN_DIGEST_HEX_MAX];
        assert_int_equal(rn_digest_buffer(v[i].kind, v[i].text, strlen(v[i].text), hex), RN_OK);
        assert_string_equal(hex, v[i].want);
    }
}

/* A million 'a' (FIPS 180-2 B.3) in pieces of odd sizes, and as a file. */
static void test_pieces_and_file(void **state)
{
    (void)state;
    static const char want[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    enum { N = 1000000 };
    char *a = malloc(N), hex[RN_DIGEST_HEX_MAX];
    assert_non_null(a);
    memset(a, 'a', N);
    rn_digest *d;
    assert_int_equal(rn_digest_open(RN_SHA256, &d), RN_OK);
    for (size_t at = 0, n = 1; at < N; at += n, n = n * 3 % 7919 + 1) {
        if (n > N - at)
            n = N - at;
        assert_int_equal(rn_digest_update(d, a + at, n), RN_OK);
    }
    assert_int_equal(rn_digest_final(d, hex), RN_OK);
    assert_string_equal(hex, want);
    rn_digest_close(d);

    FILE *f = fopen("million", "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(a, 1, N, f), N);
    assert_int_equal(fclose(f), 0);
    uint64_t bytes = 0;
    memset(hex, 0, sizeof(hex));
    assert_int_equal(rn_digest_file(RN_SHA256, "million", hex, &bytes), RN_OK);
    assert_string_equal(hex, want);
    assert_int_equal(bytes, N);
    assert_int_equal(rn_digest_file(RN_MD5, "million", hex, NULL), RN_OK);
    assert_string_equal(hex, "7707d6ae4e027c70eea2a935c2296f21");
    unlink("million");
    free(a);
}

static void test_errors(void **state)
{
    (void)state;
    char hex[RN_DIGEST_HEX_MAX];
    assert_int_equal(rn_digest_file(RN_MD5, "not-there", hex, NULL), RN_E_NOENT);
    assert_non_null(strstr(rn_error_text(), "not-there"));
    assert_int_equal(rn_digest_file(RN_MD5, ".", hex, NULL), RN_E_IO);
    rn_digest_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_pieces_and_file),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
