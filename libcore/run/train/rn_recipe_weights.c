/* SPDX-License-Identifier: MIT */
#include "run/train/rn_recipe_weights.h"

#include <string.h>

#include "base/rn_error.h"
#include "run/save/rn_weightfile.h"

static const char *const keys[] = {"arch",       "variant", "se",  "se-round",   "stem",      "width", "channels",
                                   "image-size", "mean",    "std", "val-resize", "precision", "crop",  NULL};

/* Those lines of a recipe that are about the model and its images. */
static int lines_of_recipe(const char *recipe, rn_buf *out)
{
    for (const char *p = recipe; *p; p += strcspn(p, "\n"), p += *p == '\n')
        for (int i = 0; keys[i]; i++) {
            size_t n = strlen(keys[i]);
            if (strncmp(p, keys[i], n) == 0 && strncmp(p + n, " = ", 3) == 0)
                RN_TRY(rn_buf_printf(out, "%.*s\n", (int)strcspn(p, "\n"), p));
        }
    return RN_OK;
}

static int lines_of_tensors(const rn_st_file *f, rn_buf *out)
{
    static const char *const stems[] = {"imagenet", "cifar"};
    rn_model_spec m = {0};
    RN_TRY(rn_weightfile_guess(f, &m));
    return rn_buf_printf(
        out, "arch = %s\nvariant = %s\nse = %d\nse-round = %d\nstem = %s\nwidth = %.17g\nchannels = %d\n", m.arch,
        rn_variant_names[m.variant], m.se, m.se_round ? m.se_round : 1, stems[m.stem], m.width, m.channels);
}

int rn_recipe_weights_lines(const rn_st_file *f, rn_buf *out, bool *guessed)
{
    const char *recipe = rn_st_meta(f, "rnkit.recipe");
    *guessed = !recipe;
    RN_TRY(recipe ? lines_of_recipe(recipe, out) : lines_of_tensors(f, out));
    return rn_buf_append(out, "", 1);
}

int rn_recipe_weights(const rn_st_file *f, rn_recipe *out, rn_opt_result *owned)
{
    rn_opt rows[RN_RECIPE_MAX_ROWS];
    rn_buf lines = {0};
    bool guessed;
    *owned = (rn_opt_result){0};
    rn_recipe_defaults(out);
    const rn_opt_spec spec = {.tool = "rn-train", .opts = rows, .nopts = rn_recipe_rows(out, rows)};
    int rc = rn_recipe_weights_lines(f, &lines, &guessed);
    if (rc >= 0)
        rc = rn_opt_parse_text(&spec, rn_st_path(f), (const char *)lines.data, owned);
    out->net_text = rn_st_meta(f, "rnkit.net");
    out->mean_text = rn_st_meta(f, "rnkit.mean-image");
    rn_buf_free(&lines);
    return rc;
}

int rn_recipe_weights_classes(const rn_st_file *f, const char **wnids)
{
    rn_model_spec m = {0};
    int n = 0;
    *wnids = rn_st_meta(f, "rnkit.wnids");
    if (!*wnids)
        return rn_weightfile_guess(f, &m) < 0 ? 0 : m.classes;
    for (const char *p = *wnids; *p; p += strcspn(p, " "), p += strspn(p, " "))
        n++;
    return n;
}
