/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "nn/caffe/rn_caffe_net.h"
#include "run/save/rn_classes.h"
#include "run/train/rn_trainer_impl.h"

int rn_rundir_path(const rn_trainer *t, const char *name, char out[PATH_MAX])
{
    return rn_path_join(out, PATH_MAX, t->job->out, name);
}

/* What is written of a run besides its checkpoints. The first ones stay when it starts over; log.jsonl is the last to go:
 * a folder without it holds no run. */
enum { STAYING_FILES = 2 };
static const char *const run_files[] = {
    "recipe",      "tune.json",   "sessions.jsonl",    "net.prototxt", "weights.safetensors", "best.safetensors",
    "result.json", "report.html", RN_PREDICTIONS_NAME, RN_EVENTS_NAME, "log.jsonl",           NULL};

/* Whether the file that is locked is the one of that name: whoever failed before a run began takes both away. */
static bool is_lock(int fd, const char *path)
{
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_dev == there.st_dev &&
           mine.st_ino == there.st_ino;
}

/* The lock goes with the process, however it dies; what that was writing stays, and goes now. */
int rn_rundir_lock(rn_trainer *t)
{
    char path[PATH_MAX];
    t->made = access(t->job->out, F_OK) != 0;
    RN_TRY(rn_mkdir_p(t->job->out));
    RN_TRY(rn_rundir_path(t, "lock", path));
    t->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (t->lock < 0)
        return rn_fail_errno(errno, "cannot open %s", path);
    const int err = flock(t->lock, LOCK_EX | LOCK_NB) != 0 ? errno : is_lock(t->lock, path) ? 0 : EWOULDBLOCK;
    if (err) {
        t->made = false;
        return err == EWOULDBLOCK
                   ? rn_fail(RN_E_USAGE, "%s: another rn-train is at work there; give another --out", t->job->out)
                   : rn_fail_errno(err, "cannot lock %s", path);
    }
    rn_remove_leftovers(t->job->out, run_files);
    return RN_OK;
}

void rn_rundir_unlock(rn_trainer *t, bool began)
{
    char path[PATH_MAX];
    if (t->lock < 0)
        return;
    if (t->made && !began && rn_rundir_path(t, "lock", path) == RN_OK) {
        (void)unlink(path);
        (void)rmdir(t->job->out); /* stays where there is more in it */
    }
    close(t->lock);
    t->lock = -1;
}

/* ---- checkpoints ---- */

static rn_run_texts texts_of(const rn_trainer *t)
{
    return (rn_run_texts){.recipe = t->job->recipe_text,
                          .train_seal = rn_store_seal_digest(t->s.train_db),
                          .val_seal = rn_store_seal_digest(t->s.val_db),
                          .teacher = t->s.teacher_digest,
                          .compute = (const char *)t->compute.data};
}

int rn_rundir_compute(rn_trainer *t)
{
    char fuse[64];
    RN_TRY(rn_buf_printf(&t->compute, "%s\n", t->s.be->describe));
    if (t->s.comm)
        RN_TRY(rn_buf_printf(&t->compute, "%d ranks\n", t->s.comm->size));
    if (t->s.be->ranks[0]) /* how it adds up may depend on the size; the host's sums do not */
        RN_TRY(rn_buf_printf(&t->compute, "%s, --bucket %lld\n", t->s.be->ranks, (long long)t->job->recipe->bucket));
    for (int i = 0; i < rn_net_nchoices(t->s.net); i++) {
        const rn_net_choice *c = rn_net_choice_at(t->s.net, i);
        RN_TRY(rn_buf_printf(&t->compute, "%s %s %s%s%s\n", c->layer, rn_conv_dir_name(c->dir), c->choice.algo->name,
                             c->desc.fuse ? " " : "",
                             c->desc.fuse ? rn_conv_fuse_text(c->desc.fuse, fuse, sizeof fuse) : ""));
    }
    return RN_OK;
}

/* WNIDs in label order, for whoever uses the weights. */
static int wnid_text(const rn_store *db, rn_buf *b)
{
    for (int i = 0; i < rn_store_nclasses(db); i++)
        RN_TRY(rn_buf_printf(b, "%s%s", i ? " " : "", rn_store_wnids(db)[i]));
    return RN_OK;
}

static void best_name(const rn_run_state *s, char out[RN_CKPT_NAME_MAX])
{
    const rn_run_state at = {.epoch = s->best_epoch, .step = s->best_step};
    rn_ckpt_name(&at, out);
}

/* The net that holds the average, NULL if none is kept. */
static rn_net *average_of(const rn_trainer *t)
{
    return t->job->recipe->ema > 0 ? t->s.eval_net : NULL;
}

static int write_checkpoint(rn_trainer *t)
{
    rn_buf wnids = {0}, classes = {0}, recipe = {0};
    char step[32];
    const rn_run_texts texts = texts_of(t);
    int rc;
    RN_GO(wnid_text(t->s.val_db, &wnids));
    RN_GO(rn_classes_text(t->s.train_db, t->s.val_db, &classes));
    RN_GO(rn_recipe_portable(texts.recipe, &recipe));
    snprintf(step, sizeof step, "%lld", (long long)t->state.step);
    rn_weightfile_meta meta[] = {{"format", "pt"},
                                 {"rnkit.version", RN_VERSION},
                                 {"rnkit.recipe", (const char *)recipe.data},
                                 {"rnkit.train-seal", texts.train_seal},
                                 {"rnkit.val-seal", texts.val_seal},
                                 {"rnkit.step", step},
                                 {"rnkit.classes", (const char *)classes.data},
                                 {"rnkit.wnids", (const char *)wnids.data},
                                 {NULL, NULL},
                                 {NULL, NULL},
                                 {NULL, NULL}};
    rn_weightfile_meta *more = &meta[sizeof meta / sizeof *meta - 3];
    if (t->s.teacher)
        *more++ = (rn_weightfile_meta){"rnkit.teacher", texts.teacher};
    if (t->job->recipe->net_text)
        *more++ = (rn_weightfile_meta){"rnkit.net", t->job->recipe->net_text};
    if (t->job->recipe->mean_text)
        *more++ = (rn_weightfile_meta){"rnkit.mean-image", t->job->recipe->mean_text};
    const int nmeta = (int)(more - meta);
    t->state.batches = rn_net_batches(t->s.net);
    rc = rn_ckpt_write(t->job->out, t->s.net, average_of(t), t->s.be, &t->state, &texts, meta, nmeta);
out:
    rn_buf_free(&wnids);
    rn_buf_free(&classes);
    rn_buf_free(&recipe);
    return rc;
}

/* Takes away what need not be kept. What cannot be removed is no reason to stop. */
static void prune(const rn_trainer *t)
{
    char best[RN_CKPT_NAME_MAX];
    best_name(&t->state, best);
    /* First damaged ones that were passed over: they would count as the newest, and a good one would go for them. */
    if (rn_ckpt_drop_newer(t->job->out, &t->state) < 0 ||
        rn_ckpt_prune(t->job->out, (int)t->job->keep, t->state.best_epoch ? best : NULL) < 0)
        rn_warn("old checkpoints stay: %s", rn_error_text());
}

int rn_rundir_checkpoint(rn_trainer *t)
{
    char name[RN_CKPT_NAME_MAX], dir[PATH_MAX], path[PATH_MAX];
    rn_ckpt_name(&t->state, name);
    RN_TRY(rn_rundir_path(t, "checkpoints", dir));
    RN_TRY(rn_path_join(path, sizeof path, dir, name));
    if (strcmp(path, t->last_good) ==
        0) /* nothing has happened since: a good one is never taken away to be rewritten */
        return RN_OK;
    if (t->log)
        RN_TRY(rn_runlog_sync(t->log, &t->state.log_bytes));
    if (t->events)
        RN_TRY(rn_events_sync(t->events, &t->state.events_bytes));
    RN_TRY(write_checkpoint(t));
    memcpy(t->last_good, path, sizeof path);
    t->last_checkpoint = rn_now();
    prune(t);
    return RN_OK;
}

/* ---- where to begin ---- */

/* The nets of two prototxts, setting by setting. */
static int net_diff(const char *was, const char *now, char *names, size_t cap)
{
    rn_buf lines[2] = {{0}};
    int rc = RN_OK;
    for (int i = 0; i < 2 && rc == RN_OK; i++) {
        rn_caffe_net *n = NULL;
        rc = rn_caffe_net_open(i ? "--net" : "the checkpoint's net", i ? now : was, &n);
        if (rc == RN_OK)
            rc = rn_caffe_net_lines(n, &lines[i]);
        rn_caffe_net_close(n);
    }
    if (rc == RN_OK)
        rc = rn_caffe_lines_diff((const char *)lines[0].data, (const char *)lines[1].data, names, cap);
    rn_buf_free(&lines[0]);
    rn_buf_free(&lines[1]);
    return rc;
}

static int same_net(const rn_trainer *t, const rn_ckpt *c, bool strict)
{
    const char *was = rn_st_meta(c->weights, "rnkit.net"), *now = t->job->recipe->net_text;
    char names[512];
    if (!was || !now) /* the recipes' arch says it */
        return RN_OK;
    int differ = net_diff(was, now, names, sizeof names);
    RN_TRY(differ);
    if (differ && strict)
        return rn_fail(RN_E_MISMATCH,
                       "%s holds a run of another net (%s): give another --out, or --resume never to start over",
                       t->job->out, names);
    if (differ)
        rn_warn("going on with another net than the checkpoint's: %s", names);
    return RN_OK;
}

static int same_mean(const rn_trainer *t, const rn_ckpt *c, bool strict)
{
    const char *was = rn_st_meta(c->weights, "rnkit.mean-image"), *now = t->job->recipe->mean_text;
    if (was && now ? strcmp(was, now) == 0 : !was && !now)
        return RN_OK;
    if (strict)
        return rn_fail(RN_E_MISMATCH,
                       "%s holds a run with %s mean image: give that --mean-image, another --out, or --resume never to "
                       "start over",
                       t->job->out, was ? now ? "another" : "a" : "no");
    rn_warn("the checkpoint was trained with %s mean image", was ? now ? "another" : "a" : "no");
    return RN_OK;
}

static int same_run(const rn_trainer *t, const rn_ckpt *c, bool strict)
{
    char names[512];
    const rn_run_texts now = texts_of(t);
    if (strcmp(c->texts.train_seal, now.train_seal) != 0 || strcmp(c->texts.val_seal, now.val_seal) != 0) {
        if (strict)
            return rn_fail(RN_E_MISMATCH,
                           "%s was trained on other data (the seals differ): give another --out, or "
                           "--resume never to start over",
                           t->job->out);
        rn_warn("the checkpoint was trained on other data (the seals differ)");
    }
    const char *teacher = c->texts.teacher ? c->texts.teacher : "";
    if (strcmp(teacher, now.teacher) != 0) {
        if (strict)
            return rn_fail(
                RN_E_MISMATCH,
                "%s holds a run with %s (SHA-256 %.12s..., now %.12s...): give that --teacher, another --out, "
                "or --resume never to start over",
                t->job->out, *teacher ? "another teacher" : "no teacher", *teacher ? teacher : "(none)",
                *now.teacher ? now.teacher : "(none)");
        rn_warn("the checkpoint was trained with another teacher");
    }
    if (rn_recipe_diff(c->texts.recipe, now.recipe, names, sizeof names)) {
        if (strict)
            return rn_fail(RN_E_MISMATCH,
                           "%s holds a run of another recipe (%s): give another --out, or --resume never "
                           "to start over",
                           t->job->out, names);
        rn_warn("going on with another recipe than the checkpoint's: %s", names);
    }
    if (c->state.threads != t->s.threads)
        rn_warn("the run began with %lld threads and goes on with %d: rounding may differ from a run in one piece",
                (long long)c->state.threads, t->s.threads);
    if (c->texts.compute && strcmp(c->texts.compute, now.compute) != 0)
        rn_warn("the checkpoint was computed on another device, by another number of ranks or by other algorithms: "
                "rounding "
                "may differ from a run in "
                "one piece");
    return RN_OK;
}

static int go_on(rn_trainer *t, const char *path, bool strict)
{
    rn_ckpt c;
    RN_TRY(rn_ckpt_open(path, &c));
    int rc;
    RN_GO(same_run(t, &c, strict));
    RN_GO(same_net(t, &c, strict));
    RN_GO(same_mean(t, &c, strict));
    RN_GO(rn_ckpt_restore(&c, t->s.net, average_of(t), t->s.be));
    if (average_of(t) && !c.average) {
        rn_warn("%s holds no running average: it begins with the weights there", path);
        RN_GO(rn_step_start_average(t->one));
    }
    t->state = c.state;
    rn_net_set_batches(t->s.net, c.state.batches);
    if (t->state.epoch > t->epochs || t->state.batch >= t->batches_per_epoch)
        RN_GO(rn_fail(RN_E_MISMATCH, "%s stands at epoch %lld, batch %lld, beyond what this recipe trains", path,
                      (long long)t->state.epoch, (long long)t->state.batch));
    snprintf(t->from, sizeof t->from, "%s", path);
    snprintf(t->last_good, sizeof t->last_good, "%s", path);
out:
    rn_ckpt_close(&c);
    return rc;
}

/* Removes what an earlier run left, so that nothing of it can be taken for this one's. A folder without a log holds no
 * run: what is in it is not touched. */
static int clear(const rn_trainer *t)
{
    char path[PATH_MAX];
    RN_TRY(rn_rundir_path(t, "log.jsonl", path));
    for (size_t i = STAYING_FILES; rn_is_file(path) && run_files[i]; i++) {
        char old[PATH_MAX];
        RN_TRY(rn_rundir_path(t, run_files[i], old));
        if (unlink(old) != 0 && errno != ENOENT)
            return rn_fail_errno(errno, "cannot remove %s", old);
    }
    return rn_ckpt_prune(t->job->out, 0, NULL);
}

static int write_recipe(const rn_trainer *t)
{
    char path[PATH_MAX];
    const char *net = t->job->recipe->net_text;
    if (net) {
        RN_TRY(rn_rundir_path(t, "net.prototxt", path));
        RN_TRY(rn_write_file_atomic(path, net, strlen(net)));
    }
    RN_TRY(rn_rundir_path(t, "recipe", path));
    return rn_write_file_atomic(path, t->job->recipe_text, strlen(t->job->recipe_text));
}

static int start_over(rn_trainer *t)
{
    RN_TRY(rn_session_start_weights(&t->s)); /* first: weights that cannot be read must not cost the run that is here */
    RN_TRY(rn_step_start_average(t->one));
    RN_TRY(clear(t));
    t->state = (rn_run_state){.threads = t->s.threads};
    return write_recipe(t);
}

/* Is `path` one of RUN_DIR's own checkpoints? */
static bool is_own(const rn_trainer *t, const char *path)
{
    char dir[PATH_MAX], parent[PATH_MAX], *real = realpath(path, NULL), *own = NULL;
    if (real && rn_rundir_path(t, "checkpoints", dir) == RN_OK)
        own = realpath(dir, NULL);
    if (real)
        snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(real, '/') - real), real);
    bool same = real && own && strcmp(parent, own) == 0;
    free(real);
    free(own);
    return same;
}

/* Back to an earlier checkpoint of this run: what came after it goes. */
static int go_back(rn_trainer *t, const char *path)
{
    RN_TRY(go_on(t, path, false));
    RN_TRY(rn_ckpt_drop_newer(t->job->out, &t->state));
    return write_recipe(t); /* it may be another one from here on: go_on has warned */
}

/* Another run's checkpoint: its training goes on here, with a log and a best of its own. Read first: a mistyped path must
 * not cost the run that is here. */
static int take_over(rn_trainer *t, const char *path)
{
    RN_TRY(go_on(t, path, false));
    RN_TRY(clear(t));
    t->state.log_bytes = t->state.events_bytes = 0;
    t->state.best_epoch = t->state.best_step = 0;
    RN_TRY(write_recipe(t));
    return rn_rundir_checkpoint(t);
}

int rn_rundir_begin(rn_trainer *t)
{
    const char *resume = t->job->resume;
    char path[PATH_MAX];
    if (strcmp(resume, "auto") == 0) {
        int found = rn_ckpt_latest(t->job->out, path, sizeof path);
        return found < 0 ? found : found ? go_on(t, path, true) : start_over(t);
    }
    if (strcmp(resume, "never") == 0)
        return start_over(t);

    if (rn_path_join(path, sizeof path, resume, "state.safetensors") < 0 || !rn_is_file(path))
        return rn_fail(RN_E_NOENT,
                       "--resume %s: no checkpoint: give auto, never, or the folder of one, such as "
                       "%s/checkpoints/e00001-s0000000100",
                       resume, t->job->out);
    int rc = is_own(t, resume) ? go_back(t, resume) : take_over(t, resume);
    return rc < 0 ? rn_fail_prefix(rc, "--resume %s", resume) : RN_OK;
}

/* ---- the end ---- */

static int publish(const rn_trainer *t, const char *ckpt, const char *name)
{
    char path[PATH_MAX], dir[PATH_MAX], to[PATH_MAX];
    RN_TRY(rn_rundir_path(t, "checkpoints", dir));
    RN_TRY(rn_path_join(path, sizeof path, dir, ckpt));
    RN_TRY(rn_rundir_path(t, name, to));
    return rn_ckpt_publish(path, average_of(t) != NULL, to);
}

int rn_rundir_finish(rn_trainer *t)
{
    const rn_run_state *s = &t->state;
    char name[RN_CKPT_NAME_MAX], path[PATH_MAX];
    rn_ckpt_name(s, name);
    RN_TRY(publish(t, name, "weights.safetensors"));
    best_name(s, name);
    if (s->best_epoch && publish(t, name, "best.safetensors") < 0)
        rn_warn("best.safetensors was not written: %s", rn_error_text());
    prune(t); /* a kill may have come between the last checkpoint and that */
    json_t *o =
        json_pack("{s:I, s:f, s:f, s:f, s:o, s:I, s:I, s:I, s:f, s:f, s:f}", "n", (json_int_t)s->last.n, "top1",
                  s->last.top1, "top5", s->last.top5, "se_top1", s->last.se_top1, "loss", rn_runlog_real(s->last.loss),
                  "epochs", (json_int_t)s->epoch, "steps", (json_int_t)s->step, "best_epoch", (json_int_t)s->best_epoch,
                  "best_top1", s->best.top1, "train_seconds", s->train_s, "eval_seconds", s->eval_s);
    if (o && t->dynamic_scale) {
        json_object_set_new(o, "loss_scale", json_real(s->loss_scale.scale));
        json_object_set_new(o, "skipped_steps", json_integer((json_int_t)s->loss_scale.skipped));
    }
    char *text = json_dumps(o, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(10));
    json_decref(o);
    if (!text)
        return rn_fail(RN_E_NOMEM, "no memory for the result");
    int rc = rn_rundir_path(t, "result.json", path);
    if (rc == RN_OK)
        rc = rn_write_file_atomic(path, text, strlen(text));
    free(text);
    return rc;
}
