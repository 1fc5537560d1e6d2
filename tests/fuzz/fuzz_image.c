/* SPDX-License-Identifier: MIT */
/* JPEG and PNG: header, whole decode, and a region; sizes are kept small, so that an input takes milliseconds. */
#include <string.h>

#include "base/rn_error.h"
#include "data/image/rn_image.h"
#include "fuzz.h"

enum { PIXELS_MAX = 1 << 18 };

static void region(const uint8_t *data, size_t n, const rn_image_info *info)
{
    rn_decoder *d;
    rn_image out = {0};
    rn_rect r = {info->w / 3, info->h / 3, (info->w + 2) / 3, (info->h + 2) / 3};
    RN_FUZZ_CHECK(rn_decoder_open(&d) == RN_OK);
    if (rn_decoder_begin(d, data, n, "fuzz", NULL) == RN_OK && rn_decoder_read(d, NULL, &r, &out, NULL) == RN_OK)
        RN_FUZZ_CHECK(out.w == r.w && out.h == r.h && out.c == 3);
    rn_image_free(&out);
    rn_decoder_close(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    rn_image_info info;
    rn_image out = {0};
    if (rn_image_peek(data, n, &info) < 0 || (uint64_t)info.w * (uint64_t)info.h > PIXELS_MAX)
        return 0;
    RN_FUZZ_CHECK(info.w >= 1 && info.h >= 1);
    if (rn_image_decode(data, n, "fuzz", NULL, &out, &info) == RN_OK)
        RN_FUZZ_CHECK(out.w == info.w && out.h == info.h && out.c == 3);
    region(data, n, &info);
    rn_image_free(&out);
    return 0;
}
