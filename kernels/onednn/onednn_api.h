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

/* Primitive descriptor of a case with NHWC activations; the caller destroys it. */
dnnl_status_t odn_conv_pd(dnnl_engine_t engine, const rn_conv_desc *d, rn_conv_dir dir, dnnl_primitive_desc_t *pd);

/* Reorder between OHWI weights and `other`; to_ohwi gives the sense. */
dnnl_status_t odn_reorder(dnnl_engine_t engine, const rn_conv_desc *d, odn_md other, bool to_ohwi,
                          dnnl_primitive_t *reorder);
/* Memory object over host memory of OHWI weights. */
dnnl_status_t odn_ohwi_memory(dnnl_engine_t engine, const rn_conv_desc *d, dnnl_memory_t *mem);
/* Are OHWI weights what `md` describes? */
bool odn_is_ohwi(const rn_conv_desc *d, odn_md md);

#endif
