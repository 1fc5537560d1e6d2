/* SPDX-License-Identifier: MIT */
/* The published names in a folder of archives. */
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/meta/rn_devkit.h"

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
