/* SPDX-License-Identifier: MIT */
#include "run/use/rn_use.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "run/recipe/rn_recipe_mean.h"
#include "run/save/rn_weightfile.h"
#include "run/train/rn_recipe_weights.h"

/* ---- settings ---- */

/* Of the recipe's rows those about the model, what it is given, and the machine. */
static bool is_shown(const char *name)
{
    static const char *const names[] = {"arch",      "variant",    "se",      "se-round", "stem",    "width",
                                        "channels",  "image-size", "mean",    "std",      "weights", "val-resize",
                                        "precision", "device",     "threads", "algo"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

void rn_use_rows(rn_use_settings *s, const rn_opt *own, int nown)
{
    rn_opt all[RN_RECIPE_MAX_ROWS];
    int n = 0;
    rn_recipe_defaults(&s->recipe);
    for (int i = 0; i < nown; i++)
        s->rows[n++] = own[i];
    s->rows[n++] = (rn_opt){RN_OPT_TEXT,
                            "weights",
                            "FILE",
                            &s->recipe.weights,
                            "Trained weights: safetensors, of rn-train or with torchvision's or timm's names.",
                            NULL,
                            0,
                            0};
    s->rows[n++] =
        (rn_opt){RN_OPT_TEXT,
                 "classes",
                 "FILE",
                 &s->classes_file,
                 "Names of the classes, one a line in label order (`n01440764 tench` or just a name), where the "
                 "weights carry none.",
                 NULL,
                 0,
                 0};
    s->rows[n++] = (rn_opt){RN_OPT_GROUP,
                            "Model, images and machine (the weights file says what is not given)",
                            NULL,
                            NULL,
                            NULL,
                            NULL,
                            0,
                            0};
    const int nall = rn_recipe_rows(&s->recipe, all);
    for (int i = 0; i < nall; i++)
        if (all[i].type != RN_OPT_GROUP && strcmp(all[i].name, "weights") != 0 && is_shown(all[i].name))
            s->rows[n++] = all[i];
    s->spec.opts = s->rows;
    s->spec.nopts = n;
}

void rn_use_free(rn_use_settings *s)
{
    rn_opt_free(&s->file_args);
}

/* ---- what the file says ---- */

/* The keys go through the recipe's whole table, of which the command shows a part; what was given there wins. */
static int take_lines(rn_use_settings *s, const rn_st_file *f, const char *lines)
{
    rn_opt all[RN_RECIPE_MAX_ROWS];
    const rn_opt_spec spec = {.tool = s->spec.tool, .opts = all, .nopts = rn_recipe_rows(&s->recipe, all)};
    for (int i = 0; i < spec.nopts; i++)
        if (all[i].type != RN_OPT_GROUP && is_shown(all[i].name) && rn_opt_seen(&s->spec, &s->args, all[i].name))
            s->file_args.seen[i / 64] |= (uint64_t)1 << (i % 64);
    return rn_opt_parse_text(&spec, rn_st_path(f), lines, &s->file_args);
}

static int take_model(rn_use_settings *s, const rn_st_file *f)
{
    rn_buf lines = {0};
    bool guessed = false;
    if (rn_opt_seen(&s->spec, &s->args, "arch") && !rn_st_meta(f, "rnkit.recipe"))
        return RN_OK;
    int rc = rn_recipe_weights_lines(f, &lines, &guessed);
    if (rc < 0)
        rc = rn_fail(rc, "%s; give --arch", rn_error_text());
    else
        rc = take_lines(s, f, (const char *)lines.data);
    if (rc >= 0 && guessed)
        rn_info("%s: taken for %s by its tensors, images of %d pixels", rn_st_path(f), rn_model_names()[s->recipe.arch],
                (int)s->recipe.image_size);
    rn_buf_free(&lines);
    return rc;
}

/* Of a file that names no classes: what the last layer tells apart. */
static int count_classes(const rn_st_file *f)
{
    const char *wnids;
    const rn_st_tensor *fc = rn_st_find(f, "fc.weight");
    int n = rn_recipe_weights_classes(f, &wnids);
    return n > 0 ? n : fc && fc->nd == 2 && fc->dim[0] <= 1 << 20 ? (int)fc->dim[0] : 0;
}

static int take_classes(rn_use *u)
{
    const char *given = u->s->classes_file, *path = rn_st_path(u->file);
    const bool known = rn_st_meta(u->file, "rnkit.classes") != NULL;
    RN_TRY(given ? rn_classes_of_file(given, &u->names) : rn_classes_of_weights(u->file, &u->names));
    u->classes = known && !given ? u->names.n : count_classes(u->file);
    if (u->classes == 0)
        u->classes = u->names.n;
    if (u->classes < 2)
        return rn_fail(RN_E_MISMATCH, "%s does not say how many classes it tells apart: give --classes FILE", path);
    if (u->names.n && u->names.n != u->classes)
        return rn_fail(RN_E_MISMATCH, "%s names %d classes, %s has %d", given ? given : path, u->names.n, path,
                       u->classes);
    return RN_OK;
}

/* ---- the whole ---- */

static int read_file(rn_use_settings *s, rn_use *u)
{
    if (!s->recipe.weights)
        return rn_fail(RN_E_USAGE, "give --weights FILE: a run's weights.safetensors or best.safetensors");
    RN_TRY(rn_st_open(s->recipe.weights, &u->file, NULL));
    RN_TRY(take_model(s, u->file));
    s->recipe.net_text = rn_st_meta(u->file, "rnkit.net");
    if (!s->recipe.mean)
        s->recipe.mean_text = rn_st_meta(u->file, "rnkit.mean-image");
    RN_TRY(rn_recipe_check(&s->recipe));
    return take_classes(u);
}

int rn_use_read(rn_use_settings *s, rn_use *out)
{
    *out = (rn_use){.s = s};
    int rc = read_file(s, out);
    if (rc < 0)
        rn_use_close(out);
    return rc;
}

static int open_net(rn_use *u, const rn_backend_entry *backends, int batch)
{
    static const rn_dtype dtypes[] = {RN_F32, RN_BF16, RN_F16}; /* in the order of --precision */
    const rn_recipe *r = &u->s->recipe;
    const int threads = r->threads > 0 ? (int)r->threads : rn_jobs(u->s->args.common.jobs);
    const rn_backend_opts be = {.threads = threads};
    float mean[3], std[3], *mean_image;
    rn_model_spec model;
    RN_TRY(rn_recipe_pixels(r, mean, std));
    RN_TRY(rn_recipe_model(r, u->classes, &model));
    rn_net_opts opts = {.batch = batch,
                        .dtype = dtypes[r->precision],
                        .select = {.mode = RN_SELECT_ORDER, .pattern = r->algo},
                        .mean = mean,
                        .std = std};
    int rc = rn_backend_open(backends, rn_recipe_devices[r->device], &be, &u->be);
    if (rc == RN_E_USAGE) /* a device we know of, but not in this build */
        return rn_fail(RN_E_ABSENT, "%s", rn_error_text());
    RN_TRY(rc);
    RN_TRY(rn_recipe_mean_image(r, &opts, &mean_image));
    rc = rn_net_open(u->be, &model, &opts, &u->net);
    free(mean_image);
    RN_TRY(rc);
    return rn_weightfile_load(u->net, u->be, RN_WEIGHTFILE_VALUES, u->file);
}

int rn_use_open(rn_use_settings *s, const rn_backend_entry *backends, int batch, rn_use *out)
{
    RN_TRY(rn_use_read(s, out));
    int rc = open_net(out, backends, batch);
    if (rc < 0)
        rn_use_close(out);
    return rc;
}

void rn_use_close(rn_use *u)
{
    rn_net_close(u->net);
    rn_backend_close(u->be);
    rn_st_close(u->file);
    rn_classes_free(&u->names);
    *u = (rn_use){0};
}
