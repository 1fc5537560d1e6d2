/* SPDX-License-Identifier: MIT */
/*
 * Batches of uint8 NHWC images and labels out of a store: order (sampler) apart from storage apart from decode
 * and augmentation. Workers fill slots of a ring that the step consumes in order; the batches and their order depend on
 * (seed, epoch, options) alone, never on the number of workers.
 *
 * Memory of its own: depth batches of uint8 pixels; for each worker decoder, resizer and the decoded part of one image; 8 bytes
 * a record for the orders of two epochs. Pages of the store's file that were read count as resident besides; they are given
 * back when they come to more than `resident` bytes (rn_resident.h), so that neither grows with the set.
 */
#ifndef RN_LOADER_H
#define RN_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rn_origin.h"
#include "base/rn_pick.h"
#include "data/load/rn_color.h"
#include "data/load/rn_sampler.h"
#include "data/store/rn_store.h"

enum rn_train_crop {
    RN_CROP_RESIZED = 0, /* torchvision's RandomResizedCrop + horizontal flip */
    RN_CROP_PAD = 1,     /* pad by `pad` zeros (mean colour after normalisation: fill), random crop + flip: CIFAR */
    /* Caffe's, in evaluation without a resize too, there in the middle (rn_place_window): */
    RN_CROP_WINDOW = 2, /* a window of the image as it is + flip */
    RN_CROP_NONE = 3    /* the image as it is, which must be of the output's size, + flip */
};

typedef struct rn_loader_opts {
    bool train;                         /* false: evaluation transform, key order, every image once */
    int batch, width, height, channels; /* output size; channels 3 (1: gray) */
    /*
     * One part of the batches, for one of several processes that share them: part 0..parts-1; parts 0 is 1, the whole.
     * Training: of each batch of n the rows n * part / parts to n * (part + 1) / parts, with the pixels and labels that they
     * have in the whole. Evaluation: of the set's N records those from N * part / parts on, in key order, in batches
     * of `batch`; a part may be empty.
     */
    int part, parts;
    uint64_t seed;
    int workers;     /* >= 1 decode threads */
    int depth;       /* batches in the ring; 0: 4 */
    size_t resident; /* bytes of file pages that may stay mapped in; 0: 32 MiB */
    /* training transform */
    enum rn_train_crop crop;                       /* WINDOW and NONE: in evaluation too */
    double scale_lo, scale_hi, ratio_lo, ratio_hi; /* RN_CROP_RESIZED; 0: .08 1 3/4 4/3 */
    int pad;                                       /* RN_CROP_PAD */
    /* WINDOW and NONE: the size that all records must have, e.g. a mean image's; 0: any */
    int stored_w, stored_h;
    bool flip;           /* horizontal, p = 1/2 */
    bool drop_last;      /* training: leave an incomplete last batch out */
    enum rn_order order; /* training: RANDOM or PAGE_LOCAL */
    /* training: what is done to the pixels after crop and flip, in this order. All 0: nothing. */
    rn_jitter jitter; /* ColorJitter; with 1 channel, saturation and hue change nothing */
    double lighting;  /* PCA lighting: deviation of alpha, usually 0.1; 3 channels only */
    int cutout;       /* side of the hole, pixels */
    uint8_t fill[3];  /* what the hole is painted with, a value a channel: what normalises to 0 */
    double mixup;     /* alpha of Beta(alpha, alpha); then a batch has labels2 and share (rn_mixup.h) */
    /* evaluation transform: Resize(resize_short) then CenterCrop, bit-identical to torchvision on PIL images.
     * 0: no resize (images are already of the output size, or are centre-cropped). */
    int resize_short;
    /* Never use DCT-scaled decoding in training; otherwise a JPEG whose crop is at least 2, 4 or 8 times the output in
     * both axes is decoded at 1/2, 1/4 or 1/8 (rn_augment.h). Evaluation is always exact. */
    bool exact;
    /*
     * All images of the set, decoded (rn_decoded.h): batches are picks of them instead of pixels, with the same draws, so that the
     * op `pick` makes of them the very pixels that would have come. RN_E_UNSUPPORTED where rn_loader_needs_pixels. NULL: pixels.
     * Must outlive the loader.
     */
    const struct rn_decoded *decoded;
    /* Where pixels, picks and windows lie, which a device may have to copy; called by open and close. NULL, both: the host's own memory. */
    int (*alloc)(void *with, size_t bytes, void **out);
    void (*release)(void *with, void *p);
    void *with;
} rn_loader_opts;

typedef struct rn_batch {
    /* `batch` below is that of the options, or, of a part, the most rows that it may have (rn_loader_rows). */
    const uint8_t *images; /* (batch, height, width, channels); rows n.. are zero. NULL: picks instead */
    /* (batch + 1) of rn_loader_opts.decoded, row i's at i + 1; the first is what row 0 is mixed with. Rows n.. are RN_PICK_NONE. */
    const rn_pick *picks;
    const int32_t *labels; /* (batch); rows n.. are 0 */
    const uint32_t *index; /* (batch) record numbers in the store */
    /* (batch) where each lay in its record; NULL where images are resized or padded. With mixup: of their own records. */
    const rn_origin *windows;
    /* mixup: image i is share * its own record + (1 - share) * that of labels2[i]; NULL and 1 without. */
    const int32_t *labels2; /* (batch) */
    float share;            /* a multiple of 1/65536 */
    int n;                  /* images in this batch: batch, or less at the end of an evaluation or epoch */
    int first;              /* training: of which row of the whole batch row 0 is */
    uint32_t epoch;
    uint64_t number; /* of the batch inside the epoch, from 0 */
    double waited_s; /* how long rn_loader_next had to wait */
} rn_batch;

typedef struct rn_loader rn_loader;

/* What the workers did since the loader was opened: seconds of the clock, summed over the workers. */
typedef struct rn_loader_profile {
    uint64_t images, bytes; /* bytes: of the records as stored */
    double read_s;          /* finding the record; its pages are read from disk when the decoder touches them */
    double decode_s, resize_s;
    double augment_s; /* what is done to the pixels after that */
} rn_loader_profile;

/* Why batches of these options cannot be picked out of decoded images of that size, in words; NULL: they can. */
const char *rn_loader_needs_pixels(const rn_loader_opts *o, int width, int height);

/* The store must outlive the loader. */
int rn_loader_open(rn_store *store, const rn_loader_opts *opts, rn_loader **out);

/* Batches in one epoch. */
uint64_t rn_loader_batches(const rn_loader *l);
/* The most rows that a batch may have. */
int rn_loader_rows(const rn_loader *l);
/* Records that an evaluation gives, and which the first of them is: the whole set but for parts. */
void rn_loader_span(const rn_loader *l, uint32_t *first, uint32_t *count);

/* Goes to batch `number` of `epoch` (resume: the same batches come as in an undisturbed run). number may be that of the
 * end. Batches still held become invalid; an earlier error is forgotten. */
int rn_loader_seek(rn_loader *l, uint32_t epoch, uint64_t number);

/* The next batch; crosses into the next epoch by itself (workers do not stall there). In evaluation returns 0 after
 * the last batch (until a seek), 1 otherwise; in training always 1. RN_E_* on a record that cannot be decoded (named):
 * the batches before it have come, it stays the answer until a seek.
 * The batch is valid until rn_loader_release; several may be held, up to the ring's depth. One thread consumes. */
int rn_loader_next(rn_loader *l, rn_batch *out);
/* Whether rn_loader_next would not have to wait, be it for a batch, an error or the end. */
bool rn_loader_ready(rn_loader *l);
void rn_loader_release(rn_loader *l, const rn_batch *b);

void rn_loader_profiled(rn_loader *l, rn_loader_profile *out); /* from any thread */

void rn_loader_close(rn_loader *l); /* stops the workers; accepts NULL */

#endif
