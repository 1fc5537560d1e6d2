/* SPDX-License-Identifier: MIT */
#include "run/rn_recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/load/rn_loader.h"
#include "nn/rn_net.h"

const char *const rn_recipe_devices[] = {"cpu", "cuda", NULL};
static const char *const stems[] = {"imagenet", "cifar", NULL};
static const char *const crops[] = {"resized", "pad", NULL};
static const char *const orders[] = {"random", "page-local", NULL}; /* not key order: a batch would be of one class */
static const char *const precisions[] = {"f32", "bf16", "f16", NULL};
static const char *const tunes[] = {"off", "quick", NULL};

void rn_recipe_defaults(rn_recipe *r)
{
    *r = (rn_recipe){.stem = RN_STEM_IMAGENET,
                     .width = 1,
                     .channels = 3,
                     .image_size = 224,
                     .crop = RN_CROP_RESIZED,
                     .pad = 4,
                     .val_resize = 256,
                     .scale_min = 0.08,
                     .ratio = 4.0 / 3,
                     .epochs = 90,
                     .batch = 256,
                     .lr = 0.1,
                     .momentum = 0.9,
                     .weight_decay = 1e-4,
                     .schedule = RN_SCHED_STEP,
                     .step_epochs = 30,
                     .gamma = 0.1,
                     .seed = 1,
                     .eval_every = 1};
}

int rn_recipe_rows(rn_recipe *r, rn_opt *opts)
{
    const rn_opt rows[] = {
        {RN_OPT_GROUP, "Model", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_ENUM, "arch", "NAME", &r->arch, "Architecture.", rn_model_names(), 0, 0},
        {RN_OPT_ENUM, "stem", "KIND", &r->stem, "First layers: 7x7 stride 2 and max pool, or 3x3 for small images.",
         stems, 0, 0},
        {RN_OPT_REAL, "width", "X", &r->width, "Multiplies every channel count.", NULL, 0.0625, 8},
        {RN_OPT_INT, "channels", "N", &r->channels, "Channels of the input: 3, or 1 for gray.", NULL, 1, 3},
        {RN_OPT_INT, "image-size", "N", &r->image_size, "Side of the square input, pixels.", NULL, 8, 1024},
        {RN_OPT_FLAG, "zero-gamma", NULL, &r->zero_gamma, "Start each block's last batch norm at 0.", NULL, 0, 0},
        {RN_OPT_TEXT, "mean", "LIST", &r->mean, "Mean per channel of pixels in 0..1 (default ImageNet's; gray 0.449).",
         NULL, 0, 0},
        {RN_OPT_TEXT, "std", "LIST", &r->std, "Deviation per channel (default ImageNet's; gray 0.226).", NULL, 0, 0},
        {RN_OPT_TEXT, "weights", "FILE", &r->weights,
         "Start from these weights (safetensors, torchvision's names); with --eval-only, what is evaluated.", NULL, 0,
         0},

        {RN_OPT_GROUP, "Data", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "train-db", "DB", &r->train_db, "Training set, from pack-lmdb.", NULL, 0, 0},
        {RN_OPT_TEXT, "val-db", "DB", &r->val_db, "Validation set, from pack-lmdb.", NULL, 0, 0},
        {RN_OPT_ENUM, "crop", "KIND", &r->crop, "Training crop: random resized (torchvision's), or pad and crop.",
         crops, 0, 0},
        {RN_OPT_INT, "pad", "N", &r->pad, "Pixels of padding for --crop pad.", NULL, 0, 64},
        {RN_OPT_REAL, "scale-min", "X", &r->scale_min, "Least area of a resized crop.", NULL, 0.01, 1},
        {RN_OPT_REAL, "ratio", "X", &r->ratio, "Aspect of a resized crop lies within 1/X..X.", NULL, 1, 4},
        {RN_OPT_FLAG, "no-flip", NULL, &r->no_flip, "No horizontal flips.", NULL, 0, 0},
        {RN_OPT_INT, "val-resize", "N", &r->val_resize,
         "Short side before the centre crop in evaluation; 0: no resize.", NULL, 0, 2048},
        {RN_OPT_TEXT, "color-jitter", "B,C,S,H", &r->color_jitter,
         "torchvision's ColorJitter: ranges of brightness, contrast, saturation and hue, e.g. 0.4,0.4,0.4,0.1; 0 "
         "leaves one "
         "out.",
         NULL, 0, 0},
        {RN_OPT_REAL, "lighting", "STD", &r->lighting, "AlexNet's PCA lighting; usual is 0.1.", NULL, 0, 10},
        {RN_OPT_INT, "cutout", "N", &r->cutout,
         "Paint a square of N pixels with the mean colour; usual for 32 x 32: 16.", NULL, 0, 1024},
        {RN_OPT_REAL, "mixup", "A", &r->mixup,
         "Mix pairs of images and their labels, the shares drawn from Beta(A, A).", NULL, 0, 1000},
        {RN_OPT_ENUM, "order", "KIND", &r->order,
         "How an epoch visits the records; page-local reads neighbours together, for sets larger than memory on slow "
         "disks.",
         orders, 0, 0},
        {RN_OPT_FLAG, "exact", NULL, &r->exact,
         "Training pixels of a full decode, bit-identical to torchvision's on PIL images (slower); those of evaluation "
         "always "
         "are.",
         NULL, 0, 0},
        {RN_OPT_INT, "workers", "N", &r->workers, "Decode threads; 0: as many as compute threads.", NULL, 0, 256},

        {RN_OPT_GROUP, "Optimization", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_INT, "epochs", "N", &r->epochs, "Epochs.", NULL, 1, 99999},
        {RN_OPT_INT, "batch", "N", &r->batch, "Images in a step.", NULL, 1, 65536},
        {RN_OPT_REAL, "lr", "X", &r->lr, "Peak learning rate.", NULL, 0, 1e9},
        {RN_OPT_REAL, "momentum", "X", &r->momentum, "Momentum of SGD.", NULL, 0, 0.9999},
        {RN_OPT_FLAG, "nesterov", NULL, &r->nesterov, "Nesterov's momentum.", NULL, 0, 0},
        {RN_OPT_REAL, "weight-decay", "X", &r->weight_decay, "Weight decay.", NULL, 0, 1},
        {RN_OPT_FLAG, "no-norm-decay", NULL, &r->no_norm_decay, "No decay on biases and batch norms.", NULL, 0, 0},
        {RN_OPT_REAL, "label-smoothing", "X", &r->label_smoothing, "Label smoothing.", NULL, 0, 0.99},
        {RN_OPT_ENUM, "schedule", "KIND", &r->schedule, "Learning rate over the epochs.", rn_sched_names, 0, 0},
        {RN_OPT_REAL, "warmup-epochs", "X", &r->warmup_epochs, "Epochs of linear warm-up.", NULL, 0, 100000},
        {RN_OPT_INT, "step-epochs", "N", &r->step_epochs, "--schedule step: multiply by gamma every N epochs.", NULL, 1,
         100000},
        {RN_OPT_TEXT, "milestones", "LIST", &r->milestones, "--schedule multistep: multiply by gamma at these epochs.",
         NULL, 0, 0},
        {RN_OPT_REAL, "gamma", "X", &r->gamma, "Factor of the step schedules.", NULL, 0, 1},
        {RN_OPT_REAL, "lr-min", "X", &r->lr_min, "--schedule cosine: where it ends.", NULL, 0, 1e9},
        {RN_OPT_UINT, "seed", "N", &r->seed, "Seed of initialisation, order and augmentation.", NULL, 0, 0},

        {RN_OPT_GROUP, "Evaluation", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_INT, "eval-every", "N", &r->eval_every, "Evaluate every N epochs, and after the last.", NULL, 1,
         100000},
        {RN_OPT_INT, "eval-batch", "N", &r->eval_batch, "Images at a time in evaluation; 0: as --batch.", NULL, 0,
         65536},

        {RN_OPT_GROUP, "Machine", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_ENUM, "device", "NAME", &r->device, "What computes.", rn_recipe_devices, 0, 0},
        {RN_OPT_ENUM, "precision", "KIND", &r->precision, "Type of the activations.", precisions, 0, 0},
        {RN_OPT_INT, "threads", "N", &r->threads, "Compute threads; 0: --jobs, or every core.", NULL, 0, 1024},
        {RN_OPT_TEXT, "algo", "PATTERN", &r->algo, "Only convolution algorithms whose name matches (comma list).", NULL,
         0, 0},
        {RN_OPT_ENUM, "tune", "KIND", &r->tune,
         "Choose convolution algorithms by table order, or by measurement (remembered in the run's folder).", tunes, 0,
         0},
    };
    _Static_assert(sizeof rows / sizeof *rows <= RN_RECIPE_MAX_ROWS, "room for the recipe's rows");
    memcpy(opts, rows, sizeof rows);
    return (int)(sizeof rows / sizeof *rows);
}

/* ---- lists ---- */

int rn_recipe_reals(const char *what, const char *list, double lo, double hi, int n, float *out)
{
    const char *p = list;
    for (int i = 0; i < n; i++, p += *p == ',') {
        char word[64];
        double v;
        size_t len = strcspn(p, ",");
        if (len >= sizeof word)
            return rn_fail(RN_E_USAGE, "--%s %s: not a list of numbers", what, list);
        memcpy(word, p, len);
        word[len] = 0;
        if (rn_parse_real(word, lo, hi, &v) < 0)
            return rn_fail(RN_E_USAGE, "--%s %s: '%s' is not a number between %g and %g (%d wanted)", what, list, word,
                           lo, hi, n);
        out[i] = (float)v;
        p += len;
    }
    return *p || (n && p > list && p[-1] == ',')
               ? rn_fail(RN_E_USAGE, "--%s %s: more numbers than the %d wanted", what, list, n)
               : RN_OK;
}

int rn_recipe_pixels(const rn_recipe *r, float mean[3], float std[3])
{
    static const float m3[] = {0.485f, 0.456f, 0.406f}, s3[] = {0.229f, 0.224f, 0.225f};
    int n = (int)r->channels;
    for (int i = 0; i < 3; i++) {
        mean[i] = n == 3 ? m3[i] : 0.449f;
        std[i] = n == 3 ? s3[i] : 0.226f;
    }
    if (r->mean)
        RN_TRY(rn_recipe_reals("mean", r->mean, 0, 1, n, mean));
    if (r->std)
        RN_TRY(rn_recipe_reals("std", r->std, 1e-3, 1, n, std));
    return RN_OK;
}

int rn_recipe_jitter(const rn_recipe *r, rn_jitter *out)
{
    float range[RN_COLOR_OPS];
    *out = (rn_jitter){{0}};
    if (!r->color_jitter)
        return RN_OK;
    RN_TRY(rn_recipe_reals("color-jitter", r->color_jitter, 0, 100, RN_COLOR_OPS, range));
    if (range[RN_COLOR_HUE] > 0.5f)
        return rn_fail(RN_E_USAGE, "--color-jitter %s: hue goes round at 0.5; give 0 to 0.5", r->color_jitter);
    for (int op = 0; op < RN_COLOR_OPS; op++)
        out->range[op] = (double)range[op];
    return RN_OK;
}

int rn_recipe_sched(const rn_recipe *r, int64_t steps_per_epoch, rn_sched *out)
{
    *out = (rn_sched){.kind = (enum rn_sched_kind)r->schedule,
                      .lr = r->lr,
                      .end = r->lr_min,
                      .gamma = r->gamma,
                      .step_epochs = (int)r->step_epochs,
                      .warmup_epochs = r->warmup_epochs,
                      .steps_per_epoch = steps_per_epoch,
                      .epochs = (int)r->epochs};
    if (r->milestones)
        RN_TRY(rn_sched_parse_milestones(r->milestones, out));
    return rn_sched_check(out);
}

/* ---- checks ---- */

static int check_augmentation(const rn_recipe *r)
{
    rn_jitter jitter;
    RN_TRY(rn_recipe_jitter(r, &jitter));
    if (r->lighting > 0 && r->channels == 1)
        return rn_fail(RN_E_USAGE, "--lighting shifts red, green and blue: --channels 1 has none; leave it out");
    if (r->mixup > 0 && r->batch < 2)
        return rn_fail(RN_E_USAGE, "--mixup mixes images of one batch: give --batch 2 or more");
    return RN_OK;
}

int rn_recipe_check(const rn_recipe *r)
{
    float mean[3], std[3];
    RN_TRY(check_augmentation(r));
    if (r->channels == 2)
        return rn_fail(RN_E_USAGE, "--channels 2: images have 3 channels, or 1 (gray)");
    if (!(r->lr > 0))
        return rn_fail(RN_E_USAGE, "--lr 0: nothing would be learnt; give a rate above 0");
    if (r->nesterov && r->momentum == 0)
        return rn_fail(RN_E_USAGE, "--nesterov needs --momentum above 0");
    if (r->warmup_epochs > 0 && r->warmup_epochs >= (double)r->epochs)
        return rn_fail(RN_E_USAGE, "--warmup-epochs %g leaves none of --epochs %lld to train at the full rate",
                       r->warmup_epochs, (long long)r->epochs);
    if (r->lr_min > r->lr)
        return rn_fail(RN_E_USAGE, "--lr-min %g is above --lr %g", r->lr_min, r->lr);
    if (r->val_resize && r->val_resize < r->image_size)
        return rn_fail(RN_E_USAGE, "--val-resize %lld is smaller than --image-size %lld: give 0 or at least %lld",
                       (long long)r->val_resize, (long long)r->image_size, (long long)r->image_size);
    if (r->schedule == RN_SCHED_MULTISTEP && !r->milestones)
        return rn_fail(RN_E_USAGE, "--schedule multistep needs --milestones, e.g. 30,60,80");
    if (r->milestones && r->schedule != RN_SCHED_MULTISTEP)
        return rn_fail(RN_E_USAGE, "--milestones belongs to --schedule multistep");
    rn_sched sched;
    int rc = rn_recipe_sched(r, 1, &sched);
    if (rc < 0)
        return rn_fail(RN_E_USAGE, "%s", rn_error_text());
    return rn_recipe_pixels(r, mean, std);
}

/* ---- text ---- */

/* The shortest decimal that reads back as the same double. */
static int put_real(rn_buf *b, const char *name, double v)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return rn_buf_printf(b, "%s = %s\n", name, text);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* A line's form has no quotes: such a value would be read back as another one, or as a line of its own. */
static int put_text(rn_buf *b, const char *name, const char *text)
{
    size_t n = strlen(text);
    if (!rn_utf8_ok(text))
        return rn_fail(RN_E_USAGE,
                       "--%s '%s': not UTF-8, as what stands in checkpoints has to be; give it another name", name,
                       text);
    bool fits = n > 0 && !is_blank(text[0]) && !is_blank(text[n - 1]) && !strchr(text, '\n') && text[0] != '#';
    for (size_t i = 1; i < n && fits; i++)
        fits = text[i] != '#' || !is_blank(text[i - 1]);
    if (!fits)
        return rn_fail(RN_E_USAGE,
                       "--%s '%s': a recipe cannot hold a line break, blanks at the ends, or # after a blank; give it "
                       "another name",
                       name, text);
    return rn_buf_printf(b, "%s = %s\n", name, text);
}

int rn_recipe_text(const rn_opt *opts, int nopts, rn_buf *out)
{
    for (int i = 0; i < nopts; i++) {
        const rn_opt *o = &opts[i];
        const char *text;
        switch (o->type) {
        case RN_OPT_FLAG:
            RN_TRY(rn_buf_printf(out, "%s = %s\n", o->name, *(const bool *)o->dst ? "true" : "false"));
            break;
        case RN_OPT_INT:
            RN_TRY(rn_buf_printf(out, "%s = %lld\n", o->name, (long long)*(const int64_t *)o->dst));
            break;
        case RN_OPT_UINT:
            RN_TRY(rn_buf_printf(out, "%s = %llu\n", o->name, (unsigned long long)*(const uint64_t *)o->dst));
            break;
        case RN_OPT_REAL:
            RN_TRY(put_real(out, o->name, *(const double *)o->dst));
            break;
        case RN_OPT_ENUM:
            RN_TRY(rn_buf_printf(out, "%s = %s\n", o->name, o->words[*(const int *)o->dst]));
            break;
        case RN_OPT_TEXT:
        case RN_OPT_LIST:
            text = *(const char *const *)o->dst;
            if (text)
                RN_TRY(put_text(out, o->name, text));
            break;
        case RN_OPT_GROUP:
            RN_TRY(rn_buf_printf(out, "%s# %s\n", i ? "\n" : "", o->name));
            break;
        }
    }
    return RN_OK;
}

/* ---- comparison ---- */

/* What may differ between a run and its resumption: the seals tell whether the data are the same. */
static const char *const free_keys[] = {"train-db", "val-db", "workers", "weights", NULL};

static bool is_free(const char *key, size_t n)
{
    for (int i = 0; free_keys[i]; i++)
        if (strlen(free_keys[i]) == n && memcmp(free_keys[i], key, n) == 0)
            return true;
    return false;
}

int rn_recipe_portable(const char *text, rn_buf *out)
{
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "\n");
        n += p[n] == '\n';
        if (!is_free(p, strcspn(p, " =\n")))
            RN_TRY(rn_buf_append(out, p, n));
        p += n;
    }
    return rn_buf_append(out, "", 1);
}

/* The value of `key` (n bytes) in a recipe text, "" if it is not there. */
static void value_of(const char *text, const char *key, size_t n, char *out, size_t cap)
{
    out[0] = 0;
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
        if (strncmp(p, key, n) == 0 && strncmp(p + n, " = ", 3) == 0) {
            snprintf(out, cap, "%.*s", (int)strcspn(p + n + 3, "\n"), p + n + 3);
            return;
        }
}

/* Keys of `a` that differ in `b`; with only_missing those alone that `b` lacks. */
static int diff_side(const char *a, const char *b, bool swapped, char *names, size_t cap)
{
    int differ = 0;
    for (const char *p = a; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        size_t n = strcspn(p, " =\n");
        char va[256], vb[256];
        if (!n || *p == '#' || is_free(p, n))
            continue;
        value_of(a, p, n, va, sizeof va);
        value_of(b, p, n, vb, sizeof vb);
        if (strcmp(va, vb) == 0 || (swapped && *vb))
            continue;
        size_t at = strlen(names);
        snprintf(names + at, cap - at, "%s%.*s %s -> %s", at ? ", " : "", (int)n, p,
                 *(swapped ? vb : va) ? (swapped ? vb : va) : "(not set)",
                 *(swapped ? va : vb) ? (swapped ? va : vb) : "(not set)");
        differ++;
    }
    return differ;
}

int rn_recipe_diff(const char *was, const char *now, char *names, size_t cap)
{
    names[0] = 0;
    return diff_side(was, now, false, names, cap) + diff_side(now, was, true, names, cap);
}
