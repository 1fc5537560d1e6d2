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
#include "data/rn_extract_job.h"

/* One class of the finished train tree: its files by name, counted and listed. */
static int list_class(const rn_job *j, int label, rn_buf *out, uint64_t *images)
{
    const char *wnid = j->devkit->synsets[label].wnid;
    int want = j->devkit->synsets[label].num_train, rc = RN_OK;
    struct dirent **names;
    int n;
    rc = rn_list_folder(j->tree, wnid, &names, &n);
    if (rc < 0)
        return rn_fail_prefix(rc, "%s/tree", j->work);
    if (want >= 0 && n != want)
        rc = rn_fail(RN_E_MISMATCH, "%s/tree/%s: %d images instead of %d; remove the folder and run again", j->work,
                     wnid, n, want);
    for (int i = 0; i < n && rc == RN_OK; i++)
        rc = rn_buf_printf(out, "%s/%s %d\n", wnid, names[i]->d_name, label);
    rn_free_names(names, n);
    *images += (uint64_t)n;
    return rc;
}

static int write_list(const rn_job *j, const char *name, const rn_buf *b)
{
    char path[1200];
    RN_TRY(rn_path_join(path, sizeof path, j->out_dir, name));
    return rn_write_file_atomic(path, b->data ? b->data : (const uint8_t *)"", b->n);
}

static int train_list(const rn_job *j, rn_buf *b)
{
    uint64_t images = 0;
    for (int c = 0; c < j->devkit->nclasses; c++)
        RN_TRY(list_class(j, c, b, &images));
    if (images != j->state.images)
        return rn_fail(RN_E_MISMATCH, "%s/tree: holds %llu images, %llu were extracted; remove %s and run again",
                       j->work, (unsigned long long)images, (unsigned long long)j->state.images, j->work);
    return write_list(j, "train.txt", b);
}

static int val_list(const rn_job *j, rn_buf *b)
{
    for (int i = 0; i < j->devkit->nval; i++)
        RN_TRY(rn_buf_printf(b, "ILSVRC2012_val_%08d.JPEG %d\n", i + 1, j->devkit->val_label[i]));
    return write_list(j, "val.txt", b);
}

/* The test set's labels were never published: Caffe's list has 0 for all, and so has this one. */
static int test_list(const rn_job *j, rn_buf *b)
{
    struct dirent **names;
    int n;
    int rc = rn_list_folder(j->tree, ".", &names, &n);
    if (rc < 0)
        return rn_fail_prefix(rc, "%s/tree", j->work);
    for (int i = 0; i < n && rc == RN_OK; i++)
        rc = rn_buf_printf(b, "%s 0\n", names[i]->d_name);
    rn_free_names(names, n);
    return rc < 0 ? rc : write_list(j, "test.txt", b);
}

static int class_lists(const rn_job *j)
{
    rn_buf ids = {0}, words = {0};
    int rc = RN_OK;
    for (int c = 0; c < j->devkit->nclasses; c++) {
        const rn_synset *s = &j->devkit->synsets[c];
        RN_GO(rn_buf_printf(&ids, "%s\n", s->wnid));
        RN_GO(rn_buf_printf(&words, "%s %s\n", s->wnid, s->words));
    }
    RN_GO(write_list(j, "synsets.txt", &ids));
    RN_GO(write_list(j, "synset_words.txt", &words));
out:
    rn_buf_free(&ids);
    rn_buf_free(&words);
    return rc;
}

int rn_extract_lists(rn_job *j)
{
    rn_buf b = {0};
    int rc = j->split == RN_SPLIT_TRAIN  ? train_list(j, &b)
             : j->split == RN_SPLIT_VAL  ? val_list(j, &b)
             : j->split == RN_SPLIT_TEST ? test_list(j, &b)
                                         : RN_OK;
    rn_buf_free(&b);
    return rc < 0 || !j->devkit ? rc : class_lists(j);
}
