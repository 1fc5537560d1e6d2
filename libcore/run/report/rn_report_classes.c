/* SPDX-License-Identifier: MIT */
/* The report's validation images and who was taken for whom, out of RUN_DIR/predictions.json (rn_predictions.c). */
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "run/report/rn_report_impl.h"

enum { MAX_PAIRS = 20, MAX_MATRIX = 20, ALL_CLASSES = 40, SOME_CLASSES = 20 };

/* What people call class i: its words up to the first comma, else its folder's name. */
static const char *class_name(const rn_report *r, int i, char out[80])
{
    const json_t *c = json_array_get(json_object_get(r->predictions, "classes"), (size_t)i);
    const char *wnid = json_string_value(json_array_get(c, 0)), *words = json_string_value(json_array_get(c, 1));
    if (words && words[0])
        snprintf(out, 80, "%.*s", (int)strcspn(words, ","), words);
    else if (wnid && wnid[0])
        snprintf(out, 80, "%s", wnid);
    else
        snprintf(out, 80, "class %d", i);
    return out;
}

/* ---- images ---- */

static void shot(rn_report *r, const json_t *o)
{
    const int label = (int)rn_report_num(o, "label"), predicted = (int)rn_report_num(o, "predicted");
    const bool right = label == predicted;
    const char *image = rn_report_str(o, "image");
    char name[80];
    rn_html_raw(&r->h, right ? "<figure>" : "<figure class=wrong>");
    rn_html_raw(&r->h, strncmp(image, "data:image/png", 14) == 0 ? "<img class=small alt=\"" : "<img alt=\"");
    rn_html_text(&r->h, rn_report_str(o, "key"));
    rn_html_raw(&r->h, "\" src=\"");
    if (strncmp(image, "data:image/", 11) == 0)
        rn_html_text(&r->h, image);
    rn_html_raw(&r->h, right ? "\"><figcaption><b class=is>✓ " : "\"><figcaption><b class=not>✗ ");
    rn_html_text(&r->h, class_name(r, predicted, name));
    rn_html_fmt(&r->h, "</b><small>%.1f %%", 100 * rn_report_num(o, "confidence"));
    if (!right) {
        rn_html_raw(&r->h, ", is ");
        rn_html_text(&r->h, class_name(r, label, name));
    }
    rn_html_raw(&r->h, "</small></figcaption></figure>\n");
}

static void shots(rn_report *r, const char *title, const json_t *list)
{
    size_t i;
    json_t *o;
    if (!json_array_size(list))
        return;
    rn_html_tag(&r->h, "h3", title);
    rn_html_raw(&r->h, "<div class=shots>\n");
    json_array_foreach((json_t *)(uintptr_t)list, i, o)
    {
        shot(r, o);
    }
    rn_html_raw(&r->h, "</div>\n");
}

void rn_report_images(rn_report *r)
{
    rn_report_open(r, "images", "Validation images");
    if (r->predictions) {
        rn_html_fmt(&r->h,
                    "<p class=note>After epoch %d, as the network saw them: ✓ right, ✗ wrong, and the probability it "
                    "gave to its first choice.</p>\n",
                    (int)rn_report_num(r->predictions, "epoch"));
        shots(r, "Drawn at random, the same at every evaluation", json_object_get(r->predictions, "samples"));
        shots(r, "Wrong, and most certain of it", json_object_get(r->predictions, "mistakes"));
    } else {
        rn_html_raw(&r->h, "<p class=note>No evaluation yet: the first one comes at the end of an epoch.</p>\n");
    }
    rn_report_shut(r);
}

/* ---- classes ---- */

typedef struct pair {
    int label, predicted, count;
} pair;

typedef struct tally {
    int classes, npairs;
    pair *pairs;        /* all that are not 0 */
    int *total, *right; /* by class */
    int *order;         /* classes that have images, the least accurate first */
    int norder;
} tally;

static void free_tally(tally *t)
{
    free(t->pairs);
    free(t->total);
    free(t->right);
    free(t->order);
}

/* The most frequent first, then by label. */
static int by_count(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return (x->predicted > y->predicted) - (x->predicted < y->predicted);
}

static double share(const tally *t, int c)
{
    return t->total[c] ? (double)t->right[c] / t->total[c] : 0;
}

static void sort_classes(tally *t)
{
    for (int c = 0; c < t->classes; c++) {
        if (!t->total[c])
            continue;
        int at = t->norder++;
        for (; at > 0 && share(t, c) < share(t, t->order[at - 1]); at--)
            t->order[at] = t->order[at - 1];
        t->order[at] = c;
    }
}

static int count_up(const rn_report *r, tally *t)
{
    const json_t *list = json_object_get(r->predictions, "confusion");
    const size_t n = json_array_size(list);
    t->classes = (int)json_array_size(json_object_get(r->predictions, "classes"));
    const size_t room = (size_t)t->classes + 1;
    t->pairs = calloc(n + 1, sizeof *t->pairs);
    t->total = calloc(room, sizeof *t->total);
    t->right = calloc(room, sizeof *t->right);
    t->order = calloc(room, sizeof *t->order);
    if (!t->pairs || !t->total || !t->right || !t->order)
        return rn_fail(RN_E_NOMEM, "no memory for the report's classes");
    for (size_t i = 0; i < n; i++) {
        pair p;
        if (json_unpack(json_array_get(list, i), "[i, i, i]", &p.label, &p.predicted, &p.count) != 0 || p.label < 0 ||
            p.predicted < 0 || p.label >= t->classes || p.predicted >= t->classes || p.count < 1)
            return rn_fail(RN_E_FORMAT, "%s/predictions.json: entry %zu of the confusion is none", r->run_dir, i);
        t->pairs[t->npairs++] = p;
        t->total[p.label] += p.count;
        if (p.label == p.predicted)
            t->right[p.label] += p.count;
    }
    qsort(t->pairs, (size_t)t->npairs, sizeof *t->pairs, by_count);
    sort_classes(t);
    return RN_OK;
}

static void pairs(rn_report *r, const tally *t)
{
    char name[80];
    int shown = 0;
    rn_html_raw(&r->h, "<div><h3>Most confused</h3>\n<table><thead><tr><th>is<th>taken for<th class=num>images<th "
                       "class=num>of its class</tr></thead><tbody>\n");
    for (int i = 0; i < t->npairs && shown < MAX_PAIRS; i++) {
        const pair *p = &t->pairs[i];
        if (p->label == p->predicted)
            continue;
        shown++;
        rn_html_raw(&r->h, "<tr>");
        rn_html_tag(&r->h, "td class=name", class_name(r, p->label, name));
        rn_html_tag(&r->h, "td class=name", class_name(r, p->predicted, name));
        rn_html_fmt(&r->h, "<td class=num>%d</td><td class=num>%.1f %%</td></tr>\n", p->count,
                    100.0 * p->count / t->total[p->label]);
    }
    rn_html_raw(&r->h, shown ? "</tbody></table></div>\n"
                             : "<tr><td>none: every image is right</td></tr></tbody></table></div>\n");
}

static void class_rows(rn_report *r, const tally *t, const char *title, int from, int to)
{
    char name[80];
    rn_html_raw(&r->h, "<div>");
    rn_html_tag(&r->h, "h3", title);
    rn_html_raw(&r->h,
                "<table><thead><tr><th>class<th class=num>images<th class=num>right %<th></tr></thead><tbody>\n");
    for (int i = from; i != to; i += from < to ? 1 : -1) {
        const int c = t->order[i];
        rn_html_raw(&r->h, "<tr>");
        rn_html_tag(&r->h, "td class=name", class_name(r, c, name));
        rn_html_fmt(&r->h,
                    "<td class=num>%d</td><td class=num>%.1f</td><td class=meter><i style=\"width:%.1f%%\"></i></td>"
                    "</tr>\n",
                    t->total[c], 100 * share(t, c), 100 * share(t, c));
    }
    rn_html_raw(&r->h, "</tbody></table></div>\n");
}

static void matrix(rn_report *r, const tally *t)
{
    char name[80];
    int *count = calloc((size_t)t->classes * (size_t)t->classes, sizeof *count);
    if (!count)
        return;
    for (int i = 0; i < t->npairs; i++)
        count[t->pairs[i].label * t->classes + t->pairs[i].predicted] = t->pairs[i].count;
    rn_html_raw(&r->h, "<h3>Confusion matrix</h3>\n<div class=wide><table class=matrix><thead><tr><th></th>");
    for (int c = 0; c < t->classes; c++)
        rn_html_fmt(&r->h, "<th>%d</th>", c);
    rn_html_raw(&r->h, "</tr></thead><tbody>\n");
    for (int y = 0; y < t->classes; y++) {
        rn_html_fmt(&r->h, "<tr><th>%d&ensp;", y);
        rn_html_text(&r->h, class_name(r, y, name));
        rn_html_raw(&r->h, "</th>");
        for (int x = 0; x < t->classes; x++) {
            const int n = count[y * t->classes + x];
            if (n)
                rn_html_fmt(&r->h, "<td%s style=\"--p:%.0f\">%d</td>", x == y ? " class=hit" : "",
                            100.0 * n / t->total[y], n);
            else
                rn_html_raw(&r->h, "<td></td>");
        }
        rn_html_raw(&r->h, "</tr>\n");
    }
    rn_html_raw(&r->h,
                "</tbody></table></div>\n<p class=note>A row is what the images are, a column what they were taken "
                "for.</p>\n");
    free(count);
}

static void tables(rn_report *r, const tally *t)
{
    rn_html_raw(&r->h, "<div class=two>\n");
    if (t->norder <= ALL_CLASSES) {
        class_rows(r, t, "Accuracy by class", 0, t->norder);
    } else {
        class_rows(r, t, "Least accurate classes", 0, SOME_CLASSES);
        class_rows(r, t, "Most accurate classes", t->norder - 1, t->norder - 1 - SOME_CLASSES);
    }
    pairs(r, t);
    rn_html_raw(&r->h, "</div>\n");
    if (t->classes <= MAX_MATRIX)
        matrix(r, t);
}

void rn_report_classes(rn_report *r)
{
    tally t = {0};
    if (!r->predictions)
        return;
    rn_report_open(r, "classes", "Classes");
    if (count_up(r, &t) == RN_OK) {
        tables(r, &t);
    } else {
        rn_html_raw(&r->h, "<p class=note>");
        rn_html_text(&r->h, rn_error_text());
        rn_html_raw(&r->h, "</p>");
    }
    free_tally(&t);
    rn_report_shut(r);
}
