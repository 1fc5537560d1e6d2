/* SPDX-License-Identifier: MIT */
/* Private to verification: an extracted tree against what ilsvrc-extract noted of it. Trees made by others have no
 * notes. */
#ifndef RN_VERIFY_STATE_H
#define RN_VERIFY_STATE_H

#include "data/extract/rn_extract.h"
#include "data/meta/rn_findings.h"

/* One split (or archive of boxes): is it whole, and has it as many files as were extracted? `there`: its folder is in
 * place. */
void rn_verify_state(const char *root, enum rn_split split, bool there, uint64_t files, rn_findings *f);

/* Bounding boxes below root/bbox: counted, and none of them empty. */
int rn_verify_boxes(const char *root, rn_findings *f);

#endif
