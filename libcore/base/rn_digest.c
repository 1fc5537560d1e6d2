/* SPDX-License-Identifier: MIT */
#include "base/rn_digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/rn_error.h"

#define READ_BLOCK ((size_t)1 << 20)

struct rn_digest {
    EVP_MD_CTX *ctx;
    const char *name;
};

static int fail_openssl(const char *what)
{
    char reason[160] = "no reason given";
    unsigned long code = ERR_get_error();
    if (code)
        ERR_error_string_n(code, reason, sizeof(reason));
    ERR_clear_error();
    return rn_fail(RN_E_UNSUPPORTED, "OpenSSL cannot compute %s: %s", what, reason);
}

int rn_digest_open(enum rn_digest_kind kind, rn_digest **out)
{
    *out = NULL;
    rn_digest *d = calloc(1, sizeof(*d));
    if (!d)
        return rn_fail(RN_E_NOMEM, "out of memory: a digest");
    d->name = kind == RN_MD5 ? "MD5" : "SHA-256";
    d->ctx = EVP_MD_CTX_new();
    /* A FIPS-only OpenSSL refuses MD5 here: an error with a reason, not a crash later. */
    if (!d->ctx || EVP_DigestInit_ex(d->ctx, kind == RN_MD5 ? EVP_md5() : EVP_sha256(), NULL) != 1) {
        int rc = fail_openssl(d->name);
        rn_digest_close(d);
        return rc;
    }
    *out = d;
    return RN_OK;
}

int rn_digest_update(rn_digest *d, const void *data, size_t n)
{
    if (EVP_DigestUpdate(d->ctx, data, n) != 1)
        return fail_openssl(d->name);
    return RN_OK;
}

int rn_digest_final(rn_digest *d, char hex[RN_DIGEST_HEX_MAX])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(d->ctx, raw, &n) != 1 || (size_t)2 * n >= RN_DIGEST_HEX_MAX)
        return fail_openssl(d->name);
    char *to = hex;
    for (unsigned i = 0; i < n; i++) {
        *to++ = digits[raw[i] >> 4];
        *to++ = digits[raw[i] & 15];
    }
    *to = 0;
    return RN_OK;
}

void rn_digest_close(rn_digest *d)
{
    if (!d)
        return;
    EVP_MD_CTX_free(d->ctx);
    free(d);
}

int rn_digest_buffer(enum rn_digest_kind kind, const void *data, size_t n, char hex[RN_DIGEST_HEX_MAX])
{
    rn_digest *d;
    RN_TRY(rn_digest_open(kind, &d));
    int rc = rn_digest_update(d, data, n);
    if (rc == RN_OK)
        rc = rn_digest_final(d, hex);
    rn_digest_close(d);
    return rc;
}

int rn_digest_file(enum rn_digest_kind kind, const char *path, char hex[RN_DIGEST_HEX_MAX], uint64_t *bytes)
{
    int rc = RN_OK;
    uint64_t total = 0;
    rn_digest *d = NULL;
    char *block = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rn_fail_errno(errno, "cannot open %s", path);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* only a hint */
    RN_GO(rn_digest_open(kind, &d));
    block = malloc(READ_BLOCK);
    if (!block) {
        rc = rn_fail(RN_E_NOMEM, "out of memory: a read buffer");
        goto out;
    }
    for (;;) {
        ssize_t got = read(fd, block, READ_BLOCK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            rc = rn_fail_errno(errno, "cannot read %s", path);
            goto out;
        }
        if (got == 0)
            break;
        RN_GO(rn_digest_update(d, block, (size_t)got));
        total += (uint64_t)got;
    }
    RN_GO(rn_digest_final(d, hex));
    if (bytes)
        *bytes = total;
out:
    free(block);
    rn_digest_close(d);
    close(fd);
    return rc;
}
