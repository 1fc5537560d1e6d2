/* SPDX-License-Identifier: MIT */
/* The form of ILSVRC2012's names. */
#include <stdio.h>
#include <string.h>

#include "data/meta/rn_manifest.h"

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

bool rn_is_wnid(const char *s)
{
    return s[0] == 'n' && digits(s + 1) == 8 && s[9] == 0;
}

bool rn_is_class_tar(const char *s)
{
    return s[0] == 'n' && digits(s + 1) == 8 && strcmp(s + 9, ".tar") == 0;
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

const char *rn_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
