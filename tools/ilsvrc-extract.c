/* SPDX-License-Identifier: MIT */
/* ilsvrc-extract: the archives as folders of class folders, with lists in Caffe's form. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "data/extract/rn_extract.h"

static const char *const words[] = {"train", "val", "test", "t3", "bbox", NULL};
static const unsigned bits[] = {1u << RN_SPLIT_TRAIN, 1u << RN_SPLIT_VAL, 1u << RN_SPLIT_TEST, 1u << RN_SPLIT_T3,
                                RN_SPLITS_BBOX};

/* The list holds nothing but words: rn_opt_parse saw to that. */
static unsigned parse_splits(const char *list)
{
    unsigned all = 0;
    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
        for (int i = 0; words[i]; i++)
            if (strncmp(p, words[i], strlen(words[i])) == 0 && strcspn(p, ",") == strlen(words[i]))
                all |= bits[i];
    return all;
}

static void print_json(const rn_extract_result *r)
{
    const char *comma = "";
    printf("[");
    for (int s = 0; s < RN_NPARTS; s++)
        if (r[s].wanted) {
            printf("%s{\"split\":\"%s\",\"classes\":%d,\"images\":%" PRIu64 ",\"bytes\":%" PRIu64
                   ",\"md5\":%s%s%s,\"already\":%s,\"seconds\":%.3f}",
                   comma, rn_split_names[s], r[s].classes, r[s].images, r[s].bytes, r[s].md5[0] ? "\"" : "",
                   r[s].md5[0] ? r[s].md5 : "null", r[s].md5[0] ? "\"" : "", r[s].already ? "true" : "false",
                   r[s].seconds);
            comma = ",";
        }
    printf("]\n");
}

static void print_text(const rn_extract_result *r)
{
    for (int s = 0; s < RN_NPARTS; s++) {
        if (!r[s].wanted)
            continue;
        printf("%-5s  %s%" PRIu64 " %s", rn_split_names[s], r[s].already ? "already extracted: " : "", r[s].images,
               s < RN_NSPLITS ? "images" : "XML files");
        if (r[s].classes > 0)
            printf(" in %d classes", r[s].classes);
        printf(", %.1f MB%s", (double)r[s].bytes / 1e6, r[s].md5[0] ? ", MD5 right" : "");
        if (!r[s].already)
            printf(", %.1f s", r[s].seconds);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    const char *splits = "train,val";
    bool verify = false;
    const rn_opt rows[] = {
        {RN_OPT_LIST, "splits", "LIST", &splits,
         "What to extract; bbox: the archives of bounding boxes that are there.", words, 0, 0},
        {RN_OPT_FLAG, "verify", NULL, &verify,
         "Check the MD5 of archives and devkit on the same pass; a wrong one fails and nothing is put in place.", NULL,
         0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "ilsvrc-extract",
        .synopsis = "RAW_DIR OUT_DIR",
        .summary =
            "Extracts ILSVRC2012's archives to OUT_DIR/train/<wnid>/, OUT_DIR/val/<wnid>/, OUT_DIR/test/, "
            "OUT_DIR/t3/<wnid>/ "
            "and OUT_DIR/bbox/{train,train_dogs,val,test_dogs}/, in one pass without a second copy of the inner tars, "
            "and "
            "writes train.txt, val.txt, test.txt, synsets.txt and synset_words.txt as Caffe has them. Killed at any "
            "moment, the same command goes on where it was: what had reached the disk is neither read nor written "
            "again "
            "(with --verify it is read, for the digest).",
        .epilog = "Examples:\n"
                  "  ilsvrc-extract raw imagenet --verify\n"
                  "  ilsvrc-extract raw imagenet --splits val\n"
                  "  ilsvrc-extract raw imagenet --splits train,val,test,t3,bbox\n"
                  "Exit status: 0 done (or done before), 1 failed, 2 misuse.",
        .opts = rows,
        .nopts = sizeof rows / sizeof *rows,
        .min_operands = 2,
        .max_operands = 2,
    };
    rn_opt_result args = {0};
    rn_extract_result r[RN_NPARTS] = {0};
    int rc = rn_opt_parse(&spec, argc, argv, &args);
    if (rc == RN_OK) {
        rn_extract_opts o = {.splits = parse_splits(splits), .verify = verify, .jobs = rn_jobs(args.common.jobs)};
        rc = rn_extract(args.operands[0], args.operands[1], &o, r);
        if (args.common.json)
            print_json(r);
        else
            print_text(r);
    }
    return rn_opt_end(&args, rc);
}
