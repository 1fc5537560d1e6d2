/* SPDX-License-Identifier: MIT */
#include "run/train/rn_choices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_log.h"

static const char *const by_words[] = {"order", "alone", "measured", "remembered"}; /* by enum rn_select_by */

static bool is_timed(const rn_net_choice *c)
{
    return c->choice.ms > 0;
}

static bool is_same_case(const rn_net_choice *a, const rn_net_choice *b)
{
    return a->dir == b->dir && memcmp(&a->desc, &b->desc, sizeof a->desc) == 0;
}

/* Layers from i on that are the same case as i; 0 when i is not the first of them. */
static int count_alike(const rn_net *net, int i)
{
    const rn_net_choice *c = rn_net_choice_at(net, i);
    int n = 0;
    for (int k = 0; k < rn_net_nchoices(net); k++) {
        if (is_same_case(rn_net_choice_at(net, k), c)) {
            if (k < i)
                return 0;
            n++;
        }
    }
    return n;
}

static void tell_line(const rn_net_choice *c, int layers, bool loud)
{
    char text[256], fuse[64], line[640];
    int n = snprintf(line, sizeof line, "  %2d x %-5s %-42s %s", layers, rn_conv_dir_name(c->dir),
                     rn_conv_desc_text(&c->desc, text, sizeof text), c->choice.algo->name);
    if (c->desc.fuse && n > 0 && (size_t)n < sizeof line)
        n += snprintf(line + n, sizeof line - (size_t)n, " %s", rn_conv_fuse_text(c->desc.fuse, fuse, sizeof fuse));
    if (is_timed(c) && n > 0 && (size_t)n < sizeof line)
        n += snprintf(line + n, sizeof line - (size_t)n, " %.3f ms", c->choice.ms);
    if (is_timed(c) && c->choice.second && n > 0 && (size_t)n < sizeof line)
        snprintf(line + n, sizeof line - (size_t)n, "; second %s %.3f ms", c->choice.second->name, c->choice.second_ms);
    if (loud)
        rn_info("%s", line);
    else
        rn_verbose("%s", line);
}

static bool is_costed(const rn_net_fusion *f)
{
    return f->ms > 0 && isfinite(f->ms);
}

static void tell_fusion(const rn_net_fusion *f)
{
    if (!is_costed(f))
        rn_verbose("  %-28s %s", f->layer, rn_bn_way_names[f->way]);
    else if (isfinite(f->second_ms))
        rn_info("  %-28s %-7s %.3f ms with the convolutions beside it; second %s %.3f ms", f->layer,
                rn_bn_way_names[f->way], f->ms, rn_bn_way_names[f->second], f->second_ms);
    else
        rn_info("  %-28s %-7s %.3f ms with the convolutions beside it", f->layer, rn_bn_way_names[f->way], f->ms);
}

/* Batch norms that convolutions could take over, one line each. */
static void tell_fusions(const rn_net *net, const char *what)
{
    const int n = rn_net_nfusions(net);
    int fused = 0, costed = 0;
    for (int i = 0; i < n; i++) {
        fused += rn_net_fusion_at(net, i)->way != RN_BN_APART;
        costed += is_costed(rn_net_fusion_at(net, i));
    }
    if (costed)
        rn_info("batch norms of %s, %d of %d done by convolutions, by measurement:", what, fused, n);
    else if (n)
        rn_verbose("batch norms of %s, %d of %d done by convolutions, by rule:", what, fused, n);
    for (int i = 0; i < n; i++)
        tell_fusion(rn_net_fusion_at(net, i));
}

void rn_choices_tell(const rn_net *net, const char *what)
{
    const int n = rn_net_nchoices(net);
    double ms = 0, second_ms = 0;
    int timed = 0;
    for (int i = 0; i < n; i++) {
        const rn_net_choice *c = rn_net_choice_at(net, i);
        timed += is_timed(c);
        ms += c->choice.ms;
        second_ms += c->choice.second ? c->choice.second_ms : c->choice.ms;
    }
    if (timed)
        rn_info("convolutions of %s, %d of %d chosen by measurement:", what, timed, n);
    else
        rn_verbose("convolutions of %s, by table order:", what);
    for (int i = 0; i < n; i++) {
        const int layers = count_alike(net, i);
        if (layers)
            tell_line(rn_net_choice_at(net, i), layers, timed > 0);
    }
    if (timed)
        rn_info("  in sum %.1f ms a batch; with each second best %.1f ms", ms, second_ms);
    tell_fusions(net, what);
}

static json_t *choice_object(const rn_net_choice *c)
{
    const rn_conv_desc *d = &c->desc;
    char shape[256], fuse[64];
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:f, s:s}", "layer", c->layer, "dir", rn_conv_dir_name(c->dir), "case",
                          rn_conv_desc_text(d, shape, sizeof shape), "algo", c->choice.algo->name, "gflop",
                          rn_conv_flops(d, false) / 1e9, "by", by_words[c->choice.by]);
    if (d->fuse)
        json_object_set_new(o, "fuse", json_string(rn_conv_fuse_text(d->fuse, fuse, sizeof fuse)));
    if (is_timed(c))
        json_object_set_new(o, "ms", json_real(c->choice.ms));
    if (c->choice.second) {
        json_object_set_new(o, "second", json_string(c->choice.second->name));
        json_object_set_new(o, "second_ms", json_real(c->choice.second_ms));
    }
    return o;
}

json_t *rn_choices_json(const rn_net *net)
{
    json_t *a = json_array();
    for (int i = 0; i < rn_net_nchoices(net); i++)
        json_array_append_new(a, choice_object(rn_net_choice_at(net, i)));
    return a;
}

json_t *rn_fusions_json(const rn_net *net)
{
    json_t *a = json_array();
    for (int i = 0; i < rn_net_nfusions(net); i++) {
        const rn_net_fusion *f = rn_net_fusion_at(net, i);
        json_t *o = json_pack("{s:s, s:s}", "layer", f->layer, "way", rn_bn_way_names[f->way]);
        if (is_costed(f))
            json_object_set_new(o, "ms", json_real(f->ms));
        if (is_costed(f) && isfinite(f->second_ms)) {
            json_object_set_new(o, "second", json_string(rn_bn_way_names[f->second]));
            json_object_set_new(o, "second_ms", json_real(f->second_ms));
        }
        json_array_append_new(a, o);
    }
    return a;
}
