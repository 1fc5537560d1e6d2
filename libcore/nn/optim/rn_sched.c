/* SPDX-License-Identifier: MIT */
#include "nn/optim/rn_sched.h"

#include <math.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"

const char *const rn_sched_names[] = {"constant", "step", "multistep", "cosine",    "poly",    "linear",
                                      "exp",      "inv",  "sigmoid",   "one-cycle", "plateau", NULL};
_Static_assert(sizeof rn_sched_names / sizeof *rn_sched_names == RN_SCHED_KINDS + 1, "a name for each kind");

static const double pi = 3.14159265358979323846;

/* ---- checks ---- */

static int refuse(bool ok, const char *what, double value, const char *range)
{
    return ok ? RN_OK : rn_fail(RN_E_RANGE, "%s is %g; it must be %s", what, value, range);
}

static int check_milestones(const rn_sched *s)
{
    if (s->nmilestones < 1 || s->nmilestones > RN_SCHED_MAX_MILESTONES)
        return rn_fail(RN_E_RANGE, "%d milestones; it must be 1..%d", s->nmilestones, RN_SCHED_MAX_MILESTONES);
    for (int i = 0; i < s->nmilestones; i++)
        if (s->milestones[i] < 1 || (i > 0 && s->milestones[i] <= s->milestones[i - 1]))
            return rn_fail(RN_E_RANGE, "milestone %d is at %lld; milestones must rise from 1", i + 1,
                           (long long)s->milestones[i]);
    return RN_OK;
}

static int check_one_cycle(const rn_sched *s)
{
    RN_TRY(refuse(s->pct_start > 0 && s->pct_start < 1, "the share of one-cycle that rises", s->pct_start,
                  "above 0 and below 1"));
    RN_TRY(refuse(s->div >= 1 && isfinite(s->div), "one-cycle's peak over its first rate", s->div, "at least 1"));
    RN_TRY(refuse(s->final_div >= 1 && isfinite(s->final_div), "one-cycle's first rate over its last", s->final_div,
                  "at least 1"));
    RN_TRY(refuse(s->warmup == 0, "a warm-up before one-cycle, which has its own,", (double)s->warmup, "0"));
    RN_TRY(refuse(s->total >= 2, "one-cycle's number of steps", (double)s->total, "at least 2"));
    return refuse(!s->cycle || (s->momentum_low >= 0 && s->momentum_low <= s->momentum_high && s->momentum_high < 1),
                  "the low end of the cycled momentum", s->momentum_low, "0 up to the high end, which is below 1");
}

static int check_kind(const rn_sched *s)
{
    switch (s->kind) {
    case RN_SCHED_STEP:
        RN_TRY(refuse(s->size >= 1, "the step's size", (double)s->size, "at least 1"));
        return refuse(s->gamma > 0 && s->gamma <= 1, "gamma", s->gamma, "above 0 and at most 1");
    case RN_SCHED_MULTISTEP:
        RN_TRY(check_milestones(s));
        return refuse(s->gamma > 0 && s->gamma <= 1, "gamma", s->gamma, "above 0 and at most 1");
    case RN_SCHED_EXP:
        return refuse(s->gamma > 0 && s->gamma <= 1, "gamma", s->gamma, "above 0 and at most 1");
    case RN_SCHED_INV:
        RN_TRY(refuse(s->gamma >= 0 && isfinite(s->gamma), "gamma", s->gamma, "at least 0"));
        return refuse(s->power >= 0 && isfinite(s->power), "power", s->power, "at least 0");
    case RN_SCHED_SIGMOID:
        RN_TRY(refuse(s->size >= 0, "the sigmoid's middle", (double)s->size, "at least 0"));
        return refuse(s->gamma != 0 && isfinite(s->gamma), "gamma", s->gamma, "a number other than 0");
    case RN_SCHED_POLY:
        RN_TRY(refuse(s->power > 0 && isfinite(s->power), "power", s->power, "above 0"));
        return refuse(s->end >= 0 && s->end <= s->lr, "the last rate", s->end, "0 up to the first one");
    case RN_SCHED_COSINE:
    case RN_SCHED_LINEAR:
        return refuse(s->end >= 0 && s->end <= s->lr, "the last rate", s->end, "0 up to the first one");
    case RN_SCHED_ONE_CYCLE:
        return check_one_cycle(s);
    case RN_SCHED_CONSTANT:
    case RN_SCHED_PLATEAU:
        return RN_OK;
    case RN_SCHED_KINDS:
        break;
    }
    return rn_fail(RN_E_RANGE, "kind %d is not known", (int)s->kind);
}

int rn_sched_check(const rn_sched *s)
{
    RN_TRY(refuse(s->lr > 0 && isfinite(s->lr), "the learning rate", s->lr, "above 0"));
    if (s->total < 1 || s->steps_per_epoch < 1)
        return rn_fail(RN_E_RANGE, "%lld steps, %lld an epoch; both must be at least 1", (long long)s->total,
                       (long long)s->steps_per_epoch);
    if (s->warmup < 0 || (s->warmup > 0 && s->warmup >= s->total))
        return rn_fail(RN_E_RANGE, "%lld steps of warm-up leave none of the run's %lld at the full rate",
                       (long long)s->warmup, (long long)s->total);
    RN_TRY(refuse(s->warmup_factor >= 0 && s->warmup_factor <= 1, "the warm-up's factor", s->warmup_factor, "0..1"));
    return check_kind(s);
}

/* ---- the rate ---- */

/* One-cycle's two phases end at these steps (not whole ones: as torch counts). How far `step` is in its phase, 0..1;
 * *rising tells which. */
static double cycle_share(const rn_sched *s, int64_t step, bool *rising)
{
    const double top = s->pct_start * (double)s->total - 1, last = (double)(s->total - 1);
    const double at = step < s->total ? (double)step : last;
    *rising = at <= top && top > 0;
    return *rising ? at / top : (at - top) / (last - top);
}

static double anneal(const rn_sched *s, double from, double to, double share)
{
    return s->linear_anneal ? (to - from) * share + from : to + (from - to) / 2 * (cos(pi * share) + 1);
}

static double one_cycle(const rn_sched *s, int64_t step)
{
    bool rising;
    double share = cycle_share(s, step, &rising), first = s->lr / s->div;
    return rising ? anneal(s, first, s->lr, share) : anneal(s, s->lr, first / s->final_div, share);
}

double rn_sched_momentum(const rn_sched *s, int64_t step, double given)
{
    if (s->kind != RN_SCHED_ONE_CYCLE || !s->cycle)
        return given;
    bool rising;
    double share = cycle_share(s, step, &rising);
    return rising ? anneal(s, s->momentum_high, s->momentum_low, share)
                  : anneal(s, s->momentum_low, s->momentum_high, share);
}

static double multistep(const rn_sched *s, int64_t t)
{
    int passed = 0;
    while (passed < s->nmilestones && s->milestones[passed] <= t)
        passed++;
    return s->lr * pow(s->gamma, passed);
}

double rn_sched_lr(const rn_sched *s, int64_t step)
{
    if (step < s->warmup)
        return s->lr * (s->warmup_factor + (1 - s->warmup_factor) * (double)(step + 1) / (double)s->warmup);
    const int64_t t = s->in_steps ? step : step / s->steps_per_epoch;
    int64_t falls;
    const double x = step < s->total ? (double)(step - s->warmup) / (double)(s->total - s->warmup) : 1;
    switch (s->kind) {
    case RN_SCHED_STEP:
        falls = t / s->size;
        return s->lr * pow(s->gamma, (double)falls);
    case RN_SCHED_MULTISTEP:
        return multistep(s, t);
    case RN_SCHED_COSINE:
        return x < 1 ? s->end + (s->lr - s->end) * (1 + cos(pi * x)) / 2 : s->end;
    case RN_SCHED_POLY:
        return s->end + (s->lr - s->end) * pow(1 - x, s->power);
    case RN_SCHED_LINEAR:
        return s->end + (s->lr - s->end) * (1 - x);
    case RN_SCHED_EXP:
        return s->lr * pow(s->gamma, (double)t);
    case RN_SCHED_INV:
        return s->lr * pow(1 + s->gamma * (double)t, -s->power);
    case RN_SCHED_SIGMOID:
        return s->lr / (1 + exp(-s->gamma * (double)(t - s->size)));
    case RN_SCHED_ONE_CYCLE:
        return one_cycle(s, step);
    case RN_SCHED_CONSTANT:
    case RN_SCHED_PLATEAU:
    case RN_SCHED_KINDS:
        break;
    }
    return s->lr;
}

int rn_sched_parse_milestones(const char *text, rn_sched *s)
{
    int n = 0;
    const char *p = text;
    for (;;) {
        size_t len = strcspn(p, ",");
        char word[16];
        int64_t at = 0;
        bool good = len > 0 && len < sizeof word && n < RN_SCHED_MAX_MILESTONES;
        if (good) {
            memcpy(word, p, len);
            word[len] = '\0';
            good = rn_parse_i64(word, 1, INT64_C(1000000000000), &at) == RN_OK && (n == 0 || at > s->milestones[n - 1]);
        }
        if (!good)
            return rn_fail(RN_E_USAGE, "'%s' is not a list of milestones: up to %d rising numbers such as 30,60,80",
                           text, RN_SCHED_MAX_MILESTONES);
        s->milestones[n++] = at;
        if (p[len] == '\0')
            break;
        p += len + 1;
    }
    s->nmilestones = n;
    return RN_OK;
}
