/* SPDX-License-Identifier: MIT */
/* What the keys of optimizer and learning rate mean together. */
#include <math.h>

#include "base/rn_error.h"
#include "nn/optim/rn_loss_scale.h"
#include "run/recipe/rn_recipe.h"

int64_t rn_recipe_steps(const rn_recipe *r, int64_t steps_per_epoch)
{
    return r->max_steps > 0 ? r->max_steps : r->epochs * steps_per_epoch;
}

int rn_recipe_sched(const rn_recipe *r, int64_t steps_per_epoch, int64_t images_per_step, rn_sched *out)
{
    const double scale = r->scale_lr ? (double)images_per_step / 256 : 1;
    float momentum[2] = {0, 0};
    *out = (rn_sched){.kind = (enum rn_sched_kind)r->schedule,
                      .lr = r->lr * scale,
                      .end = r->lr_min * scale,
                      .gamma = r->gamma,
                      .power = r->power,
                      .size = r->step_size,
                      .in_steps = r->schedule_unit == RN_UNIT_STEPS,
                      .pct_start = r->pct_start,
                      .div = r->div_factor,
                      .final_div = r->final_div_factor,
                      .linear_anneal = r->anneal != 0,
                      .cycle = r->cycle_momentum != NULL,
                      .warmup = r->warmup_steps ? r->warmup_steps : llround(r->warmup_epochs * (double)steps_per_epoch),
                      .warmup_factor = r->warmup_factor,
                      .steps_per_epoch = steps_per_epoch,
                      .total = rn_recipe_steps(r, steps_per_epoch)};
    if (r->milestones)
        if (rn_sched_parse_milestones(r->milestones, out) < 0)
            return rn_fail(RN_E_USAGE, "--milestones: %s", rn_error_text());
    if (r->cycle_momentum)
        RN_TRY(rn_recipe_reals("cycle-momentum", r->cycle_momentum, 0, 0.9999, 2, momentum));
    out->momentum_low = (double)momentum[0];
    out->momentum_high = (double)momentum[1];
    int rc = rn_sched_check(out);
    return rc < 0 ? rn_fail(RN_E_USAGE, "--schedule %s: %s", rn_sched_names[r->schedule], rn_error_text()) : RN_OK;
}

rn_plateau_opts rn_recipe_plateau(const rn_recipe *r, const rn_sched *sched)
{
    return (rn_plateau_opts){.max = r->plateau_metric != 0,
                             .factor = r->gamma,
                             .threshold = r->plateau_threshold,
                             .patience = r->plateau_patience,
                             .cooldown = r->plateau_cooldown,
                             .min_lr = sched->end};
}

int rn_recipe_loss_scale(const rn_recipe *r, bool *dynamic, double *start)
{
    return rn_loss_scale_parse(r->loss_scale, r->precision == RN_PRECISION_F16, dynamic, start);
}

/* ---- checks ---- */

static int check_schedule(const rn_recipe *r)
{
    rn_sched sched;
    if (r->schedule == RN_SCHED_MULTISTEP && !r->milestones)
        return rn_fail(RN_E_USAGE, "--schedule multistep needs --milestones, e.g. 30,60,80");
    if (r->milestones && r->schedule != RN_SCHED_MULTISTEP)
        return rn_fail(RN_E_USAGE, "--milestones belongs to --schedule multistep");
    if (r->cycle_momentum && r->schedule != RN_SCHED_ONE_CYCLE)
        return rn_fail(RN_E_USAGE, "--cycle-momentum belongs to --schedule one-cycle");
    if (r->cycle_momentum && r->momentum == 0)
        return rn_fail(RN_E_USAGE, "--cycle-momentum needs --momentum above 0");
    if (r->warmup_epochs > 0 && r->warmup_steps > 0)
        return rn_fail(RN_E_USAGE, "--warmup-epochs and --warmup-steps say the same twice: give one");
    if (r->schedule == RN_SCHED_ONE_CYCLE && (r->warmup_epochs > 0 || r->warmup_steps > 0))
        return rn_fail(RN_E_USAGE,
                       "--schedule one-cycle warms up by itself, over --pct-start of the steps: leave "
                       "--warmup-%s out",
                       r->warmup_steps > 0 ? "steps" : "epochs");
    if (r->schedule == RN_SCHED_PLATEAU && !(r->gamma > 0 && r->gamma < 1))
        return rn_fail(RN_E_USAGE, "--schedule plateau multiplies by --gamma: %g is not between 0 and 1", r->gamma);
    if (r->warmup_epochs > 0 && !r->max_steps && r->warmup_epochs >= (double)r->epochs)
        return rn_fail(RN_E_USAGE, "--warmup-epochs %g leaves none of --epochs %lld to train at the full rate",
                       r->warmup_epochs, (long long)r->epochs);
    if (r->lr_min > r->lr)
        return rn_fail(RN_E_USAGE, "--lr-min %g is above --lr %g", r->lr_min, r->lr);
    rn_recipe any = *r; /* how many steps an epoch has is not known yet: what depends on it is checked then */
    any.max_steps = INT64_C(1) << 50;
    return rn_recipe_sched(&any, 1 << 20, 256, &sched);
}

int rn_recipe_check_optim(const rn_recipe *r)
{
    if (!(r->lr > 0))
        return rn_fail(RN_E_USAGE, "--lr 0: nothing would be learnt; give a rate above 0");
    if (r->nesterov && r->momentum == 0)
        return rn_fail(RN_E_USAGE, "--nesterov needs --momentum above 0");
    if (r->ema == 0 && (r->ema_every != 1 || r->ema_warmup))
        return rn_fail(RN_E_USAGE, "--%s belongs to --ema DECAY, e.g. 0.999",
                       r->ema_warmup ? "ema-warmup" : "ema-every");
    bool dynamic;
    double scale;
    RN_TRY(rn_recipe_loss_scale(r, &dynamic, &scale));
    return check_schedule(r);
}
