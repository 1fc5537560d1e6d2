/* SPDX-License-Identifier: MIT */
/* rn-bench loader: how many images a second come out of a packed set. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rn_digest.h"
#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "bench.h"
#include "data/load/rn_loader.h"
#include "run/recipe/rn_recipe.h"

enum { MAX_ROUNDS = 1000, VERIFY_IMAGES = 512 };

typedef struct settings {
    const char *db, *color_jitter, *dump;
    double lighting, mixup;
    int64_t cutout;
    int64_t size, batch, workers, depth, rounds, resize_short;
    double seconds;
    uint64_t seed;
    int mode; /* index into modes */
    bool exact, no_verify, json;
} settings;

static const char *const modes[] = {"train", "eval", NULL};

/* Images a second of each round, by the clock and by the process's CPU time. */
typedef struct measured {
    double rate[MAX_ROUNDS], per_core[MAX_ROUNDS], stored[MAX_ROUNDS]; /* stored: bytes a second */
    uint64_t images;
    double seconds, cpu_s;
    rn_loader_profile profile;
} measured;

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int options(const settings *s, rn_loader_opts *o)
{
    float range[RN_COLOR_OPS] = {0};
    *o = (rn_loader_opts){.train = s->mode == 0,
                          .batch = (int)s->batch,
                          .width = (int)s->size,
                          .height = (int)s->size,
                          .channels = 3,
                          .seed = s->seed,
                          .workers = (int)s->workers,
                          .depth = (int)s->depth,
                          .flip = true,
                          .resize_short = (int)s->resize_short,
                          .exact = s->exact,
                          .lighting = s->lighting,
                          .cutout = (int)s->cutout,
                          .fill = {124, 116, 104}, /* ImageNet's mean */
                          .mixup = s->mixup};
    if (s->color_jitter)
        RN_TRY(rn_recipe_reals("color-jitter", s->color_jitter, 0, 100, RN_COLOR_OPS, range));
    for (int op = 0; op < RN_COLOR_OPS; op++)
        o->jitter.range[op] = (double)range[op];
    return RN_OK;
}

/* The next batch, round after round of an evaluation. */
static int next(rn_loader *l, rn_batch *b)
{
    int rc = rn_loader_next(l, b);
    if (rc != 0)
        return rc;
    RN_TRY(rn_loader_seek(l, 0, 0));
    return rn_loader_next(l, b);
}

/* ---- verification ---- */

static int digest_batches(rn_store *store, const rn_loader_opts *o, int batches, char hex[RN_DIGEST_HEX_MAX])
{
    rn_loader *l = NULL;
    rn_digest *d = NULL;
    int rc;
    RN_GO(rn_loader_open(store, o, &l));
    RN_GO(rn_digest_open(RN_SHA256, &d));
    for (int i = 0; i < batches; i++) {
        rn_batch b;
        rc = next(l, &b);
        if (rc < 0)
            goto out;
        size_t n = (size_t)o->batch;
        RN_GO(rn_digest_update(d, b.images, n * (size_t)o->width * (size_t)o->height * (size_t)o->channels));
        RN_GO(rn_digest_update(d, b.labels, n * sizeof *b.labels));
        RN_GO(rn_digest_update(d, b.index, n * sizeof *b.index));
        rn_loader_release(l, &b);
    }
    rc = rn_digest_final(d, hex);
out:
    rn_digest_close(d);
    rn_loader_close(l);
    return rc;
}

/* The batches of as many workers as will be timed are those of one. */
static int verify(rn_store *store, const rn_loader_opts *o)
{
    char one[RN_DIGEST_HEX_MAX], many[RN_DIGEST_HEX_MAX];
    int batches = (VERIFY_IMAGES + o->batch - 1) / o->batch;
    rn_loader_opts single = *o;
    single.workers = 1;
    RN_TRY(digest_batches(store, &single, batches, one));
    RN_TRY(digest_batches(store, o, batches, many));
    if (strcmp(one, many) != 0)
        return rn_fail(RN_E_MISMATCH, "%s: the first %d batches of %d workers differ from those of one",
                       rn_store_path(store), batches, o->workers);
    return RN_OK;
}

/* ---- timing ---- */

static int take(rn_loader *l, rn_batch *b)
{
    int rc = next(l, b);
    if (rc < 0)
        return rc;
    rn_loader_release(l, b);
    return RN_OK;
}

/* One round: whole batches until `seconds` are over. */
static int time_round(rn_loader *l, const settings *s, int round, measured *m)
{
    rn_loader_profile before, after;
    rn_batch b;
    uint64_t images = 0;
    rn_loader_profiled(l, &before);
    double from = rn_now(), cpu = cpu_seconds();
    do {
        RN_TRY(take(l, &b));
        images += (uint64_t)b.n;
    } while (rn_now() - from < s->seconds);
    double took = rn_now() - from;
    cpu = cpu_seconds() - cpu;
    rn_loader_profiled(l, &after);
    m->rate[round] = (double)images / took;
    m->per_core[round] = (double)(after.images - before.images) / cpu; /* work done, wherever it waits now */
    m->stored[round] = (double)(after.bytes - before.bytes) / took;
    m->images += images;
    m->seconds += took;
    m->cpu_s += cpu;
    return RN_OK;
}

static int time_loader(rn_store *store, const settings *s, const rn_loader_opts *o, measured *m)
{
    rn_loader *l = NULL;
    rn_batch b;
    int rc;
    RN_GO(rn_loader_open(store, o, &l));
    for (int i = 0; i < 2; i++) /* buffers grow, pages come in */
        RN_GO(take(l, &b));
    for (int round = 0; round < s->rounds; round++)
        RN_GO(time_round(l, s, round, m));
    rn_loader_profiled(l, &m->profile);
out:
    rn_loader_close(l);
    return rc;
}

/* ---- what came out ---- */

static int dump_batch(FILE *f, const rn_loader_opts *o, const rn_batch *b)
{
    const size_t bytes = (size_t)o->width * (size_t)o->height * (size_t)o->channels;
    for (int i = 0; i < b->n; i++)
        if (fwrite(&b->index[i], 4, 1, f) != 1 || fwrite(&b->labels[i], 4, 1, f) != 1 ||
            fwrite(b->images + (size_t)i * bytes, bytes, 1, f) != 1)
            return rn_fail_errno(errno, "writing");
    return RN_OK;
}

/* The first epoch: for each image its record's number and label (32 bits each), then the pixels. */
static int dump(rn_store *store, const rn_loader_opts *o, const char *path)
{
    rn_loader *l = NULL;
    rn_batch b;
    int rc;
    FILE *f = fopen(path, "wbe");
    if (!f)
        return rn_fail_errno(errno, "cannot write %s", path);
    RN_GO(rn_loader_open(store, o, &l));
    for (uint64_t i = 0; i < rn_loader_batches(l); i++) {
        rc = rn_loader_next(l, &b);
        if (rc == 1)
            rc = dump_batch(f, o, &b);
        if (rc < 0)
            goto out;
        rn_loader_release(l, &b);
    }
    rc = RN_OK;
out:
    rn_loader_close(l);
    if (fclose(f) != 0 && rc == RN_OK)
        rc = rn_fail_errno(errno, "cannot write %s", path);
    return rc;
}

/* ---- results ---- */

static void print(const settings *s, rn_store *store, measured *m)
{
    const rn_loader_profile *p = &m->profile;
    int n = (int)s->rounds;
    double all = p->read_s + p->decode_s + p->resize_s + p->augment_s, pct = all > 0 ? 100 / all : 0;
    double rate = bench_quantile(m->rate, n, 0.5), core = bench_quantile(m->per_core, n, 0.5);
    double rate_iqr = bench_quantile(m->rate, n, 0.75) - bench_quantile(m->rate, n, 0.25);
    double core_iqr = bench_quantile(m->per_core, n, 0.75) - bench_quantile(m->per_core, n, 0.25);
    double stored = bench_quantile(m->stored, n, 0.5) * 1e-6;
    if (s->json) {
        printf("{\"mode\":\"%s\",\"records\":%u,\"size\":%d,\"batch\":%d,\"workers\":%d,\"exact\":%s,\"rounds\":%d,"
               "\"images\":%" PRIu64 ",\"seconds\":%.3f,\"images_per_s\":%.2f,\"images_per_s_iqr\":%.2f,"
               "\"images_per_s_core\":%.2f,\"images_per_s_core_iqr\":%.2f,\"images_per_s_core_best\":%.2f,"
               "\"mb_per_s\":%.2f,\"read_pct\":%.2f,\"decode_pct\":%.2f,\"resize_pct\":%.2f,\"augment_pct\":%.2f,"
               "\"verified\":%s}\n",
               modes[s->mode], rn_store_count(store), (int)s->size, (int)s->batch, (int)s->workers,
               s->exact || s->mode == 1 ? "true" : "false", n, m->images, m->seconds, rate, rate_iqr, core, core_iqr,
               bench_quantile(m->per_core, n, 1), stored, p->read_s * pct, p->decode_s * pct, p->resize_s * pct,
               p->augment_s * pct, s->no_verify ? "false" : "true");
        return;
    }
    printf("%s, %u records: %s, %d x %d, batch %d, %d worker%s%s\n", rn_store_path(store), rn_store_count(store),
           modes[s->mode], (int)s->size, (int)s->size, (int)s->batch, (int)s->workers, s->workers == 1 ? "" : "s",
           s->exact || s->mode == 1 ? ", exact" : "");
    printf("%10.1f images/s        (IQR %.1f over %d rounds; %.1f MB/s of records)\n", rate, rate_iqr, n, stored);
    printf("%10.1f images/s a core (IQR %.1f, best %.1f; of CPU time)\n", core, core_iqr,
           bench_quantile(m->per_core, n, 1));
    printf("workers' time: read %.1f %%, decode %.1f %%, resize %.1f %%, augment %.1f %%\n", p->read_s * pct,
           p->decode_s * pct, p->resize_s * pct, p->augment_s * pct);
}

static int run(settings *s)
{
    rn_store *store = NULL;
    measured *m = calloc(1, sizeof *m);
    rn_loader_opts o;
    int rc;
    if (!m)
        return rn_fail(RN_E_NOMEM, "bench: out of memory");
    RN_GO(options(s, &o));
    RN_GO(rn_store_open(s->db, 0, &store));
    if (!s->no_verify)
        RN_GO(verify(store, &o));
    if (s->dump)
        RN_GO(dump(store, &o, s->dump));
    RN_GO(time_loader(store, s, &o, m));
    print(s, store, m);
out:
    rn_store_close(store);
    free(m);
    return rc;
}

int bench_loader_main(int argc, char **argv)
{
    settings s = {.size = 224, .batch = 64, .rounds = 5, .seconds = 1, .resize_short = 256, .seed = 1};
    const rn_opt opts[] = {
        {RN_OPT_GROUP, "What to load", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_ENUM, "mode", "NAME", &s.mode,
         "train: random resized crop and flip in a shuffled order; eval: resize, centre crop, key order.", modes, 0, 0},
        {RN_OPT_INT, "size", "N", &s.size, "Side of the images that come out, pixels.", NULL, 8, 8192},
        {RN_OPT_INT, "batch", "N", &s.batch, "Images in a batch.", NULL, 1, 65536},
        {RN_OPT_INT, "resize-short", "N", &s.resize_short, "eval: short side before the centre crop; 0: no resize.",
         NULL, 0, 8192},
        {RN_OPT_FLAG, "exact", NULL, &s.exact, "train: the pixels of a full decode, bit for bit (slower).", NULL, 0, 0},
        {RN_OPT_TEXT, "color-jitter", "B,C,S,H", &s.color_jitter, "train: as rn-train's.", NULL, 0, 0},
        {RN_OPT_REAL, "lighting", "STD", &s.lighting, "train: as rn-train's.", NULL, 0, 10},
        {RN_OPT_INT, "cutout", "N", &s.cutout, "train: as rn-train's.", NULL, 0, 8192},
        {RN_OPT_REAL, "mixup", "A", &s.mixup, "train: as rn-train's.", NULL, 0, 1000},
        {RN_OPT_UINT, "seed", "N", &s.seed, "Seed of order and augmentation.", NULL, 0, 0},
        {RN_OPT_GROUP, "How", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_INT, "workers", "N", &s.workers, "Decode threads; 0: as --jobs.", NULL, 0, 256},
        {RN_OPT_INT, "depth", "N", &s.depth, "Batches in the ring; 0: the loader's own choice.", NULL, 0, 1024},
        {RN_OPT_INT, "rounds", "N", &s.rounds, "Rounds; the median counts.", NULL, 1, MAX_ROUNDS},
        {RN_OPT_REAL, "seconds", "X", &s.seconds, "Length of a round, and on to the end of its last batch.", NULL, 0,
         3600},
        {RN_OPT_TEXT, "dump", "FILE", &s.dump,
         "Before that write the first epoch: for each image its record's number and label (32 bits each, as the "
         "machine has "
         "them), then its pixels.",
         NULL, 0, 0},
        {RN_OPT_FLAG, "no-verify", NULL, &s.no_verify, "Do not compare the batches with those of one worker first.",
         NULL, 0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "rn-bench loader",
        .synopsis = "DB",
        .summary = "Times the way from a packed set to batches of uint8 images.",
        .epilog = "First the batches (512 images) are compared with those that one worker gives. \"a core\" divides\n"
                  "by the CPU time of the whole process, so that a busy machine does not show.\n"
                  "Examples:\n"
                  "  rn-bench loader train.lmdb --workers 1 --json\n"
                  "  rn-bench loader val.lmdb --mode eval\n"
                  "Exit: 0 done, 1 failed or the batches differ, 2 usage.",
        .opts = opts,
        .nopts = sizeof opts / sizeof *opts,
        .min_operands = 1,
        .max_operands = 1,
    };
    rn_opt_result res = {0};
    int rc = rn_opt_parse(&spec, argc, argv, &res);
    if (rc == 0) {
        s.db = res.operands[0];
        s.json = res.common.json;
        s.workers = s.workers ? s.workers : rn_jobs(res.common.jobs);
        rc = run(&s);
    }
    rn_opt_free(&res);
    return rc < 0 ? rc : 0;
}
