/* SPDX-License-Identifier: MIT */
#include "kernels/onednn/onednn_conv.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_half.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/onednn/onednn_api.h"

/* A primitive and the memory objects of its own that are not the weights. */
typedef struct onednn_conv {
    dnnl_primitive_t conv;
    dnnl_memory_t src, dst, scratch;
} onednn_conv;

typedef struct onednn_plan {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    onednn_conv plain, wide;  /* wide: the sums left in f32, for beta 1 where the destination is not f32; else empty */
    dnnl_primitive_t reorder; /* NULL when oneDNN takes OHWI weights as they are */
    dnnl_memory_t wei, ohwi;  /* wei: in oneDNN's layout; ohwi: the caller's */
    void *packed;             /* weights in oneDNN's layout; NULL as reorder */
    size_t scratch_bytes, wei_bytes;
    char impl[96];
} onednn_plan;

void rn_onednn_version(char *buf, size_t cap)
{
    const dnnl_version_t *v = dnnl_version();

    snprintf(buf, cap, "%d.%d.%d", v->major, v->minor, v->patch);
}

const char *rn_onednn_impl(const rn_conv_plan *plan)
{
    return plan->algo == &rn_onednn_auto ? ((const onednn_plan *)plan->priv)->impl : NULL;
}

/* oneDNN takes the calling thread's OpenMP setting, when a primitive is made and when it runs. */
static int set_threads(int n)
{
    int was = omp_get_max_threads();

    omp_set_num_threads(n);
    return was;
}

static size_t up64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static size_t output_count(const rn_conv_desc *d, rn_conv_dir dir)
{
    return dir == RN_FWD     ? (size_t)d->mb * d->oh * d->ow * d->oc
           : dir == RN_BWD_D ? (size_t)d->mb * d->ih * d->iw * d->ic
                             : (size_t)d->oc * d->kh * d->kw * d->ic;
}

/* Is the primitive with f32 sums another one? */
static bool has_wide(const rn_conv_desc *d, rn_conv_dir dir)
{
    return d->dtype != RN_F32 && dir != RN_BWD_W;
}

typedef struct pds {
    dnnl_engine_t engine;
    dnnl_primitive_desc_t plain, wide;
} pds;

static odn_md weights_md(dnnl_primitive_desc_t pd, rn_conv_dir dir)
{
    return dnnl_primitive_desc_query_md(pd, dir == RN_BWD_W ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
}

static void free_pds(pds *p)
{
    if (p->plain)
        dnnl_primitive_desc_destroy(p->plain);
    if (p->wide)
        dnnl_primitive_desc_destroy(p->wide);
    if (p->engine)
        dnnl_engine_destroy(p->engine);
    *p = (pds){0};
}

/* All or nothing. */
static dnnl_status_t make_pds(const struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, pds *p)
{
    int was = set_threads(be->threads);

    *p = (pds){0};
    dnnl_status_t s = dnnl_engine_create(&p->engine, dnnl_cpu, 0);
    if (s == dnnl_success)
        s = odn_conv_pd(p->engine, d, dir, false, NULL, &p->plain);
    if (s == dnnl_success && has_wide(d, dir)) /* on the same packed weights */
        s = odn_conv_pd(p->engine, d, dir, true, weights_md(p->plain, dir), &p->wide);
    if (s != dnnl_success)
        free_pds(p);
    set_threads(was);
    return s;
}

/* oneDNN 2.6.3 in bf16, the stride beyond the kernel: the gradient of taps that always fall into the padding is not
 * written. */
static bool leaves_gaps(const rn_conv_desc *d, rn_conv_dir dir)
{
    return d->dtype == RN_BF16 && dir == RN_BWD_W && ((d->ph && d->sh > d->kh) || (d->pw && d->sw > d->kw));
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    pds p;

    *why = rn_conv_fuse_refusal(d, dir, 0);
    if (*why)
        return false;
    if (d->dtype != RN_F32 && d->dtype != RN_BF16)
        *why = d->dtype == RN_F16 ? "oneDNN has no f16 convolution on this CPU" : "f32 and bf16 only";
    else if (leaves_gaps(d, dir))
        *why = "oneDNN does not write weights' gradients that only the padding has part in";
    else if (rn_cpu_backend_capped(be))
        *why = "oneDNN chooses the instruction set itself; not under a cap";
    else if (make_pds(be, d, dir, &p) != dnnl_success)
        *why = "oneDNN has no implementation of this case";
    if (*why)
        return false;
    free_pds(&p);
    return true;
}

static size_t scratch_bytes(const pds *p)
{
    const size_t a = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(p->plain, dnnl_query_scratchpad_md, 0));
    const size_t b =
        p->wide ? dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(p->wide, dnnl_query_scratchpad_md, 0)) : 0;

    return up64(a > b ? a : b);
}

/* Scratch of the primitives, then room for an output in f32 to be added when beta is 1. */
static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    pds p;

    if (make_pds(be, d, dir, &p) != dnnl_success)
        return 0; /* supports() said no */
    size_t bytes = scratch_bytes(&p);
    free_pds(&p);
    return bytes + output_count(d, dir) * sizeof(float);
}

static void close_conv(onednn_conv *c)
{
    dnnl_memory_t mems[] = {c->src, c->dst, c->scratch};

    for (size_t i = 0; i < sizeof mems / sizeof *mems; i++) {
        if (mems[i])
            dnnl_memory_destroy(mems[i]);
    }
    if (c->conv)
        dnnl_primitive_destroy(c->conv);
}

static void close_plan(struct rn_backend *be, void *priv)
{
    onednn_plan *p = priv;

    (void)be;
    if (!p)
        return;
    close_conv(&p->plain);
    close_conv(&p->wide);
    if (p->wei)
        dnnl_memory_destroy(p->wei);
    if (p->ohwi)
        dnnl_memory_destroy(p->ohwi);
    if (p->reorder)
        dnnl_primitive_destroy(p->reorder);
    if (p->stream)
        dnnl_stream_destroy(p->stream);
    if (p->engine)
        dnnl_engine_destroy(p->engine);
    free(p->packed);
    free(p);
}

/* The primitive, and memory objects without memory yet: handles are set at each run. */
static dnnl_status_t open_conv(onednn_conv *c, dnnl_engine_t engine, dnnl_primitive_desc_t pd, rn_conv_dir dir)
{
    odn_md src = dnnl_primitive_desc_query_md(pd, dir == RN_BWD_D ? dnnl_query_diff_src_md : dnnl_query_src_md, 0);
    odn_md dst = dnnl_primitive_desc_query_md(pd, dir == RN_FWD ? dnnl_query_dst_md : dnnl_query_diff_dst_md, 0);
    odn_md scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    dnnl_status_t s = dnnl_primitive_create(&c->conv, pd);

    if (s == dnnl_success)
        s = dnnl_memory_create(&c->src, src, engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success)
        s = dnnl_memory_create(&c->dst, dst, engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success)
        s = dnnl_memory_create(&c->scratch, scratch, engine, DNNL_MEMORY_NONE);
    return s;
}

static dnnl_status_t open_weights(onednn_plan *p, odn_md wei, const rn_conv_desc *d, rn_conv_dir dir)
{
    dnnl_status_t s = dnnl_memory_create(&p->wei, wei, p->engine, DNNL_MEMORY_NONE);

    if (s == dnnl_success)
        s = odn_ohwi_memory(p->engine, d, dir, &p->ohwi);
    p->wei_bytes = dnnl_memory_desc_get_size(wei);
    if (s != dnnl_success || odn_is_ohwi(d, dir, wei))
        return s;
    p->packed = aligned_alloc(64, up64(p->wei_bytes));
    if (!p->packed)
        return dnnl_out_of_memory;
    s = odn_reorder(p->engine, d, dir, wei, &p->reorder);
    return s == dnnl_success ? dnnl_memory_set_data_handle(p->wei, p->packed) : s;
}

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    onednn_plan *p = calloc(1, sizeof *p);
    pds made = {0};
    const char *impl = "?";
    int was = set_threads(be->threads);

    *priv = NULL;
    dnnl_status_t s = p ? make_pds(be, d, dir, &made) : dnnl_out_of_memory;
    if (s == dnnl_success) {
        p->engine = made.engine;
        made.engine = NULL;
        p->scratch_bytes = scratch_bytes(&made);
        s = dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags);
    }
    if (s == dnnl_success)
        s = open_conv(&p->plain, p->engine, made.plain, dir);
    if (s == dnnl_success && made.wide)
        s = open_conv(&p->wide, p->engine, made.wide, dir);
    if (s == dnnl_success)
        s = open_weights(p, weights_md(made.plain, dir), d, dir);
    if (s == dnnl_success && dnnl_primitive_desc_query(made.plain, dnnl_query_impl_info_str, 0, &impl) == dnnl_success)
        snprintf(p->impl, sizeof p->impl, "%s", impl);
    free_pds(&made);
    set_threads(was);
    if (s != dnnl_success) {
        close_plan(be, p);
        return rn_fail(s == dnnl_out_of_memory ? RN_E_NOMEM : RN_E_UNSUPPORTED, "onednn:auto: status %d of oneDNN",
                       (int)s);
    }
    *priv = p;
    return 0;
}

static dnnl_status_t run_reorder(onednn_plan *p, dnnl_memory_t from, dnnl_memory_t to)
{
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};

    return dnnl_primitive_execute(p->reorder, p->stream, 2, args);
}

static int prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    onednn_plan *p = plan->priv;
    union {
        const void *in;
        void *handle;
    } user = {.in = wei}; /* oneDNN's handles are not const; the reorder only reads */

    (void)stream;
    if (!p->reorder)
        return 0;
    int was = set_threads(plan->be->threads);
    dnnl_status_t s = dnnl_memory_set_data_handle(p->ohwi, user.handle);
    if (s == dnnl_success)
        s = run_reorder(p, p->ohwi, p->wei);
    if (s == dnnl_success)
        s = dnnl_stream_wait(p->stream);
    set_threads(was);
    return s == dnnl_success ? 0 : rn_fail(RN_E_UNSUPPORTED, "onednn:auto: status %d on reordering weights", (int)s);
}

static dnnl_status_t execute(onednn_plan *p, const onednn_conv *c, rn_conv_dir dir)
{
    static const int names[3][3] = {{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                                    {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
                                    {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}};
    dnnl_exec_arg_t args[] = {
        {names[dir][0], c->src}, {names[dir][1], p->wei}, {names[dir][2], c->dst}, {DNNL_ARG_SCRATCHPAD, c->scratch}};

    return dnnl_primitive_execute(c->conv, p->stream, 4, args);
}

static dnnl_status_t run_primitives(onednn_plan *p, const onednn_conv *c, rn_conv_dir dir, const rn_conv_args *a,
                                    void *to, void *scratch)
{
    dnnl_status_t s = dnnl_memory_set_data_handle(c->src, dir == RN_BWD_D ? to : a->src);

    if (s == dnnl_success)
        s = dnnl_memory_set_data_handle(c->dst, dir == RN_FWD ? to : a->dst);
    if (s == dnnl_success && !p->reorder)
        s = dnnl_memory_set_data_handle(p->wei, dir == RN_BWD_W ? to : a->wei);
    if (s == dnnl_success)
        s = dnnl_memory_set_data_handle(c->scratch, scratch);
    if (s == dnnl_success)
        s = execute(p, c, dir);
    if (s == dnnl_success && p->reorder && dir == RN_BWD_W) {
        s = dnnl_memory_set_data_handle(p->ohwi, to);
        if (s == dnnl_success)
            s = run_reorder(p, p->wei, p->ohwi);
    }
    return s == dnnl_success ? dnnl_stream_wait(p->stream) : s;
}

static void add_to(rn_dtype type, void *out, const float *more, size_t n, int threads)
{
    float *f = out;
    uint16_t *h = out;

#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t i = 0; i < n; i++) {
        if (type == RN_F32)
            f[i] += more[i];
        else
            h[i] = rn_bf16_of_f32(rn_f32_of_bf16(h[i]) + more[i]);
    }
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
{
    onednn_plan *p = plan->priv;
    const rn_conv_dir dir = plan->dir;
    const onednn_conv *c = beta && p->wide.conv ? &p->wide : &p->plain;
    void *extra = (char *)ws + p->scratch_bytes, *out = dir == RN_FWD ? a->dst : dir == RN_BWD_D ? a->src : a->wei;
    int was = set_threads(plan->be->threads);

    (void)stream;
    dnnl_status_t s = run_primitives(p, c, dir, a, beta ? extra : out, ws);
    set_threads(was);
    if (s != dnnl_success)
        return rn_fail(RN_E_UNSUPPORTED, "onednn:auto: status %d on running", (int)s);
    if (beta)
        add_to(dir == RN_BWD_W ? RN_F32 : plan->desc.dtype, out, extra, output_count(&plan->desc, dir),
               plan->be->threads);
    return 0;
}

const rn_conv_algo rn_onednn_auto = {
    .name = "onednn:auto",
    .flags = RN_ALGO_DETERMINISTIC,
    .supports = supports,
    .workspace = workspace,
    .open = open_plan,
    .close = close_plan,
    .prepare = prepare,
    .run = run,
};
