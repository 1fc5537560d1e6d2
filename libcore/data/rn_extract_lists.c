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
static int list_class(rn_job *j, int label, rn_buf *out)
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
    for (int i = 0; i < n; i++) {
        char path[300];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", wnid, names[i]->d_name);
        if (rc == RN_OK && fstatat(j->tree, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
            rc = rn_fail_errno(errno, "%s/tree/%s: looking at it", j->work, path);
        if (rc == RN_OK) {
            j->state.bytes += (uint64_t)st.st_size;
            rc = rn_buf_printf(out, "%s %d\n", path, label);
        }
    }
    rn_free_names(names, n);
    j->state.images += (uint64_t)n;
    return rc;
}

static int write_list(const rn_job *j, const char *name, const rn_buf *b)
{
    char path[1200];
    RN_TRY(rn_path_join(path, sizeof path, j->out_dir, name));
    return rn_write_file_atomic(path, b->data ? b->data : (const uint8_t *)"", b->n);
}

static int train_list(rn_job *j, rn_buf *b)
{
    j->state.images = j->state.bytes = 0;
    for (int c = 0; c < j->devkit->nclasses; c++)
        RN_TRY(list_class(j, c, b));
    return write_list(j, "train.txt", b);
}

static int val_list(rn_job *j, rn_buf *b)
{
    for (int i = 0; i < j->devkit->nval; i++)
        RN_TRY(rn_buf_printf(b, "ILSVRC2012_val_%08d.JPEG %d\n", i + 1, j->devkit->val_label[i]));
    return write_list(j, "val.txt", b);
}

static int class_lists(rn_job *j)
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
    if (j->split == RN_SPLIT_TEST)
        return RN_OK;
    int rc = j->split == RN_SPLIT_TRAIN ? train_list(j, &b) : val_list(j, &b);
    rn_buf_free(&b);
    return rc < 0 ? rc : class_lists(j);
}
