/* SPDX-License-Identifier: MIT */
/* rn-bench conv: options and the run; what is told of it is bench_conv_print.c's and bench_page.c's. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "bench_conv.h"
#include "bench_nvml.h"
#include "bench_page.h"
#include "kernels/rn_kernels.h"
#include "op/rn_select.h"

#define CEILING_S   0.05 /* for each of the machine's ceilings */
#define MOST_COUNTS 64   /* numbers of threads in one run */

typedef struct conv_opts {
    const char *net, *shapes, *cases, *dirs, *dtypes, *pattern, *isa, *threads, *html;
    int device, flops, cache;
    bool csv, bn;
    int64_t mb, rounds;
    uint64_t seed;
} conv_opts;

typedef struct conv_run {
    const conv_opts *o;
    enum bench_form form;
    bench_setting setting;
    bench_evict evict;
    json_t *rows;
    size_t timed, wrong, failed;
    bool matched; /* an algorithm, by its name */
} conv_run;

static const char *const device_words[] = {"cpu", "cuda", NULL};
static const char *const cache_words[] = {"warm", "cold", NULL};

/* ---- the run -------------------------------------------------------------------------------------------------------- */

static int run_case(conv_run *c, const bench_shape *s, rn_conv_dir dir)
{
    const bench_plan_opts po = {.pattern = c->o->pattern,
                                .bn = c->o->bn,
                                .rounds = (int)c->o->rounds,
                                .seed = c->o->seed,
                                .evict = c->setting.cold ? &c->evict : NULL};
    bench_result *r = NULL;
    size_t n = 0;
    int rc = bench_measure(c->setting.be, &s->desc, dir, &po, &r, &n);

    bench_nvml_read(c->setting.nvml, c->setting.machine); /* while it is still warm from it */
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (i > 0 && r[i].way == BENCH_FUSED && r[i].refused && r[i].refused == r[i - 1].refused)
            continue; /* told once */
        json_t *row = bench_conv_row(&c->setting, s, dir, &r[i]);
        c->timed += r[i].verified;
        c->wrong += r[i].wrong;
        c->failed += !r[i].refused && !r[i].verified && !r[i].wrong;
        rc = row ? bench_conv_print(row, c->form, json_array_size(c->rows) == 0)
                 : rn_fail(RN_E_NOMEM, "bench: out of memory");
        json_array_append_new(c->rows, row);
    }
    bench_results_free(r, n);
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
    for (int t = 0; t < BENCH_DTYPES; t++) {
        bench_shape s = *shape;
        s.desc.dtype = (rn_dtype)t;
        if (in_list(c->o->dtypes, bench_dtype_words[t]))
            RN_TRY(run_case(c, &s, dir));
    }
    return 0;
}

static bool any_algorithm(const conv_run *c)
{
    bool any = false;

    for (const rn_conv_algo *const *a = c->setting.be->conv_algos; *a; a++)
        any = any || rn_select_match(c->o->pattern, (*a)->name);
    return any;
}

static int run_list(conv_run *c, const bench_shapes *list)
{
    const size_t from = json_array_size(c->rows);
    unsigned dtypes = 0;

    c->matched = any_algorithm(c);
    if (!c->matched || list->n == 0)
        return 0; /* nothing to hold against ceilings */

    for (int t = 0; t < BENCH_DTYPES; t++)
        dtypes |= in_list(c->o->dtypes, bench_dtype_words[t]) ? 1u << t : 0;
    RN_TRY(bench_ceilings_measure(c->setting.be, dtypes, CEILING_S, &c->setting.ceilings));
    bench_conv_head(&c->setting, c->form);
    for (size_t i = 0; i < list->n; i++) {
        for (int dir = 0; dir < 3; dir++) {
            if ((list->v[i].dirs >> dir & 1) && in_list(c->o->dirs, bench_dir_words[dir]))
                RN_TRY(run_types(c, &list->v[i], (rn_conv_dir)dir));
        }
    }
    if (c->form == BENCH_TEXT)
        bench_conv_totals(c->rows, from);
    return 0;
}

static int with_threads(conv_run *c, const bench_shapes *list, int threads)
{
    const conv_opts *o = c->o;
    const rn_backend_opts bo = {.threads = threads, .isa = o->isa};
    int rc = rn_backend_open(rn_backends, device_words[o->device], &bo, &c->setting.be);

    if (rc == RN_E_USAGE && o->device != 0) /* a device we know of, but not in this build */
        rc = rn_fail(RN_E_ABSENT, "%s", rn_error_text());
    if (rc == 0 && !(c->setting.machine = bench_machine(c->setting.be)))
        rc = rn_fail(RN_E_NOMEM, "bench: out of memory");
    if (rc == 0)
        c->setting.nvml = bench_nvml_open(c->setting.be);
    if (rc == 0)
        bench_nvml_read(c->setting.nvml, c->setting.machine);
    if (rc == 0 && c->setting.cold)
        rc = bench_evict_make(c->setting.be, &c->evict);
    if (rc == 0)
        rc = run_list(c, list);
    bench_evict_free(&c->evict);
    bench_nvml_close(c->setting.nvml);
    c->setting.nvml = NULL;
    json_decref(c->setting.machine);
    c->setting.machine = NULL;
    rn_backend_close(c->setting.be);
    c->setting.be = NULL;
    return rc;
}

static int verdict(const conv_run *c, const bench_shapes *list)
{
    if (list->n == 0)
        return rn_fail(RN_E_NOTHING, "nothing to time: no shape in %s", c->o->shapes ? c->o->shapes : "the list");
    if (json_array_size(c->rows) == 0)
        return c->o->pattern && !c->matched
                   ? rn_fail(RN_E_NOTHING, "nothing to time: no algorithm matches '%s'", c->o->pattern)
                   : rn_fail(RN_E_NOTHING, "nothing to time: no shape has a direction of '%s'", c->o->dirs);
    if (c->wrong)
        return rn_fail(RN_E_MISMATCH, "%zu results were wrong and not timed%s", c->wrong,
                       c->failed ? "; others failed" : "");
    if (c->failed)
        return rn_fail(RN_E_UNSUPPORTED, "failed: %zu of %zu results, which have no time", c->failed,
                       c->failed + c->timed);
    return c->timed ? 0 : rn_fail(RN_E_NOTHING, "nothing was timed: every algorithm refused");
}

/* ---- options -------------------------------------------------------------------------------------------------------- */

/* "2", "1,2,4", "1..8": *n numbers. */
static int thread_counts(const char *text, int64_t jobs, int *v, int *n)
{
    char copy[256], *save = NULL;

    *n = 0;
    if (!text) {
        v[(*n)++] = (int)jobs;
        return 0;
    }
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return rn_fail(RN_E_USAGE, "--threads: more than %zu characters", sizeof copy - 1);
    for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        int64_t lo, hi;
        char *dots = strstr(word, "..");
        if (dots)
            *dots = 0;
        if (rn_parse_i64(word, 0, 1024, &lo) < 0 || (dots && rn_parse_i64(dots + 2, lo, 1024, &hi) < 0))
            return rn_fail(RN_E_USAGE, "--threads '%s': expected numbers of 0 to 1024, as in 2 or 1,2,4 or 1..8", text);
        for (hi = dots ? hi : lo; lo <= hi; lo++) {
            if (*n == MOST_COUNTS)
                return rn_fail(RN_E_USAGE, "--threads '%s': more than %d numbers", text, MOST_COUNTS);
            v[(*n)++] = (int)lo;
        }
    }
    return *n ? 0 : rn_fail(RN_E_USAGE, "--threads '%s': no number, expected as in 2 or 1,2,4 or 1..8", text);
}

static int load(const conv_opts *o, bench_shapes *list)
{
    if (!!o->net + !!o->shapes + !!o->cases > 1)
        return rn_fail(RN_E_USAGE, "--net, --shapes and --case exclude each other");
    if (o->cases)
        return bench_shapes_cases(o->cases, (int)o->mb, list);
    if (o->shapes)
        return bench_shapes_file(o->shapes, (int)o->mb, list);
    return bench_shapes_net(o->net ? o->net : "resnet18", (int)o->mb, list);
}

static int run(conv_run *c, const rn_opt_result *res)
{
    const conv_opts *o = c->o;
    bench_shapes list = {0};
    int counts[MOST_COUNTS], n = 0, rc;

    if (o->csv && res->common.json)
        return rn_fail(RN_E_USAGE, "--csv and --json exclude each other: both go to stdout");
    if (o->bn && o->html)
        return rn_fail(RN_E_USAGE, "--bn and --html exclude each other: the page is of convolutions alone");
    if (o->device != 0 && (o->threads || o->isa))
        return rn_fail(RN_E_USAGE, "--%s is of the CPU: leave it out with --device %s", o->threads ? "threads" : "isa",
                       device_words[o->device]);
    c->form = res->common.json ? BENCH_JSON : o->csv ? BENCH_CSV : BENCH_TEXT;
    c->setting.flops = o->flops;
    c->setting.cold = o->cache == 1;
    c->setting.rounds = (int)o->rounds;
    c->setting.seed = o->seed;
    if (!(c->rows = json_array()))
        return rn_fail(RN_E_NOMEM, "bench: out of memory");
    RN_GO(thread_counts(o->threads, res->common.jobs, counts, &n));
    RN_GO(load(o, &list));
    for (int i = 0; i < n; i++)
        RN_GO(with_threads(c, &list, counts[i]));
out:
    if (c->form == BENCH_JSON && json_array_size(c->rows))
        puts("\n]");
    if (rc == 0 && o->html && json_array_size(c->rows))
        rc = bench_page_write(o->html, c->rows);
    if (rc == 0)
        rc = verdict(c, &list);
    bench_shapes_free(&list);
    return rc;
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
         "A list: a benchdnn descriptor a line, then *COUNT and the directions wanted, both optional; benchdnn's "
         "--batch=FILE, "
         "--dir=, --mb= and --reset are understood.",
         NULL, 0, 0},
        {RN_OPT_LIST, "case", "DESC", &o.cases,
         "Descriptors, such as mb32ic64ih56oc64kh3ph1; without mb 2 images, as in benchdnn.", NULL, 0, 0},
        {RN_OPT_LIST, "dir", "LIST", &o.dirs, "Directions.", bench_dir_words, 0, 0},
        {RN_OPT_LIST, "dtype", "LIST", &o.dtypes, "Types of the tensors; the weights' gradient is f32 in any case.",
         bench_dtype_words, 0, 0},
        {RN_OPT_TEXT, "algo", "PATTERN", &o.pattern,
         "Algorithms by name, e.g. 'cpu:*,onednn:*'. Default: all but the reference.", NULL, 0, 0},
        {RN_OPT_INT, "mb", "N", &o.mb, "Images in a batch; 0: what the descriptor says, or 16 in a list.", NULL, 0,
         65536},
        {RN_OPT_GROUP, "How", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_ENUM, "device", "NAME", &o.device, "Device.", device_words, 0, 0},
        {RN_OPT_TEXT, "threads", "LIST", &o.threads,
         "Compute threads: a number, or several, as in 1,2,4 or 1..4, which are timed one after the other; 0: one a "
         "core. "
         "Default: as --jobs.",
         NULL, 0, 0},
        {RN_OPT_TEXT, "isa", "NAME", &o.isa, "Cap of the instruction set: portable, avx2, avx512, avx512bf16, amx.",
         NULL, 0, 0},
        {RN_OPT_INT, "rounds", "N", &o.rounds, "Timings of each algorithm, interleaved with the others'.", NULL, 1,
         10000},
        {RN_OPT_ENUM, "cache", "NAME", &o.cache,
         "warm: operands are where the run before left them. cold: all of them, packed weights and workspace too, come "
         "from "
         "memory; each run is timed alone.",
         cache_words, 0, 0},
        {RN_OPT_FLAG, "bn", NULL, &o.bn,
         "With the batch norm and ReLU beside each convolution in training, each algorithm twice: apart, as an op "
         "before "
         "or after it, and fused, where it can.",
         NULL, 0, 0},
        {RN_OPT_ENUM, "flops", "NAME", &o.flops,
         "What GFLOP/s counts: also the taps that fall in the padding, or only those in bounds (benchdnn's way).",
         bench_flops_words, 0, 0},
        {RN_OPT_UINT, "seed", "N", &o.seed, "Seed of the data.", NULL, 0, 0},
        {RN_OPT_TEXT, "html", "FILE", &o.html, "Also write a page: roofline, bars by layer, the table, the machine.",
         NULL, 0, 0},
        {RN_OPT_FLAG, "csv", NULL, &o.csv, "Print results as comma-separated values: the same figures as --json.", NULL,
         0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "rn-bench conv",
        .synopsis = "",
        .summary = "Verifies, then times every convolution algorithm of a device.",
        .epilog =
            "Verified means: over small integers all elements, by exact sums; over reals no NaN, and 400 sampled "
            "elements\n"
            "against a sum in double. What is wrong is reported WRONG and not timed. --json prints one array.\n"
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
    int rc = rn_opt_parse(&spec, argc, argv, &res);

    if (rc == 0)
        rc = run(&c, &res);
    json_decref(c.rows);
    rn_opt_free(&res);
    return rc < 0 ? rc : 0;
}
