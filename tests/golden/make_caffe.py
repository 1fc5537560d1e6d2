#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes caffe_init.safetensors and caffe_steps.safetensors: caffe.prototxt and caffe_solver.prototxt in PyTorch's ops and float64,
with Caffe's own arithmetic written out where PyTorch's differs (running statistics, update). test_caffe.c compares.

    python tests/golden/make_caffe.py
"""
import os
import sys

import safetensors.torch
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH, STEPS, ITER_SIZE = 4, 4, 2
LR, GAMMA, STEPVALUES, MOMENTUM, DECAY, CLIP = 0.05, 0.3, (1, 3), 0.8, 0.02, 11
#          shape            lr_mult decay_mult
PARAMS = {"conv1.weight": ((6, 3, 3, 3), 1, 1), "conv1.bias": ((6,), 2, 0), "scale1.weight": ((6,), 1, 1), "scale1.bias": ((6,), 1, 1),
          "conv2.weight": ((8, 3, 3, 1), .5, 2), "conv2.bias": ((8,), 1, 1), "conv3.weight": ((8, 6, 1, 1), 1, 1),
          "scale3.weight": ((8,), 1, 1), "ip1.weight": ((10, 16 * 3 * 3), 1, 1), "ip1.bias": ((10,), 1, 1),
          "ip2.weight": ((5, 10), 1, 1), "ip2.bias": ((5,), 2, 0)}
NORMS = {"bn1": (6, 0.9, 1e-4), "bn2": (8, 0.999, 1e-5), "bn3": (8, 0.5, 1e-5)}  # channels, fraction, eps


class Norm:
    """Caffe's BatchNorm: sums that forget, and what they are divided by."""

    def __init__(self, channels, fraction, eps, dtype):
        self.mean, self.var = torch.zeros(channels, dtype=dtype), torch.zeros(channels, dtype=dtype)
        self.count, self.fraction, self.eps = 0.0, fraction, eps

    def __call__(self, x, train):
        if train:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            m = x.numel() / x.shape[1]
            self.count = self.count * self.fraction + 1
            self.mean = self.mean * self.fraction + mean.detach()
            self.var = self.var * self.fraction + var.detach() * m / (m - 1)
        else:
            mean, var = self.mean / self.count, self.var / self.count
        shape = (1, -1, 1, 1)
        return (x - mean.reshape(shape)) / (var.reshape(shape) + self.eps).sqrt()


def forward(p, norms, x, train):
    def scale(x, name):
        y = x * p[name + ".weight"].reshape(1, -1, 1, 1)
        return y + p[name + ".bias"].reshape(1, -1, 1, 1) if name + ".bias" in p else y
    x = F.conv2d(x, p["conv1.weight"], p["conv1.bias"], stride=2, padding=1)
    x = F.relu(scale(norms["bn1"](x, train), "scale1"))
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    # Caffe's and PyTorch's LRN both divide alpha by the size.
    norm1 = F.local_response_norm(x, 3, alpha=0.5, beta=0.75, k=2)
    conv2 = F.conv2d(norm1, p["conv2.weight"], p["conv2.bias"], padding=(1, 0), groups=2)
    conv3 = F.conv2d(norm1, p["conv3.weight"])
    total = F.relu(norms["bn2"](conv2, train) + scale(norms["bn3"](conv3, train), "scale3"))
    mix = 0.5 * total - 1.5 * conv3 + conv2
    x = F.avg_pool2d(torch.cat([total, mix], 1), 3, 2, 1, ceil_mode=True, count_include_pad=True)
    x = F.relu(F.linear(x.flatten(1), p["ip1.weight"], p["ip1.bias"]))
    return F.linear(x, p["ip2.weight"], p["ip2.bias"])


def run(init, images, labels, dtype):
    p = {n: v.to(dtype, copy=True).requires_grad_() for n, v in init.items()}
    norms = {n: Norm(*a, dtype) for n, a in NORMS.items()}
    history = {n: torch.zeros_like(v) for n, v in p.items()}
    out, losses, clipped = {}, [], []
    for step in range(STEPS):
        for v in p.values():
            v.grad = None
        for i in range(ITER_SIZE):
            k = (step * ITER_SIZE + i) % len(images)
            logits = forward(p, norms, images[k].to(dtype), True)
            loss = F.cross_entropy(logits, labels[k])
            loss.backward()  # gradients of the iteration's batches add up
            losses.append(loss.item())
            if step == 0 and i == 0:
                out["logits"] = logits.detach()
                out.update({"grad/" + n: v.grad.clone() for n, v in p.items()})
        rate = LR * GAMMA ** sum(s <= step for s in STEPVALUES)
        norm = sum(v.grad.pow(2).sum() for v in p.values()).sqrt()
        factor = CLIP / norm if norm > CLIP else 1
        clipped.append(bool(norm > CLIP))
        with torch.no_grad():
            for n, v in p.items():  # clip, divide by iter_size, decay, then momentum with the rate inside
                g = v.grad * factor / ITER_SIZE + DECAY * PARAMS[n][2] * v
                history[n] = MOMENTUM * history[n] + rate * PARAMS[n][1] * g
                v -= history[n]
    assert True in clipped and False in clipped, clipped
    out["losses"] = torch.tensor(losses, dtype=dtype)
    out.update({"final/" + n: v.detach() for n, v in p.items()})
    for n, m in norms.items():
        out["final/%s.running_mean" % n], out["final/%s.running_var" % n] = m.mean / m.count, m.var / m.count
    with torch.no_grad():
        out["eval"] = forward(p, norms, images[0].to(dtype), False)
    return out


def main():
    torch.set_num_threads(1)
    for seed in range(1, 100):
        torch.manual_seed(seed)
        init = {n: torch.randn(s) * (0.5 if len(s) == 1 else 0.4) for n, (s, _, _) in PARAMS.items()}
        images = [torch.randn(BATCH, 3, 15, 15) for _ in range(2)]
        labels = [torch.randint(5, (BATCH,)) for _ in range(2)]
        try:
            a, b = run(init, images, labels, torch.float64), run(init, images, labels, torch.float32)
        except AssertionError:
            continue
        # A decision (ReLU, maximum) at the edge of float32 would make a comparison of float32 with float64 meaningless.
        # (The gradient of a bias before a batch norm is 0 but for rounding.)
        if max(((a[n] - b[n]).abs().max() / a[n].abs().max().clamp(min=0.01)).item() for n in a) < 2e-5:
            break
    else:
        sys.exit("no seed without a decision at the edge of float32")
    file = dict(init)
    for n, (c, _, _) in NORMS.items():
        file[n + ".running_mean"], file[n + ".running_var"] = torch.zeros(c), torch.ones(c)
    file["bn2.weight"], file["bn2.bias"], file["scale3.bias"] = torch.ones(8), torch.zeros(8), torch.zeros(8)
    safetensors.torch.save_file({n: v.contiguous() for n, v in file.items()}, os.path.join(HERE, "caffe_init.safetensors"))
    a = {n: v.to(torch.float32).contiguous() for n, v in a.items()}
    for k in range(2):
        a["images%d" % k] = images[k].permute(0, 2, 3, 1).contiguous()
        a["labels%d" % k] = labels[k].to(torch.float32)
    safetensors.torch.save_file(a, os.path.join(HERE, "caffe_steps.safetensors"),
                                {"made_by": "torch %s, float64, seed %d" % (torch.__version__.split("+")[0], seed)})
    print("seed", seed, "losses", [round(v, 4) for v in a["losses"].tolist()])


if __name__ == "__main__":
    main()
