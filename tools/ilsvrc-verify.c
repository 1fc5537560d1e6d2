/* SPDX-License-Identifier: MIT */
/* ilsvrc-verify: archives by digest and structure, extracted trees, packed sets. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "data/rn_verify.h"

typedef struct settings {
    const char *md5sums, *tree, *lmdb;
    bool structure, decode;
} settings;

enum { MAX_ARCHIVES = 256, SHOWN_NOTES = 5 };

typedef struct archives {
    rn_verify_archive row[MAX_ARCHIVES];
    char *path[MAX_ARCHIVES];
    int n;
    rn_sums sums;
    rn_raw_set raw; /* of the folder, if one was given */
} archives;

/* ---- what both kinds of report share ----------------------------------------------------------------------- */

/* A text that is no UTF-8 (a name out of an archive) is left out; the counts stay right. */
static json_t *texts(const rn_findings *f)
{
    json_t *a = json_array();
    for (int i = 0; i < f->n; i++)
        json_array_append_new(a, json_string(f->text[i]));
    return a;
}

/* NULL, or a hole in it, is what a path that is no UTF-8 gives. */
static int print_json(json_t *j)
{
    char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
    json_decref(j);
    if (!text)
        return rn_fail(RN_E_FORMAT, "a path that is not UTF-8 cannot stand in JSON; rename it or leave out --json");
    puts(text);
    free(text);
    return RN_OK;
}

/* Bad findings to stderr; notes too, but only the first unless --verbose. */
static void say(rn_findings *bad, rn_findings *notes)
{
    int shown = rn_log_level() >= RN_LOG_VERBOSE ? notes->n : notes->n < SHOWN_NOTES ? notes->n : SHOWN_NOTES;
    for (int i = 0; i < shown; i++)
        rn_info("note: %s", notes->text[i]);
    if (notes->total > (uint64_t)shown)
        rn_info("note: and %" PRIu64 " more such", notes->total - (uint64_t)shown);
    for (int i = 0; i < bad->n; i++)
        rn_error("%s", bad->text[i]);
    if (bad->total > (uint64_t)bad->n)
        rn_error("and %" PRIu64 " more", bad->total - (uint64_t)bad->n);
}

/* ---- archives ---------------------------------------------------------------------------------------------- */

static int add_archive(archives *s, const char *path, const settings *set)
{
    if (s->n == MAX_ARCHIVES)
        return rn_fail(RN_E_RANGE, "more than %d archives", MAX_ARCHIVES);
    rn_verify_archive *v = &s->row[s->n];
    s->path[s->n] = strdup(path);
    if (!s->path[s->n])
        return rn_fail(RN_E_NOMEM, "out of memory");
    v->path = s->path[s->n++];
    v->structure = set->structure;
    v->expected = rn_expected_md5(&s->sums, path, &v->from);
    rn_findings_init(&v->bad);
    rn_findings_init(&v->notes);
    return RN_OK;
}

/* Everything that MD5SUMS lists, then the published names that are there. */
static int add_folder(archives *s, const char *dir, const settings *set)
{
    char path[1200];
    const char *known[] = {s->raw.train, s->raw.val, s->raw.test, s->raw.devkit};
    for (int i = 0; i < s->sums.n; i++) {
        RN_TRY(rn_path_join(path, sizeof path, dir, s->sums.row[i].name));
        if (!rn_is_file(path))
            return rn_fail(RN_E_NOENT, "%s: listed in %s but not there", path, s->sums.path);
        RN_TRY(add_archive(s, path, set));
    }
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        bool listed = !known[k][0];
        for (int i = 0; i < s->n && !listed; i++)
            listed = strcmp(s->path[i], known[k]) == 0;
        if (!listed)
            RN_TRY(add_archive(s, known[k], set));
    }
    if (s->n == 0)
        return rn_fail(RN_E_NOTHING, "%s: holds no archive of ILSVRC2012 and no MD5SUMS", dir);
    return RN_OK;
}

static int gather(archives *s, const settings *set, const rn_opt_result *args)
{
    bool folder = args->noperands == 1 && rn_is_dir(args->operands[0]);
    if (folder)
        RN_TRY(rn_raw_find(args->operands[0], &s->raw));
    const char *sums = set->md5sums ? set->md5sums : s->raw.md5sums;
    if (sums[0])
        RN_TRY(rn_sums_read(sums, &s->sums));
    if (folder)
        return add_folder(s, args->operands[0], set);
    for (int i = 0; i < args->noperands; i++) {
        if (!rn_is_file(args->operands[i]))
            return rn_fail(RN_E_NOENT, "%s: no such file", args->operands[i]);
        RN_TRY(add_archive(s, args->operands[i], set));
    }
    return RN_OK;
}

static json_t *archive_json(const rn_verify_archive *v)
{
    json_t *j = json_pack("{s:s, s:I, s:s, s:s?, s:o}", "file", v->path, "bytes", (json_int_t)v->bytes, "md5", v->md5,
                          "expected", v->expected, "ok",
                          v->verdict == RN_UNKNOWN && v->bad.total == 0
                              ? json_null()
                              : json_boolean(v->verdict == RN_RIGHT && v->bad.total == 0));
    if (v->structure) {
        json_object_set_new(j, "classes", json_integer(v->classes));
        json_object_set_new(j, "images", json_integer((json_int_t)v->images));
        if (v->classes > 0) {
            json_object_set_new(j, "least_per_class", json_integer((json_int_t)v->least));
            json_object_set_new(j, "most_per_class", json_integer((json_int_t)v->most));
        }
        json_object_set_new(j, "notes", json_integer((json_int_t)v->notes.total));
    }
    if (v->bad.total > 0)
        json_object_set_new(j, "problems", texts(&v->bad));
    return j;
}

static void archive_text(const rn_verify_archive *v)
{
    static const char *const verdicts[] = {"unknown", "ok", "WRONG", "UNREADABLE"};
    const char *verdict = v->verdict == RN_RIGHT && v->bad.total > 0 ? "DAMAGED" : verdicts[v->verdict];
    printf("%-10s  %-32s  %15" PRIu64 "  %s", verdict, v->md5[0] ? v->md5 : "-", v->bytes, v->path);
    if (v->structure && v->classes > 0)
        printf("  (%d classes, %" PRIu64 " images, %" PRIu64 "..%" PRIu64 " a class)", v->classes, v->images, v->least,
               v->most);
    else if (v->structure && v->images > 0)
        printf("  (%" PRIu64 " images)", v->images);
    printf("\n");
}

static int report_archives(archives *s, const settings *set, bool json, int *status)
{
    int bad = 0, checked = 0, rc = RN_OK;
    json_t *all = json_array();
    for (int i = 0; i < s->n; i++) {
        rn_verify_archive *v = &s->row[i];
        rn_findings_sort(&v->bad);
        rn_findings_sort(&v->notes);
        bad += v->bad.total > 0;
        checked += v->expected || set->structure;
        if (!json) {
            archive_text(v);
        } else if (json_array_append_new(all, archive_json(v)) < 0) {
            json_decref(all);
            all = NULL;
        }
    }
    if (json)
        rc = print_json(all);
    else
        json_decref(all);
    fflush(stdout); /* main looks whether it arrived */
    for (int i = 0; i < s->n; i++) {
        say(&s->row[i].bad, &s->row[i].notes);
        if (s->row[i].verdict == RN_UNKNOWN)
            rn_warn("%s: no MD5 is known for it; give one with --md5sums FILE", s->row[i].path);
    }
    *status = bad > 0 ? RN_EXIT_FAILED : checked > 0 ? RN_EXIT_DONE : RN_EXIT_NOTHING;
    return rc;
}

/* A devkit that cannot be read is a finding about it; what was found in hours of reading the others is told all the same. */
static int compare_with_devkit(archives *s)
{
    rn_devkit *kit = NULL;
    int rc = rn_devkit_open(s->raw.devkit, &kit);
    for (int i = 0; rc < 0 && i < s->n; i++)
        if (strcmp(s->path[i], s->raw.devkit) == 0) {
            if (s->row[i].bad.total == 0) /* else it is said already */
                rn_findings_add(&s->row[i].bad, "%s", rn_error_text());
            return RN_OK;
        }
    RN_TRY(rc);
    rn_verify_against_devkit(s->row, s->n, kit, s->raw.devkit);
    rn_devkit_close(kit);
    return RN_OK;
}

static int verify_archives(const settings *set, const rn_opt_result *args, int *status)
{
    int rc;
    archives *s = calloc(1, sizeof *s);
    if (!s)
        return rn_fail(RN_E_NOMEM, "out of memory");
    RN_GO(gather(s, set, args));
    RN_GO(rn_verify_archives(s->row, s->n, rn_jobs(args->common.jobs)));
    if (set->structure && s->raw.devkit[0])
        RN_GO(compare_with_devkit(s));
    rc = report_archives(s, set, args->common.json, status);
out:
    for (int i = 0; i < s->n; i++) {
        rn_verify_archive_free(&s->row[i]);
        free(s->path[i]);
    }
    rn_sums_free(&s->sums);
    free(s);
    return rc;
}

/* ---- trees and packed sets --------------------------------------------------------------------------------- */

static int set_json(const char *what, const char *path, bool decode, const rn_verify_set *s)
{
    json_t *classes = json_object();
    bool utf8 = true;
    for (int i = 0; i < s->classes; i++)
        utf8 &= json_object_set_new(classes, s->class[i].name, json_integer((json_int_t)s->class[i].images)) == 0;
    json_t *j = json_pack("{s:s, s:b, s:I, s:I, s:o, s:o, s:o}", what, path, "ok", s->bad.total == 0, "images",
                          (json_int_t)s->images, "bytes", (json_int_t)s->bytes, "classes", classes, "problems",
                          texts(&s->bad), "notes", texts(&s->notes));
    if (decode)
        json_object_set_new(j, "decoded",
                            json_pack("{s:I, s:I, s:I, s:I, s:I}", "images", (json_int_t)s->decoded, "gray",
                                      (json_int_t)s->gray, "cmyk", (json_int_t)s->cmyk, "png", (json_int_t)s->png,
                                      "warnings", (json_int_t)s->warned));
    if (s->digest[0])
        json_object_set_new(j, "seal", json_string(s->digest));
    if (!utf8) {
        json_decref(j);
        j = NULL;
    }
    return print_json(j);
}

static void set_text(const char *path, bool decode, const rn_verify_set *s)
{
    if (rn_log_level() >= RN_LOG_VERBOSE)
        for (int i = 0; i < s->classes; i++)
            printf("%10" PRIu64 "  %s\n", s->class[i].images, s->class[i].name);
    printf("%s  %s: %" PRIu64 " images", s->bad.total ? "BAD" : "ok", path, s->images);
    if (s->classes > 0)
        printf(" in %d classes (%" PRIu64 "..%" PRIu64 " a class)", s->classes, s->least, s->most);
    printf(", %.1f MB", (double)s->bytes / 1e6);
    if (decode)
        printf("; %" PRIu64 " decoded: %" PRIu64 " gray, %" PRIu64 " CMYK, %" PRIu64 " PNG, %" PRIu64 " with warnings",
               s->decoded, s->gray, s->cmyk, s->png, s->warned);
    if (s->digest[0])
        printf("; seal %.16s", s->digest);
    if (s->bad.total)
        printf("; %" PRIu64 " problems", s->bad.total);
    printf("\n");
}

static int verify_set(const settings *set, const rn_opt_result *args, int *status)
{
    rn_verify_set s;
    int jobs = rn_jobs(args->common.jobs);
    int rc =
        set->tree ? rn_verify_tree(set->tree, set->decode, jobs, &s) : rn_verify_lmdb(set->lmdb, set->decode, jobs, &s);
    if (rc == RN_OK) {
        if (args->common.json)
            rc = set_json(set->tree ? "tree" : "lmdb", set->tree ? set->tree : set->lmdb, set->decode, &s);
        else
            set_text(set->tree ? set->tree : set->lmdb, set->decode, &s);
        fflush(stdout);
        say(&s.bad, &s.notes);
        *status = s.bad.total > 0 ? RN_EXIT_FAILED : RN_EXIT_DONE;
    }
    rn_verify_set_free(&s);
    return rc;
}

static int run(const settings *set, const rn_opt_result *args, int *status)
{
    if ((args->noperands > 0) + !!set->tree + !!set->lmdb != 1)
        return rn_fail(RN_E_USAGE, "give one of RAW_DIR or ARCHIVE..., --tree DIR, --lmdb DB");
    if (args->noperands > 0 && set->decode)
        return rn_fail(RN_E_USAGE, "--decode goes with --tree or --lmdb");
    if (args->noperands == 0 && (set->structure || set->md5sums))
        return rn_fail(RN_E_USAGE, "--structure and --md5sums go with archives");
    return args->noperands > 0 ? verify_archives(set, args, status) : verify_set(set, args, status);
}

int main(int argc, char **argv)
{
    settings set = {0};
    const rn_opt rows[] = {
        {RN_OPT_TEXT, "md5sums", "FILE", &set.md5sums,
         "Expected digests, as md5sum writes them. Default: RAW_DIR/MD5SUMS, then the published ones.", NULL, 0, 0},
        {RN_OPT_FLAG, "structure", NULL, &set.structure,
         "On the same pass also walk the tars, inner ones too: whole, safe names, counts, the devkit's counts.", NULL,
         0, 0},
        {RN_OPT_TEXT, "tree", "DIR", &set.tree,
         "Check extracted images instead: DIR holds class folders, or train/, val/, test/.", NULL, 0, 0},
        {RN_OPT_TEXT, "lmdb", "DB", &set.lmdb, "Check a packed set instead: its seal, counts and every record.", NULL,
         0, 0},
        {RN_OPT_FLAG, "decode", NULL, &set.decode, "With --tree or --lmdb: decode every image in full.", NULL, 0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "ilsvrc-verify",
        .synopsis = "RAW_DIR | ARCHIVE...\n--tree DIR [--decode]\n--lmdb DB [--decode]",
        .summary = "Checks ILSVRC2012's archives against their MD5, and what was made of them for damage.",
        .epilog = "Examples:\n"
                  "  ilsvrc-verify raw\n"
                  "  ilsvrc-verify raw --structure --json\n"
                  "  ilsvrc-verify ILSVRC2012_img_val.tar --md5sums MD5SUMS\n"
                  "  ilsvrc-verify --tree imagenet --decode\n"
                  "  ilsvrc-verify --lmdb train.lmdb\n"
                  "Exit status: 0 all right, 1 something is wrong, 2 misuse, 3 nothing could be checked.",
        .opts = rows,
        .nopts = sizeof rows / sizeof *rows,
        .min_operands = 0,
        .max_operands = -1,
    };
    rn_opt_result args = {0};
    int status = RN_EXIT_DONE, rc = rn_opt_parse(&spec, argc, argv, &args);
    if (rc == RN_OK)
        rc = run(&set, &args, &status);
    int code = rn_opt_end(&args, rc);
    return code != RN_EXIT_DONE ? code : status;
}
