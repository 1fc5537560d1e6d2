/* SPDX-License-Identifier: MIT */
#include "data/verify/rn_verify_exif.h"

enum { TAG_EXIF_IFD = 0x8769, ENTRY = 12 };

typedef struct tiff {
    const uint8_t *p;
    size_t n;
    bool big; /* byte order "MM" */
} tiff;

static uint32_t get(const tiff *t, size_t at, int bytes)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint32_t)t->p[at + (size_t)i] << 8 * (t->big ? bytes - 1 - i : i);
    return v;
}

/* Bytes of one value of a TIFF type; 0 for types that no standard has, which readers pass over. */
static uint32_t type_size(uint32_t type)
{
    static const uint8_t size[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8};
    return type < sizeof size ? size[type] : 0;
}

static bool entry_sound(const tiff *t, size_t at, uint32_t *exif)
{
    uint32_t tag = get(t, at, 2), value = get(t, at + 8, 4);
    uint64_t bytes = (uint64_t)type_size(get(t, at + 2, 2)) * get(t, at + 4, 4);
    if (tag == TAG_EXIF_IFD)
        *exif = value;
    return bytes <= 4 || value + bytes <= t->n;
}

static bool directory_sound(const tiff *t, uint32_t at, uint32_t *exif)
{
    if (at + (uint64_t)2 > t->n)
        return false;
    uint32_t entries = get(t, at, 2);
    if (at + (uint64_t)2 + (uint64_t)entries * ENTRY > t->n)
        return false;
    for (uint32_t i = 0; i < entries; i++)
        if (!entry_sound(t, at + 2 + (size_t)i * ENTRY, exif))
            return false;
    return true;
}

bool rn_exif_sound(const uint8_t *p, size_t n)
{
    if (n < 8 || p[0] != p[1] || (p[0] != 'I' && p[0] != 'M'))
        return false;
    tiff t = {p, n, p[0] == 'M'};
    uint32_t settings = 0, none = 0;
    if (get(&t, 2, 2) != 42 || !directory_sound(&t, get(&t, 4, 4), &settings))
        return false;
    return settings == 0 || directory_sound(&t, settings, &none);
}
