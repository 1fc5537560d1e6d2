/* SPDX-License-Identifier: MIT */
/* A recipe: what parses and passes its checks is written out and read back as the same recipe. */
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "fuzz.h"
#include "run/recipe/rn_recipe.h"

static int parse(const char *text, rn_recipe *r, rn_opt rows[RN_RECIPE_MAX_ROWS], int *nrows, rn_opt_result *res)
{
    *res = (rn_opt_result){0};
    rn_recipe_defaults(r);
    *nrows = rn_recipe_rows(r, rows);
    const rn_opt_spec spec = {.tool = "fuzz", .synopsis = "", .opts = rows, .nopts = *nrows};
    return rn_opt_parse_text(&spec, "recipe", text, res);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    rn_recipe r, again;
    rn_opt rows[RN_RECIPE_MAX_ROWS], more[RN_RECIPE_MAX_ROWS];
    rn_opt_result res, res2;
    rn_buf out = {0}, back = {0};
    char names[256];
    int nrows;
    if (memchr(data, 0, n))
        return 0;
    char *text = strndup((const char *)data, n);
    RN_FUZZ_CHECK(text != NULL);
    if (parse(text, &r, rows, &nrows, &res) == RN_OK && rn_recipe_check(&r) == RN_OK &&
        rn_recipe_text(rows, nrows, &out) == RN_OK) { /* "x=#y" can be read, but not be written as "x = #y" */
        RN_FUZZ_CHECK(parse((const char *)out.data, &again, more, &nrows, &res2) == RN_OK);
        RN_FUZZ_CHECK(rn_recipe_text(more, nrows, &back) == RN_OK);
        RN_FUZZ_CHECK(rn_recipe_diff((const char *)out.data, (const char *)back.data, names, sizeof names) == 0);
        rn_opt_free(&res2);
    }
    rn_opt_free(&res);
    rn_buf_free(&out);
    rn_buf_free(&back);
    free(text);
    return 0;
}
