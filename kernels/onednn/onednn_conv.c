/* SPDX-License-Identifier: MIT */
#include "kernels/onednn/onednn_conv.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_half.h"
#include "base/rn_io.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/onednn/onednn_api.h"

/* What tells the rows apart. */
typedef struct kind {
    dnnl_alg_kind_t alg;
    bool any_layout;
} kind;

/* A tensor as the caller has it and as the primitive wants it. */
typedef struct tensor {
    dnnl_memory_t inner, plain; /* plain: NULL where it is the same; then `inner` is the caller's */
    dnnl_primitive_t reorder;   /* between the two, input or output */
    size_t bytes;               /* of the inner one, where it is another */
} tensor;

/* A primitive, and its src and dst. */
typedef struct conv {
    dnnl_primitive_t conv;
    tensor t[2]; /* ODN_DST, ODN_SRC */
    dnnl_memory_t scratch;
    size_t scratch_bytes;
} conv;

typedef struct onednn_plan {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    conv plain, wide; /* wide: the sums left in f32, for beta 1 where the destination is not f32; else empty */
    tensor wei;
    void *packed; /* the inner weights; NULL where they are the caller's */
    size_t room;  /* of the workspace, before what beta 1 needs */
    double core_ms;
    char impl[96];
} onednn_plan;

void rn_onednn_version(char *buf, size_t cap)
{
    const dnnl_version_t *v = dnnl_version();

    snprintf(buf, cap, "%d.%d.%d", v->major, v->minor, v->patch);
}

static bool is_ours(const rn_conv_plan *plan)
{
    return plan->algo == &rn_onednn_auto || plan->algo == &rn_onednn_blocked || plan->algo == &rn_onednn_winograd;
}

const char *rn_onednn_impl(const rn_conv_plan *plan)
{
    return is_ours(plan) ? ((const onednn_plan *)plan->priv)->impl : NULL;
}

double rn_onednn_core_ms(const rn_conv_plan *plan)
{
    return is_ours(plan) ? ((const onednn_plan *)plan->priv)->core_ms : 0;
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

/* ---- primitive descriptors -------------------------------------------------------------------------------------- */

typedef struct pds {
    odn_case plain_case, wide_case;
    dnnl_engine_t engine;
    dnnl_primitive_desc_t plain, wide;
} pds;

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
static dnnl_status_t make_pds(const struct rn_backend *be, kind k, const rn_conv_desc *d, rn_conv_dir dir, pds *p)
{
    int was = set_threads(be->threads);

    *p = (pds){.plain_case = {.d = d, .dir = dir, .alg = k.alg, .any_layout = k.any_layout}};
    p->wide_case = p->plain_case;
    p->wide_case.f32_out = true;
    dnnl_status_t s = dnnl_engine_create(&p->engine, dnnl_cpu, 0);
    if (s == dnnl_success)
        s = odn_conv_pd(p->engine, &p->plain_case, NULL, &p->plain);
    if (s == dnnl_success && d->dtype != RN_F32 && dir != RN_BWD_W) /* on the same packed weights */
        s = odn_conv_pd(p->engine, &p->wide_case, odn_md_of(p->plain, dir, ODN_WEI), &p->wide);
    if (s != dnnl_success)
        free_pds(p);
    set_threads(was);
    return s;
}

/* Where a primitive has src or dst in another layout than NHWC. */
static bool reorders(const odn_case *c, dnnl_primitive_desc_t pd)
{
    return !odn_is_plain(c, ODN_SRC, odn_md_of(pd, c->dir, ODN_SRC)) ||
           !odn_is_plain(c, ODN_DST, odn_md_of(pd, c->dir, ODN_DST));
}

/* oneDNN 2.6.3 in bf16, the stride beyond the kernel: the gradient of taps that always fall into the padding is not
 * written. */
static bool leaves_gaps(const rn_conv_desc *d, rn_conv_dir dir)
{
    return d->dtype == RN_BF16 && dir == RN_BWD_W && ((d->ph && d->sh > d->kh) || (d->pw && d->sw > d->kw));
}

static bool supports(struct rn_backend *be, kind k, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
{
    pds p;

    *why = NULL;
    if (d->dtype != RN_F32 && d->dtype != RN_BF16)
        *why = d->dtype == RN_F16 ? "oneDNN has no f16 convolution on this CPU" : "f32 and bf16 only";
    else if ((*why = rn_conv_fuse_refusal(d, dir, 0)))
        return false;
    else if (leaves_gaps(d, dir))
        *why = "oneDNN does not write weights' gradients that only the padding has part in";
    else if (rn_cpu_backend_capped(be))
        *why = "oneDNN chooses the instruction set itself; not under a cap";
    else if (make_pds(be, k, d, dir, &p) != dnnl_success)
        *why = k.alg != dnnl_convolution_winograd ? "oneDNN has no implementation of this case"
               : dnnl_version()->major >= 3       ? "oneDNN 3 has no Winograd on x86-64 (removed in 3.2)"
                                                  : "oneDNN has no Winograd for this case";
    if (*why)
        return false;
    if (k.any_layout && !reorders(&p.plain_case, p.plain))
        *why = "oneDNN's own choice here is NHWC: onednn:auto";
    free_pds(&p);
    return !*why;
}

/* ---- workspace: scratch of a primitive, its src and dst where they are reordered, room to add an output ------------ */

/* Bytes for a tensor of a primitive in its own layout; 0 where that is the caller's. */
static size_t inner_bytes(const odn_case *c, dnnl_primitive_desc_t pd, enum odn_tensor which)
{
    odn_md md = odn_md_of(pd, c->dir, which);

    return odn_is_plain(c, which, md) ? 0 : up64(dnnl_memory_desc_get_size(md));
}

static size_t scratch_bytes(dnnl_primitive_desc_t pd)
{
    return up64(dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0)));
}

static size_t room_of(const odn_case *c, dnnl_primitive_desc_t pd)
{
    return scratch_bytes(pd) + inner_bytes(c, pd, ODN_SRC) + inner_bytes(c, pd, ODN_DST);
}

static size_t room_of_both(const pds *p)
{
    const size_t a = room_of(&p->plain_case, p->plain), b = p->wide ? room_of(&p->wide_case, p->wide) : 0;

    return a > b ? a : b;
}

static size_t workspace(struct rn_backend *be, kind k, const rn_conv_desc *d, rn_conv_dir dir)
{
    pds p;

    if (make_pds(be, k, d, dir, &p) != dnnl_success)
        return 0; /* supports() said no */
    size_t bytes = room_of_both(&p);
    free_pds(&p);
    return bytes + output_count(d, dir) * sizeof(float);
}

/* ---- plans --------------------------------------------------------------------------------------------------------- */

static void close_tensor(tensor *t)
{
    if (t->inner)
        dnnl_memory_destroy(t->inner);
    if (t->plain)
        dnnl_memory_destroy(t->plain);
    if (t->reorder)
        dnnl_primitive_destroy(t->reorder);
}

static void close_conv(conv *c)
{
    close_tensor(&c->t[ODN_DST]);
    close_tensor(&c->t[ODN_SRC]);
    if (c->scratch)
        dnnl_memory_destroy(c->scratch);
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
    close_tensor(&p->wei);
    if (p->stream)
        dnnl_stream_destroy(p->stream);
    if (p->engine)
        dnnl_engine_destroy(p->engine);
    free(p->packed);
    free(p);
}

/* Memory objects without memory yet: handles are set at each run. */
static dnnl_status_t open_tensor(tensor *t, dnnl_engine_t engine, const odn_case *c, dnnl_primitive_desc_t pd,
                                 enum odn_tensor which)
{
    odn_md md = odn_md_of(pd, c->dir, which);
    dnnl_status_t s = dnnl_memory_create(&t->inner, md, engine, DNNL_MEMORY_NONE);

    t->bytes = inner_bytes(c, pd, which);
    if (s != dnnl_success || t->bytes == 0)
        return s;
    s = odn_plain_memory(engine, c, which, &t->plain);
    return s == dnnl_success ? odn_reorder(engine, c, which, md, &t->reorder) : s;
}

static dnnl_status_t open_conv(conv *v, dnnl_engine_t engine, const odn_case *c, dnnl_primitive_desc_t pd)
{
    odn_md scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    dnnl_status_t s = dnnl_primitive_create(&v->conv, pd);

    v->scratch_bytes = scratch_bytes(pd);
    if (s == dnnl_success)
        s = open_tensor(&v->t[ODN_SRC], engine, c, pd, ODN_SRC);
    if (s == dnnl_success)
        s = open_tensor(&v->t[ODN_DST], engine, c, pd, ODN_DST);
    if (s == dnnl_success)
        s = dnnl_memory_create(&v->scratch, scratch, engine, DNNL_MEMORY_NONE);
    return s;
}

static dnnl_status_t open_weights(onednn_plan *p, const odn_case *c, dnnl_primitive_desc_t pd)
{
    dnnl_status_t s = open_tensor(&p->wei, p->engine, c, pd, ODN_WEI);

    if (s != dnnl_success || p->wei.bytes == 0)
        return s;
    p->packed = aligned_alloc(64, p->wei.bytes);
    return p->packed ? dnnl_memory_set_data_handle(p->wei.inner, p->packed) : dnnl_out_of_memory;
}

static dnnl_status_t open_all(onednn_plan *p, pds *made)
{
    const char *impl = "?";

    p->engine = made->engine;
    made->engine = NULL;
    p->room = room_of_both(made);
    dnnl_status_t s = dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags);
    if (s == dnnl_success)
        s = open_conv(&p->plain, p->engine, &made->plain_case, made->plain);
    if (s == dnnl_success && made->wide)
        s = open_conv(&p->wide, p->engine, &made->wide_case, made->wide);
    if (s == dnnl_success)
        s = open_weights(p, &made->plain_case, made->plain);
    if (s == dnnl_success && dnnl_primitive_desc_query(made->plain, dnnl_query_impl_info_str, 0, &impl) == dnnl_success)
        snprintf(p->impl, sizeof p->impl, "%s", impl);
    return s;
}

static int open_plan(struct rn_backend *be, kind k, const rn_conv_desc *d, rn_conv_dir dir, void **priv)
{
    onednn_plan *p = calloc(1, sizeof *p);
    pds made = {0};
    int was = set_threads(be->threads);

    *priv = NULL;
    dnnl_status_t s = p ? make_pds(be, k, d, dir, &made) : dnnl_out_of_memory;
    if (s == dnnl_success)
        s = open_all(p, &made);
    free_pds(&made);
    set_threads(was);
    if (s != dnnl_success) {
        close_plan(be, p);
        return rn_fail(s == dnnl_out_of_memory ? RN_E_NOMEM : RN_E_UNSUPPORTED, "onednn: status %d of oneDNN", (int)s);
    }
    *priv = p;
    return 0;
}

/* ---- running ------------------------------------------------------------------------------------------------------- */

static dnnl_status_t run_reorder(onednn_plan *p, dnnl_primitive_t reorder, dnnl_memory_t from, dnnl_memory_t to)
{
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};

    return dnnl_primitive_execute(reorder, p->stream, 2, args);
}

static int prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    onednn_plan *p = plan->priv;
    union {
        const void *given;
        void *handle; /* read only, but oneDNN's type */
    } user = {wei};

    (void)stream;
    if (!p->packed)
        return 0;
    int was = set_threads(plan->be->threads);
    dnnl_status_t s = dnnl_memory_set_data_handle(p->wei.plain, user.handle);
    if (s == dnnl_success)
        s = run_reorder(p, p->wei.reorder, p->wei.plain, p->wei.inner);
    if (s == dnnl_success)
        s = dnnl_stream_wait(p->stream);
    set_threads(was);
    return s == dnnl_success
               ? 0
               : rn_fail(RN_E_UNSUPPORTED, "%s: status %d on reordering weights", plan->algo->name, (int)s);
}

/* The caller's memory, and where the inner tensor lies if that is another. */
static dnnl_status_t bind(tensor *t, void *given, void *inner)
{
    dnnl_status_t s = dnnl_memory_set_data_handle(t->inner, t->plain ? inner : given);

    return s == dnnl_success && t->plain ? dnnl_memory_set_data_handle(t->plain, given) : s;
}

static dnnl_status_t bind_all(onednn_plan *p, conv *c, void *const given[3], char *ws)
{
    char *src = ws + c->scratch_bytes, *dst = src + c->t[ODN_SRC].bytes;
    dnnl_status_t s = dnnl_memory_set_data_handle(c->scratch, ws);

    if (s == dnnl_success)
        s = bind(&c->t[ODN_SRC], given[ODN_SRC], src);
    if (s == dnnl_success)
        s = bind(&c->t[ODN_DST], given[ODN_DST], dst);
    if (s == dnnl_success)
        s = bind(&p->wei, given[ODN_WEI], p->packed);
    return s;
}

static dnnl_status_t execute(onednn_plan *p, const conv *c, rn_conv_dir dir)
{
    static const int names[3][3] = {{DNNL_ARG_DST, DNNL_ARG_SRC, DNNL_ARG_WEIGHTS},
                                    {DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS},
                                    {DNNL_ARG_DIFF_DST, DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS}};
    dnnl_exec_arg_t args[] = {{names[dir][ODN_DST], c->t[ODN_DST].inner},
                              {names[dir][ODN_SRC], c->t[ODN_SRC].inner},
                              {names[dir][ODN_WEI], p->wei.inner},
                              {DNNL_ARG_SCRATCHPAD, c->scratch}};
    const double from = rn_now();
    dnnl_status_t s = dnnl_primitive_execute(c->conv, p->stream, 4, args);

    if (s == dnnl_success)
        s = dnnl_stream_wait(p->stream);
    p->core_ms = (rn_now() - from) * 1e3;
    return s;
}

/* given: by enum odn_tensor; the output's is where it goes. */
static dnnl_status_t run_primitives(onednn_plan *p, conv *c, rn_conv_dir dir, void *const given[3], void *ws)
{
    dnnl_status_t s = bind_all(p, c, given, ws);

    for (int i = ODN_DST; i <= ODN_SRC && s == dnnl_success; i++) {
        if (c->t[i].reorder && i != (int)dir)
            s = run_reorder(p, c->t[i].reorder, c->t[i].plain, c->t[i].inner);
    }
    if (s == dnnl_success)
        s = execute(p, c, dir);
    const tensor *out = dir == RN_BWD_W ? &p->wei : &c->t[dir];
    if (s == dnnl_success && out->reorder)
        s = run_reorder(p, out->reorder, out->inner, out->plain);
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
    conv *c = beta && p->wide.conv ? &p->wide : &p->plain;
    void *given[3] = {[ODN_DST] = a->dst, [ODN_SRC] = a->src, [ODN_WEI] = a->wei}, *out = given[dir];
    int was = set_threads(plan->be->threads);

    (void)stream;
    if (beta)
        given[dir] = (char *)ws + p->room;
    dnnl_status_t s = run_primitives(p, c, dir, given, ws);
    set_threads(was);
    if (s != dnnl_success)
        return rn_fail(RN_E_UNSUPPORTED, "%s: status %d on running", plan->algo->name, (int)s);
    if (beta)
        add_to(dir == RN_BWD_W ? RN_F32 : plan->desc.dtype, out, given[dir], output_count(&plan->desc, dir),
               plan->be->threads);
    return 0;
}

/* ---- the rows ------------------------------------------------------------------------------------------------------- */

#define ROW(NAME, FLAGS, ALG, ANY_LAYOUT)                                                                              \
    static const kind NAME##_kind = {ALG, ANY_LAYOUT};                                                                 \
                                                                                                                       \
    static bool NAME##_supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)       \
    {                                                                                                                  \
        return supports(be, NAME##_kind, d, dir, why);                                                                 \
    }                                                                                                                  \
                                                                                                                       \
    static size_t NAME##_workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)                      \
    {                                                                                                                  \
        return workspace(be, NAME##_kind, d, dir);                                                                     \
    }                                                                                                                  \
                                                                                                                       \
    static int NAME##_open(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, void **priv)                 \
    {                                                                                                                  \
        return open_plan(be, NAME##_kind, d, dir, priv);                                                               \
    }                                                                                                                  \
                                                                                                                       \
    const rn_conv_algo rn_onednn_##NAME = {                                                                            \
        .name = "onednn:" #NAME,                                                                                       \
        .flags = (FLAGS),                                                                                              \
        .supports = NAME##_supports,                                                                                   \
        .workspace = NAME##_workspace,                                                                                 \
        .open = NAME##_open,                                                                                           \
        .close = close_plan,                                                                                           \
        .prepare = prepare,                                                                                            \
        .run = run,                                                                                                    \
    }

ROW(auto, RN_ALGO_DETERMINISTIC, dnnl_convolution_auto, false);
ROW(blocked, RN_ALGO_DETERMINISTIC, dnnl_convolution_direct, true);
ROW(winograd, RN_ALGO_DETERMINISTIC | RN_ALGO_WINOGRAD, dnnl_convolution_winograd, true);
