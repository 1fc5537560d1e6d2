/* SPDX-License-Identifier: MIT */
/* Figures out of files: what each command of rn-bench writes is a row of a table here. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "bench_compare.h"

#define MOST_BYTES ((size_t)1 << 30)

typedef struct figure {
    const char *value, *iqr, *samples, *unit;
    bool less_is_better;
} figure;

static const struct kind {
    const char *has[2]; /* an object with these keys is one */
    const char *ids[8]; /* what tells it from others, in the order of the text */
    figure figures[2];  /* the first one that is there */
} kinds[] = {
    {{"case", "dir"},
     {"case", "dir", "dtype", "fuse", "cache", "threads"},
     {{"ms", "ms_iqr", "samples_ms", "ms", true}}},
    {{"peak", "threads"},
     {"peak", "threads"},
     {{"gflops", NULL, "samples_gflops", "GFLOP/s", false}, {"gb_s", NULL, "samples_gb_s", "GB/s", false}}},
    {{"arch", "step_ms"},
     {"arch", "image_size", "batch", "dtype", "threads"},
     {{"step_ms", "step_ms_iqr", "samples_ms", "ms", true}}},
    {{"mode", "images_per_s"},
     {"mode", "records", "size", "batch", "workers", "exact"},
     {{"images_per_s", "images_per_s_iqr", NULL, "images/s", false}}},
    {{"from", "isa"}, {"from", "to", "channels", "filter", "isa"}, {{"ms", "ms_iqr", NULL, "ms", true}}},
    {{"op", "calls"}, {"op"}, {{"ms", NULL, NULL, "ms", true}}},
};

enum { NKINDS = sizeof kinds / sizeof *kinds };

static const struct kind *kind_of(const json_t *o)
{
    for (int k = 0; k < NKINDS; k++) {
        if (json_object_get(o, kinds[k].has[0]) && json_object_get(o, kinds[k].has[1]))
            return &kinds[k];
    }
    return NULL;
}

static const char *str(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* Its identity as a text; numbers with their key, words alone. */
static void put_key(const struct kind *k, const json_t *o, const char *of, char *key, size_t cap)
{
    size_t at = (size_t)snprintf(key, cap, "%s", of);

    for (int i = 0; i < 8 && k->ids[i] && at < cap; i++) {
        const json_t *v = json_object_get(o, k->ids[i]);
        const char *gap = at ? " " : "";
        if (json_is_string(v))
            at += (size_t)snprintf(key + at, cap - at, "%s%s", gap, json_string_value(v));
        else if (json_is_number(v))
            at += (size_t)snprintf(key + at, cap - at, "%s%s %.10g", gap, k->ids[i], json_number_value(v));
        else if (json_is_true(v))
            at += (size_t)snprintf(key + at, cap - at, "%s%s", gap, k->ids[i]);
    }
}

/* A file that is not what rn-bench wrote any more: what is wrong is said before, what to do here. */
#define MEASURE_AGAIN "; measure it again, or take the case out of the file"

static int above_zero(const char *path, const char *key, const char *what, const json_t *v, double *out)
{
    *out = json_number_value(v);
    if (!json_is_number(v) || !(*out > 0) || !isfinite(*out))
        return rn_fail(RN_E_FORMAT, "%s: %s: '%s' is %s; expected a number above 0" MEASURE_AGAIN, path, key, what,
                       !v                  ? "missing"
                       : json_is_number(v) ? "not above 0"
                                           : "no number");
    return 0;
}

static int take_samples(const char *path, const json_t *o, const figure *f, bench_record *r)
{
    const json_t *v = f->samples ? json_object_get(o, f->samples) : NULL;
    const size_t n = json_array_size(v);

    if (!v)
        return 0; /* not every command keeps them */
    if (n == 0)
        return rn_fail(RN_E_FORMAT, "%s: %s: '%s' is %s; expected an array of numbers above 0" MEASURE_AGAIN, path,
                       r->key, f->samples, json_is_array(v) ? "empty" : "no array");
    if (n > INT_MAX)
        return rn_fail(RN_E_FORMAT, "%s: %s: '%s' has %zu numbers" MEASURE_AGAIN, path, r->key, f->samples, n);
    if (!(r->samples = calloc(n, sizeof *r->samples)))
        return rn_fail(RN_E_NOMEM, "compare: out of memory");
    r->n = (int)n;
    for (size_t i = 0; i < n; i++) {
        char what[64];
        snprintf(what, sizeof what, "%s[%zu]", f->samples, i);
        RN_TRY(above_zero(path, r->key, what, json_array_get(v, i), &r->samples[i]));
    }
    return 0;
}

static int take_figure(const char *path, const struct kind *k, const json_t *o, bench_record *r)
{
    const figure *f = k->figures[1].value && !json_object_get(o, k->figures[0].value) ? &k->figures[1] : &k->figures[0];

    r->unit = f->unit;
    r->less_is_better = f->less_is_better;
    if (*str(o, "refused") || *str(o, "failure")) {
        const bool bad = *str(o, "failure") != 0;
        r->state = *str(o, "state") ? str(o, "state") : bad ? "wrong" : "refused";
        r->no_time = bad ? str(o, "failure") : str(o, "refused");
        return 0;
    }
    RN_TRY(above_zero(path, r->key, f->value, json_object_get(o, f->value), &r->value));
    const json_t *iqr = f->iqr ? json_object_get(o, f->iqr) : NULL;
    if (iqr && !(json_is_number(iqr) && json_number_value(iqr) >= 0))
        return rn_fail(RN_E_FORMAT, "%s: %s: '%s' is no number of 0 or more" MEASURE_AGAIN, path, r->key, f->iqr);
    r->iqr = iqr ? json_number_value(iqr) : -1;
    return take_samples(path, o, f, r);
}

static int add(const char *path, const json_t *o, const char *of, bench_records *out)
{
    const struct kind *k = kind_of(o);

    if (!k)
        return rn_fail(RN_E_FORMAT,
                       "%s: entry %zu is nothing that rn-bench conv, peak, train, loader or resize writes with "
                       "--json",
                       path, out->n + 1);
    if (!(out->n & (out->n - 1))) { /* room is a power of two */
        bench_record *v = realloc(out->v, (out->n ? 2 * out->n : 1) * sizeof *v);
        if (!v)
            return rn_fail(RN_E_NOMEM, "compare: out of memory");
        out->v = v;
    }
    bench_record *r = &out->v[out->n++];
    *r = (bench_record){.algo = str(o, "algo"), .device = str(o, "device"), .weight = 1, .iqr = -1};
    put_key(k, o, of, r->key, sizeof r->key);
    r->machine = json_object_get(o, "machine");
    const json_t *count = json_object_get(o, "count");
    if (count)
        RN_TRY(above_zero(path, r->key, "count", count, &r->weight));
    return take_figure(path, k, o, r);
}

static int add_all(const char *path, const json_t *o, bool parts, bench_records *out)
{
    if (json_is_array(o)) {
        for (size_t i = 0; i < json_array_size(o); i++)
            RN_TRY(add_all(path, json_array_get(o, i), parts, out));
        return 0;
    }
    RN_TRY(add(path, o, "", out));
    const json_t *ops = json_object_get(o, "ops");
    char of[sizeof out->v->key];
    snprintf(of, sizeof of, "%s", out->v[out->n - 1].key);
    for (size_t i = 0; parts && i < json_array_size(ops); i++) {
        RN_TRY(add(path, json_array_get(ops, i), of, out));
        out->v[out->n - 1].weight = 0; /* the step has them */
    }
    return 0;
}

static int by_key(const void *a, const void *b)
{
    const bench_record *x = *(const bench_record *const *)a, *y = *(const bench_record *const *)b;
    int c = strcmp(x->key, y->key);
    return c ? c : strcmp(x->algo, y->algo);
}

static int check_twice(const char *path, const bench_records *r)
{
    const bench_record **v = calloc(r->n ? r->n : 1, sizeof *v);
    int rc = 0;

    if (!v)
        return rn_fail(RN_E_NOMEM, "compare: out of memory");
    for (size_t i = 0; i < r->n; i++)
        v[i] = &r->v[i];
    qsort(v, r->n, sizeof *v, by_key);
    for (size_t i = 1; rc == 0 && i < r->n; i++) {
        if (by_key(&v[i - 1], &v[i]) == 0)
            rc = rn_fail(RN_E_FORMAT, "%s: %s%s%s is there twice: which of the two is meant? Keep one", path, v[i]->key,
                         *v[i]->algo ? " " : "", v[i]->algo);
    }
    free(v);
    return rc;
}

/* Of Python's json module, for one, come NaN and Infinity, which no JSON has. Named is the case that was read last. */
static int not_json(const char *path, const char *text, size_t at, size_t n, const json_error_t *e)
{
    const size_t end = at + (e->position > 0 ? (size_t)e->position : 0);
    int line = e->line;
    const char *of = "";

    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    for (const char *p = text; (p = strstr(p, "\"case\"")) && p < text + (end < n ? end : n); p++)
        of = p + 6 + strspn(p + 6, " \t:\"");
    const int length = (int)strcspn(of, "\"\n");
    if (json_error_code(e) == json_error_premature_end_of_input)
        return rn_fail(RN_E_FORMAT,
                       "%s:%d: ends in the middle%s%.*s: of a run that was ended early, cut off a last line that is "
                       "incomplete, with the comma before it, and add a line with ]",
                       path, line, length ? ", after " : "", length, of);
    return rn_fail(RN_E_FORMAT, "%s:%d: not JSON%s%.*s: %s; NaN and Infinity are no numbers there" MEASURE_AGAIN, path,
                   line, length ? ", in " : "", length, of, e->text);
}

static int parse(const char *path, const char *text, size_t n, json_t *root)
{
    for (size_t at = 0;;) {
        json_error_t e;
        at += strspn(text + at, " \t\r\n");
        if (at >= n)
            return 0;
        json_t *v = json_loadb(text + at, n - at, JSON_DISABLE_EOF_CHECK, &e);
        if (!v)
            return not_json(path, text, at, n, &e);
        at += (size_t)e.position;
        if (json_array_append_new(root, v) < 0)
            return rn_fail(RN_E_NOMEM, "compare: out of memory");
    }
}

int bench_records_load(const char *path, bool parts, bench_records *out)
{
    char *text = NULL;
    size_t n;
    int rc;

    RN_TRY(rn_read_text(path, MOST_BYTES, &text, &n));
    if (!(out->root = json_array()))
        RN_GO(rn_fail(RN_E_NOMEM, "compare: out of memory"));
    RN_GO(parse(path, text, n, out->root));
    RN_GO(add_all(path, out->root, parts, out));
    if (out->n == 0)
        RN_GO(rn_fail(RN_E_NOTHING, "%s: no figures in it", path));
    rc = check_twice(path, out);
out:
    free(text);
    return rc;
}

void bench_records_free(bench_records *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->v[i].samples);
    free(r->v);
    json_decref(r->root);
    *r = (bench_records){0};
}
