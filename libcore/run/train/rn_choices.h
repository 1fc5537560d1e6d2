/* SPDX-License-Identifier: MIT */
/* What a net's convolutions are computed with, for people and for the log. */
#ifndef RN_CHOICES_H
#define RN_CHOICES_H

#include <jansson.h>

#include "nn/graph/rn_net.h"

/* One line a shape and direction: how many layers have it, what was chosen, what it costs and what the second best would have
 * cost; and the sums over a batch. To stderr, where something was measured; else only with --verbose. */
void rn_choices_tell(const rn_net *net, const char *what);
/* An array with an object a layer and direction (docs/formats.md, log.jsonl). */
json_t *rn_choices_json(const rn_net *net);
/* An array with an object a batch norm that convolutions could take over. */
json_t *rn_fusions_json(const rn_net *net);

#endif
