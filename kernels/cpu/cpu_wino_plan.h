/* SPDX-License-Identifier: MIT */
/* Between the files of cpu:winograd: the tables, the plan, the layouts. See cpu_wino.h for the idea. */
#ifndef CPU_WINO_PLAN_H
#define CPU_WINO_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/cpu/cpu_wino.h"
#include "op/rn_backend.h"

#define RN_WINO_LINE   16 /* channels that lie together: a cache line of f32 */
#define RN_WINO_NR_MAX 32

/* A tensor cut into tiles: tile (n, i, j) covers side x side pixels from (i * step + y0, j * step + x0); what falls outside
 * is read as zeros and not written. */
typedef struct rn_wino_grid {
    int mb, h, w, c; /* of the tensor */
    int th, tw;      /* tiles of one image */
    int step;        /* pixels from tile to tile */
    int y0, x0;
} rn_wino_grid;

/* What a tensor is read through: value * mul[c] + add[c] (+ other * by[c]), at least `floor`. The vectors have whole lines. */
typedef struct rn_wino_read {
    float *mul, *add, *by;
    const void *other; /* of the tensor's shape, or NULL */
    float floor;
} rn_wino_read;

/* What becomes of the output: RN_EPI_DBN's gate, and the sums of either epilogue, each channel's into sum[c - c0]. */
typedef struct rn_wino_finish {
    const float *less;          /* pivot or mean */
    const float *scale, *shift; /* of the gate */
    const void *raw;            /* of the output's shape; NULL: RN_EPI_STATS */
    double *sum, *sumsq;        /* nr of them each */
} rn_wino_finish;

/* Where transformed tiles go: frequency f of channel c of tile t is at [f * freq + c / LINE * line + t * tile + c % LINE]. */
typedef struct rn_wino_place {
    size_t freq, line, tile;
    bool ask; /* they are beyond the L2 cache: ask for the next line of channels before this one is written */
} rn_wino_place;

/* m rows of a product: c[i][j] = (acc ? c[i][j] : 0) + sum_k a(i, k) * b(k, j), j < VL or 2 VL whatever of it is wanted.
 *   b(k, j) = b[k * b_step + (j < VL ? j : b_second + j - VL)]
 *   rows: a(i, k) = a[k / LINE * a_step + i * LINE + k % LINE];  cols: a(i, k) = a[k * a_step + i] */
typedef struct rn_wino_product {
    int m, k;
    const float *a, *b;
    float *c;
    size_t a_step, b_step, b_second, c_step;
    bool two, acc; /* two vectors of columns, or one */
} rn_wino_product;

/* Where a panel of transformed weights goes: row k, column j of frequency f to to[f * freq + k * nr + j]. */
typedef struct rn_wino_pack {
    float *to;
    size_t freq;
    bool past; /* past the caches: for what is larger than they are */
    /* NULL, or what makes cells of rows k and k + 1, which then are row k / 2: rn_wino_pairs's. */
    void (*cells)(const float *first, const float *second, size_t freqs, float *to, size_t freq, bool past);
} rn_wino_pack;

/* What depends on the tensors' type. All that is transformed is f32. */
typedef struct rn_wino_io {
    /* Tiles t0..t1-1 of n x n pixels (src) or of out x out (dst), transformed, tile t0 being tile 0 of `to`. read: NULL, or
     * what they are read through. */
    void (*read_src)(const rn_wino_grid *g, const void *tensor, const rn_wino_read *read, size_t t0, size_t t1,
                     float *to, rn_wino_place place);
    void (*read_dst)(const rn_wino_grid *g, const void *tensor, const rn_wino_read *read, size_t t0, size_t t1,
                     float *to, rn_wino_place place);
    /* The inverse: channels c0..c1-1 of tiles t0..t1-1, from[(t - t0) * m_tile + f * nr + c - c0], c1 - c0 <= nr. finish: NULL, or
     * what is done with them. */
    void (*write_dst)(const rn_wino_grid *g, void *tensor, int c0, int c1, size_t t0, size_t t1, const float *from,
                      bool add, const rn_wino_finish *finish);
    /* Columns c0..c1-1 of the weights as rows k0..k1-1 of a panel, zeros up to nr; k0 is even. Columns are oc and k counts ic
     * (fwd), or the reverse and the taps turned round (bwd_d). ic: of the weights. */
    void (*pack_fwd)(const void *wei, int ic, int c0, int c1, int k0, int k1, const rn_wino_pack *to);
    void (*pack_bwd_d)(const void *wei, int ic, int c0, int c1, int k0, int k1, const rn_wino_pack *to);
} rn_wino_io;

/* What depends on the instruction set and on the tile's size. n: side of a transformed tile; its n * n values are called
 * frequencies. */
typedef struct rn_wino_isa {
    int out, n; /* pixels of the output along a tile, and side of the transformed tile, out + 2 */
    int vl;     /* floats in a vector */
    int mr, nr; /* register tile: rows, and columns in two vectors */
    /* Floats of a tile's sums, of all frequencies side by side: an odd number of cache lines, so that one frequency of many
     * tiles takes all sets of a cache. */
    size_t m_tile;

    void (*product_rows)(const rn_wino_product *p);
    void (*product_cols)(const rn_wino_product *p);
    /* Gradient of output channel o, input channels c0..c1-1, from[f * freq + c - c0]. */
    void (*write_wei)(float *wei, int ic, int o, int c0, int c1, const float *from, size_t freq, bool add);
    rn_wino_io io[2]; /* by the tensors' type: RN_F32, RN_BF16 */
} rn_wino_isa;

/* cpu:winograd-pairs: what is transformed is rounded to bf16, two terms of a sum to a cell of 32 bits. A product takes cells where
 * it takes floats otherwise, k counts them, and each step adds two terms. The transforms are those of rn_wino_isa, to memory
 * that is soon read again: from[line * freqs + f][16]. An odd last term has a zero beside it. */
typedef struct rn_wino_pairs {
    void (*product_rows)(const rn_wino_product *p);
    void (*product_cols)(const rn_wino_product *p);
    /* Channels 2 i and 2 i + 1 of a tile of so many lines of channels: cell i, lines of 16 cells. */
    void (*channels)(const float *from, size_t lines, size_t freqs, float *to, rn_wino_place place);
    /* The same channel of two tiles: lines of 16 cells, as many as `from` has. second: NULL, no second tile. */
    void (*tiles)(const float *first, const float *second, size_t lines, size_t freqs, float *to, rn_wino_place place);
    /* Two rows of a panel, a line of each frequency: first[f * LINE], to[f * freq]. second: NULL, zeros. */
    void (*cells)(const float *first, const float *second, size_t freqs, float *to, size_t freq, bool past);
} rn_wino_pairs;

extern const rn_wino_isa rn_wino_portable_4, rn_wino_portable_2;
#if defined(__x86_64__)
extern const rn_wino_isa rn_wino_avx2_4, rn_wino_avx2_2;
extern const rn_wino_isa rn_wino_avx512_4, rn_wino_avx512_2;
extern const rn_wino_pairs rn_wino_avx512_pairs;
#endif

typedef struct rn_wino_plan {
    const rn_wino_isa *isa;
    const rn_wino_io *io;       /* of isa, for the tensors' type */
    const rn_wino_pairs *pairs; /* NULL: cells are f32, one term each */
    rn_wino_grid in, out;       /* fwd, bwd_d: what is read and what is written; bwd_w: src and dst */
    size_t tiles;
    float *vectors;         /* fused work: mul, add, by of src and of dst, and a pivot of zeros, whole lines */
    rn_wino_read read[2];   /* of src (bwd_d: dst), and of dst in bwd_w */
    double *partial;        /* an epilogue's sums, two times nr for each panel of each block */
    float *u;               /* fwd, bwd_d: packed weights, panel by panel, frequency by frequency */
    size_t u_freq;          /* floats between frequencies of a panel */
    size_t block;           /* tiles transformed at a time; even where bwd_w pairs them */
    bool shared;            /* ... by all threads together, or by each its own */
    size_t groups;          /* bwd_w, not shared: of tiles, with sums of their own */
    int oc_chunk, ic_chunk; /* bwd_w: channels that one task sums */
} rn_wino_plan;

static inline size_t rn_wino_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static inline size_t rn_wino_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Cells of n terms. */
static inline size_t rn_wino_cells(const rn_wino_plan *p, size_t n)
{
    return p->pairs ? (n + 1) / 2 : n;
}

static inline size_t rn_wino_freqs(const rn_wino_plan *p)
{
    return (size_t)p->isa->n * (size_t)p->isa->n;
}

/* fwd, bwd_d: panels of the weights' columns, and blocks of tiles. */
static inline size_t rn_wino_panels(const rn_wino_plan *p)
{
    return rn_wino_up((size_t)p->out.c, (size_t)p->isa->nr) / (size_t)p->isa->nr;
}

static inline size_t rn_wino_blocks(const rn_wino_plan *p)
{
    return (p->tiles + p->block - 1) / p->block;
}

/* Floats of one tile of c channels on its way into cells; none where cells are floats. */
static inline size_t rn_wino_scratch(const rn_wino_plan *p, int c)
{
    return p->pairs ? rn_wino_freqs(p) * rn_wino_up((size_t)c, RN_WINO_LINE) : 0;
}

/* The place of that tile. */
static inline rn_wino_place rn_wino_scratch_place(const rn_wino_plan *p)
{
    return (rn_wino_place){.freq = RN_WINO_LINE, .line = rn_wino_freqs(p) * RN_WINO_LINE};
}

static inline size_t rn_wino_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* n things dealt out evenly over `parts`: the first one of part i. */
static inline size_t rn_wino_part(size_t n, size_t parts, size_t i)
{
    return n * i / parts;
}

/* The place of c channels of n tiles: lines of channels apart, tiles of a line together. An odd number of cache lines
 * between frequencies: they are written and read side by side, and must not fall on each other in the cache. */
static inline rn_wino_place rn_wino_lines(int c, size_t tiles)
{
    const size_t lines = rn_wino_up((size_t)c, RN_WINO_LINE) / RN_WINO_LINE * tiles;

    return (rn_wino_place){.freq = (lines | 1) * RN_WINO_LINE, .line = tiles * RN_WINO_LINE, .tile = RN_WINO_LINE};
}

/* The place of the same with a tile's channels together. */
static inline rn_wino_place rn_wino_rows(int c, size_t tiles)
{
    const size_t lines = rn_wino_up((size_t)c, RN_WINO_LINE) / RN_WINO_LINE | 1;

    return (rn_wino_place){
        .freq = (lines * tiles | 1) * RN_WINO_LINE, .line = RN_WINO_LINE, .tile = lines * RN_WINO_LINE};
}

/* cpu_wino_fuse.c. open: after the split; begin: takes over a run's vectors, end: adds up the blocks' sums. parts: panels of all
 * blocks. */
int rn_wino_fused_open(rn_wino_plan *p, const rn_conv_desc *d, size_t parts);
void rn_wino_fused_begin(const rn_conv_plan *plan, const rn_conv_args *a);
rn_wino_finish rn_wino_finish_of(const rn_conv_plan *plan, const rn_conv_args *a, size_t block, size_t panel);
void rn_wino_fused_end(const rn_conv_plan *plan, const rn_conv_args *a, size_t blocks);
static inline const rn_wino_read *rn_wino_read_of(const rn_wino_plan *p, int tensor)
{
    return p->read[tensor].mul ? &p->read[tensor] : NULL;
}

/* cpu_wino_product.c: fwd, bwd_d. Bytes of the workspace. */
void rn_wino_split_product(rn_wino_plan *p, const rn_backend *be);
size_t rn_wino_product_workspace(const rn_wino_plan *p, const rn_backend *be);
void rn_wino_run_product(const rn_conv_plan *plan, const rn_conv_args *args, int beta, float *ws);

/* cpu_wino_gradient.c: the same of bwd_w. */
void rn_wino_split_gradient(rn_wino_plan *p, const rn_backend *be, const rn_conv_desc *d);
size_t rn_wino_gradient_workspace(const rn_wino_plan *p, const rn_backend *be);
void rn_wino_run_gradient(const rn_conv_plan *plan, const rn_conv_args *args, int beta, float *ws);

#endif
