#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the model goldens beside this file: PyTorch's models, run in float64, as compact fingerprints.

    python3 make_model_goldens.py [CASE...]        needs torch, torchvision, timm (for some cases), safetensors, numpy

ResNets and AlexNet are torchvision's own classes, variant d and squeeze and excitation timm's; Caffe's
two nets and the five-convolution one, which neither has, are written here after their prototxts.

The weights and the pixels are not stored. Both sides make them from one integer hash (test_model.c holds the same
lines in C), as values that float32 holds exactly. What is stored, all computed by PyTorch in float64:

    eval.logits, eval.loss      evaluation mode, before training
    step1.logits, losses        training mode: logits of the first step, the mean losses of three
    grad/NAME                   gradients of the first step          (fingerprints, see fingerprint())
    delta/NAME                  change of every parameter over three SGD steps with momentum and weight decay
    stat/NAME                   every running statistic after three steps
    final.logits                evaluation mode, after training

A ReLU whose input is within rounding of 0, or a max pool whose two largest taps nearly tie, makes a float32 gradient
differ by far more than rounding, and three steps of training blow that up. Two things keep the comparison sharp.
Batch norm's beta is kept away from 0 (twice to four times gamma), so that few inputs come near 0, on either side. And
several seeds are tried: the one is kept whose closest call, in all three steps, is furthest from being decided by
rounding. `margin` is that distance over the root mean square difference of PyTorch's own float32 and float64 runs in
that layer; a seed for which these two decide anything differently is not taken.
"""
import functools
import os
import sys

import numpy as np
import safetensors.torch
import torch
import torchvision
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEPS, LR, MOMENTUM, DECAY, SMOOTHING = 3, 0.01, 0.9, 1e-2, 0.1
ENTRIES, DOTS = 64, 8

#        file                arch        stem        width channels classes  h   w  batch seeds
CASES = [
    ("resnet18",            "resnet18", "imagenet", 1,    3,       1000,   64, 64, 4,    10),
    ("resnet50",            "resnet50", "imagenet", 1,    3,       1000,   40, 40, 4,    10),
    ("resnet34_half",       "resnet34", "imagenet", 0.5,  3,       10,     48, 70, 6,    24),
    ("resnet18_cifar",      "resnet18", "cifar",    0.25, 1,       10,     28, 28, 8,    24),
    ("resnet50_cifar",      "resnet50", "cifar",    0.125, 3,      100,    32, 32, 4,    24),
    ("resnet101",           "resnet101", "cifar",   0.125, 3,      10,     16, 16, 4,    3),
    ("resnet152",           "resnet152", "cifar",   0.125, 3,      10,     16, 16, 4,    3),
    ("resnet50_v1",         "resnet50", "imagenet", 0.125, 3,      10,     64, 48, 4,    5),
    ("resnet50_d",          "resnet50", "imagenet", 0.25,  3,      10,     72, 50, 4,    5),
    ("resnet18_d_cifar",    "resnet18", "cifar",    0.125, 3,      10,     19, 22, 4,    5),
    ("resnet18_se",         "resnet18", "imagenet", 1,     3,      1000,   64, 64, 4,    2),
    ("resnet50_se_c",       "resnet50", "imagenet", 0.25,  3,      10,     64, 64, 4,    5),
    ("resnet34_se_d",       "resnet34", "imagenet", 0.25,  1,      10,     70, 64, 4,    5),
    ("alexnet",             "alexnet",  "imagenet", 0.125, 3,      10,     224, 230, 2,  3),
    ("caffenet",            "caffenet", "imagenet", 0.125, 3,      10,     99, 107, 4,   5),
    ("bvlc_alexnet",        "bvlc-alexnet", "imagenet", 0.125, 3,  10,     99, 107, 4,   5),
    ("ghim5",               "ghim5",    "imagenet", 0.5,   3,      20,     64, 72, 4,    5),
]

# What the columns above do not say. prints: False keeps logits and losses alone (of nets with hundreds of tensors).
MORE = {
    "resnet101": dict(prints=False),
    "resnet152": dict(prints=False),
    "resnet50_v1": dict(variant="v1"),
    "resnet50_d": dict(variant="d"),
    "resnet18_d_cifar": dict(variant="d"),
    "resnet18_se": dict(se=16),
    "resnet50_se_c": dict(variant="c", se=4),
    "resnet34_se_d": dict(variant="d", se=16, se_round=8),
}


# ---- the hash both sides share ----
M64 = (1 << 64) - 1


def fnv1a(text, seed):
    h = (0xCBF29CE484222325 ^ seed) & M64
    for b in text.encode():
        h = ((h ^ b) * 0x100000001B3) & M64
    return h


def hashed(key, n):
    """n 64-bit words: splitmix64's finaliser over key + i * the golden ratio."""
    with np.errstate(over="ignore"):
        x = np.uint64(key) + (np.arange(n, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def unit(key, n):
    """n values of [-1, 1), multiples of 2^-23."""
    return (hashed(key, n) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0


def parameter(name, shape, seed):
    """Value of a parameter or buffer, in torch's order, rounded to float32."""
    u = unit(fnv1a(name, seed), int(np.prod(shape)))
    kind = name.rsplit(".", 1)[1]
    if kind == "running_var":
        v = 1.0 + 0.5 * u
    elif kind == "running_mean":
        v = 0.25 * u
    elif kind == "bias":
        v = np.sign(u) * (1.0 + 0.5 * np.abs(u))
    elif len(shape) == 1:
        v = 0.5 * (1.0 + 0.25 * u)
    else:
        v = u * np.sqrt(3.0 / np.prod(shape[1:]))
    return v.astype(np.float32).reshape(shape)


def fingerprint(name, values):
    """[L2 norm, 8 dot products with vectors of +-1, up to 64 entries]: signs are bits 0..7 of the entry's hash."""
    v = np.asarray(values, dtype=np.float64).ravel()
    h = hashed(fnv1a(name, 1), v.size)
    out = [np.linalg.norm(v)]
    for j in range(DOTS):
        sign = 1.0 - 2.0 * ((h >> np.uint64(j)) & np.uint64(1)).astype(np.float64)
        out.append(float(np.dot(v, sign)))
    if v.size <= ENTRIES:
        out.extend(v)
    else:
        out.extend(v[(hashed(fnv1a(name, 2), ENTRIES) % np.uint64(v.size)).astype(np.int64)])
    return torch.tensor(np.array(out), dtype=torch.float32)


# ---- the network ----
def scaled(c, width):
    return max(8, int(c * width / 8 + 0.5) * 8)


def torchvision_resnet(arch, width, classes):
    block, layers = {
        "resnet18": (torchvision.models.resnet.BasicBlock, [2, 2, 2, 2]),
        "resnet34": (torchvision.models.resnet.BasicBlock, [3, 4, 6, 3]),
        "resnet50": (torchvision.models.resnet.Bottleneck, [3, 4, 6, 3]),
        "resnet101": (torchvision.models.resnet.Bottleneck, [3, 4, 23, 3]),
        "resnet152": (torchvision.models.resnet.Bottleneck, [3, 8, 36, 3]),
    }[arch]
    if width == 1:
        return torchvision.models.get_model(arch, weights=None, num_classes=classes)

    class Narrow(torchvision.models.ResNet):
        def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
            if planes == 64:
                self.inplanes = scaled(64, width)
            return super()._make_layer(block, scaled(planes, width), blocks, stride, dilate)
    m = Narrow(block, layers, num_classes=classes)
    m.fc = nn.Linear(scaled(512, width) * block.expansion, classes)
    return m


def timm_resnet(arch, stem, variant, se, se_round, width, channels, classes):
    """timm's classes. Its plain stem is always 64 wide: narrow ones have the deep stem, or are given another one."""
    import timm.models.resnet as tr
    from timm.layers import SEModule
    block, layers = {"resnet18": (tr.BasicBlock, [2, 2, 2, 2]), "resnet34": (tr.BasicBlock, [3, 4, 6, 3]),
                     "resnet50": (tr.Bottleneck, [3, 4, 6, 3])}[arch]
    deep = variant in ("c", "d") and stem != "cifar"
    args = dict(attn_layer=functools.partial(SEModule, rd_ratio=1 / se, rd_divisor=se_round)) if se else {}
    narrow = width != 1 and not deep
    if narrow:  # make_blocks(block_fns, channels, block_repeats, inplanes, ...): 64 for a plain stem
        original = tr.make_blocks
        tr.make_blocks = lambda *a, **k: original(*a[:3], scaled(64, width), *a[4:], **k)
    m = tr.ResNet(block, layers, num_classes=classes, in_chans=channels, stem_type="deep" if deep else "",
            stem_width=scaled(32, width) if deep else 64, avg_down=variant == "d",
            channels=tuple(scaled(c, width) for c in (64, 128, 256, 512)), block_args=args, zero_init_last=False)
    if narrow:
        tr.make_blocks = original
    return m


def alexnet(width, channels, classes):
    m = torchvision.models.AlexNet(num_classes=classes, dropout=0)
    ic = channels
    for i, (oc, k, s, p) in {0: (64, 11, 4, 2), 3: (192, 5, 1, 2), 6: (384, 3, 1, 1), 8: (256, 3, 1, 1),
                             10: (256, 3, 1, 1)}.items():
        m.features[i] = nn.Conv2d(ic, scaled(oc, width), k, s, p)
        ic = scaled(oc, width)
    hidden = scaled(4096, width)
    m.classifier[1] = nn.Linear(ic * 36, hidden)
    m.classifier[4] = nn.Linear(hidden, hidden)
    m.classifier[6] = nn.Linear(hidden, classes)
    return m


class CaffeNet(nn.Module):
    """BVLC's reference CaffeNet, or its AlexNet, where the normalisation comes before the pool. No dropout."""

    def __init__(self, norm_first, width, channels, classes, h, w):
        super().__init__()
        oc = [scaled(c, width) for c in (96, 256, 384, 384, 256)]
        self.norm_first = norm_first
        self.conv1 = nn.Conv2d(channels, oc[0], 11, 4)
        self.conv2 = nn.Conv2d(oc[0], oc[1], 5, 1, 2, groups=2)
        self.conv3 = nn.Conv2d(oc[1], oc[2], 3, 1, 1)
        self.conv4 = nn.Conv2d(oc[2], oc[3], 3, 1, 1, groups=2)
        self.conv5 = nn.Conv2d(oc[3], oc[4], 3, 1, 1, groups=2)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm = nn.LocalResponseNorm(5, 1e-4, 0.75, 1)
        with torch.no_grad():
            n = self.features(torch.zeros(1, channels, h, w)).shape[1]
        hidden = scaled(4096, width)
        self.fc6 = nn.Linear(n, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, classes)

    def features(self, x):
        for i, conv in enumerate((self.conv1, self.conv2, self.conv3, self.conv4, self.conv5)):
            x = self.relu(conv(x))
            if i < 2:
                x = self.pool(self.norm(x)) if self.norm_first else self.norm(self.pool(x))
        return self.pool(x).flatten(1)

    def forward(self, x):
        x = self.features(x)
        return self.fc8(self.relu(self.fc7(self.relu(self.fc6(x)))))


class Ghim5(nn.Module):
    def __init__(self, width, channels, classes):
        super().__init__()
        ic = channels
        for i, oc in enumerate((64, 64, 128, 128, 256)):
            setattr(self, "conv%d" % (i + 1), nn.Conv2d(ic, scaled(oc, width), 3, 2, 1))
            ic = scaled(oc, width)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(ic, classes)

    def forward(self, x):
        for i in range(5):
            x = self.relu(getattr(self, "conv%d" % (i + 1))(x))
        return self.fc(x.mean((2, 3)))


def build(case):
    name, arch, stem, width, channels, classes, h, w, _, _ = case
    return build_model(arch, stem, width, channels, classes, h, w, **MORE.get(name, {}))


def build_model(arch, stem, width, channels, classes, h, w, **more):
    variant, se = more.get("variant", "none"), more.get("se", 0)
    if arch == "alexnet":
        return alexnet(width, channels, classes)
    if arch in ("caffenet", "bvlc-alexnet"):
        return CaffeNet(arch != "caffenet", width, channels, classes, h, w)
    if arch == "ghim5":
        return Ghim5(width, channels, classes)
    c = scaled(64, width)
    if se or variant in ("c", "d"):
        m = timm_resnet(arch, stem, variant, se, more.get("se_round", 1), width, channels, classes)
    else:
        m = torchvision_resnet(arch, width, classes)
        m.conv1 = nn.Conv2d(channels, c, 7, 2, 3, bias=False)
        m.bn1 = nn.BatchNorm2d(c)
    if variant == "v1":
        for mod in m.modules():
            if isinstance(mod, torchvision.models.resnet.Bottleneck):
                mod.conv1.stride, mod.conv2.stride = mod.conv2.stride, mod.conv1.stride
    if stem == "cifar":
        m.conv1 = nn.Conv2d(channels, c, 3, 1, 1, bias=False)
        m.bn1 = nn.BatchNorm2d(c)
        m.maxpool = nn.Identity()
    return m


def groups_of(m, arch):
    """Caffe's nets: biases learn at twice the rate and do not decay."""
    if arch not in ("caffenet", "bvlc-alexnet", "ghim5"):
        return m.parameters()
    named = list(m.named_parameters())
    return [dict(params=[p for n, p in named if not n.endswith("bias")]),
            dict(params=[p for n, p in named if n.endswith("bias")], lr=2 * LR, weight_decay=0)]


def load(m, seed):
    state = {}
    for name, t in m.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = t
        else:
            state[name] = torch.from_numpy(parameter(name, tuple(t.shape), seed)).to(t.dtype)
    m.load_state_dict(state)


def batch_of(case, seed):
    _, _, _, _, channels, classes, h, w, batch, _ = case
    pixels = (hashed(fnv1a("pixels", seed), batch * h * w * channels) >> np.uint64(56)).astype(np.float64)
    mean, std = (MEAN, STD) if channels == 3 else ((0.449,), (0.226,))
    mean, std = np.array(mean, np.float32).astype(np.float64), np.array(std, np.float32).astype(np.float64)
    x = (pixels.reshape(batch, h, w, channels) / 255 - mean) / std
    labels = (hashed(fnv1a("labels", seed), batch) % np.uint64(classes)).astype(np.int64)
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels)


class Decisions:
    """Collects what ReLUs and max pools decide on, in the order they run. A residual block reuses one ReLU."""

    def __init__(self, m):
        self.seen = []
        for mod in m.modules():
            if isinstance(mod, nn.ReLU):
                mod.inplace = False
                mod.register_forward_pre_hook(lambda _, a: self.seen.append(a[0].detach().double()))
            elif isinstance(mod, nn.MaxPool2d):
                mod.register_forward_pre_hook(lambda p, a: self.seen.append(self.gaps(p, a[0].detach().double())))

    @staticmethod
    def gaps(pool, x):
        """Distance of the two largest taps of each 3x3 window of stride 2; windows of all zeros cannot matter (after ReLU)."""
        b, c, h, w = x.shape
        pad = (pool.padding, pool.padding + pool.ceil_mode) * 2
        x = nn.functional.pad(x, pad, value=-1e30)
        u = nn.functional.unfold(x.reshape(b * c, 1, *x.shape[2:]), 3, stride=2)
        top = u.topk(2, dim=1).values
        return torch.where(top[:, 0] == 0, torch.full_like(top[:, 0], 1e30), top[:, 0] - top[:, 1])


def run(case, seed, dtype, record):
    torch.manual_seed(0)
    m = build(case).to(dtype)
    record = record and MORE.get(case[0], {}).get("prints", True)
    load(m, seed)
    before = {n: p.detach().clone() for n, p in m.named_parameters()}
    x, y = batch_of(case, seed)
    x = x.to(dtype)
    out = {}
    m.eval()
    with torch.no_grad():
        logits = m(x)
        out["eval.logits"] = logits
        out["eval.loss"] = nn.functional.cross_entropy(logits, y).reshape(1)
    m.train()
    decisions = Decisions(m)
    opt = torch.optim.SGD(groups_of(m, case[1]), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    losses = []
    for step in range(STEPS):
        opt.zero_grad()
        logits = m(x)
        loss = nn.functional.cross_entropy(logits, y, label_smoothing=SMOOTHING)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            out["step1.logits"] = logits.detach()
            if record:
                for n, p in m.named_parameters():
                    out["grad/" + n] = fingerprint(n, p.grad.numpy())
        opt.step()
    out["losses"] = torch.tensor(losses, dtype=torch.float64)
    if record:
        for n, p in m.named_parameters():
            out["delta/" + n] = fingerprint(n, (p.detach() - before[n]).numpy())
        for n, b in m.named_buffers():
            if not n.endswith("num_batches_tracked"):
                out["stat/" + n] = fingerprint(n, b.numpy())
    seen = decisions.seen
    m.eval()
    with torch.no_grad():
        out["final.logits"] = m(x)
    return out, seen


def margin_of(case, seed):
    """0 when float32 and float64 decide anything differently."""
    _, a = run(case, seed, torch.float64, False)
    _, b = run(case, seed, torch.float32, False)
    worst = float("inf")
    for d, s in zip(a, b):
        counts = d.abs() < 1e29
        if not torch.equal(counts, s.abs() < 1e29) or not torch.equal(d.sign(), s.sign()):
            return 0.0
        noise = (d - s)[counts].pow(2).mean().sqrt()
        worst = min(worst, (d[counts].abs().min() / noise).item())
    return worst


def main():
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    wanted = sys.argv[1:]
    for case in CASES:
        name = case[0]
        if wanted and name not in wanted:
            continue
        best, seed = max((margin_of(case, s), s) for s in range(1, case[9] + 1))
        if not best > 0:
            sys.exit("%s: no seed without a decision at the edge of float32; try more" % name)
        out, _ = run(case, seed, torch.float64, True)
        _, arch, stem, width, channels, classes, h, w, batch, _ = case
        more = MORE.get(name, {})
        meta = dict(arch=arch, stem=stem, width=width, channels=channels, classes=classes, height=h, width_px=w,
                    batch=batch, seed=seed, steps=STEPS, lr=LR, momentum=MOMENTUM, weight_decay=DECAY,
                    smoothing=SMOOTHING, variant=more.get("variant", "none"), se=more.get("se", 0),
                    se_round=more.get("se_round", 1), prints=int(more.get("prints", True)), margin="%.3g" % best, made_by="torch %s, torchvision %s%s, float64" %
                    (torch.__version__.split("+")[0], torchvision.__version__.split("+")[0],
                     ", timm " + sys.modules["timm"].__version__ if "timm" in sys.modules else ""))
        path = os.path.join(HERE, "model_%s.safetensors" % name)
        safetensors.torch.save_file({k: v.to(torch.float32).contiguous() for k, v in out.items()}, path,
                                    {k: str(v) for k, v in meta.items()})
        print("%s: seed %d, margin %.3g, losses %s, |logits| %.3g, %d bytes" % (
            path, seed, best, [round(v, 5) for v in out["losses"].tolist()], out["eval.logits"].abs().max(),
            os.path.getsize(path)), flush=True)


if __name__ == "__main__":
    main()
