/* SPDX-License-Identifier: MIT */
#include "data/verify/rn_verify_labels.h"

#include <stdlib.h>

#include "base/rn_error.h"

/* The label that more than half of each class's images bear (Boyer and Moore's vote, then counted); its own if there is
 * none. */
static void vote(const rn_labelled *s, int32_t *most, int32_t *votes)
{
    for (uint32_t i = 0; i < s->n; i++) {
        int32_t c = s->of[i];
        if (c >= 0 && votes[c] == 0)
            most[c] = s->label[i];
        if (c >= 0)
            votes[c] += most[c] == s->label[i] ? 1 : -1;
    }
    for (int c = 0; c < s->nclasses; c++)
        votes[c] = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->of[i] >= 0)
            votes[s->of[i]] += most[s->of[i]] == s->label[i] ? 1 : -1;
    for (int c = 0; c < s->nclasses; c++)
        if (votes[c] <= 0)
            most[c] = c;
}

/* Where labels may be from when they are not in order. */
static const char *guess(const rn_labelled *s, const int32_t *most)
{
    bool from_one = true, permuted = true;
    char *used = calloc((size_t)s->nclasses + 2, 1);
    for (int c = 0; c < s->nclasses; c++) {
        from_one &= most[c] == c + 1;
        permuted = permuted && used && most[c] >= 0 && most[c] <= s->nclasses && !used[most[c]];
        if (permuted)
            used[most[c]] = 1;
    }
    free(used);
    return from_one   ? "; all of them count from 1"
           : permuted ? "; they are another order of the classes: the devkit's ids?"
                      : "";
}

static bool rises(const rn_labelled *s, const int32_t *most)
{
    bool from_one = true;
    for (int c = 0; c < s->nclasses; c++) {
        if (c > 0 && most[c - 1] >= most[c])
            return false;
        from_one &= most[c] == c + 1;
    }
    return !from_one;
}

static void report(const rn_labelled *s, const int32_t *most, rn_findings *f)
{
    const char *why = guess(s, most);
    bool fine = s->gaps && rises(s, most);
    for (int c = 0; c < s->nclasses && !fine; c++)
        if (most[c] != c)
            rn_findings_add(f, s->level, RN_K_LABEL_ORDER, s->class[c],
                            "%s: class %s has label %d, over the sorted names it is %d%s", s->where, s->class[c],
                            most[c], c, why);
    for (uint32_t i = 0; i < s->n; i++) {
        int32_t c = s->of[i];
        if (c >= 0 && (fine || s->label[i] != c) && s->label[i] != most[c])
            rn_findings_add(f, s->level, RN_K_LABEL, s->name(s->arg, i), "%s: %s has label %d, its class %s is %d",
                            s->where, s->name(s->arg, i), s->label[i], s->class[c], fine ? most[c] : c);
    }
}

int rn_labels_check(const rn_labelled *s, rn_findings *f)
{
    int32_t *most = calloc((size_t)s->nclasses + 1, sizeof *most),
            *votes = calloc((size_t)s->nclasses + 1, sizeof *votes);
    int rc = most && votes ? RN_OK : rn_fail(RN_E_NOMEM, "%s: out of memory", s->where);
    if (rc == RN_OK) {
        vote(s, most, votes);
        report(s, most, f);
    }
    free(most);
    free(votes);
    return rc;
}
