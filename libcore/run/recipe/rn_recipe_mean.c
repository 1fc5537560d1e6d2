/* SPDX-License-Identifier: MIT */
#include "run/recipe/rn_recipe_mean.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_base64.h"
#include "base/rn_error.h"
#include "data/load/rn_loader.h"
#include "data/pack/rn_mean.h"

/* ---- text ---- */

/* Blue, green, red in planes to red, green, blue in pixels. */
static float *interleaved(const rn_mean *m)
{
    const size_t plane = (size_t)m->height * (size_t)m->width, c = (size_t)m->channels;
    float *px = malloc(plane * c * sizeof *px);
    for (size_t i = 0; px && i < plane * c; i++)
        px[i] = m->data[(c - 1 - i % c) * plane + i / c];
    return px;
}

int rn_recipe_mean_read(const char *path, char **text)
{
    rn_mean m;
    rn_buf b = {0};
    float *px = NULL;
    int rc;
    *text = NULL;
    RN_TRY(rn_mean_read(path, &m));
    if (m.height > RN_MEAN_IMAGE_MAX || m.width > RN_MEAN_IMAGE_MAX)
        RN_GO(rn_fail(RN_E_UNSUPPORTED, "%s: a mean image of %d x %d pixels; at most %d a side are supported", path,
                      m.width, m.height, RN_MEAN_IMAGE_MAX));
    px = interleaved(&m);
    if (!px)
        RN_GO(rn_fail(RN_E_NOMEM, "%s: no memory for a mean image", path));
    RN_GO(rn_buf_printf(&b, "%d %d %d ", m.height, m.width, m.channels));
    RN_GO(rn_base64_put(&b, px, (size_t)m.height * (size_t)m.width * (size_t)m.channels * sizeof *px));
    RN_GO(rn_buf_append(&b, "", 1));
    *text = (char *)b.data;
    b = (rn_buf){0};
out:
    rn_buf_free(&b);
    free(px);
    free(m.data);
    return rc;
}

/* "H W C " at the beginning; *rest is what follows. */
static int read_size(const char *text, int size[3], const char **rest)
{
    for (int i = 0; i < 3; i++) {
        char word[8];
        int64_t v;
        const size_t n = strcspn(text, " ");
        if (n == 0 || n >= sizeof word || text[n] != ' ')
            return rn_fail(RN_E_FORMAT, "the mean image does not begin with its height, width and channels");
        memcpy(word, text, n);
        word[n] = 0;
        RN_TRY(rn_parse_i64(word, 1, i < 2 ? RN_MEAN_IMAGE_MAX : 3, &v));
        size[i] = (int)v;
        text += n + 1;
    }
    *rest = text;
    return RN_OK;
}

int rn_recipe_mean_size(const char *text, int *h, int *w, int *c)
{
    int size[3];
    const char *rest;
    RN_TRY(read_size(text, size, &rest));
    *h = size[0];
    *w = size[1];
    *c = size[2];
    return RN_OK;
}

int rn_recipe_mean_image(const rn_recipe *r, rn_net_opts *o, float **owned)
{
    int size[3];
    const char *rest;
    *owned = NULL;
    o->mean_image = NULL;
    o->mean_h = o->mean_w = 0;
    if (!r->mean_text)
        return RN_OK;
    RN_TRY(read_size(r->mean_text, size, &rest));
    const size_t n = (size_t)size[0] * (size_t)size[1] * (size_t)size[2];
    float *px = malloc(n * sizeof *px);
    int rc = px ? rn_base64_get(rest, px, n * sizeof *px) : rn_fail(RN_E_NOMEM, "no memory for the mean image");
    for (size_t i = 0; rc == RN_OK && i < n; i++)
        if (!isfinite(px[i]))
            rc = rn_fail(RN_E_FORMAT, "value %zu is not finite", i);
    if (rc < 0) {
        free(px);
        return rn_fail_prefix(rc, "mean image");
    }
    *owned = px;
    o->mean_image = px;
    o->mean_h = size[0];
    o->mean_w = size[1];
    return RN_OK;
}

/* ---- what goes with it ---- */

static int check_size(const rn_recipe *r)
{
    int h, w, c;
    RN_TRY(rn_recipe_mean_size(r->mean_text, &h, &w, &c));
    const char *file = r->mean_image ? r->mean_image : "of the weights";
    if (c != (int)r->channels)
        return rn_fail(RN_E_USAGE, "--mean-image %s has %d channels, the images %d (--channels)", file, c,
                       (int)r->channels);
    if (r->image_size > h || r->image_size > w)
        return rn_fail(RN_E_USAGE,
                       "--mean-image %s has %d x %d pixels, less than the images of --image-size %d: it is that of "
                       "the stored images, which these are windows of",
                       file, w, h, (int)r->image_size);
    if (r->crop == RN_CROP_NONE && (r->image_size != h || r->image_size != w))
        return rn_fail(RN_E_USAGE,
                       "--mean-image %s has %d x %d pixels, the images of --crop none %d x %d (--image-size)", file, w,
                       h, (int)r->image_size, (int)r->image_size);
    return RN_OK;
}

int rn_recipe_check_mean(const rn_recipe *r)
{
    if (!r->mean_text)
        return r->mean_image ? rn_fail(RN_E_USAGE, "--mean-image is for training and evaluation: leave it out here")
                             : RN_OK;
    if (r->mean)
        return rn_fail(RN_E_USAGE, "--mean and --mean-image both say what is subtracted: leave one of them out");
    if (r->crop != RN_CROP_WINDOW && r->crop != RN_CROP_NONE)
        return rn_fail(RN_E_USAGE, "--mean-image is taken at each pixel's place in the stored image, which is lost "
                                   "when crops are resized or padded: give --crop window or none");
    if (r->val_resize)
        return rn_fail(RN_E_USAGE, "--mean-image is of the images as they are stored: give --val-resize 0");
    if (r->mixup > 0 || r->cutout > 0)
        return rn_fail(RN_E_USAGE, "--mean-image and --%s do not go together: give --mean in its place",
                       r->mixup > 0 ? "mixup" : "cutout");
    return check_size(r);
}
