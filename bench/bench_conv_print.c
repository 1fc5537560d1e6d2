/* SPDX-License-Identifier: MIT */
/* Results of rn-bench conv. Every form, text, JSON, CSV and page, is made of the same row. */
#include <string.h>

#include "base/rn_error.h"
#include "bench_conv.h"
#include "bench_csv.h"
#include "bench_norm.h"

const char *const bench_dtype_words[] = {"f32", "bf16", "f16", NULL};
const char *const bench_dir_words[] = {"fwd", "bwd_d", "bwd_w", NULL};
const char *const bench_flops_words[] = {"padding-counted", "inbounds", NULL};

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

static void set(json_t *o, const char *key, json_t *v)
{
    json_object_set_new(o, key, v);
}

static json_t *known(double x)
{
    return x > 0 ? json_real(x) : json_null();
}

static void put_timing(json_t *j, const bench_setting *s, const bench_shape *shape, const bench_result *r)
{
    const rn_dtype t = shape->desc.dtype;
    const char *bound;
    const double flop = rn_conv_flops(&shape->desc, s->flops == 1), bytes = rn_conv_bytes(&shape->desc);
    const double gflops = flop / r->ms * 1e-6, peak = s->ceilings.gflops[t];
    const double roof = bench_roofline(&s->ceilings, t, flop, bytes, s->cold, &bound);
    const bool alone = r->way == BENCH_ALONE; /* with a batch norm more is moved, how much more depends on the way */
    json_t *samples = json_array();

    set(j, "ms", json_real(r->ms));
    set(j, "ms_iqr", json_real(r->ms_q3 - r->ms_q1));
    set(j, "ms_min", json_real(r->ms_min));
    set(j, "gflops", json_real(gflops));
    set(j, "flop_convention", json_string(bench_flops_words[s->flops]));
    set(j, "peak_pct", known(peak > 0 ? 100 * gflops / peak : 0));
    set(j, "roofline_pct", known(alone && roof > 0 ? 100 * gflops / roof : 0));
    set(j, "bound", json_string(alone ? bound : ""));
    set(j, "flop", json_real(flop));
    set(j, "bytes", known(alone ? bytes : 0));
    set(j, "gb_s", known(alone ? bytes / r->ms * 1e-6 : 0));
    set(j, "prepare_ms", json_real(r->prepare_ms));
    set(j, "core_ms", known(r->core_ms));
    set(j, "workspace", json_integer((json_int_t)r->workspace));
    set(j, "samples", json_integer(r->nsamples));
    set(j, "repeats", json_integer(r->repeats));
    if (s->be->capture_begin)
        set(j, "replayed", json_boolean(r->replayed));
    for (int i = 0; i < r->nsamples; i++)
        json_array_append_new(samples, json_real(r->samples_ms[i]));
    set(j, "samples_ms", samples);
}

static json_t *ceilings(const bench_setting *s, rn_dtype t)
{
    json_t *o = json_object();

    set(o, "gflops", known(s->ceilings.gflops[t]));
    for (int i = 0; i < BENCH_LEVELS; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s_gb_s", bench_level_names[i]);
        set(o, key, known(s->ceilings.gb_s[i]));
    }
    return o;
}

json_t *bench_conv_row(const bench_setting *s, const bench_shape *shape, rn_conv_dir dir, const bench_result *r)
{
    char text[256];
    json_t *j = json_object();

    set(j, "case", json_string(rn_conv_desc_text(&shape->desc, text, sizeof text)));
    set(j, "dir", json_string(rn_conv_dir_name(dir)));
    set(j, "dtype", json_string(rn_dtype_name(shape->desc.dtype)));
    set(j, "algo", json_string(r->algo->name));
    if (r->way == BENCH_APART)
        set(j, "fuse", json_string("apart"));
    if (r->way == BENCH_FUSED)
        set(j, "fuse", json_string(rn_conv_fuse_text(bench_norm_fuse(dir), text, sizeof text)));
    if (r->algo->flags & RN_ALGO_LOWPREC)
        set(j, "lowprec", json_true());
    set(j, "threads", json_integer(s->be->threads));
    set(j, "cache", json_string(s->cold ? "cold" : "warm"));
    set(j, "state", json_string(r->refused ? "refused" : r->verified ? "timed" : r->wrong ? "wrong" : "failed"));
    if (r->refused)
        set(j, "refused", json_string(r->refused));
    else if (r->verified)
        put_timing(j, s, shape, r);
    else
        set(j, "failure", json_string(r->failure));
    if (!r->refused)
        set(j, "verified", json_boolean(r->verified));
    if (*r->impl)
        set(j, "impl", json_string(r->impl));
    set(j, "layer", json_string(shape->name));
    set(j, "count", json_integer(shape->count));
    set(j, "seed", json_integer((json_int_t)s->seed));
    set(j, "device", json_string(s->be->describe));
    set(j, "ceilings", ceilings(s, shape->desc.dtype));
    set(j, "machine", s->nvml ? json_copy(s->machine) : json_incref(s->machine)); /* its clocks go on changing */
    return j;
}

/* ---- text ----------------------------------------------------------------------------------------------------------- */

static const char *str(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));
    return s ? s : "";
}

static double num(const json_t *row, const char *key)
{
    return json_number_value(json_object_get(row, key));
}

static const char *pct(const json_t *row, const char *key, char out[16])
{
    json_t *v = json_object_get(row, key);

    if (json_is_number(v))
        snprintf(out, 16, "%.1f", json_number_value(v));
    else
        snprintf(out, 16, "-");
    return out;
}

/* Idle clocks would say little: those under load stand in each row of JSON. */
static void device_head(const bench_setting *s)
{
    printf("# %s; %s; flags %s\n# times by the device's events", s->be->describe, str(s->machine, "compiler"),
           str(s->machine, "flags"));
    if (json_object_get(s->machine, "nvml"))
        printf("; %s", str(s->machine, "nvml"));
    if (num(s->machine, "gpu_sm_mhz") > 0)
        printf("; clock %.0f of %.0f MHz, %.0f of %.0f W before the first", num(s->machine, "gpu_sm_mhz"),
               num(s->machine, "gpu_sm_mhz_max"), num(s->machine, "gpu_power_w"), num(s->machine, "gpu_power_limit_w"));
    puts(s->be->emulated
             ? "\n# EMULATED: it checks and runs everything; its times are the host's, and say nothing of a device"
             : "");
}

void bench_conv_head(const bench_setting *s, enum bench_form form)
{
    if (form != BENCH_TEXT)
        return;
    const char *governor = str(s->machine, "governor");
    if (strcmp(s->be->device, "cpu") == 0)
        printf("# %s, %d threads; clock %.2f GHz measured, governor %s; %s; flags %s\n", s->be->describe,
               s->be->threads, num(s->machine, "clock_ghz_measured"), governor, str(s->machine, "compiler"),
               str(s->machine, "flags"));
    else
        device_head(s);
    bool any = false;
    printf("# measured here:");
    for (int t = 0; t < BENCH_DTYPES; t++) {
        if (s->ceilings.gflops[t] > 0)
            printf("%s %s %.1f GFLOP/s", any ? "," : "", bench_dtype_words[t], s->ceilings.gflops[t]);
        any = any || s->ceilings.gflops[t] > 0;
    }
    for (int i = 0; i < BENCH_LEVELS; i++) {
        if (s->ceilings.gb_s[i] > 0)
            printf("%s %s %.1f GB/s", any ? "," : "", bench_level_names[i], s->ceilings.gb_s[i]);
        any = any || s->ceilings.gb_s[i] > 0;
    }
    printf("%s\n# FLOP convention: %s; bytes: each tensor once; caches %s; seed %llu\n",
           any ? " (%peak, %roof)" : " no ceiling", bench_flops_words[s->flops],
           s->cold ? "cold: emptied before every run" : "warm: operands as the run before left them",
           (unsigned long long)s->seed);
    printf(
        "# ms: median of %d interleaved rounds, iqr: their interquartile range; every result verified before timing\n",
        s->rounds);
    printf("%-44s %5s %-6s %-5s %-22s %10s %9s %9s %6s %6s %8s %9s %9s  %s\n", "case", "count", "dir", "type", "algo",
           "ms", "iqr", "GFLOP/s", "%peak", "%roof", "bound", "prepare", "work MB", "implementation");
}

/* With --bn an algorithm stands twice. */
static const char *name_of(const json_t *row, char out[64])
{
    const char *fuse = str(row, "fuse"), *way = !*fuse ? "" : strcmp(fuse, "apart") == 0 ? ", apart" : ", fused";

    snprintf(out, 64, "%s%s", str(row, "algo"), way);
    return out;
}

static void print_text(const json_t *row)
{
    char peak[16], roof[16], name[64];

    printf("%-44s x%-4d %-6s %-5s %-22s ", str(row, "case"), (int)num(row, "count"), str(row, "dir"), str(row, "dtype"),
           name_of(row, name));
    if (json_object_get(row, "refused"))
        printf("refused: %s\n", str(row, "refused"));
    else if (json_object_get(row, "failure"))
        printf("%s: %s\n", strcmp(str(row, "state"), "wrong") == 0 ? "WRONG" : "failed", str(row, "failure"));
    else
        printf("%10.4f %9.4f %9.1f %6s %6s %8s %9.4f %9.2f  %s\n", num(row, "ms"), num(row, "ms_iqr"),
               num(row, "gflops"), pct(row, "peak_pct", peak), pct(row, "roofline_pct", roof), str(row, "bound"),
               num(row, "prepare_ms"), num(row, "workspace") * 1e-6, str(row, "impl"));
}

/* ---- CSV ------------------------------------------------------------------------------------------------------------ */

static const char *const columns[] = {
    "case",         "layer",   "count",  "dir",     "dtype",   "algo",       "impl",    "threads",         "cache",
    "verified",     "ms",      "ms_iqr", "ms_min",  "samples", "repeats",    "gflops",  "flop_convention", "peak_pct",
    "roofline_pct", "bound",   "flop",   "bytes",   "gb_s",    "prepare_ms", "core_ms", "workspace",       "seed",
    "refused",      "failure", "device", "lowprec", "fuse",    "state",      NULL};

/* ---- any form ------------------------------------------------------------------------------------------------------- */

int bench_conv_print(const json_t *row, enum bench_form form, bool first)
{
    if (form == BENCH_CSV) {
        RN_TRY(bench_csv_row(columns, row, first));
    } else if (form == BENCH_TEXT) {
        print_text(row);
    } else {
        char *line = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(6));
        if (!line)
            return rn_fail(RN_E_NOMEM, "bench: out of memory");
        printf("%s%s", first ? "[\n" : ",\n", line);
        free(line);
    }
    fflush(stdout); /* a run that is ended before its end keeps what it measured */
    return 0;
}

/* ---- totals --------------------------------------------------------------------------------------------------------- */

enum { MOST_TOTALS = 2 * BENCH_MAX_ALGOS };

typedef struct total {
    char name[64]; /* empty: none */
    double ms, ms_min, flop;
    size_t cases, refused;
} total;

static total *total_of(total *t, const char *name)
{
    int i = 0;

    while (i < MOST_TOTALS - 1 && *t[i].name && strcmp(t[i].name, name) != 0)
        i++;
    snprintf(t[i].name, sizeof t[i].name, "%s", name);
    return &t[i];
}

/* An algorithm that refused a case has no total. */
static void print_total(const char *dir, const char *dtype, const total *t)
{
    double best = 0;

    for (int i = 0; i < MOST_TOTALS && *t[i].name; i++) {
        if (t[i].refused == 0 && (best == 0 || t[i].ms < best))
            best = t[i].ms;
    }
    for (int i = 0; i < MOST_TOTALS && *t[i].name; i++) {
        printf("total %-6s %-5s %-22s ", dir, dtype, t[i].name);
        if (t[i].refused)
            printf("without %zu of %zu cases\n", t[i].refused, t[i].refused + t[i].cases);
        else
            printf("%10.3f ms %9.1f GFLOP/s, %.2f of the fastest's speed; quietest rounds %.3f ms\n", t[i].ms,
                   t[i].flop / t[i].ms * 1e-6, best / t[i].ms, t[i].ms_min);
    }
}

static void add_up(const json_t *rows, size_t from, const char *dir, const char *dtype, total *t)
{
    char name[64];

    for (size_t i = from; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (strcmp(str(row, "dir"), dir) != 0 || strcmp(str(row, "dtype"), dtype) != 0)
            continue;
        total *of = total_of(t, name_of(row, name));
        if (!json_object_get(row, "ms")) {
            of->refused++;
            continue;
        }
        of->cases++;
        of->ms += num(row, "ms") * num(row, "count");
        of->ms_min += num(row, "ms_min") * num(row, "count");
        of->flop += num(row, "flop") * num(row, "count");
    }
}

int bench_conv_totals(const json_t *rows, size_t from)
{
    for (int dir = 0; dir < 3; dir++) {
        for (int k = 0; k < BENCH_DTYPES; k++) {
            total t[MOST_TOTALS];
            memset(t, 0, sizeof t);
            add_up(rows, from, bench_dir_words[dir], bench_dtype_words[k], t);
            if (*t[0].name && t[0].cases + t[0].refused > 1)
                print_total(bench_dir_words[dir], bench_dtype_words[k], t);
        }
    }
    return 0;
}
