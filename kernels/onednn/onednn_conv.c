/* SPDX-License-Identifier: MIT */
#include "kernels/onednn/onednn_conv.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/onednn/onednn_api.h"

typedef struct onednn_plan {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t conv, reorder;             /* reorder: NULL when oneDNN takes OHWI weights as they are */
    dnnl_memory_t src, wei, dst, ohwi, scratch; /* wei: in oneDNN's layout; ohwi: the caller's */
    float *packed;                              /* weights in oneDNN's layout; NULL as reorder */
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

static dnnl_status_t make_pd(const struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, dnnl_engine_t *engine,
                             dnnl_primitive_desc_t *pd)
{
    int was = set_threads(be->threads);
    dnnl_status_t s = dnnl_engine_create(engine, dnnl_cpu, 0);

    if (s == dnnl_success) {
        s = odn_conv_pd(*engine, d, dir, pd);
        if (s != dnnl_success) {
            dnnl_engine_destroy(*engine);
            *engine = NULL;
        }
    }
    set_threads(was);
    return s;
}

static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    dnnl_engine_t engine = NULL;
    dnnl_primitive_desc_t pd = NULL;

    *why = NULL;
    if (d->dtype != RN_F32)
        *why = "f32 only";
    else if (d->fuse)
        *why = "no fused prologue or epilogue";
    else if (rn_cpu_backend_capped(be))
        *why = "oneDNN chooses the instruction set itself; not under a cap";
    else if (make_pd(be, d, dir, &engine, &pd) != dnnl_success)
        *why = "oneDNN has no implementation of this case";
    if (*why)
        return false;
    dnnl_primitive_desc_destroy(pd);
    dnnl_engine_destroy(engine);
    return true;
}

/* Scratch of the primitive, then room for an output to be added when beta is 1, or to be reordered. */
static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    dnnl_engine_t engine = NULL;
    dnnl_primitive_desc_t pd = NULL;

    if (make_pd(be, d, dir, &engine, &pd) != dnnl_success)
        return 0; /* supports() said no */
    size_t bytes = up64(dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0)));
    dnnl_primitive_desc_destroy(pd);
    dnnl_engine_destroy(engine);
    return bytes + output_count(d, dir) * sizeof(float);
}

static void close_plan(struct rn_backend *be, void *priv)
{
    onednn_plan *p = priv;

    (void)be;
    if (!p)
        return;
    dnnl_memory_t mems[] = {p->src, p->wei, p->dst, p->ohwi, p->scratch};
    for (size_t i = 0; i < sizeof mems / sizeof *mems; i++) {
        if (mems[i])
            dnnl_memory_destroy(mems[i]);
    }
    if (p->conv)
        dnnl_primitive_destroy(p->conv);
    if (p->reorder)
        dnnl_primitive_destroy(p->reorder);
    if (p->stream)
        dnnl_stream_destroy(p->stream);
    if (p->engine)
        dnnl_engine_destroy(p->engine);
    free(p->packed);
    free(p);
}

/* Memory objects, without memory yet: handles are set at each run. */
static dnnl_status_t make_memories(onednn_plan *p, dnnl_primitive_desc_t pd, const rn_conv_desc *d, rn_conv_dir dir)
{
    odn_md src = dnnl_primitive_desc_query_md(pd, dir == RN_BWD_D ? dnnl_query_diff_src_md : dnnl_query_src_md, 0);
    odn_md wei =
        dnnl_primitive_desc_query_md(pd, dir == RN_BWD_W ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    odn_md dst = dnnl_primitive_desc_query_md(pd, dir == RN_FWD ? dnnl_query_dst_md : dnnl_query_diff_dst_md, 0);
    odn_md scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    dnnl_status_t s = dnnl_memory_create(&p->src, src, p->engine, DNNL_MEMORY_NONE);

    if (s == dnnl_success)
        s = dnnl_memory_create(&p->wei, wei, p->engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success)
        s = dnnl_memory_create(&p->dst, dst, p->engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success)
        s = dnnl_memory_create(&p->scratch, scratch, p->engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success)
        s = odn_ohwi_memory(p->engine, d, &p->ohwi);
    p->scratch_bytes = up64(dnnl_memory_desc_get_size(scratch));
    p->wei_bytes = dnnl_memory_desc_get_size(wei);
    if (s != dnnl_success || odn_is_ohwi(d, wei))
        return s;
    p->packed = aligned_alloc(64, up64(p->wei_bytes));
    if (!p->packed)
        return dnnl_out_of_memory;
    s = odn_reorder(p->engine, d, wei, dir == RN_BWD_W, &p->reorder);
    return s == dnnl_success ? dnnl_memory_set_data_handle(p->wei, p->packed) : s;
}

static int open_plan(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    onednn_plan *p = calloc(1, sizeof *p);
    dnnl_primitive_desc_t pd = NULL;
    const char *impl = "?";
    int was = set_threads(be->threads);

    *priv = NULL;
    dnnl_status_t s = p ? make_pd(be, d, dir, &p->engine, &pd) : dnnl_out_of_memory;
    if (s == dnnl_success)
        s = dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags);
    if (s == dnnl_success)
        s = dnnl_primitive_create(&p->conv, pd);
    if (s == dnnl_success)
        s = make_memories(p, pd, d, dir);
    if (s == dnnl_success && dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &impl) == dnnl_success)
        snprintf(p->impl, sizeof p->impl, "%s", impl);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
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

static dnnl_status_t execute(onednn_plan *p, rn_conv_dir dir)
{
    static const int names[3][3] = {{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                                    {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
                                    {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}};
    dnnl_exec_arg_t args[] = {
        {names[dir][0], p->src}, {names[dir][1], p->wei}, {names[dir][2], p->dst}, {DNNL_ARG_SCRATCHPAD, p->scratch}};

    return dnnl_primitive_execute(p->conv, p->stream, 4, args);
}

static void add_to(float *out, const float *more, size_t n, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t i = 0; i < n; i++)
        out[i] += more[i];
}

static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *ws, void *stream)
{
    onednn_plan *p = plan->priv;
    const size_t n = output_count(&plan->desc, plan->dir);
    float *extra = (float *)((char *)ws + p->scratch_bytes);
    void *out = plan->dir == RN_FWD ? a->dst : plan->dir == RN_BWD_D ? a->src : a->wei, *to = beta ? extra : out;
    int was = set_threads(plan->be->threads);

    (void)stream;
    dnnl_status_t s = dnnl_memory_set_data_handle(p->src, plan->dir == RN_BWD_D ? to : a->src);
    if (s == dnnl_success)
        s = dnnl_memory_set_data_handle(p->dst, plan->dir == RN_FWD ? to : a->dst);
    if (s == dnnl_success && !p->reorder)
        s = dnnl_memory_set_data_handle(p->wei, plan->dir == RN_BWD_W ? to : a->wei);
    if (s == dnnl_success)
        s = dnnl_memory_set_data_handle(p->scratch, ws);
    if (s == dnnl_success)
        s = execute(p, plan->dir);
    if (s == dnnl_success && p->reorder && plan->dir == RN_BWD_W) {
        s = dnnl_memory_set_data_handle(p->ohwi, to);
        if (s == dnnl_success)
            s = run_reorder(p, p->wei, p->ohwi);
    }
    if (s == dnnl_success)
        s = dnnl_stream_wait(p->stream);
    set_threads(was);
    if (s != dnnl_success)
        return rn_fail(RN_E_UNSUPPORTED, "onednn:auto: status %d on running", (int)s);
    if (beta)
        add_to(out, extra, n, plan->be->threads);
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
