/* SPDX-License-Identifier: MIT */
/* A convolution, with what is fused into it, as cuDNN's graph of operations. (C++) */
#ifndef CUDNN_GRAPH_H
#define CUDNN_GRAPH_H

#include "kernels/cudnn/cudnn_library.h"

extern "C" {
#include "op/rn_conv.h"
}

/* For whom: a device's handle, or, to see what would be planned, a device's properties (CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR). */
struct rn_cudnn_target {
    const rn_cudnn_library *library;
    cudnnHandle_t handle; /* NULL: by properties */
    cudnnBackendDescriptor_t properties;
    const char *device; /* what tells it from others */
    const char *plans;  /* the folder of compiled plans; "": none are kept (cudnn_kept.h) */
};

/* What a row does less exactly than rn_conv.h asks for. */
enum {
    RN_CUDNN_TF32 = 1,   /* f32 is multiplied by tensor cores, which round it to TF32 */
    RN_CUDNN_DW16 = 2,   /* bwd_w rounds its result to the 16 bits of its tensors, before it is widened and added */
    RN_CUDNN_SUMS32 = 4, /* an epilogue's sums are f32 from beginning to end */
};

/* What is asked for; compared byte by byte, so made of zeroes. */
struct rn_cudnn_work {
    rn_conv_desc d;
    rn_conv_dir dir;
    unsigned loose;
    bool add; /* to what is in the destination */
};

/* What the tensors of a variant pack are called. */
enum rn_cudnn_id {
    RN_CUDNN_SRC,
    RN_CUDNN_WEI,
    RN_CUDNN_DST,
    RN_CUDNN_OLD, /* a copy of the destination that is added to, or zeroes: type and shape of the destination */
    RN_CUDNN_SCALE,
    RN_CUDNN_SHIFT,
    RN_CUDNN_RESIDUAL,
    RN_CUDNN_PIVOT,
    RN_CUDNN_RAW,
    RN_CUDNN_MEAN,
    RN_CUDNN_SUM, /* f32, as the next one */
    RN_CUDNN_SUMSQ,
    RN_CUDNN_IDS
};

enum { RN_CUDNN_DESCRIPTORS = 512 };

/* Descriptors, which live as long as what is made of them; and the tensors that a plan reads and writes, in any order. */
struct rn_cudnn_made {
    cudnnBackendDescriptor_t made[RN_CUDNN_DESCRIPTORS];
    int nmade;
    int64_t ids[RN_CUDNN_IDS];
    int nids;
};

/* Whoever makes descriptors. What these functions return is RN_OK or an RN_E_*. */
struct rn_cudnn_maker {
    const rn_cudnn_target *t;
    rn_cudnn_made *m;
};
int rn_cudnn_make(const rn_cudnn_maker *m, cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out);
int rn_cudnn_set(const rn_cudnn_maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                 cudnnBackendAttributeType_t type, int64_t n, const void *v);
int rn_cudnn_set_one(const rn_cudnn_maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                     cudnnBackendDescriptor_t v);
int rn_cudnn_finalize(const rn_cudnn_maker *m, cudnnBackendDescriptor_t d, const char *what);
void rn_cudnn_unmake(const rn_cudnn_library *l, rn_cudnn_made *made);

/* The graph of work that rn_cudnn_refusal says nothing against. */
int rn_cudnn_graph(const rn_cudnn_maker *m, const rn_cudnn_work *w, cudnnBackendDescriptor_t *out);

/* Whether its graph reads RN_CUDNN_OLD: where cuDNN's own beta is not to be had. */
bool rn_cudnn_reads_old(const rn_cudnn_work *w);
/* Whether it sums, and over the channels of what. */
bool rn_cudnn_sums(const rn_cudnn_work *w, int *channels);
/* Whether its plans are kernels compiled for it, 2 to 10 seconds each: what is fused, and sums of 16-bit tensors written as f32. */
bool rn_cudnn_compiles(const rn_cudnn_work *w);
/* Why no plan is asked for at all, a static text; NULL: one may be. */
const char *rn_cudnn_refusal(const rn_cudnn_work *w);

#endif
