/* SPDX-License-Identifier: MIT */
#include "nn/optim/rn_plateau.h"

#include <math.h>

void rn_plateau_start(rn_plateau *p, double lr)
{
    *p = (rn_plateau){.first = lr, .lr = lr, .best = NAN};
}

static bool is_better(const rn_plateau_opts *o, double value, double best)
{
    if (isnan(best))
        return isfinite(value);
    return o->max ? value > best * (1 + o->threshold) : value < best * (1 - o->threshold);
}

bool rn_plateau_step(const rn_plateau_opts *o, rn_plateau *p, double value)
{
    if (is_better(o, value, p->best)) {
        p->best = value;
        p->bad = 0;
    } else {
        p->bad++;
    }
    if (p->cooldown > 0) {
        p->cooldown--;
        p->bad = 0;
    }
    if (p->bad <= o->patience)
        return false;
    p->cooldown = o->cooldown;
    p->bad = 0;
    double lr = fmax(p->lr * o->factor, o->min_lr);
    bool falls = p->lr - lr > 1e-8; /* torch's eps: less is not worth it */
    if (falls)
        p->lr = lr;
    return falls;
}
