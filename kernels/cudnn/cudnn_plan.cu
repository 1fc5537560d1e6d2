/* SPDX-License-Identifier: MIT */
/* Engines for a graph, as the heuristics order them, and plans of those that keep the contract. */
#if __has_include(<cudnn.h>)
#include "kernels/cudnn/cudnn_kept.h"

extern "C" {
#include "base/rn_error.h"
}

enum { MOST_NOTES = 32 };

typedef rn_cudnn_maker maker;

/* Lists the engine configurations of a mode in place of those that were. */
static int heuristics(const maker *m, rn_cudnn_plans *p, cudnnBackendHeurMode_t mode)
{
    const rn_cudnn_library *l = m->t->library;
    cudnnBackendDescriptor_t h;
    int64_t count = 0, got = 0;

    p->nconfigs = p->next = 0;
    RN_TRY(rn_cudnn_make(m, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &h));
    RN_TRY(rn_cudnn_set_one(m, h, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, p->graph));
    RN_TRY(rn_cudnn_set(m, h, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
    if (!m->t->handle)
        RN_TRY(rn_cudnn_set_one(m, h, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, m->t->properties));
    RN_TRY(rn_cudnn_finalize(m, h, "heuristics"));
    RN_TRY(rn_cudnn_status(
        l, l->BackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL),
        "heuristics"));
    count = count < (int64_t)RN_CUDNN_CONFIGS ? count : (int64_t)RN_CUDNN_CONFIGS;
    for (int i = 0; i < count; i++)
        RN_TRY(rn_cudnn_make(m, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &p->configs[i]));
    RN_TRY(rn_cudnn_status(l,
                           l->BackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                                  count, &got, p->configs),
                           "heuristics"));
    p->nconfigs = (int)(got < count ? got : count);
    return RN_OK;
}

/* Is the engine one that this work may use? Fills in what a plan tells of it. */
static int fits(const maker *m, cudnnBackendDescriptor_t config, const rn_cudnn_work *w, rn_cudnn_plan *out, bool *yes)
{
    const rn_cudnn_library *l = m->t->library;
    cudnnBackendNumericalNote_t notes[MOST_NOTES];
    cudnnBackendBehaviorNote_t behaviors[MOST_NOTES];
    cudnnBackendDescriptor_t e;
    int64_t n = 0;

    *yes = false;
    RN_TRY(rn_cudnn_make(m, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &e));
    RN_TRY(rn_cudnn_status(
        l, l->BackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &e),
        "an engine"));
    RN_TRY(rn_cudnn_status(
        l, l->BackendGetAttribute(e, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, &out->engine),
        "an engine"));
    RN_TRY(rn_cudnn_status(
        l,
        l->BackendGetAttribute(e, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, MOST_NOTES, &n, behaviors),
        "an engine's notes"));
    out->compiled = false;
    for (int64_t i = 0; i < n && i < MOST_NOTES; i++)
        out->compiled |= behaviors[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    RN_TRY(rn_cudnn_status(
        l,
        l->BackendGetAttribute(e, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, MOST_NOTES, &n, notes),
        "an engine's notes"));
    for (int64_t i = 0; i < n && i < MOST_NOTES; i++) {
        const bool rounds =
            notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
        if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
            notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION || notes[i] == CUDNN_NUMERICAL_NOTE_FFT ||
            notes[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD ||
            (rounds && w->d.dtype == RN_F32 && !(w->loose & RN_CUDNN_TF32)))
            return RN_OK;
    }
    *yes = true;
    return RN_OK;
}

int rn_cudnn_plan_descriptor(const rn_cudnn_maker *m, cudnnBackendDescriptor_t *out)
{
    RN_TRY(rn_cudnn_make(m, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, out));
    if (m->t->handle)
        return rn_cudnn_set(m, *out, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &m->t->handle);
    return rn_cudnn_set_one(m, *out, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, m->t->properties);
}

static int new_plan(const maker *m, cudnnBackendDescriptor_t config, rn_cudnn_plan *out)
{
    RN_TRY(rn_cudnn_plan_descriptor(m, &out->plan));
    RN_TRY(rn_cudnn_set_one(m, out->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config));
    return rn_cudnn_finalize(m, out->plan, "a plan");
}

/* The n-th configuration's. */
static int plan_of(const maker *m, const rn_cudnn_plans *p, int n, rn_cudnn_plan *out)
{
    const rn_cudnn_library *l = m->t->library;
    rn_cudnn_kept_key key;
    int64_t got = 0;

    rn_cudnn_kept_name(m->t, p, n, out->engine, &key);
    out->kept = out->compiled && rn_cudnn_kept_get(m, &key, &out->plan) == RN_OK;
    if (!out->kept)
        RN_TRY(new_plan(m, p->configs[n], out));
    if (out->compiled && !out->kept)
        rn_cudnn_kept_put(m, &key, out->plan);
    return rn_cudnn_status(l,
                           l->BackendGetAttribute(out->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                                                  1, &got, &out->workspace),
                           "a plan's workspace");
}

/* Makes the next that can be made; false: there is none. The heuristics may be wrong about any of them. */
static bool make_next(const maker *m, rn_cudnn_plans *p)
{
    while (p->next < p->nconfigs) {
        const int n = p->next++;
        bool yes;
        if (fits(m, p->configs[n], &p->work, &p->v[p->count], &yes) < 0)
            return false;
        if (yes && plan_of(m, p, n, &p->v[p->count]) == RN_OK) {
            p->count++;
            return true;
        }
    }
    return false;
}

int rn_cudnn_plans_open(const rn_cudnn_target *t, const rn_cudnn_work *work, rn_cudnn_plans *out)
{
    const maker m = {t, &out->made};

    *out = {};
    memcpy(&out->work, work, sizeof *work); /* its padding, too: it is compared byte by byte */
    RN_TRY(rn_cudnn_graph(&m, work, &out->graph));
    return heuristics(&m, out, CUDNN_HEUR_MODE_A);
}

const rn_cudnn_plan *rn_cudnn_plan_at(const rn_cudnn_target *t, rn_cudnn_plans *p, int n)
{
    const maker m = {t, &p->made};

    while (p->count <= n) {
        if (make_next(&m, p))
            continue;
        /* On older devices A has nothing but TF32 for some f32 cases. */
        if (p->count > 0 || p->fell_back || !p->graph)
            return NULL;
        p->fell_back = true;
        if (heuristics(&m, p, CUDNN_HEUR_MODE_FALLBACK) < 0)
            return NULL;
    }
    return &p->v[n];
}

void rn_cudnn_plans_close(const rn_cudnn_library *l, rn_cudnn_plans *p)
{
    rn_cudnn_unmake(l, &p->made);
    p->graph = NULL;
    p->count = p->nconfigs = p->next = 0;
}
#endif
