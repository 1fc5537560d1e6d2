/* SPDX-License-Identifier: MIT */
#include "run/save/rn_npy.h"

#include <errno.h>
#include <string.h>

#include "base/rn_error.h"

/* Format 1.0: a header padded to a multiple of 64 bytes. */
static int put_header(FILE *f, const char *path, int64_t rows, int cols)
{
    char text[118];
    memset(text, ' ', sizeof text);
    int n = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld, %d), }",
                     (long long)rows, cols);
    text[n] = ' ';
    text[sizeof text - 1] = '\n';
    const unsigned char head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, sizeof text, 0};
    if (fwrite(head, sizeof head, 1, f) != 1 || fwrite(text, sizeof text, 1, f) != 1)
        return rn_fail_errno(errno, "cannot write %s", path);
    return RN_OK;
}

int rn_npy_open(const char *path, int64_t rows, int cols, FILE **out)
{
    size_t n = strlen(path);
    int rc = RN_OK;
    *out = fopen(path, "wb");
    if (!*out)
        return rn_fail_errno(errno, "cannot write %s", path);
    if (n > 4 && strcmp(path + n - 4, ".npy") == 0)
        rc = put_header(*out, path, rows, cols);
    if (rc < 0) {
        fclose(*out);
        *out = NULL;
    }
    return rc;
}
