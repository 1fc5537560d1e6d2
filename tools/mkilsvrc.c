/* SPDX-License-Identifier: MIT */
/* mkilsvrc: archives of ILSVRC2012's form out of idx files, class folders or generated pictures. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "data/make/rn_mk.h"

typedef struct settings {
    const char *idx, *tree, *val_tree, *classes, *truth, *size;
    int64_t synthetic, train_per_class, val, vary, quality, limit_train, limit_val;
    uint64_t seed;
    bool force;
} settings;

static int parse_size(const char *text, int *w, int *h)
{
    char left[16];
    int64_t a, b;
    const char *x = strchr(text, 'x');
    if (x && x - text < (int)sizeof left) {
        snprintf(left, sizeof left, "%.*s", (int)(x - text), text);
        if (rn_parse_i64(left, 1, 8192, &a) == RN_OK && rn_parse_i64(x + 1, 1, 8192, &b) == RN_OK) {
            *w = (int)a;
            *h = (int)b;
            return RN_OK;
        }
    }
    return rn_fail(RN_E_USAGE, "--size %s: not WIDTHxHEIGHT with sides 1..8192, such as 64x48", text);
}

static int open_source(const settings *s, rn_mk_source *src)
{
    if (!!s->idx + !!s->tree + (s->synthetic > 0) != 1)
        return rn_fail(RN_E_USAGE, "give one of --idx DIR, --tree DIR with --val-tree DIR, --synthetic CLASSES");
    if (!!s->tree != !!s->val_tree)
        return rn_fail(RN_E_USAGE, "--tree and --val-tree go together");
    if (s->idx)
        return rn_mk_open_idx(s->idx, src);
    if (s->tree)
        return rn_mk_open_tree(s->tree, s->val_tree, src);
    rn_mk_synth_opts o = {.classes = (int)s->synthetic,
                          .train_per_class = (int)s->train_per_class,
                          .val = (int)s->val,
                          .vary = (int)s->vary,
                          .seed = s->seed};
    RN_TRY(parse_size(s->size, &o.width, &o.height));
    return rn_mk_open_synth(&o, src);
}

static int run(const settings *s, const rn_opt_result *args)
{
    rn_mk_source src = {0};
    rn_mk_result r;
    rn_mk_opts o = {.quality = (int)s->quality,
                    .seed = s->seed,
                    .limit = {s->limit_train, s->limit_val},
                    .jobs = rn_jobs(args->common.jobs),
                    .force = s->force,
                    .truth = s->truth};
    const char *dir = args->operands[0];
    int rc;
    RN_GO(open_source(s, &src));
    if (s->classes)
        RN_GO(rn_mk_read_classes(&src, s->classes));
    RN_GO(rn_mk_write(&src, &o, dir, &r));
    if (args->common.json)
        printf("{\"classes\":%d,\"train\":%" PRIu32 ",\"val\":%" PRIu32 ",\"bytes\":%" PRIu64 ",\"already\":%s}\n",
               src.nclasses, r.train, r.val, r.bytes, r.already ? "true" : "false");
    else
        printf("%s: %s%d classes, %" PRIu32 " train and %" PRIu32 " val images\n", dir,
               r.already ? "already made: " : "", src.nclasses, r.train, r.val);
out:
    rn_mk_close(&src);
    return rc;
}

int main(int argc, char **argv)
{
    settings s = {.size = "64x64", .train_per_class = 20, .val = 50, .quality = 95};
    const rn_opt rows[] = {
        {RN_OPT_GROUP, "Where the pictures come from (one of)", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "idx", "DIR", &s.idx, "idx files of MNIST's family, gzipped or not.", NULL, 0, 0},
        {RN_OPT_TEXT, "tree", "DIR", &s.tree, "Folder of class folders, for train. JPEG files go in byte for byte.",
         NULL, 0, 0},
        {RN_OPT_TEXT, "val-tree", "DIR", &s.val_tree, "The same for val, with the same class folders.", NULL, 0, 0},
        {RN_OPT_INT, "synthetic", "CLASSES", &s.synthetic, "Generated coloured textures that a classifier can learn.",
         NULL, 0, 10000},
        {RN_OPT_GROUP, "Generated pictures", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_INT, "train-per-class", "N", &s.train_per_class, "Train images a class.", NULL, 1, 100000},
        {RN_OPT_INT, "val", "N", &s.val, "Val images in all.", NULL, 1, 1000000},
        {RN_OPT_TEXT, "size", "WxH", &s.size, "Size in pixels.", NULL, 0, 0},
        {RN_OPT_INT, "vary", "PERCENT", &s.vary, "Draw each side from its size +- this much.", NULL, 0, 90},
        {RN_OPT_GROUP, "What is made", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_INT, "quality", "Q", &s.quality, "JPEG quality of pictures that are encoded.", NULL, 1, 100},
        {RN_OPT_UINT, "seed", "S", &s.seed, "Draws orders, ids, numbers and generated pictures.", NULL, 0, 0},
        {RN_OPT_TEXT, "classes", "FILE", &s.classes, "Lines \"WNID words\", WNIDs ascending; default: made-up WNIDs.",
         NULL, 0, 0},
        {RN_OPT_INT, "limit-train", "N", &s.limit_train, "At most N train images a class; 0: all.", NULL, 0, 10000000},
        {RN_OPT_INT, "limit-val", "N", &s.limit_val, "At most N val images a class; 0: all.", NULL, 0, 10000000},
        {RN_OPT_TEXT, "truth", "FILE", &s.truth, "Also write lines \"NAME LABEL WNID\" for the val images, by name.",
         NULL, 0, 0},
        {RN_OPT_FLAG, "force", NULL, &s.force, "Make the archives again although the same are there.", NULL, 0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "mkilsvrc",
        .synopsis = "OUT_DIR",
        .summary = "Makes archives of exactly ILSVRC2012's form (train, val, devkit, MD5SUMS) out of other pictures.",
        .epilog = "Examples:\n"
                  "  mkilsvrc --idx /usr/share/datasets/fashion-mnist raw\n"
                  "  mkilsvrc --synthetic 10 --train-per-class 50 --val 100 --size 96x72 raw\n"
                  "  mkilsvrc --tree cifar/train --val-tree cifar/test raw\n"
                  "The same source, seed and options give the same bytes.\n"
                  "Exit status: 0 done, 1 failed, 2 misuse.",
        .opts = rows,
        .nopts = sizeof rows / sizeof *rows,
        .min_operands = 1,
        .max_operands = 1,
    };
    rn_opt_result args = {0};
    int rc = rn_opt_parse(&spec, argc, argv, &args);
    if (rc == RN_OK)
        rc = run(&s, &args);
    return rn_opt_end(&args, rc);
}
