/* SPDX-License-Identifier: MIT */
/* Private to the maker: the devkit's meta.mat. */
#ifndef RN_MK_DEVKIT_H
#define RN_MK_DEVKIT_H

#include "data/make/rn_mk.h"

/* ids[label] are 1..nclasses; ntrain[label] images. Two groups and a root follow the classes. */
int rn_mk_meta(const rn_mk_source *s, const uint32_t *ids, const uint32_t *ntrain, rn_buf *out);

#endif
