/* SPDX-License-Identifier: MIT */
/* The table of the recipe's keys. */
#include <string.h>

#include "data/load/rn_loader.h"
#include "run/recipe/rn_recipe.h"

const char *const rn_recipe_devices[] = {"cpu", "cuda", NULL};
static const char *const stems[] = {"imagenet", "cifar", NULL};
static const char *const crops[] = {"resized", "pad", "window", "none", NULL};
static const char *const orders[] = {"random", "page-local", NULL}; /* not key order: a batch would be of one class */
static const char *const places[] = {"auto", "host", "device", NULL};
static const char *const precisions[] = {"f32", "bf16", "f16", NULL};
static const char *const momenta[] = {"torch", "caffe", NULL};
static const char *const units[] = {"epochs", "steps", NULL};
static const char *const anneals[] = {"cos", "linear", NULL};
static const char *const metrics[] = {"loss", "top1", NULL};
static const char *const tunes[] = {"off", "quick", "full", NULL};
static const char *const fuses[] = {"off", "auto", "on", NULL};
static const char *const comms[] = {"auto", "nccl", "host", NULL};

void rn_recipe_defaults(rn_recipe *r)
{
    *r = (rn_recipe){.stem = RN_STEM_IMAGENET,
                     .width = 1,
                     .se_round = 1,
                     .dropout = -1,
                     .channels = 3,
                     .image_size = 224,
                     .fuse = RN_FUSE_AUTO,
                     .crop = RN_CROP_RESIZED,
                     .pad = 4,
                     .val_resize = 256,
                     .scale_min = 0.08,
                     .ratio = 4.0 / 3,
                     .epochs = 90,
                     .batch = 256,
                     .accumulate = 1,
                     .lr = 0.1,
                     .momentum = 0.9,
                     .weight_decay = 1e-4,
                     .kd_temperature = 4,
                     .kd_weight = 0.5,
                     .kd_hard = -1,
                     .schedule = RN_SCHED_STEP,
                     .step_size = 30,
                     .gamma = 0.1,
                     .power = 1,
                     .pct_start = 0.3,
                     .div_factor = 25,
                     .final_div_factor = 1e4,
                     .plateau_patience = 10,
                     .plateau_threshold = 1e-4,
                     .ema_every = 1,
                     .seed = 1,
                     .eval_every = 1};
}

static int put(rn_opt *out, const rn_opt *rows, size_t bytes)
{
    memcpy(out, rows, bytes);
    return (int)(bytes / sizeof *rows);
}

static int model_rows(rn_recipe *r, rn_opt *out)
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
        {RN_OPT_TEXT, "net", "FILE", &r->net,
         "Architecture and data layers in Caffe's prototxt (--arch prototxt): both phases in one file, as "
         "train_val.prototxt.",
         NULL, 0, 0},
        {RN_OPT_REAL, "dropout", "P", &r->dropout,
         "Dropout before the linear layers; -1: the model's own (AlexNets 0.5, others none).", NULL, -1, 0.99},
        {RN_OPT_ENUM, "stem", "KIND", &r->stem, "First layers: 7x7 stride 2 and max pool, or 3x3 for small images.",
         stems, 0, 0},
        {RN_OPT_REAL, "width", "X", &r->width, "Multiplies every channel count.", NULL, 0.0625, 8},
        {RN_OPT_INT, "channels", "N", &r->channels, "Channels of the input: 3, or 1 for gray.", NULL, 1, 3},
        {RN_OPT_INT, "image-size", "N", &r->image_size, "Side of the square input, pixels.", NULL, 8, 1024},
        {RN_OPT_INT, "start-size", "N", &r->start_size,
         "Progressive resizing: train on images of this side at first, then on ever larger ones (0: no).", NULL, 0,
         1024},
        {RN_OPT_TEXT, "ramp-epochs", "A,B", &r->ramp_epochs,
         "With --start-size: the side grows from epoch A to epoch B, counted from 0, in multiples of 32.", NULL, 0, 0},
        {RN_OPT_TEXT, "init", "KIND", &r->init,
         "Initial weights: model (as its source does; default), torchvision, kaiming-out, kaiming-in, xavier, "
         "xavier-normal, xavier-caffe, msra, gaussian:STD. All but the first two start biases at 0.",
         NULL, 0, 0},
        {RN_OPT_FLAG, "zero-gamma", NULL, &r->zero_gamma, "Start each block's last batch norm at 0.", NULL, 0, 0},
        {RN_OPT_TEXT, "mean", "LIST", &r->mean, "Mean per channel of pixels in 0..1 (default ImageNet's; gray 0.449).",
         NULL, 0, 0},
        {RN_OPT_TEXT, "mean-image", "FILE", &r->mean_image,
         "In place of --mean: Caffe's mean image (pack-lmdb --mean writes one), subtracted at each pixel's place in "
         "the "
         "stored image; with --crop window or none and --val-resize 0.",
         NULL, 0, 0},
        {RN_OPT_TEXT, "std", "LIST", &r->std, "Deviation per channel (default ImageNet's; gray 0.226).", NULL, 0, 0},
        {RN_OPT_TEXT, "weights", "FILE", &r->weights,
         "Start from these weights (safetensors, torchvision's names); with --eval-only, what is evaluated.", NULL, 0,
         0},
    };
    return put(out, rows, sizeof rows);
}

static int data_rows(rn_recipe *r, rn_opt *out)
{
    const rn_opt rows[] = {
        {RN_OPT_GROUP, "Data", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "train-db", "DB", &r->train_db, "Training set, from pack-lmdb.", NULL, 0, 0},
        {RN_OPT_TEXT, "val-db", "DB", &r->val_db, "Validation set, from pack-lmdb.", NULL, 0, 0},
        {RN_OPT_ENUM, "crop", "KIND", &r->crop,
         "Training crop: random resized (torchvision's), pad and crop, a random window of the image as it is "
         "(Caffe's), "
         "or none.",
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
        {RN_OPT_ENUM, "data-on", "PLACE", &r->data_on,
         "Where batches are made. host: by the loader, which decodes each image each time. device: each set is decoded "
         "once, "
         "into the device's memory, and batches are cut out of it there, to the same bits; for images of one size and "
         "--crop "
         "pad, window or none, flips, --cutout and --mixup. auto: on a GPU, if a set takes a quarter of its free "
         "memory at most.",
         places, 0, 0},
        {RN_OPT_INT, "workers", "N", &r->workers, "Decode threads; 0: as many as compute threads.", NULL, 0, 256},
    };
    return put(out, rows, sizeof rows);
}

static int optimization_rows(rn_recipe *r, rn_opt *out)
{
    const rn_opt rows[] = {
        {RN_OPT_GROUP, "Optimization", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_INT, "epochs", "N", &r->epochs, "Epochs.", NULL, 1, 99999},
        {RN_OPT_INT, "max-steps", "N", &r->max_steps, "Train N steps instead of --epochs (0: by epochs).", NULL, 0,
         1e12},
        {RN_OPT_INT, "epoch-steps", "N", &r->epoch_steps,
         "Count every N steps as an epoch, whatever the size of the training set: evaluation, log and checkpoints then "
         "come "
         "as often (0: an epoch is one pass).",
         NULL, 0, 1e12},
        {RN_OPT_INT, "batch", "N", &r->batch, "Images in a batch, of all ranks of mpirun together.", NULL, 1, 65536},
        {RN_OPT_INT, "accumulate", "N", &r->accumulate,
         "Batches in a step, which takes the mean of their gradients; the last step of an epoch takes what is left. "
         "Batch norm sees each batch by itself.",
         NULL, 1, 65536},
        {RN_OPT_REAL, "momentum", "X", &r->momentum, "Momentum of SGD.", NULL, 0, 0.9999},
        {RN_OPT_FLAG, "nesterov", NULL, &r->nesterov, "Nesterov's momentum.", NULL, 0, 0},
        {RN_OPT_ENUM, "momentum-kind", "KIND", &r->momentum_kind,
         "torch: v = momentum v + g, w -= lr v. caffe: v = momentum v + lr g, w -= v; the two differ when the rate "
         "changes.",
         momenta, 0, 0},
        {RN_OPT_REAL, "weight-decay", "X", &r->weight_decay, "Weight decay.", NULL, 0, 1},
        {RN_OPT_FLAG, "no-norm-decay", NULL, &r->no_norm_decay, "No decay on biases and batch norms.", NULL, 0, 0},
        {RN_OPT_REAL, "clip-norm", "X", &r->clip_norm,
         "Scale a step's gradient down to this norm (0: never). With --momentum-kind caffe the gradient is the sum, "
         "not "
         "the mean, of --accumulate batches, as Caffe's is.",
         NULL, 0, 1e9},
        {RN_OPT_TEXT, "loss-scale", "HOW", &r->loss_scale,
         "Factor on the loss that keeps 16-bit gradients from underflow. dynamic[:START]: halved when they overflow, "
         "the "
         "step left out, and doubled after 2000 steps without; a number; none (default: dynamic with --precision f16).",
         NULL, 0, 0},
        {RN_OPT_REAL, "label-smoothing", "X", &r->label_smoothing, "Label smoothing.", NULL, 0, 0.99},
        {RN_OPT_REAL, "ema", "DECAY", &r->ema,
         "Keep a running average of weights and batch statistics, average = DECAY average + (1 - DECAY) weights, and "
         "evaluate and publish that (0: none).",
         NULL, 0, 0.9999999},
        {RN_OPT_INT, "ema-every", "N", &r->ema_every, "Take the weights into the average every N steps.", NULL, 1,
         1000000},
        {RN_OPT_FLAG, "ema-warmup", NULL, &r->ema_warmup,
         "Average number t, from 0, decays by (1 + t) / (10 + t) at most: the start is soon forgotten, in a short run "
         "too.",
         NULL, 0, 0},
        {RN_OPT_FLAG, "local-bn", NULL, &r->local_bn,
         "Under mpirun: batch norm's statistics of each rank's images alone, as PyTorch's DDP; without, of the whole "
         "batch, so "
         "that any number of ranks trains the same.",
         NULL, 0, 0},
        {RN_OPT_UINT, "seed", "N", &r->seed, "Seed of initialisation, order and augmentation.", NULL, 0, 0},
    };
    return put(out, rows, sizeof rows);
}

static int rate_rows(rn_recipe *r, rn_opt *out)
{
    const rn_opt rows[] = {
        {RN_OPT_GROUP, "Learning rate", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_REAL, "lr", "X", &r->lr, "Learning rate: the first after the warm-up, or the peak.", NULL, 0, 1e9},
        {RN_OPT_FLAG, "scale-lr", NULL, &r->scale_lr,
         "Linear scaling: --lr and --lr-min are for 256 images a step, and multiplied by a step's images / 256.", NULL,
         0, 0},
        {RN_OPT_ENUM, "schedule", "KIND", &r->schedule,
         "How the rate goes on. cosine, poly, linear: down to --lr-min at the end. step, multistep, exp: by --gamma. "
         "inv, sigmoid: Caffe's. one-cycle: up and down, as torch's OneCycleLR. plateau: by --gamma whenever "
         "evaluations get no better, as torch's ReduceLROnPlateau.",
         rn_sched_names, 0, 0},
        {RN_OPT_ENUM, "schedule-unit", "KIND", &r->schedule_unit,
         "What --step-size, --milestones and the t of exp, inv and sigmoid count: torch's epochs, or steps as in "
         "Caffe.",
         units, 0, 0},
        {RN_OPT_REAL, "warmup-epochs", "X", &r->warmup_epochs, "Epochs of linear warm-up.", NULL, 0, 100000},
        {RN_OPT_INT, "warmup-steps", "N", &r->warmup_steps, "The same in steps.", NULL, 0, 1e12},
        {RN_OPT_REAL, "warmup-factor", "X", &r->warmup_factor, "Where the warm-up starts, as a share of the rate.",
         NULL, 0, 1},
        {RN_OPT_INT, "step-size", "N", &r->step_size, "step: multiply by gamma every N. sigmoid: its middle.", NULL, 0,
         1e12},
        {RN_OPT_TEXT, "milestones", "LIST", &r->milestones, "multistep: multiply by gamma at these, e.g. 30,60,80.",
         NULL, 0, 0},
        {RN_OPT_REAL, "gamma", "X", &r->gamma,
         "Factor of step, multistep, exp (lr gamma^t) and plateau; slope of inv and sigmoid.", NULL, -1e9, 1e9},
        {RN_OPT_REAL, "power", "X", &r->power, "poly: lr (1 - x)^power. inv: lr (1 + gamma t)^-power.", NULL, 0, 1000},
        {RN_OPT_REAL, "lr-min", "X", &r->lr_min, "cosine, poly, linear: the last rate. plateau: the least.", NULL, 0,
         1e9},
        {RN_OPT_REAL, "pct-start", "X", &r->pct_start, "one-cycle: share of the steps in which the rate rises.", NULL,
         1e-6, 0.999999},
        {RN_OPT_REAL, "div-factor", "X", &r->div_factor, "one-cycle: peak over first rate.", NULL, 1, 1e12},
        {RN_OPT_REAL, "final-div-factor", "X", &r->final_div_factor, "one-cycle: first rate over last.", NULL, 1, 1e12},
        {RN_OPT_ENUM, "anneal", "KIND", &r->anneal, "one-cycle: by half cosines, or by lines.", anneals, 0, 0},
        {RN_OPT_TEXT, "cycle-momentum", "LOW,HIGH", &r->cycle_momentum,
         "one-cycle: the momentum goes from HIGH down to LOW and back; torch's are 0.85,0.95.", NULL, 0, 0},
        {RN_OPT_ENUM, "plateau-metric", "KIND", &r->plateau_metric, "plateau: of the evaluations.", metrics, 0, 0},
        {RN_OPT_INT, "plateau-patience", "N", &r->plateau_patience,
         "plateau: evaluations in a row that may be no better before the rate falls.", NULL, 0, 100000},
        {RN_OPT_REAL, "plateau-threshold", "X", &r->plateau_threshold,
         "plateau: better is better by this share of the best.", NULL, 0, 1},
        {RN_OPT_INT, "plateau-cooldown", "N", &r->plateau_cooldown,
         "plateau: evaluations after a fall that do not count.", NULL, 0, 100000},
    };
    return put(out, rows, sizeof rows);
}

static int distillation_rows(rn_recipe *r, rn_opt *out)
{
    const rn_opt rows[] = {
        {RN_OPT_GROUP, "Distillation", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "teacher", "FILE", &r->teacher,
         "Learn from these weights, too, of any model: the loss is (1 - L) x that of the labels + L T^2 x the "
         "divergence from the teacher's scores softened by T.",
         NULL, 0, 0},
        {RN_OPT_REAL, "kd-temperature", "T", &r->kd_temperature, "Temperature of the distillation.", NULL, 0.01, 1000},
        {RN_OPT_REAL, "kd-weight", "L", &r->kd_weight, "Share of the teacher in the loss.", NULL, 0, 1000},
        {RN_OPT_REAL, "kd-hard-weight", "X", &r->kd_hard,
         "Share of the labels; -1: 1 - L. With --kd-weight 1 --kd-hard-weight 1 the loss is that of Bag of Tricks.",
         NULL, -1, 1000},
    };
    return put(out, rows, sizeof rows);
}

static int evaluation_rows(rn_recipe *r, rn_opt *out)
{
    const rn_opt rows[] = {
        {RN_OPT_GROUP, "Evaluation", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_INT, "eval-every", "N", &r->eval_every, "Evaluate every N epochs, and after the last.", NULL, 1,
         100000},
        {RN_OPT_INT, "eval-batch", "N", &r->eval_batch, "Images at a time in evaluation (of each rank); 0: as --batch.",
         NULL, 0, 65536},
    };
    return put(out, rows, sizeof rows);
}

static int machine_rows(rn_recipe *r, rn_opt *out)
{
    const rn_opt rows[] = {
        {RN_OPT_GROUP, "Machine", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_ENUM, "device", "NAME", &r->device, "What computes.", rn_recipe_devices, 0, 0},
        {RN_OPT_ENUM, "precision", "KIND", &r->precision,
         "Type of activations and their gradients; weights and what is summed up over batches are f32 in each.",
         precisions, 0, 0},
        {RN_OPT_INT, "threads", "N", &r->threads,
         "Compute threads (of each rank); 0: --jobs, or every core, shared out among the ranks of a host.", NULL, 0,
         1024},
        {RN_OPT_TEXT, "algo", "PATTERN", &r->algo,
         "Only convolution algorithms whose name matches (comma list; !NAME leaves out, as in '!*:winograd').", NULL, 0,
         0},
        {RN_OPT_FLAG, "fast", NULL, &r->fast,
         "Also take algorithms that cost exactness: sums or products of less precision than the tensors' (TF32), and "
         "results whose last bits may differ from run to run.",
         NULL, 0, 0},
        {RN_OPT_ENUM, "tune", "KIND", &r->tune,
         "Choose convolution algorithms by table order (off), or by measuring those that suit a case, or all of them "
         "for longer (full). Table order is the same in every run; two measurements may choose differently, "
         "and the runs then differ in rounding. What was measured is kept in the run's folder: a resumed run and all "
         "ranks choose alike.",
         tunes, 0, 0},
        {RN_OPT_TEXT, "tune-file", "FILE", &r->tune_file,
         "Take measured choices from this file, too, so that runs that share it choose alike; with --tune quick or "
         "full "
         "add what is missing, with --tune off measure nothing.",
         NULL, 0, 0},
        {RN_OPT_ENUM, "fuse", "KIND", &r->fuse,
         "Batch norm beside convolutions: apart (off), done by these where --tune measures that to be faster (auto), "
         "or "
         "wherever the chosen algorithms can (on: least memory).",
         fuses, 0, 0},
        {RN_OPT_ENUM, "comm", "WAY", &r->comm,
         "How ranks on devices add up: from device to device (nccl), through the host's memory by MPI in the order of "
         "ranks (host), or the former where it can be (auto). By nccl, too, the same ranks on the same devices come to "
         "the same bits, unless --fast lets NVLink's switches add up.",
         comms, 0, 0},
        {RN_OPT_INT, "bucket", "KIB", &r->bucket,
         "Gradients that ranks on devices add up at a time, while the backward pass goes on; 0: 8192.", NULL, 0,
         1 << 20},
    };
    return put(out, rows, sizeof rows);
}

int rn_recipe_rows(rn_recipe *r, rn_opt *opts)
{
    static int (*const groups[])(rn_recipe *, rn_opt *) = {
        model_rows, data_rows, optimization_rows, rate_rows, distillation_rows, evaluation_rows, machine_rows};
    int n = 0;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        n += groups[i](r, opts + n);
    return n; /* at most RN_RECIPE_MAX_ROWS: test_recipe counts them */
}
