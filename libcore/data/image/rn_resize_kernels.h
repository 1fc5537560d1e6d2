/* SPDX-License-Identifier: MIT */
/*
 * Private to data/image/rn_resize*.c: one axis of a separable resize, and the rows that each way of computing it makes.
 *
 * The truth is rn_resize_ref.c: sums of k * pixel in 32-bit integers. No vector multiplies 23 bits by 8 at speed, so a
 * coefficient is split into smaller ones whose exact sums are shifted and joined: the very integer of the portable code.
 *   AVX2    k = high 2^11 + low             pairs of taps by vpmaddwd, 16 by 16 bits
 *   AVX-512 k = d[2] 2^16 + d[1] 2^8 + d[0]  four taps by vpdpbusd (VNNI), unsigned by signed bytes
 */
#ifndef RN_RESIZE_KERNELS_H
#define RN_RESIZE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rn_cpu.h"
#include "data/image/rn_resize.h"

enum {
    RN_RESIZE_BITS = 22,     /* Pillow's: 32 - 8 for the pixel - 2 for overshoot */
    RN_RESIZE_LOW_BITS = 11, /* AVX2's split */
    RN_RESIZE_CV_BITS = 11,  /* OpenCV's */
    RN_RESIZE_MAX_IN = 1 << 16,
    /* a strip of 1 x 30,000, resized to a short side of 256, is that long before it is cropped */
    RN_RESIZE_MAX_OUT = 1 << 28,
    RN_RESIZE_QUAD = 4, /* rows that fill the vectors of a horizontal pass */
    RN_RESIZE_ROWS = 8, /* that it makes at once, two quads, with what a block needs beside pixels loaded once */
    RN_RESIZE_PAD = 64  /* bytes that may be read after the arrays of a pass */
};

/* How a pass's coefficients lie for the vectors. Chosen by rn_pass_prepare for what runs the pass. */
enum rn_pass_form {
    RN_FORM_NONE = 0, /* k alone */
    RN_FORM_WORDS,    /* low, high */
    RN_FORM_BYTES,    /* d, for the vertical pass and for neighbouring outputs side by side in one vector */
    RN_FORM_WIDE,     /* d, for one output with many taps in one vector */
    RN_FORM_PAIRS     /* pairs: OpenCV's */
};

/* What makes a pass: equal keys, equal passes. */
typedef struct rn_pass_key {
    int filter; /* enum rn_filter */
    int in, out, from, n;
    bool flip, vertical;
} rn_pass_key;

/* Output pixel i is the sum over t < count[i] of k[i * taps + t] times input pixel first[i] + t. */
typedef struct rn_pass {
    rn_pass_key key;
    uint64_t used;  /* when; 0: never */
    int n;          /* output pixels */
    int from, in_n; /* the input pixels needed */
    int taps;       /* room per output pixel in k: a multiple of 4; unused ones are 0 */
    int most;       /* the largest count */
    int32_t *first; /* (n), counted from `from`; rising, or falling when flipped */
    int32_t *count; /* (n) at most taps */
    int32_t *k;     /* (n, taps) */
    size_t cap_n, cap_k;

    enum rn_pass_form form;
    int form_c; /* the channels it was chosen for */
    bool fits;  /* neighbouring outputs, rn_resize_lanes of them, read no more than 64 bytes for one group */
    /* WORDS and BYTES: (groups, n, 4), group g holding the taps 4g to 4g + 3; WIDE: (n, groups, 4). */
    int groups;
    int16_t *low, *high; /* k & 2047, k >> 11 (arithmetic) */
    int8_t *d[3];
    int16_t *pairs; /* (n, 2); where count is 1, both taps in the first */
    uint8_t *block; /* of the form */
    size_t cap_block;
} rn_pass;

bool rn_pass_is(const rn_pass *p, const rn_pass_key *key);
/* Makes *p what the key says, unless it is that already. */
int rn_pass_plan(rn_pass *p, const rn_pass_key *key);
/* Lays out the coefficients for instruction set `isa` and rows of c bytes a pixel (a vertical pass: 0). p->form says
 * what came of it: NONE where only the portable code will do. */
int rn_pass_prepare(rn_pass *p, rn_isa isa, int c);
void rn_pass_free(rn_pass *p);

/* RN_RESIZE_ROWS rows at once: row r is n pixels of c bytes from src[r] to dst[r]; the last may all be the same row. Reads
 * nothing beyond in_n pixels of a row, writes exactly n. */
typedef void rn_rows_h_fn(const rn_pass *pass, int c, const uint8_t *const *src, uint8_t *const *dst);
/* Output row i: n bytes, out of count[i] rows. */
typedef void rn_row_v_fn(const rn_pass *pass, int i, const uint8_t *const *rows, int n, uint8_t *dst);

rn_rows_h_fn rn_resize_rows_h_ref;
rn_row_v_fn rn_resize_row_v_ref;
/* Outputs i0 <= i < i1 of RN_RESIZE_QUAD rows. */
void rn_resize_part_h_ref(const rn_pass *p, int c, int i0, int i1, const uint8_t *const *src, uint8_t *const *dst);

/*
 * OpenCV's INTER_LINEAR: h makes a line of 16-bit sums (their lowest 4 bits dropped, as the vertical step does first of
 * all), v a row out of two lines. The rounding is its own: each product loses bits before the sum.
 */
typedef void rn_cv_h_fn(const rn_pass *pass, int c, const uint8_t *src,
                        int16_t *line); /* line: RN_RESIZE_PAD bytes more */
typedef void rn_cv_v_fn(const int32_t k[2], const int16_t *a, const int16_t *b, int n, uint8_t *dst);
/* Its 2:1: n pixels of c bytes out of two rows of 2n, each the mean of four, halves up. */
typedef void rn_cv_half_fn(const uint8_t *a, const uint8_t *b, int c, int n, uint8_t *dst);
rn_cv_h_fn rn_resize_cv_h_ref;
rn_cv_v_fn rn_resize_cv_v_ref;
rn_cv_half_fn rn_resize_cv_half_ref;
void rn_resize_cv_part_ref(const rn_pass *p, int c, int i0, int i1, const uint8_t *src, int16_t *line);

#if defined(__x86_64__)
rn_rows_h_fn rn_resize_rows_h_avx2;
rn_row_v_fn rn_resize_row_v_avx2;
rn_cv_h_fn rn_resize_cv_h_avx2;
rn_cv_v_fn rn_resize_cv_v_avx2;
rn_cv_half_fn rn_resize_cv_half_avx2;
/* These need VBMI and VNNI, too. */
rn_rows_h_fn rn_resize_rows_h_avx512;
rn_row_v_fn rn_resize_row_v_avx512;
rn_cv_h_fn rn_resize_cv_h_avx512;
rn_cv_v_fn rn_resize_cv_v_avx512;
rn_cv_half_fn rn_resize_cv_half_avx512;
#endif

/* Output pixels that one vector of AVX-512 makes side by side, of c bytes each. */
static inline int rn_resize_lanes(int c)
{
    return c == 3 ? 5 : 16;
}

#endif
