/* SPDX-License-Identifier: MIT */
/* PNG out, through libpng's simplified interface: for pixels that came without a file and must be kept as they are. */
#include <png.h>

#include "base/rn_error.h"
#include "data/image/rn_image.h"

int rn_image_encode_png(const rn_image *im, rn_buf *out)
{
    png_image head = {.version = PNG_IMAGE_VERSION,
                      .width = (png_uint_32)im->w,
                      .height = (png_uint_32)im->h,
                      .format = im->c == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB,
                      .flags = PNG_IMAGE_FLAG_FAST};
    png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(head); /* more than it can become: one pass */
    RN_TRY(rn_buf_reserve(out, out->n + n));
    int good = png_image_write_to_memory(&head, out->data + out->n, &n, 0, im->px, 0, NULL);
    if (!good)
        return rn_fail(RN_E_RANGE, "encoding a %d x %d x %d image as PNG: %s", im->w, im->h, im->c, head.message);
    out->n += n;
    return RN_OK;
}
