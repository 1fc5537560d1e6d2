/* SPDX-License-Identifier: MIT */
#include "kernels/cudnn/cudnn_conv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda_launch.h"

extern "C" {
#include "base/rn_error.h"
#include "op/rn_backend.h"
}

#if __has_include(<cudnn.h>)

#include "kernels/cudnn/cudnn_plan.h"

/* A case and its plans. A network's equal layers share them, and asking for a plan's size does not make it twice. */
typedef struct planned {
    rn_conv_desc d;
    rn_conv_dir dir;
    bool add, tf32;
    rn_cudnn_plans plans;
    struct planned *next;
} planned;

struct rn_cudnn {
    rn_cudnn_library library;
    cudnnHandle_t handle; /* NULL: not to be had */
    planned *first;
};

/* ---- the library, and what it has planned ---- */

static struct rn_cudnn *state_of(struct rn_backend *be)
{
    struct rn_cudnn **s = rn_cuda_cudnn(be);

    if (!*s) {
        *s = (struct rn_cudnn *)calloc(1, sizeof **s);
        if (!*s || rn_cudnn_load(&(*s)->library) < 0)
            return *s;
        if (rn_cudnn_status(&(*s)->library, (*s)->library.Create(&(*s)->handle), "a handle") < 0)
            (*s)->handle = NULL;
    }
    return *s;
}

void rn_cudnn_describe(struct rn_backend *be, char *text, size_t cap)
{
    const size_t n = strlen(text);
    const struct rn_cudnn *s = state_of(be);

    if (s && s->handle) {
        const int v = (int)s->library.GetVersion();
        snprintf(text + n, cap - n, ", cuDNN %d.%d.%d", v / 10000, v / 100 % 100, v % 100);
    } else {
        snprintf(text + n, cap - n, ", no cuDNN");
    }
}

void rn_cudnn_close(struct rn_backend *be)
{
    struct rn_cudnn *s = *rn_cuda_cudnn(be);

    if (!s)
        return;
    for (planned *p = s->first, *next; p; p = next) {
        next = p->next;
        rn_cudnn_plans_close(&s->library, &p->plans);
        free(p);
    }
    if (s->handle)
        s->library.Destroy(s->handle);
    free(s);
    *rn_cuda_cudnn(be) = NULL;
}

/* NULL: cuDNN is not there, or has no plan for this. */
static const rn_cudnn_plans *plans_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, bool add,
                                      bool tf32)
{
    struct rn_cudnn *s = state_of(be);

    if (!s || !s->handle)
        return NULL;
    for (planned *p = s->first; p; p = p->next) {
        if (memcmp(&p->d, d, sizeof *d) == 0 && p->dir == dir && p->add == add && p->tf32 == tf32)
            return &p->plans;
    }
    const rn_cudnn_target t = {&s->library, s->handle, NULL};
    planned *p = (planned *)calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->d = *d;
    p->dir = dir;
    p->add = add;
    p->tf32 = tf32;
    p->next = s->first;
    s->first = p;
    if (rn_cudnn_plans_open(&t, d, dir, add, tf32, &p->plans) < 0)
        rn_cudnn_plans_close(&s->library, &p->plans);
    return &p->plans;
}

/* The plan of a row. What adds to its destination is another graph, whose plans are others: the n-th of those, or the last. */
static const rn_cudnn_plan *plan_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, bool add, bool tf32,
                                    int nth)
{
    const rn_cudnn_plans *p = plans_of(be, d, dir, add, tf32);

    if (!p || p->count == 0 || (!add && nth >= p->count))
        return NULL;
    return &p->v[nth < p->count ? nth : p->count - 1];
}

/* ---- rows ---- */

static int execute(const rn_conv_plan *plan, const rn_cudnn_plan *p, const rn_conv_args *a, void *workspace,
                   void *stream)
{
    const struct rn_cudnn *s = *rn_cuda_cudnn(plan->be);
    const rn_cudnn_library *l = &s->library;
    const int64_t ids[3] = {RN_CUDNN_SRC, RN_CUDNN_WEI, RN_CUDNN_DST};
    void *const tensors[3] = {a->src, a->wei, a->dst};
    cudnnBackendDescriptor_t pack = NULL;
    int rc;

    for (int i = 0; i < 3; i++)
        if ((uintptr_t)tensors[i] % 16)
            return rn_fail(RN_E_UNSUPPORTED, "%s: a tensor that does not begin at a multiple of 16 bytes",
                           plan->algo->name);
    RN_TRY(rn_cudnn_status(l, l->SetStream(s->handle, rn_cuda_stream(stream)), "a stream"));
    RN_TRY(rn_cudnn_status(l, l->BackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack), "arguments"));
    rc = rn_cudnn_status(l, l->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, ids),
                         "arguments");
    if (rc == RN_OK)
        rc = rn_cudnn_status(
            l, l->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, tensors),
            "arguments");
    if (rc == RN_OK)
        rc = rn_cudnn_status(
            l, l->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace),
            "arguments");
    if (rc == RN_OK)
        rc = rn_cudnn_status(l, l->BackendFinalize(pack), "arguments");
    if (rc == RN_OK)
        rc = rn_cudnn_status(l, l->BackendExecute(s->handle, p->plan, pack), plan->algo->name);
    l->BackendDestroyDescriptor(pack);
    return rc;
}

template <int nth, bool tf32> struct row {
    static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
    {
        *why = rn_cudnn_refusal(d, dir, tf32);
        if (*why)
            return false;
        const struct rn_cudnn *s = state_of(be);
        *why = s && s->handle ? "its heuristics have no such plan that is deterministic and as exact as asked for"
                              : "cuDNN 9 cannot be loaded, or does not start";
        return plan_of(be, d, dir, false, tf32, nth) && plan_of(be, d, dir, true, tf32, nth);
    }
    static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
    {
        size_t most = 0;

        for (int add = 0; add < 2; add++) {
            const rn_cudnn_plan *p = plan_of(be, d, dir, add, tf32, nth);
            most = p && (size_t)p->workspace > most ? (size_t)p->workspace : most;
        }
        return most;
    }
    static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *workspace, void *stream)
    {
        const rn_cudnn_plan *p = plan_of(plan->be, &plan->desc, plan->dir, beta != 0, tf32, nth);

        if (!p)
            return rn_fail(RN_E_UNSUPPORTED, "%s: no plan for this any more", plan->algo->name);
        return execute(plan, p, a, workspace, stream);
    }
};

#else /* no cudnn.h */

void rn_cudnn_describe(struct rn_backend *, char *, size_t) {}

void rn_cudnn_close(struct rn_backend *) {}

template <int nth, bool tf32> struct row {
    static bool supports(struct rn_backend *, const rn_conv_desc *, rn_conv_dir, const char **why)
    {
        *why = "this build has no cuDNN: cudnn.h was not there";
        return false;
    }
    static size_t workspace(struct rn_backend *, const rn_conv_desc *, rn_conv_dir)
    {
        return 0;
    }
    static int run(rn_conv_plan *plan, const rn_conv_args *, int, void *, void *)
    {
        return rn_fail(RN_E_UNSUPPORTED, "%s: this build has no cuDNN", plan->algo->name);
    }
};

#endif

#define ROW(name, flags, nth, tf32)                                                                                    \
    {                                                                                                                  \
        name, RN_ALGO_DETERMINISTIC | (flags), row<nth, tf32>::supports, row<nth, tf32>::workspace, NULL, NULL, NULL,  \
            row<nth, tf32>::run, NULL                                                                                  \
    }

extern "C" {
const rn_conv_algo rn_cudnn_0 = ROW("cudnn:0", 0, 0, false);
const rn_conv_algo rn_cudnn_1 = ROW("cudnn:1", 0, 1, false);
const rn_conv_algo rn_cudnn_2 = ROW("cudnn:2", 0, 2, false);
const rn_conv_algo rn_cudnn_tf32 = ROW("cudnn:tf32", RN_ALGO_LOWPREC, 0, true);
}
