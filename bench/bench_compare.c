/* SPDX-License-Identifier: MIT */
/* Pairs figures of two files, and judges each pair. */
#include "bench_compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "op/rn_select.h"

const char *const bench_verdict_words[] = {"faster", "same", "slower", "unclear", "lost"};

/* ---- one pair ------------------------------------------------------------------------------------------------------- */

/* Without samples: what the quartiles leave open. */
static void from_quartiles(const bench_record *a, const bench_record *b, bench_ratio *out)
{
    out->ratio = out->lo = out->hi = a->value / b->value;
    if (a->iqr < 0 || b->iqr < 0 || a->iqr >= 2 * a->value || b->iqr >= 2 * b->value)
        return;
    out->has_interval = true;
    out->lo = (a->value - a->iqr / 2) / (b->value + b->iqr / 2);
    out->hi = (a->value + a->iqr / 2) / (b->value - b->iqr / 2);
}

static int speed(const bench_record *a, const bench_record *b, bool same_run, double confidence, bench_ratio *out)
{
    bench_ratio r = {0};

    if (!a->samples || !b->samples)
        from_quartiles(a, b, &r);
    else if (same_run && a->n == b->n)
        RN_TRY(bench_ratio_pairs(a->samples, b->samples, a->n, confidence, &r));
    /* n pairs have 2^n patterns of signs, n and n samples (2n choose n) orders: these still tell where those are too few. */
    if (a->samples && b->samples && !r.has_interval)
        RN_TRY(bench_ratio_apart(a->samples, a->n, b->samples, b->n, confidence, &r));
    *out = a->less_is_better ? r : (bench_ratio){1 / r.ratio, 1 / r.hi, 1 / r.lo, r.has_interval};
    return 0;
}

static double best(const bench_record *r)
{
    double v = r->samples[0];

    for (int i = 1; i < r->n; i++)
        v = r->less_is_better == (r->samples[i] < v) ? r->samples[i] : v;
    return v;
}

/* 0: unknown. */
static double quiet_speed(const bench_record *a, const bench_record *b)
{
    if (!a->samples || !b->samples)
        return 0;
    return a->less_is_better ? best(a) / best(b) : best(b) / best(a);
}

/* The whole interval on one side of what does not matter, and the quietest samples too, by more than disturbances do; or inside
 * it. Anything else is not known: a neighbour who came in the middle of B moves its median, but hardly its best sample. */
static enum bench_verdict judge(const bench_pair *p, double tolerance, double noise)
{
    const double up = 1 + tolerance, down = 1 / up;
    const bench_ratio *s = &p->speed;

    if (!s->has_interval)
        return BENCH_UNCLEAR;
    if (s->lo > up && (p->quiet > up * noise || p->quiet <= 0))
        return BENCH_FASTER;
    if (s->hi < down && p->quiet < down / noise)
        return BENCH_SLOWER;
    return s->lo >= down && s->hi <= up ? BENCH_SAME : BENCH_UNCLEAR;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Third quartile over best of the samples: what neighbours made of a case where they were there for a quarter of it. */
static int disturbance(const bench_record *r, double *out)
{
    double *v = malloc((size_t)r->n * sizeof *v);

    if (!v)
        return rn_fail(RN_E_NOMEM, "compare: out of memory");
    for (int i = 0; i < r->n; i++)
        v[i] = r->less_is_better ? r->samples[i] : 1 / r->samples[i];
    qsort(v, (size_t)r->n, sizeof *v, ascending);
    *out = v[(r->n * 3 - 1) / 4] / v[0];
    free(v);
    return 0;
}

/* What neighbours did within the cases of both runs, nine cases in ten less: they may do as much to all rounds of one case. */
static int noise_of(const bench_comparison *c, double *out)
{
    double *v = malloc((2 * c->n + 1) * sizeof *v);
    size_t n = 0;
    int rc = 0;

    *out = 1;
    if (!v)
        return rn_fail(RN_E_NOMEM, "compare: out of memory");
    for (size_t i = 0; i < c->n; i++) {
        const bench_record *const sides[] = {c->v[i].a, c->v[i].b};
        for (int j = 0; j < 2; j++) {
            if (sides[j]->samples && sides[j]->n > 1)
                RN_GO(disturbance(sides[j], &v[n++]));
        }
    }
    if (n) {
        qsort(v, n, sizeof *v, ascending);
        *out = v[(n - 1) * 9 / 10];
    }
out:
    free(v);
    return rc;
}

/* All pairs as one family: Bonferroni's level for each (Dunn, "Multiple Comparisons among Means", 1961), so that all intervals
 * hold together. In one run what disturbs a round disturbs both sides of it. */
static int judge_all(bench_comparison *c, const bench_compare_opts *o, bool same_run)
{
    size_t family = 0;

    for (size_t i = 0; i < c->n; i++)
        family += !c->v[i].b->no_time; /* NOLINT(clang-analyzer-core.NullDereference): a pair has both sides */
    c->confidence_each = family ? 1 - (1 - o->confidence) / (double)family : o->confidence;
    c->noise = 1;
    if (!same_run)
        RN_TRY(noise_of(c, &c->noise));
    for (size_t i = 0; i < c->n; i++) {
        bench_pair *p = &c->v[i];
        if (!p->b->no_time) {
            RN_TRY(speed(p->a, p->b, same_run, c->confidence_each, &p->speed));
            p->quiet = quiet_speed(p->a, p->b);
            p->verdict = judge(p, o->tolerance, c->noise);
        }
        c->counts[p->verdict]++;
    }
    return 0;
}

/* ---- pairing -------------------------------------------------------------------------------------------------------- */

typedef struct side {
    const bench_record **v;
    size_t n;
} side;

static int by_key(const void *a, const void *b)
{
    const bench_record *x = *(const bench_record *const *)a, *y = *(const bench_record *const *)b;
    int c = strcmp(x->key, y->key);
    return c ? c : (x > y) - (x < y);
}

static bool better(const bench_record *a, const bench_record *b)
{
    if (!a->no_time != !b->no_time)
        return !a->no_time;
    return a->less_is_better ? a->value < b->value : a->value > b->value;
}

/* Sorted by key; with a pattern, only what matches, and of each key the best. */
static int choose(const bench_records *r, const char *pattern, side *out)
{
    if (!(out->v = calloc(r->n ? r->n : 1, sizeof *out->v)))
        return rn_fail(RN_E_NOMEM, "compare: out of memory");
    for (size_t i = 0; i < r->n; i++) {
        if (!pattern || rn_select_match(pattern, r->v[i].algo))
            out->v[out->n++] = &r->v[i];
    }
    qsort(out->v, out->n, sizeof *out->v, by_key);
    size_t k = 0;
    for (size_t i = 0; pattern && i < out->n; i++) {
        if (k == 0 || strcmp(out->v[k - 1]->key, out->v[i]->key) != 0)
            out->v[k++] = out->v[i];
        else if (better(out->v[i], out->v[k - 1]))
            out->v[k - 1] = out->v[i];
    }
    out->n = pattern ? k : out->n;
    return 0;
}

/* The figure of `s` that goes with r. Keys are sorted, those of one key lie together. */
static const bench_record *partner(const side *s, const bench_record *r, bool any_algo)
{
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (strcmp(s->v[mid]->key, r->key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < s->n && strcmp(s->v[lo]->key, r->key) == 0; lo++) {
        if (any_algo || strcmp(s->v[lo]->algo, r->algo) == 0)
            return s->v[lo];
    }
    return NULL;
}

static int in_file_order(const void *a, const void *b)
{
    const bench_record *x = *(const bench_record *const *)a, *y = *(const bench_record *const *)b;
    return (x > y) - (x < y);
}

static void pair_up(side *a, const side *b, const bench_compare_opts *o, bench_comparison *out)
{
    const bool any_algo = o->a_algo || o->b_algo;

    qsort(a->v, a->n, sizeof *a->v, in_file_order);
    for (size_t i = 0; i < a->n; i++) {
        const bench_record *r = a->v[i], *other = partner(b, r, any_algo);
        if (!other) {
            out->only_a[out->nonly_a++] = r;
            continue;
        }
        if (r->no_time || (other->no_time && any_algo)) {
            if (!r->no_time)
                out->only_a[out->nonly_a++] = r;
            else if (!other->no_time)
                out->only_b[out->nonly_b++] = other;
            continue;
        }
        out->v[out->n++] = (bench_pair){.a = r, .b = other, .verdict = BENCH_LOST};
    }
}

static void sum_up(bench_comparison *c)
{
    double logs = 0;
    size_t n = 0;
    bool times = true;

    for (size_t i = 0; i < c->n; i++) {
        const bench_pair *p = &c->v[i];
        if (p->verdict == BENCH_LOST)
            continue;
        logs += log(p->speed.ratio);
        n++;
        times = times && p->a->less_is_better; /* NOLINT(clang-analyzer-core.NullDereference): all n are pairs */
        c->total_a += p->a->value * p->a->weight;
        c->total_b += p->b->value * p->a->weight;
    }
    c->geomean = n ? exp(logs / (double)n) : 0;
    if (!times)
        c->total_a = c->total_b = 0;
}

void bench_comparison_free(bench_comparison *c)
{
    free(c->v);
    free(c->only_a);
    free(c->only_b);
    *c = (bench_comparison){0};
}

int bench_compare(const bench_records *a, const bench_records *b, const bench_compare_opts *opts, bench_comparison *out)
{
    side sa = {0}, sb = {0};
    int rc;

    RN_GO(choose(a, opts->a_algo, &sa));
    RN_GO(choose(b, opts->b_algo, &sb));
    out->v = calloc(sa.n + 1, sizeof *out->v);
    out->only_a = calloc(sa.n + 1, sizeof *out->only_a);
    out->only_b = calloc(sa.n + sb.n + 1, sizeof *out->only_b);
    if (!out->v || !out->only_a || !out->only_b)
        RN_GO(rn_fail(RN_E_NOMEM, "compare: out of memory"));
    pair_up(&sa, &sb, opts, out);
    RN_GO(judge_all(out, opts, a == b));
    qsort(sa.v, sa.n, sizeof *sa.v, by_key);
    for (size_t i = 0; i < sb.n; i++) {
        if (!partner(&sa, sb.v[i], opts->a_algo || opts->b_algo))
            out->only_b[out->nonly_b++] = sb.v[i];
    }
    sum_up(out);
out:
    free(sa.v);
    free(sb.v);
    return rc;
}
