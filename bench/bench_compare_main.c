/* SPDX-License-Identifier: MIT */
/* rn-bench compare: options, and what is told of a comparison. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "bench_compare.h"
#include "bench_csv.h"

typedef struct compare_opts {
    double tolerance, confidence; /* per cent */
    const char *a_algo, *b_algo;
    bool csv, parts;
} compare_opts;

typedef struct files {
    const char *a_name, *b_name;
    bench_records a, b;
    bool one; /* b is a */
} files;

/* ---- text ----------------------------------------------------------------------------------------------------------- */

/* Facts that differ between the machines of two figures: a ratio of their times is then not one of the code. */
static void print_differences(const bench_record *a, const bench_record *b)
{
    static const char *const facts[] = {"cpu",      "gpu",    "driver",   "emulated", "cores",  "cores_allowed", "isa",
                                        "governor", "kernel", "compiler", "flags",    "onednn", "rnkit",         NULL};

    for (int i = 0; facts[i]; i++) {
        const char *x = json_string_value(json_object_get(a->machine, facts[i]));
        const char *y = json_string_value(json_object_get(b->machine, facts[i]));
        if (x && y && strcmp(x, y) != 0)
            printf("# they differ in %s: A '%s', B '%s'\n", facts[i], x, y);
    }
    if (!a->machine && !b->machine && strcmp(a->device, b->device) != 0)
        printf("# they differ in device: A '%s', B '%s'\n", a->device, b->device);
}

static const char *algos_of(const bench_pair *p, char *buf, size_t cap)
{
    const bool same = strcmp(p->a->algo, p->b->algo) == 0;

    snprintf(buf, cap, "%s%s%s", p->a->algo, same ? "" : " -> ", same ? "" : p->b->algo);
    return buf;
}

static void print_pair(const bench_pair *p)
{
    char algos[160];

    printf("%-8s ", bench_verdict_words[p->verdict]);
    if (p->verdict == BENCH_LOST)
        printf("%7s %17s %7s %12.5g %12s", "", "", "", p->a->value, p->b->state);
    else if (p->speed.has_interval)
        printf("%7.3f [%7.3f,%7.3f] %7.3f %12.5g %12.5g", p->speed.ratio, p->speed.lo, p->speed.hi, p->quiet,
               p->a->value, p->b->value);
    else
        printf("%7.3f %17s %7.3f %12.5g %12.5g", p->speed.ratio, "no interval", p->quiet, p->a->value, p->b->value);
    printf(" %-8s %s %s", p->a->unit, p->a->key, algos_of(p, algos, sizeof algos));
    if (p->verdict == BENCH_LOST)
        printf(": %s", p->b->no_time);
    putchar('\n');
}

static void print_only(const char *name, const bench_record *const *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("# only in %s: %s %s\n", name, v[i]->key, v[i]->algo);
}

static void print_text(const files *f, const bench_compare_opts *o, const bench_comparison *c)
{
    printf("# A: %s%s%s\n# B: %s%s%s\n", f->a_name, o->a_algo ? ", the fastest of " : "", o->a_algo ? o->a_algo : "",
           f->b_name, o->b_algo ? ", the fastest of " : "", o->b_algo ? o->b_algo : "");
    print_differences(c->v[0].a, c->v[0].b);
    printf(
        "# speed: B's in units of A's, with its interval%s; all of them together hold with %g %%, each with %.7g %%\n"
        "# quiet: speed of the best samples. A verdict needs both beyond %g %%",
        f->one ? ", of rounds paired" : "", 100 * o->confidence, 100 * c->confidence_each, 100 * o->tolerance);
    if (c->noise > 1)
        printf(", and quiet by another %.3g %%: what disturbed the rounds of a case", 100 * (c->noise - 1));
    putchar('\n');
    printf("%-8s %7s %17s %7s %12s %12s\n", "verdict", "speed", "interval", "quiet", "A", "B");
    for (size_t i = 0; i < c->n; i++)
        print_pair(&c->v[i]);
    print_only("A", c->only_a, c->nonly_a);
    print_only("B", c->only_b, c->nonly_b);
    printf("%zu compared:", c->n);
    for (int v = 0; v < BENCH_VERDICTS; v++) {
        if (c->counts[v])
            printf(" %zu %s", c->counts[v], bench_verdict_words[v]);
    }
    if (c->geomean > 0)
        printf("; geometric mean of the speeds %.3f", c->geomean);
    if (c->total_a > 0)
        printf("\ntime-weighted: A %.4f ms, B %.4f ms, speed %.3f", c->total_a, c->total_b, c->total_a / c->total_b);
    putchar('\n');
}

/* ---- JSON and CSV --------------------------------------------------------------------------------------------------- */

static json_t *row(const bench_pair *p)
{
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:f}", "key", p->a->key, "algo_a", p->a->algo, "algo_b",
                          p->b->algo, "verdict", bench_verdict_words[p->verdict], "unit", p->a->unit, "a", p->a->value,
                          "count", p->a->weight);

    if (p->verdict == BENCH_LOST) {
        json_object_set_new(j, "reason", json_string(p->b->no_time));
        return j;
    }
    json_object_set_new(j, "b", json_real(p->b->value));
    json_object_set_new(j, "speed", json_real(p->speed.ratio));
    json_object_set_new(j, "speed_lo", p->speed.has_interval ? json_real(p->speed.lo) : json_null());
    json_object_set_new(j, "speed_hi", p->speed.has_interval ? json_real(p->speed.hi) : json_null());
    json_object_set_new(j, "quiet_speed", p->quiet > 0 ? json_real(p->quiet) : json_null());
    return j;
}

static json_t *names(const bench_record *const *v, size_t n)
{
    json_t *a = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_sprintf("%s %s", v[i]->key, v[i]->algo));
    return a;
}

static int print_json(const files *f, const bench_compare_opts *o, const bench_comparison *c)
{
    json_t *j = json_pack("{s:s, s:s, s:f, s:f}", "a", f->a_name, "b", f->b_name, "tolerance_pct", 100 * o->tolerance,
                          "confidence_pct", 100 * o->confidence);
    json_object_set_new(j, "confidence_each_pct", json_real(100 * c->confidence_each));
    json_object_set_new(j, "noise_pct", json_real(100 * (c->noise - 1)));
    json_t *cases = json_array();

    for (size_t i = 0; i < c->n; i++)
        json_array_append_new(cases, row(&c->v[i]));
    for (int v = 0; v < BENCH_VERDICTS; v++)
        json_object_set_new(j, bench_verdict_words[v], json_integer((json_int_t)c->counts[v]));
    json_object_set_new(j, "geomean_speed", c->geomean > 0 ? json_real(c->geomean) : json_null());
    json_object_set_new(j, "total_a_ms", c->total_a > 0 ? json_real(c->total_a) : json_null());
    json_object_set_new(j, "total_b_ms", c->total_a > 0 ? json_real(c->total_b) : json_null());
    json_object_set_new(j, "total_speed", c->total_a > 0 ? json_real(c->total_a / c->total_b) : json_null());
    json_object_set_new(j, "only_a", names(c->only_a, c->nonly_a));
    json_object_set_new(j, "only_b", names(c->only_b, c->nonly_b));
    json_object_set_new(j, "cases", cases);
    char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    json_decref(j);
    if (!text)
        return rn_fail(RN_E_NOMEM, "compare: out of memory");
    puts(text);
    free(text);
    return 0;
}

static int print_csv(const bench_comparison *c)
{
    static const char *const columns[] = {"key",   "algo_a",   "algo_b",   "count",       "unit",    "a",      "b",
                                          "speed", "speed_lo", "speed_hi", "quiet_speed", "verdict", "reason", NULL};

    for (size_t i = 0; i < c->n; i++) {
        json_t *j = row(&c->v[i]);
        int rc = bench_csv_row(columns, j, i == 0);
        json_decref(j);
        RN_TRY(rc);
    }
    return 0;
}

/* ---- the run -------------------------------------------------------------------------------------------------------- */

static int verdict(const bench_comparison *c, const compare_opts *o)
{
    if (c->counts[BENCH_SLOWER] + c->counts[BENCH_LOST])
        return rn_fail(RN_E_MISMATCH,
                       "%zu of %zu are slower by more than %g %%, %zu are refused, failed or wrong where they were not",
                       c->counts[BENCH_SLOWER], c->n, o->tolerance, c->counts[BENCH_LOST]);
    return 0;
}

static int run(const compare_opts *o, const rn_opt_result *res, files *f)
{
    const bench_compare_opts co = {o->tolerance / 100, o->confidence / 100, o->a_algo, o->b_algo};
    bench_comparison c = {0};
    int rc;

    f->one = res->noperands == 1;
    if (f->one && !(o->a_algo && o->b_algo))
        return rn_fail(RN_E_USAGE, "one file: --a-algo and --b-algo say which of its algorithms are compared");
    if (o->csv && res->common.json)
        return rn_fail(RN_E_USAGE, "--csv and --json exclude each other: both go to stdout");
    f->a_name = res->operands[0];
    f->b_name = res->operands[f->one ? 0 : 1];
    RN_TRY(bench_records_load(f->a_name, o->parts, &f->a));
    if (!f->one)
        RN_TRY(bench_records_load(f->b_name, o->parts, &f->b));
    RN_GO(bench_compare(&f->a, f->one ? &f->a : &f->b, &co, &c));
    if (c.n == 0) {
        rc = rn_fail(RN_E_NOTHING,
                     "nothing to compare: %s has %zu figures%s%s, %s has %zu%s%s, and none is of the same case",
                     f->a_name, c.nonly_a, o->a_algo ? " of " : "", o->a_algo ? o->a_algo : "", f->b_name, c.nonly_b,
                     o->b_algo ? " of " : "", o->b_algo ? o->b_algo : "");
    } else if (res->common.json) {
        rc = print_json(f, &co, &c);
    } else if (o->csv) {
        rc = print_csv(&c);
    } else {
        print_text(f, &co, &c);
    }
    if (rc == 0)
        rc = verdict(&c, o);
out:
    bench_comparison_free(&c);
    return rc;
}

int bench_compare_main(int argc, char **argv)
{
    compare_opts o = {.tolerance = 5, .confidence = 95};
    const rn_opt opts[] = {
        {RN_OPT_REAL, "tolerance", "PCT", &o.tolerance, "Differences up to here do not matter.", NULL, 0, 1000},
        {RN_OPT_REAL, "confidence", "PCT", &o.confidence, "That all intervals hold.", NULL, 50, 99.99},
        {RN_OPT_TEXT, "a-algo", "PATTERN", &o.a_algo,
         "Convolutions: of A the fastest of these, case by case, e.g. 'onednn:*'.", NULL, 0, 0},
        {RN_OPT_TEXT, "b-algo", "PATTERN", &o.b_algo, "The same of B, e.g. 'cpu:*'.", NULL, 0, 0},
        {RN_OPT_FLAG, "parts", NULL, &o.parts, "Of training steps, also each op's share.", NULL, 0, 0},
        {RN_OPT_FLAG, "csv", NULL, &o.csv, "Print the pairs as comma-separated values.", NULL, 0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "rn-bench compare",
        .synopsis = "A.json B.json [OPTION...]\nAB.json --a-algo PATTERN --b-algo PATTERN [OPTION...]",
        .summary =
            "Compares two outputs of rn-bench conv, peak, train, loader or resize --json, or two algorithms in one of "
            "conv, figure by figure.",
        .epilog = "faster, slower: the whole interval is beyond the tolerance, and so are the best samples; same: "
                  "inside it;\n"
                  "unclear: anything else, and what has no interval; lost: timed in A, refused, failed or wrong in B.\n"
                  "The intervals hold all together: where nothing differs, a comparison has a false verdict in at most "
                  "1 of 20\n"
                  "(--confidence), however many cases it has; more cases need more rounds. Of two files, the interval "
                  "is of the\n"
                  "rounds within them, and the best samples must differ by more than disturbances did within the "
                  "cases; what\n"
                  "else changes from run to run is not known. Algorithms that were timed in one run are compared round "
                  "by round.\n"
                  "Examples:\n"
                  "  rn-bench compare before.json after.json --tolerance 3\n"
                  "  rn-bench compare conv.json --a-algo 'onednn:*' --b-algo 'cpu:*'\n"
                  "Exit: 0 done, 1 something is slower or lost, 2 usage, 3 no figure is in both.",
        .opts = opts,
        .nopts = sizeof opts / sizeof *opts,
        .min_operands = 1,
        .max_operands = 2,
    };
    rn_opt_result res = {0};
    files f = {0};
    int rc = rn_opt_parse(&spec, argc, argv, &res);

    if (rc == 0)
        rc = run(&o, &res, &f);
    bench_records_free(&f.a);
    bench_records_free(&f.b);
    rn_opt_free(&res);
    return rc < 0 ? rc : 0;
}
