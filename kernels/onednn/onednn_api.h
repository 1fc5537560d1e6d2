/* SPDX-License-Identifier: MIT */
/* What differs between oneDNN 2 (Debian 12) and oneDNN 3: memory descriptors were structs and became handles, and the
 * operation descriptors went away. */
#ifndef ONEDNN_API_H
#define ONEDNN_API_H

#include <dnnl.h>

#include "op/rn_conv.h"

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t odn_md;
#else
typedef const dnnl_memory_desc_t *odn_md;
#endif

/* The three tensors, each by the direction that writes it. */
enum odn_tensor { ODN_DST = RN_FWD, ODN_SRC = RN_BWD_D, ODN_WEI = RN_BWD_W };

/* What oneDNN is asked for. The destination is of the descriptor's type, or f32 on request (and always in bwd_w). */
typedef struct odn_case {
    const rn_conv_desc *d;
    rn_conv_dir dir;
    dnnl_alg_kind_t alg;
    bool any_layout; /* of src and dst, too; otherwise they are NHWC. Weights are as oneDNN likes them in any case */
    bool f32_out;
} odn_case;

/* Primitive descriptor with the scratchpad left to the caller, who destroys it. wei: the layout of the weights, NULL to let
 * oneDNN choose. */
dnnl_status_t odn_conv_pd(dnnl_engine_t engine, const odn_case *c, odn_md wei, dnnl_primitive_desc_t *pd);
/* The layout that a primitive of direction `dir` has for a tensor; valid as long as pd. */
odn_md odn_md_of(dnnl_primitive_desc_t pd, rn_conv_dir dir, enum odn_tensor which);

/* What follows is about a tensor as our callers have it: NHWC, weights OHWI. */

/* Reorder of an input to `other`, or of the output from it. */
dnnl_status_t odn_reorder(dnnl_engine_t engine, const odn_case *c, enum odn_tensor which, odn_md other,
                          dnnl_primitive_t *reorder);
/* Memory object without memory. */
dnnl_status_t odn_plain_memory(dnnl_engine_t engine, const odn_case *c, enum odn_tensor which, dnnl_memory_t *mem);
/* Is it what `md` describes? */
bool odn_is_plain(const odn_case *c, enum odn_tensor which, odn_md md);

#endif
