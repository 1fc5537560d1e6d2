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

/* Primitive descriptor of a case with NHWC activations; the caller destroys it. The destination is of the descriptor's
 * type, or f32 on request (and always in bwd_w). wei: the layout of the weights, NULL to let oneDNN choose. */
dnnl_status_t odn_conv_pd(dnnl_engine_t engine, const rn_conv_desc *d, rn_conv_dir dir, bool f32_out, odn_md wei,
                          dnnl_primitive_desc_t *pd);

/* What follows is about OHWI weights of the type that the direction has. */

/* Reorder to `other`; in bwd_w from it. */
dnnl_status_t odn_reorder(dnnl_engine_t engine, const rn_conv_desc *d, rn_conv_dir dir, odn_md other,
                          dnnl_primitive_t *reorder);
/* Memory object over host memory. */
dnnl_status_t odn_ohwi_memory(dnnl_engine_t engine, const rn_conv_desc *d, rn_conv_dir dir, dnnl_memory_t *mem);
/* Are they what `md` describes? */
bool odn_is_ohwi(const rn_conv_desc *d, rn_conv_dir dir, odn_md md);

#endif
