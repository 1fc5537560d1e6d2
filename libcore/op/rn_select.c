/* SPDX-License-Identifier: MIT */
#include "op/rn_select.h"

#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "base/rn_rng.h"

#define MAX_ROUNDS     64 /* timed runs of one candidate */
#define MAX_CANDIDATES 16 /* algorithms measured for one case */
#define CACHE_VERSION  1

struct rn_selector {
    rn_backend *be;
    rn_select_policy policy;
    char *pattern, *cache_file; /* own copies of the policy's texts */
    json_t *entries;            /* key -> {"algo", "ms", "second", "second_ms"} */
    bool changed;
};

bool rn_select_match(const char *pattern, const char *name)
{
    char one[128];

    if (!pattern || !*pattern)
        return true;
    while (*pattern) {
        size_t n = strcspn(pattern, ",");
        if (n < sizeof one) {
            memcpy(one, pattern, n);
            one[n] = 0;
            if (fnmatch(one, name, 0) == 0)
                return true;
        }
        pattern += n + (pattern[n] == ',');
    }
    return false;
}

/* ---- the cache -------------------------------------------------------------------------------------------------- */

/* A tuning file is only a cache: one that cannot be used costs a new measurement, never a failure. */
static json_t *load_entries(const char *path)
{
    json_error_t e;
    json_t *root = rn_is_file(path) ? json_load_file(path, 0, &e) : NULL, *entries = NULL;

    if (root && json_integer_value(json_object_get(root, "version")) == CACHE_VERSION)
        entries = json_incref(json_object_get(root, "entries"));
    if (rn_is_file(path) && !json_is_object(entries))
        rn_warn("%s: not a tuning file of this version; measuring anew", path);
    json_decref(root);
    if (!json_is_object(entries)) {
        json_decref(entries);
        entries = json_object();
    }
    return entries;
}

static int save_entries(rn_selector *s)
{
    json_t *root = json_pack("{s:i, s:O}", "version", CACHE_VERSION, "entries", s->entries);
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6)) : NULL;
    int rc = text ? rn_write_file_atomic(s->cache_file, text, strlen(text))
                  : rn_fail(RN_E_NOMEM, "%s: out of memory", s->cache_file);
    free(text);
    json_decref(root);
    return rc;
}

/* Everything a measurement depends on, this program's kernels first. The workspace limit is part of it: a small one once given must not leave a
 * slower choice behind for runs without it. */
static void cache_key(const rn_selector *s, const rn_conv_desc *d, rn_conv_dir dir, char *key, size_t cap)
{
    char text[256];

    snprintf(key, cap, "rnkit " RN_VERSION " | %s | %s | threads=%d | %s %s %s fuse=%u | workspace=%zu | algos=%s%s%s",
             s->be->device, s->be->describe, s->be->threads, rn_conv_dir_name(dir),
             rn_conv_desc_text(d, text, sizeof text), rn_dtype_name(d->dtype), d->fuse, s->be->workspace_limit,
             s->pattern ? s->pattern : "*", s->policy.allow_lowprec ? " lowprec" : "",
             s->policy.allow_nondet ? " nondet" : "");
}

int rn_selector_open(rn_backend *be, const rn_select_policy *policy, rn_selector **out)
{
    rn_selector *s = calloc(1, sizeof *s);

    *out = NULL;
    if (!s)
        goto nomem;
    s->be = be;
    s->policy = *policy;
    if (policy->pattern && !(s->pattern = strdup(policy->pattern)))
        goto nomem;
    if (policy->cache_file && !(s->cache_file = strdup(policy->cache_file)))
        goto nomem;
    s->entries = s->cache_file ? load_entries(s->cache_file) : json_object();
    if (!s->entries)
        goto nomem;
    *out = s;
    return 0;
nomem:
    if (s) {
        free(s->pattern);
        free(s->cache_file);
        free(s);
    }
    return rn_fail(RN_E_NOMEM, "selector: out of memory");
}

int rn_selector_close(rn_selector *s)
{
    int rc = 0;

    if (!s)
        return 0;
    if (s->changed && s->cache_file)
        rc = save_entries(s);
    json_decref(s->entries);
    free(s->pattern);
    free(s->cache_file);
    free(s);
    return rc;
}

/* ---- candidates ------------------------------------------------------------------------------------------------- */

/* NULL when `algo` may be used for the case, otherwise why not. */
static const char *refusal(const rn_selector *s, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir)
{
    const char *why = "no reason given";

    if (!rn_select_match(s->pattern, algo->name))
        return "not asked for";
    if ((algo->flags & RN_ALGO_LOWPREC) && !s->policy.allow_lowprec)
        return "computes with less precision than the tensors have";
    if (!(algo->flags & RN_ALGO_DETERMINISTIC) && !s->policy.allow_nondet)
        return "its bits may differ from run to run";
    if (!algo->supports(s->be, d, dir, &why))
        return why;
    if (s->be->workspace_limit && algo->workspace && algo->workspace(s->be, d, dir) > s->be->workspace_limit)
        return "needs more workspace than the limit";
    return NULL;
}

static int fail_with_reasons(const rn_selector *s, const rn_conv_desc *d, rn_conv_dir dir)
{
    rn_buf b = {0};
    char text[256];

    for (const rn_conv_algo *const *a = s->be->conv_algos; *a; a++) {
        const char *why = refusal(s, *a, d, dir);
        if (rn_buf_printf(&b, "%s%s: %s", b.n ? "; " : "", (*a)->name, why ? why : "available") < 0)
            break;
    }
    int rc = rn_fail(RN_E_UNSUPPORTED, "no algorithm for %s %s (%s)", rn_conv_dir_name(dir),
                     rn_conv_desc_text(d, text, sizeof text), b.data ? (char *)b.data : "none listed");
    rn_buf_free(&b);
    return rc;
}

static const rn_conv_algo *algo_named(const rn_selector *s, const char *name)
{
    for (const rn_conv_algo *const *a = s->be->conv_algos; name && *a; a++) {
        if (strcmp((*a)->name, name) == 0)
            return *a;
    }
    return NULL;
}

static const rn_conv_algo *first_in_order(const rn_selector *s, const rn_conv_desc *d, rn_conv_dir dir)
{
    const rn_conv_algo *passed_over = NULL;

    for (const rn_conv_algo *const *a = s->be->conv_algos; *a; a++) {
        const rn_conv_algo *algo = *a;
        if (refusal(s, algo, d, dir))
            continue;
        if ((algo->flags & RN_ALGO_REFERENCE) && passed_over)
            continue; /* anything that fits is better than plain loops */
        if (!algo->suits || algo->suits(s->be, d, dir))
            return algo;
        if (!passed_over)
            passed_over = algo;
    }
    return passed_over;
}

/* ---- measurement ------------------------------------------------------------------------------------------------ */

typedef struct bench_mem {
    void *src, *wei, *dst, *scale, *shift, *residual, *sum, *sumsq, *x, *ka, *kb, *kc, *raw, *mean;
} bench_mem;

/* Device memory filled with numbers in [-1, 1): zeros run faster than data on some devices. */
static int alloc_filled(rn_backend *be, size_t count, rn_dtype dtype, uint32_t tag, void **out)
{
    size_t bytes = count * rn_dtype_size(dtype);
    rn_rng rng;

    RN_TRY(be->alloc(be, bytes, out));
    uint8_t *host = malloc(bytes);
    if (!host)
        return rn_fail(RN_E_NOMEM, "selector: %zu bytes: out of memory", bytes);
    rn_rng_seed(&rng, 1, RN_STREAM_TEST, tag, 0);
    for (size_t i = 0; i < count; i++) {
        if (dtype == RN_F32) {
            float v = (float)rn_rng_u32(&rng) * 0x1p-31f - 1.0f;
            memcpy(host + i * 4, &v, 4);
        } else { /* a 16-bit float of either kind near +-1: sign at random, the rest from 1.0 */
            uint16_t v = (uint16_t)((dtype == RN_BF16 ? 0x3f00 : 0x3800) | (rn_rng_u32(&rng) & 0x80ff));
            memcpy(host + i * 2, &v, 2);
        }
    }
    int rc = be->copy(be, *out, host, bytes, RN_COPY_H2D, NULL);
    free(host);
    return rc;
}

static void bench_free(rn_backend *be, bench_mem *m)
{
    void *const all[] = {m->src,   m->wei, m->dst, m->scale, m->shift, m->residual, m->sum,
                         m->sumsq, m->x,   m->ka,  m->kb,    m->kc,    m->raw,      m->mean};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        be->free(be, all[i]);
}

/* What the fused parts read and write beside the tensors. */
static int bench_alloc_fused(rn_backend *be, const rn_conv_desc *d, bench_mem *m)
{
    const size_t src = (size_t)d->mb * d->ih * d->iw * d->ic, dst = (size_t)d->mb * d->oh * d->ow * d->oc;
    const unsigned scaled = RN_PRO_BN | RN_EPI_DBN, summed = RN_EPI_STATS | RN_EPI_DBN;
    const size_t ic = (size_t)d->ic, oc = (size_t)d->oc, sums = d->fuse & RN_EPI_STATS ? oc : ic;
    const struct {
        unsigned bits;
        size_t n;
        rn_dtype dtype;
        void **out;
    } parts[] = {
        {scaled, ic, RN_F32, &m->scale},           {scaled, ic, RN_F32, &m->shift},
        {RN_PRO_ADD, src, d->dtype, &m->residual}, {summed, sums, RN_F32, &m->sum},
        {summed, sums, RN_F32, &m->sumsq},         {RN_PRO_DBN, dst, d->dtype, &m->x},
        {RN_PRO_DBN, oc, RN_F32, &m->ka},          {RN_PRO_DBN, oc, RN_F32, &m->kb},
        {RN_PRO_DBN, oc, RN_F32, &m->kc},          {RN_EPI_DBN, src, d->dtype, &m->raw},
        {RN_EPI_DBN, ic, RN_F32, &m->mean},
    };

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (d->fuse & parts[i].bits)
            RN_TRY(alloc_filled(be, parts[i].n, parts[i].dtype, (uint32_t)(4 + i), parts[i].out));
    }
    return 0;
}

static int bench_alloc(rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, bench_mem *m)
{
    size_t src = (size_t)d->mb * d->ih * d->iw * d->ic, dst = (size_t)d->mb * d->oh * d->ow * d->oc;

    RN_TRY(alloc_filled(be, src, d->dtype, 1, &m->src));
    RN_TRY(alloc_filled(be, (size_t)d->oc * d->kh * d->kw * d->ic, dir == RN_BWD_W ? RN_F32 : d->dtype, 2, &m->wei));
    RN_TRY(alloc_filled(be, dst, d->dtype, 3, &m->dst));
    return bench_alloc_fused(be, d, m);
}

static rn_conv_args bench_args(const bench_mem *m)
{
    return (rn_conv_args){.src = m->src,
                          .wei = m->wei,
                          .dst = m->dst,
                          .scale = m->scale,
                          .shift = m->shift,
                          .residual = m->residual,
                          .sum = m->sum,
                          .sumsq = m->sumsq,
                          .x = m->x,
                          .ka = m->ka,
                          .kb = m->kb,
                          .kc = m->kc,
                          .raw = m->raw,
                          .mean = m->mean};
}

typedef struct candidate {
    const rn_conv_algo *algo;
    rn_conv_plan *plan;
    void *workspace;
    double ms[MAX_ROUNDS];
    int n;
    bool dropped;
} candidate;

static int run_once(rn_backend *be, candidate *c, const rn_conv_args *args, double *ms)
{
    rn_event from = NULL, to = NULL;
    int rc;

    if (!be->event_open) {
        double t = rn_now();
        RN_TRY(rn_conv_run(c->plan, args, 0, c->workspace, NULL));
        *ms = (rn_now() - t) * 1e3;
        return 0;
    }
    RN_GO(be->event_open(be, &from));
    RN_GO(be->event_open(be, &to));
    RN_GO(be->event_record(be, from, NULL));
    RN_GO(rn_conv_run(c->plan, args, 0, c->workspace, NULL));
    RN_GO(be->event_record(be, to, NULL));
    RN_GO(be->sync(be, NULL));
    RN_GO(be->event_ms(be, from, to, ms));
out:
    if (to)
        be->event_close(be, to);
    if (from)
        be->event_close(be, from);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

/* Rounds over all candidates in turn, so that a slow spell of the machine hits all of them alike. One that fails or
 * takes three times the fastest is dropped after its first timed run. */
static int measure_rounds(rn_selector *s, candidate *c, int n, const rn_conv_args *args)
{
    double end = rn_now() + (s->policy.budget_s > 0 ? s->policy.budget_s : 0.1), ms, best = 0;

    for (int i = 0; i < n; i++) { /* warm-up: page faults, thread start */
        if (rn_conv_prepare(c[i].plan, args->wei, NULL) < 0 || run_once(s->be, &c[i], args, &ms) < 0) {
            rn_warn("%s: left out: %s", c[i].algo->name, rn_error_text());
            c[i].dropped = true;
        }
    }
    for (int round = 0; round < MAX_ROUNDS && (round < 3 || rn_now() < end); round++) {
        for (int i = 0; i < n; i++) {
            if (c[i].dropped)
                continue;
            RN_TRY(run_once(s->be, &c[i], args, &c[i].ms[c[i].n]));
            if (best == 0 || c[i].ms[c[i].n] < best)
                best = c[i].ms[c[i].n];
            c[i].n++;
        }
        for (int i = 0; i < n; i++) {
            if (!c[i].dropped && c[i].ms[c[i].n - 1] > 3 * best)
                c[i].dropped = true;
        }
    }
    return 0;
}

static void rank(candidate *c, int n, rn_select_choice *out)
{
    for (int i = 0; i < n; i++) {
        if (c[i].n == 0)
            continue;
        double ms = median(c[i].ms, c[i].n);
        if (!out->algo || ms < out->ms) {
            out->second = out->algo;
            out->second_ms = out->ms;
            out->algo = c[i].algo;
            out->ms = ms;
        } else if (!out->second || ms < out->second_ms) {
            out->second = c[i].algo;
            out->second_ms = ms;
        }
    }
}

static int measure(rn_selector *s, const rn_conv_desc *d, rn_conv_dir dir, rn_select_choice *out)
{
    candidate *c = calloc(MAX_CANDIDATES, sizeof *c);
    bench_mem m = {0};
    int n = 0, rc = 0;

    if (!c)
        return rn_fail(RN_E_NOMEM, "selector: out of memory");
    for (const rn_conv_algo *const *a = s->be->conv_algos; *a && n < MAX_CANDIDATES; a++) {
        if (!((*a)->flags & RN_ALGO_REFERENCE) && !refusal(s, *a, d, dir))
            c[n++].algo = *a;
    }
    if (n == 0)
        goto out; /* only the reference may be left: the caller falls back to the order */
    if (n == 1) {
        out->algo = c[0].algo;
        goto out;
    }
    RN_GO(bench_alloc(s->be, d, dir, &m));
    for (int i = 0; i < n; i++) {
        RN_GO(rn_conv_plan_open(s->be, c[i].algo, d, dir, &c[i].plan));
        if (c[i].plan->workspace_bytes)
            RN_GO(s->be->alloc(s->be, c[i].plan->workspace_bytes, &c[i].workspace));
    }
    const rn_conv_args args = bench_args(&m);
    RN_GO(measure_rounds(s, c, n, &args));
    rank(c, n, out);
out:
    for (int i = 0; i < n; i++) {
        s->be->free(s->be, c[i].workspace);
        rn_conv_plan_close(c[i].plan);
    }
    bench_free(s->be, &m);
    free(c);
    return rc;
}

/* ---- the choice --------------------------------------------------------------------------------------------------- */

static bool from_cache(rn_selector *s, const char *key, const rn_conv_desc *d, rn_conv_dir dir, rn_select_choice *out)
{
    json_t *e = json_object_get(s->entries, key);
    const rn_conv_algo *algo = algo_named(s, json_string_value(json_object_get(e, "algo")));

    if (!algo || refusal(s, algo, d, dir))
        return false;
    out->algo = algo;
    out->ms = json_number_value(json_object_get(e, "ms"));
    out->second = algo_named(s, json_string_value(json_object_get(e, "second")));
    out->second_ms = json_number_value(json_object_get(e, "second_ms"));
    out->cached = true;
    return true;
}

static void to_cache(rn_selector *s, const char *key, const rn_select_choice *c)
{
    json_t *e = json_pack("{s:s, s:f}", "algo", c->algo->name, "ms", c->ms);

    if (e && c->second) {
        json_object_set_new(e, "second", json_string(c->second->name));
        json_object_set_new(e, "second_ms", json_real(c->second_ms));
    }
    if (json_object_set_new(s->entries, key, e) == 0)
        s->changed = true;
}

int rn_selector_pick(rn_selector *s, const rn_conv_desc *d, rn_conv_dir dir, rn_select_choice *out)
{
    char key[1024];

    memset(out, 0, sizeof *out);
    if (s->policy.mode == RN_SELECT_MEASURE) {
        cache_key(s, d, dir, key, sizeof key);
        if (from_cache(s, key, d, dir, out))
            return 0;
        RN_TRY(measure(s, d, dir, out));
        if (out->algo) {
            if (out->second)
                to_cache(s, key, out);
            return 0;
        }
    }
    out->algo = first_in_order(s, d, dir);
    return out->algo ? 0 : fail_with_reasons(s, d, dir);
}
