/* SPDX-License-Identifier: MIT */
#include "run/train/rn_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_cpu.h"
#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "run/recipe/rn_recipe_mean.h"
#include "run/train/rn_choices.h"
#include "run/train/rn_data_on.h"
#include "run/train/rn_devices.h"
#include "run/train/rn_teacher.h"

static const rn_dtype dtypes[] = {RN_F32, RN_BF16, RN_F16}; /* in the order of --precision */

/* ---- stores ---- */

static int check_classes(const rn_store *a, const rn_store *b)
{
    int n = rn_store_nclasses(a);
    if (n != rn_store_nclasses(b))
        return rn_fail(RN_E_MISMATCH, "%s has %d classes, %s has %d: pack both from the same data set",
                       rn_store_path(a), n, rn_store_path(b), rn_store_nclasses(b));
    for (int i = 0; i < n; i++)
        if (strcmp(rn_store_wnids(a)[i], rn_store_wnids(b)[i]) != 0)
            return rn_fail(RN_E_MISMATCH, "class %d is %s in %s but %s in %s: pack both from the same data set", i,
                           rn_store_wnids(a)[i], rn_store_path(a), rn_store_wnids(b)[i], rn_store_path(b));
    return RN_OK;
}

static int open_stores(rn_session *s, bool train)
{
    if (train)
        RN_TRY(rn_store_open(s->r->train_db, 0, &s->train_db));
    RN_TRY(rn_store_open(s->r->val_db, 0, &s->val_db));
    s->classes = rn_store_nclasses(s->val_db);
    if (s->classes < 2)
        return rn_fail(RN_E_MISMATCH, "%s has %d class: at least 2 are needed to tell apart", s->r->val_db, s->classes);
    return train ? check_classes(s->train_db, s->val_db) : RN_OK;
}

/* ---- networks ---- */

/* What a CPU makes of --precision: said once, so that nobody takes the pace of an emulation for that of the type. */
static int tell_precision(const rn_session *s)
{
    rn_isa isa;
    const char *how = "by its own arithmetic";
    if (s->r->precision == RN_PRECISION_F32)
        return RN_OK;
    if (strcmp(s->be->device, "cpu") == 0) {
        RN_TRY(rn_isa_pick(NULL, &isa));
        const bool bf16 = s->r->precision == RN_PRECISION_BF16;
        /* the backend has found out whether pairs are faster than f32, and says so in its line */
        const bool pairs = bf16 && isa >= RN_ISA_AVX512_BF16 && strstr(s->be->describe, "bf16 in pairs");
        how = bf16 && isa >= RN_ISA_AMX ? "products of bf16 tiles by this CPU's AMX"
              : pairs                   ? "products of bf16 pairs by this CPU's AVX512_BF16"
                      : "emulated: this CPU has no such products that are faster than f32, values are widened to f32 "
                        "and rounded where they are "
                        "stored";
    }
    rn_info("precision %s: activations and their gradients in 16 bits, weights f32; %s",
            rn_dtype_name(dtypes[s->r->precision]), how);
    return RN_OK;
}

static int open_eval_net(rn_session *s, const rn_model_spec *model, rn_net_opts opts)
{
    opts.train = false;
    opts.batch = s->eval_batch;
    return rn_net_open(s->be, model, &opts, &s->eval_net);
}

/* `opts` is complete but for the batch. */
static int open_each(rn_session *s, const rn_model_spec *model, rn_net_opts *opts)
{
    if (!opts->train)
        return open_eval_net(s, model, *opts);
    opts->batch = s->batch;
    RN_TRY(rn_net_open(s->be, model, opts, &s->net));
    if (s->r->teacher)
        RN_TRY(rn_teacher_open(s, model, opts));
    if (s->r->ema > 0) /* evaluation is of the average */
        return open_eval_net(s, model, *opts);
    return rn_net_open_shared(s->net, s->eval_batch, 0, 0, &s->eval_net);
}

static int open_nets(rn_session *s, bool train)
{
    static const enum rn_select_mode modes[] = {RN_SELECT_ORDER, RN_SELECT_QUICK, RN_SELECT_FULL}; /* as --tune */
    const rn_recipe *r = s->r;
    float mean[3], std[3], *mean_image;
    RN_TRY(rn_recipe_pixels(r, mean, std));
    rn_model_spec model;
    RN_TRY(tell_precision(s));
    RN_TRY(rn_recipe_model(r, s->classes, &model));
    rn_net_opts opts = {.train = train,
                        .dtype = dtypes[r->precision],
                        .select = {.mode = modes[r->tune],
                                   .pattern = r->algo,
                                   .allow_lowprec = r->fast,
                                   .allow_nondet = r->fast,
                                   .tuning = s->tuning},
                        .fuse = (enum rn_fuse)r->fuse,
                        .mean = mean,
                        .std = std,
                        .label_smoothing = (float)r->label_smoothing,
                        .comm = s->comm,
                        .local_bn = r->local_bn,
                        .bucket = r->bucket * 1024 / (int64_t)sizeof(float)};
    RN_TRY(rn_recipe_mean_image(r, &opts, &mean_image));
    s->mean_h = opts.mean_h;
    s->mean_w = opts.mean_w;
    int rc = open_each(s, &model, &opts);
    free(mean_image);
    return rc;
}

/* ---- measured choices ---- */

/* The run's own file first: a resumed run keeps to what it chose, whatever --tune-file holds by now. */
static int open_tuning(rn_session *s, const char *run_file)
{
    const rn_recipe *r = s->r;
    if (r->tune == RN_TUNE_OFF && !r->tune_file)
        return RN_OK;
    RN_TRY(rn_tuning_open(&s->tuning));
    if (run_file && !(s->tune_path = strdup(run_file)))
        return rn_fail(RN_E_NOMEM, "session: out of memory");
    if (rn_comm_rank(s->comm) > 0)
        return RN_OK; /* rank 0 tells */
    if (run_file)
        RN_TRY(rn_tuning_read(s->tuning, run_file, false));
    return r->tune_file && (r->tune == RN_TUNE_OFF || rn_is_file(r->tune_file))
               ? rn_tuning_read(s->tuning, r->tune_file, true)
               : RN_OK;
}

static int save_tuning(const rn_session *s)
{
    if (!s->tuning || rn_comm_rank(s->comm) > 0)
        return RN_OK;
    if (s->tune_path)
        RN_TRY(rn_tuning_write(s->tuning, s->tune_path));
    return s->r->tune_file && s->r->tune != RN_TUNE_OFF ? rn_tuning_write(s->tuning, s->r->tune_file) : RN_OK;
}

/* Rank 0 measures first and tells the others, wherever they run, so that they measure neither at the same time nor otherwise.
 * This begins before a rank's turn, and ends it. */
static int tell_tuning(const rn_session *s)
{
    uint64_t n = 0;
    char *text = NULL;
    int rc;
    if (rn_comm_rank(s->comm) == 0) {
        text = rn_tuning_text(s->tuning);
        n = text ? strlen(text) : 0;
    }
    RN_GO(rn_comm_bcast(s->comm, &n, sizeof n));
    if (n == 0) {
        rc = rn_fail(RN_E_NOMEM, "rank 0 has no memory for its measured choices");
        goto out;
    }
    if (!text && !(text = malloc(n))) {
        rc = rn_fail(RN_E_NOMEM, "measured choices: out of memory");
        goto out;
    }
    RN_GO(rn_comm_bcast(s->comm, text, n));
    if (rn_comm_rank(s->comm) > 0)
        rc = rn_tuning_add_text(s->tuning, text, n);
out:
    free(text);
    return rc;
}

static int begin_turn(const rn_session *s)
{
    return s->comm && s->comm->rank > 0 && s->tuning ? tell_tuning(s) : RN_OK;
}

static int end_turn(const rn_session *s)
{
    RN_TRY(save_tuning(s));
    return s->comm && s->comm->rank == 0 && s->tuning ? tell_tuning(s) : RN_OK;
}

static int open_nets_in_turn(rn_session *s, bool train, const char *tune_file)
{
    RN_TRY(open_tuning(s, tune_file));
    RN_TRY(begin_turn(s));
    RN_TRY(open_nets(s, train));
    return end_turn(s);
}

/* ---- loaders ---- */

/* What is done to the pixels after the crop. */
static int set_augmentation(const rn_recipe *r, rn_loader_opts *o)
{
    float mean[3], std[3];
    RN_TRY(rn_recipe_pixels(r, mean, std));
    RN_TRY(rn_recipe_jitter(r, &o->jitter));
    o->lighting = r->lighting;
    o->cutout = (int)r->cutout;
    for (int c = 0; c < 3; c++) /* what the device's normalisation takes to 0, but for half a level */
        o->fill[c] = (uint8_t)(255 * mean[c] + 0.5f);
    o->mixup = r->mixup;
    return RN_OK;
}

/* A device copies batches out of page-locked memory without making the host wait. */
static int alloc_locked(void *with, size_t bytes, void **out)
{
    return rn_backend_alloc_host(with, bytes, out);
}

static void free_locked(void *with, void *p)
{
    rn_backend_free_host(with, p);
}

static int open_loader(const rn_session *s, rn_store *store, rn_loader_opts opts, rn_loader **out)
{
    if (s->be->alloc_host) {
        opts.alloc = alloc_locked;
        opts.release = free_locked;
        opts.with = s->be;
    }
    return rn_loader_open(store, &opts, out);
}

/* One more than usual: two steps that are under way hold a batch each. */
enum { DEVICE_DEPTH = 5 };

static int open_train_loader(rn_session *s)
{
    const rn_recipe *r = s->r;
    rn_loader_opts opts = {.train = true,
                           .batch = (int)r->batch,
                           .width = s->side,
                           .height = s->side,
                           .channels = (int)r->channels,
                           .part = rn_comm_rank(s->comm),
                           .parts = rn_comm_size(s->comm),
                           .seed = r->seed,
                           .workers = s->workers,
                           .depth = s->be->stream_open ? DEVICE_DEPTH : 0,
                           .crop = (enum rn_train_crop)r->crop,
                           .scale_lo = r->scale_min,
                           .scale_hi = 1,
                           .ratio_lo = 1 / r->ratio,
                           .ratio_hi = r->ratio,
                           .pad = (int)r->pad,
                           .stored_w = s->mean_w,
                           .stored_h = s->mean_h,
                           .flip = !r->no_flip,
                           .drop_last = true,
                           .order = (enum rn_order)r->order,
                           .exact = r->exact};
    if (rn_store_count(s->train_db) < r->batch)
        return rn_fail(RN_E_USAGE, "--batch %lld is more than the %u images of %s", (long long)r->batch,
                       rn_store_count(s->train_db), r->train_db);
    RN_TRY(set_augmentation(r, &opts));
    RN_TRY(rn_data_on(s, "training set", s->train_db, s->net, &opts, &s->train_held));
    return open_loader(s, s->train_db, opts, &s->train);
}

static int open_val_loader(rn_session *s)
{
    const rn_recipe *r = s->r;
    rn_loader_opts opts = {.batch = s->eval_batch,
                           .part = rn_comm_rank(s->comm),
                           .parts = rn_comm_size(s->comm),
                           .width = (int)r->image_size,
                           .height = (int)r->image_size,
                           .channels = (int)r->channels,
                           .seed = r->seed,
                           .workers = s->workers,
                           .crop = (enum rn_train_crop)r->crop,
                           .stored_w = s->mean_w,
                           .stored_h = s->mean_h,
                           .resize_short = (int)r->val_resize};
    RN_TRY(rn_data_on(s, "validation set", s->val_db, s->eval_net, &opts, &s->val_held));
    return open_loader(s, s->val_db, opts, &s->val);
}

/* ---- all of it ---- */

static void tell_choices(const rn_session *s)
{
    if (rn_comm_rank(s->comm) > 0)
        return;
    if (s->net)
        rn_choices_tell(s->net, "training");
    rn_choices_tell(s->eval_net, "evaluation");
}

static int open_backend(rn_session *s, const rn_backend_entry *backends, bool train)
{
    rn_backend_opts opts = {.threads = s->threads};
    RN_TRY(rn_devices_place(s->comm, &opts.place));
    int rc = rn_backend_open(backends, rn_recipe_devices[s->r->device], &opts, &s->be);
    if (rc == RN_E_USAGE) /* a device we know of, but not in this build */
        return rn_fail(RN_E_ABSENT, "%s", rn_error_text());
    return rc < 0 ? rc : rn_devices_join(s, train);
}

static int open_all(rn_session *s, const rn_backend_entry *backends, bool train, const char *tune_file)
{
    RN_TRY(open_stores(s, train));
    RN_TRY(open_backend(s, backends, train));
    RN_TRY(open_nets_in_turn(s, train, tune_file));
    tell_choices(s);
    if (train)
        RN_TRY(open_train_loader(s));
    return open_val_loader(s);
}

/* The recipe's batch is that of all ranks together. Each evaluates as many at a time as one process would: how an image's
 * scores are rounded may depend on that. */
static int share_batches(rn_session *s, bool train)
{
    const int64_t ranks = rn_comm_size(s->comm), batch = s->r->batch;
    if (train && batch % ranks != 0)
        return rn_fail(RN_E_USAGE,
                       "--batch %lld does not divide among %lld ranks: give a multiple of %lld, such as %lld, or start "
                       "another number of ranks",
                       (long long)batch, (long long)ranks, (long long)ranks, (long long)((batch / ranks + 1) * ranks));
    s->batch = (int)(batch / ranks);
    s->eval_batch = (int)(s->r->eval_batch > 0 ? s->r->eval_batch : batch);
    return RN_OK;
}

/* What is known before anything is opened. */
static int start(const rn_recipe *r, int jobs, bool train, rn_session *out)
{
    *out = (rn_session){.r = r, .comm = rn_comm_world()};
    out->threads = r->threads > 0 ? (int)r->threads : jobs;
    out->workers = r->workers > 0 ? (int)r->workers : out->threads;
    out->side = (int)r->image_size;
    return share_batches(out, train);
}

int rn_session_open(const rn_recipe *r, const rn_backend_entry *backends, int jobs, unsigned flags,
                    const char *tune_file, rn_session *out)
{
    RN_TRY(start(r, jobs, (flags & RN_SESSION_TRAIN) != 0, out));
    int rc = open_all(out, backends, (flags & RN_SESSION_TRAIN) != 0, tune_file);
    if (rc < 0)
        rn_session_close(out);
    return rc;
}

int rn_session_open_bare(const rn_recipe *r, const rn_backend_entry *backends, int jobs, int classes, rn_session *out)
{
    int rc;
    RN_TRY(start(r, jobs, true, out));
    out->classes = classes;
    RN_GO(open_backend(out, backends, true));
    RN_GO(open_nets_in_turn(out, true, NULL));
    rc = rn_net_init(out->net, r->seed);
out:
    if (rc < 0)
        rn_session_close(out);
    return rc;
}

int rn_session_start_weights(rn_session *s)
{
    rn_st_file *f;
    RN_TRY(rn_net_init(s->net, s->r->seed));
    if (!s->r->weights)
        return RN_OK;
    RN_TRY(rn_st_open(s->r->weights, &f, NULL));
    int rc = rn_weightfile_load(s->net, s->be, RN_WEIGHTFILE_VALUES, f);
    rn_st_close(f);
    return rc;
}

int rn_session_resize(rn_session *s, int side)
{
    if (side == s->side)
        return RN_OK;
    RN_TRY(begin_turn(s));
    RN_TRY(rn_net_resize(s->net, side));
    if (s->teacher)
        RN_TRY(rn_net_resize(s->teacher, side));
    RN_TRY(end_turn(s));
    rn_loader_close(s->train);
    s->train = NULL;
    s->side = side;
    return open_train_loader(s);
}

void rn_session_close(rn_session *s)
{
    rn_loader_close(s->train);
    rn_loader_close(s->val);
    rn_net_close(s->eval_net);
    rn_net_close(s->net);
    rn_net_close(s->teacher);
    rn_data_off(&s->train_held);
    rn_data_off(&s->val_held);
    rn_tuning_close(s->tuning);
    free(s->tune_path);
    rn_backend_close(s->be);
    rn_store_close(s->train_db);
    rn_store_close(s->val_db);
    *s = (rn_session){0};
}
