/* SPDX-License-Identifier: MIT */
/*
 * Where the members of a flat archive go. What is in the archives of val and test is known. Of t3 and of the boxes it is not
 * known for sure, so any layout is taken (flat, in folders, in inner archives by class), as long as each file's class can
 * be told: by the inner archive it comes from, the folder it is in, or the WNID its name begins with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/extract/rn_extract_job.h"

/* "test/x" -> "x": the reissued test archive has a folder. */
static const char *below(const char *member, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(member, folder, n) == 0 && member[n] == '/' ? member + n + 1 : member;
}

static int numbered(const rn_job *j, const char *member, rn_place *out)
{
    const char *split = rn_split_names[j->split];
    int number = rn_numbered_name(below(member, split), split);
    if (number < 1)
        return rn_fail(RN_E_FORMAT, "%s: '%s' is no name of a %s image (ILSVRC2012_%s_<8 digits>.JPEG)", j->archive,
                       member, split, split);
    out->key = (uint64_t)number;
    snprintf(out->name, sizeof out->name, "ILSVRC2012_%s_%08d.JPEG", split, number);
    if (j->split == RN_SPLIT_TEST)
        return 1;
    if (number > j->devkit->nval)
        return rn_fail(RN_E_MISMATCH,
                       "%s: has '%s', the devkit %s knows %d validation images: they do not belong together",
                       j->archive, member, j->devkit_path, j->devkit->nval);
    memcpy(out->folder, j->devkit->synsets[j->devkit->val_label[number - 1]].wnid, sizeof out->folder);
    return 1;
}

static bool begins_with_wnid(const char *s)
{
    return s[0] == 'n' && strspn(s + 1, "0123456789") == 8;
}

/* The class of a file: of its inner archive, of the nearest folder above it that is a WNID, of its own name. */
static void find_class(const char *member, const char *inner, char folder[16])
{
    const char *base = rn_base_name(member);
    snprintf(folder, 16, "%s", inner);
    for (const char *p = member; !inner[0] && p < base; p = strchr(p, '/') + 1)
        if (begins_with_wnid(p) && p[9] == '/')
            snprintf(folder, 16, "%.9s", p);
    if (!folder[0] && begins_with_wnid(base) && base[9] == '_')
        snprintf(folder, 16, "%.9s", base);
}

/* FNV-1a over 64 bits: of half a million names two fall together with a chance of one in a hundred million. */
static uint64_t hash(const char *folder, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *folder; folder++)
        h = (h ^ (uint8_t)*folder) * 0x100000001b3u;
    for (h *= 0x100000001b3u; *name; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    return h ^ h >> 32;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n > k && strcmp(s + n - k, end) == 0;
}

/* A name that is safe in the folder we make: letters, digits, _ - . only. */
static bool is_plain_name(const char *s, const char *end)
{
    size_t n = strlen(s);
    return ends_with(s, end) && n < 250 && s[0] != '.' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == n;
}

static int of_class(const rn_job *j, const char *member, const char *inner, rn_place *out)
{
    const char *base = rn_base_name(member);
    bool boxes = j->split >= RN_NSPLITS;
    if (boxes && !ends_with(base, ".xml"))
        return 0;
    if (!is_plain_name(base, boxes ? ".xml" : ".JPEG"))
        return rn_fail(RN_E_FORMAT, "%s: '%s' is no name of %s", j->archive, member,
                       boxes ? "a file of boxes (such as n02085620_10074.xml)"
                             : "an image (such as n02085620_10074.JPEG)");
    find_class(member, inner, out->folder);
    if (!boxes && !out->folder[0])
        return rn_fail(RN_E_FORMAT, "%s: '%s' has no class in its path or name (such as n02085620_10074.JPEG)",
                       j->archive, member);
    snprintf(out->name, sizeof out->name, "%s", base);
    out->key = hash(out->folder, out->name);
    return 1;
}

int rn_extract_place(const rn_job *j, const char *member, const char *inner, rn_place *out)
{
    memset(out, 0, sizeof *out);
    if (j->split == RN_SPLIT_VAL || j->split == RN_SPLIT_TEST)
        return numbered(j, member, out);
    return of_class(j, member, inner, out);
}
