/* SPDX-License-Identifier: MIT */
/* ilsvrc-verify: archives by digest and structure, extracted trees, packed sets. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "data/verify/rn_verify.h"

typedef struct settings {
    const char *md5sums, *manifest, *write, *tree, *lmdb, *against;
    bool structure, sha256, decode;
} settings;

typedef struct archives {
    rn_verify_archive *row;
    char **path;
    int n;
    rn_sums sums, beside;  /* given; RAW_DIR's own */
    rn_manifest *manifest; /* given */
    bool nothing_built_in; /* --manifest none */
    rn_raw_set raw;        /* of the folder, if one was given */
    const char *dir;       /* that folder */
    bool class_tars;       /* in the place of the train archive */
    const char *listed;    /* who lists what no digest is known of; NULL: the manifest */
} archives;

/* ---- manifest -------------------------------------------------------------------------------------------- */

/* --manifest: a file, or one of two words. `own` is to be closed, `use` is what counts. */
static int open_manifest(const char *word, rn_manifest **own, const rn_manifest **use)
{
    static const rn_manifest none;
    *use = NULL;
    if (!word)
        return RN_OK;
    if (strcmp(word, "none") == 0) {
        *use = &none;
        return RN_OK;
    }
    if (strcmp(word, "ilsvrc2012") == 0) {
        *use = rn_manifest_builtin();
        return *use ? RN_OK : RN_E_NOMEM;
    }
    RN_TRY(rn_manifest_read(word, own));
    *use = *own;
    return RN_OK;
}

/* ---- which archives -------------------------------------------------------------------------------------- */

static int add_archive(archives *s, const char *path, const settings *set)
{
    rn_verify_archive *row = realloc(s->row, ((size_t)s->n + 1) * sizeof *row);
    char **paths = realloc(s->path, ((size_t)s->n + 1) * sizeof *paths), *copy = strdup(path);
    s->row = row ? row : s->row;
    s->path = paths ? paths : s->path;
    if (!row || !paths || !copy) {
        free(copy);
        return rn_fail(RN_E_NOMEM, "out of memory");
    }
    rn_verify_archive *v = &s->row[s->n];
    *v = (rn_verify_archive){.path = copy, .structure = set->structure || set->write, .oddities = set->write};
    s->path[s->n++] = copy;
    rn_findings_init(&v->found);
    RN_TRY(rn_expect(path, &s->sums, s->manifest, &s->beside, &v->expected));
    /* Another set's archives bear the same names. */
    if ((set->write || s->nothing_built_in) && v->expected.from == rn_manifest_builtin()->from)
        v->expected = (rn_expected){.bytes = -1};
    v->sha256 = set->sha256 || set->write || (v->expected.sha256 && !v->expected.md5);
    if (!rn_is_file(path)) {
        v->verdict = RN_MISSING;
        rn_findings_add(&v->found, RN_BAD, RN_K_MISSING, path, "%s: listed in %s but not there", path,
                        v->expected.from ? v->expected.from
                        : s->listed      ? s->listed
                                         : "the manifest");
    }
    return RN_OK;
}

static int add_once(archives *s, const char *dir, const char *name, bool must, const settings *set)
{
    char path[1400];
    RN_TRY(rn_path_join(path, sizeof path, dir, name));
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->path[i], path) == 0)
            return RN_OK;
    return must || rn_is_file(path) ? add_archive(s, path, set) : RN_OK;
}

static bool is_archive_name(const char *name)
{
    static const char *const ends[] = {".tar", ".tar.gz", ".tgz", ".zip"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n > strlen(ends[i]) && strcmp(name + n - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

static int add_all(archives *s, const char *dir, const settings *set)
{
    struct dirent **names;
    int n, rc = RN_OK;
    RN_TRY(rn_list_folder(AT_FDCWD, dir, &names, &n));
    for (int i = 0; i < n && rc == RN_OK; i++)
        if (is_archive_name(names[i]->d_name))
            rc = add_once(s, dir, names[i]->d_name, false, set);
    rn_free_names(names, n);
    return rc;
}

/* Where the outer tar was taken apart, its classes' tars are what can be looked at. */
static int add_class_tars(archives *s, const char *dir, const settings *set)
{
    struct dirent **names;
    int n, rc = RN_OK;
    RN_TRY(rn_list_folder(AT_FDCWD, dir, &names, &n));
    for (int i = 0; i < n && rc == RN_OK; i++)
        if (rn_is_class_tar(names[i]->d_name)) {
            rc = add_once(s, dir, names[i]->d_name, false, set);
            s->class_tars = true;
        }
    rn_free_names(names, n);
    return rc;
}

static int add_missing_class_tars(archives *s, const rn_devkit *kit, const settings *set)
{
    s->listed = s->raw.devkit;
    for (int i = 0; i < kit->nclasses; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.tar", kit->synsets[i].wnid);
        RN_TRY(add_once(s, s->dir, name, true, set));
    }
    return RN_OK;
}

/* Everything that what was given lists (else MD5SUMS), then the published names that are there. */
static int add_folder(archives *s, const char *dir, const settings *set)
{
    const rn_manifest *published = rn_manifest_builtin();
    bool given = s->manifest || s->sums.n > 0;
    for (int i = 0; s->manifest && i < s->manifest->narchives; i++)
        RN_TRY(add_once(s, dir, s->manifest->archive[i].file, true, set));
    for (int i = 0; i < s->sums.n; i++)
        RN_TRY(add_once(s, dir, s->sums.row[i].name, true, set));
    for (int i = 0; i < s->beside.n; i++)
        RN_TRY(add_once(s, dir, s->beside.row[i].name, !given, set));
    for (int i = 0; published && i < published->narchives; i++)
        RN_TRY(add_once(s, dir, published->archive[i].file, false, set));
    if (set->write)
        RN_TRY(add_all(s, dir, set));
    char advice[256] = "";
    if (!s->raw.train[0] && set->structure)
        RN_TRY(add_class_tars(s, dir, set));
    else if (!s->raw.train[0])
        rn_raw_class_tars(dir, advice);
    if (s->n == 0)
        return rn_fail(RN_E_NOTHING, "%s: holds no archive of ILSVRC2012 and no MD5SUMS%s%s", dir, advice,
                       advice[0] ? "; --structure looks into them as they are" : "");
    if (advice[0] && !set->write)
        rn_warn("%s: holds no ILSVRC2012_img_train.tar%s; --structure looks into them as they are", dir, advice);
    return RN_OK;
}

static int must_be_file(const char *path)
{
    if (rn_is_file(path))
        return RN_OK;
    if (rn_is_dir(path))
        return rn_fail(RN_E_USAGE, "%s: a folder; give it alone, or archives by name", path);
    if (access(path, F_OK) == 0) /* a pipe has no size and no offsets */
        return rn_fail(RN_E_UNSUPPORTED, "%s: not a regular file: save the archive to a disk first", path);
    return rn_fail(RN_E_NOENT, "%s: no such file", path);
}

static int gather(archives *s, const settings *set, const rn_opt_result *args)
{
    bool folder = args->noperands == 1 && rn_is_dir(args->operands[0]);
    if (folder)
        RN_TRY(rn_raw_find(args->operands[0], &s->raw));
    if (set->md5sums)
        RN_TRY(rn_sums_read(set->md5sums, &s->sums));
    if (s->raw.md5sums[0])
        RN_TRY(rn_sums_read(s->raw.md5sums, &s->beside));
    s->dir = folder ? args->operands[0] : NULL;
    if (folder)
        return add_folder(s, args->operands[0], set);
    for (int i = 0; i < args->noperands; i++) {
        RN_TRY(must_be_file(args->operands[i]));
        RN_TRY(add_archive(s, args->operands[i], set));
    }
    return RN_OK;
}

/* ---- archives -------------------------------------------------------------------------------------------- */

/* A devkit that cannot be read is a finding about it; what was found in hours of reading the others is told all the
 * same. */
static int compare_with_devkit(archives *s, const settings *set, rn_devkit **kit)
{
    int rc = rn_devkit_open(s->raw.devkit, kit);
    for (int i = 0; rc < 0 && i < s->n; i++)
        if (strcmp(s->path[i], s->raw.devkit) == 0) {
            if (rn_findings_total(&s->row[i].found, RN_BAD) == 0) /* else it is said already */
                rn_findings_add(&s->row[i].found, RN_BAD, RN_K_ARCHIVE, s->path[i], "%s", rn_error_text());
            return RN_OK;
        }
    RN_TRY(rc);
    rn_verify_against_devkit(s->row, s->n, *kit, s->raw.devkit);
    return s->class_tars ? add_missing_class_tars(s, *kit, set) : RN_OK;
}

static int report(archives *s, const settings *set, bool json, int *status)
{
    int bad = 0, checked = 0, tars = 0, rc = RN_OK;
    for (int i = 0; i < s->n; i++) {
        rn_verify_archive *v = &s->row[i];
        rn_findings_sort(&v->found);
        bad += rn_findings_total(&v->found, RN_BAD) > 0;
        checked += v->verdict != RN_UNKNOWN || v->structure;
        if (!json)
            rn_verify_archive_text(v);
    }
    if (json)
        rc = rn_verify_archives_json(s->row, s->n);
    fflush(stdout); /* main looks whether it arrived */
    for (int i = 0; i < s->n; i++) {
        rn_verify_say(&s->row[i].found, RN_K_SIZE);
        if (s->row[i].verdict != RN_UNKNOWN || set->write)
            continue;
        bool tar = rn_is_class_tar(rn_base_name(s->path[i]));
        tars += tar;
        if (!tar || tars == 1) /* of a thousand tars of classes, once */
            rn_warn("%s: no MD5 is known for it; give one with --md5sums FILE or --manifest FILE", s->path[i]);
    }
    *status = bad > 0 ? RN_EXIT_FAILED : checked > 0 ? RN_EXIT_DONE : RN_EXIT_NOTHING;
    return rc;
}

/* Named after the folder, since nothing else in the archives says what they are. */
static int write_manifest(const archives *s, const settings *set, const char *dir, const rn_devkit *kit, int status)
{
    rn_manifest *m;
    if (status != RN_EXIT_DONE)
        return rn_fail(RN_E_MISMATCH, "%s: not written: a manifest of damaged archives would call the damage right",
                       set->write);
    char *real = rn_is_dir(dir) ? realpath(dir, NULL) : NULL;
    int rc = rn_verify_manifest(real && rn_base_name(real)[0] ? rn_base_name(real) : "archives", s->row, s->n, kit, &m);
    free(real);
    RN_TRY(rc);
    rc = rn_manifest_write(m, set->write);
    rn_manifest_close(m);
    return rc;
}

/* Told now, not when all has been read. */
static int can_write(const char *path)
{
    const char *base = rn_base_name(path);
    char dir[1400];
    snprintf(dir, sizeof dir, "%.*s", base > path ? (int)(base - path) : 1, base > path ? path : ".");
    if (rn_is_dir(path))
        return rn_fail(RN_E_USAGE, "%s: a folder; --write-manifest wants a file's name", path);
    if (access(dir, W_OK) < 0)
        return rn_fail_errno(errno, "%s: the manifest cannot be written there", dir);
    return RN_OK;
}

static int verify_archives(const settings *set, const rn_opt_result *args, int *status)
{
    int rc;
    const rn_manifest *use;
    rn_devkit *kit = NULL;
    archives s = {0};
    if (set->write)
        RN_GO(can_write(set->write));
    RN_GO(open_manifest(set->manifest, &s.manifest, &use));
    s.nothing_built_in = use && use->narchives == 0;
    RN_GO(gather(&s, set, args));
    for (int i = 0; i < s.n; i++)
        s.row[i].manifest = set->write ? NULL : use ? use : rn_manifest_builtin();
    rn_verify_sizes(s.row, s.n);
    for (int i = 0; i < s.n; i++) /* at once: the rest may take hours */
        for (int k = 0; k < s.row[i].found.n; k++)
            if (s.row[i].found.row[k].kind == RN_K_SIZE)
                rn_error("%s", s.row[i].found.row[k].text);
    RN_GO(rn_verify_archives(s.row, s.n, rn_jobs(args->common.jobs)));
    if ((set->structure || set->write) && s.raw.devkit[0])
        RN_GO(compare_with_devkit(&s, set, &kit));
    RN_GO(report(&s, set, args->common.json, status));
    if (set->write)
        rc = write_manifest(&s, set, args->operands[0], kit, *status);
out:
    rn_devkit_close(kit);
    for (int i = 0; i < s.n; i++) {
        rn_verify_archive_free(&s.row[i]);
        free(s.path[i]);
    }
    free(s.row);
    free(s.path);
    rn_sums_free(&s.sums);
    rn_sums_free(&s.beside);
    rn_manifest_close(s.manifest);
    return rc;
}

/* ---- trees and packed sets ------------------------------------------------------------------------------- */

static int verify_set(const settings *set, const rn_opt_result *args, int *status)
{
    rn_verify_set s = {0};
    rn_manifest *own = NULL;
    const char *path = set->tree ? set->tree : set->lmdb;
    rn_verify_opts opts = {.decode = set->decode, .jobs = rn_jobs(args->common.jobs), .against = set->against};
    RN_TRY(open_manifest(set->manifest, &own, &opts.manifest));
    int rc = set->tree ? rn_verify_tree(path, &opts, &s) : rn_verify_lmdb(path, &opts, &s);
    if (rc == RN_OK) {
        if (args->common.json)
            rc = rn_verify_set_json(set->tree ? "tree" : "lmdb", path, &opts, &s);
        else
            rn_verify_set_text(path, &opts, &s);
        fflush(stdout);
        rn_verify_say(&s.found, -1);
        *status = rn_findings_total(&s.found, RN_BAD) > 0 ? RN_EXIT_FAILED : RN_EXIT_DONE;
    }
    rn_verify_set_free(&s);
    rn_manifest_close(own);
    return rc;
}

static int run(const settings *set, const rn_opt_result *args, int *status)
{
    if ((args->noperands > 0) + !!set->tree + !!set->lmdb != 1)
        return rn_fail(RN_E_USAGE, "give one of RAW_DIR or ARCHIVE..., --tree DIR, --lmdb DB");
    if (args->noperands > 0 && (set->decode || set->against))
        return rn_fail(RN_E_USAGE, "--decode and --against go with --tree or --lmdb");
    if (args->noperands == 0 && (set->structure || set->md5sums || set->sha256 || set->write))
        return rn_fail(RN_E_USAGE, "--structure, --sha256, --md5sums and --write-manifest go with archives");
    return args->noperands > 0 ? verify_archives(set, args, status) : verify_set(set, args, status);
}

int main(int argc, char **argv)
{
    settings set = {0};
    const rn_opt rows[] = {
        {RN_OPT_GROUP, "Archives", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "md5sums", "FILE", &set.md5sums,
         "Expected digests, as md5sum writes them. Default: the manifest given, then RAW_DIR/MD5SUMS, then the "
         "published ones.",
         NULL, 0, 0},
        {RN_OPT_FLAG, "sha256", NULL, &set.sha256,
         "Compute SHA-256 beside MD5, and hold it against the manifest where that has one.", NULL, 0, 0},
        {RN_OPT_FLAG, "structure", NULL, &set.structure,
         "On the same pass also walk the archives, inner ones too: whole, safe names, counts, the devkit's counts.",
         NULL, 0, 0},
        {RN_OPT_TEXT, "write-manifest", "FILE", &set.write,
         "Look at all of it, and write what a later --manifest FILE will hold these archives, their tree and packed "
         "sets "
         "against: digests, sizes, counts, odd images.",
         NULL, 0, 0},
        {RN_OPT_GROUP, "Images", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "tree", "DIR", &set.tree,
         "Check extracted images: DIR holds class folders, or train/, val/, test/.", NULL, 0, 0},
        {RN_OPT_TEXT, "lmdb", "DB", &set.lmdb, "Check a packed set: its seal, counts, labels and every record.", NULL,
         0, 0},
        {RN_OPT_FLAG, "decode", NULL, &set.decode, "Decode every image in full.", NULL, 0, 0},
        {RN_OPT_TEXT, "against", "DIR", &set.against,
         "Hold names and labels against a folder of archives (of val the devkit alone will do), or of Caffe's lists "
         "(train.txt, val.txt, synsets.txt). "
         "Default: the lists beside the tree.",
         NULL, 0, 0},
        {RN_OPT_GROUP, "Both", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "manifest", "FILE", &set.manifest,
         "What is expected: a file that --write-manifest wrote; ilsvrc2012: the one built in, of the whole set; none. "
         "Default: the one built in, where it fits.",
         NULL, 0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "ilsvrc-verify",
        .synopsis = "RAW_DIR | ARCHIVE...\n--tree DIR [--decode]\n--lmdb DB [--decode]",
        .summary = "Checks ILSVRC2012's archives against their digests, and what was made of them for damage.",
        .epilog = "Examples:\n"
                  "  ilsvrc-verify raw\n"
                  "  ilsvrc-verify raw --structure --json\n"
                  "  ilsvrc-verify ILSVRC2012_img_val.tar --md5sums MD5SUMS\n"
                  "  ilsvrc-verify other --write-manifest other.json && ilsvrc-verify copy --manifest other.json\n"
                  "  ilsvrc-verify --tree imagenet --decode\n"
                  "  ilsvrc-verify --lmdb train.lmdb --against raw\n"
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
