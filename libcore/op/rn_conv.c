/* SPDX-License-Identifier: MIT */
#include "op/rn_conv.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "op/rn_backend.h"

/* Elements a tensor may have: far above any real case, far below where a byte count could overflow. */
#define MAX_ELEMENTS ((int64_t)1 << 40)
/* Numbers of a descriptor, a padded side, columns of an im2col matrix: sums of two stay inside an int. */
#define MAX_NUMBER   (1 << 30)

const char *rn_conv_dir_name(rn_conv_dir d)
{
    return d == RN_FWD ? "fwd" : d == RN_BWD_D ? "bwd_d" : "bwd_w";
}

static int check_count(const char *what, int64_t a, int64_t b, int64_t c, int64_t d)
{
    if (a > MAX_ELEMENTS / b || a * b > MAX_ELEMENTS / c || a * b * c > MAX_ELEMENTS / d)
        return rn_fail(RN_E_RANGE, "convolution: %s has more than 2^40 elements", what);
    return 0;
}

int rn_conv_desc_finish(rn_conv_desc *d)
{
    const struct {
        const char *name;
        int value, least;
    } fields[] = {
        {"mb", d->mb, 1}, {"ic", d->ic, 1}, {"ih", d->ih, 1}, {"iw", d->iw, 1}, {"oc", d->oc, 1}, {"kh", d->kh, 1},
        {"kw", d->kw, 1}, {"sh", d->sh, 1}, {"sw", d->sw, 1}, {"ph", d->ph, 0}, {"pw", d->pw, 0},
    };

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].value < fields[i].least)
            return rn_fail(RN_E_RANGE, "convolution: %s is %d; it must be at least %d", fields[i].name, fields[i].value,
                           fields[i].least);
        if (fields[i].value > MAX_NUMBER)
            return rn_fail(RN_E_RANGE, "convolution: %s is %d; it must be at most %d", fields[i].name, fields[i].value,
                           MAX_NUMBER);
    }
    int64_t h = d->ih + 2 * (int64_t)d->ph - d->kh, w = d->iw + 2 * (int64_t)d->pw - d->kw;
    if (h < 0 || w < 0)
        return rn_fail(RN_E_RANGE,
                       "convolution: the %dx%d kernel is larger than the padded %" PRId64 "x%" PRId64 " input", d->kh,
                       d->kw, h + d->kh, w + d->kw);
    if (h + d->kh > MAX_NUMBER || w + d->kw > MAX_NUMBER)
        return rn_fail(RN_E_RANGE, "convolution: the padded input has more than %d pixels on a side", MAX_NUMBER);
    d->oh = (int)(h / d->sh) + 1;
    d->ow = (int)(w / d->sw) + 1;
    RN_TRY(check_count("src", d->mb, d->ih, d->iw, d->ic));
    RN_TRY(check_count("wei", d->oc, d->kh, d->kw, d->ic));
    RN_TRY(check_count("dst", d->mb, d->oh, d->ow, d->oc));
    if ((int64_t)d->kh * d->kw * d->ic > MAX_NUMBER || (int64_t)d->kh * d->kw * d->oc > MAX_NUMBER)
        return rn_fail(RN_E_RANGE, "convolution: the kernel has more than 2^30 taps");
    return 0;
}

const char *rn_conv_desc_text(const rn_conv_desc *d, char *buf, size_t cap)
{
    const bool square = d->ih == d->iw && d->oh == d->ow && d->kh == d->kw && d->sh == d->sw && d->ph == d->pw;

    if (square)
        snprintf(buf, cap, "mb%dic%dih%doc%doh%dkh%dsh%dph%d", d->mb, d->ic, d->ih, d->oc, d->oh, d->kh, d->sh, d->ph);
    else
        snprintf(buf, cap, "mb%dic%dih%diw%doc%doh%dow%dkh%dkw%dsh%dsw%dph%dpw%d", d->mb, d->ic, d->ih, d->iw, d->oc,
                 d->oh, d->ow, d->kh, d->kw, d->sh, d->sw, d->ph, d->pw);
    return buf;
}

/* ---- parsing -------------------------------------------------------------------------------------------------- */

enum { F_G, F_MB, F_IC, F_IH, F_IW, F_OC, F_OH, F_OW, F_KH, F_KW, F_SH, F_SW, F_PH, F_PW, F_DH, F_DW, NFIELDS };

static const char *const field_names[NFIELDS] = {"g",  "mb", "ic", "ih", "iw", "oc", "oh", "ow",
                                                 "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw"};

static int parse_fields(const char *text, int64_t v[NFIELDS])
{
    const char *p = text;

    while (*p) {
        if (*p == '_') {
            p++;
            continue;
        }
        if (*p == 'n') /* benchdnn's name of the case: the rest of the line */
            return 0;
        const char *key = p;
        while (isalpha((unsigned char)*p))
            p++;
        size_t klen = (size_t)(p - key);
        if (klen == 0 || !isdigit((unsigned char)*p))
            return rn_fail(RN_E_USAGE,
                           "case '%s': expected a field and a number at '%s' (such as mb32ic64ih56oc64kh3ph1)", text,
                           key);
        int f = 0;
        while (f < NFIELDS && !(strlen(field_names[f]) == klen && strncmp(field_names[f], key, klen) == 0))
            f++;
        if (f == NFIELDS)
            return rn_fail(RN_E_USAGE, "case '%s': unknown field '%.*s'; known: mb ic ih iw oc oh ow kh kw sh sw ph pw",
                           text, (int)klen, key);
        if (v[f] >= 0)
            return rn_fail(RN_E_USAGE, "case '%s': field '%s' is given twice", text, field_names[f]);
        int64_t n = 0;
        for (; isdigit((unsigned char)*p); p++) {
            n = n * 10 + (*p - '0');
            if (n > INT_MAX)
                return rn_fail(RN_E_USAGE, "case '%s': '%s' is too large", text, field_names[f]);
        }
        v[f] = n;
    }
    return 0;
}

int rn_conv_desc_parse(const char *text, rn_conv_desc *d)
{
    static const int pairs[][2] = {{F_IH, F_IW}, {F_OH, F_OW}, {F_KH, F_KW}, {F_SH, F_SW}, {F_PH, F_PW}, {F_DH, F_DW}};
    static const int required[] = {F_IC, F_IH, F_OC, F_KH};
    int64_t v[NFIELDS];

    for (int i = 0; i < NFIELDS; i++)
        v[i] = -1;
    RN_TRY(parse_fields(text, v));
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        int a = pairs[i][0], b = pairs[i][1];
        if (v[a] < 0)
            v[a] = v[b];
        if (v[b] < 0)
            v[b] = v[a];
    }
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        if (v[required[i]] < 0)
            return rn_fail(RN_E_USAGE, "case '%s': '%s' is missing", text, field_names[required[i]]);
    }
    if (v[F_G] > 1 || v[F_DH] > 0 || v[F_DW] > 0)
        return rn_fail(RN_E_UNSUPPORTED, "case '%s': groups and dilation are not supported", text);
    *d = (rn_conv_desc){
        .mb = v[F_MB] < 0 ? 2 : (int)v[F_MB],
        .ic = (int)v[F_IC],
        .ih = (int)v[F_IH],
        .iw = (int)v[F_IW],
        .oc = (int)v[F_OC],
        .kh = (int)v[F_KH],
        .kw = (int)v[F_KW],
        .sh = v[F_SH] < 0 ? 1 : (int)v[F_SH],
        .sw = v[F_SW] < 0 ? 1 : (int)v[F_SW],
        .ph = v[F_PH] < 0 ? 0 : (int)v[F_PH],
        .pw = v[F_PW] < 0 ? 0 : (int)v[F_PW],
        .dtype = RN_F32,
    };
    int rc = rn_conv_desc_finish(d);
    if (rc < 0)
        return rn_fail_prefix(rc, "case '%s'", text);
    if ((v[F_OH] >= 0 && v[F_OH] != d->oh) || (v[F_OW] >= 0 && v[F_OW] != d->ow))
        return rn_fail(RN_E_RANGE, "case '%s': the output is %dx%d, not as given", text, d->oh, d->ow);
    return 0;
}

/* ---- fused work ------------------------------------------------------------------------------------------------- */

static const struct fused {
    unsigned bit, with; /* with: what it needs beside it */
    const char *name;
    bool dirs[3];
    const char *misplaced, *lone, *lacking;
} fused[] = {
    {RN_PRO_BN,
     0,
     "pro_bn",
     {[RN_FWD] = true, [RN_BWD_W] = true},
     "pro_bn is for fwd and bwd_w: bwd_d does not read src",
     NULL,
     "no fused batch norm of src (pro_bn)"},
    {RN_PRO_RELU,
     RN_PRO_BN,
     "pro_relu",
     {[RN_FWD] = true, [RN_BWD_W] = true},
     "pro_relu is for fwd and bwd_w: bwd_d does not read src",
     "pro_relu goes with pro_bn",
     "no fused ReLU of src (pro_relu)"},
    {RN_PRO_ADD,
     RN_PRO_BN,
     "pro_add",
     {[RN_FWD] = true, [RN_BWD_W] = true},
     "pro_add is for fwd and bwd_w: bwd_d does not read src",
     "pro_add goes with pro_bn",
     "no fused residual added to src (pro_add)"},
    {RN_EPI_STATS,
     0,
     "epi_stats",
     {[RN_FWD] = true},
     "epi_stats is for fwd: statistics of dst",
     NULL,
     "no fused statistics of dst (epi_stats)"},
    {RN_PRO_DBN,
     0,
     "pro_dbn",
     {[RN_BWD_D] = true, [RN_BWD_W] = true},
     "pro_dbn is for bwd_d and bwd_w: fwd does not read dst",
     NULL,
     "no fused batch norm's gradient of dst (pro_dbn)"},
    {RN_EPI_DBN,
     0,
     "epi_dbn",
     {[RN_BWD_D] = true},
     "epi_dbn is for bwd_d: sums over the gradient of src",
     NULL,
     "no fused batch norm's sums of src (epi_dbn)"},
};
enum { NFUSED = sizeof fused / sizeof *fused };

const char *rn_conv_fuse_text(unsigned fuse, char *buf, size_t cap)
{
    size_t at = 0;

    snprintf(buf, cap, "none");
    for (int i = 0; i < NFUSED; i++) {
        if ((fuse & fused[i].bit) && at < cap)
            at += (size_t)snprintf(buf + at, cap - at, "%s%s", at ? "+" : "", fused[i].name);
    }
    return buf;
}

int rn_conv_fuse_parse(const char *text, unsigned *fuse)
{
    unsigned all = 0;

    *fuse = 0;
    if (strcmp(text, "none") == 0)
        return 0;
    for (const char *p = text;; p++) {
        const size_t n = strcspn(p, "+");
        int i = 0;
        while (i < NFUSED && !(strlen(fused[i].name) == n && strncmp(fused[i].name, p, n) == 0))
            i++;
        if (i == NFUSED)
            return rn_fail(RN_E_USAGE,
                           "fused work '%s': unknown '%.*s'; known: none, or some of pro_bn pro_relu pro_add epi_stats "
                           "pro_dbn epi_dbn with + between them",
                           text, (int)n, p);
        all |= fused[i].bit;
        p += n;
        if (!*p)
            break;
    }
    *fuse = all;
    return 0;
}

const char *rn_conv_fuse_refusal(const rn_conv_desc *d, rn_conv_dir dir, unsigned can)
{
    unsigned known = 0;

    for (int i = 0; i < NFUSED; i++) {
        const struct fused *f = &fused[i];
        known |= f->bit;
        if (!(d->fuse & f->bit))
            continue;
        if (!f->dirs[dir])
            return f->misplaced;
        if ((d->fuse & f->with) != f->with)
            return f->lone;
        if (!(can & f->bit))
            return f->lacking;
    }
    return d->fuse & ~known ? "fused work that is not known" : NULL;
}

/* The vectors and tensors that the fused work reads and writes. */
static int check_args(const rn_conv_plan *plan, const rn_conv_args *a, int beta)
{
    const unsigned fuse = plan->desc.fuse;
    const struct {
        unsigned bits;
        const char *name;
        const void *p;
    } needs[] = {
        {RN_PRO_BN | RN_EPI_DBN, "scale", a->scale},
        {RN_PRO_BN | RN_EPI_DBN, "shift", a->shift},
        {RN_PRO_ADD, "residual", a->residual},
        {RN_EPI_STATS | RN_EPI_DBN, "sum", a->sum},
        {RN_EPI_STATS | RN_EPI_DBN, "sumsq", a->sumsq},
        {RN_PRO_DBN, "x", a->x},
        {RN_PRO_DBN, "ka", a->ka},
        {RN_PRO_DBN, "kb", a->kb},
        {RN_PRO_DBN, "kc", a->kc},
        {RN_EPI_DBN, "raw", a->raw},
        {RN_EPI_DBN, "mean", a->mean},
    };
    char text[64];

    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        if ((fuse & needs[i].bits) && !needs[i].p)
            return rn_fail(RN_E_RANGE, "%s: %s with %s needs '%s', got none", plan->algo->name,
                           rn_conv_dir_name(plan->dir), rn_conv_fuse_text(fuse, text, sizeof text), needs[i].name);
    }
    if (beta && (fuse & (RN_EPI_STATS | RN_EPI_DBN)))
        return rn_fail(RN_E_RANGE, "%s: %s with %s overwrites: beta must be 0", plan->algo->name,
                       rn_conv_dir_name(plan->dir), rn_conv_fuse_text(fuse, text, sizeof text));
    return 0;
}

/* ---- counting --------------------------------------------------------------------------------------------------- */

/* Sum over output positions of the taps that fall inside the input, along one axis. */
static double taps_inside(int in, int out, int k, int stride, int pad)
{
    double n = 0;

    for (int o = 0; o < out; o++) {
        int64_t first = (int64_t)o * stride - pad, lo = first < 0 ? 0 : first, hi = first + k > in ? in : first + k;
        n += hi > lo ? (double)(hi - lo) : 0;
    }
    return n;
}

double rn_conv_flops(const rn_conv_desc *d, bool inbounds)
{
    double rows = inbounds ? taps_inside(d->ih, d->oh, d->kh, d->sh, d->ph) : (double)d->oh * d->kh;
    double cols = inbounds ? taps_inside(d->iw, d->ow, d->kw, d->sw, d->pw) : (double)d->ow * d->kw;

    return 2.0 * d->mb * d->oc * d->ic * rows * cols;
}

double rn_conv_bytes(const rn_conv_desc *d)
{
    double src = (double)d->mb * d->ih * d->iw * d->ic, wei = (double)d->oc * d->kh * d->kw * d->ic;
    double dst = (double)d->mb * d->oh * d->ow * d->oc;

    return (src + wei + dst) * (double)rn_dtype_size(d->dtype);
}

/* ---- plans ------------------------------------------------------------------------------------------------------ */

int rn_conv_plan_open(struct rn_backend *be, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir,
                      rn_conv_plan **out)
{
    const char *why = "no reason given";
    char text[256];

    *out = NULL;
    const char *senseless = rn_conv_fuse_refusal(d, dir, ~0u);
    if (senseless)
        why = senseless;
    if (senseless || !algo->supports(be, d, dir, &why))
        return rn_fail(RN_E_UNSUPPORTED, "%s does not do %s %s: %s", algo->name, rn_conv_dir_name(dir),
                       rn_conv_desc_text(d, text, sizeof text), why);
    size_t ws = algo->workspace ? algo->workspace(be, d, dir) : 0;
    if (be->workspace_limit && ws > be->workspace_limit)
        return rn_fail(RN_E_UNSUPPORTED, "%s needs %zu bytes of workspace for %s %s; the limit is %zu", algo->name, ws,
                       rn_conv_dir_name(dir), rn_conv_desc_text(d, text, sizeof text), be->workspace_limit);
    rn_conv_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return rn_fail(RN_E_NOMEM, "convolution plan: out of memory");
    plan->be = be;
    plan->algo = algo;
    plan->desc = *d;
    plan->dir = dir;
    plan->workspace_bytes = ws;
    if (algo->open) {
        int rc = algo->open(be, d, dir, &plan->priv);
        if (rc < 0) {
            free(plan);
            return rc;
        }
    }
    *out = plan;
    return 0;
}

void rn_conv_plan_close(rn_conv_plan *plan)
{
    if (!plan)
        return;
    if (plan->algo->close)
        plan->algo->close(plan->be, plan->priv);
    free(plan);
}

int rn_conv_prepare(rn_conv_plan *plan, const void *wei, void *stream)
{
    return plan->algo->prepare && plan->dir != RN_BWD_W ? plan->algo->prepare(plan, wei, stream) : 0;
}

int rn_conv_run(rn_conv_plan *plan, const rn_conv_args *a, int beta, void *workspace, void *stream)
{
    if (beta != 0 && beta != 1)
        return rn_fail(RN_E_RANGE, "convolution: beta is %d; it must be 0 or 1", beta);
    if (plan->workspace_bytes && !workspace)
        return rn_fail(RN_E_RANGE, "%s: needs %zu bytes of workspace, got none", plan->algo->name,
                       plan->workspace_bytes);
    if (plan->desc.fuse)
        RN_TRY(check_args(plan, a, beta));
    return plan->algo->run(plan, a, beta, workspace, stream);
}
