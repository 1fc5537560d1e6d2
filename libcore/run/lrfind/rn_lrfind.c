/* SPDX-License-Identifier: MIT */
#include "run/lrfind/rn_lrfind.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "base/rn_progress.h"
#include "nn/optim/rn_loss_scale.h"
#include "run/log/rn_runlog.h"
#include "run/report/rn_plot.h"
#include "run/train/rn_ranks.h"
#include "run/train/rn_step.h"

#define SMOOTHING 0.98 /* of the running mean of losses, its start corrected for */
#define EXPLODED  4.0  /* times the least smoothed loss */

typedef struct finder {
    const rn_lrfind_job *job;
    rn_session s;
    rn_step *one;
    rn_progress *bar;
    double *lr, *raw, *smooth;
    int n; /* of each */
} finder;

/* ---- suggestions ---- */

/* Slope by the logarithm of the rate, of the neighbours on both sides. */
static double slope(const double *lr, const double *loss, int i)
{
    return (loss[i + 1] - loss[i - 1]) / log(lr[i + 1] / lr[i - 1]);
}

/* The longest subsequence that only falls; its place two thirds in. */
static int valley(const double *loss, int n)
{
    int *len = malloc((size_t)n * sizeof *len), end = 0, at = -1;
    if (!len)
        return -1;
    for (int i = 0; i < n; i++) {
        len[i] = 1;
        for (int j = 0; j < i; j++)
            if (loss[i] < loss[j] && len[i] < len[j] + 1)
                len[i] = len[j] + 1;
        if (len[i] > len[end])
            end = i;
    }
    if (n > 0 && len[end] > 1)
        at = end - len[end] + 1 + len[end] / 2; /* a third, and half a third more */
    free(len);
    return at;
}

void rn_lrfind_suggest(const double *lr, const double *loss, int n, rn_lrfind_result *out)
{
    const int first = n / 10, last = n > 20 ? n - 5 : n, count = last - first;
    out->steepest = out->valley = out->minimum = NAN;
    if (count < 3)
        return;
    int steep = -1, least = first;
    for (int i = first; i < last; i++) {
        if (loss[i] < loss[least])
            least = i;
        if (i > first && i + 1 < last && (steep < 0 || slope(lr, loss, i) < slope(lr, loss, steep)))
            steep = i;
    }
    out->minimum = lr[least];
    if (steep >= 0 && slope(lr, loss, steep) < 0)
        out->steepest = lr[steep];
    const int v = valley(loss + first, count);
    if (v >= 0)
        out->valley = lr[first + v];
}

/* ---- the walk ---- */

static int open_finder(finder *f)
{
    const rn_lrfind_job *j = f->job;
    const size_t n = (size_t)j->steps;
    RN_TRY(rn_session_open(j->recipe, j->backends, j->jobs, RN_SESSION_TRAIN, NULL, &f->s));
    RN_TRY(rn_step_open(&f->s, &f->one));
    RN_TRY(rn_session_start_weights(&f->s));
    RN_TRY(rn_step_start_average(f->one));
    f->lr = calloc(n, sizeof *f->lr);
    f->raw = calloc(n, sizeof *f->raw);
    f->smooth = calloc(n, sizeof *f->smooth);
    if (!f->lr || !f->raw || !f->smooth)
        return rn_fail(RN_E_NOMEM, "no memory for %zu steps", n);
    f->bar = rn_progress_start("lr-find", "steps", RN_UNIT_ITEMS, (uint64_t)j->steps);
    return rn_loader_seek(f->s.train, 0, 0);
}

/* Notes step i's loss; true when it has exploded. */
static bool note(finder *f, int i, double lr, double loss)
{
    const double before = i ? f->smooth[i - 1] * (1 - pow(SMOOTHING, i)) : 0;
    double least = INFINITY;
    f->lr[i] = lr;
    f->raw[i] = loss;
    f->smooth[i] = (SMOOTHING * before + (1 - SMOOTHING) * loss) / (1 - pow(SMOOTHING, i + 1));
    f->n = i + 1;
    for (int k = 0; k <= i; k++)
        least = fmin(least, f->smooth[k]);
    return !(f->smooth[i] <= EXPLODED * least);
}

static int walk(finder *f, rn_lrfind_result *out)
{
    const rn_lrfind_job *j = f->job;
    const rn_recipe *r = j->recipe;
    const int64_t per_epoch = (int64_t)rn_loader_batches(f->s.train);
    int64_t epoch = 0, batch = 0;
    for (int i = 0; i < j->steps; i++) {
        const double lr = j->lo * pow(j->hi / j->lo, j->steps > 1 ? (double)i / (double)(j->steps - 1) : 0);
        const int64_t left = per_epoch - batch;
        const rn_step_at at = {.step = i,
                               .epoch = epoch,
                               .batch = batch,
                               .batches = (int)(left < r->accumulate ? left : r->accumulate),
                               .lr = lr,
                               .momentum = r->momentum};
        rn_step_result res;
        int rc = rn_step_run(f->one, &at, &res);
        if (rc < 0 && res.not_finite && i > 0) { /* not finite: what came before is the curve */
            out->diverged = true;
            return RN_OK;
        }
        RN_TRY(rc);
        if (rn_loss_scale_check(&res.loss_scale) < 0) {
            out->diverged = true;
            return RN_OK;
        }
        rn_progress_add(f->bar, 1);
        if ((out->diverged = note(f, i, lr, res.sums.loss / (double)res.sums.n)))
            return RN_OK;
        bool stop = j->stop && *j->stop, due = false;
        RN_TRY(rn_ranks_agree(f->s.comm, &stop, &due)); /* a signal reaches ranks in different steps */
        if (stop)
            return rn_fail(RN_E_INTERRUPTED, "interrupted after step %d of %lld: nothing was written", i + 1,
                           (long long)j->steps);
        batch += at.batches;
        epoch += batch == per_epoch;
        batch = batch == per_epoch ? 0 : batch;
    }
    return RN_OK;
}

/* ---- what is written ---- */

static json_t *series(const double *v, int n)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(a, rn_runlog_real(v[i]));
    return a;
}

static int write_text(const char *dir, const char *name, const void *data, size_t n)
{
    char path[PATH_MAX];
    RN_TRY(rn_path_join(path, sizeof path, dir, name));
    return rn_write_file_atomic(path, data, n);
}

static int write_json(const finder *f, const rn_lrfind_result *out)
{
    json_t *o = json_pack("{s:o, s:o, s:o, s:b, s:I, s:f, s:f, s:f, s:o, s:o, s:o}", "steepest",
                          rn_runlog_real(out->steepest), "valley", rn_runlog_real(out->valley), "minimum",
                          rn_runlog_real(out->minimum), "diverged", out->diverged, "steps", (json_int_t)out->steps,
                          "from", f->job->lo, "to", f->job->hi, "smoothing", SMOOTHING, "lr", series(f->lr, f->n),
                          "loss", series(f->raw, f->n), "smoothed", series(f->smooth, f->n));
    char *text = json_dumps(o, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(10));
    json_decref(o);
    int rc = text ? write_text(f->job->out, "lr-find.json", text, strlen(text))
                  : rn_fail(RN_E_NOMEM, "no memory for the curve");
    free(text);
    return rc;
}

/* A page's variables for a picture that stands alone. */
static const char style[] =
    "<style>svg{--ink:#1b2330;--muted:#5b6678;--line:#dfe3ea;--c1:#9db7e8;--c2:#d9622b;--c3:#2a8f5b;--c4:#8a5bc7;"
    "background:#fff;font-family:sans-serif}@media(prefers-color-scheme:dark){svg{--muted:#9aa6b8;--line:#2c3544;--c1:#"
    "3d5f9e;"
    "--c2:#ff9a62;--c3:#5fcf95;--c4:#c19bff;background:#181e28}}</style>";

static double loss_at(const finder *f, double lr)
{
    for (int i = 0; i < f->n; i++)
        if (f->lr[i] == lr)
            return f->smooth[i];
    return NAN;
}

static int draw(const finder *f, const rn_lrfind_result *out, rn_buf *svg)
{
    double least = INFINITY, start = f->n ? f->smooth[0] : 1, top;
    const double steep_y = loss_at(f, out->steepest), valley_y = loss_at(f, out->valley);
    for (int i = 0; i < f->n; i++)
        least = fmin(least, fmin(f->raw[i], f->smooth[i]));
    top = fmax(start, least) * 1.35; /* the explosion's top would flatten all else */
    const rn_plot_series s[] = {
        {.title = "loss", .style = RN_PLOT_THIN, .colour = 1, .x = f->lr, .y = f->raw, .n = f->n},
        {.title = "smoothed", .style = RN_PLOT_LINE, .colour = 2, .x = f->lr, .y = f->smooth, .n = f->n},
        {.title = "steepest",
         .style = RN_PLOT_MARK,
         .colour = 3,
         .x = &out->steepest,
         .y = &steep_y,
         .n = isfinite(out->steepest)},
        {.title = "valley",
         .style = RN_PLOT_MARK,
         .colour = 4,
         .x = &out->valley,
         .y = &valley_y,
         .n = isfinite(out->valley)}};
    const rn_plot p = {.id = "lrfind",
                       .label = "Loss against the learning rate",
                       .xlabel = "learning rate",
                       .ylabel = "loss",
                       .log_x = true,
                       .ymin = 0.95 * least, /* losses are not negative */
                       .ymax = top,
                       .series = s,
                       .nseries = 4};
    RN_TRY(rn_plot_svg(&p, svg));
    char *close_tag = strchr((char *)svg->data, '>');
    if (!close_tag)
        return RN_OK;
    rn_buf whole = {0};
    const size_t head = (size_t)(close_tag + 1 - (char *)svg->data);
    int rc;
    RN_GO(rn_buf_append(&whole, svg->data, head));
    RN_GO(rn_buf_append(&whole, style, strlen(style)));
    RN_GO(rn_buf_append(&whole, svg->data + head, svg->n - head));
    rn_buf_free(svg);
    *svg = whole;
    return RN_OK;
out:
    rn_buf_free(&whole);
    return rc;
}

static int write_results(const finder *f, const rn_lrfind_result *out)
{
    rn_buf svg = {0};
    RN_TRY(rn_mkdir_p(f->job->out));
    RN_TRY(write_json(f, out));
    int rc = draw(f, out, &svg);
    if (rc == RN_OK)
        rc = write_text(f->job->out, "lr-find.svg", svg.data, svg.n);
    else if (rc == RN_E_ABSENT || rc == RN_E_UNSUPPORTED) {
        rn_warn("no picture: %s", rn_error_text());
        rc = RN_OK;
    }
    rn_buf_free(&svg);
    return rc;
}

int rn_lrfind(const rn_lrfind_job *job, rn_lrfind_result *out)
{
    finder f = {.job = job};
    int rc;
    *out = (rn_lrfind_result){0};
    if (!(job->lo < job->hi))
        return rn_fail(RN_E_USAGE, "--lr-find-min %g is not below --lr-find-max %g", job->lo, job->hi);
    RN_GO(open_finder(&f));
    RN_GO(walk(&f, out));
    out->steps = f.n;
    rn_lrfind_suggest(f.lr, f.smooth, f.n, out);
    if (rn_comm_rank(f.s.comm) == 0)
        rc = write_results(&f, out);
out:
    rn_progress_done(f.bar);
    rn_step_close(f.one);
    rn_session_close(&f.s);
    free(f.lr);
    free(f.raw);
    free(f.smooth);
    return rc;
}
