/* SPDX-License-Identifier: MIT */
#include "data/meta/rn_mat.h"

#include <errno.h>
#include <matio.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "data/meta/rn_matcheck.h"

enum { MAX_ROWS = 1000000 };

/* libmatio prints on stderr by default; what it finds wrong is told by our own messages. */
static void no_log(int level, char *message)
{
    (void)level;
    (void)message;
}

static void quiet_matio(void)
{
    Mat_LogInitFunc("rnkit", no_log);
}

static pthread_once_t quiet_once = PTHREAD_ONCE_INIT;

/* ---- reading ----------------------------------------------------------------------------------------------- */

static matvar_t *field(matvar_t *synsets, const char *key, int i)
{
    return Mat_VarGetStructFieldByName(synsets, key, (size_t)i);
}

/* The only element of a 1 x 1 numeric cell, of any class. */
static int number(const matvar_t *v, double *out)
{
    if (!v || !v->data || v->isComplex || v->rank != 2 || v->dims[0] != 1 || v->dims[1] != 1)
        return RN_E_FORMAT;
    switch (v->class_type) {
    case MAT_C_DOUBLE:
        *out = *(const double *)v->data;
        break;
    case MAT_C_SINGLE:
        *out = *(const float *)v->data;
        break;
    case MAT_C_INT8:
        *out = *(const mat_int8_t *)v->data;
        break;
    case MAT_C_UINT8:
        *out = *(const mat_uint8_t *)v->data;
        break;
    case MAT_C_INT16:
        *out = *(const mat_int16_t *)v->data;
        break;
    case MAT_C_UINT16:
        *out = *(const mat_uint16_t *)v->data;
        break;
    case MAT_C_INT32:
        *out = *(const mat_int32_t *)v->data;
        break;
    case MAT_C_UINT32:
        *out = *(const mat_uint32_t *)v->data;
        break;
    case MAT_C_INT64:
        *out = (double)*(const mat_int64_t *)v->data;
        break;
    case MAT_C_UINT64:
        *out = (double)*(const mat_uint64_t *)v->data;
        break;
    default:
        return RN_E_FORMAT;
    }
    return RN_OK;
}

static int put_utf8(rn_buf *b, unsigned c)
{
    uint8_t u[4];
    size_t n;
    if (c < 0x80) {
        u[0] = (uint8_t)c;
        n = 1;
    } else if (c < 0x800) {
        u[0] = (uint8_t)(0xc0 | c >> 6);
        u[1] = (uint8_t)(0x80 | (c & 0x3f));
        n = 2;
    } else if (c < 0x10000) {
        u[0] = (uint8_t)(0xe0 | c >> 12);
        u[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        u[2] = (uint8_t)(0x80 | (c & 0x3f));
        n = 3;
    } else {
        u[0] = (uint8_t)(0xf0 | c >> 18);
        u[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        u[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        u[3] = (uint8_t)(0x80 | (c & 0x3f));
        n = 4;
    }
    return rn_buf_append(b, u, n);
}

/* UTF-16 to UTF-8; half a pair comes out as what rn_utf8_ok refuses. */
static int put_utf16(rn_buf *b, const uint16_t *u, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned c = u[i];
        if (c >= 0xd800 && c < 0xdc00 && i + 1 < n && u[i + 1] >= 0xdc00 && u[i + 1] < 0xe000)
            c = 0x10000 + ((c - 0xd800) << 10) + (u[++i] - 0xdc00u);
        RN_TRY(put_utf8(b, c));
    }
    return RN_OK;
}

static int put_text(rn_buf *b, const matvar_t *v, size_t n)
{
    const uint8_t *bytes = v->data;
    if (v->data_size == 2)
        return put_utf16(b, v->data, n);
    if (v->data_type == MAT_T_UTF8) /* as many bytes as there are, not as the dimensions count characters */
        return rn_buf_append(b, bytes, v->nbytes);
    for (size_t i = 0; i < n; i++)
        RN_TRY(put_utf8(b, bytes[i]));
    return RN_OK;
}

/* A char row (1 x n, or empty) as UTF-8. */
static int text(const matvar_t *v, char **out)
{
    rn_buf b = {0};
    int rc = RN_OK;
    if (!v || v->class_type != MAT_C_CHAR || v->rank != 2)
        return RN_E_FORMAT;
    size_t n = v->dims[0] * v->dims[1];
    if (n > 0 && (v->dims[0] != 1 || !v->data || v->nbytes < n * (size_t)v->data_size))
        return RN_E_FORMAT;
    if (n > 0)
        rc = put_text(&b, v, n);
    if (rc == RN_OK)
        rc = rn_buf_append(&b, "", 1);
    if (rc == RN_OK && (memchr(b.data, 0, b.n - 1) || !rn_utf8_ok((const char *)b.data)))
        rc = RN_E_FORMAT;
    if (rc == RN_OK)
        *out = (char *)b.data;
    else
        rn_buf_free(&b);
    return rc;
}

static int read_row(matvar_t *synsets, int i, const char *name, rn_mat_synset *row)
{
    const char *bad = NULL;
    matvar_t *train = field(synsets, "num_train_images", i), *gloss = field(synsets, "gloss", i);
    row->num_train = -1;
    if (number(field(synsets, "ILSVRC2012_ID", i), &row->id) < 0)
        bad = "ILSVRC2012_ID";
    else if (number(field(synsets, "num_children", i), &row->num_children) < 0)
        bad = "num_children";
    else if (train && number(train, &row->num_train) < 0)
        bad = "num_train_images";
    else if (text(field(synsets, "WNID", i), &row->wnid) < 0)
        bad = "WNID";
    else if (text(field(synsets, "words", i), &row->words) < 0)
        bad = "words";
    if (bad)
        return rn_fail(RN_E_FORMAT, "%s: synsets(%d).%s is missing or not what it should be", name, i + 1, bad);
    if (!gloss || text(gloss, &row->gloss) < 0)
        row->gloss = strdup("");
    return row->gloss ? RN_OK : rn_fail(RN_E_NOMEM, "%s: out of memory", name);
}

/* What has passed the guard goes to libmatio, which reads files by name only: through an anonymous one. */
static int read_variable(const void *data, size_t n, const char *name, matvar_t **out)
{
    int rc;
    char path[64];
    rn_buf checked = {0};
    mat_t *mat = NULL;
    RN_TRY(rn_mat_extract(data, n, name, "synsets", &checked));
    int fd = memfd_create("meta.mat", MFD_CLOEXEC);
    if (fd < 0)
        RN_GO(rn_fail_errno(errno, "%s: making room for it in memory", name));
    RN_GO(rn_write_all(fd, checked.data, checked.n, name));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    pthread_once(&quiet_once, quiet_matio);
    mat = Mat_Open(path, MAT_ACC_RDONLY);
    if (!mat)
        RN_GO(rn_fail(RN_E_FORMAT, "%s: not a MATLAB 5 file", name));
    *out = Mat_VarRead(mat, "synsets");
    if (!*out)
        RN_GO(rn_fail(RN_E_FORMAT, "%s: has no readable variable `synsets`", name));
    rc = RN_OK;
out:
    if (mat)
        Mat_Close(mat);
    if (fd >= 0)
        close(fd);
    rn_buf_free(&checked);
    return rc;
}

int rn_mat_read_synsets(const void *data, size_t n, const char *name, rn_mat_synset **rows, int *nrows)
{
    int rc, count = 0;
    matvar_t *v = NULL;
    *rows = NULL;
    *nrows = 0;
    RN_TRY(read_variable(data, n, name, &v));
    if (v->class_type != MAT_C_STRUCT || v->rank != 2 || !v->data)
        RN_GO(rn_fail(RN_E_FORMAT, "%s: `synsets` is not a struct array", name));
    if (v->dims[0] == 0 || v->dims[1] == 0 || v->dims[0] > MAX_ROWS || v->dims[1] > MAX_ROWS / v->dims[0])
        RN_GO(rn_fail(RN_E_FORMAT, "%s: `synsets` is %zu x %zu", name, v->dims[0], v->dims[1]));
    count = (int)(v->dims[0] * v->dims[1]);
    *rows = calloc((size_t)count, sizeof **rows);
    if (!*rows)
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory for %d synsets", name, count));
    for (int i = 0; i < count; i++)
        RN_GO(read_row(v, i, name, &(*rows)[i]));
    *nrows = count;
    rc = RN_OK;
out:
    Mat_VarFree(v);
    if (rc < 0) {
        rn_mat_free_synsets(*rows, count);
        *rows = NULL;
    }
    return rc;
}

void rn_mat_free_synsets(rn_mat_synset *rows, int nrows)
{
    for (int i = 0; rows && i < nrows; i++) {
        free(rows[i].wnid);
        free(rows[i].words);
        free(rows[i].gloss);
    }
    free(rows);
}
