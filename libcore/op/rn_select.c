/* SPDX-License-Identifier: MIT */
#include "op/rn_select.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "op/rn_measure.h"
#include "op/rn_verdicts.h"

#define MAX_CANDIDATES 32 /* algorithms measured for one case */

struct rn_selector {
    rn_backend *be;
    rn_select_policy policy;
    char *pattern;           /* own copy of the policy's */
    rn_tuning *tuning, *own; /* own: closed with the selector, or NULL */
    char **measured;         /* keys that this selector put there */
    int nmeasured;
    rn_verdicts verdicts;
};

bool rn_select_match(const char *pattern, const char *name)
{
    char one[128];
    bool wanted = !pattern || !*pattern || *pattern == '!';

    while (pattern && *pattern) {
        const size_t n = strcspn(pattern, ",");
        const bool out = *pattern == '!';
        if (n < sizeof one) {
            memcpy(one, pattern + out, n - out);
            one[n - out] = 0;
            if (fnmatch(one, name, 0) == 0)
                wanted = !out;
        }
        pattern += n + (pattern[n] == ',');
    }
    return wanted;
}

/* Everything a measurement depends on, this program's kernels first. The workspace limit is part of it: a small one once
 * given must not leave a slower choice behind for runs without it. */
static void cache_key(const rn_selector *s, const rn_conv_desc *d, rn_conv_dir dir, char *key, size_t cap)
{
    const rn_select_policy *p = &s->policy;
    char text[256], fuse[64];

    snprintf(
        key, cap, "rnkit " RN_VERSION " | %s | %s | threads=%d | %s %s %s fuse=%s | workspace=%zu | algos=%s%s%s%s",
        s->be->device, s->be->describe, s->be->threads, rn_conv_dir_name(dir), rn_conv_desc_text(d, text, sizeof text),
        rn_dtype_name(d->dtype), rn_conv_fuse_text(d->fuse, fuse, sizeof fuse), s->be->workspace_limit,
        s->pattern ? s->pattern : "*", p->allow_lowprec ? " lowprec" : "", p->allow_nondet ? " nondet" : "",
        p->counts_prepare && dir != RN_BWD_W ? " prepare" : "");
}

static void bn_key(const rn_selector *s, const rn_bn_case *c, char *key, size_t cap)
{
    static const char *const passes[] = {[RN_BN_FWD] = "bn_fwd", [RN_BN_APPLY] = "bn_apply", [RN_BN_BWD] = "bn_bwd"};

    snprintf(key, cap, "rnkit " RN_VERSION " | %s | %s | threads=%d | %s rows%lldc%d %s%s%s", s->be->device,
             s->be->describe, s->be->threads, passes[c->pass], (long long)c->rows, c->c, rn_dtype_name(c->dtype),
             c->relu ? " relu" : "", c->res ? " residual" : "");
}

int rn_selector_open(rn_backend *be, const rn_select_policy *policy, rn_selector **out)
{
    rn_selector *s = calloc(1, sizeof *s);
    int rc = RN_OK;

    *out = NULL;
    if (!s)
        return rn_fail(RN_E_NOMEM, "selector: out of memory");
    s->be = be;
    s->policy = *policy;
    s->tuning = policy->tuning;
    if (policy->pattern && !(s->pattern = strdup(policy->pattern)))
        rc = rn_fail(RN_E_NOMEM, "selector: out of memory");
    if (rc == RN_OK && !s->tuning && policy->mode != RN_SELECT_ORDER) {
        rc = rn_tuning_open(&s->own);
        s->tuning = s->own;
    }
    if (rc < 0) {
        rn_selector_close(s);
        return rc;
    }
    *out = s;
    return RN_OK;
}

void rn_selector_close(rn_selector *s)
{
    if (!s)
        return;
    rn_tuning_close(s->own);
    for (int i = 0; i < s->nmeasured; i++)
        free(s->measured[i]);
    free(s->measured);
    rn_verdicts_free(&s->verdicts);
    free(s->pattern);
    free(s);
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
    return rn_verdicts_against(&s->verdicts, algo, d, dir) ? "it fails, or its results are wrong, on this device"
                                                           : NULL;
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

/* ---- the choice --------------------------------------------------------------------------------------------------- */

/* Whoever compares costs asks several times: what was measured for the first of them was not remembered for the last. */
static bool measured_here(const rn_selector *s, const char *key)
{
    for (int i = 0; i < s->nmeasured; i++) {
        if (strcmp(s->measured[i], key) == 0)
            return true;
    }
    return false;
}

static int note_measured(rn_selector *s, const char *key)
{
    char **more = realloc(s->measured, ((size_t)s->nmeasured + 1) * sizeof *more);

    if (more)
        s->measured = more;
    if (!more || !(more[s->nmeasured] = strdup(key)))
        return rn_fail(RN_E_NOMEM, "selector: out of memory");
    s->nmeasured++;
    return RN_OK;
}

static bool from_tuning(rn_selector *s, const char *key, const rn_conv_desc *d, rn_conv_dir dir, rn_select_choice *out)
{
    rn_tuned e;
    const rn_conv_algo *algo;

    if (!rn_tuning_get(s->tuning, key, &e) || (s->policy.mode == RN_SELECT_FULL && !e.full))
        return false;
    algo = algo_named(s, e.algo);
    if (!algo || refusal(s, algo, d, dir))
        return false;
    *out = (rn_select_choice){
        .algo = algo, .ms = e.ms, .by = measured_here(s, key) ? RN_SELECTED_MEASURED : RN_SELECTED_REMEMBERED};
    out->second = algo_named(s, e.second);
    out->second_ms = out->second ? e.second_ms : 0;
    return true;
}

static int to_tuning(rn_selector *s, const char *key, const rn_select_choice *c)
{
    rn_tuned e = {.ms = c->ms, .second_ms = c->second_ms, .full = s->policy.mode == RN_SELECT_FULL};

    snprintf(e.algo, sizeof e.algo, "%s", c->algo->name);
    snprintf(e.second, sizeof e.second, "%s", c->second ? c->second->name : "");
    RN_TRY(note_measured(s, key));
    return rn_tuning_put(s->tuning, key, &e);
}

static double budget_of(const rn_selector *s)
{
    return s->policy.budget_s > 0 ? s->policy.budget_s : s->policy.mode == RN_SELECT_FULL ? 0.5 : 0.05;
}

static int measure(rn_selector *s, const rn_conv_desc *d, rn_conv_dir dir, rn_select_choice *out)
{
    const bool full = s->policy.mode == RN_SELECT_FULL;
    const rn_measure_opts opts = {
        .budget_s = budget_of(s), .prepare = s->policy.counts_prepare && dir != RN_BWD_W, .drop_above = full ? 3 : 1.3};
    rn_candidate c[MAX_CANDIDATES] = {{0}};
    int n = 0, best = 0, second = -1;

    for (const rn_conv_algo *const *a = s->be->conv_algos; *a && n < MAX_CANDIDATES; a++) {
        const bool wanted = full || !(*a)->suits || (*a)->suits(s->be, d, dir);
        if (wanted && !((*a)->flags & RN_ALGO_REFERENCE) && !refusal(s, *a, d, dir))
            c[n++].algo = *a;
    }
    RN_TRY(rn_verdicts_leave_right(&s->verdicts, s->be, d, dir, c, &n));
    const bool timed = n > 1 || (n == 1 && s->policy.times_lone);
    if (timed) {
        RN_TRY(rn_measure(s->be, d, dir, &opts, c, n));
        best = rn_measure_best(c, n, &second);
    }
    if (n == 0 || best < 0)
        return RN_OK; /* only the reference may be left: the caller falls back to the order */
    *out = (rn_select_choice){
        .algo = c[best].algo, .ms = c[best].ms, .by = timed ? RN_SELECTED_MEASURED : RN_SELECTED_ALONE};
    if (second >= 0) {
        out->second = c[second].algo;
        out->second_ms = c[second].ms;
    }
    return RN_OK;
}

int rn_selector_pick(rn_selector *s, const rn_conv_desc *d, rn_conv_dir dir, rn_select_choice *out)
{
    char key[1024];

    memset(out, 0, sizeof *out);
    if (s->tuning) {
        cache_key(s, d, dir, key, sizeof key);
        if (from_tuning(s, key, d, dir, out))
            return RN_OK;
    }
    if (s->policy.mode != RN_SELECT_ORDER) {
        RN_TRY(measure(s, d, dir, out));
        if (out->algo)
            return out->by == RN_SELECTED_MEASURED ? to_tuning(s, key, out) : RN_OK;
    }
    for (int right = 0; !right;) {
        rn_candidate c = {.algo = first_in_order(s, d, dir)};
        if (!c.algo)
            return fail_with_reasons(s, d, dir);
        right = 1;
        RN_TRY(rn_verdicts_leave_right(&s->verdicts, s->be, d, dir, &c, &right));
        out->algo = c.algo;
    }
    return RN_OK;
}

int rn_selector_bn_ms(rn_selector *s, const rn_bn_case *c, double *ms)
{
    const bool full = s->policy.mode == RN_SELECT_FULL;
    rn_tuned e = {.algo = "op", .full = full};
    char key[1024];

    *ms = 0;
    if (!s->tuning)
        return RN_OK;
    bn_key(s, c, key, sizeof key);
    if (rn_tuning_get(s->tuning, key, &e) && (e.full || !full)) {
        *ms = e.ms;
        return RN_OK;
    }
    if (s->policy.mode == RN_SELECT_ORDER)
        return RN_OK;
    RN_TRY(rn_measure_bn(s->be, c, budget_of(s), ms));
    e = (rn_tuned){.algo = "op", .ms = *ms, .full = full};
    return rn_tuning_put(s->tuning, key, &e);
}
