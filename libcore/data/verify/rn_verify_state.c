/* SPDX-License-Identifier: MIT */
#include "data/verify/rn_verify_state.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/extract/rn_extract_state.h"

void rn_verify_state(const char *root, enum rn_split split, bool there, uint64_t files, rn_findings *f)
{
    char path[2048], name[64];
    const char *what = rn_split_names[split];
    rn_split_state st = {0};
    snprintf(name, sizeof name, ".rnkit/%s.json", what);
    for (char *p = name + strlen(".rnkit/"); *p; p++)
        *p = *p == '/' ? '-' : *p;
    int rc = rn_path_join(path, sizeof path, root, name);
    if (rc == RN_OK)
        rc = rn_state_read(path, &st);
    if (rc == RN_E_NOENT || (rc == RN_OK && st.whole && !there)) /* a split moved elsewhere is no damage */
        return;
    if (rc < 0)
        rn_findings_add(f, RN_BAD, RN_K_UNFINISHED, path, "%s", rn_error_text());
    else if (!st.whole)
        rn_findings_add(f, RN_BAD, RN_K_UNFINISHED, what,
                        "%s/%s: its extraction is unfinished; run ilsvrc-extract again", root, what);
    else if (st.images != files)
        rn_findings_add(f, RN_BAD, RN_K_COUNT, what, "%s/%s: has %llu %s, %llu were extracted", root, what,
                        (unsigned long long)files, split < RN_NSPLITS ? "images" : "files",
                        (unsigned long long)st.images);
}

/* Files of dir and of its folders, `depth` levels down. */
static int count_files(const char *dir, int depth, uint64_t *files, rn_findings *f)
{
    struct dirent **names;
    struct stat st;
    char path[4096];
    int n, rc = RN_OK;
    RN_TRY(rn_list_folder(AT_FDCWD, dir, &names, &n));
    for (int i = 0; i < n && rc == RN_OK; i++) {
        rc = rn_path_join(path, sizeof path, dir, names[i]->d_name);
        if (rc < 0)
            break;
        bool there = lstat(path, &st) == 0;
        if (there && S_ISDIR(st.st_mode) && depth > 0) {
            rc = count_files(path, depth - 1, files, f);
            continue;
        }
        if (!there || !S_ISREG(st.st_mode))
            rn_findings_add(f, RN_BAD, RN_K_ENTRY, path, "%s: not a file", path);
        else if (st.st_size == 0)
            rn_findings_add(f, RN_BAD, RN_K_EMPTY, path, "%s: empty", path);
        *files += there && S_ISREG(st.st_mode);
    }
    rn_free_names(names, n);
    return rc;
}

int rn_verify_boxes(const char *root, rn_findings *f)
{
    char path[4096];
    for (int s = RN_NSPLITS; s < RN_NPARTS; s++) {
        uint64_t files = 0;
        RN_TRY(rn_path_join(path, sizeof path, root, rn_split_names[s]));
        bool there = rn_is_dir(path);
        if (there)
            RN_TRY(count_files(path, 3, &files, f));
        rn_verify_state(root, (enum rn_split)s, there, files, f);
    }
    return RN_OK;
}
