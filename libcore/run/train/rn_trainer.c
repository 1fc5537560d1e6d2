/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "run/train/rn_trainer_impl.h"

/* ---- one step ---- */

static const char *last_good(const rn_trainer *t)
{
    return t->last_good[0] ? t->last_good : "none was written yet";
}

/* Stops for what rn_error_text() says of the step that was just tried or done. */
static int stopped_at(const rn_trainer *t, int64_t step)
{
    return rn_fail(
        RN_E_MISMATCH,
        "stopped at step %lld (epoch %lld, lr %g): %s. Last good checkpoint: %s. Try a smaller --lr, a longer "
        "warm-up, or --clip-norm",
        (long long)step, (long long)t->state.epoch + 1, t->lr, rn_error_text(), last_good(t));
}

/* -log(FLT_MIN): what Caffe's loss, which keeps probabilities from vanishing, shows of a net that has diverged. */
#define CAFFE_DIVERGED 87.3365

/*
 * A loss that stays far above that of guessing is one no training comes back from; a warm-up's bump is neither as high nor
 * as long. The run's first loss raises the bound: some nets start above guessing.
 */
static int check_divergence(rn_trainer *t, double loss)
{
    rn_run_state *s = &t->state;
    const double guess = log((double)t->s.classes);
    if (t->job->diverge == 0)
        return RN_OK;
    if (s->step == 1)
        s->first_loss = loss;
    const double bound = fmin(CAFFE_DIVERGED, t->job->diverge * fmax(guess, s->first_loss));
    s->diverging = loss <= bound ? 0 : s->diverging + 1;
    if (s->diverging < RN_DIVERGED_STEPS)
        return RN_OK;
    rn_fail(RN_E_MISMATCH,
            "the loss, %g, has been above %g for %d steps: the training diverges (guessing among %d "
            "classes has %.3g; --diverge sets the bound)",
            loss, bound, RN_DIVERGED_STEPS, t->s.classes, guess);
    return stopped_at(t, s->step);
}

static void add_sums(rn_sums *s, const rn_sums *more)
{
    s->n += more->n;
    s->top1 += more->top1;
    s->top5 += more->top5;
    s->loss += more->loss;
    s->seconds += more->seconds;
    s->waited += more->waited;
}

/* The next step to be given, the epoch's last one taking what is left. */
static rn_step_at next_step(rn_trainer *t)
{
    const int64_t ahead = t->ahead ? t->given[0].batches : 0; /* it is never asked for a third */
    const int64_t left = t->batches_per_epoch - t->state.batch - ahead, most = t->job->recipe->accumulate;
    const int64_t batches = left < most ? left : most, number = t->state.step + t->ahead;
    int64_t epoch, batch;
    rn_trainer_position(t, &epoch, &batch);
    return (rn_step_at){.step = number,
                        .epoch = epoch,
                        .batch = batch + ahead,
                        .batches = (int)batches,
                        .more = left > batches && number + 1 < t->total_steps,
                        .lr = rn_sched_lr(&t->sched, number),
                        .momentum = rn_sched_momentum(&t->sched, number, t->job->recipe->momentum)};
}

static bool epoch_is_over(const rn_trainer *t)
{
    return t->state.batch == t->batches_per_epoch || t->state.step == t->total_steps;
}

/* A new run, or one whose checkpoint came from a run without a scale that moves. */
static int begin_loss_scale(rn_trainer *t)
{
    double start;
    RN_TRY(rn_recipe_loss_scale(t->job->recipe, &t->dynamic_scale, &start));
    if (!t->dynamic_scale || t->state.loss_scale.scale < RN_LOSS_SCALE_FLOOR)
        t->state.loss_scale = (rn_loss_scale){.scale = start};
    return rn_step_start_loss_scale(t->one, &t->state.loss_scale);
}

/* After a step. The scale it ran with is the one that is told. */
static int next_loss_scale(rn_trainer *t, const rn_step_result *res)
{
    const double was = t->state.loss_scale.scale;
    if (!t->dynamic_scale)
        return RN_OK;
    t->state.loss_scale = res->loss_scale;
    RN_TRY(rn_loss_scale_check(&t->state.loss_scale));
    if (res->skipped)
        rn_verbose("step %lld is left out: its gradients overflow under a loss scale of %g",
                   (long long)t->state.step + 1, was);
    return RN_OK;
}

static int try_checkpoint(rn_trainer *t);

/*
 * Stops for a reason of another kind: an image that cannot be read, say. What has been learnt is kept where it is what a
 * run that goes on would begin with; ranks cannot agree on that, as the others wait elsewhere.
 */
static int broke_off(rn_trainer *t, int rc, bool keep)
{
    char why[1024], where[64];
    snprintf(why, sizeof why, "%s", rn_error_text());
    if (t->state.eval_pending)
        snprintf(where, sizeof where, "in the evaluation after epoch %lld", (long long)t->state.epoch);
    else
        snprintf(where, sizeof where, "at step %lld (epoch %lld)", (long long)t->state.step + 1,
                 (long long)t->state.epoch + 1);
    if (keep && !t->s.comm && try_checkpoint(t) < 0)
        rn_warn("no checkpoint: %s", rn_error_text());
    return rn_fail(rc, "stopped %s: %s. Last good checkpoint: %s", where, why, last_good(t));
}

/* Begins the next step. One that fails before it has begun while another is under way waits until that was looked at. */
static int give(rn_trainer *t)
{
    const rn_step_at at = next_step(t);
    rn_step_result res;
    int rc = rn_step_give(t->one, &at, &res);
    if (rc < 0 && t->ahead && res.untouched)
        return RN_OK;
    t->lr = at.lr;
    if (rc < 0)
        return res.not_finite ? stopped_at(t, at.step + 1) : broke_off(t, rc, res.untouched && !t->ahead);
    t->given[t->ahead++] = at;
    return RN_OK;
}

/* What the oldest step under way has beside its first batch. */
static int give_rest(rn_trainer *t)
{
    const rn_step_at *at = &t->given[0];
    rn_step_result res;
    int rc = rn_step_rest(t->one, &res);
    if (rc >= 0)
        return RN_OK;
    t->lr = at->lr;
    return res.not_finite ? stopped_at(t, at->step + 1) : broke_off(t, rc, false);
}

static bool stop_asked(const rn_trainer *t, int64_t steps);
static bool checkpoint_due(const rn_trainer *t, int64_t steps);

/*
 * Whether the device is given another step before anybody has looked at the one under way: not where something comes between. Of ranks
 * all do, or none, as they may wait for each other's devices.
 */
static int gives_ahead(rn_trainer *t, bool *gives)
{
    const int64_t steps = t->state.step + t->ahead;
    const rn_step_at at = next_step(t);
    *gives = at.batches > 0 && steps < t->total_steps && rn_step_overlaps(t->one);
    if (!*gives)
        return RN_OK;
    bool wait = !rn_loader_ready(t->s.train);
    t->stop = stop_asked(t, steps);
    t->due = checkpoint_due(t, steps);
    RN_TRY(rn_ranks_agree_ahead(t->s.comm, &t->stop, &t->due, &wait));
    *gives = !t->stop && !t->due && !wait;
    return RN_OK;
}

/* What comes between two steps, of which none is under way. */
static int agree(rn_trainer *t)
{
    if (t->s.comm && rn_step_overlaps(t->one)) /* they have, before the step was looked at */
        return RN_OK;
    t->stop = stop_asked(t, t->state.step);
    t->due = checkpoint_due(t, t->state.step);
    return rn_ranks_agree(t->s.comm, &t->stop, &t->due);
}

/* The oldest step under way. */
static int look(rn_trainer *t)
{
    rn_step_result res;
    const rn_step_at at = t->given[0];
    t->lr = at.lr;
    int rc = rn_step_look(t->one, &res);
    t->given[0] = t->given[1];
    t->ahead--;
    if (rc < 0)
        return res.not_finite ? stopped_at(t, at.step + 1) : broke_off(t, rc, false);
    if (next_loss_scale(t, &res) < 0)
        return stopped_at(t, at.step + 1);
    t->grad_norm = res.grad_norm;
    add_sums(&t->state.window, &res.sums);
    add_sums(&t->state.epoch_sums, &res.sums);
    t->state.train_s += res.sums.seconds;
    t->state.step++;
    t->state.batch += at.batches;
    rn_progress_add(t->bar, (uint64_t)res.sums.n);
    rn_trainlog_note(t);
    RN_TRY(check_divergence(t, res.sums.loss / (double)res.sums.n));
    const int64_t in_epoch = (t->state.batch + t->job->recipe->accumulate - 1) / t->job->recipe->accumulate;
    return in_epoch % t->job->log_steps == 0 || epoch_is_over(t) ? rn_trainlog_window(t) : RN_OK;
}

/* Looks at one step, while the next one is under way if it may be. */
static int step(rn_trainer *t)
{
    bool gives;
    if (!t->ahead)
        RN_TRY(give(t));
    RN_TRY(give_rest(t));
    RN_TRY(gives_ahead(t, &gives));
    if (gives)
        RN_TRY(give(t));
    return look(t);
}

/* ---- an epoch ---- */

static int evaluate(rn_trainer *t)
{
    rn_eval_opts o = {.stop = t->job->stop, .progress = true};
    rn_eval_result res = {0};
    double from = rn_now();
    o.rows = calloc(rn_store_count(t->s.val_db), sizeof *o.rows);
    int rc = o.rows ? rn_evaluate(&t->s, &o, &res) : rn_fail(RN_E_NOMEM, "no memory for the evaluation's results");
    if (rc == RN_OK && rn_comm_rank(t->s.comm) == 0 && rn_predictions_write(t, o.rows) < 0)
        rn_warn("%s: the report will lack it", rn_error_text()); /* a picture is not worth the run */
    free(o.rows);
    if (rc < 0 && rc != RN_E_INTERRUPTED)
        return broke_off(t, rc, true);
    RN_TRY(rc);
    t->state.eval_s += rn_now() - from;
    t->state.last = res;
    if (!t->state.diverging && (!t->state.best_epoch || res.top1 > t->state.best.top1)) {
        t->state.best = res;
        t->state.best_epoch = t->state.epoch;
        t->state.best_step = t->state.step;
    }
    if (t->sched.kind == RN_SCHED_PLATEAU) {
        const rn_plateau_opts p = rn_recipe_plateau(t->job->recipe, &t->sched);
        if (rn_plateau_step(&p, &t->state.plateau, p.max ? res.top1 : res.loss))
            rn_info("no better for long: the learning rate falls to %g", t->state.plateau.lr);
        t->sched.lr = t->state.plateau.lr;
    }
    return RN_OK;
}

/* After rn_rundir_begin: the rate is where the checkpoint left it, unless --lr has changed since. */
static void begin_plateau(rn_trainer *t)
{
    if (t->sched.kind != RN_SCHED_PLATEAU)
        return;
    if (t->state.plateau.first != t->sched.lr)
        rn_plateau_start(&t->state.plateau, t->sched.lr);
    t->sched.lr = t->state.plateau.lr;
}

static bool is_no_room(int rc)
{
    return rc == RN_E_NOSPACE || rc == RN_E_IO;
}

/*
 * A checkpoint that training can go on without: when the disk does not take it, that is told and the last good one stays.
 * While the loss is far up there is none: the last good one should be from before. 1: written, 0: not.
 */
static int try_checkpoint(rn_trainer *t)
{
    if (t->state.diverging)
        return 0;
    int rc = rn_ranks_checkpoint(t);
    if (!is_no_room(rc))
        return rc < 0 ? rc : 1;
    if (rn_comm_rank(t->s.comm) == 0)
        rn_warn("%s. Training goes on; the last good checkpoint: %s", rn_error_text(), last_good(t));
    t->last_checkpoint = rn_now();
    return 0;
}

/* At the end, or when asked to stop. */
static int last_checkpoint(rn_trainer *t)
{
    int rc = rn_ranks_checkpoint(t);
    if (is_no_room(rc))
        return rn_fail(
            rc,
            "stopped after step %lld of %lld, but %s. Make room: the same command goes on from the last good "
            "checkpoint: %s",
            (long long)t->state.step, (long long)t->total_steps, rn_error_text(), last_good(t));
    return rc;
}

/* After the last batch of an epoch (state.epoch already counts it): evaluation, log line, checkpoint. */
static int finish_epoch(rn_trainer *t)
{
    const bool due = t->state.epoch % t->job->recipe->eval_every == 0 || t->state.epoch == t->epochs;
    const rn_run_state before = t->state;
    if (due)
        RN_TRY(evaluate(t));
    t->state.eval_pending = 0;
    RN_TRY(rn_trainlog_epoch(t, due));
    t->state.epoch_sums = (rn_sums){0};
    if (rn_trainer_finished(t))
        return last_checkpoint(t);
    int written = try_checkpoint(t);
    if (written == 0 && t->state.best_epoch == t->state.epoch) { /* the best one is one that was kept */
        if (rn_comm_rank(t->s.comm) == 0)
            rn_warn("epoch %lld, the best so far, was not kept", (long long)t->state.epoch);
        t->state.best = before.best;
        t->state.best_epoch = before.best_epoch;
        t->state.best_step = before.best_step;
    }
    return written < 0 ? written : RN_OK;
}

/* When so many steps are done: */
static bool stop_asked(const rn_trainer *t, int64_t steps)
{
    return (t->job->stop && *t->job->stop) || (t->job->stop_after && steps >= t->job->stop_after);
}

static bool checkpoint_due(const rn_trainer *t, int64_t steps)
{
    const rn_train_job *j = t->job;
    return (j->checkpoint_steps && steps % j->checkpoint_steps == 0) ||
           (j->checkpoint_seconds > 0 && rn_now() - t->last_checkpoint >= j->checkpoint_seconds);
}

static int interrupted(rn_trainer *t)
{
    RN_TRY(last_checkpoint(t));
    return rn_fail(RN_E_INTERRUPTED, "stopped after step %lld of %lld; the same command goes on from %s",
                   (long long)t->state.step, (long long)t->total_steps, t->last_good);
}

int64_t rn_trainer_images(const rn_trainer *t, int64_t steps)
{
    const int64_t rest = steps % t->steps_per_epoch * t->job->recipe->accumulate; /* never a whole epoch */
    return (steps / t->steps_per_epoch * t->batches_per_epoch + rest) * t->job->recipe->batch;
}

static void start_bar(rn_trainer *t)
{
    snprintf(t->bar_name, sizeof t->bar_name, "epoch %lld/%lld", (long long)t->state.epoch + 1, (long long)t->epochs);
    t->bar = rn_progress_start(t->bar_name, "images", RN_UNIT_ITEMS, (uint64_t)rn_trainer_images(t, t->total_steps));
    rn_progress_skip(t->bar, (uint64_t)rn_trainer_images(t, t->state.step));
}

static void end_bar(rn_trainer *t)
{
    rn_progress_done(t->bar);
    t->bar = NULL;
}

/* Progressive resizing: each epoch's images may be larger than the last one's. */
static int size_images(rn_trainer *t)
{
    int side;
    int64_t epoch, batch;
    RN_TRY(rn_recipe_side(t->job->recipe, t->state.epoch, &side));
    if (side == t->s.side)
        return RN_OK;
    rn_step_let_go(t->one);
    RN_TRY(rn_session_resize(&t->s, side));
    rn_verbose("epoch %lld: training images of %d pixels", (long long)t->state.epoch + 1, side);
    rn_trainer_position(t, &epoch, &batch);
    return rn_loader_seek(t->s.train, (uint32_t)epoch, (uint64_t)batch);
}

static int train_epoch(rn_trainer *t)
{
    RN_TRY(size_images(t));
    start_bar(t);
    while (!epoch_is_over(t)) {
        RN_TRY(step(t));
        if (epoch_is_over(t))
            break;
        if (t->ahead) /* whatever comes between steps is done when none is under way */
            continue;
        RN_TRY(agree(t));
        if (t->stop)
            return interrupted(t);
        if (t->due)
            RN_TRY(try_checkpoint(t));
    }
    end_bar(t); /* the evaluation has its own */
    t->state.epoch++;
    t->state.batch = 0;
    t->state.eval_pending = 1;
    return RN_OK;
}

static int run(rn_trainer *t)
{
    while (!rn_trainer_finished(t)) {
        if (!t->state.eval_pending)
            RN_TRY(train_epoch(t));
        int rc = finish_epoch(t);
        if (rc == RN_E_INTERRUPTED)
            return interrupted(t);
        RN_TRY(rc);
        bool stop = stop_asked(t, t->state.step), due = false;
        RN_TRY(rn_ranks_agree(t->s.comm, &stop, &due));
        if (stop && !rn_trainer_finished(t))
            return interrupted(t);
    }
    return RN_OK;
}

/* ---- the whole ---- */

static int plan_steps(rn_trainer *t)
{
    const rn_recipe *r = t->job->recipe;
    t->batches_per_epoch = r->epoch_steps ? r->epoch_steps * r->accumulate : (int64_t)rn_loader_batches(t->s.train);
    t->steps_per_epoch = (t->batches_per_epoch + r->accumulate - 1) / r->accumulate;
    t->total_steps = rn_recipe_steps(r, t->steps_per_epoch);
    t->epochs = (t->total_steps + t->steps_per_epoch - 1) / t->steps_per_epoch;
    if (t->epochs > 99999) /* checkpoints' names count to there */
        return rn_fail(RN_E_USAGE,
                       "%lld steps are %lld epochs of %lld: at most 99999 are possible, give a larger --epoch-steps",
                       (long long)t->total_steps, (long long)t->epochs, (long long)t->steps_per_epoch);
    return rn_recipe_sched(r, t->steps_per_epoch, r->batch * r->accumulate, &t->sched);
}

/* What a decay that is too high for the run leaves of the weights it began with. */
static void warn_of_slow_average(const rn_trainer *t)
{
    const rn_recipe *r = t->job->recipe;
    const int64_t averages = t->total_steps / r->ema_every;
    const double left = pow(r->ema, (double)averages);
    if (r->ema > 0 && !r->ema_warmup && left > 0.01)
        rn_warn("--ema %g is high for %lld steps: %.0f %% of the average at the end will be the weights of the start; "
                "--ema-warmup lets it forget them",
                r->ema, (long long)t->total_steps, 100 * left);
}

static int open_trainer(rn_trainer *t)
{
    char tune[PATH_MAX];
    rn_comm *c = rn_comm_world();
    RN_TRY(rn_comm_first(c, rn_comm_rank(c) == 0 ? rn_rundir_lock(t) : RN_OK));
    RN_TRY(rn_rundir_path(t, "tune.json", tune));
    RN_TRY(rn_session_open(t->job->recipe, t->job->backends, t->job->jobs, RN_SESSION_TRAIN, tune, &t->s));
    RN_TRY(rn_ranks_check(t));
    RN_TRY(rn_step_open(&t->s, &t->one));
    RN_TRY(rn_rundir_compute(t));
    return plan_steps(t);
}

static int train(rn_trainer *t, rn_train_result *out)
{
    RN_TRY(open_trainer(t));
    RN_TRY(rn_ranks_begin(t));
    begin_plateau(t);
    RN_TRY(begin_loss_scale(t));
    out->was_finished = rn_trainer_finished(t);
    if (!out->was_finished) {
        int64_t epoch, batch;
        rn_trainer_position(t, &epoch, &batch);
        RN_TRY(rn_loader_seek(t->s.train, (uint32_t)epoch, (uint64_t)batch));
        RN_TRY(rn_comm_first(t->s.comm, rn_comm_rank(t->s.comm) == 0 ? rn_trainlog_open(t) : RN_OK));
        out->began = true;
        warn_of_slow_average(t);
        t->last_checkpoint = rn_now();
        RN_TRY(run(t));
    }
    RN_TRY(rn_comm_first(t->s.comm, rn_comm_rank(t->s.comm) == 0 ? rn_rundir_finish(t) : RN_OK));
    out->state = t->state;
    if (t->state.train_s > 0)
        out->images_per_s = (double)rn_trainer_images(t, t->state.step) / t->state.train_s;
    return RN_OK;
}

int rn_train(const rn_train_job *job, rn_train_result *out)
{
    rn_trainer t = {.job = job, .lock = -1};
    *out = (rn_train_result){0};
    int rc = train(&t, out);
    end_bar(&t);
    rn_runlog_close(t.log);
    rn_events_close(t.events);
    rn_step_close(t.one);
    rn_session_close(&t.s);
    rn_buf_free(&t.compute);
    rn_rundir_unlock(&t, rc == RN_OK || out->began);
    return rc;
}
