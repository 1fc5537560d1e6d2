/* SPDX-License-Identifier: MIT */
#include "run/report/rn_report.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "run/report/rn_report_impl.h"

/* ---- input ---- */

double rn_report_num(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *rn_report_str(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* A recipe's values stand in the log as texts. */
static double recipe_num(const json_t *recipe, const char *key)
{
    double v = 0;
    return rn_parse_real(rn_report_str(recipe, key), -INFINITY, INFINITY, &v) == RN_OK ? v : 0;
}

static int load_values(const char *path, bool lines, json_t **out)
{
    char *text;
    size_t n, at = 0;
    RN_TRY(rn_read_file(path, (size_t)1 << 30, &text, &n));
    *out = json_array();
    for (;;) {
        json_error_t err;
        at += strspn(text + at, " \t\r\n");
        if (at >= n)
            break;
        json_t *v = json_loadb(text + at, n - at, JSON_DISABLE_EOF_CHECK, &err);
        if (!v && lines && !strchr(text + at, '\n')) {
            rn_warn("%s: its last line is cut short and passed over", path);
            break;
        }
        if (!v) {
            free(text);
            json_decref(*out);
            *out = NULL;
            return rn_fail(RN_E_FORMAT, "%s: not JSON: %s", path, err.text);
        }
        json_array_append_new(*out, v);
        at += (size_t)err.position;
    }
    free(text);
    return RN_OK;
}

int rn_report_load(const char *path, json_t **out)
{
    return load_values(path, false, out);
}

int rn_report_load_lines(const char *path, json_t **out)
{
    return load_values(path, true, out);
}

static int load_log(rn_report *r)
{
    char path[PATH_MAX];
    json_t *lines, *o;
    size_t i;
    RN_TRY(rn_path_join(path, sizeof path, r->run_dir, "log.jsonl"));
    if (!rn_is_file(path))
        return rn_fail(RN_E_NOENT, "%s is not there: %s is not the folder of a run (rn-train --out)", path, r->run_dir);
    RN_TRY(rn_report_load_lines(path, &lines));
    r->windows = json_array();
    r->epochs = json_array();
    json_array_foreach(lines, i, o)
    {
        const char *type = rn_report_str(o, "type");
        if (strcmp(type, "run") == 0 && !r->run)
            r->run = json_incref(o);
        else if (strcmp(type, "window") == 0)
            json_array_append(r->windows, o);
        else if (strcmp(type, "epoch") == 0)
            json_array_append(r->epochs, o);
    }
    json_decref(lines);
    json_array_foreach(r->epochs, i, o)
    {
        if (!isfinite(rn_report_num(o, "n")))
            continue;
        r->last_eval = o;
        if (!r->best || rn_report_num(o, "top1") > rn_report_num(r->best, "top1"))
            r->best = o;
    }
    return r->run ? RN_OK : rn_fail(RN_E_FORMAT, "%s has no line of type \"run\"", path);
}

static int load(rn_report *r)
{
    char path[PATH_MAX];
    RN_TRY(load_log(r));
    RN_TRY(rn_path_join(path, sizeof path, r->run_dir, "sessions.jsonl"));
    if (rn_is_file(path))
        RN_TRY(rn_report_load_lines(path, &r->sessions));
    else
        r->sessions = json_array();
    RN_TRY(rn_path_join(path, sizeof path, r->run_dir, "predictions.json"));
    r->predictions = rn_is_file(path) ? json_load_file(path, 0, NULL) : NULL;
    if (rn_is_file(path) && !r->predictions)
        rn_warn("%s cannot be read: the report lacks the images", path);
    return RN_OK;
}

/* ---- sums over the log ---- */

typedef struct totals {
    double seconds, waited; /* of training, from the epochs and the windows after them */
    double images;
    double epoch, epochs; /* how far it is, and would go */
} totals;

static totals add_up(const rn_report *r)
{
    totals t = {0};
    double batch = recipe_num(json_object_get(r->run, "recipe"), "batch"), from = 0;
    size_t i;
    json_t *o;
    json_array_foreach(r->windows, i, o)
    {
        double step = rn_report_num(o, "step"), images = (step - from) * batch,
               speed = rn_report_num(o, "images_per_s");
        from = step;
        if (!(speed > 0))
            continue;
        t.images += images;
        t.seconds += images / speed;
        t.waited += images / speed * rn_report_num(o, "data_wait_pct") / 100;
    }
    t.epoch = from / rn_report_num(r->run, "steps_per_epoch");
    t.epochs = rn_report_num(r->run, "steps") / rn_report_num(r->run, "steps_per_epoch");
    return t;
}

/* Floating-point operations of the convolutions in one training step. */
static double step_gflop(const rn_report *r)
{
    double sum = 0;
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(r->run, "algorithms"), i, o)
    {
        sum += rn_report_num(o, "gflop");
    }
    return sum;
}

/* ---- parts ---- */

void rn_report_open(rn_report *r, const char *id, const char *title)
{
    rn_html_fmt(&r->h, "<section id=%s>\n<h2>", id);
    rn_html_text(&r->h, title);
    rn_html_raw(&r->h, "</h2>\n");
}

void rn_report_shut(rn_report *r)
{
    rn_html_raw(&r->h, "</section>\n");
}

int rn_report_nclasses(const rn_report *r)
{
    double n = rn_report_num(json_object_get(json_object_get(r->run, "data"), "train"), "classes");
    return n >= 1 && n < INT_MAX ? (int)n : 0;
}

static void tile(rn_report *r, const char *class, const char *value, const char *small, const char *what)
{
    rn_html_fmt(&r->h, "<div class=\"tile %s\"><b>", class);
    rn_html_text(&r->h, value);
    if (small) {
        rn_html_raw(&r->h, " <small>");
        rn_html_text(&r->h, small);
        rn_html_raw(&r->h, "</small>");
    }
    rn_html_raw(&r->h, "</b>");
    rn_html_tag(&r->h, "span", what);
    rn_html_raw(&r->h, "</div>\n");
}

static void tiles(rn_report *r, const totals *t)
{
    char a[64], b[64], c[160], n[48];
    rn_html_raw(&r->h, "<div class=tiles>\n");
    if (r->last_eval) {
        snprintf(a, sizeof a, "%.2f %%", rn_report_num(r->last_eval, "top1"));
        snprintf(b, sizeof b, "± %.2f", rn_report_num(r->last_eval, "se_top1"));
        snprintf(c, sizeof c, "top-1, all %s validation images",
                 rn_html_count((int64_t)rn_report_num(r->last_eval, "n"), n));
        tile(r, "main", a, b, c);
        snprintf(a, sizeof a, "%.2f %%", rn_report_num(r->last_eval, "top5"));
        if (rn_report_nclasses(r) > 5)
            tile(r, "", a, NULL, "top-5");
    }
    snprintf(a, sizeof a, "%.3g", t->epoch);
    snprintf(b, sizeof b, "of %.4g", t->epochs);
    tile(r, "", a, b, "epochs trained");
    tile(r, "", rn_html_seconds(t->seconds, n), NULL, "training steps, without evaluation");
    snprintf(a, sizeof a, "%.*f", t->images / t->seconds < 100 ? 1 : 0, t->seconds > 0 ? t->images / t->seconds : 0);
    snprintf(b, sizeof b, "%.1f %%", t->seconds > 0 ? 100 * t->waited / t->seconds : 0);
    snprintf(c, sizeof c, "images/s; %s of the time waiting for data", b);
    tile(r, "", a, NULL, c);
    tile(r, "", rn_html_count((int64_t)rn_report_num(r->run, "parameters"), n), NULL, "trained parameters");
    rn_html_raw(&r->h, "</div>\n");
}

/* The model as people write it: SE-ResNet-18-D. */
static void put_arch(rn_report *r, const json_t *recipe)
{
    static const char *const names[][2] = {{"alexnet", "AlexNet"},
                                           {"caffenet", "CaffeNet"},
                                           {"bvlc-alexnet", "BVLC AlexNet"},
                                           {"ghim5", "Net of five convolutions"},
                                           {"prototxt", "Caffe net"}};
    const char *arch = rn_report_str(recipe, "arch"), *variant = rn_report_str(recipe, "variant");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(arch, names[i][0]) == 0)
            arch = names[i][1];
    if (strncmp(arch, "resnet", 6) != 0) {
        rn_html_text(&r->h, arch);
        return;
    }
    rn_html_raw(&r->h, rn_report_num(recipe, "se") > 0 ? "SE-ResNet-" : "ResNet-");
    rn_html_text(&r->h, arch + 6);
    if (variant[0] && !variant[1])
        rn_html_fmt(&r->h, "-%c", variant[0] - 'a' + 'A');
}

static void headline(rn_report *r, const totals *t)
{
    const json_t *recipe = json_object_get(r->run, "recipe"), *data = json_object_get(r->run, "data");
    const json_t *train = json_object_get(data, "train");
    char n[48];
    rn_html_raw(&r->h, "<header><div>\n<p class=kicker>rnkit training report</p>\n<h1>");
    put_arch(r, recipe);
    rn_html_fmt(&r->h, " on %s images of %d classes</h1>\n", rn_html_count((int64_t)rn_report_num(train, "records"), n),
                (int)rn_report_num(train, "classes"));
    rn_html_raw(&r->h, "<p class=lead>Started ");
    rn_html_text(&r->h, rn_report_str(r->run, "started"));
    rn_html_raw(&r->h, " on ");
    rn_html_text(&r->h, rn_report_str(json_object_get(r->run, "machine"), "describe"));
    int threads = (int)rn_report_num(json_object_get(r->run, "machine"), "threads");
    rn_html_fmt(&r->h, ", %d thread%s. ", threads, threads == 1 ? "" : "s");
    if (t->epoch < t->epochs)
        rn_html_raw(&r->h, "<b>This run is not finished.</b> ");
    if (r->best && rn_report_num(r->best, "top1") > rn_report_num(r->last_eval, "top1"))
        rn_html_fmt(&r->h, "The accuracy is that of the newest weights, not of the best: epoch %d had %.2f %%.",
                    (int)rn_report_num(r->best, "epoch"), rn_report_num(r->best, "top1"));
    rn_html_raw(&r->h, "</p>\n");
    tiles(r, t);
    rn_html_raw(&r->h,
                "<nav><a href=#curves>Curves</a><a href=#images>Images</a><a href=#epochs>Epochs</a><a "
                "href=#speed>Throughput</a>"
                "<a href=#recipe>Recipe</a><a href=#data>Data</a><a href=#model>Model</a>"
                "<a href=#algorithms>Algorithms</a><a href=#machine>Machine</a></nav>\n</div></header>\n<main>\n");
}

static void cell(rn_report *r, const json_t *o, const char *key, int digits)
{
    double v = rn_report_num(o, key);
    if (isfinite(v))
        rn_html_fmt(&r->h, "<td class=num>%.*f</td>", digits, v);
    else
        rn_html_raw(&r->h, "<td class=num>–</td>");
}

static void epochs(rn_report *r)
{
    size_t i;
    json_t *o;
    rn_report_open(r, "epochs", "Epochs");
    rn_html_raw(&r->h,
                "<div class=wide><table><thead><tr><th class=num>epoch<th class=num>train loss<th class=num>train "
                "top-1 %<th class=num>val loss<th class=num>val top-1 %<th class=num>±<th class=num>top-5 %<th "
                "class=num>images<th class=num>images/s<th class=num>data wait %</tr></thead><tbody>\n");
    json_array_foreach(r->epochs, i, o)
    {
        rn_html_raw(&r->h, "<tr>");
        cell(r, o, "epoch", 0);
        cell(r, o, "train_loss", 4);
        cell(r, o, "train_top1", 2);
        cell(r, o, "loss", 4);
        cell(r, o, "top1", 2);
        cell(r, o, "se_top1", 2);
        cell(r, o, "top5", 2);
        cell(r, o, "n", 0);
        cell(r, o, "images_per_s", 1);
        cell(r, o, "data_wait_pct", 1);
        rn_html_raw(&r->h, "</tr>\n");
    }
    rn_html_raw(&r->h,
                "</tbody></table></div>\n<p class=note>Training figures are means over the epoch while the weights "
                "change, on augmented images, with label smoothing if there is any; validation uses every image "
                "once. ± is one standard error of top-1, √(p(1−p)/n).</p>");
    rn_report_shut(r);
}

static void speed(rn_report *r, const totals *t)
{
    char n[48];
    double steps = rn_report_num(json_array_get(r->windows, json_array_size(r->windows) - 1), "step");
    double wait = t->seconds > 0 ? 100 * t->waited / t->seconds : 0, compute = t->seconds - t->waited;
    rn_report_open(r, "speed", "Throughput");
    rn_html_fmt(&r->h,
                "<p><span class=dot style=\"background:var(--c2)\"></span>waiting for data %.1f %% &nbsp; <span "
                "class=dot style=\"background:var(--c1)\"></span>computing %.1f %%</p>\n<div class=bar><i "
                "style=\"width:%.2f%%\"></i></div>\n",
                wait, 100 - wait, wait);
    rn_html_raw(&r->h, "<table class=pairs><tbody>\n");
    rn_html_pairf(&r->h, "images/s, whole steps", "%.1f", t->seconds > 0 ? t->images / t->seconds : 0);
    rn_html_pairf(&r->h, "images/s, computing alone", "%.1f", compute > 0 ? t->images / compute : 0);
    rn_html_pairf(&r->h, "one step", "%.1f ms", steps > 0 ? 1e3 * t->seconds / steps : 0);
    rn_html_pair(&r->h, "training steps, all", rn_html_seconds(t->seconds, n));
    if (compute > 0 && steps > 0)
        rn_html_pairf(&r->h, "convolutions",
                      "%.2f GFLOP a step (forward and both backward passes, 2 operations a multiply-add); at least "
                      "%.1f GFLOP/s while computing",
                      step_gflop(r), step_gflop(r) * steps / compute);
    rn_html_raw(&r->h, "</tbody></table>");
    rn_report_shut(r);
}

static void settings_of(rn_report *r, const json_t *o)
{
    const char *key;
    json_t *v;
    rn_html_raw(&r->h, "<dl>\n");
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        rn_html_raw(&r->h, "<div>");
        rn_html_tag(&r->h, "dt", key);
        rn_html_tag(&r->h, "dd", json_string_value(v));
        rn_html_raw(&r->h, "</div>\n");
    }
    rn_html_raw(&r->h, "</dl>\n");
}

static void recipe(rn_report *r)
{
    rn_report_open(r, "recipe", "Recipe");
    settings_of(r, json_object_get(r->run, "recipe"));
    rn_html_raw(&r->h, "<p class=note>Started by <code>");
    rn_html_text(&r->h, rn_report_str(r->run, "command"));
    rn_html_raw(&r->h, "</code></p>");
    rn_report_shut(r);
}

static void data(rn_report *r)
{
    static const char *const splits[] = {"train", "val"};
    char n[48];
    rn_report_open(r, "data", "Data");
    rn_html_raw(&r->h, "<table class=pairs><tbody>\n");
    for (int i = 0; i < 2; i++) {
        const json_t *d = json_object_get(json_object_get(r->run, "data"), splits[i]);
        rn_html_pairf(&r->h, splits[i], "%s: %s images, %d classes", rn_report_str(d, "path"),
                      rn_html_count((int64_t)rn_report_num(d, "records"), n), (int)rn_report_num(d, "classes"));
        rn_html_raw(&r->h, "<tr><th>seal</th><td><code>");
        rn_html_text(&r->h, rn_report_str(d, "seal"));
        rn_html_raw(&r->h, "</code></td></tr>\n");
    }
    rn_html_raw(&r->h,
                "</tbody></table>\n<p class=note>A seal is the SHA-256 of what sealed the set: digests of its sources, "
                "options, counts, classes.</p>");
    rn_report_shut(r);
}

static void model(rn_report *r)
{
    const json_t *m = json_object_get(r->run, "memory"), *rec = json_object_get(r->run, "recipe");
    char a[48], b[48];
    double act = rn_report_num(m, "activations"), unshared = rn_report_num(m, "unshared");
    rn_report_open(r, "model", "Model and memory");
    rn_html_raw(&r->h, "<table class=pairs><tbody>\n");
    rn_html_pairf(&r->h, "architecture", "%s, %s stem, width %s, %s×%s input of %s channels",
                  rn_report_str(rec, "arch"), rn_report_str(rec, "stem"), rn_report_str(rec, "width"),
                  rn_report_str(rec, "image-size"), rn_report_str(rec, "image-size"), rn_report_str(rec, "channels"));
    rn_html_pair(&r->h, "trained parameters", rn_html_count((int64_t)rn_report_num(r->run, "parameters"), a));
    rn_html_pair(&r->h, "parameters, gradients, momentum", rn_html_bytes(rn_report_num(m, "params"), a));
    rn_html_pairf(&r->h, "activations", "%s after planning, %s with a place for each (%.0f %%)", rn_html_bytes(act, a),
                  rn_html_bytes(unshared, b), unshared > 0 ? 100 * act / unshared : 0);
    rn_html_pair(&r->h, "workspace of the convolutions", rn_html_bytes(rn_report_num(m, "workspace"), a));
    rn_html_raw(&r->h, "</tbody></table>");
    rn_report_shut(r);
}

/* The choice for one layer and direction; NULL if there is none (the first layer needs no bwd_d). */
static const json_t *choice(const json_t *all, const char *layer, const char *dir)
{
    size_t i;
    json_t *o;
    json_array_foreach((json_t *)(uintptr_t)all, i, o)
    {
        if (strcmp(rn_report_str(o, "layer"), layer) == 0 && strcmp(rn_report_str(o, "dir"), dir) == 0)
            return o;
    }
    return NULL;
}

static void choice_cell(rn_report *r, const json_t *c)
{
    rn_html_raw(&r->h, "<td>");
    rn_html_text(&r->h, c ? rn_report_str(c, "algo") : "–");
    if (c && isfinite(rn_report_num(c, "ms")))
        rn_html_fmt(&r->h, " <span class=note>%.2f ms</span>", rn_report_num(c, "ms"));
    if (c && isfinite(rn_report_num(c, "second_ms"))) {
        rn_html_raw(&r->h, "<br><span class=note>");
        rn_html_text(&r->h, rn_report_str(c, "second"));
        rn_html_fmt(&r->h, " %.2f ms</span>", rn_report_num(c, "second_ms"));
    }
    rn_html_raw(&r->h, "</td>");
}

static void algorithms(rn_report *r)
{
    const json_t *all = json_object_get(r->run, "algorithms"), *eval = json_object_get(r->run, "eval_algorithms");
    size_t i;
    json_t *o;
    rn_report_open(r, "algorithms", "Convolution algorithms");
    rn_html_raw(
        &r->h,
        "<div class=wide><table><thead><tr><th>layer<th>case<th class=num>GFLOP<th>fwd<th>bwd_d<th>bwd_w<th>fwd, "
        "evaluation</tr></thead><tbody>\n");
    json_array_foreach((json_t *)(uintptr_t)all, i, o)
    {
        if (strcmp(rn_report_str(o, "dir"), "fwd") != 0)
            continue;
        const char *layer = rn_report_str(o, "layer");
        rn_html_raw(&r->h, "<tr>");
        rn_html_tag(&r->h, "th", layer);
        rn_html_raw(&r->h, "<td><code>");
        rn_html_text(&r->h, rn_report_str(o, "case"));
        rn_html_fmt(&r->h, "</code></td><td class=num>%.3f</td>", rn_report_num(o, "gflop"));
        choice_cell(r, o);
        choice_cell(r, choice(all, layer, "bwd_d"));
        choice_cell(r, choice(all, layer, "bwd_w"));
        choice_cell(r, choice(eval, layer, "fwd"));
        rn_html_raw(&r->h, "</tr>\n");
    }
    rn_html_raw(&r->h,
                "</tbody></table></div>\n<p class=note>GFLOP of the forward pass of one batch. Times stand where the "
                "choice was measured (--tune), below them what the second best would have cost. The first layer has no "
                "bwd_d: nothing asks for the gradient of the images.</p>");
    rn_report_shut(r);
}

static void machine(rn_report *r)
{
    const json_t *m = json_object_get(r->run, "machine");
    size_t i;
    json_t *v;
    char n[48];
    rn_report_open(r, "machine", "Machine and versions");
    rn_html_raw(&r->h, "<table class=pairs><tbody>\n");
    rn_html_pairf(&r->h, "device", "%s: %s", rn_report_str(m, "device"), rn_report_str(m, "describe"));
    rn_html_pairf(&r->h, "threads", "%d to compute, %d to decode, %d cores", (int)rn_report_num(m, "threads"),
                  (int)rn_report_num(m, "workers"), (int)rn_report_num(m, "cores"));
    if (rn_report_num(m, "ranks") > 1)
        rn_html_pairf(&r->h, "ranks", "%d, which add up by %s", (int)rn_report_num(m, "ranks"),
                      rn_report_str(m, "comm"));
    rn_html_pair(&r->h, "memory", rn_html_bytes(rn_report_num(m, "memory_bytes"), n));
    rn_html_pair(&r->h, "system", rn_report_str(m, "os"));
    rn_html_pairf(
        &r->h, "started", "%zu time%s%s", json_array_size(r->sessions), json_array_size(r->sessions) == 1 ? "" : "s",
        json_array_size(r->sessions) > 1 ? "; after a stop it went on from a checkpoint, to the same bits" : "");
    rn_html_raw(&r->h, "<tr><th>versions</th><td>");
    json_array_foreach(json_object_get(r->run, "versions"), i, v)
    {
        rn_html_text(&r->h, json_string_value(v));
        rn_html_raw(&r->h, "<br>");
    }
    rn_html_raw(&r->h, "</td></tr>\n");
    rn_html_raw(&r->h, "</tbody></table>");
    rn_report_shut(r);
}

/* ---- the page ---- */

static int page(rn_report *r, const char *extra)
{
    const totals t = add_up(r);
    rn_html_raw(&r->h, "<!doctype html>\n<html lang=en>\n<head><meta charset=utf-8>\n<meta name=viewport "
                       "content=\"width=device-width,initial-scale=1\">\n<title>rnkit: ");
    put_arch(r, json_object_get(r->run, "recipe"));
    rn_html_raw(&r->h, " training report</title>\n<style>\n");
    rn_html_raw(&r->h, rn_report_css);
    rn_html_raw(&r->h, "</style></head>\n<body>\n");
    headline(r, &t);
    rn_report_curves(r);
    rn_report_images(r);
    rn_report_classes(r);
    epochs(r);
    speed(r, &t);
    recipe(r);
    data(r);
    model(r);
    algorithms(r);
    if (extra)
        RN_TRY(rn_report_extras(r, extra));
    machine(r);
    rn_html_raw(&r->h, "</main>\n<footer><p>Written by rn-train " RN_VERSION
                       " from log.jsonl; the page needs no other file and no network.</p></footer>\n</body></html>\n");
    return r->h.rc;
}

int rn_report_write(const char *run_dir, const char *extra)
{
    rn_report r = {.run_dir = run_dir};
    char path[PATH_MAX];
    int rc;
    RN_GO(load(&r));
    RN_GO(page(&r, extra));
    RN_GO(rn_path_join(path, sizeof path, run_dir, "report.html"));
    rc = rn_write_file_atomic(path, r.h.b.data, r.h.b.n);
out:
    json_decref(r.run);
    json_decref(r.windows);
    json_decref(r.epochs);
    json_decref(r.sessions);
    json_decref(r.predictions);
    rn_buf_free(&r.h.b);
    return rc;
}
