/* SPDX-License-Identifier: MIT */
/* rn-train: trains a ResNet from packed sets, evaluates weights, writes the report. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_comm.h"
#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "base/rn_progress.h"
#include "kernels/rn_kernels.h"
#include "run/lrfind/rn_lrfind.h"
#include "run/recipe/rn_recipe_caffe.h"
#include "run/recipe/rn_recipe_mean.h"
#include "run/report/rn_compare.h"
#include "run/report/rn_report.h"
#include "run/train/rn_recipe_weights.h"
#include "run/train/rn_trainer.h"
#include "run/use/rn_export.h"
#include "run/use/rn_predict.h"

static volatile sig_atomic_t stop_flag;

static void on_signal(int sig)
{
    (void)sig;
    stop_flag = 1;
}

/* The first signal asks for a checkpoint and an orderly end; a second one ends the process as usual. SIGUSR1 is what
 * mpirun passes on without a time limit. */
static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGUSR1, &sa, NULL);
}

typedef struct settings {
    rn_recipe recipe;
    const char *recipe_file, *solver_file, *out, *resume, *dump_logits, *report, *report_extra;
    bool eval_only;
    int64_t checkpoint_steps, keep, log_steps, stop_after;
    double checkpoint_seconds, diverge;
    bool lr_find;
    double lr_find_min, lr_find_max;
    int64_t lr_find_steps;
    rn_opt rows[RN_RECIPE_MAX_ROWS + 24];
    int nrecipe, nrows;
    rn_opt_spec spec;
    rn_opt_result args;
    rn_caffe_solver solver; /* with --solver */
    char *net_text;         /* with --net */
    char *mean_text;        /* with --mean-image */
    rn_caffe_net *net;
} settings;

static void run_rows(settings *s)
{
    const rn_opt rows[] = {
        {RN_OPT_GROUP, "Run", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "recipe", "FILE", &s->recipe_file,
         "Settings as `key = value` lines, the keys being the options above. The command line wins.", NULL, 0, 0},
        {RN_OPT_TEXT, "solver", "FILE", &s->solver_file,
         "Settings from Caffe's solver prototxt, and its net where --net is not given; command line and recipe win.",
         NULL, 0, 0},
        {RN_OPT_TEXT, "out", "RUN_DIR", &s->out, "Folder of the run: checkpoints, log, weights, report.", NULL, 0, 0},
        {RN_OPT_TEXT, "resume", "HOW", &s->resume,
         "auto: go on from the newest whole checkpoint in RUN_DIR, if there is one. never: start over. A checkpoint's "
         "folder: go on from that one.",
         NULL, 0, 0},
        {RN_OPT_INT, "checkpoint-steps", "N", &s->checkpoint_steps,
         "Also a checkpoint every N steps (0: only at the end of each epoch).", NULL, 0, 1e12},
        {RN_OPT_REAL, "checkpoint-seconds", "X", &s->checkpoint_seconds,
         "Also a checkpoint when the last is X seconds old (0: never).", NULL, 0, 1e9},
        {RN_OPT_INT, "keep", "N", &s->keep, "Checkpoints to keep, besides the best.", NULL, 1, 10000},
        {RN_OPT_INT, "log-steps", "N", &s->log_steps, "Steps in one window of the log.", NULL, 1, 1000000},
        {RN_OPT_REAL, "diverge", "X", &s->diverge,
         "Stop when the loss stays for 20 steps above X times that of guessing (ln classes) or of the first step, the "
         "larger, or above Caffe's 87.3365 (0: never). A loss, gradient or weight that is not finite always stops it "
         "at "
         "once.",
         NULL, 0, 1e6},
        {RN_OPT_INT, "stop-after-steps", "N", &s->stop_after,
         "Stop after N steps in all as if interrupted: checkpoint, exit 1 (0: train to the end).", NULL, 0, 1e12},
        {RN_OPT_GROUP, "Other uses", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_FLAG, "eval-only", NULL, &s->eval_only,
         "Evaluate --weights on --val-db and train nothing. The model comes out of the file where it says.", NULL, 0,
         0},
        {RN_OPT_TEXT, "dump-logits", "FILE", &s->dump_logits,
         "With --eval-only: logits of all images in key order, f32; FILE.npy for NumPy, other names for the bare "
         "bytes.",
         NULL, 0, 0},
        {RN_OPT_FLAG, "lr-find", NULL, &s->lr_find,
         "The range test: a fresh net trains while the rate grows from step to step; RUN_DIR gets lr-find.json and "
         "lr-find.svg, "
         "and nothing else of it is touched.",
         NULL, 0, 0},
        {RN_OPT_REAL, "lr-find-min", "X", &s->lr_find_min, "Its first rate.", NULL, 1e-12, 1e6},
        {RN_OPT_REAL, "lr-find-max", "X", &s->lr_find_max, "Its last rate, if the loss does not explode before.", NULL,
         1e-12, 1e6},
        {RN_OPT_INT, "lr-find-steps", "N", &s->lr_find_steps, "Its steps.", NULL, 10, 100000},
        {RN_OPT_TEXT, "report", "RUN_DIR", &s->report, "Write RUN_DIR/report.html anew.", NULL, 0, 0},
        {RN_OPT_LIST, "report-extra", "FILE", &s->report_extra,
         "With --report: JSON of ilsvrc-verify, pack-lmdb, rn-bench or an evaluation to show; may be given again.",
         NULL, 0, 0},
    };
    _Static_assert(sizeof rows / sizeof *rows <= 24, "room for the run's rows");
    s->nrecipe = rn_recipe_rows(&s->recipe, s->rows);
    memcpy(s->rows + s->nrecipe, rows, sizeof rows);
    s->nrows = s->nrecipe + (int)(sizeof rows / sizeof *rows);
}

static void set_up(settings *s)
{
    rn_recipe_defaults(&s->recipe);
    s->resume = "auto";
    s->lr_find_min = 1e-6;
    s->lr_find_max = 10;
    s->lr_find_steps = 100;
    s->checkpoint_seconds = 120;
    s->keep = 2;
    s->log_steps = 20;
    s->diverge = 10;
    run_rows(s);
    s->spec = (rn_opt_spec){
        .tool = "rn-train",
        .synopsis = "--recipe FILE --train-db DB --val-db DB --out RUN_DIR [OPTIONS]\n"
                    "--solver FILE [--net FILE] --out RUN_DIR [--train-db DB] [--val-db DB] [OPTIONS]\n"
                    "--eval-only --weights FILE --val-db DB [--dump-logits FILE]\n"
                    "--lr-find --recipe FILE --train-db DB --val-db DB --out DIR\n"
                    "predict --weights FILE IMAGE... (predict --help says more)\n"
                    "export --weights FILE --onnx OUT (export --help says more)\n"
                    "compare RUN_DIR... --out PAGE.html (compare --help says more)\n"
                    "--report RUN_DIR [--report-extra FILE]...",
        .summary = "Trains a ResNet on packed sets, evaluates weights, writes the report of a run. A run that was "
                   "stopped or killed goes on by the same command, bit for bit.",
        .epilog =
            "Examples:\n"
            "  rn-train --recipe datasets/imagenette/recipes/5-epochs.recipe --train-db train.lmdb --val-db val.lmdb "
            "--out run\n"
            "  rn-train --eval-only --weights run/weights.safetensors --val-db val.lmdb --json\n"
            "  mpirun -n 4 rn-train --recipe FILE --train-db train.lmdb --val-db val.lmdb --out run\n"
            "\nSeveral processes: each of mpirun's ranks takes its rows of every batch; gradients and batch norm's "
            "statistics are\n"
            "of all rows, so that any number of ranks trains the same but for rounding. Rank 0 has the run's folder. "
            "SIGUSR1 to\n"
            "mpirun stops all in order, with a checkpoint; so do SIGINT and SIGTERM, but mpirun kills a second after "
            "them. A rank\n"
            "that dies ends the job. The same command goes on, with as many ranks or others. With --device cuda each "
            "rank\n"
            "takes a device of its own.\n"
            "\nExit codes: 0 done; 1 failed or interrupted; 2 misuse; 77 no such device, or no MPI.",
        .opts = s->rows,
        .nopts = s->nrows,
    };
}

/* ---- Caffe's words ---- */

enum { MAX_PROTOTXT = 8 << 20 };

static int read_solver(settings *s)
{
    char *text;
    size_t n;
    rn_buf lines = {0};
    int rc;
    RN_TRY(rn_read_text(s->solver_file, MAX_PROTOTXT, &text, &n));
    RN_GO(rn_caffe_solver_read(s->solver_file, text, &s->solver));
    RN_GO(rn_recipe_from_solver(&s->solver, &lines));
    RN_GO(rn_opt_parse_text(&s->spec, s->solver_file, (const char *)lines.data, &s->args));
    if (!s->recipe.net && s->solver.net[0])
        s->recipe.net = s->solver.net;
    if (!s->recipe.net)
        rc = rn_fail(RN_E_USAGE, "%s names no net: give --net FILE", s->solver_file);
out:
    rn_buf_free(&lines);
    free(text);
    return rc;
}

static int read_net(settings *s)
{
    const char *file = s->recipe.net;
    size_t n;
    rn_buf lines = {0};
    int rc;
    RN_GO(rn_read_text(file, MAX_PROTOTXT, &s->net_text, &n));
    RN_GO(rn_caffe_net_open(file, s->net_text, &s->net));
    s->recipe.net_text = s->net_text;
    const rn_caffe_data *train = rn_caffe_net_data(s->net, RN_CAFFE_TRAIN),
                        *test = rn_caffe_net_data(s->net, RN_CAFFE_TEST);
    if (!s->recipe.train_db)
        s->recipe.train_db = train->source;
    if (!s->recipe.val_db)
        s->recipe.val_db = test->source;
    RN_GO(rn_recipe_from_net(file, s->net, s->eval_only ? s->recipe.val_db : s->recipe.train_db, &lines));
    const bool mean = rn_opt_seen(&s->spec, &s->args, "mean"), image = rn_opt_seen(&s->spec, &s->args, "mean-image");
    RN_GO(rn_opt_parse_text(&s->spec, file, (const char *)lines.data, &s->args));
    if (mean && !image) /* what was given wins over the net's mean of either kind */
        s->recipe.mean_image = NULL;
    if (image && !mean)
        s->recipe.mean = NULL;
    if (s->solver_file && !s->eval_only && s->recipe.val_db)
        rc = rn_recipe_note_test(&s->solver, s->net, s->recipe.val_db);
out:
    rn_buf_free(&lines);
    return rc;
}

static int read_mean_image(settings *s)
{
    int rc = rn_recipe_mean_read(s->recipe.mean_image, &s->mean_text);
    s->recipe.mean_text = s->mean_text;
    return rc < 0 ? rn_fail_prefix(rc, "--mean-image") : RN_OK;
}

/* ---- evaluation ---- */

/* What the file is of, by its metadata or its tensors; whatever was given wins. */
static int model_from_file(settings *s, const rn_st_file *f)
{
    rn_buf lines = {0};
    bool guessed, given = rn_opt_seen(&s->spec, &s->args, "arch");
    if (given && !rn_st_meta(f, "rnkit.recipe"))
        return RN_OK;
    int rc = rn_recipe_weights_lines(f, &lines, &guessed);
    if (rc < 0)
        rn_fail(rc, "%s; give --arch", rn_error_text());
    else
        rc = rn_opt_parse_text(&s->spec, s->recipe.weights, (const char *)lines.data, &s->args);
    if (rc >= 0 && guessed)
        rn_info("%s: taken for %s by its tensors, images of %d pixels", s->recipe.weights,
                rn_model_names()[s->recipe.arch], (int)s->recipe.image_size);
    rn_buf_free(&lines);
    return rc;
}

/* A loss may overflow, and JSON has neither NaN nor infinities. */
static const char *loss_text(double loss, char buf[32])
{
    if (!isfinite(loss))
        return "null";
    snprintf(buf, 32, "%.10g", loss);
    return buf;
}

static void print_eval(const settings *s, const rn_eval_result *v, double seconds)
{
    char loss[32];
    if (s->args.common.json)
        printf("{\"n\":%" PRId64 ",\"top1\":%.10g,\"top5\":%.10g,\"se_top1\":%.10g,\"loss\":%s,\"seconds\":%.3f}\n",
               v->n, v->top1, v->top5, v->se_top1, loss_text(v->loss, loss), seconds);
    else
        printf("top-1 %.2f %% +- %.2f, top-5 %.2f %%, loss %.4f, on all %" PRId64 " images (%.1f images/s)\n", v->top1,
               v->se_top1, v->top5, v->loss, v->n, (double)v->n / seconds);
}

static int evaluate(settings *s, int jobs)
{
    rn_session ses = {0};
    rn_st_file *f = NULL;
    rn_eval_result v;
    const rn_eval_opts o = {.stop = &stop_flag, .dump_logits = s->dump_logits, .progress = true};
    int rc;
    if (!s->recipe.weights || !s->recipe.val_db)
        return rn_fail(RN_E_USAGE, "--eval-only needs --weights FILE and --val-db DB");
    RN_GO(rn_st_open(s->recipe.weights, &f, NULL));
    RN_GO(model_from_file(s, f));
    if (!s->recipe.net_text)
        s->recipe.net_text = rn_st_meta(f, "rnkit.net");
    if (!s->recipe.mean_text && !s->recipe.mean)
        s->recipe.mean_text = rn_st_meta(f, "rnkit.mean-image");
    RN_GO(rn_recipe_check(&s->recipe));
    RN_GO(rn_session_open(&s->recipe, rn_backends, jobs, 0, NULL, &ses));
    RN_GO(rn_weightfile_load(ses.eval_net, ses.be, RN_WEIGHTFILE_VALUES, f));
    double from = rn_now();
    RN_GO(rn_evaluate(&ses, &o, &v));
    if (rn_comm_rank(ses.comm) == 0)
        print_eval(s, &v, rn_now() - from);
out:
    rn_st_close(f);
    rn_session_close(&ses);
    return rc;
}

/* ---- training ---- */

static int join_command(int argc, char **argv, rn_buf *out)
{
    for (int i = 0; i < argc; i++)
        RN_TRY(rn_buf_printf(out, "%s%s", i ? " " : "", argv[i]));
    return RN_OK;
}

static void print_result(const settings *s, const rn_train_result *r)
{
    const rn_eval_result *v = &r->state.last;
    char loss[32];
    if (s->args.common.json) {
        printf("{\"n\":%" PRId64 ",\"top1\":%.10g,\"top5\":%.10g,\"se_top1\":%.10g,\"loss\":%s,\"epochs\":%" PRId64
               ",\"steps\":%" PRId64 ",\"best_epoch\":%" PRId64 ",\"best_top1\":%.10g,\"train_seconds\":%.3f,"
               "\"eval_seconds\":%.3f,\"images_per_s\":%.2f,\"already\":%s}\n",
               v->n, v->top1, v->top5, v->se_top1, loss_text(v->loss, loss), r->state.epoch, r->state.step,
               r->state.best_epoch, r->state.best.top1, r->state.train_s, r->state.eval_s, r->images_per_s,
               r->was_finished ? "true" : "false");
        return;
    }
    if (r->was_finished)
        printf("%s: already finished, nothing was done again\n", s->out);
    printf("top-1 %.2f %% +- %.2f, top-5 %.2f %%, loss %.4f, on all %" PRId64 " images; best epoch %" PRId64
           ": %.2f %%\n",
           v->top1, v->se_top1, v->top5, v->loss, v->n, r->state.best_epoch, r->state.best.top1);
    printf("%" PRId64 " steps in %.1f s, %.1f images/s; evaluations %.1f s\n", r->state.step, r->state.train_s,
           r->images_per_s, r->state.eval_s);
    printf("weights %s/weights.safetensors\nreport  %s/report.html\n", s->out, s->out);
}

static bool has_report(const char *run_dir)
{
    char path[4096];
    return rn_path_join(path, sizeof path, run_dir, "report.html") == RN_OK && rn_is_file(path);
}

/* A run that was interrupted or went astray is looked at, too; its own message stays. */
static void report_of_failed(const char *run_dir, int rc)
{
    char why[2048];
    snprintf(why, sizeof why, "%s", rn_error_text());
    if (rn_report_write(run_dir, NULL) < 0)
        rn_warn("no report: %s", rn_error_text());
    (void)rn_fail(rc, "%s", why);
}

static int train(settings *s, int jobs, int argc, char **argv)
{
    rn_buf recipe = {0}, command = {0};
    rn_train_result res;
    int rc;
    if (!s->recipe.train_db || !s->recipe.val_db || !s->out)
        return rn_fail(RN_E_USAGE, "training needs --train-db DB, --val-db DB and --out RUN_DIR (--help says more)");
    RN_GO(rn_recipe_check(&s->recipe));
    RN_GO(rn_recipe_text(s->rows, s->nrecipe, &recipe));
    RN_GO(join_command(argc, argv, &command));
    const rn_train_job job = {.recipe = &s->recipe,
                              .recipe_text = (const char *)recipe.data,
                              .backends = rn_backends,
                              .out = s->out,
                              .resume = s->resume,
                              .command = (const char *)command.data,
                              .jobs = jobs,
                              .checkpoint_steps = s->checkpoint_steps,
                              .checkpoint_seconds = s->checkpoint_seconds,
                              .keep = s->keep,
                              .log_steps = s->log_steps,
                              .diverge = s->diverge,
                              .stop_after = s->stop_after,
                              .results = !s->args.common.json,
                              .stop = &stop_flag};
    rc = rn_train(&job, &res);
    if (rc < 0 && res.began && rn_comm_rank(rn_comm_world()) == 0)
        report_of_failed(s->out, rc);
    RN_GO(rc);
    if (rn_comm_rank(rn_comm_world()) > 0)
        goto out;
    if (!res.was_finished || !has_report(s->out))
        RN_GO(rn_report_write(s->out, NULL));
    print_result(s, &res);
out:
    rn_buf_free(&recipe);
    rn_buf_free(&command);
    return rc;
}

/* ---- the range test ---- */

static void print_rate(const char *what, double lr)
{
    if (isfinite(lr))
        printf("  --lr %-9.3g %s\n", lr, what);
}

static int find_rate(const settings *s, int jobs)
{
    const rn_lrfind_job job = {.recipe = &s->recipe,
                               .backends = rn_backends,
                               .out = s->out,
                               .jobs = jobs,
                               .lo = s->lr_find_min,
                               .hi = s->lr_find_max,
                               .steps = s->lr_find_steps,
                               .stop = &stop_flag};
    rn_lrfind_result r;
    char a[32], b[32], c[32];
    if (!s->recipe.train_db || !s->recipe.val_db || !s->out)
        return rn_fail(RN_E_USAGE, "--lr-find needs --train-db DB, --val-db DB and --out DIR");
    RN_TRY(rn_recipe_check(&s->recipe));
    RN_TRY(rn_lrfind(&job, &r));
    if (rn_comm_rank(rn_comm_world()) > 0)
        return RN_OK;
    if (s->args.common.json) {
        printf("{\"steepest\":%s,\"valley\":%s,\"minimum\":%s,\"steps\":%" PRId64 ",\"diverged\":%s}\n",
               loss_text(r.steepest, a), loss_text(r.valley, b), loss_text(r.minimum, c), r.steps,
               r.diverged ? "true" : "false");
        return RN_OK;
    }
    printf("%" PRId64 " steps%s; suggestions:\n", r.steps, r.diverged ? ", then the loss exploded" : "");
    print_rate("valley: two thirds into the longest fall of the loss", r.valley);
    print_rate("steepest: where it falls fastest", r.steepest);
    print_rate("a tenth of where it is least", r.minimum / 10);
    if (!isfinite(r.valley) && !isfinite(r.steepest))
        printf("  none: the curve is too short; take more --lr-find-steps or a lower --lr-find-min\n");
    printf("curve %s/lr-find.json, picture %s/lr-find.svg\n", s->out, s->out);
    return RN_OK;
}

static int report(const settings *s)
{
    char path[4096];
    RN_TRY(rn_report_write(s->report, s->report_extra));
    RN_TRY(rn_path_join(path, sizeof path, s->report, "report.html"));
    json_t *o = json_pack("{s:s}", "report", path);
    char *text = o && s->args.common.json ? json_dumps(o, JSON_COMPACT) : NULL;
    printf("%s\n", text ? text : path);
    free(text);
    json_decref(o);
    return RN_OK;
}

/* One use at a time, and no option of another one. */
static int check_uses(const settings *s)
{
    if (s->report_extra && !s->report)
        return rn_fail(RN_E_USAGE, "--report-extra goes with --report RUN_DIR");
    if (s->report && (s->eval_only || s->lr_find))
        return rn_fail(RN_E_USAGE, "--report and --%s are two uses: give one", s->eval_only ? "eval-only" : "lr-find");
    if (s->report && rn_comm_world())
        return rn_fail(RN_E_USAGE, "--report is for one process: start it without mpirun");
    if (s->lr_find && s->eval_only)
        return rn_fail(RN_E_USAGE, "--lr-find and --eval-only are two uses: give one");
    if (s->dump_logits && !s->eval_only)
        return rn_fail(RN_E_USAGE, "--dump-logits goes with --eval-only");
    if (!s->lr_find &&
        (rn_opt_seen(&s->spec, &s->args, "lr-find-min") || rn_opt_seen(&s->spec, &s->args, "lr-find-max") ||
         rn_opt_seen(&s->spec, &s->args, "lr-find-steps")))
        return rn_fail(RN_E_USAGE, "--lr-find-min, --lr-find-max and --lr-find-steps: each goes with --lr-find");
    return RN_OK;
}

static int run(settings *s, int argc, char **argv)
{
    int jobs = rn_jobs(s->args.common.jobs);
    if (s->args.common.jobs == 0)
        RN_TRY(rn_comm_threads(rn_comm_world(), jobs, &jobs));
    if (s->recipe_file)
        RN_TRY(rn_opt_parse_file(&s->spec, s->recipe_file, &s->args));
    if (s->solver_file)
        RN_TRY(read_solver(s));
    if (s->recipe.net)
        RN_TRY(read_net(s));
    if (s->recipe.mean_image)
        RN_TRY(read_mean_image(s));
    RN_TRY(check_uses(s));
    if (s->report)
        return report(s);
    catch_signals();
    if (s->lr_find)
        return find_rate(s, jobs);
    return s->eval_only ? evaluate(s, jobs) : train(s, jobs, argc, argv);
}

/* Of several processes only rank 0 chats; what goes wrong on another one is told with its name. */
static int join(const settings *s)
{
    static char name[48];
    RN_TRY(rn_comm_join());
    const rn_comm *c = rn_comm_world();
    if (!c)
        return RN_OK;
    rn_verbose("rank %d of %d on %s, %s", c->rank, c->size, c->host, c->library);
    if (c->rank > 0) {
        snprintf(name, sizeof name, "rn-train (rank %d of %d)", c->rank, c->size);
        rn_log_init(name, s->args.common.verbose ? RN_LOG_VERBOSE : RN_LOG_QUIET);
        rn_progress_policy(RN_PROGRESS_NEVER);
    }
    return RN_OK;
}

int main(int argc, char **argv)
{
    rn_kernels_start(argv);
    if (argc > 1 && strcmp(argv[1], "compare") == 0)
        return rn_compare_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "predict") == 0)
        return rn_predict_main(argc - 1, argv + 1, rn_backends);
    if (argc > 1 && strcmp(argv[1], "export") == 0)
        return rn_export_main(argc - 1, argv + 1, rn_backends);
    static settings s; /* static: large and read until the end */
    int told = 0;
    set_up(&s);
    int rc = rn_opt_parse(&s.spec, argc, argv, &s.args);
    if (rc <= RN_OK) { /* ranks that misread their options do so alike: they, too, end together */
        int joined = join(&s);
        rc = joined < 0 ? joined : rc < 0 ? rc : rn_opt_place_error(&s.spec, &s.args, run(&s, argc, argv));
        rc = rn_comm_end(rc, &told);
    }
    rn_caffe_net_close(s.net);
    free(s.net_text);
    free(s.mean_text);
    if (told) {
        rn_opt_free(&s.args);
        return rn_exit_code(rc);
    }
    return rn_opt_end(&s.args, rc);
}
