/* SPDX-License-Identifier: MIT */
#include "op/rn_verdicts.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

static const rn_verdict *find(const rn_verdicts *v, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir)
{
    for (int i = 0; i < v->n; i++) {
        const rn_verdict *at = &v->list[i];
        if (at->algo == algo && at->dir == dir && memcmp(&at->d, d, sizeof *d) == 0)
            return at;
    }
    return NULL;
}

static int note(rn_verdicts *v, const rn_verdict *one)
{
    rn_verdict *more = realloc(v->list, ((size_t)v->n + 1) * sizeof *more);

    if (!more)
        return rn_fail(RN_E_NOMEM, "selector: out of memory");
    v->list = more;
    more[v->n++] = *one;
    return RN_OK;
}

static int try_all(rn_verdicts *v, rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, const rn_candidate *tried,
                   int n, rn_candidate *right)
{
    int nright = n;

    memcpy(right, tried, (size_t)n * sizeof *right);
    RN_TRY(rn_measure_agreeing(be, d, dir, right, &nright));
    for (int i = 0, at = 0; i < n; i++) { /* in their order */
        const bool is_right = at < nright && right[at].algo == tried[i].algo;
        RN_TRY(note(v, &(rn_verdict){.algo = tried[i].algo, .d = *d, .dir = dir, .right = is_right}));
        at += is_right;
    }
    return RN_OK;
}

int rn_verdicts_leave_right(rn_verdicts *v, rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir, rn_candidate *c,
                            int *n)
{
    int ntried = 0, kept = 0, rc = RN_OK;

    if (!be->sync || *n == 0)
        return RN_OK;
    rn_candidate *tried = malloc(2 * (size_t)*n * sizeof *tried);
    if (!tried)
        return rn_fail(RN_E_NOMEM, "selector: out of memory");
    for (int i = 0; i < *n; i++) {
        if (!find(v, c[i].algo, d, dir))
            tried[ntried++] = c[i];
    }
    RN_GO(try_all(v, be, d, dir, tried, ntried, tried + *n));
    for (int i = 0; i < *n; i++) {
        if (!rn_verdicts_against(v, c[i].algo, d, dir))
            c[kept++] = c[i];
    }
    *n = kept;
out:
    free(tried);
    return rc;
}

bool rn_verdicts_against(const rn_verdicts *v, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir)
{
    const rn_verdict *one = find(v, algo, d, dir);

    return one && !one->right;
}

void rn_verdicts_free(rn_verdicts *v)
{
    free(v->list);
    *v = (rn_verdicts){0};
}
