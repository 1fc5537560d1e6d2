/* SPDX-License-Identifier: MIT */
#include "run/use/rn_predict.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "data/load/rn_augment.h"
#include "data/load/rn_loader.h"
#include "run/log/rn_runlog.h"
#include "run/recipe/rn_recipe_mean.h"
#include "run/save/rn_npy.h"
#include "run/use/rn_use.h"

enum { MAX_TOP = 100, MAX_IMAGE_BYTES = 1 << 30 };

typedef struct predictor {
    rn_use_settings settings;
    int64_t top, batch;
    const char *dump_logits;
    rn_use use;
    rn_renderer *renderer;
    uint8_t *images;    /* (batch, h, w, c) */
    rn_origin *windows; /* (batch) */
    int32_t *labels;    /* zeros: the net asks for some */
    float *logits;      /* (batch, classes) */
    int *bad;           /* by place in the batch: could not be read */
    char (*why)[512];
    FILE *dump;
    int failed;
} predictor;

static void set_up(predictor *p)
{
    const rn_opt own[] = {
        {RN_OPT_INT, "top", "N", &p->top, "How many classes to name.", NULL, 1, MAX_TOP},
        {RN_OPT_INT, "batch", "N", &p->batch,
         "Images computed at once. Small batches are summed in another order: logits have --eval-only's last bits from "
         "16 on.",
         NULL, 1, 4096},
        {RN_OPT_TEXT, "dump-logits", "FILE", &p->dump_logits,
         "Logits of all images in their order, f32 (NaN for one that cannot be read); FILE.npy for NumPy, other names "
         "for "
         "the bare bytes.",
         NULL, 0, 0},
    };
    p->top = 5;
    p->batch = 16;
    p->settings.spec = (rn_opt_spec){
        .tool = "rn-train predict",
        .synopsis = "--weights FILE IMAGE...",
        .summary =
            "Names the most probable classes of images (JPEG, PNG), by weights that rn-train wrote or torchvision "
            "published.",
        .epilog = "Examples:\n"
                  "  rn-train predict --weights run/best.safetensors photo.jpg\n"
                  "  rn-train predict --weights resnet18.safetensors --classes synset_words.txt --json *.jpg\n"
                  "\nExit codes: 0 done; 1 failed, or an image could not be read; 2 misuse; 77 no such device.",
        .min_operands = 1,
        .max_operands = -1};
    rn_use_rows(&p->settings, own, (int)(sizeof own / sizeof *own));
}

/* ---- pixels ---- */

static size_t image_bytes(const predictor *p)
{
    const rn_recipe *r = &p->settings.recipe;
    return (size_t)r->image_size * (size_t)r->image_size * (size_t)r->channels;
}

/* A mean image is of images of its size: of another one the whole picture is resized to it first, as pack-lmdb's --resize
 * exact does. */
static int place_in_mean(const char *mean, int side, rn_place *p, int w, int h)
{
    int mh, mw, c;
    RN_TRY(rn_recipe_mean_size(mean, &mh, &mw, &c));
    RN_TRY(rn_place_window(NULL, mw, mh, false, false, side, side, p));
    p->crop = (rn_rect){0, 0, w, h};
    return RN_OK;
}

/* As the loader does in evaluation. */
static int draw(predictor *p, const char *path, uint8_t *dst, rn_origin *window)
{
    const rn_recipe *r = &p->settings.recipe;
    const int side = (int)r->image_size;
    char *data;
    size_t n;
    int w = 0, h = 0, rc;
    rn_place place = {0};
    if (rn_is_dir(path))
        return rn_fail(RN_E_FORMAT, "%s is a folder: name the images in it, as %s/*.jpg", path, path);
    RN_TRY(rn_read_file(path, MAX_IMAGE_BYTES, &data, &n));
    RN_GO(rn_renderer_begin(p->renderer, data, n, path, &w, &h));
    if (r->mean_text)
        RN_GO(place_in_mean(r->mean_text, side, &place, w, h));
    else if (r->crop >= RN_CROP_WINDOW && !r->val_resize)
        RN_GO(rn_place_window(NULL, w, h, r->crop == RN_CROP_NONE, false, side, side, &place));
    else
        rn_place_eval(w, h, (int)r->val_resize, side, side, &place);
    rc = rn_renderer_draw(p->renderer, &place, false, side, side, (int)r->channels, dst);
    *window = (rn_origin){.x = place.window.x, .y = place.window.y};
out:
    free(data);
    return rc;
}

/* ---- results ---- */

/* The k largest logits in order, ties to the smaller label; softmax in double. */
static int best(const float *logits, int classes, int k, int *label, double *p)
{
    double sum = 0, max = -INFINITY;
    int n = 0;
    for (int c = 0; c < classes; c++) {
        max = fmax(max, (double)logits[c]);
        int at = n < k ? n++ : n;
        if (at == k && !(logits[c] > logits[label[k - 1]]))
            continue;
        if (at == k)
            at = k - 1;
        for (; at > 0 && logits[c] > logits[label[at - 1]]; at--)
            label[at] = label[at - 1];
        label[at] = c;
    }
    for (int c = 0; c < classes; c++)
        sum += exp((double)logits[c] - max);
    for (int i = 0; i < n; i++)
        p[i] = exp((double)logits[label[i]] - max) / sum;
    return n;
}

static void print_text(const predictor *p, const char *path, const int *label, const double *prob, int n)
{
    char buf[32];
    printf("%s\n", path);
    for (int i = 0; i < n; i++) {
        const rn_classes *c = &p->use.names;
        const char *wnid = label[i] < c->n && c->c[label[i]].words[0] ? c->c[label[i]].wnid : "";
        printf("  %6.2f %%  %s%s%s\n", 100 * prob[i], wnid, wnid[0] ? "  " : "", rn_classes_name(c, label[i], buf));
    }
}

static int print_object(json_t *o)
{
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(10)) : NULL;
    json_decref(o);
    if (!text)
        return rn_fail(RN_E_NOMEM, "no memory for a prediction");
    printf("%s\n", text);
    free(text);
    return RN_OK;
}

static int print_json(const predictor *p, const char *path, const int *label, const double *prob, int n)
{
    const rn_classes *c = &p->use.names;
    json_t *top = json_array();
    for (int i = 0; i < n; i++) {
        json_t *o = json_pack("{s:i}", "label", label[i]);
        if (label[i] < c->n) {
            json_object_set_new(o, "wnid", rn_runlog_text(c->c[label[i]].wnid));
            json_object_set_new(o, "words", rn_runlog_text(c->c[label[i]].words));
        }
        json_object_set_new(o, "probability", json_real(prob[i]));
        json_array_append_new(top, o);
    }
    return print_object(json_pack("{s:o, s:o}", "file", rn_runlog_text(path), "top", top));
}

static int print_one(predictor *p, const char *path, int i)
{
    const int classes = p->use.classes;
    const float *logits = p->logits + (size_t)i * (size_t)classes;
    const bool json = p->settings.args.common.json;
    int label[MAX_TOP] = {0};
    double prob[MAX_TOP];
    if (p->bad[i])
        return json ? print_object(
                          json_pack("{s:o, s:o}", "file", rn_runlog_text(path), "error", rn_runlog_text(p->why[i])))
                    : RN_OK;
    for (int c = 0; c < classes; c++)
        if (!isfinite(logits[c]))
            return rn_fail(RN_E_MISMATCH, "%s: the score of class %d is not finite: the weights are damaged", path, c);
    const int n = best(logits, classes, (int)p->top, label, prob);
    if (json)
        return print_json(p, path, label, prob, n);
    print_text(p, path, label, prob, n);
    return RN_OK;
}

static int put_logits(predictor *p, int n)
{
    const size_t classes = (size_t)p->use.classes;
    for (int i = 0; i < n; i++)
        for (size_t c = 0; p->bad[i] && c < classes; c++)
            p->logits[(size_t)i * classes + c] = NAN;
    if (p->dump && fwrite(p->logits, classes * sizeof(float), (size_t)n, p->dump) != (size_t)n)
        return rn_fail_errno(errno, "cannot write %s", p->dump_logits);
    return RN_OK;
}

/* ---- the work ---- */

static int one_batch(predictor *p, const char *const *paths, int n)
{
    const size_t bytes = image_bytes(p);
    rn_net_result res;
    for (int i = 0; i < n; i++) {
        p->bad[i] = draw(p, paths[i], p->images + (size_t)i * bytes, &p->windows[i]) < 0;
        if (!p->bad[i])
            continue;
        snprintf(p->why[i], sizeof p->why[i], "%s", rn_error_text());
        rn_error("%s", p->why[i]);
        memset(p->images + (size_t)i * bytes, 0, bytes);
        p->windows[i] = (rn_origin){0};
        p->failed++;
    }
    RN_TRY(rn_net_set_windows(p->use.net, p->windows, n));
    RN_TRY(rn_net_eval_batch(p->use.net, p->images, p->labels, n, &res));
    RN_TRY(rn_net_outputs(p->use.net, p->logits, NULL));
    for (int i = 0; i < n; i++)
        RN_TRY(print_one(p, paths[i], i));
    return put_logits(p, n);
}

static int predict(predictor *p, const rn_backend_entry *backends)
{
    const rn_opt_result *a = &p->settings.args;
    const int all = a->noperands;
    const size_t batch = (size_t)p->batch;
    RN_TRY(rn_use_open(&p->settings, backends, (int)batch, &p->use));
    RN_TRY(rn_renderer_open(&p->renderer));
    p->images = malloc(batch * image_bytes(p));
    p->windows = calloc(batch, sizeof *p->windows);
    p->labels = calloc(batch, sizeof *p->labels);
    p->logits = malloc(batch * (size_t)p->use.classes * sizeof *p->logits);
    p->bad = calloc(batch, sizeof *p->bad);
    p->why = calloc(batch, sizeof *p->why);
    if (!p->images || !p->windows || !p->labels || !p->logits || !p->bad || !p->why)
        return rn_fail(RN_E_NOMEM, "no memory for batches of %zu images", batch);
    if (p->dump_logits)
        RN_TRY(rn_npy_open(p->dump_logits, all, p->use.classes, &p->dump));
    for (int i = 0; i < all; i += (int)batch)
        RN_TRY(one_batch(p, a->operands + i, all - i < (int)batch ? all - i : (int)batch));
    return RN_OK;
}

int rn_predict_main(int argc, char **argv, const rn_backend_entry *backends)
{
    predictor *p = calloc(1, sizeof *p);
    if (!p)
        return RN_EXIT_FAILED;
    set_up(p);
    int rc = rn_opt_parse(&p->settings.spec, argc, argv, &p->settings.args);
    if (rc == RN_OK)
        rc = predict(p, backends);
    if (p->dump && fclose(p->dump) != 0 && rc == RN_OK)
        rc = rn_fail_errno(errno, "cannot write %s", p->dump_logits);
    rn_renderer_close(p->renderer);
    rn_use_close(&p->use);
    rn_use_free(&p->settings);
    free(p->images);
    free(p->windows);
    free(p->labels);
    free(p->logits);
    free(p->bad);
    free(p->why);
    int code = rn_opt_end(&p->settings.args, rc);
    code = code == RN_EXIT_DONE && p->failed ? RN_EXIT_FAILED : code;
    free(p);
    return code;
}
