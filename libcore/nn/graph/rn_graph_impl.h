/* SPDX-License-Identifier: MIT */
/* Making graphs, for the builder functions (rn_graph_nodes.c, rn_graph_params.c) only. */
#ifndef RN_GRAPH_IMPL_H
#define RN_GRAPH_IMPL_H

#include "nn/graph/rn_graph.h"

/* Makes room for one more element of an array and returns it zeroed, or NULL with the graph failed. */
void *rn_graph_grow(rn_graph *g, void *array, int *n, int *cap, size_t size);
/* An index, or -1. */
int rn_graph_add_value(rn_graph *g, rn_dtype dtype, int nd, const int64_t dim[4]);
/* A node that reads `in`. `name` is a module's or a parameter's, whose last part is then dropped. NULL once the graph has
 * failed. The node stays where it is until the next is added. */
rn_node *rn_graph_add_node(rn_graph *g, enum rn_node_kind kind, const char *name, int in);

/* Channels: the last dimension. */
static inline int rn_graph_channels(const rn_tensor *t)
{
    return (int)t->dim[t->nd - 1];
}

#endif
