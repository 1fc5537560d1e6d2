/* SPDX-License-Identifier: MIT */
/* Bytes as text: base64 (RFC 4648, section 4), padded and without line breaks. */
#ifndef RN_BASE64_H
#define RN_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "base/rn_io.h"

/* Appends the text of n bytes. */
int rn_base64_put(rn_buf *b, const void *data, size_t n);

/* The n bytes that `text` is of. RN_E_FORMAT: it is not exactly their text. */
int rn_base64_get(const char *text, void *data, size_t n);

#endif
