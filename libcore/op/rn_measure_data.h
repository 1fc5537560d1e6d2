/* SPDX-License-Identifier: MIT */
/* Between rn_measure*.c: what a case reads and writes while it is measured or held against another. */
#ifndef RN_MEASURE_DATA_H
#define RN_MEASURE_DATA_H

#include "op/rn_backend.h"

/* One block of device memory each; of vectors all that rn_conv_args names. */
enum rn_measure_block {
    RN_MEASURE_SRC,
    RN_MEASURE_WEI,
    RN_MEASURE_DST,
    RN_MEASURE_SCALE,
    RN_MEASURE_SHIFT,
    RN_MEASURE_RESIDUAL,
    RN_MEASURE_SUM,
    RN_MEASURE_SUMSQ,
    RN_MEASURE_PIVOT,
    RN_MEASURE_X,
    RN_MEASURE_KA,
    RN_MEASURE_KB,
    RN_MEASURE_KC,
    RN_MEASURE_RAW,
    RN_MEASURE_MEAN,
    RN_MEASURE_BLOCKS
};

typedef struct rn_measure_data {
    struct {
        void *mem;    /* NULL: the case has no such block */
        size_t count; /* of numbers; sums are doubles, counted as two f32 each */
        rn_dtype dtype;
    } block[RN_MEASURE_BLOCKS];
} rn_measure_data;

/* Takes the case's blocks and fills them (rn_measure_alloc). To be closed whatever it returns, then zeroed at least. */
int rn_measure_data_open(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, rn_measure_data *m);
void rn_measure_data_close(rn_backend *be, rn_measure_data *m);
rn_conv_args rn_measure_args(const rn_measure_data *m);
/* The block that the direction writes. */
enum rn_measure_block rn_measure_written(rn_conv_dir dir);

/* A block's numbers as floats, *out to be freed by the caller; NULL where the case has no such block. Waits for the device. */
int rn_measure_numbers(rn_backend *be, const rn_measure_data *m, enum rn_measure_block at, float **out);
/* The other way for memory of `count` numbers: rounds once. Waits for the device. */
int rn_measure_store(rn_backend *be, const float *v, size_t count, rn_dtype dtype, void *mem);

/* Device memory of `count` numbers in [-1, 1), or of 16 bits in +-[0.5, 2), drawn by `tag`: zeros run faster than data on some
 * devices. */
int rn_measure_alloc(rn_backend *be, size_t count, rn_dtype dtype, uint32_t tag, void **out);

/*
 * Fused work by itself, on the host: what an algorithm without any has to be given, and what becomes of what it returns.
 * in: memory of the case's src or dst as its prologue reads it, rounded to the dtype; *out is to be freed by the caller, NULL where that has no prologue.
 * out: an epilogue, of the case's result v, which it changes; `sums` (for an epilogue alone) gets all of the first kind, then of the second.
 */
int rn_measure_apart_in(rn_backend *be, const rn_conv_desc *d, const rn_measure_data *m, enum rn_measure_block at,
                        void **out);
int rn_measure_apart_out(rn_backend *be, const rn_conv_desc *d, const rn_measure_data *m, float *v, double *sums);

#endif
