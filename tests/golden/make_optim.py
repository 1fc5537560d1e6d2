#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes schedules.txt and optim.txt beside itself: what PyTorch's schedulers, SGD, clipping and averaging do, in float64,
and what Caffe's do by its formulas, for test_schedules.c and test_optim.c.

schedules.txt   sched STEPS_PER_EPOCH IMAGES_PER_STEP N MOMENTUM, a line of recipe keys, a line of N rates, and with
                MOMENTUM 1 a line of N momenta;
                plateau N, a line of recipe keys, then N lines "value rate-after".
optim.txt       sgd CAFFE NESTEROV N STEPS MU WD, a line of N weights; then each step a line "rate", and lines of N
                gradients, weights and momenta;
                clip CAFFE LIMIT NORM FACTOR;
                ema DECAY WARMUP N STEPS, a line of N weights, then each step a line of N weights and one of averages.
"""
import math
import os
import warnings

import torch
from torch.optim import lr_scheduler as S

HERE = os.path.dirname(os.path.abspath(__file__))
warnings.simplefilter("ignore")


def line(values):
    return " ".join("%.17g" % float(v) for v in values) + "\n"


# ---- schedules ----
LR, SPE, EPOCHS = 0.4, 3, 8
TOTAL = SPE * EPOCHS


def optimizer(momentum=0.9):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR, momentum=momentum)


def run(make, per_epoch=False, total=TOTAL):
    """The rates (and momenta) of all steps; the scheduler is stepped after each, or after each epoch."""
    o = optimizer()
    s = make(o)
    rates, momenta = [], []
    for step in range(total):
        rates.append(o.param_groups[0]["lr"])
        momenta.append(o.param_groups[0]["momentum"])
        o.step()
        if step + 1 < total and (not per_epoch or (step + 1) % SPE == 0):
            s.step()
    return rates, momenta


def warm(o, w, f, then):
    """Linear from f + (1 - f) / w at step 0 to 1 at step w - 1, then `then`."""
    start = f + (1 - f) / w
    return S.SequentialLR(o, [S.LinearLR(o, start_factor=start, total_iters=w - 1), then], milestones=[w])


def torch_schedules():
    yield "schedule = constant", run(lambda o: S.ConstantLR(o, 1.0)), 0
    yield "schedule = step; step-size = 2; gamma = 0.3", run(lambda o: S.StepLR(o, 2, 0.3), True), 0
    yield "schedule = step; step-size = 5; gamma = 0.3; schedule-unit = steps", run(lambda o: S.StepLR(o, 5, 0.3)), 0
    yield "schedule = multistep; milestones = 2,5,6; gamma = 0.2", run(lambda o: S.MultiStepLR(o, [2, 5, 6], 0.2), True), 0
    yield ("schedule = multistep; milestones = 4,11; gamma = 0.2; schedule-unit = steps",
           run(lambda o: S.MultiStepLR(o, [4, 11], 0.2)), 0)
    yield "schedule = exp; gamma = 0.7", run(lambda o: S.ExponentialLR(o, 0.7), True), 0
    yield "schedule = exp; gamma = 0.95; schedule-unit = steps", run(lambda o: S.ExponentialLR(o, 0.95)), 0
    yield "schedule = cosine; lr-min = 0.02", run(lambda o: S.CosineAnnealingLR(o, TOTAL, 0.02)), 0
    yield "schedule = poly; power = 2", run(lambda o: S.PolynomialLR(o, TOTAL, 2)), 0
    yield "schedule = linear; lr-min = 0.1", run(lambda o: S.LinearLR(o, 1.0, 0.25, TOTAL)), 0
    yield ("schedule = cosine; warmup-epochs = 2; warmup-factor = 0.1",
           run(lambda o: warm(o, 6, 0.1, S.CosineAnnealingLR(o, TOTAL - 6))), 0)
    yield "schedule = linear; warmup-steps = 5", run(lambda o: warm(o, 5, 0, S.LinearLR(o, 1.0, 0.0, TOTAL - 5))), 0
    cycle = dict(max_lr=LR, total_steps=TOTAL)
    yield "schedule = one-cycle", run(lambda o: S.OneCycleLR(o, cycle_momentum=False, **cycle)), 0
    yield ("schedule = one-cycle; pct-start = 0.25; div-factor = 10; final-div-factor = 100; anneal = linear; "
           "cycle-momentum = 0.75,0.9375",
           run(lambda o: S.OneCycleLR(o, pct_start=0.25, div_factor=10, final_div_factor=100, anneal_strategy="linear",
                                      base_momentum=0.75, max_momentum=0.9375, **cycle)), 1)
    yield ("schedule = one-cycle; pct-start = 0.43; cycle-momentum = 0.5,0.875",
           run(lambda o: S.OneCycleLR(o, pct_start=0.43, base_momentum=0.5, max_momentum=0.875, **cycle)), 1)
    yield ("schedule = one-cycle; pct-start = 0.01",
           run(lambda o: S.OneCycleLR(o, pct_start=0.01, cycle_momentum=False, **cycle)), 0)


def caffe_schedules():
    """caffe.proto's lr_policy, by iteration."""
    def each(f):
        return [f(t) for t in range(TOTAL)], None
    unit = "; schedule-unit = steps; max-steps = %d" % TOTAL
    yield "schedule = constant" + unit, each(lambda t: LR), 0
    yield "schedule = step; gamma = 0.5; step-size = 7" + unit, each(lambda t: LR * 0.5 ** (t // 7)), 0
    yield "schedule = multistep; gamma = 0.5; milestones = 3,9" + unit, each(lambda t: LR * 0.5 ** ((t >= 3) + (t >= 9))), 0
    yield "schedule = exp; gamma = 0.9" + unit, each(lambda t: LR * 0.9 ** t), 0
    yield "schedule = inv; gamma = 0.1; power = 0.75" + unit, each(lambda t: LR * (1 + 0.1 * t) ** -0.75), 0
    yield "schedule = poly; power = 1.5" + unit, each(lambda t: LR * (1 - t / TOTAL) ** 1.5), 0
    yield "schedule = sigmoid; gamma = -0.5; step-size = 11" + unit, each(lambda t: LR / (1 + math.exp(0.5 * (t - 11)))), 0
    yield "schedule = sigmoid; gamma = 0.5; step-size = 11" + unit, each(lambda t: LR / (1 + math.exp(-0.5 * (t - 11)))), 0


def plateaus():
    nan, inf = math.nan, math.inf
    losses = [2, 1.9, 1.95, 1.9, 1.899, 1.9, 1.88, nan, nan, 1.7, 1.7, 1.7, 1.7, inf, 1.6, 1.61, 1.61, 1.61, 1.61, 1.61]
    tops = [10, 20, 20, 20.001, 20.1, 20.1, 19, nan, 30, 30, 30, 30, 30, 31, 31, 31]
    for how, values, keys in (
            (dict(patience=1), losses, "plateau-patience = 1"),
            (dict(patience=0, cooldown=2, factor=0.5), losses, "plateau-patience = 0; plateau-cooldown = 2; gamma = 0.5"),
            (dict(patience=1, min_lr=0.03), losses, "plateau-patience = 1; lr-min = 0.03"),
            (dict(patience=2, threshold=0.02), losses, "plateau-patience = 2; plateau-threshold = 0.02"),
            (dict(patience=1, mode="max", factor=0.25), tops, "plateau-patience = 1; plateau-metric = top1; gamma = 0.25"),
            (dict(patience=0, threshold=0), [nan, 1, 1, nan], "plateau-patience = 0; plateau-threshold = 0")):
        o = optimizer()
        s = S.ReduceLROnPlateau(o, **how)
        rows = []
        for v in values:
            s.step(v)
            rows.append((v, o.param_groups[0]["lr"]))
        yield keys, rows


def schedules(f):
    for keys, (rates, momenta), cycled in list(torch_schedules()) + list(caffe_schedules()):
        f.write("sched %d 256 %d %d\nlr = %g; epochs = %d; %s\n" % (SPE, TOTAL, cycled, LR, EPOCHS, keys) + line(rates))
        if cycled:
            f.write(line(momenta))
    f.write("sched %d 1024 %d 0\nlr = 0.1; lr-min = 0.005; epochs = %d; scale-lr = true; schedule = cosine\n" %
            (SPE, TOTAL, EPOCHS))
    f.write(line(run(lambda o: S.CosineAnnealingLR(o, TOTAL, 0.02))[0]))
    for keys, rows in plateaus():
        f.write("plateau %d\nlr = %g; schedule = plateau; %s\n" % (len(rows), LR, keys))
        for row in rows:
            f.write(line(row))


# ---- the optimizer ----
N = 3
RATES = [0.1, 0.1, 0.02, 0.3, 0.05, 0.0]


def torch_sgd(nesterov, mu, wd, w, grads):
    p = torch.nn.Parameter(w.clone())
    o = torch.optim.SGD([p], lr=1, momentum=mu, weight_decay=wd, nesterov=nesterov)
    for rate, g in zip(RATES, grads):
        o.param_groups[0]["lr"] = rate
        p.grad = g.clone()
        o.step()
        yield rate, g, p.detach().clone(), o.state[p]["momentum_buffer"].clone()


def caffe_sgd(nesterov, mu, wd, w, grads):
    """SGDSolver and NesterovSolver: regularize, then the history with the rate inside, then the update."""
    v = torch.zeros_like(w)
    w = w.clone()
    for rate, g in zip(RATES, grads):
        diff = g + wd * w
        old = v.clone()
        v = mu * old + rate * diff
        w = w - ((1 + mu) * v - mu * old if nesterov else v)
        yield rate, g, w, v


def averages(decay, warmup, w, weights):
    """timm's and torchvision's rule, over everything in state_dict; the warm-up is TensorFlow's num_updates rule."""
    a = w.clone()
    for t, x in enumerate(weights):
        d = min(decay, (1 + t) / (10 + t)) if warmup else decay
        a = d * a + (1 - d) * x
        yield x, a


def optim(f):
    gen = torch.Generator().manual_seed(5)
    draw = lambda: torch.randn(N, generator=gen).double()
    for caffe, rule in ((0, torch_sgd), (1, caffe_sgd)):
        for nesterov in (False, True):
            for mu, wd in ((0.9, 0), (0.9, 0.05), (0.5, 0.01)):
                w, grads = draw(), [draw() for _ in RATES]
                f.write("sgd %d %d %d %d %.17g %.17g\n" % (caffe, nesterov, N, len(RATES), mu, wd) + line(w))
                for rate, g, new, v in rule(nesterov, mu, wd, w, grads):
                    f.write(line([rate]) + line(g) + line(new) + line(v))
    for limit in (0.5, 2, 100):
        p = torch.nn.Parameter(torch.zeros(N, dtype=torch.float64))
        g = draw()
        p.grad = g.clone()
        norm = torch.nn.utils.clip_grad_norm_([p], limit)
        f.write("clip 0 %.17g %.17g %.17g\n" % (limit, norm, (p.grad / g)[0]))
        f.write("clip 1 %.17g %.17g %.17g\n" % (limit, norm, min(1, limit / norm)))
    for decay, warmup in ((0.9, 0), (0.99, 1), (0.2, 1)):
        w, weights = draw(), [draw() for _ in range(14)]
        f.write("ema %.17g %d %d %d\n" % (decay, warmup, N, len(weights)) + line(w))
        for x, a in averages(decay, warmup, w, weights):
            f.write(line(x) + line(a))


def main():
    for name, fill in (("schedules.txt", schedules), ("optim.txt", optim)):
        with open(os.path.join(HERE, name), "w") as f:
            f.write("# PyTorch %s; see make_optim.py\n" % torch.__version__)
            fill(f)


if __name__ == "__main__":
    main()
