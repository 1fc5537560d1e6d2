/* SPDX-License-Identifier: MIT */
#include "data/rn_manifest.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

/* Digests: torchvision's imagenet.py (train, val, devkit) and image-net.org's download page. Both test archives are right:
 * the set was reissued on 2019-10-10 with a few images replaced. */
static const rn_published published[] = {
    {"ILSVRC2012_img_train.tar", 147897477120, "1d675b47d978889d74fa0da5fadfb00e"},
    {"ILSVRC2012_img_val.tar", 6744924160, "29b22e2961454d5413ddabcf34fc5622"},
    {"ILSVRC2012_img_test_v10102019.tar", 0, "e1b8681fff3d63731c599df9b4b6fc02"},
    {"ILSVRC2012_img_test.tar", 0, "fe64ceb247e473635708aed23ab6d839"},
    {"ILSVRC2012_img_train_t3.tar", 0, "ccaf1013018ac1037801578038d370da"},
    {"ILSVRC2012_devkit_t12.tar.gz", 0, "fa75699e90414af021442c21a62c3abf"},
    {"ILSVRC2012_bbox_train_v2.tar.gz", 0, "9271167e2176350e65cfe4e546f14b17"},
    {"ILSVRC2012_bbox_train_dogs.tar.gz", 0, "61ebd3cc0e4793899a841b6b27f3d6d8"},
    {"ILSVRC2012_bbox_val_v3.tgz", 0, "f4cd18b5ea29fe6bbea62ec9c20d80f0"},
};

const char *rn_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const rn_published *rn_published_find(const char *path)
{
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        if (strcmp(rn_base_name(path), published[i].name) == 0)
            return &published[i];
    return NULL;
}

/* ---- MD5SUMS ----------------------------------------------------------------------------------------------- */

static int parse_line(const char *line, struct rn_sum *row)
{
    for (int i = 0; i < 32; i++) {
        if (!isxdigit((unsigned char)line[i]))
            return RN_E_FORMAT;
        row->md5[i] = (char)tolower((unsigned char)line[i]);
    }
    if (line[32] != ' ' || (line[33] != ' ' && line[33] != '*') || !line[34])
        return RN_E_FORMAT;
    const char *name = rn_base_name(line + 34);
    if (!*name || strlen(name) >= sizeof row->name)
        return RN_E_FORMAT;
    snprintf(row->name, sizeof row->name, "%s", name);
    return RN_OK;
}

int rn_sums_read(const char *path, rn_sums *out)
{
    char *data, *save = NULL;
    size_t n;
    int number = 0, rc = RN_OK;
    memset(out, 0, sizeof *out);
    snprintf(out->path, sizeof out->path, "%s", path);
    RN_TRY(rn_read_text(path, 16 << 20, &data, &n));
    for (char *line = data; line; line = save) { /* strtok passes over empty lines, which then would not count */
        save = strchr(line, '\n');
        if (save)
            *save++ = 0;
        number++;
        line[strcspn(line, "\r")] = 0;
        if (!*line || *line == '#')
            continue;
        struct rn_sum *row = realloc(out->row, ((size_t)out->n + 1) * sizeof *row);
        if (!row)
            RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", path));
        out->row = row;
        memset(&row[out->n], 0, sizeof *row);
        if (strlen(line) < 35 || parse_line(line, &row[out->n]) < 0)
            RN_GO(rn_fail(RN_E_FORMAT, "%s:%d: not \"MD5  NAME\", as md5sum writes it", path, number));
        out->n++;
    }
out:
    free(data);
    if (rc < 0)
        rn_sums_free(out);
    return rc;
}

void rn_sums_free(rn_sums *s)
{
    free(s->row);
    s->row = NULL;
    s->n = 0;
}

const char *rn_expected_md5(const rn_sums *s, const char *path, const char **from)
{
    for (int i = 0; s && i < s->n; i++)
        if (strcmp(rn_base_name(path), s->row[i].name) == 0) {
            if (from)
                *from = s->path;
            return s->row[i].md5;
        }
    const rn_published *p = rn_published_find(path);
    if (from)
        *from = p ? "the published list" : NULL;
    return p ? p->md5 : NULL;
}

int rn_check_md5(const char *path, const char *got, const char *expected, const char *from)
{
    if (strcmp(got, expected) == 0)
        return RN_OK;
    return rn_fail(RN_E_MISMATCH, "%s: MD5 is %s, %s expects %s: download it again", path, got, from, expected);
}

/* ---- names ------------------------------------------------------------------------------------------------- */

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

bool rn_is_wnid(const char *s)
{
    return s[0] == 'n' && digits(s + 1) == 8 && s[9] == 0;
}

bool rn_is_train_name(const char *s, const char *wnid)
{
    if (wnid ? strncmp(s, wnid, 9) != 0 : (s[0] != 'n' || digits(s + 1) != 8))
        return false;
    if (strlen(s) < 10 || s[9] != '_')
        return false;
    size_t n = digits(s + 10);
    return n > 0 && strcmp(s + 10 + n, ".JPEG") == 0;
}

bool rn_is_image_name(const char *s)
{
    size_t n = strlen(s);
    return n > 5 && n < 250 && s[0] != '.' && strcmp(s + n - 5, ".JPEG") == 0 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == n;
}

int rn_numbered_name(const char *s, const char *split)
{
    char prefix[32];
    int n = snprintf(prefix, sizeof prefix, "ILSVRC2012_%s_", split), number = 0;
    if (strncmp(s, prefix, (size_t)n) != 0 || digits(s + n) != 8 || strcmp(s + n + 8, ".JPEG") != 0)
        return -1;
    for (int i = 0; i < 8; i++)
        number = number * 10 + (s[n + i] - '0');
    return number;
}
