/* SPDX-License-Identifier: MIT */
#include "kernels/cudnn/cudnn_conv.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda_launch.h"

extern "C" {
#include "base/rn_error.h"
#include "base/rn_log.h"
#include "op/rn_backend.h"
}

#if __has_include(<cudnn.h>)

#include "kernels/cudnn/cudnn_execute.h"
#include "kernels/cudnn/cudnn_kept.h"

/* A case's plans. A network's equal layers share them, and asking for a plan's size does not make it twice. */
typedef struct planned {
    rn_cudnn_plans plans;
    struct planned *next;
} planned;

struct rn_cudnn {
    rn_cudnn_library library;
    bool loaded, started;
    cudnnHandle_t handle; /* NULL: not started, or not to be had */
    char plans[PATH_MAX]; /* the folder of compiled plans */
    planned *first;
};

/* ---- the library, and what it has planned ---- */

/* The library, without a handle; NULL: it is not there. */
static struct rn_cudnn *library_of(struct rn_backend *be)
{
    struct rn_cudnn **s = rn_cuda_cudnn(be);

    if (!*s) {
        *s = (struct rn_cudnn *)calloc(1, sizeof **s);
        if (*s)
            (*s)->loaded = rn_cudnn_load(&(*s)->library) == RN_OK;
        if (*s && rn_cudnn_kept_folder((*s)->plans, sizeof(*s)->plans) < 0)
            rn_warn("%s", rn_error_text());
    }
    return *s && (*s)->loaded ? *s : NULL;
}

/* With a handle, which takes the device's memory and some time, and so is made for the first who asks for a convolution. */
static struct rn_cudnn *state_of(struct rn_backend *be)
{
    struct rn_cudnn *s = library_of(be);

    if (s && !s->started) {
        s->started = true;
        if (rn_cudnn_status(&s->library, s->library.Create(&s->handle), "a handle") < 0)
            s->handle = NULL;
    }
    return s && s->handle ? s : NULL;
}

void rn_cudnn_describe(struct rn_backend *be, char *text, size_t cap)
{
    const size_t n = strlen(text);
    const struct rn_cudnn *s = library_of(be);

    if (s) {
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

static rn_cudnn_target target_of(const struct rn_backend *be, const struct rn_cudnn *s)
{
    return {&s->library, s->handle, NULL, be->describe, s->plans};
}

static rn_cudnn_plans *plans_of(const struct rn_backend *be, struct rn_cudnn *s, const rn_cudnn_work *w)
{
    const rn_cudnn_target t = target_of(be, s);

    for (planned *p = s->first; p; p = p->next) {
        if (memcmp(&p->plans.work, w, sizeof *w) == 0)
            return &p->plans;
    }
    planned *p = (planned *)calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->next = s->first;
    s->first = p;
    if (rn_cudnn_plans_open(&t, w, &p->plans) < 0)
        rn_cudnn_plans_close(&s->library, &p->plans);
    return &p->plans;
}

/* ---- rows ---- */

/* Adding is another graph only where cuDNN is to add. */
static rn_cudnn_work work_of(const rn_conv_desc *d, rn_conv_dir dir, unsigned loose, bool add)
{
    rn_cudnn_work w;

    memset(&w, 0, sizeof w);
    w.d = *d;
    w.dir = dir;
    w.loose = loose;
    w.add = add && (dir != RN_BWD_W || d->dtype == RN_F32) && !(d->fuse & (RN_EPI_STATS | RN_EPI_DBN));
    return w;
}

/* The plan of a row, and whose it is; NULL: none. Those of a graph that adds are others: the n-th of them, or the last. */
static const rn_cudnn_plan *plan_of(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, unsigned loose,
                                    bool add, int nth, const rn_cudnn_plans **whose)
{
    const rn_cudnn_work w = work_of(d, dir, loose, add);
    struct rn_cudnn *s = state_of(be);
    rn_cudnn_plans *p = s ? plans_of(be, s, &w) : NULL;

    if (!p)
        return NULL;
    const rn_cudnn_target t = target_of(be, s);
    const rn_cudnn_plan *plan = rn_cudnn_plan_at(&t, p, nth);
    *whose = p;
    return plan || !w.add || p->count == 0 ? plan : &p->v[p->count - 1];
}

template <int nth, unsigned loose> struct row {
    static bool supports(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const char **why)
    {
        const rn_cudnn_work w = work_of(d, dir, loose, false);
        const rn_cudnn_plans *p;

        *why = rn_cudnn_refusal(&w);
        if (!*why && nth > 0 && rn_cudnn_compiles(&w))
            *why = "of what is compiled, the first plan alone is taken";
        if (*why)
            return false;
        *why = state_of(be) ? "its heuristics have no such plan that is deterministic and as exact as asked for"
                            : "cuDNN 9 cannot be loaded, or does not start";
        return plan_of(be, d, dir, loose, false, nth, &p) && plan_of(be, d, dir, loose, true, nth, &p);
    }
    static size_t workspace(struct rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
    {
        size_t most = 0;

        for (int add = 0; add < 2; add++) {
            const rn_cudnn_plans *p;
            const rn_cudnn_plan *plan = plan_of(be, d, dir, loose, add, nth, &p);
            const size_t bytes = plan ? rn_cudnn_workspace(&p->work, plan) : 0;
            most = bytes > most ? bytes : most;
        }
        return most;
    }
    /* Not where a plan has to be compiled: of a whole net that takes minutes. */
    static bool suits(struct rn_backend *, const rn_conv_desc *d, rn_conv_dir dir)
    {
        const rn_cudnn_work w = work_of(d, dir, loose, false);

        return !rn_cudnn_compiles(&w);
    }
    static int run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *workspace, void *stream)
    {
        const rn_cudnn_plans *p;
        const rn_cudnn_plan *chosen = plan_of(plan->be, &plan->desc, plan->dir, loose, beta != 0, nth, &p);

        if (!chosen)
            return rn_fail(RN_E_UNSUPPORTED, "%s: no plan for this any more", plan->algo->name);
        const struct rn_cudnn *s = *rn_cuda_cudnn(plan->be);
        return rn_cudnn_run(&s->library, s->handle, p, chosen, plan->algo->name, a, beta, workspace, stream);
    }
};

#else /* no cudnn.h */

enum { RN_CUDNN_TF32, RN_CUDNN_DW16, RN_CUDNN_SUMS32 };

void rn_cudnn_describe(struct rn_backend *, char *, size_t) {}

void rn_cudnn_close(struct rn_backend *) {}

template <int nth, unsigned loose> struct row {
    static bool supports(struct rn_backend *, const rn_conv_desc *, rn_conv_dir, const char **why)
    {
        *why = "this build has no cuDNN: cudnn.h was not there";
        return false;
    }
    static size_t workspace(struct rn_backend *, const rn_conv_desc *, rn_conv_dir)
    {
        return 0;
    }
    static bool suits(struct rn_backend *, const rn_conv_desc *, rn_conv_dir)
    {
        return false;
    }
    static int run(rn_conv_plan *plan, const rn_conv_args *, int, void *, void *)
    {
        return rn_fail(RN_E_UNSUPPORTED, "%s: this build has no cuDNN", plan->algo->name);
    }
};

#endif

#define ROW(name, flags, nth, loose)                                                                                   \
    {                                                                                                                  \
        name, RN_ALGO_DETERMINISTIC | (flags), row<nth, loose>::supports, row<nth, loose>::workspace, NULL, NULL,      \
            NULL, row<nth, loose>::run, row<nth, loose>::suits                                                         \
    }

extern "C" {
const rn_conv_algo rn_cudnn_0 = ROW("cudnn:0", 0, 0, 0);
const rn_conv_algo rn_cudnn_1 = ROW("cudnn:1", 0, 1, 0);
const rn_conv_algo rn_cudnn_2 = ROW("cudnn:2", 0, 2, 0);
const rn_conv_algo rn_cudnn_tf32 = ROW("cudnn:tf32", RN_ALGO_LOWPREC, 0, (RN_CUDNN_TF32 | RN_CUDNN_SUMS32));
const rn_conv_algo rn_cudnn_dw16 = ROW("cudnn:dw16", RN_ALGO_LOWPREC, 0, RN_CUDNN_DW16);
const rn_conv_algo rn_cudnn_sums32 = ROW("cudnn:sums32", RN_ALGO_LOWPREC, 0, RN_CUDNN_SUMS32);
}
