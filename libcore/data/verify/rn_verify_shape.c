/* SPDX-License-Identifier: MIT */
#include "data/verify/rn_verify_shape.h"

#include <stdio.h>
#include <string.h>

static const char *name_of(const rn_counted *c, int i)
{
    return c->class[i].name + c->prefix;
}

const rn_shape *rn_shape_for(const rn_verify_opts *opts, const char *split, const rn_counted *c)
{
    if (opts->manifest && opts->manifest != rn_manifest_builtin())
        return rn_manifest_shape(opts->manifest, split);
    const rn_shape *s = rn_manifest_shape(rn_manifest_builtin(), split);
    if (!s || opts->manifest)
        return s;
    if (s->classes <= 0 || c->nclasses != s->classes)
        return NULL;
    for (int i = 0; i < c->nclasses; i++)
        if (!rn_is_wnid(name_of(c, i)))
            return NULL;
    return s;
}

static void differs(const rn_counted *c, enum rn_level level, const char *what, uint64_t have, int64_t want,
                    rn_findings *f)
{
    if (want >= 0 && have != (uint64_t)want)
        rn_findings_add(f, level, RN_K_COUNT, c->where, "%s: has %llu %s, there should be %lld", c->where,
                        (unsigned long long)have, what, (long long)want);
}

/* Both in the order of names. */
static void compare_classes(const rn_shape *s, const rn_counted *c, bool exact, rn_findings *f)
{
    for (int i = 0, j = 0; i < c->nclasses || j < s->nper;) {
        int order = i == c->nclasses ? 1 : j == s->nper ? -1 : strcmp(name_of(c, i), s->per[j].name);
        const char *name = order > 0 ? s->per[j].name : name_of(c, i);
        if (order < 0)
            rn_findings_add(f, RN_BAD, RN_K_EXTRA, name, "%s: class %s should not be there", c->where, name);
        else if (order > 0)
            rn_findings_add(f, RN_BAD, RN_K_MISSING, name, "%s: class %s is missing", c->where, name);
        else if (exact && c->class[i].images != (uint64_t)s->per[j].images)
            rn_findings_add(f, RN_BAD, RN_K_COUNT, name, "%s: class %s has %llu images, there should be %lld", c->where,
                            name, (unsigned long long)c->class[i].images, (long long)s->per[j].images);
        i += order <= 0;
        j += order >= 0;
    }
}

/* Where single classes are not known, those outside the range at least can be named. */
static void compare_range(const rn_shape *s, const rn_counted *c, enum rn_level level, rn_findings *f)
{
    char want[64];
    if (s->least == s->most)
        snprintf(want, sizeof want, "%lld", (long long)s->least);
    else
        snprintf(want, sizeof want, "%lld..%lld", (long long)s->least, (long long)s->most);
    for (int i = 0; i < c->nclasses && s->least >= 0 && s->most >= 0; i++)
        if (c->class[i].images < (uint64_t)s->least || c->class[i].images > (uint64_t)s->most)
            rn_findings_add(f, level, RN_K_COUNT, name_of(c, i), "%s: class %s has %llu images, there should be %s",
                            c->where, name_of(c, i), (unsigned long long)c->class[i].images, want);
}

void rn_shape_compare(const rn_verify_opts *opts, const rn_shape *s, const rn_counted *c, uint64_t beside,
                      rn_findings *f)
{
    bool meant = opts->manifest || s->images < 0 || c->images + beside >= (uint64_t)s->images / 10 * 9;
    enum rn_level level = meant ? RN_BAD : RN_NOTE;
    differs(c, level, "images", c->images + beside, s->images, f);
    if (c->nclasses > 0)
        differs(c, level, "classes", (uint64_t)c->nclasses, s->classes, f);
    if (c->nclasses > 0 && s->nper > 0)
        compare_classes(s, c, beside == 0, f);
    else if (meant && beside == 0)
        compare_range(s, c, level, f);
}
