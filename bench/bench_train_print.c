/* SPDX-License-Identifier: MIT */
/* The tables of rn-bench train. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "bench.h"
#include "bench_train.h"

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double flop_ms(const bench_step *s, const bench_part *p)
{
    const double peak = s->gflops[p->dtype];
    return peak > 0 ? p->flop * p->calls / peak * 1e-6 : 0;
}

static double byte_ms(const bench_step *s, const bench_part *p)
{
    return s->gbytes > 0 ? p->bytes * p->calls / s->gbytes * 1e-6 : 0;
}

double bench_step_roofline(const bench_step *s, const bench_part *p)
{
    return larger(flop_ms(s, p), byte_ms(s, p));
}

/* A line of any table: a part, a kind or the whole. */
typedef struct line {
    const char *kind;
    int calls;
    double ms, flop, bytes, roofline_ms, flop_ms, byte_ms; /* of all calls */
} line;

static void add(const bench_step *s, const bench_part *p, line *l)
{
    l->calls += p->calls;
    l->ms += p->ms;
    l->flop += p->flop * p->calls;
    l->bytes += p->bytes * p->calls;
    l->flop_ms += flop_ms(s, p);
    l->byte_ms += byte_ms(s, p);
    l->roofline_ms += bench_step_roofline(s, p);
}

static line line_of(const bench_step *s, const bench_part *p)
{
    line l = {.kind = p->kind};
    add(s, p, &l);
    return l;
}

static line whole_of(const bench_step *s)
{
    line l = {.kind = "step"};
    for (int i = 0; i < s->nparts; i++)
        add(s, &s->parts[i], &l);
    l.ms = s->split.ms; /* medians do not add up to the median */
    l.calls = 1;
    return l;
}

/* Part i's kind summed up, if no part before it has the kind; otherwise false. */
static bool kind_of(const bench_step *s, int i, line *out)
{
    *out = (line){.kind = s->parts[i].kind};
    for (int k = 0; k < s->nparts; k++) {
        if (strcmp(s->parts[k].kind, out->kind) != 0)
            continue;
        if (k < i)
            return false;
        add(s, &s->parts[k], out);
    }
    return true;
}

static double per_second(double amount, double ms)
{
    return ms > 0 ? amount / ms * 1e-6 : 0;
}

static double per_cent(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

static const char *bound_of(const line *l)
{
    return l->roofline_ms <= 0 ? "none" : l->flop_ms >= l->byte_ms ? "flop" : "bytes";
}

/* The first layer of this shape and what was chosen for it; NULL for what is no convolution. */
static const rn_net_choice *choice_of(const bench_step *s, const bench_part *p)
{
    for (int i = 0; p->is_conv && i < rn_net_nchoices(s->session->net); i++) {
        const rn_net_choice *c = rn_net_choice_at(s->session->net, i);
        if (c->dir == p->dir && memcmp(&c->desc, &p->desc, sizeof c->desc) == 0)
            return c;
    }
    return NULL;
}

/* "mb32ic64ih56..." or what the kind is of: bytes. */
static const char *case_of(const bench_part *p, char *buf, size_t cap)
{
    if (p->is_conv)
        return rn_conv_desc_text(&p->desc, buf, cap);
    snprintf(buf, cap, "%.2f MB", p->bytes * 1e-6);
    return buf;
}

enum { KNOWN = 40 };

/* A figure, or what stands for none. */
static const char *known(double v, int digits, const char *otherwise, char buf[KNOWN])
{
    if (v > 0)
        snprintf(buf, KNOWN, "%.*f", digits, v);
    else
        snprintf(buf, KNOWN, "%s", otherwise);
    return buf;
}

static const char *runs_on(const bench_step *s, char *buf, size_t cap)
{
    if (strcmp(s->session->be->device, "cpu") == 0)
        snprintf(buf, cap, "%d threads", s->session->threads);
    else
        snprintf(buf, cap, "on %s, by its events", s->session->be->describe);
    return buf;
}

/* ---- text ----------------------------------------------------------------------------------------------------------- */

static void print_line(const bench_step *s, const line *l, const char *more)
{
    printf("%-13s %5d %9.3f %6.1f %9.1f %8.2f %11.3f %6.1f  %-5s %s\n", l->kind, l->calls, l->ms,
           per_cent(l->ms, s->split.ms), per_second(l->flop, l->ms), per_second(l->bytes, l->ms), l->roofline_ms,
           per_cent(l->roofline_ms, l->ms), bound_of(l), more);
}

static void print_layers(const bench_step *s)
{
    char text[256], more[512];
    printf("\nby shape:\n");
    for (int i = 0; i < s->nparts; i++) {
        const bench_part *p = &s->parts[i];
        const line l = line_of(s, p);
        const rn_net_choice *c = choice_of(s, p);
        int n = snprintf(more, sizeof more, "%s", case_of(p, text, sizeof text));
        if (c)
            n += snprintf(more + n, sizeof more - (size_t)n, " %s: %s", c->layer, c->choice.algo->name);
        if (c && c->choice.second)
            snprintf(more + n, sizeof more - (size_t)n, " (%.3f ms; next %s, %.3f)", c->choice.ms,
                     c->choice.second->name, c->choice.second_ms);
        print_line(s, &l, more);
    }
}

void bench_step_text(const bench_step *s, bool by_layer)
{
    line l;
    char on[320], a[KNOWN], b[KNOWN], c[KNOWN];
    printf("%s, %" PRId64 " px, batch %" PRId64 ", %s, %s: a step %.2f ms (median of %d, quartiles %.2f ms "
           "apart)\ntraining %.1f images/s, evaluation %.1f images/s\n",
           s->arch, s->image_size, s->batch, s->dtype, runs_on(s, on, sizeof on), s->train.ms, s->train.n, s->train.iqr,
           (double)s->batch / s->train.ms * 1e3, s->session->eval_batch / s->eval.ms * 1e3);
    if (json_object_get(s->machine, "nvml"))
        printf("%s\n", json_string_value(json_object_get(s->machine, "nvml")));
    if (json_object_get(s->machine, "gpu_sm_mhz"))
        printf("after the steps: clock %.0f MHz, %.0f W, slowed by %s\n",
               json_number_value(json_object_get(s->machine, "gpu_sm_mhz")),
               json_number_value(json_object_get(s->machine, "gpu_power_w")),
               json_string_value(json_object_get(s->machine, "gpu_slowed_by")));
    l = whole_of(s);
    if (s->replayed)
        printf("the pass replayed as a graph; its roofline is %.1f %% of it; launched op by op, for what follows, a "
               "step takes %.2f ms\n",
               per_cent(l.roofline_ms, s->train.ms), s->split.ms);
    if (s->session->be->emulated)
        puts("EMULATED: times are the host's, and say nothing of a device");
    printf("ceilings measured here: %s GFLOP/s f32, %s bf16, memory %s GB/s; FLOP with the padding's taps: %s\n\n",
           known(s->gflops[RN_F32], 1, "-", a), known(s->gflops[RN_BF16], 1, "-", b), known(s->gbytes, 1, "-", c),
           s->inbounds ? "no" : "yes");
    printf("%-13s %5s %9s %6s %9s %8s %11s %6s  %s\n", "op", "calls", "ms", "share%", "GFLOP/s", "GB/s", "roofline ms",
           "of it%", "bound");
    for (int i = 0; i < s->nparts; i++)
        if (kind_of(s, i, &l))
            print_line(s, &l, "");
    l = whole_of(s);
    print_line(s, &l, "");
    if (by_layer)
        print_layers(s);
}

/* ---- JSON ----------------------------------------------------------------------------------------------------------- */

static void json_line(const bench_step *s, const line *l)
{
    printf("{\"op\":\"%s\",\"calls\":%d,\"ms\":%.6f,\"share_pct\":%.3f,\"gflop\":%.6f,\"gbytes\":%.6f,\"gflops\":%.3f,"
           "\"gbytes_per_s\":%.3f,\"roofline_ms\":%.6f,\"roofline_pct\":%.3f,\"bound\":\"%s\"",
           l->kind, l->calls, l->ms, per_cent(l->ms, s->split.ms), l->flop * 1e-9, l->bytes * 1e-9,
           per_second(l->flop, l->ms), per_second(l->bytes, l->ms), l->roofline_ms, per_cent(l->roofline_ms, l->ms),
           bound_of(l));
}

static void json_part(const bench_step *s, const bench_part *p)
{
    char text[256];
    const line l = line_of(s, p);
    const rn_net_choice *c = choice_of(s, p);
    json_line(s, &l);
    if (p->is_conv)
        printf(",\"case\":\"%s\",\"dir\":\"%s\"", case_of(p, text, sizeof text), rn_conv_dir_name(p->dir));
    if (c)
        printf(",\"layer\":\"%s\",\"algo\":\"%s\"", c->layer, c->choice.algo->name);
    if (c && c->choice.second)
        printf(",\"algo_ms\":%.6f,\"second\":\"%s\",\"second_ms\":%.6f", c->choice.ms, c->choice.second->name,
               c->choice.second_ms);
    printf("}");
}

int bench_step_json(const bench_step *s)
{
    const char *comma = "";
    char f32[KNOWN], bf16[KNOWN], f16[KNOWN], memory[KNOWN];
    char *machine = json_dumps(s->machine, JSON_COMPACT | JSON_REAL_PRECISION(6));
    if (!machine)
        return rn_fail(RN_E_NOMEM, "train: out of memory");
    line l = whole_of(s);
    printf("{\"arch\":\"%s\",\"image_size\":%" PRId64 ",\"batch\":%" PRId64 ",\"eval_batch\":%d,\"dtype\":\"%s\","
           "\"threads\":%d,\"weights\":%" PRId64 ",\"steps\":%d,\"step_ms\":%.4f,\"step_ms_iqr\":%.4f,"
           "\"step_ms_min\":%.4f,\"replayed\":%s,\"split_step_ms\":%.4f,\"images_per_s\":%.3f,\"eval_images_per_s\":%."
           "3f,\n",
           s->arch, s->image_size, s->batch, s->session->eval_batch, s->dtype, s->session->threads,
           rn_net_weights(s->session->net), s->train.n, s->train.ms, s->train.iqr, s->train.ms_min,
           s->replayed ? "true" : "false", s->split.ms, (double)s->batch / s->train.ms * 1e3,
           s->session->eval_batch / s->eval.ms * 1e3);
    printf("\"device\":\"%s\",\"machine\":%s,\n\"flop_convention\":\"%s\",\"peak_gflops\":{\"f32\":%s,\"bf16\":%s,"
           "\"f16\":%s},"
           "\"memory_gbytes_per_s\":%s,\"roofline_ms\":%.4f,\"roofline_pct\":%.3f,\n\"ops\":[",
           s->session->be->describe, machine, s->inbounds ? "inbounds" : "padding-counted",
           known(s->gflops[RN_F32], 1, "null", f32), known(s->gflops[RN_BF16], 1, "null", bf16),
           known(s->gflops[RN_F16], 1, "null", f16), known(s->gbytes, 2, "null", memory), l.roofline_ms,
           per_cent(l.roofline_ms, s->replayed ? s->train.ms : l.ms));
    free(machine);
    for (int i = 0; i < s->nparts; i++) {
        if (!kind_of(s, i, &l))
            continue;
        printf("%s\n", comma);
        json_line(s, &l);
        printf("}");
        comma = ",";
    }
    printf("],\n\"parts\":[");
    for (int i = 0; i < s->nparts; i++) {
        printf("%s\n", i ? "," : "");
        json_part(s, &s->parts[i]);
    }
    printf("]}\n");
    return 0;
}

/* ---- CSV ------------------------------------------------------------------------------------------------------------ */

void bench_step_csv(const bench_step *s)
{
    char text[256];
    printf("arch,image_size,batch,dtype,threads,op,case,layer,algo,second,calls,ms,share_pct,gflops,gbytes_per_s,"
           "roofline_ms,"
           "roofline_pct,bound\n");
    for (int i = 0; i <= s->nparts; i++) {
        const bool part = i < s->nparts; /* and the whole in the last row */
        const bench_part *p = part ? &s->parts[i] : NULL;
        const line l = part ? line_of(s, p) : whole_of(s);
        const rn_net_choice *c = part ? choice_of(s, p) : NULL;
        printf("%s,%" PRId64 ",%" PRId64 ",%s,%d,%s,%s,%s,%s,%s,%d,%.6f,%.3f,%.3f,%.3f,%.6f,%.3f,%s\n", s->arch,
               s->image_size, s->batch, s->dtype, s->session->threads, l.kind,
               part && p->is_conv ? case_of(p, text, sizeof text) : "", c ? c->layer : "",
               c ? c->choice.algo->name : "", c && c->choice.second ? c->choice.second->name : "", l.calls, l.ms,
               per_cent(l.ms, s->split.ms), per_second(l.flop, l.ms), per_second(l.bytes, l.ms), l.roofline_ms,
               per_cent(l.roofline_ms, l.ms), bound_of(&l));
    }
}
