/* SPDX-License-Identifier: MIT */
#include "nn/caffe/rn_caffe_solver.h"

#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/caffe/rn_caffe_schema.h"

/* The node of a field, or the whole for one that is missing. */
static int at(rn_prototext *t, const char *name)
{
    int i = rn_cf_find(t, 0, name);
    return i >= 0 ? i : 0;
}

static int missing(rn_prototext *t, const char *name, const char *why)
{
    return rn_fail(RN_E_FORMAT, "%s: %s is missing%s", t->file, name, why);
}

/* A number that must be given and lie in lo..hi; above: not lo itself. */
static int real(rn_prototext *t, const char *name, const char *why, bool above, double lo, double hi, double *out)
{
    if (!rn_cf_has(t, 0, name))
        return missing(t, name, why);
    *out = rn_cf_real(t, 0, name, 0);
    if (!(*out <= hi && (above ? *out > lo : *out >= lo)))
        return rn_pt_fail(t, at(t, name), RN_E_RANGE, "%g; it must be %s %g and at most %g", *out,
                          above ? "above" : "at least", lo, hi);
    return RN_OK;
}

static int whole(rn_prototext *t, const char *name, int64_t dflt, int64_t lo, int64_t hi, int64_t *out)
{
    *out = rn_cf_int(t, 0, name, dflt);
    if (*out < lo || *out > hi)
        return rn_pt_fail(t, at(t, name), RN_E_RANGE, "%lld; it must be %lld to %lld", (long long)*out, (long long)lo,
                          (long long)hi);
    return RN_OK;
}

/* ---- the rate ---- */

static int steps(rn_prototext *t, rn_caffe_solver *s)
{
    for (int i = rn_cf_find(t, 0, "stepvalue"); i >= 0; i = rn_cf_next(t, i)) {
        int64_t v = t->nodes[i].num;
        if (s->nsteps == RN_CAFFE_MAX_STEPS)
            return rn_pt_fail(t, i, RN_E_RANGE, "more than %d", (int)RN_CAFFE_MAX_STEPS);
        if (v < 1 || (s->nsteps && v <= s->steps[s->nsteps - 1]))
            return rn_pt_fail(t, i, RN_E_RANGE, "%lld; they must rise, from 1 on", (long long)v);
        s->steps[s->nsteps++] = v;
    }
    return s->nsteps ? RN_OK : missing(t, "stepvalue", " (lr_policy: \"multistep\" wants it)");
}

static int policy(rn_prototext *t, rn_caffe_solver *s)
{
    static const char *const names[] = {"fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid"};
    const char *word = rn_cf_text(t, 0, "lr_policy"), *why = " (this lr_policy wants it)";
    int i = 0;
    if (!word)
        return missing(t, "lr_policy", "");
    while (i < 7 && strcmp(word, names[i]) != 0)
        i++;
    if (i == 7)
        return rn_pt_fail(t, at(t, "lr_policy"), RN_E_UNSUPPORTED,
                          "\"%.40s\" is not supported; fixed, step, exp, inv, multistep, poly and sigmoid are", word);
    s->policy = (enum rn_caffe_policy)i;
    if (s->policy == RN_CAFFE_STEP || s->policy == RN_CAFFE_EXP || s->policy == RN_CAFFE_MULTISTEP)
        RN_TRY(real(t, "gamma", why, true, 0, 1, &s->gamma));
    if (s->policy == RN_CAFFE_INV)
        RN_TRY(real(t, "gamma", why, false, 0, 1e9, &s->gamma));
    if (s->policy == RN_CAFFE_SIGMOID)
        RN_TRY(real(t, "gamma", why, false, -1e9, 1e9, &s->gamma));
    if (s->policy == RN_CAFFE_SIGMOID && s->gamma >= 0 && s->gamma <= 0)
        return rn_pt_fail(t, at(t, "gamma"), RN_E_RANGE, "0; it must be below 0, so that the rate falls, or above");
    if (s->policy == RN_CAFFE_INV)
        RN_TRY(real(t, "power", why, false, 0, 1000, &s->power));
    if (s->policy == RN_CAFFE_POLY)
        RN_TRY(real(t, "power", why, true, 0, 1000, &s->power));
    if (s->policy == RN_CAFFE_MULTISTEP)
        return steps(t, s);
    if (s->policy != RN_CAFFE_STEP && s->policy != RN_CAFFE_SIGMOID)
        return RN_OK;
    if (!rn_cf_has(t, 0, "stepsize"))
        return missing(t, "stepsize", why);
    return whole(t, "stepsize", 0, s->policy == RN_CAFFE_STEP, INT32_MAX, &s->stepsize);
}

/* What the policy has no use for, Caffe passes over, and texts often hold: an old policy's stepsize beside poly's power. */
static void pass_over_unused(rn_prototext *t)
{
    static const char *const names[] = {"gamma", "power", "stepsize", "stepvalue"};
    for (int k = 0; k < 4; k++)
        for (int i = rn_cf_find(t, 0, names[k]); i >= 0; i = rn_cf_next(t, i))
            t->nodes[i].used = true;
}

/* ---- the rest ---- */

static int method(rn_prototext *t, rn_caffe_solver *s)
{
    const char *type = rn_cf_text(t, 0, "type"), *l = rn_cf_text(t, 0, "regularization_type");
    int64_t old = rn_cf_int(t, 0, "solver_type", 0);
    if (type && rn_cf_has(t, 0, "solver_type"))
        return rn_pt_fail(t, at(t, "solver_type"), RN_E_FORMAT, "type and solver_type: give one of them");
    if (type && strcmp(type, "SGD") != 0 && strcmp(type, "Nesterov") != 0)
        return rn_pt_fail(t, at(t, "type"), RN_E_UNSUPPORTED, "\"%.40s\" is not supported; SGD and Nesterov are", type);
    if (old > 1)
        return rn_pt_fail(t, at(t, "solver_type"), RN_E_UNSUPPORTED, "not supported; SGD and NESTEROV are");
    s->nesterov = old == 1 || (type && strcmp(type, "Nesterov") == 0);
    if (l && strcmp(l, "L2") != 0)
        return rn_pt_fail(t, at(t, "regularization_type"), RN_E_UNSUPPORTED, "\"%.40s\" is not supported; L2 is", l);
    rn_cf_int(t, 0, "solver_mode", 1); /* --device says what computes */
    s->momentum = rn_cf_real(t, 0, "momentum", 0);
    s->weight_decay = rn_cf_real(t, 0, "weight_decay", 0);
    s->clip = rn_cf_real(t, 0, "clip_gradients", -1);
    if (!(s->momentum >= 0 && s->momentum <= 0.9999))
        return rn_pt_fail(t, at(t, "momentum"), RN_E_RANGE, "%g; it must be 0 to 0.9999", s->momentum);
    if (s->nesterov && !(s->momentum > 0))
        return rn_pt_fail(t, at(t, "momentum"), RN_E_RANGE, "Nesterov needs a momentum above 0");
    if (!(s->weight_decay >= 0 && s->weight_decay <= 1))
        return rn_pt_fail(t, at(t, "weight_decay"), RN_E_RANGE, "%g; it must be 0 to 1", s->weight_decay);
    if (!(s->clip <= 1e9) || (s->clip >= 0 && s->clip <= 0))
        return rn_pt_fail(t, at(t, "clip_gradients"), RN_E_RANGE, "%g; it must be above 0, or below for never",
                          s->clip);
    s->clip = s->clip > 0 ? s->clip : 0;
    return RN_OK;
}

static int counts(rn_prototext *t, rn_caffe_solver *s)
{
    if (!rn_cf_has(t, 0, "max_iter"))
        return missing(t, "max_iter", "");
    RN_TRY(whole(t, "max_iter", 0, 1, INT32_MAX, &s->max_iter));
    RN_TRY(whole(t, "iter_size", 1, 1, 65536, &s->iter_size));
    RN_TRY(whole(t, "test_interval", 0, 0, INT32_MAX, &s->test_interval));
    RN_TRY(whole(t, "display", 0, 0, 1000000, &s->display));
    RN_TRY(whole(t, "snapshot", 0, 0, INT32_MAX, &s->snapshot));
    s->seed = rn_cf_int(t, 0, "random_seed", -1);
    int i = rn_cf_find(t, 0, "test_iter");
    if (rn_cf_count(t, 0, "test_iter") > 1)
        return rn_pt_fail(t, rn_cf_next(t, i), RN_E_UNSUPPORTED, "a second net to test is not supported");
    s->test_iter = i >= 0 ? t->nodes[i].num : 0;
    if (i >= 0 && s->test_iter < 1)
        return rn_pt_fail(t, i, RN_E_RANGE, "%lld; it must be at least 1", (long long)s->test_iter);
    return RN_OK;
}

/* Fields about other files, each with what to do instead. */
static int nets(rn_prototext *t, rn_caffe_solver *s)
{
    static const struct {
        const char *name, *why;
    } no[] = {{"train_net", "put both phases into one text, with include { phase: ... }, as `net`"},
              {"test_net", "put both phases into one text, with include { phase: ... }, as `net`"},
              {"net_param", "put the net into a file of its own, as `net`"},
              {"train_net_param", "put the net into a file of its own, as `net`"},
              {"test_net_param", "put the net into a file of its own, as `net`"},
              {"weights", "Caffe's weights are not read; --weights takes safetensors"}};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (rn_cf_has(t, 0, no[i].name))
            return rn_pt_fail(t, at(t, no[i].name), RN_E_UNSUPPORTED, "not supported: %s", no[i].why);
    const char *net = rn_cf_text(t, 0, "net");
    if (net && strlen(net) >= sizeof s->net)
        return rn_pt_fail(t, at(t, "net"), RN_E_RANGE, "the name is too long");
    snprintf(s->net, sizeof s->net, "%s", net ? net : "");
    return RN_OK;
}

static int read_solver(rn_prototext *t, rn_caffe_solver *s)
{
    RN_TRY(rn_caffe_check(t, 0, rn_caffe_solver_fields));
    RN_TRY(nets(t, s));
    RN_TRY(real(t, "base_lr", "", true, 0, 1e9, &s->base_lr));
    RN_TRY(policy(t, s));
    pass_over_unused(t);
    RN_TRY(method(t, s));
    RN_TRY(counts(t, s));
    return rn_caffe_check_used(t, 0, NULL);
}

int rn_caffe_solver_read(const char *file, const char *text, rn_caffe_solver *out)
{
    rn_prototext t;
    *out = (rn_caffe_solver){0};
    RN_TRY(rn_prototext_parse(file, text, &t));
    int rc = read_solver(&t, out);
    rn_prototext_free(&t);
    return rc;
}
