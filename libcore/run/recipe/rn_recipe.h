/* SPDX-License-Identifier: MIT */
/*
 * A recipe: everything that decides what a training run computes. Its keys are rn-train's long options; a recipe file
 * holds `key = value` lines, the command line wins. The resolved recipe, every key written out, is kept in the run's
 * folder and in each checkpoint: a run goes on only under the recipe it began with.
 */
#ifndef RN_RECIPE_H
#define RN_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "data/load/rn_color.h"
#include "nn/graph/rn_net.h"
#include "nn/optim/rn_plateau.h"
#include "nn/optim/rn_sched.h"

enum rn_recipe_precision { RN_PRECISION_F32 = 0, RN_PRECISION_BF16, RN_PRECISION_F16 };
enum rn_recipe_tune { RN_TUNE_OFF = 0, RN_TUNE_QUICK, RN_TUNE_FULL };
enum rn_recipe_momentum { RN_MOMENTUM_TORCH = 0, RN_MOMENTUM_CAFFE };
enum rn_recipe_unit { RN_UNIT_EPOCHS = 0, RN_UNIT_STEPS };

typedef struct rn_recipe {
    /* model */
    int arch, stem, variant; /* index into rn_model_names(); enum rn_stem, enum rn_variant */
    int64_t se, se_round;
    double dropout;   /* -1: the model's own */
    const char *init; /* rn_init_parse's text; NULL: as the model's source does */
    double width;
    int64_t channels, image_size;
    int64_t start_size;      /* side of the training images up to the first of ramp_epochs; 0: image_size */
    const char *ramp_epochs; /* two epochs, between which the side grows to image_size */
    bool zero_gamma;
    const char *mean, *std; /* comma lists, one per channel, of pixels in 0..1 */
    const char *mean_image; /* file of a mean image, in place of `mean` */
    const char *mean_text;  /* what it held (rn_recipe_mean.h); no key, as net_text */
    const char *net;        /* file of a prototxt, for arch "prototxt" */
    const char *net_text;   /* what it held; no key: it travels with weights and checkpoints as a whole */
    const char *weights;    /* start from these; NULL: initialise from the seed */
    /* data */
    const char *train_db, *val_db;
    int crop; /* enum rn_train_crop */
    int64_t pad, val_resize, workers;
    double scale_min, ratio;
    bool no_flip, exact;
    const char *color_jitter; /* comma list: brightness, contrast, saturation, hue; NULL: none */
    double lighting, mixup;
    int64_t cutout;
    int order;   /* enum rn_order: random or page-local */
    int data_on; /* enum rn_data_on */
    /* optimization */
    int64_t epoch_steps; /* 0: an epoch is a pass over the training set */
    int64_t epochs, max_steps, batch, accumulate;
    int momentum_kind; /* enum rn_recipe_momentum */
    bool scale_lr;
    double clip_norm;
    int schedule_unit; /* enum rn_recipe_unit */
    int64_t step_size, warmup_steps;
    double warmup_epochs, warmup_factor, power;
    const char *milestones;                         /* comma list, in the schedule's unit */
    double pct_start, div_factor, final_div_factor; /* one-cycle */
    int anneal;                                     /* index into cos, linear */
    const char *cycle_momentum;                     /* "LOW,HIGH"; NULL: not cycled */
    int plateau_metric;                             /* index into loss, top1 */
    int64_t plateau_patience, plateau_cooldown;
    double plateau_threshold;
    double ema; /* decay; 0: none */
    int64_t ema_every;
    bool ema_warmup;
    double lr, lr_min, momentum, weight_decay, gamma, label_smoothing;
    const char *loss_scale; /* see rn_loss_scale_parse; NULL: by the precision */
    int schedule;           /* enum rn_sched_kind */
    bool nesterov, no_norm_decay, local_bn;
    /* distillation */
    const char *teacher;                       /* weights to learn from, too; NULL: none */
    double kd_temperature, kd_weight, kd_hard; /* kd_hard below 0: 1 - kd_weight */
    uint64_t seed;
    /* evaluation */
    int64_t eval_every, eval_batch;
    /* machine */
    const char *algo;
    const char *tune_file; /* measured choices to take, and to add to; NULL: none but the run's own */
    bool fast;
    int device, precision, tune; /* device: index into rn_recipe_devices */
    int fuse;                    /* enum rn_fuse */
    int64_t threads;
    int comm;       /* enum rn_comm_way */
    int64_t bucket; /* KiB; 0: 8192 */
} rn_recipe;

/* Where batches of pixels are made: by the loader, or on the device out of a set that was decoded at once. */
enum rn_data_on { RN_DATA_AUTO = 0, RN_DATA_HOST = 1, RN_DATA_DEVICE = 2 };

/* How the gradients of ranks on devices are added up. */
enum rn_comm_way { RN_COMM_AUTO = 0, RN_COMM_NCCL = 1, RN_COMM_HOST = 2 };

enum { RN_RECIPE_MAX_ROWS = 128 };

extern const char *const rn_recipe_devices[]; /* what --device may name, whether this build has it or not */

/* The values that hold when nothing is said. */
void rn_recipe_defaults(rn_recipe *r);

/* Fills opts (room for RN_RECIPE_MAX_ROWS) with rows that write into `r`; returns their number. */
int rn_recipe_rows(rn_recipe *r, rn_opt *opts);

/* Checks what the rows' own ranges cannot: wrong combinations, lists. RN_E_USAGE. */
int rn_recipe_check(const rn_recipe *r);

/* The model of the recipe's keys, for that many classes. The recipe has been checked. */
int rn_recipe_model(const rn_recipe *r, int classes, rn_model_spec *out);
/* The part of it that is about optimizer and learning rate. */
int rn_recipe_check_optim(const rn_recipe *r);
/* Does the loss scale move, and where does it begin? 1: there is none. */
int rn_recipe_loss_scale(const rn_recipe *r, bool *dynamic, double *start);
/* Share of the labels in the loss: 1 without a teacher. */
double rn_recipe_hard_weight(const rn_recipe *r);
/* Side of the training images in an epoch (from 0): start_size up to epoch A of ramp_epochs "A,B", image_size from B on, between
 * them in proportion, rounded to multiples of 32, halves to the even one (FFCV's rn18 configurations do so). Checked. */
int rn_recipe_side(const rn_recipe *r, int64_t epoch, int *side);

/* A comma list of exactly n reals (what = the option's name, for the message). */
int rn_recipe_reals(const char *what, const char *list, double lo, double hi, int n, float *out);
/* mean and std of the recipe's channels; ImageNet's for 3 channels, their means for 1, when not set. */
int rn_recipe_pixels(const rn_recipe *r, float mean[3], float std[3]);
/* Ranges of the colour jitter, by enum rn_color_op; all 0 when not set. */
int rn_recipe_jitter(const rn_recipe *r, rn_jitter *out);
/* The learning-rate schedule for that many steps an epoch of so many images each (over all ranks); checked. */
int rn_recipe_sched(const rn_recipe *r, int64_t steps_per_epoch, int64_t images_per_step, rn_sched *out);
/* Steps of the whole run. */
int64_t rn_recipe_steps(const rn_recipe *r, int64_t steps_per_epoch);
/* What --schedule plateau does after an evaluation; the least rate is scaled as the schedule's is. */
rn_plateau_opts rn_recipe_plateau(const rn_recipe *r, const rn_sched *sched);

/* "key = value" lines of all rows, in their order; rows whose text is not set are left out. RN_E_USAGE: a value that would
 * not be read back as it is. */
int rn_recipe_text(const rn_opt *opts, int nopts, rn_buf *out);

/* `text` without the keys that say where things lie or how many decode (train-db, val-db, workers, weights, teacher, net,
 * mean-image): what goes into weights, which then depend on recipe and data alone and carry nobody's paths. */
int rn_recipe_portable(const char *text, rn_buf *out);

/*
 * Compares two recipe texts. Keys that change neither weights nor log (where the data lie, decode threads) are
 * passed over. Returns the number of keys that differ and names them in `names` ("lr 0.1 -> 0.2, ...").
 */
int rn_recipe_diff(const char *was, const char *now, char *names, size_t cap);

#endif
