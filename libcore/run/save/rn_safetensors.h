/* SPDX-License-Identifier: MIT */
/*
 * safetensors files: an 8-byte little-endian header length, a JSON header, the tensors' bytes.
 * The header maps each name to {"dtype", "shape", "data_offsets": [begin, end)} relative to the end of the header;
 * "__metadata__" maps texts to texts. Reading is strict, as in the reference implementation: the tensors must
 * cover the data exactly, without holes or overlaps, and each size must be what shape and dtype say.
 * Little-endian hosts only, as the format is.
 */
#ifndef RN_SAFETENSORS_H
#define RN_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_digest.h"
#include "base/rn_io.h"

typedef enum rn_st_dtype {
    RN_ST_F64,
    RN_ST_F32,
    RN_ST_F16,
    RN_ST_BF16,
    RN_ST_I64,
    RN_ST_I32,
    RN_ST_I16,
    RN_ST_I8,
    RN_ST_U64,
    RN_ST_U32,
    RN_ST_U16,
    RN_ST_U8,
    RN_ST_BOOL,
    RN_ST_NDTYPES
} rn_st_dtype;

enum { RN_ST_MAX_DIMS = 8 };
#define RN_ST_MAX_HEADER 100000000u /* bytes; the reference implementation's limit */

typedef struct rn_st_tensor {
    char *name;
    rn_st_dtype dtype;
    int nd; /* 0: a scalar */
    int64_t dim[RN_ST_MAX_DIMS];
    int64_t count;    /* values */
    const void *data; /* unaligned, inside the file's memory */
    size_t bytes;
} rn_st_tensor;

/* ---- reading ---- */
typedef struct rn_st_file rn_st_file;

/* Reads and validates `path` whole. RN_E_FORMAT names the file and the tensor. sha256, if not NULL, gets the file's digest. */
int rn_st_open(const char *path, rn_st_file **out, char sha256[RN_DIGEST_HEX_MAX]);
/* The same from memory that is already read; takes `data` (malloc'ed) over, on failure too. */
int rn_st_open_memory(const char *name, char *data, size_t n, rn_st_file **out);
void rn_st_close(rn_st_file *f); /* accepts NULL */

const char *rn_st_path(const rn_st_file *f);
int rn_st_count(const rn_st_file *f);
const rn_st_tensor *rn_st_at(const rn_st_file *f, int i);              /* in order of their bytes */
const rn_st_tensor *rn_st_find(const rn_st_file *f, const char *name); /* NULL if there is none */
const char *rn_st_meta(const rn_st_file *f, const char *key);          /* NULL if there is none */

/* Values as f32: F32, F16 and BF16 exactly, F64 rounded to nearest, I64 likewise; others RN_E_UNSUPPORTED. */
int rn_st_read_f32(const rn_st_tensor *t, float *out);

/* ---- writing ---- */
typedef struct rn_st_writer rn_st_writer;

int rn_st_writer_open(rn_st_writer **out);
void rn_st_writer_close(rn_st_writer *w); /* accepts NULL */
/* `name` is copied; `data` is borrowed until rn_st_build. Duplicate names are RN_E_RANGE. */
int rn_st_add(rn_st_writer *w, const char *name, rn_st_dtype dtype, int nd, const int64_t *dim, const void *data);
int rn_st_add_meta(rn_st_writer *w, const char *key, const char *text);
/* The whole file, appended to an empty buffer: wider values come first so that all are aligned, otherwise in order of
 * rn_st_add. The same tensors and metadata give the same bytes. */
int rn_st_build(const rn_st_writer *w, rn_buf *out);

#endif
