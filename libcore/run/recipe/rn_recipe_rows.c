/* SPDX-License-Identifier: MIT */
/* The table of the recipe's keys. */
#include <string.h>

#include "data/load/rn_loader.h"
#include "run/recipe/rn_recipe.h"

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
                     .se_round = 1,
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
        {RN_OPT_ENUM, "variant", "KIND", &r->variant,
         "Residual nets: torchvision's (none; b is its other name), the stride in a bottleneck's first 1x1 (v1), a "
         "deep "
         "stem (c), and average pools in the shortcuts too (d).",
         rn_variant_names, 0, 0},
        {RN_OPT_INT, "se", "R", &r->se, "Squeeze and excitation in each block, reduction R; usual is 16, 0: none.",
         NULL, 0, 1024},
        {RN_OPT_INT, "se-round", "N", &r->se_round,
         "Round the squeezed channels to a multiple of N, as timm with 8; 1: as they are.", NULL, 1, 1024},
        {RN_OPT_ENUM, "stem", "KIND", &r->stem, "First layers: 7x7 stride 2 and max pool, or 3x3 for small images.",
         stems, 0, 0},
        {RN_OPT_REAL, "width", "X", &r->width, "Multiplies every channel count.", NULL, 0.0625, 8},
        {RN_OPT_INT, "channels", "N", &r->channels, "Channels of the input: 3, or 1 for gray.", NULL, 1, 3},
        {RN_OPT_INT, "image-size", "N", &r->image_size, "Side of the square input, pixels.", NULL, 8, 1024},
        {RN_OPT_TEXT, "init", "KIND", &r->init,
         "Initial weights: model (as its source does; default), torchvision, kaiming-out, kaiming-in, xavier, "
         "xavier-normal, xavier-caffe, msra, gaussian:STD. All but the first two start biases at 0.",
         NULL, 0, 0},
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
