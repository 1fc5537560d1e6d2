#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes half_*.safetensors beside this file: what bf16 and f16 activations make of the nets of make_model_goldens.py.

    python3 make_half_goldens.py [CASE...]        needs what make_model_goldens.py needs

16 bits change a net by more than f32 does by some 10^4, and how much depends on the net: three steps at a rate that is too
high for an AlexNet multiply the first step's roundings a hundredfold. A bound on the distance from float64 would have to
be as wide as the worst of that. So PyTorch computes the same roundings here: its modules run in float64, and whatever
rn_net stores in 16 bits (activations, their gradients, the copy of a convolution's weights) is rounded where it is stored,
to nearest even. The rest (masters, their gradients, statistics, scores, losses) is not. The test compares with that.

What is left between the two is the order of sums: float32 sums that fall on the other side of a tie are rounded the other way,
and in a deep net the next layers make of one such element what they make of any rounding. How far that goes, three runs of
the emulation with float32 sums in three orders say:

    allowed = 1/2 * |emulation - float64| + 3 * the furthest of |float32 emulation - emulation|

per number for scores and losses, per tensor for gradients, changes and statistics (there no less than the median tensor's).
The first term is the yardstick: half of what 16 bits do to this net at all. A rounding that is missing, or one too many on the
way, is found in the nets where the second term is small: those without batch norm.

For each net two lines are printed, too: how far the emulation, and PyTorch's own autocast, are from float64. This script
refuses to write a golden that is further off than autocast by more than half.

    TYPE/eval.logits, eval.loss, step1.logits, losses, final.logits         as in model_*.safetensors
    TYPE/NAME.allowed                                                       of each of these; losses: one for each
    TYPE/grad, delta, stat            a row per tensor, in the order of the model: norm, dot products, allowed
"""
import os
import sys

import numpy as np
import safetensors
import safetensors.torch
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import make_model_goldens as mm

TYPES = {"bf16": (torch.bfloat16, 1.0), "f16": (torch.float16, 65536.0)}  # and the loss scale that training starts with
AUTOCAST_SCALE = 1024.0  # its gradients of weights are f16, too, and overflow sooner


class Emulated:
    """A net's modules with a rounding wherever rn_net stores an activation or the gradient of one."""

    def __init__(self, m, dtype):
        self.m = m

        def narrow(x):
            return x.float().to(dtype).to(x.dtype)

        class Store(torch.autograd.Function):  # a value and its gradient
            @staticmethod
            def forward(_, x):
                return narrow(x)

            @staticmethod
            def backward(_, g):
                return narrow(g)

        class Copy(torch.autograd.Function):  # of weights, whose gradient is float32
            @staticmethod
            def forward(_, x):
                return narrow(x)

            @staticmethod
            def backward(_, g):
                return g

        class First(torch.autograd.Function):  # of two readers: its gradient is stored before the other's is added
            @staticmethod
            def forward(_, x):
                return x.view_as(x)

            @staticmethod
            def backward(_, g):
                return narrow(g)

        self.narrow, self.store, self.copy, self.first = narrow, Store.apply, Copy.apply, First.apply

    def conv(self, c, x):
        """A bias is added, with its ReLU, to what the convolution stored."""
        y = self.store(F.conv2d(x, self.copy(c.weight), None, c.stride, c.padding, c.dilation, c.groups))
        return y if c.bias is None else self.store(F.relu(y + c.bias.view(1, -1, 1, 1)))

    def norm(self, bn, x, res=0, relu=True):
        y = bn(x) + res
        return self.store(F.relu(y) if relu else y)

    def __call__(self, x):
        x = self.narrow(x)
        for kind, f in ((mm.CaffeNet, self.caffenet), (mm.Ghim5, self.ghim5), (torchvision.models.AlexNet, self.alexnet)):
            if isinstance(self.m, kind):
                return f(x)
        return self.resnet(x)

    def alexnet(self, x):
        f, c = self.m.features, self.m.classifier
        for i in (0, 3, 6, 8, 10):
            x = self.conv(f[i], x)
            if i in (0, 3, 10):
                x = self.store(F.max_pool2d(x, 3, 2))
        x = x.flatten(1)
        for i in (1, 4):
            x = F.relu(self.store(c[i](x)))
        return c[6](x)

    def caffenet(self, x):
        m = self.m
        for i, c in enumerate((m.conv1, m.conv2, m.conv3, m.conv4, m.conv5)):
            x = self.conv(c, x)
            after = [m.norm, m.pool] if m.norm_first else [m.pool, m.norm]
            for f in after if i < 2 else [m.pool] if i == 4 else []:
                x = self.store(f(x))
        x = x.flatten(1)
        for fc in (m.fc6, m.fc7):
            x = F.relu(self.store(fc(x)))
        return m.fc8(x)

    def ghim5(self, x):
        for i in range(5):
            x = self.conv(getattr(self.m, "conv%d" % (i + 1)), x)
        return self.m.fc(self.store(x.mean((2, 3))))

    def resnet(self, x):
        m = self.m
        stem = list(m.conv1) if isinstance(m.conv1, nn.Sequential) else [m.conv1]
        convs = [l for l in stem if isinstance(l, nn.Conv2d)]
        norms = [l for l in stem if isinstance(l, nn.BatchNorm2d)] + [m.bn1]
        for conv, bn in zip(convs, norms):
            x = self.norm(bn, self.conv(conv, x))
        if not isinstance(m.maxpool, nn.Identity):
            x = self.store(m.maxpool(x))
        for stage in (m.layer1, m.layer2, m.layer3, m.layer4):
            for block in stage:
                x = self.block(block, x)
        return m.fc(self.store(x.mean((2, 3))))

    def block(self, b, x):
        main = res = x
        if b.downsample is not None:
            main = self.first(x)  # the main branch's gradient is stored, the shortcut's added
            for layer in b.downsample:
                if isinstance(layer, nn.Conv2d):
                    res = self.conv(layer, res)
                elif isinstance(layer, nn.BatchNorm2d):
                    res = self.norm(layer, res, relu=False)
                elif isinstance(layer, nn.AvgPool2d):
                    res = self.store(layer(res))
        se, last = getattr(b, "se", None), 3 if hasattr(b, "conv3") else 2
        for i in range(1, last):
            main = self.norm(getattr(b, "bn%d" % i), self.conv(getattr(b, "conv%d" % i), main))
        main, bn = self.conv(getattr(b, "conv%d" % last), main), getattr(b, "bn%d" % last)
        if se is None:
            return self.norm(bn, main, res)
        main = self.norm(bn, main, relu=False)
        s = self.store(main.mean((2, 3), keepdim=True))
        s = F.relu(self.store(se.fc1(s)))
        s = self.store(torch.sigmoid(self.store(se.fc2(s))))
        return self.store(F.relu(self.first(main) * s + res))


def run(case, seed, real, scale=1.0, emulate=None, autocast=None, channels_last=False):
    """Everything that training three steps shows, in float64."""
    torch.manual_seed(0)
    m = mm.build(case).to(real)
    if channels_last:
        m = m.to(memory_format=torch.channels_last)
    mm.load(m, seed)
    for mod in m.modules():
        if isinstance(mod, nn.ReLU):
            mod.inplace = False
    before = {n: p.detach().clone() for n, p in m.named_parameters()}
    x, y = mm.batch_of(case, seed)
    x = x.to(real)
    net = Emulated(m, emulate) if emulate else m

    def scores():
        with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
            return net(x).to(real)

    out = {}
    m.eval()
    with torch.no_grad():
        out["eval.logits"] = scores()
        out["eval.loss"] = F.cross_entropy(out["eval.logits"], y).reshape(1)
    m.train()
    opt = torch.optim.SGD(mm.groups_of(m, case[1]), lr=mm.LR, momentum=mm.MOMENTUM, weight_decay=mm.DECAY)
    losses = []
    for step in range(mm.STEPS):
        opt.zero_grad()
        z = scores()
        loss = F.cross_entropy(z, y, label_smoothing=mm.SMOOTHING)
        (loss * scale).backward()
        for p in m.parameters():
            p.grad /= scale
        losses.append(loss.item())
        if step == 0:
            out["step1.logits"] = z.detach()
            out.update({"grad/" + n: p.grad.clone() for n, p in m.named_parameters()})
        opt.step()
    out["losses"] = torch.tensor(losses)
    out.update({"delta/" + n: p.detach() - before[n] for n, p in m.named_parameters()})
    out.update({"stat/" + n: b.clone() for n, b in m.named_buffers() if not n.endswith("num_batches_tracked")})
    m.eval()
    with torch.no_grad():
        out["final.logits"] = scores()
    return {k: v.detach().double() for k, v in out.items()}


# ---- distances: as the test takes them ----
SCORES, LOSSES, TENSORS = ("eval.logits", "step1.logits", "final.logits"), ("eval.loss", "losses"), ("grad", "delta", "stat")


def prints(name, v):
    """Norm and dot products of mm.fingerprint()."""
    return mm.fingerprint(name, v.numpy())[:1 + mm.DOTS].double()


def tensors(out, kind):
    return [k.split("/", 1)[1] for k in out if k.startswith(kind + "/")]


def distance(a, b):
    """Of every number (scores: of all of them), relative; of a tensor, the furthest of its prints, to the norm."""
    d = {k: [((a[k] - b[k]).abs().max() / b[k].abs().max()).item()] for k in SCORES}
    d.update({k: ((a[k] - b[k]).abs() / b[k].abs()).tolist() for k in LOSSES})
    for kind in TENSORS:
        d[kind] = []
        for n in tensors(b, kind):
            x, y = prints(n, a[kind + "/" + n]), prints(n, b[kind + "/" + n])
            d[kind].append(((x - y).abs().max() / y[0]).item() if y[0] > 0 else 0.0)
    return d


def whole_gradient(a, b):
    keys = [k for k in b if k.startswith("grad/")]
    return (sum((a[k] - b[k]).square().sum() for k in keys) / sum(b[k].square().sum() for k in keys)).sqrt().item()


def bounds(off, others):
    """allowed, as the text above says. A loss is one number, which may be near by chance: it is allowed what those before
    it are, and what the scores are."""
    allowed = {k: [0.5 * off[k][i] + 3 * max(o[k][i] for o in others) for i in range(len(off[k]))] for k in off}
    for k in TENSORS:
        if allowed[k]:
            allowed[k] = [max(v, float(np.median(allowed[k]))) for v in allowed[k]]
    first = max(allowed["eval.logits"] + allowed["step1.logits"])
    allowed["eval.loss"] = [max(allowed["eval.loss"] + [first])]
    allowed["losses"] = [max(allowed["losses"][:i + 1] + [first]) for i in range(mm.STEPS)]
    return allowed


def show(name, what, out, ref):
    d = distance(out, ref)
    print("%-18s %-14s scores %.2g, losses %s, after training %.2g, gradient %.2g" % (
        name, what, max(d["eval.logits"] + d["step1.logits"]), " ".join("%.2g" % v for v in d["losses"]),
        d["final.logits"][0], whole_gradient(out, ref)), flush=True)


def emulate(case, seed, dtype, scale):
    """The emulation, and how far float32 sums in other orders take it."""
    out = run(case, seed, torch.float64, scale, emulate=dtype)
    others = []
    for channels_last, mkldnn in ((False, True), (True, True), (False, False)):
        with torch.backends.mkldnn.flags(enabled=mkldnn):
            others.append(run(case, seed, torch.float32, scale, emulate=dtype, channels_last=channels_last))
    return out, [distance(o, out) for o in others]


def tensors_of(case, seed, ref, name):
    dtype, scale = TYPES[name]
    out, others = emulate(case, seed, dtype, scale)
    auto = run(case, seed, torch.float32, AUTOCAST_SCALE if name == "f16" else 1.0, autocast=dtype)
    show(case[0], name + " emulated", out, ref)
    show(case[0], name + " autocast", auto, ref)
    d, a = distance(out, ref), distance(auto, ref)
    for what, mine, theirs in [(k, d[k][0], a[k][0]) for k in ("eval.logits", "step1.logits")] + [
            ("gradient", whole_gradient(out, ref), whole_gradient(auto, ref))]:
        if not mine <= 1.5 * theirs:
            sys.exit("%s in %s: %s is off by %.3g, autocast by %.3g" % (case[0], name, what, mine, theirs))
    allowed = bounds(d, others)
    t = {k: out[k] for k in SCORES + LOSSES}
    t.update({k + ".allowed": torch.tensor(allowed[k]) for k in SCORES + LOSSES})
    for kind in TENSORS:
        names = tensors(out, kind) if mm.MORE.get(case[0], {}).get("prints", True) else []
        if names:
            t[kind] = torch.stack([torch.cat([prints(n, out[kind + "/" + n]), torch.tensor([v]).double()])
                                   for n, v in zip(names, allowed[kind])])
    return {name + "/" + k: v.to(torch.float32).contiguous() for k, v in t.items()}


def main():
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    for case in mm.CASES:
        if sys.argv[1:] and case[0] not in sys.argv[1:]:
            continue
        with safetensors.safe_open(os.path.join(mm.HERE, "model_%s.safetensors" % case[0]), "pt") as g:
            meta, logits = g.metadata(), g.get_tensor("eval.logits")
        seed = int(meta["seed"])
        ref = run(case, seed, torch.float64)
        if not torch.allclose(ref["eval.logits"].float(), logits, 1e-6, 1e-6):
            sys.exit("%s: not the net of model_%s.safetensors: make that anew first" % (case[0], case[0]))
        out = {}
        for name in TYPES:
            out.update(tensors_of(case, seed, ref, name))
        path = os.path.join(mm.HERE, "half_%s.safetensors" % case[0])
        safetensors.torch.save_file(out, path, {"f16_scale": "%g" % TYPES["f16"][1], "made_by": "torch %s, torchvision %s" % (
            torch.__version__.split("+")[0], torchvision.__version__.split("+")[0])})


if __name__ == "__main__":
    main()
