/* SPDX-License-Identifier: MIT */
/* rn-bench resize: each instruction set's way verified against the plain C, then timed on one thread. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_cpu.h"
#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "base/rn_progress.h"
#include "base/rn_rng.h"
#include "bench.h"
#include "data/pack/rn_convert.h"

#define ISAS       (RN_ISA_AVX512_BF16 + 1)
#define MAX_ROUNDS 100000
#define MIN_ROUNDS 3

typedef struct resize_opts {
    const char *from, *to, *isa;
    int filter;
    int64_t channels, images;
    double seconds;
    int w, h, ow, oh;
} resize_opts;

typedef struct entrant {
    rn_isa isa;
    rn_resizer *rs;
    double *ms; /* a round: the mean over all images */
} entrant;

typedef struct resize_run {
    const resize_opts *o;
    rn_image *images, out;
    entrant e[ISAS];
    int n;
    int64_t rounds;
} resize_run;

static int parse_sizes(resize_opts *o)
{
    rn_convert_opts c = {0};
    char text[64];
    int n = snprintf(text, sizeof text, "exact:%s", o->from);
    if (n < 0 || n >= (int)sizeof text || rn_convert_parse_size(text, &c) < 0)
        return rn_fail(RN_E_USAGE, "--from %s: accepted is WxH, such as 500x375", o->from);
    o->w = c.w;
    o->h = c.h;
    if (rn_convert_parse_size(o->to, &c) < 0 || c.size == RN_SIZE_NONE)
        return rn_fail(RN_E_USAGE, "--to %s: accepted are short:N and exact:WxH, such as short:256", o->to);
    o->ow = c.w;
    o->oh = c.h;
    if (c.size == RN_SIZE_SHORT)
        rn_resize_short_size(o->w, o->h, c.w, &o->ow, &o->oh);
    return 0;
}

/* Images of noise, so many that they do not all stay in the cache. */
static int make_images(resize_run *run)
{
    const resize_opts *o = run->o;
    rn_rng rng;
    rn_rng_seed(&rng, 1, RN_STREAM_TEST, 0, 0);
    run->images = calloc((size_t)o->images, sizeof *run->images);
    if (!run->images)
        return rn_fail(RN_E_NOMEM, "bench: out of memory");
    for (int64_t i = 0; i < o->images; i++) {
        rn_image *im = &run->images[i];
        RN_TRY(rn_image_alloc(im, o->w, o->h, (int)o->channels));
        for (size_t b = 0; b < im->cap; b++)
            im->px[b] = (uint8_t)rn_rng_u32(&rng);
    }
    return 0;
}

static int resize_one(resize_run *run, entrant *e, const rn_image *im)
{
    return rn_resize(e->rs, im, NULL, (enum rn_filter)run->o->filter, run->o->ow, run->o->oh, &run->out);
}

/* Opens every instruction set up to the cap, and holds it against the plain C on a few of the images. */
static int enter_all(resize_run *run)
{
    const resize_opts *o = run->o;
    rn_image want = {0};
    rn_isa most = RN_ISA_PORTABLE;
    int rc = 0;
    RN_TRY(rn_isa_pick(o->isa, &most));
    for (rn_isa isa = RN_ISA_PORTABLE; isa <= most; isa++) {
        entrant *e = &run->e[run->n];
        RN_GO(rn_resizer_open(&e->rs));
        run->n++;
        e->isa = rn_resizer_isa(e->rs, isa);
        if (e->isa != isa) { /* not there: the one below ran already */
            rn_resizer_close(e->rs);
            *e = (entrant){0};
            run->n--;
            continue;
        }
        e->ms = calloc(MAX_ROUNDS, sizeof *e->ms);
        if (!e->ms)
            rc = rn_fail(RN_E_NOMEM, "bench: out of memory");
        for (int64_t i = 0; rc == 0 && i < 3 && i < o->images; i++) {
            RN_GO(rn_resize(run->e[0].rs, &run->images[i], NULL, (enum rn_filter)o->filter, o->ow, o->oh, &want));
            RN_GO(resize_one(run, e, &run->images[i]));
            if (memcmp(want.px, run->out.px, (size_t)want.w * (size_t)want.h * (size_t)want.c) != 0)
                rc = rn_fail(RN_E_MISMATCH, "resize: %s gives other pixels than plain C", rn_isa_names[isa]);
        }
        if (rc < 0)
            goto out;
    }
out:
    rn_image_free(&want);
    return rc;
}

static int time_all(resize_run *run)
{
    const double end = rn_now() + run->o->seconds;
    for (; run->rounds < MAX_ROUNDS && (rn_now() < end || run->rounds < MIN_ROUNDS); run->rounds++)
        for (int k = 0; k < run->n; k++) {
            entrant *e = &run->e[k];
            double t = rn_now();
            for (int64_t i = 0; i < run->o->images; i++)
                RN_TRY(resize_one(run, e, &run->images[i]));
            e->ms[run->rounds] = (rn_now() - t) / (double)run->o->images * 1e3;
        }
    return 0;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_all(resize_run *run, bool json)
{
    const resize_opts *o = run->o;
    if (!json)
        printf("# %dx%d to %dx%d, %d channels, %s, one thread, %d images, %lld interleaved rounds, verified\n%-10s "
               "%10s %9s %9s %10s\n",
               o->w, o->h, o->ow, o->oh, (int)o->channels, rn_filter_names[o->filter], (int)o->images,
               (long long)run->rounds, "isa", "ms", "iqr", "quietest", "images/s");
    for (int k = 0; k < run->n; k++) {
        double *ms = run->e[k].ms;
        size_t n = (size_t)run->rounds;
        qsort(ms, n, sizeof *ms, ascending);
        double median = ms[n / 2], iqr = ms[n * 3 / 4] - ms[n / 4];
        const char *isa = rn_isa_names[run->e[k].isa];
        if (json)
            printf("%s{\"from\":\"%dx%d\",\"to\":\"%dx%d\",\"channels\":%d,\"filter\":\"%s\",\"isa\":\"%s\","
                   "\"ms\":%.5f,\"ms_iqr\":%.5f,\"ms_min\":%.5f,\"images_per_s\":%.1f,\"verified\":true}",
                   k ? ",\n" : "[\n", o->w, o->h, o->ow, o->oh, (int)o->channels, rn_filter_names[o->filter], isa,
                   median, iqr, ms[0], 1e3 / median);
        else
            printf("%-10s %10.5f %9.5f %9.5f %10.1f\n", isa, median, iqr, ms[0], 1e3 / median);
    }
    if (json)
        puts("\n]");
}

static void run_free(resize_run *run)
{
    for (int k = 0; k < run->n; k++) {
        rn_resizer_close(run->e[k].rs);
        free(run->e[k].ms);
    }
    for (int64_t i = 0; run->images && i < run->o->images; i++)
        rn_image_free(&run->images[i]);
    free(run->images);
    rn_image_free(&run->out);
}

int bench_resize_main(int argc, char **argv)
{
    resize_opts o = {
        .from = "500x375", .to = "short:256", .filter = RN_FILTER_BILINEAR, .channels = 3, .images = 64, .seconds = 2};
    const rn_opt opts[] = {
        {RN_OPT_TEXT, "from", "WxH", &o.from, "Size of the images.", NULL, 0, 0},
        {RN_OPT_TEXT, "to", "SIZE", &o.to, "What they become: short:N or exact:WxH.", NULL, 0, 0},
        {RN_OPT_ENUM, "filter", "NAME", &o.filter, "Filter.", rn_filter_names, 0, 0},
        {RN_OPT_INT, "channels", "N", &o.channels, "3: RGB, 1: gray.", NULL, 1, 3},
        {RN_OPT_INT, "images", "N", &o.images, "Images taken in turn; by default more than the caches hold.", NULL, 1,
         100000},
        {RN_OPT_REAL, "seconds", "S", &o.seconds, "How long, over all.", NULL, 0, 3600},
        {RN_OPT_TEXT, "isa", "NAME", &o.isa, "Cap of the instruction set: portable, avx2, avx512, avx512bf16, amx.",
         NULL, 0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "rn-bench resize",
        .synopsis = "",
        .summary = "Verifies, then times the resize of decoded images with every instruction set of this CPU.",
        .epilog =
            "Each is held to the pixels of the plain C; a difference is an error. One thread, interleaved rounds\n"
            "over all images; ms is the median an image, iqr the interquartile range of the rounds.\n"
            "bench/peers/resize_pillow.py takes the same options and times Pillow or Pillow-SIMD.\n"
            "Exit: 0 done, 1 an instruction set gives other pixels, 2 usage, 77 the CPU lacks what --isa asks for.",
        .opts = opts,
        .nopts = sizeof opts / sizeof *opts,
    };
    rn_opt_result res = {0};
    resize_run run = {.o = &o};
    int rc = rn_opt_parse(&spec, argc, argv, &res);

    if (rc != 0)
        goto out;
    RN_GO(parse_sizes(&o));
    if (o.channels == 2)
        rc = rn_fail(RN_E_USAGE, "--channels 2: accepted are 1 and 3");
    if (rc < 0)
        goto out;
    RN_GO(make_images(&run));
    RN_GO(enter_all(&run));
    RN_GO(time_all(&run));
    print_all(&run, res.common.json);
out:
    run_free(&run);
    rn_opt_free(&res);
    return rc < 0 ? rc : 0;
}
