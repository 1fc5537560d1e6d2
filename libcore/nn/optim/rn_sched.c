/* SPDX-License-Identifier: MIT */
#include "nn/optim/rn_sched.h"

#include <math.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"

const char *const rn_sched_names[] = {"constant", "step", "multistep", "cosine", NULL};

static const double pi = 3.14159265358979323846;

static int check_decay(const rn_sched *s)
{
    if ((s->kind == RN_SCHED_STEP || s->kind == RN_SCHED_MULTISTEP) && !(s->gamma > 0 && s->gamma <= 1))
        return rn_fail(RN_E_RANGE, "schedule: gamma is %g; it must be above 0 and at most 1", s->gamma);
    if (s->kind == RN_SCHED_STEP && s->step_epochs < 1)
        return rn_fail(RN_E_RANGE, "schedule: a step every %d epochs; it must be at least 1", s->step_epochs);
    if (s->kind == RN_SCHED_COSINE && !(s->end >= 0 && s->end <= s->lr))
        return rn_fail(RN_E_RANGE, "schedule: last rate %g; it must be 0..%g", s->end, s->lr);
    if (s->kind != RN_SCHED_MULTISTEP)
        return RN_OK;
    if (s->nmilestones < 1 || s->nmilestones > RN_SCHED_MAX_MILESTONES)
        return rn_fail(RN_E_RANGE, "schedule: %d milestones; it must be 1..%d", s->nmilestones,
                       RN_SCHED_MAX_MILESTONES);
    for (int i = 0; i < s->nmilestones; i++)
        if (s->milestones[i] < 1 || (i > 0 && s->milestones[i] <= s->milestones[i - 1]))
            return rn_fail(RN_E_RANGE, "schedule: milestone %d is epoch %d; milestones must rise from 1", i + 1,
                           s->milestones[i]);
    return RN_OK;
}

int rn_sched_check(const rn_sched *s)
{
    if (s->kind < RN_SCHED_CONSTANT || s->kind > RN_SCHED_COSINE)
        return rn_fail(RN_E_RANGE, "schedule: kind %d is not known", (int)s->kind);
    if (!(s->lr > 0 && isfinite(s->lr)))
        return rn_fail(RN_E_RANGE, "schedule: learning rate %g; it must be above 0", s->lr);
    if (s->epochs < 1 || s->steps_per_epoch < 1)
        return rn_fail(RN_E_RANGE, "schedule: %d epochs of %lld steps; both must be at least 1", s->epochs,
                       (long long)s->steps_per_epoch);
    if (!(s->warmup_epochs >= 0 && s->warmup_epochs < s->epochs))
        return rn_fail(RN_E_RANGE, "schedule: %g epochs of warm-up; it must be at least 0 and below the run's %d",
                       s->warmup_epochs, s->epochs);
    if (!(s->warmup_factor >= 0 && s->warmup_factor <= 1))
        return rn_fail(RN_E_RANGE, "schedule: warm-up factor %g; it must be 0..1", s->warmup_factor);
    return check_decay(s);
}

static double cosine(const rn_sched *s, int64_t step, int64_t warmup)
{
    int64_t total = s->epochs * s->steps_per_epoch - warmup, t = step - warmup;
    if (t >= total)
        return s->end;
    return s->end + (s->lr - s->end) * (1 + cos(pi * (double)t / (double)total)) / 2;
}

double rn_sched_lr(const rn_sched *s, int64_t step)
{
    int64_t warmup = llround(s->warmup_epochs * (double)s->steps_per_epoch);
    if (step < warmup)
        return s->lr * (s->warmup_factor + (1 - s->warmup_factor) * (double)(step + 1) / (double)warmup);
    int64_t epoch = step / s->steps_per_epoch;
    int passed = 0;
    switch (s->kind) {
    case RN_SCHED_STEP:
        epoch /= s->step_epochs; /* whole steps */
        return s->lr * pow(s->gamma, (double)epoch);
    case RN_SCHED_MULTISTEP:
        while (passed < s->nmilestones && s->milestones[passed] <= epoch)
            passed++;
        return s->lr * pow(s->gamma, passed);
    case RN_SCHED_COSINE:
        return cosine(s, step, warmup);
    default:
        return s->lr;
    }
}

int rn_sched_parse_milestones(const char *text, rn_sched *s)
{
    int n = 0;
    const char *p = text;
    for (;;) {
        size_t len = strcspn(p, ",");
        char word[16];
        int64_t epoch = 0;
        bool good = len > 0 && len < sizeof word && n < RN_SCHED_MAX_MILESTONES;
        if (good) {
            memcpy(word, p, len);
            word[len] = '\0';
            good = rn_parse_i64(word, 1, 1 << 20, &epoch) == RN_OK && (n == 0 || epoch > s->milestones[n - 1]);
        }
        if (!good)
            return rn_fail(RN_E_USAGE, "'%s' is not a list of milestones: up to %d rising epochs such as 30,60,80",
                           text, RN_SCHED_MAX_MILESTONES);
        s->milestones[n++] = (int)epoch;
        if (p[len] == '\0')
            break;
        p += len + 1;
    }
    s->nmilestones = n;
    return RN_OK;
}
