/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/rn_error.h"
#include "nn/graph/rn_net_impl.h"

enum { GROUP_DECAY, GROUP_SPARED, GROUP_STATS, GROUPS };

static int group_of(enum rn_param_kind kind)
{
    switch (kind) {
    case RN_PARAM_CONV:
    case RN_PARAM_LINEAR:
        return GROUP_DECAY;
    case RN_PARAM_RUNNING_MEAN:
    case RN_PARAM_RUNNING_VAR:
        return GROUP_STATS;
    default:
        return GROUP_SPARED;
    }
}

static int64_t padded(int64_t n)
{
    return (n + 15) / 16 * 16; /* 64 bytes of f32 */
}

/* Convolutions alone: a linear layer takes the masters (rn_op_linear). */
static int64_t narrow_count(const rn_param *p)
{
    return p->kind == RN_PARAM_CONV ? (p->count + 31) / 32 * 32 : 0; /* 64 bytes of 16-bit numbers */
}

/* One block of zeros: values, gradients, momentum, the copy. */
static int alloc_block(rn_weights *w, bool train)
{
    const size_t values = (size_t)w->n_total * sizeof(float), narrow = (size_t)w->n_narrow * rn_dtype_size(w->dtype);
    const size_t trained = train ? (size_t)(w->n_decay + w->n_spared) * sizeof(float) : 0;
    const size_t grads = rn_net_aligned(values), momentum = grads + rn_net_aligned(trained);
    const size_t copy = momentum + rn_net_aligned(trained), bytes = copy + narrow;
    void *p = NULL;
    int rc = w->be->alloc(w->be, bytes, &p);
    if (rc < 0)
        return rn_fail_prefix(rc, "weights%s (%zu bytes)", train ? ", their gradients and momentum" : "", bytes);
    w->values = p;
    w->grads = train ? (float *)(void *)((uint8_t *)p + grads) : NULL;
    w->momentum = train ? (float *)(void *)((uint8_t *)p + momentum) : NULL;
    w->narrow = narrow ? (uint8_t *)p + copy : NULL;
    return w->be->memset(w->be, p, 0, bytes, NULL);
}

int rn_weights_open(rn_backend *be, const rn_graph *g, bool train, rn_dtype dtype, rn_weights **out)
{
    rn_weights *w = calloc(1, sizeof *w);
    if (!w)
        return rn_fail(RN_E_NOMEM, "weights: out of memory");
    w->be = be;
    w->refs = 1;
    w->version = 1;
    w->dtype = dtype;
    int64_t n[GROUPS] = {0};
    for (int i = 0; i < g->nparams; i++)
        n[group_of(g->params[i].kind)] += padded(g->params[i].count);
    w->n_decay = n[GROUP_DECAY];
    w->n_spared = n[GROUP_SPARED];
    w->n_total = n[GROUP_DECAY] + n[GROUP_SPARED] + n[GROUP_STATS];
    for (int i = 0; dtype != RN_F32 && i < g->nparams; i++)
        w->n_narrow += narrow_count(&g->params[i]);
    int rc = alloc_block(w, train);
    if (rc < 0) {
        rn_weights_release(w);
        return rc;
    }
    *out = w;
    return RN_OK;
}

void rn_weights_release(rn_weights *w)
{
    if (!w || --w->refs > 0)
        return;
    w->be->free(w->be, w->values); /* and all that lies behind */
    w->be->free(w->be, w->mean_image);
    free(w);
}

int rn_weights_set_mean_image(rn_weights *w, const float *host, size_t count)
{
    void *p = NULL;
    int rc = w->be->alloc(w->be, count * sizeof *host, &p);
    if (rc < 0)
        return rn_fail_prefix(rc, "mean image (%zu bytes)", count * sizeof *host);
    w->mean_image = p;
    return w->be->copy(w->be, p, host, count * sizeof *host, RN_COPY_H2D, NULL);
}

void rn_weights_bind(const rn_weights *w, rn_graph *g, bool train)
{
    int64_t at[GROUPS] = {0, w->n_decay, w->n_decay + w->n_spared}, narrow_at = 0;
    for (int i = 0; i < g->nparams; i++) {
        rn_param *p = &g->params[i];
        int group = group_of(p->kind);
        bool trained = train && group != GROUP_STATS;
        p->value = w->values + at[group];
        p->grad = trained ? w->grads + at[group] : NULL;
        p->momentum = trained ? w->momentum + at[group] : NULL;
        at[group] += padded(p->count);
        p->operand = p->value;
        if (w->narrow && narrow_count(p))
            p->operand = (uint8_t *)w->narrow + narrow_at * (int64_t)rn_dtype_size(w->dtype);
        narrow_at += narrow_count(p);
    }
}

int rn_weights_narrow(const rn_weights *w, const rn_graph *g)
{
    for (int i = 0; w->narrow && i < g->nparams; i++) {
        const rn_param *p = &g->params[i];
        const rn_op_convert a = {.from = RN_F32, .to = w->dtype, .n = p->count, .src = p->value, .dst = p->operand};
        if (p->operand != p->value)
            RN_TRY(w->be->ops->convert(w->be, &a, NULL));
    }
    return RN_OK;
}

size_t rn_weights_bytes(const rn_weights *w)
{
    int64_t trained = w->n_decay + w->n_spared;
    return (size_t)(w->n_total + (w->grads ? trained : 0) + (w->momentum ? trained : 0)) * sizeof(float) +
           (size_t)w->n_narrow * rn_dtype_size(w->dtype);
}
