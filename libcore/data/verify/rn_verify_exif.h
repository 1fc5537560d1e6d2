/* SPDX-License-Identifier: MIT */
/* Private to verification: EXIF data that reads outside itself. Decoders do not care, but some readers warn of each. */
#ifndef RN_VERIFY_EXIF_H
#define RN_VERIFY_EXIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The TIFF structure of an APP1 segment, after "Exif" and two NULs: are its directory and that of the camera's
 * settings, and every value they point at, inside the n bytes? (Exif 2.3, section 4.6; thumbnails and makers' notes are
 * not looked at.) */
bool rn_exif_sound(const uint8_t *tiff, size_t n);

#endif
