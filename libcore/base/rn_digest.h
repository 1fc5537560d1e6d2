/* SPDX-License-Identifier: MIT */
/* Streaming MD5 and SHA-256 (OpenSSL's EVP), as lower-case hex. */
#ifndef RN_DIGEST_H
#define RN_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum rn_digest_kind { RN_MD5 = 0, RN_SHA256 = 1 };
#define RN_DIGEST_HEX_MAX 65 /* 64 hex digits and NUL */

typedef struct rn_digest rn_digest;

int rn_digest_open(enum rn_digest_kind kind, rn_digest **out);
int rn_digest_update(rn_digest *d, const void *data, size_t n);
int rn_digest_final(rn_digest *d, char hex[RN_DIGEST_HEX_MAX]); /* d may only be closed afterwards */
void rn_digest_close(rn_digest *d);                             /* accepts NULL */

int rn_digest_buffer(enum rn_digest_kind kind, const void *data, size_t n, char hex[RN_DIGEST_HEX_MAX]);
/* Whole file, read in large blocks; bytes may be NULL. */
int rn_digest_file(enum rn_digest_kind kind, const char *path, char hex[RN_DIGEST_HEX_MAX], uint64_t *bytes);

#endif
