/* SPDX-License-Identifier: MIT */
#include "base/rn_base64.h"

#include <string.h>

#include "base/rn_error.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int rn_base64_put(rn_buf *b, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i += 3) {
        const uint32_t v =
            (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        const char four[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
                              i + 2 < n ? digits[v & 63] : '='};
        RN_TRY(rn_buf_append(b, four, 4));
    }
    return RN_OK;
}

/* The digits' values plus 1; 0: no digit. */
static void make_table(uint8_t value[256])
{
    memset(value, 0, 256);
    for (uint8_t i = 0; i < 64; i++)
        value[(uint8_t)digits[i]] = (uint8_t)(i + 1);
}

int rn_base64_get(const char *text, void *data, size_t n)
{
    uint8_t value[256], *out = data;
    const size_t len = strlen(text);
    if (len % 4 != 0 || len / 4 != n / 3 + (n % 3 != 0))
        return rn_fail(RN_E_FORMAT, "%zu characters of base64 are not %zu bytes", len, n);
    make_table(value);
    for (size_t i = 0; i < n; i += 3, text += 4) {
        const size_t bytes = n - i < 3 ? n - i : 3;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            const uint8_t digit = value[(uint8_t)text[k]];
            if (k <= bytes ? !digit : text[k] != '=')
                return rn_fail(RN_E_FORMAT, "no base64: character %zu", i / 3 * 4 + k + 1);
            v = v << 6 | (k <= bytes ? digit - 1u : 0);
        }
        if (v & ((1u << 8 * (3 - bytes)) - 1)) /* the same bytes have one text only */
            return rn_fail(RN_E_FORMAT, "no base64: bits are left over at the end");
        for (size_t k = 0; k < bytes; k++)
            out[i + k] = (uint8_t)(v >> (16 - 8 * k));
    }
    return RN_OK;
}
