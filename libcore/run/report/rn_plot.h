/* SPDX-License-Identifier: MIT */
/* One curve picture as inline SVG, drawn by gnuplot (a separate process: its input on stdin, the picture from stdout). */
#ifndef RN_PLOT_H
#define RN_PLOT_H

#include <stdbool.h>

#include "base/rn_io.h"

enum { RN_PLOT_COLOURS = 7 };
enum rn_plot_style {
    RN_PLOT_LINE,
    RN_PLOT_THIN,
    RN_PLOT_POINTS /* joined by a line, bars of +-err */,
    RN_PLOT_MARK /* large points */
};

typedef struct rn_plot_series {
    const char *title;
    enum rn_plot_style style;
    int colour;                /* 1..RN_PLOT_COLOURS: the page's --c1 .. --c7 */
    bool right;                /* against the right axis */
    const double *x, *y, *err; /* err may be NULL */
    int n;
} rn_plot_series;

typedef struct rn_plot {
    const char *id;    /* prefix of ids in the SVG; unique on the page */
    const char *label; /* for screen readers */
    const char *xlabel, *ylabel, *rlabel;
    double ymin, ymax; /* both 0: automatic */
    double rmin, rmax;
    bool log_x, log_y;
    bool whole_x; /* x counts things: no ticks between them */
    const rn_plot_series *series;
    int nseries;
} rn_plot;

/* The largest value of all series over the smallest; 0 when that is not above 0. */
double rn_plot_spread(const rn_plot_series *s, int n);

/* Appends "<svg ...>...</svg>". RN_E_ABSENT when there is no gnuplot, RN_E_UNSUPPORTED when it failed. */
int rn_plot_svg(const rn_plot *p, rn_buf *out);

#endif
