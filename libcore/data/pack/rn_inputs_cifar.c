/* SPDX-License-Identifier: MIT */
#include "data/pack/rn_inputs_cifar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/image/rn_image.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, PIXELS = 3 * PLANE, FILE_MAX = 256 << 20 };

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

static bool is_classes(const char *name)
{
    return strcmp(name, "batches.meta.txt") == 0 || strcmp(name, "fine_label_names.txt") == 0;
}

/* 't', 'v' or 0; *fine: of CIFAR-100. */
static char split_of(const char *name, bool *fine)
{
    *fine = strcmp(name, "train.bin") == 0 || strcmp(name, "test.bin") == 0;
    if (*fine)
        return name[1] == 'r' ? 't' : 'v';
    if (strcmp(name, "test_batch.bin") == 0)
        return 'v';
    return strncmp(name, "data_batch_", 11) == 0 && strlen(name) == 16 && strcmp(name + 12, ".bin") == 0 ? 't' : 0;
}

bool rn_cifar_is_member(const char *name)
{
    bool fine;
    name = last_part(name);
    return is_classes(name) || split_of(name, &fine);
}

int rn_cifar_take(rn_cifar *c, rn_archive *a, const rn_archive_entry *e)
{
    const char *name = last_part(e->name);
    rn_buf *to = &c->classes;
    if (e->size > FILE_MAX)
        return rn_fail(RN_E_RANGE, "%s: %llu bytes are too many for a file of CIFAR's", e->name,
                       (unsigned long long)e->size);
    if (!is_classes(name)) {
        bool fine;
        if (c->n == RN_CIFAR_FILES)
            return rn_fail(RN_E_FORMAT, "%s: more files than CIFAR has", e->name);
        (void)split_of(name, &fine);
        if (c->n && fine != c->fine)
            return rn_fail(RN_E_FORMAT, "%s: files of both CIFAR-10 and CIFAR-100 in one archive", e->name);
        c->fine = fine;
        size_t record = PIXELS + (fine ? 2 : 1);
        if (e->size == 0 || e->size % record != 0)
            return rn_fail(RN_E_FORMAT, "%s: %llu bytes are no whole number of records of %zu; fetch the archive again",
                           e->name, (unsigned long long)e->size, record);
        snprintf(c->name[c->n], sizeof c->name[c->n], "%.*s", (int)(strlen(name) - 4), name);
        to = &c->file[c->n++];
    }
    to->n = 0;
    RN_TRY(rn_buf_reserve(to, (size_t)e->size + 1));
    RN_TRY(rn_archive_read(a, to->data, (size_t)e->size));
    to->n = (size_t)e->size;
    to->data[to->n] = 0;
    return RN_OK;
}

/* One picture: planes to pixels, PNG, spool, list. */
static int add_picture(rn_inputs *s, const char *file, uint32_t number, int label, const uint8_t *planes,
                       rn_spool *spool, rn_buf *png)
{
    uint8_t px[PIXELS];
    char path[RN_INPUT_PATH_MAX + 1];
    if (label >= s->nclasses)
        return rn_fail(RN_E_FORMAT, "%s: record %u of %s has label %d, there are %d classes", s->root, number, file,
                       label, s->nclasses);
    for (int i = 0; i < PLANE; i++)
        for (int ch = 0; ch < 3; ch++)
            px[3 * i + ch] = planes[ch * PLANE + i];
    const rn_image im = {.w = SIDE, .h = SIDE, .c = 3, .px = px, .cap = sizeof px};
    png->n = 0;
    RN_TRY(rn_image_encode_png(&im, png));
    snprintf(path, sizeof path, "%s/%s-%05u.png", s->classes[label].wnid, file, number);
    RN_TRY(rn_inputs_add(s, path, spool->at, png->n, label));
    return rn_spool_add(spool, png->data, png->n);
}

int rn_cifar_unpack(const rn_cifar *c, rn_inputs *s, bool train, rn_spool *spool)
{
    rn_buf png = {0};
    int rc;
    if (!c->classes.n)
        return rn_fail(RN_E_FORMAT, "%s: has no batches.meta.txt or fine_label_names.txt, which names the classes",
                       s->root);
    RN_GO(rn_inputs_parse_classes(s, s->root, (char *)c->classes.data));
    for (int f = 0; f < c->n; f++) {
        bool fine;
        char name[40];
        snprintf(name, sizeof name, "%s.bin", c->name[f]);
        if (split_of(name, &fine) != (train ? 't' : 'v'))
            continue;
        size_t head = c->fine ? 2 : 1, record = head + PIXELS;
        for (size_t i = 0; i < c->file[f].n / record; i++) {
            const uint8_t *p = c->file[f].data + i * record;
            RN_GO(add_picture(s, c->name[f], (uint32_t)i, p[head - 1], p + head, spool, &png));
        }
    }
    rc = RN_OK;
out:
    rn_buf_free(&png);
    return rc;
}

void rn_cifar_free(rn_cifar *c)
{
    for (int i = 0; i < RN_CIFAR_FILES; i++)
        rn_buf_free(&c->file[i]);
    rn_buf_free(&c->classes);
}
