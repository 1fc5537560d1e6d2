# SPDX-License-Identifier: MIT
"""step_torch.py --arch NAME --image-size N --batch N --dtype f32|bf16 [--device cuda]: whole training steps of torchvision's model on made-up images.

Stays open, so that its rounds can alternate with another program's: after a line that says it is ready it reads lines `eager N` or
`compile N` from stdin and answers each with one line of JSON, {"mode", "ms": [N times]}; the first step of each is not among them. Ends
with stdin. channels_last; bf16 by autocast, as PyTorch's documentation has it; SGD with momentum in its fused form. The images are on
hand, normalised, in f32: neither their way here nor that is in the time.
On the CPU a step is timed by the clock and the loss is fetched every step, as whoever logs it does. On a GPU it is timed by the
device's events, nothing is fetched before the last step, cuDNN benchmarks its algorithms, and `compile` is max-autotune, loss
included, which replays CUDA graphs.
"""
import argparse
import contextlib
import json
import sys
import time

import peer
import torch
from torch import nn
from train_torch import DEFAULTS, model_of


class Trainer:
    def __init__(self, a):
        torch.manual_seed(1)
        self.dtype, self.device = a.dtype, a.device
        torch.backends.cudnn.benchmark = True
        r = {**DEFAULTS, "arch": a.arch, "stem": a.stem, "width": str(a.width)}
        self.net = model_of(r, a.classes).to(a.device, memory_format=torch.channels_last)
        self.opt = torch.optim.SGD(self.net.parameters(), 1e-12, 0.9, weight_decay=1e-4, fused=True)
        self.x = torch.randn(a.batch, 3, a.image_size, a.image_size).to(a.device).contiguous(memory_format=torch.channels_last)
        self.y = torch.randint(a.classes, (a.batch,)).to(a.device)
        self.loss = nn.CrossEntropyLoss()
        self.ways = {"eager": self.forward}

    def forward(self, x, y):
        with torch.autocast(self.device, torch.bfloat16) if self.dtype == "bf16" else contextlib.nullcontext():
            return self.loss(self.net(x), y)

    def step(self, mode):
        if mode not in self.ways:
            self.ways[mode] = torch.compile(self.forward, mode="max-autotune" if self.device == "cuda" else None)
            for _ in range(4): # what is compiled, tuned and captured only once
                self.step(mode)
        loss = self.ways[mode](self.x, self.y)
        self.opt.zero_grad(set_to_none=True)
        loss.backward()
        self.opt.step()
        return loss.detach()

    def times(self, mode, n):
        return self.times_by_events(mode, n) if self.device == "cuda" else self.times_by_clock(mode, n)

    def times_by_clock(self, mode, n):
        ms = []
        for _ in range(n + 1):
            begin = time.perf_counter()
            self.step(mode).item()
            ms.append(round((time.perf_counter() - begin) * 1e3, 4))
        return ms[1:]

    def times_by_events(self, mode, n):
        events = [torch.cuda.Event(enable_timing=True) for _ in range(n + 2)]
        for e in events:
            e.record()
            loss = self.step(mode)
        assert loss.isfinite().item()
        torch.cuda.synchronize()
        return [round(a.elapsed_time(b), 4) for a, b in zip(events[1:], events[2:])]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--arch", default="resnet18")
    p.add_argument("--stem", default="imagenet")
    p.add_argument("--width", type=float, default=1)
    p.add_argument("--image-size", type=int, default=224)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--classes", type=int, default=1000)
    p.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    p.add_argument("--threads", type=int, default=peer.cores())
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    trainer = Trainer(a)
    hello = {"ready": f"PyTorch {torch.__version__}", "onednn": torch.backends.mkldnn.is_available(), "threads": torch.get_num_threads()}
    if a.device == "cuda":
        hello.update(cudnn=torch.backends.cudnn.version(), cuda=torch.version.cuda, gpu=torch.cuda.get_device_name())
    print(json.dumps(hello), flush=True)
    for line in sys.stdin:
        mode, n = line.split()
        print(json.dumps({"mode": mode, "ms": trainer.times(mode, int(n))}), flush=True)


if __name__ == "__main__":
    main()
