/* SPDX-License-Identifier: MIT */
/* The report's curves: log lines to series to gnuplot. */
#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"
#include "run/report/rn_plot.h"
#include "run/report/rn_report_impl.h"

enum { MAX_POINTS = 600 };

typedef struct points {
    double *x, *y;
    int n;
} points;

static void free_points(points *p)
{
    free(p->x);
    free(p->y);
    *p = (points){0};
}

/* x in epochs from "step"; y = o[key]. More lines than fit are averaged in groups of equal size. */
static int collect(const json_t *lines, const char *key, double steps_per_epoch, points *out)
{
    size_t n = json_array_size(lines), group = (n + MAX_POINTS - 1) / MAX_POINTS;
    *out = (points){.x = calloc(n + 1, sizeof(double)), .y = calloc(n + 1, sizeof(double))};
    if (!out->x || !out->y)
        return rn_fail(RN_E_NOMEM, "no memory for the report's curves");
    for (size_t i = 0; i < n; i += group) {
        double x = 0, y = 0;
        size_t k = 0;
        for (size_t j = i; j < i + group && j < n; j++) {
            const json_t *o = json_array_get(lines, j);
            double v = rn_report_num(o, key);
            if (!isfinite(v))
                continue;
            x = rn_report_num(o, "step") / steps_per_epoch;
            y += v;
            k++;
        }
        if (k) {
            out->x[out->n] = x;
            out->y[out->n++] = y / (double)k;
        }
    }
    return RN_OK;
}

static void figure(rn_report *r, const char *caption, rn_plot *p)
{
    int rc = r->h.rc;
    rn_buf svg = {0};
    if (rc == RN_OK)
        rc = rn_plot_svg(p, &svg);
    if (rc == RN_OK)
        rc = rn_buf_append(&svg, "", 1);
    if (rc == RN_OK)
        rn_html_fmt(&r->h, "<figure><figcaption>%s</figcaption>\n%s</figure>\n", caption, (const char *)svg.data);
    else if (r->h.rc == RN_OK)
        r->h.rc = rc;
    rn_buf_free(&svg);
}

static rn_plot_series line(const char *title, enum rn_plot_style style, int colour, const points *p)
{
    return (rn_plot_series){.title = title, .style = style, .colour = colour, .x = p->x, .y = p->y, .n = p->n};
}

static void loss_figure(rn_report *r, const points *train, const points *val)
{
    const rn_plot_series s[] = {line("train", RN_PLOT_THIN, 1, train), line("val", RN_PLOT_POINTS, 2, val)};
    rn_plot p = {
        .id = "loss", .label = "Loss over the epochs", .xlabel = "epoch", .whole_x = true, .ylabel = "", .series = s};
    p.nseries = val->n ? 2 : 1;
    figure(r, "Loss", &p);
}

/* Per cent right to per cent wrong; returns the largest of both. */
static double to_error(points *p, double top)
{
    for (int i = 0; i < p->n; i++) {
        p->y[i] = 100 - p->y[i];
        top = fmax(top, p->y[i]);
    }
    return top;
}

static void error_figure(rn_report *r, points *train, points *top1, points *top5, const points *se)
{
    const double top = to_error(top5, to_error(top1, to_error(train, 1)));
    rn_plot_series s[] = {line("train top-1", RN_PLOT_THIN, 1, train),
                          line("val top-1 and its s.e.", RN_PLOT_POINTS, 2, top1),
                          line("val top-5", RN_PLOT_POINTS, 3, top5)};
    rn_plot p = {.id = "err",
                 .label = "Error over the epochs",
                 .xlabel = "epoch",
                 .whole_x = true,
                 .ylabel = "per cent",
                 .series = s};
    s[1].err = se->n == top1->n ? se->y : NULL;
    p.nseries = !top1->n ? 1 : rn_report_nclasses(r) > 5 ? 3 : 2;
    p.ymax = fmin(100, top * 1.05);
    figure(r, p.nseries == 2 ? "Top-1 error" : "Top-1 and top-5 error", &p);
}

static void rate_figure(rn_report *r, const points *lr)
{
    const rn_plot_series s[] = {line("learning rate", RN_PLOT_LINE, 4, lr)};
    rn_plot p = {.id = "lr",
                 .label = "Learning rate over the epochs",
                 .xlabel = "epoch",
                 .whole_x = true,
                 .ylabel = "",
                 .series = s};
    p.nseries = 1;
    for (int i = 0; i < lr->n; i++)
        p.ymax = fmax(p.ymax, 1.05 * lr->y[i]);
    figure(r, "Learning rate", &p);
}

/* Of f16: halved where gradients overflowed, doubled after a long while in which they did not. */
static void scale_figure(rn_report *r, const points *scale)
{
    const rn_plot_series s[] = {line("loss scale", RN_PLOT_LINE, 3, scale)};
    rn_plot p = {.id = "scale", .label = "Loss scale over the epochs", .xlabel = "epoch", .ylabel = "", .series = s};
    p.nseries = 1;
    p.log_y = true;
    figure(r, "Loss scale", &p);
}

static void speed_figure(rn_report *r, const points *speed, const points *wait)
{
    rn_plot_series s[] = {line("images/s", RN_PLOT_LINE, 1, speed), line("waiting for data", RN_PLOT_THIN, 2, wait)};
    double top = 0;
    for (int i = 0; i < speed->n; i++)
        top = fmax(top, speed->y[i]);
    rn_plot p = {.id = "ips",
                 .label = "Images a second and time spent waiting for data, over the epochs",
                 .xlabel = "epoch",
                 .whole_x = true,
                 .ylabel = "images/s",
                 .rlabel = "per cent of the time",
                 .rmax = 100,
                 .ymax = top > 0 ? top * 1.1 : 1,
                 .series = s,
                 .nseries = 2};
    s[1].right = true;
    figure(r, "Throughput of training", &p);
}

static int draw(rn_report *r)
{
    points loss = {0}, top1 = {0}, lr = {0}, speed = {0}, wait = {0}, vloss = {0}, vtop1 = {0}, vtop5 = {0}, se = {0},
           scale = {0};
    double spe = rn_report_num(r->run, "steps_per_epoch");
    int rc;
    if (!(spe >= 1))
        spe = 1;
    RN_GO(collect(r->windows, "loss", spe, &loss));
    RN_GO(collect(r->windows, "top1", spe, &top1));
    RN_GO(collect(r->windows, "lr", spe, &lr));
    RN_GO(collect(r->windows, "images_per_s", spe, &speed));
    RN_GO(collect(r->windows, "data_wait_pct", spe, &wait));
    RN_GO(collect(r->windows, "loss_scale", spe, &scale));
    RN_GO(collect(r->epochs, "loss", spe, &vloss));
    RN_GO(collect(r->epochs, "top1", spe, &vtop1));
    RN_GO(collect(r->epochs, "top5", spe, &vtop5));
    RN_GO(collect(r->epochs, "se_top1", spe, &se));
    if (loss.n) {
        loss_figure(r, &loss, &vloss);
        error_figure(r, &top1, &vtop1, &vtop5, &se);
        rate_figure(r, &lr);
        if (scale.n)
            scale_figure(r, &scale);
        speed_figure(r, &speed, &wait);
    }
    rc = r->h.rc;
out:
    for (points *all[] = {&loss, &top1, &lr, &speed, &wait, &vloss, &vtop1, &vtop5, &se, &scale}, **p = all;
         p < all + 10; p++)
        free_points(*p);
    return rc;
}

void rn_report_curves(rn_report *r)
{
    rn_report_open(r, "curves", "Curves");
    size_t before = r->h.b.n;
    rn_html_raw(&r->h, "<div class=charts>\n");
    int rc = draw(r);
    if (rc == RN_E_ABSENT || rc == RN_E_UNSUPPORTED) { /* no picture: say so; the tables below hold the numbers */
        r->h.rc = RN_OK;
        r->h.b.n = before;
        rn_html_raw(&r->h, "<p class=note>No curves: ");
        rn_html_text(&r->h, rn_error_text());
        rn_html_raw(&r->h, ". Install gnuplot and write the report again; the tables below hold the numbers.</p>");
    } else {
        rn_html_raw(&r->h, "</div>");
    }
    rn_report_shut(r);
}
