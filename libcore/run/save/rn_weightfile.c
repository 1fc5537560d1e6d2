/* SPDX-License-Identifier: MIT */
#include "run/save/rn_weightfile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/graph/rn_param.h"

static const char running_var[] = ".running_var", tracked[] = ".num_batches_tracked";

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

static bool is_buffer(const rn_param *p)
{
    return p->kind == RN_PARAM_RUNNING_MEAN || p->kind == RN_PARAM_RUNNING_VAR;
}

/* The part of a parameter that `what` names; NULL if it has none. */
static float *part(const rn_param *p, enum rn_weightfile_what what)
{
    return what == RN_WEIGHTFILE_VALUES ? p->value : is_buffer(p) ? NULL : p->momentum;
}

static int check_finite(const char *name, const float *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return rn_fail(RN_E_MISMATCH, "%s[%lld] is %g: not finite", name, (long long)i, (double)v[i]);
    return RN_OK;
}

/* Host copy in the file's layout; malloc'ed. */
static int fetch(rn_backend *be, const rn_param *p, const float *dev, float **out)
{
    size_t bytes = (size_t)p->count * sizeof(float);
    float *mem = malloc(bytes), *file = rn_param_permuted(p) ? malloc(bytes) : NULL;
    int rc = RN_OK;
    if (!mem || (rn_param_permuted(p) && !file))
        rc = rn_fail(RN_E_NOMEM, "no memory to copy %s", p->name);
    if (rc == RN_OK)
        rc = be->copy(be, mem, dev, bytes, RN_COPY_D2H, NULL);
    if (rc == RN_OK && be->sync)
        rc = be->sync(be, NULL);
    if (rc == RN_OK)
        rc = check_finite(p->name, mem, p->count);
    if (rc < 0) {
        free(mem);
        free(file);
        return rc;
    }
    if (file) {
        rn_param_to_file(p, mem, file);
        free(mem);
    }
    *out = file ? file : mem;
    return RN_OK;
}

int rn_weightfile_build(rn_net *net, rn_backend *be, enum rn_weightfile_what what, int64_t batches,
                        const rn_weightfile_meta *meta, int nmeta, rn_buf *out)
{
    int n = rn_net_nparams(net), rc;
    rn_st_writer *w = NULL;
    float **host = calloc((size_t)n + 1, sizeof *host);
    if (!host)
        return rn_fail(RN_E_NOMEM, "no memory to write the weights");
    RN_GO(rn_st_writer_open(&w));
    for (int i = 0; i < nmeta; i++)
        RN_GO(rn_st_add_meta(w, meta[i].key, meta[i].text));
    for (int i = 0; i < n; i++) {
        const rn_param *p = rn_net_param(net, i);
        int64_t dim[4];
        if (!part(p, what))
            continue;
        RN_GO(fetch(be, p, part(p, what), &host[i]));
        RN_GO(rn_st_add(w, p->name, RN_ST_F32, rn_param_file_dims(p, dim), dim, host[i]));
        if (what == RN_WEIGHTFILE_VALUES && p->kind == RN_PARAM_RUNNING_VAR && ends_with(p->name, running_var)) {
            char name[128];
            snprintf(name, sizeof name, "%.*s%s", (int)(strlen(p->name) - strlen(running_var)), p->name, tracked);
            RN_GO(rn_st_add(w, name, RN_ST_I64, 0, NULL, &batches));
        }
    }
    rc = rn_st_build(w, out);
out:
    rn_st_writer_close(w);
    for (int i = 0; i < n; i++)
        free(host[i]);
    free(host);
    return rc;
}

/* ---- loading ---- */

static void shape_text(int nd, const int64_t *dim, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < nd && at < cap; i++)
        at += (size_t)snprintf(out + at, cap - at, "%s%lld", i ? "x" : "", (long long)dim[i]);
}

static bool same_shape(const rn_param *p, const rn_st_tensor *t)
{
    int64_t dim[4];
    int nd = rn_param_file_dims(p, dim);
    return t->nd == nd && memcmp(t->dim, dim, (size_t)nd * sizeof *dim) == 0;
}

/* Names of tensors, the first few of them. */
typedef struct name_list {
    char text[400];
    int n, most;
} name_list;

static void add_name(name_list *l, const char *name)
{
    const size_t at = strlen(l->text);
    if (l->n++ < l->most)
        snprintf(l->text + at, sizeof l->text - at, "%s%.80s", at ? ", " : "", name);
    else if (l->n == l->most + 1)
        snprintf(l->text + at, sizeof l->text - at, ", ...");
}

/* What a file has too little, too much, and in another shape. */
typedef struct difference {
    name_list missing, extra, shapes; /* shapes: all but the first */
    const rn_param *first;            /* of another shape */
} difference;

static difference compare(rn_net *net, enum rn_weightfile_what what, const rn_st_file *f)
{
    difference d = {.missing = {.most = 4}, .extra = {.most = 4}, .shapes = {.most = 3}};
    for (int i = 0; i < rn_net_nparams(net); i++) {
        const rn_param *p = rn_net_param(net, i);
        const rn_st_tensor *t = part(p, what) ? rn_st_find(f, p->name) : NULL;
        if (part(p, what) && !t)
            add_name(&d.missing, p->name);
        if (!t || same_shape(p, t))
            continue;
        if (d.first)
            add_name(&d.shapes, p->name);
        else
            d.first = p;
    }
    for (int i = 0; i < rn_st_count(f); i++) {
        const char *name = rn_st_at(f, i)->name;
        if (!rn_net_find(net, name) && !ends_with(name, tracked))
            add_name(&d.extra, name);
    }
    return d;
}

static void shapes_of(const rn_param *p, const rn_st_file *f, char have[96], char want[96])
{
    int64_t dim[4];
    const rn_st_tensor *t = rn_st_find(f, p->name);
    shape_text(t->nd, t->dim, have, 96);
    shape_text(rn_param_file_dims(p, dim), dim, want, 96);
}

/* All tensors have the right names. */
static int refuse_shapes(const difference *d, const rn_st_file *f)
{
    char have[96], want[96], others[448] = "";
    const char *name = d->first->name, *why = "the weights are of another architecture, width or stem";
    shapes_of(d->first, f, have, want);
    if (d->shapes.n)
        snprintf(others, sizeof others, " (and %d more differ%s: %s)", d->shapes.n, d->shapes.n == 1 ? "s" : "",
                 d->shapes.text);
    if (strncmp(name, "fc.", 3) == 0)
        why = "the weights were trained on another number of classes than the data have";
    else if (strcmp(name, "conv1.weight") == 0)
        why = "check --stem, --channels and --width";
    return rn_fail(RN_E_MISMATCH, "%s: tensor %s is %s, the model has %s%s: %s", rn_st_path(f), name, have, want,
                   others, why);
}

static int refuse_names(const difference *d, const rn_st_file *f)
{
    char lacks[480] = "", holds[480] = "", shapes[400] = "", have[96], want[96];
    if (d->missing.n)
        snprintf(lacks, sizeof lacks, " lacks %d of the model's tensors (%s)", d->missing.n, d->missing.text);
    if (d->extra.n)
        snprintf(holds, sizeof holds, "%s holds %d tensors that the model lacks (%s)", d->missing.n ? "," : "",
                 d->extra.n, d->extra.text);
    if (d->first) {
        shapes_of(d->first, f, have, want);
        snprintf(shapes, sizeof shapes, ", %d are of another shape (%s is %s, not %s%s)", d->shapes.n + 1,
                 d->first->name, have, want, d->shapes.n ? ", ..." : "");
    }
    return rn_fail(RN_E_MISMATCH, "%s%s%s%s: give the --arch it was made with", rn_st_path(f), lacks, holds, shapes);
}

static int check_tensors(rn_net *net, enum rn_weightfile_what what, const rn_st_file *f)
{
    const difference d = compare(net, what, f);
    if (d.missing.n || d.extra.n)
        return refuse_names(&d, f);
    return d.first ? refuse_shapes(&d, f) : RN_OK;
}

/* File layout to memory layout, to the device. */
static int store(rn_backend *be, const rn_param *p, float *dev, const rn_st_tensor *t, const char *path)
{
    size_t bytes = (size_t)p->count * sizeof(float);
    float *file = malloc(bytes), *mem = rn_param_permuted(p) ? malloc(bytes) : NULL;
    int rc = RN_OK;
    if (!file || (rn_param_permuted(p) && !mem))
        rc = rn_fail(RN_E_NOMEM, "no memory to load %s", p->name);
    if (rc == RN_OK)
        rc = rn_st_read_f32(t, file);
    if (rc == RN_OK && (rc = check_finite(p->name, file, p->count)) < 0)
        rn_fail_prefix(rc, "%s", path);
    if (rc == RN_OK && mem)
        rn_param_from_file(p, file, mem);
    if (rc == RN_OK)
        rc = be->copy(be, dev, mem ? mem : file, bytes, RN_COPY_H2D, NULL);
    if (rc == RN_OK && be->sync)
        rc = be->sync(be, NULL);
    free(file);
    free(mem);
    return rc;
}

int rn_weightfile_load(rn_net *net, rn_backend *be, enum rn_weightfile_what what, const rn_st_file *f)
{
    RN_TRY(check_tensors(net, what, f));
    for (int i = 0; i < rn_net_nparams(net); i++) {
        rn_param *p = rn_net_param(net, i);
        if (part(p, what))
            RN_TRY(store(be, p, part(p, what), rn_st_find(f, p->name), rn_st_path(f)));
    }
    return what == RN_WEIGHTFILE_VALUES ? rn_net_params_changed(net) : RN_OK;
}
