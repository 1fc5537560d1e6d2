/* SPDX-License-Identifier: MIT */
#include "data/make/rn_mk_devkit.h"

#include <stdlib.h>

#include "base/rn_error.h"
#include "data/meta/rn_mat.h"

enum { NINNER = 3 }; /* the root comes first, as in the real kit, then two groups with half the classes each */

int rn_mk_meta(const rn_mk_source *s, const uint32_t *ids, const uint32_t *ntrain, rn_buf *out)
{
    static char wnid[NINNER][16] = {"n00001740", "n99999998", "n99999999"};
    static char words[NINNER][16] = {"entity", "first half", "second half"};
    int n = s->nclasses, half = n / 2, rc;
    double root_children[2] = {n + 2, n + 3};
    rn_mat_synset *rows = calloc((size_t)n + NINNER, sizeof *rows);
    const double **children = calloc((size_t)n + NINNER, sizeof *children);
    double *heights = calloc((size_t)n + NINNER, sizeof *heights), *all = malloc((size_t)n * sizeof *all);
    if (!rows || !children || !heights || !all)
        RN_GO(rn_fail(RN_E_NOMEM, "out of memory"));
    for (int c = 0; c < n; c++) {
        rows[ids[c] - 1] = (rn_mat_synset){ids[c], 0, ntrain[c], s->wnid[c], s->words[c], s->words[c]};
        all[c] = c + 1;
    }
    for (int i = 0; i < NINNER; i++) {
        rows[n + i] = (rn_mat_synset){n + 1 + i, 2, 0, wnid[i], words[i], words[i]};
        heights[n + i] = 1;
    }
    heights[n] = 2;
    children[n] = root_children;
    /* One class makes a group of none: both groups then hold it. */
    rows[n + 1].num_children = half > 0 ? half : 1;
    children[n + 1] = all;
    rows[n + 2].num_children = n - half;
    children[n + 2] = all + half;
    rc = rn_mat_write_synsets(rows, n + NINNER, children, heights, out);
out:
    free(rows);
    free(children);
    free(heights);
    free(all);
    return rc;
}
