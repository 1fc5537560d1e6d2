/* SPDX-License-Identifier: MIT */
/* Lists in Caffe's form: "n01440764/n01440764_10026.JPEG 0", "ILSVRC2012_val_00000001.JPEG 65". */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/extract/rn_extract_job.h"

/* A list being written beside its name: a million lines are not held in memory. */
typedef struct list {
    FILE *f;
    char path[1200], tmp[1264];
} list;

static int open_list(const rn_job *j, const char *name, list *l)
{
    RN_TRY(rn_path_join(l->path, sizeof l->path, j->out_dir, name));
    snprintf(l->tmp, sizeof l->tmp, "%s.tmp.%d", l->path, (int)getpid()); /* as rn_remove_leftovers knows them */
    l->f = fopen(l->tmp, "we");
    return l->f ? RN_OK : rn_fail_errno(errno, "%s: creating it", l->tmp);
}

/* Puts it in place if rc is 0; else removes it. The folder is synced with all else, before the split counts as whole. */
static int close_list(list *l, int rc)
{
    if (rc == RN_OK && (fflush(l->f) != 0 || ferror(l->f) || fsync(fileno(l->f)) < 0))
        rc = rn_fail_errno(errno, "%s: writing it", l->tmp);
    if (fclose(l->f) != 0 && rc == RN_OK)
        rc = rn_fail_errno(errno, "%s: writing it", l->tmp);
    if (rc == RN_OK && rename(l->tmp, l->path) < 0)
        rc = rn_fail_errno(errno, "%s: putting it in place", l->path);
    if (rc < 0)
        unlink(l->tmp);
    return rc;
}

/* Where j->tree is: in place already when only a list is written again. */
static int tree_of(const rn_job *j, char tree[1200])
{
    if (j->state.whole) {
        snprintf(tree, 1200, "%s", j->target);
        return RN_OK;
    }
    return rn_path_join(tree, 1200, j->work, "tree");
}

/* One class of the finished train tree: its files by name, counted and listed. */
static int list_class(const rn_job *j, int label, FILE *f, uint64_t *images)
{
    const char *wnid = j->devkit->synsets[label].wnid;
    int want = j->devkit->synsets[label].num_train, n, rc = RN_OK;
    struct dirent **names;
    char tree[1200];
    RN_TRY(tree_of(j, tree));
    rc = rn_list_folder(j->tree, wnid, &names, &n);
    if (rc < 0)
        return rn_fail_prefix(rc, "%s", tree);
    if (want >= 0 && n != want)
        rc = rn_fail(RN_E_MISMATCH, "%s/%s: %d images instead of %d; remove %s and run again", tree, wnid, n, want,
                     j->state.whole ? j->target : "the folder");
    for (int i = 0; i < n && rc == RN_OK; i++)
        fprintf(f, "%s/%s %d\n", wnid, names[i]->d_name, label);
    rn_free_names(names, n);
    *images += (uint64_t)n;
    return rc;
}

static int train_list(const rn_job *j, FILE *f)
{
    uint64_t images = 0;
    for (int c = 0; c < j->devkit->nclasses; c++)
        RN_TRY(list_class(j, c, f, &images));
    if (images != j->state.images)
        return rn_fail(RN_E_MISMATCH, "%s: holds %llu images, %llu were extracted; remove %s and run again",
                       j->state.whole ? j->target : j->work, (unsigned long long)images,
                       (unsigned long long)j->state.images, j->state.whole ? j->target : j->work);
    return RN_OK;
}

static int val_list(const rn_job *j, FILE *f)
{
    for (int i = 0; i < j->devkit->nval; i++)
        fprintf(f, "ILSVRC2012_val_%08d.JPEG %d\n", i + 1, j->devkit->val_label[i]);
    return RN_OK;
}

/* The test set's labels were never published: Caffe's list has 0 for all, and so has this one. */
static int test_list(const rn_job *j, FILE *f)
{
    struct dirent **names;
    int n;
    int rc = rn_list_folder(j->tree, ".", &names, &n);
    if (rc < 0)
        return rn_fail_prefix(rc, "%s/tree", j->work);
    for (int i = 0; i < n; i++)
        fprintf(f, "%s 0\n", names[i]->d_name);
    rn_free_names(names, n);
    return RN_OK;
}

static int class_ids(const rn_job *j, FILE *f)
{
    for (int c = 0; c < j->devkit->nclasses; c++)
        fprintf(f, "%s\n", j->devkit->synsets[c].wnid);
    return RN_OK;
}

static int class_words(const rn_job *j, FILE *f)
{
    for (int c = 0; c < j->devkit->nclasses; c++)
        fprintf(f, "%s %s\n", j->devkit->synsets[c].wnid, j->devkit->synsets[c].words);
    return RN_OK;
}

static int write_list(const rn_job *j, const char *name, int (*print)(const rn_job *j, FILE *f))
{
    list l;
    RN_TRY(open_list(j, name, &l));
    return close_list(&l, print(j, l.f));
}

static const struct {
    const char *name;
    int split; /* -1: of train and val */
    int (*print)(const rn_job *j, FILE *f);
} lists[] = {{"train.txt", RN_SPLIT_TRAIN, train_list},
             {"val.txt", RN_SPLIT_VAL, val_list},
             {"test.txt", RN_SPLIT_TEST, test_list},
             {"synsets.txt", -1, class_ids},
             {"synset_words.txt", -1, class_words}};

static bool wanted(const rn_job *j, size_t i)
{
    return lists[i].split == (int)j->split ||
           (lists[i].split < 0 && (j->split == RN_SPLIT_TRAIN || j->split == RN_SPLIT_VAL));
}

static bool is_there(const rn_job *j, size_t i)
{
    char path[1200];
    return rn_path_join(path, sizeof path, j->out_dir, lists[i].name) == RN_OK && rn_is_file(path);
}

bool rn_extract_has_lists(const rn_job *j)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (wanted(j, i) && !is_there(j, i))
            return false;
    return true;
}

int rn_extract_lists(rn_job *j, bool missing)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (wanted(j, i) && !(missing && is_there(j, i)))
            RN_TRY(write_list(j, lists[i].name, lists[i].print));
    return RN_OK;
}
