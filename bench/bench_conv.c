/* SPDX-License-Identifier: MIT */
/* rn-bench conv: options, the table, the JSON lines and the totals. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "bench.h"
#include "kernels/rn_kernels.h"

#define PEAK_S    0.2
#define MAX_ALGOS 32

enum { NDTYPES = 3 };

/* Indexed by rn_dtype. */
static const char *const dtype_words[] = {"f32", "bf16", "f16", NULL};

typedef struct conv_opts {
    const char *net, *shapes, *cas, *dirs, *dtypes, *pattern, *isa;
    int device, flops;
    int64_t mb, rounds, threads;
    uint64_t seed;
} conv_opts;

typedef struct total {
    const rn_conv_algo *algo;
    double ms, ms_min, flop; /* count-weighted */
    size_t cases;
} total;

typedef struct conv_run {
    const conv_opts *o;
    rn_backend *be;
    bool json, inbounds;
    double peaks[NDTYPES]; /* of the dtypes asked for */
    total totals[NDTYPES][3][MAX_ALGOS];
    size_t results, timed, wrong;
} conv_run;

static const char *const dir_words[] = {"fwd", "bwd_d", "bwd_w", NULL};
static const char *const device_words[] = {"cpu", "cuda", NULL};
static const char *const flops_words[] = {"padding-counted", "inbounds", NULL};

/* ---- output --------------------------------------------------------------------------------------------------------- */

static int print_json(const conv_run *c, const bench_shape *s, rn_conv_dir dir, const bench_result *r, double gflops)
{
    char text[256];
    const double peak = c->peaks[s->desc.dtype];
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:i}", "case", rn_conv_desc_text(&s->desc, text, sizeof text), "dir",
                          rn_conv_dir_name(dir), "dtype", rn_dtype_name(s->desc.dtype), "algo", r->algo->name,
                          "threads", c->be->threads);

    if (r->refused) {
        json_object_set_new(j, "refused", json_string(r->refused));
    } else {
        if (r->verified) {
            json_object_set_new(j, "ms", json_real(r->ms));
            json_object_set_new(j, "ms_iqr", json_real(r->ms_iqr));
            json_object_set_new(j, "ms_min", json_real(r->ms_min));
            json_object_set_new(j, "gflops", json_real(gflops));
            json_object_set_new(j, "flop_convention", json_string(flops_words[c->o->flops]));
            json_object_set_new(j, "peak_pct", peak > 0 ? json_real(100 * gflops / peak) : json_null());
            json_object_set_new(j, "prepare_ms", json_real(r->prepare_ms));
            json_object_set_new(j, "workspace", json_integer((json_int_t)r->workspace));
        } else {
            json_object_set_new(j, "failure", json_string(r->failure));
        }
        json_object_set_new(j, "verified", json_boolean(r->verified));
    }
    if (*r->impl)
        json_object_set_new(j, "impl", json_string(r->impl));
    json_object_set_new(j, "layer", json_string(s->name));
    json_object_set_new(j, "count", json_integer(s->count));
    json_object_set_new(j, "device", json_string(c->be->describe));
    char *line = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(j);
    if (!line)
        return rn_fail(RN_E_NOMEM, "bench: out of memory");
    printf("%s%s", c->results == 1 ? "[\n" : ",\n", line);
    free(line);
    return 0;
}

static void print_row(const conv_run *c, const bench_shape *s, rn_conv_dir dir, const bench_result *r, double gflops)
{
    char text[256];
    const double peak = c->peaks[s->desc.dtype];

    printf("%-44s %3s%-4d %-6s %-5s %-14s ", rn_conv_desc_text(&s->desc, text, sizeof text), "x", s->count,
           rn_conv_dir_name(dir), rn_dtype_name(s->desc.dtype), r->algo->name);
    if (r->refused)
        printf("refused: %s\n", r->refused);
    else if (!r->verified)
        printf("WRONG: %s\n", r->failure);
    else if (peak > 0)
        printf("%10.4f %9.4f %9.1f %6.1f  %s\n", r->ms, r->ms_iqr, gflops, 100 * gflops / peak, r->impl);
    else
        printf("%10.4f %9.4f %9.1f %6s  %s\n", r->ms, r->ms_iqr, gflops, "-", r->impl);
    fflush(stdout);
}

static void print_header(const conv_run *c)
{
    printf("# %s, %d threads; FLOP convention: %s; %%peak is of what was measured here:", c->be->describe,
           c->be->threads, flops_words[c->o->flops]);
    for (int t = 0; t < NDTYPES; t++) {
        if (c->peaks[t] > 0)
            printf(" %s %.1f GFLOP/s", dtype_words[t], c->peaks[t]);
    }
    printf("\n# ms: median of %d interleaved rounds, iqr: their interquartile range; every result verified before "
           "timing\n",
           (int)c->o->rounds);
    printf("%-44s %7s %-6s %-5s %-14s %10s %9s %9s %6s\n", "case", "count", "dir", "type", "algo", "ms", "iqr",
           "GFLOP/s", "%peak");
}

/* Sums over the list, each shape as often as the network has it. An algorithm that refused a case has no total. */
static void print_total(const char *dir, const char *dtype, const total *t)
{
    size_t most = 0;
    double best = 0;

    for (int i = 0; i < MAX_ALGOS && t[i].algo; i++)
        most = t[i].cases > most ? t[i].cases : most;
    for (int i = 0; i < MAX_ALGOS && t[i].algo; i++) {
        if (t[i].cases == most && (best == 0 || t[i].ms < best))
            best = t[i].ms;
    }
    for (int i = 0; i < MAX_ALGOS && t[i].algo && most > 1; i++) {
        printf("total %-6s %-5s %-14s ", dir, dtype, t[i].algo->name);
        if (t[i].cases < most)
            printf("refused %zu of %zu cases\n", most - t[i].cases, most);
        else
            printf("%10.3f ms %9.1f GFLOP/s, %.2f of the fastest's speed; quietest rounds %.3f ms\n", t[i].ms,
                   t[i].flop / t[i].ms * 1e-6, best / t[i].ms, t[i].ms_min);
    }
}

static void print_totals(const conv_run *c)
{
    for (int dir = 0; dir < 3; dir++) {
        for (int t = 0; t < NDTYPES; t++)
            print_total(dir_words[dir], dtype_words[t], c->totals[t][dir]);
    }
}

/* ---- the run -------------------------------------------------------------------------------------------------------- */

static void add_total(conv_run *c, rn_conv_dir dir, const bench_shape *s, const bench_result *r, double flop)
{
    total *t = c->totals[s->desc.dtype][dir];
    int i = 0;

    while (i < MAX_ALGOS - 1 && t[i].algo && t[i].algo != r->algo)
        i++;
    t[i].algo = r->algo;
    if (!r->verified)
        return;
    t[i].ms += r->ms * s->count;
    t[i].ms_min += r->ms_min * s->count;
    t[i].flop += flop * s->count;
    t[i].cases++;
}

static int run_case(conv_run *c, const bench_shape *s, rn_conv_dir dir)
{
    bench_plan_opts po = {.pattern = c->o->pattern, .rounds = (int)c->o->rounds, .seed = c->o->seed};
    bench_result *r = NULL;
    size_t n = 0;
    double flop = rn_conv_flops(&s->desc, c->inbounds);
    int rc = bench_measure(c->be, &s->desc, dir, &po, &r, &n);

    for (size_t i = 0; rc == 0 && i < n; i++) {
        double gflops = r[i].verified ? flop / r[i].ms * 1e-6 : 0;
        c->results++;
        c->timed += r[i].verified;
        c->wrong += !r[i].refused && !r[i].verified;
        add_total(c, dir, s, &r[i], flop);
        if (c->json)
            rc = print_json(c, s, dir, &r[i], gflops);
        else
            print_row(c, s, dir, &r[i], gflops);
    }
    free(r);
    return rc;
}

static bool in_list(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = list; (p = strstr(p, word)); p += n) {
        if ((p == list || p[-1] == ',') && (p[n] == 0 || p[n] == ','))
            return true;
    }
    return false;
}

static int run_types(conv_run *c, const bench_shape *shape, rn_conv_dir dir)
{
    for (int t = 0; t < NDTYPES; t++) {
        bench_shape s = *shape;
        s.desc.dtype = (rn_dtype)t;
        if (in_list(c->o->dtypes, dtype_words[t]))
            RN_TRY(run_case(c, &s, dir));
    }
    return 0;
}

static int run_list(conv_run *c, const bench_shapes *list)
{
    for (int t = 0; t < NDTYPES; t++)
        c->peaks[t] = in_list(c->o->dtypes, dtype_words[t]) ? bench_peak_gflops(c->be, (rn_dtype)t, PEAK_S) : 0;
    if (!c->json)
        print_header(c);
    for (size_t i = 0; i < list->n; i++) {
        for (int dir = 0; dir < 3; dir++) {
            if ((list->v[i].dirs >> dir & 1) && in_list(c->o->dirs, dir_words[dir]))
                RN_TRY(run_types(c, &list->v[i], (rn_conv_dir)dir));
        }
    }
    if (c->results == 0)
        return rn_fail(RN_E_NOTHING, "nothing to time: no algorithm matches '%s', or no shape has the direction",
                       c->o->pattern ? c->o->pattern : "*");
    if (!c->json)
        print_totals(c);
    if (c->wrong)
        return rn_fail(RN_E_MISMATCH, "%zu results were wrong and not timed", c->wrong);
    return c->timed ? 0 : rn_fail(RN_E_NOTHING, "nothing was timed: every algorithm refused");
}

static int load(const conv_opts *o, bench_shapes *list)
{
    if (!!o->net + !!o->shapes + !!o->cas > 1)
        return rn_fail(RN_E_USAGE, "--net, --shapes and --case exclude each other");
    int mb = (int)o->mb;
    if (o->cas)
        return bench_shapes_case(o->cas, mb, list);
    if (o->shapes)
        return bench_shapes_file(o->shapes, mb ? mb : 16, list);
    return bench_shapes_net(o->net ? o->net : "resnet18", mb ? mb : 16, list);
}

int bench_conv_main(int argc, char **argv)
{
    conv_opts o = {.dirs = "fwd,bwd_d,bwd_w", .dtypes = "f32", .rounds = 11, .seed = 1};
    char names[256], net_help[400];
    snprintf(net_help, sizeof net_help, "The convolutions of a network: %s. Default: resnet18.",
             bench_shapes_names(names, sizeof names));
    const rn_opt opts[] = {
        {RN_OPT_GROUP, "What to time", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "net", "NAME", &o.net, net_help, NULL, 0, 0},
        {RN_OPT_TEXT, "shapes", "FILE", &o.shapes,
         "A list: a benchdnn descriptor a line, then *COUNT and the directions wanted, both optional.", NULL, 0, 0},
        {RN_OPT_TEXT, "case", "DESC", &o.cas, "One descriptor, such as mb32ic64ih56oc64kh3ph1.", NULL, 0, 0},
        {RN_OPT_LIST, "dir", "LIST", &o.dirs, "Directions.", dir_words, 0, 0},
        {RN_OPT_LIST, "dtype", "LIST", &o.dtypes, "Types of the tensors; the weights' gradient is f32 in any case.",
         dtype_words, 0, 0},
        {RN_OPT_TEXT, "algo", "PATTERN", &o.pattern,
         "Algorithms by name, e.g. 'cpu:*,onednn:*'. Default: all but the reference.", NULL, 0, 0},
        {RN_OPT_INT, "mb", "N", &o.mb, "Images in a batch; 0: 16, or what the --case says.", NULL, 0, 65536},
        {RN_OPT_GROUP, "How", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_ENUM, "device", "NAME", &o.device, "Device.", device_words, 0, 0},
        {RN_OPT_INT, "threads", "N", &o.threads, "Compute threads; 0: as --jobs.", NULL, 0, 4096},
        {RN_OPT_TEXT, "isa", "NAME", &o.isa, "Cap of the instruction set: portable, avx2, avx512, avx512bf16.", NULL, 0,
         0},
        {RN_OPT_INT, "rounds", "N", &o.rounds, "Timings of each algorithm, interleaved with the others'.", NULL, 1,
         10000},
        {RN_OPT_ENUM, "flops", "NAME", &o.flops,
         "What GFLOP/s counts: also the taps that fall in the padding, or only those in bounds (benchdnn's way).",
         flops_words, 0, 0},
        {RN_OPT_UINT, "seed", "N", &o.seed, "Seed of the data.", NULL, 0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "rn-bench conv",
        .synopsis = "",
        .summary = "Verifies, then times every convolution algorithm of a device.",
        .epilog =
            "A result that differs from a double-precision sum (400 sampled elements, and no NaN anywhere) by more "
            "than\n"
            "its type accounts for is reported WRONG and not timed. --json prints one array.\n"
            "Examples:\n"
            "  rn-bench conv --net resnet18-128 --mb 64\n"
            "  rn-bench conv --case mb32ic64ih56oc64kh3ph1 --dir fwd --algo 'cpu:*' --json\n"
            "Exit: 0 done, 1 a result was wrong, 2 usage, 3 nothing was timed, 77 no such device, or the CPU lacks\n"
            "what --isa asks for.",
        .opts = opts,
        .nopts = sizeof opts / sizeof *opts,
    };
    conv_run c = {.o = &o};
    rn_opt_result res = {0};
    bench_shapes list = {0};
    int rc = rn_opt_parse(&spec, argc, argv, &res);

    if (rc != 0)
        goto out;
    RN_GO(load(&o, &list));
    rn_backend_opts bo = {.threads = (int)(o.threads ? o.threads : res.common.jobs), .isa = o.isa};
    rc = rn_backend_open(rn_backends, device_words[o.device], &bo, &c.be);
    if (rc == RN_E_USAGE && o.device != 0) /* a device we know of, but not in this build */
        rc = rn_fail(RN_E_ABSENT, "%s", rn_error_text());
    if (rc < 0)
        goto out;
    c.json = res.common.json;
    c.inbounds = o.flops == 1;
    rc = run_list(&c, &list);
    if (c.json && c.results)
        puts("\n]");
out:
    rn_backend_close(c.be);
    bench_shapes_free(&list);
    rn_opt_free(&res);
    return rc < 0 ? rc : 0;
}
