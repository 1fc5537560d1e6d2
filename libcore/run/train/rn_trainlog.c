/* SPDX-License-Identifier: MIT */
/* What a training run tells: the lines of log.jsonl and sessions.jsonl, the progress note, the line an epoch. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "run/train/rn_choices.h"
#include "run/train/rn_devices.h"
#include "run/train/rn_trainer_impl.h"

#define REAL rn_runlog_real

/* ---- the first line ---- */

static json_t *now_text(void)
{
    char text[32];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

/* "key = value" lines as an object of texts. */
static json_t *recipe_object(const char *text)
{
    json_t *o = json_object();
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        size_t key = strcspn(p, " =\n"), line = strcspn(p, "\n");
        char name[64];
        if (!key || *p == '#' || key >= sizeof name || line < key + 3)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)key, p);
        char *value = strndup(p + key + 3, line - key - 3);
        json_object_set_new(o, name, value ? rn_runlog_text(value) : NULL);
        free(value);
    }
    return o;
}

static json_t *data_object(const rn_store *db)
{
    return json_pack("{s:o, s:I, s:I, s:s}", "path", rn_runlog_text(rn_store_path(db)), "records",
                     (json_int_t)rn_store_count(db), "classes", (json_int_t)rn_store_nclasses(db), "seal",
                     rn_store_seal_digest(db));
}

static json_t *machine_object(const rn_trainer *t)
{
    struct utsname u = {0};
    char os[256];
    uname(&u);
    snprintf(os, sizeof os, "%s %s %s", u.sysname, u.release, u.machine);
    char how[RN_DEVICES_HOW_MAX];
    return json_pack("{s:i, s:s, s:s, s:s, s:i, s:i, s:i, s:s, s:I, s:{s:o, s:o}}", "ranks", rn_comm_size(t->s.comm),
                     "comm", rn_devices_how(&t->s, how), "device", t->s.be->device, "describe", t->s.be->describe,
                     "threads", t->s.threads, "workers", t->s.workers, "cores", rn_jobs(0), "os", os, "memory_bytes",
                     (json_int_t)sysconf(_SC_PHYS_PAGES) * (json_int_t)sysconf(_SC_PAGESIZE), "batches", "train",
                     rn_runlog_text(t->s.train_held.how), "val", rn_runlog_text(t->s.val_held.how));
}

static json_t *version_lines(void)
{
    json_t *a = json_array();
    char *text = NULL, *save = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    if (!f)
        return a;
    rn_version_print("rn-train", f);
    fclose(f);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        json_array_append_new(a, json_string(line));
    free(text);
    return a;
}

static json_t *memory_object(const rn_trainer *t)
{
    rn_net_memory m;
    rn_net_memory_use(t->s.net, &m);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "params", (json_int_t)m.params, "activations",
                     (json_int_t)m.activations, "unshared", (json_int_t)m.unshared, "workspace",
                     (json_int_t)m.workspace, "plans", (json_int_t)m.plans, "pixels", (json_int_t)m.pixels, "optimizer",
                     (json_int_t)rn_step_bytes(t->one), "scratch", (json_int_t)m.scratch);
}

/* Of a device, whose memory is all taken by now. */
static void tell_memory(const rn_trainer *t)
{
    enum { MIB = 1 << 20 };
    const rn_backend *be = t->s.be;
    rn_net_memory m, e;
    if (!be->in_use)
        return;
    rn_net_memory_use(t->s.net, &m);
    rn_net_memory_use(t->s.eval_net, &e);
    const size_t scratch = e.scratch > m.scratch ? e.scratch : m.scratch;
    const double mib = MIB, train = (double)(m.params + m.activations + m.workspace + m.plans + m.pixels);
    const double all = (double)(be->in_use + scratch), own = (double)rn_step_bytes(t->one);
    rn_info(
        "memory of the device: %.1f MiB: %.1f activations, %.1f weights with gradients and momentum, %.1f optimizer, "
        "%.1f workspace, %.1f plans, %.1f pixels, %.1f scratch, %.1f evaluation and others",
        all / mib, (double)m.activations / mib, (double)m.params / mib, own / mib, (double)m.workspace / mib,
        (double)m.plans / mib, (double)m.pixels / mib, (double)scratch / mib,
        (all - train - own - (double)scratch) / mib);
}

static json_t *run_line(const rn_trainer *t)
{
    json_t *line = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:{s:o, s:o}, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "type", "run", "version",
        RN_VERSION, "started", now_text(), "command", rn_runlog_text(t->job->command), "machine", machine_object(t),
        "recipe", recipe_object(t->job->recipe_text), "data", "train", data_object(t->s.train_db), "val",
        data_object(t->s.val_db), "parameters", (json_int_t)rn_net_weights(t->s.net), "steps_per_epoch",
        (json_int_t)t->steps_per_epoch, "steps", (json_int_t)t->total_steps, "memory", memory_object(t), "versions",
        version_lines(), "algorithms", rn_choices_json(t->s.net), "eval_algorithms", rn_choices_json(t->s.eval_net));
    if (line && rn_net_nfusions(t->s.net) > 0)
        json_object_set_new(line, "batch_norms", rn_fusions_json(t->s.net));
    if (line && t->s.teacher)
        json_object_set_new(line, "teacher",
                            json_pack("{s:o, s:s, s:I}", "path", rn_runlog_text(t->job->recipe->teacher), "sha256",
                                      t->s.teacher_digest, "parameters", (json_int_t)rn_net_weights(t->s.teacher)));
    return line;
}

/* When and from where each session began; apart from the log, which reads as if the run had never stopped. */
static int note_session(const rn_trainer *t)
{
    char path[PATH_MAX];
    FILE *f;
    json_t *o = json_pack("{s:o, s:I, s:o, s:o}", "started", now_text(), "step", (json_int_t)t->state.step, "from",
                          rn_runlog_text(t->from), "machine", machine_object(t));
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(o);
    int rc = text ? rn_rundir_path(t, "sessions.jsonl", path) : rn_fail(RN_E_NOMEM, "no memory for sessions.jsonl");
    if (rc == RN_OK) {
        f = fopen(path, "a");
        bool bad = !f || fprintf(f, "%s\n", text) < 0;
        if ((f && fclose(f) != 0) || bad)
            rc = rn_fail_errno(errno, "cannot write %s", path);
    }
    free(text);
    return rc;
}

int rn_trainlog_open(rn_trainer *t)
{
    char path[PATH_MAX];
    bool fresh = t->state.log_bytes == 0;
    tell_memory(t);
    RN_TRY(rn_rundir_path(t, "log.jsonl", path));
    RN_TRY(rn_runlog_open(path, t->state.log_bytes, &t->log));
    if (fresh)
        RN_TRY(rn_runlog_line(t->log, run_line(t)));
    RN_TRY(rn_rundir_path(t, RN_EVENTS_NAME, path));
    RN_TRY(rn_events_open(path, t->state.events_bytes, &t->events));
    return note_session(t);
}

/* ---- windows and epochs ---- */

static double per(double sum, int64_t n)
{
    return n ? sum / (double)n : 0;
}

static double wait_pct(const rn_sums *w)
{
    return w->seconds > 0 ? 100 * w->waited / w->seconds : 0;
}

void rn_trainlog_note(rn_trainer *t)
{
    const rn_sums *w = &t->state.window;
    char text[96];
    snprintf(text, sizeof text, "loss %.3f  top-1 %.1f%%  wait %.0f%%  lr %.3g", per(w->loss, w->n),
             100 * per((double)w->top1, w->n), wait_pct(w), t->lr);
    rn_progress_note(t->bar, text);
}

static double speed_of(const rn_sums *s)
{
    return s->seconds > 0 ? (double)s->n / s->seconds : 0;
}

int rn_trainlog_window(rn_trainer *t)
{
    const rn_sums *w = &t->state.window;
    const bool scaled = t->dynamic_scale || t->state.loss_scale.scale > 1;
    const rn_scalar v[] = {{"train/loss", per(w->loss, w->n)},
                           {"train/top1", 100 * per((double)w->top1, w->n)},
                           {"train/top5", 100 * per((double)w->top5, w->n)},
                           {"train/lr", t->lr},
                           {"speed/images_per_s", speed_of(w)},
                           {"speed/data_wait_pct", wait_pct(w)},
                           {"train/grad_norm", t->grad_norm},
                           {"train/loss_scale", t->state.loss_scale.scale}};
    json_t *o = json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "type", "window", "step",
                          (json_int_t)t->state.step, "epoch", (json_int_t)t->state.epoch + 1, "loss", REAL(v[0].value),
                          "top1", REAL(v[1].value), "lr", REAL(v[3].value), "grad_norm", REAL(v[6].value),
                          "images_per_s", REAL(v[4].value), "data_wait_pct", REAL(v[5].value));
    if (o && scaled) { /* the next step's, and the steps left out since the run began */
        json_object_set_new(o, "loss_scale", REAL(v[7].value));
        json_object_set_new(o, "skipped_steps", json_integer((json_int_t)t->state.loss_scale.skipped));
    }
    t->state.window = (rn_sums){0};
    if (!t->log) {
        json_decref(o);
        return RN_OK;
    }
    RN_TRY(rn_runlog_line(t->log, o));
    return rn_events_add(t->events, t->state.step, v, scaled ? 8 : 7);
}

static void print_epoch(const rn_trainer *t, bool evaluated)
{
    const rn_sums *e = &t->state.epoch_sums;
    const rn_eval_result *v = &t->state.last;
    int digits = snprintf(NULL, 0, "%lld", (long long)t->epochs);
    printf("epoch %*lld/%lld  train loss %.4f top-1 %5.2f %%", digits, (long long)t->state.epoch, (long long)t->epochs,
           per(e->loss, e->n), 100 * per((double)e->top1, e->n));
    if (evaluated)
        printf("  val loss %.4f top-1 %5.2f +- %.2f %% top-5 %5.2f %%", v->loss, v->top1, v->se_top1, v->top5);
    printf("  %.1f images/s, data wait %.1f %%\n", speed_of(e), wait_pct(e));
    fflush(stdout);
}

int rn_trainlog_epoch(rn_trainer *t, bool evaluated)
{
    const rn_sums *e = &t->state.epoch_sums;
    const rn_eval_result *v = &t->state.last;
    if (!t->log)
        return RN_OK;
    json_t *o = json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o}", "type", "epoch", "epoch", (json_int_t)t->state.epoch,
                          "step", (json_int_t)t->state.step, "train_loss", REAL(per(e->loss, e->n)), "train_top1",
                          REAL(100 * per((double)e->top1, e->n)), "images_per_s", REAL(speed_of(e)), "data_wait_pct",
                          REAL(wait_pct(e)));
    if (o && evaluated) {
        json_t *eval = json_pack("{s:I, s:o, s:o, s:o, s:o}", "n", (json_int_t)v->n, "top1", REAL(v->top1), "top5",
                                 REAL(v->top5), "se_top1", REAL(v->se_top1), "loss", REAL(v->loss));
        json_object_update(o, eval);
        json_decref(eval);
    }
    if (t->job->results)
        print_epoch(t, evaluated);
    RN_TRY(rn_runlog_line(t->log, o));
    const rn_scalar s[] = {
        {"val/loss", v->loss}, {"val/top1", v->top1}, {"val/top5", v->top5}, {"val/se_top1", v->se_top1}};
    return evaluated ? rn_events_add(t->events, t->state.step, s, 4) : RN_OK;
}
