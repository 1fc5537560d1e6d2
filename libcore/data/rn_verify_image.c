/* SPDX-License-Identifier: MIT */
#include "data/rn_verify_image.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

enum { TAIL = 64 << 10 };

/* Real files may have bytes after the end marker, so it is looked for in the last 64 KiB. */
static bool has_end(const uint8_t *data, size_t n)
{
    for (size_t i = n; i >= 2 && n - i < TAIL; i--)
        if (data[i - 2] == 0xff && data[i - 1] == 0xd9)
            return true;
    return false;
}

static void glance(const uint8_t *data, size_t n, const char *name, rn_image_counts *c, rn_verify_set *set)
{
    switch (rn_image_sniff(data, n)) {
    case RN_IMG_JPEG:
        if (!has_end(data, n))
            rn_findings_add(&set->bad, "%s: truncated (no JPEG end marker)", name);
        break;
    case RN_IMG_PNG:
        c->png++;
        rn_findings_add(&set->notes, "%s: a PNG", name);
        break;
    default:
        rn_findings_add(&set->bad, "%s: neither JPEG nor PNG", name);
    }
}

static void decode_whole(const uint8_t *data, size_t n, const char *name, rn_image *scratch, rn_image_counts *c,
                         rn_verify_set *set)
{
    rn_image_info info = {0};
    if (rn_image_decode(data, n, name, &(rn_decode_opts){0}, scratch, &info) < 0) {
        rn_findings_add(&set->bad, "%s", rn_error_text());
        return;
    }
    c->decoded++;
    c->gray += info.components == 1;
    if (info.format == RN_IMG_PNG) {
        c->png++;
        rn_findings_add(&set->notes, "%s: a PNG", name);
    }
    if (info.cmyk) {
        c->cmyk++;
        rn_findings_add(&set->notes, "%s: CMYK", name);
    }
    /* Decoders give the same pixels all the same, ILSVRC2012 has such files: said, not failed. */
    if (info.warnings > 0) {
        c->warned++;
        rn_findings_add(&set->notes, "%s: %s", name, info.warning);
    }
}

void rn_verify_image(const uint8_t *data, size_t n, const char *name, bool decode, rn_image *scratch,
                     rn_image_counts *counts, rn_verify_set *set)
{
    counts->images++;
    counts->bytes += n;
    if (n == 0)
        rn_findings_add(&set->bad, "%s: empty", name);
    else if (decode)
        decode_whole(data, n, name, scratch, counts, set);
    else
        glance(data, n, name, counts, set);
}

void rn_verify_take_counts(const rn_image_counts *c, rn_verify_set *set)
{
    set->images = c->images;
    set->bytes = c->bytes;
    set->decoded = c->decoded;
    set->gray = c->gray;
    set->cmyk = c->cmyk;
    set->png = c->png;
    set->warned = c->warned;
    for (int i = 0; i < set->classes; i++) {
        uint64_t k = set->class[i].images;
        set->least = i == 0 || k < set->least ? k : set->least;
        set->most = k > set->most ? k : set->most;
    }
    rn_findings_sort(&set->bad);
    rn_findings_sort(&set->notes);
}

void rn_verify_set_free(rn_verify_set *s)
{
    rn_findings_free(&s->bad);
    rn_findings_free(&s->notes);
    free(s->class);
    s->class = NULL;
}
