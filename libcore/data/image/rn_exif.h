/* SPDX-License-Identifier: MIT */
/*
 * EXIF orientation: which way up the camera was held, and turning the pixels accordingly, as Pillow's
 * ImageOps.exif_transpose does. Nothing here is on by itself: torchvision ignores the tag, and so does every decode.
 *
 *   1 as it is         2 mirrored          3 turned by 180 degrees         4 upside down, mirrored
 *   5 transposed       6 turned clockwise  7 mirrored along the other diagonal   8 turned counter-clockwise
 */
#ifndef RN_EXIF_H
#define RN_EXIF_H

#include <stddef.h>

#include "data/image/rn_image.h"

/*
 * The orientation that a JPEG (APP1 segments before the first scan) or PNG (chunk eXIf) declares, 1..8; 1 when it declares
 * none, one that there is not, or nothing that can be read: a damaged tag is no reason to lose an image. As in Pillow: several
 * EXIF segments are one, TIFF of either byte order, the directory's first readable entry 0x0112 counts, of any integer type but
 * BYTE, and a JPEG without EXIF may say it in XMP (tiff:Orientation). Of a PNG neither XMP nor ImageMagick's hexadecimal text
 * is looked at. Every offset and count is held against the data. Thread-safe.
 */
int rn_exif_orientation(const void *file, size_t n);

/* `in` turned the way that `orientation` (1..8, others count as 1) asks for. `out` is another image, zeroed or filled before. */
int rn_exif_turn(const rn_image *in, int orientation, rn_image *out);

#endif
