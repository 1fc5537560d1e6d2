/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <matio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "data/meta/rn_mat.h"

enum { NFIELDS = 8 };
static const char *const field_names[NFIELDS] = {"ILSVRC2012_ID", "WNID",     "words",          "gloss",
                                                 "num_children",  "children", "wordnet_height", "num_train_images"};

static matvar_t *doubles(const double *v, size_t n)
{
    size_t dims[2] = {n > 0, n};
    return Mat_VarCreate(NULL, MAT_C_DOUBLE, MAT_T_DOUBLE, 2, dims, (void *)(uintptr_t)v, 0);
}

/* UTF-8 to a row of 16-bit characters, as MATLAB stores text; a byte that is no UTF-8 is kept as Latin-1. */
static matvar_t *chars(const char *s)
{
    size_t n = strlen(s), k = 0;
    uint16_t *u = malloc((n + 1) * sizeof *u);
    if (!u)
        return NULL;
    for (const uint8_t *p = (const uint8_t *)s; *p;) {
        if (p[0] >= 0xc2 && p[0] < 0xe0 && (p[1] & 0xc0) == 0x80) {
            u[k++] = (uint16_t)((p[0] & 0x1f) << 6 | (p[1] & 0x3f));
            p += 2;
        } else if (p[0] >= 0xe0 && p[0] < 0xf0 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80) {
            u[k++] = (uint16_t)((p[0] & 0x0f) << 12 | (p[1] & 0x3f) << 6 | (p[2] & 0x3f));
            p += 3;
        } else {
            u[k++] = *p++;
        }
    }
    size_t dims[2] = {1, k};
    matvar_t *v = Mat_VarCreate(NULL, MAT_C_CHAR, MAT_T_UINT16, 2, dims, u, 0);
    free(u);
    return v;
}

static int set_row(matvar_t *synsets, int i, const rn_mat_synset *r, const double *children, double height)
{
    matvar_t *cells[NFIELDS] = {doubles(&r->id, 1),
                                chars(r->wnid),
                                chars(r->words),
                                chars(r->gloss),
                                doubles(&r->num_children, 1),
                                doubles(children, (size_t)r->num_children),
                                doubles(&height, 1),
                                doubles(&r->num_train, 1)};
    int rc = RN_OK;
    for (int f = 0; f < NFIELDS; f++) {
        if (!cells[f])
            rc = rn_fail(RN_E_NOMEM, "meta.mat: out of memory");
        else /* the struct owns the cell from here on */
            Mat_VarSetStructFieldByName(synsets, field_names[f], (size_t)i, cells[f]);
    }
    return rc;
}

static int read_back(int fd, rn_buf *out)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return rn_fail_errno(errno, "meta.mat: reading it back");
    RN_TRY(rn_buf_reserve(out, out->n + (size_t)st.st_size));
    size_t got;
    RN_TRY(rn_read_at(fd, out->data + out->n, (size_t)st.st_size, 0, "meta.mat", &got));
    out->n += got;
    return got == (size_t)st.st_size ? RN_OK : rn_fail(RN_E_IO, "meta.mat: it became shorter while it was read back");
}

int rn_mat_write_synsets(const rn_mat_synset *rows, int nrows, const double *const *children, const double *heights,
                         rn_buf *out)
{
    int rc;
    char path[64];
    mat_t *mat = NULL;
    size_t dims[2] = {(size_t)nrows, 1};
    matvar_t *synsets = Mat_VarCreateStruct("synsets", 2, dims, (const char **)(uintptr_t)field_names, NFIELDS);
    int fd = memfd_create("meta.mat", MFD_CLOEXEC); /* libmatio writes files by name only */
    if (!synsets || fd < 0)
        RN_GO(rn_fail(RN_E_NOMEM, "meta.mat: out of memory"));
    for (int i = 0; i < nrows; i++)
        RN_GO(set_row(synsets, i, &rows[i], children[i], heights[i]));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    mat = Mat_CreateVer(path, "MATLAB 5.0 MAT-file, written by rnkit", MAT_FT_MAT5);
    if (!mat)
        RN_GO(rn_fail(RN_E_IO, "meta.mat: cannot be created"));
    if (Mat_VarWrite(mat, synsets, MAT_COMPRESSION_ZLIB) != 0)
        RN_GO(rn_fail(RN_E_IO, "meta.mat: cannot be written"));
    rc = Mat_Close(mat) == 0 ? RN_OK : rn_fail(RN_E_IO, "meta.mat: cannot be written");
    mat = NULL;
    if (rc == RN_OK)
        rc = read_back(fd, out);
out:
    if (mat)
        Mat_Close(mat);
    Mat_VarFree(synsets);
    if (fd >= 0)
        close(fd);
    return rc;
}
