/* SPDX-License-Identifier: MIT */
/* The published names in a folder of archives. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/meta/rn_devkit.h"
#include "data/meta/rn_manifest.h"

static int find(const char *dir, const char *name, char out[1024])
{
    RN_TRY(rn_path_join(out, 1024, dir, name));
    if (!rn_is_file(out))
        out[0] = 0;
    return RN_OK;
}

int rn_raw_find(const char *dir, rn_raw_set *out)
{
    memset(out, 0, sizeof *out);
    if (!rn_is_dir(dir))
        return rn_fail(RN_E_NOENT, "%s: no such folder; give the one that holds ILSVRC2012_img_train.tar", dir);
    RN_TRY(find(dir, "ILSVRC2012_img_train.tar", out->train));
    RN_TRY(find(dir, "ILSVRC2012_img_val.tar", out->val));
    /* The test set was reissued in October 2019, a few images replaced; the newer one is taken if both are there. */
    RN_TRY(find(dir, "ILSVRC2012_img_test_v10102019.tar", out->test));
    if (!out->test[0])
        RN_TRY(find(dir, "ILSVRC2012_img_test.tar", out->test));
    RN_TRY(find(dir, "ILSVRC2012_devkit_t12.tar.gz", out->devkit));
    return find(dir, "MD5SUMS", out->md5sums);
}

int rn_raw_class_tars(const char *dir, char advice[256])
{
    struct dirent **names;
    int n, found = 0;
    const char *first = "";
    advice[0] = 0;
    if (rn_list_folder(AT_FDCWD, dir, &names, &n) < 0)
        return 0;
    for (int i = 0; i < n; i++)
        if (rn_is_class_tar(names[i]->d_name)) {
            first = found ? first : names[i]->d_name;
            found++;
        }
    if (found)
        snprintf(advice, 256,
                 ", but %d tar%s of single classes (%.13s%s); one archive of them: (cd DIR && tar cf "
                 "ILSVRC2012_img_train.tar n????????.tar)",
                 found, found == 1 ? "" : "s", first, found == 1 ? "" : " ...");
    rn_free_names(names, n);
    return found;
}
