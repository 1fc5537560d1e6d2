#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_loader.py DB [--size 224] [--resize-short 256] [--seed 1] [--rn-bench bin/rn-bench]

Compares whole batches that come out of the loader with torchvision on PIL images, pixel for pixel, over all records of a set
packed with --encode keep or jpeg. Evaluation: Resize and CenterCrop. Training with --exact: the crops of
RandomResizedCrop.get_params with its random numbers drawn from ours, resize, flip, then ColorJitter's four adjustments. Needs
torch, torchvision, Pillow, numpy, lmdb; run by hand. Exit status 0 when no pixel differs.
"""
import argparse
import io
import os
import subprocess
import sys
import tempfile

import lmdb
import numpy as np
import torch
import torchvision.transforms as T
import torchvision.transforms.functional as F
from PIL import Image

from check_torchvision import datum
from philox import Philox

SHUFFLE, AUGMENT = 2, 3
JITTER = (0.4, 0.4, 0.4, 0.1)
ADJUST = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)


def records(path):
    with lmdb.open(path, readonly=True, lock=False) as env, env.begin() as txn:
        return [datum(v) for _, v in txn.cursor()]


def loader(a, *options):
    """The first epoch as rn-bench writes it."""
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "dump")
        subprocess.run([a.rn_bench, "loader", a.db, "--size", str(a.size), "--seed", str(a.seed), "--batch", "17", "--rounds", "1",
                        "--seconds", "0", "--resize-short", str(a.resize_short), "--dump", out, *options],
                       check=True, stdout=subprocess.DEVNULL)
        return np.fromfile(out, [("index", "u4"), ("label", "i4"), ("pixels", "u1", (a.size, a.size, 3))])


class Draw:
    """torchvision's random numbers out of ours."""

    def __init__(self, seed, index):
        self.rng = Philox(seed, AUGMENT, 0, index)

    def crop(self, image):
        torch.Tensor.uniform_ = lambda t, lo, hi: t.fill_(torch.tensor(self.rng.uniform(float(lo), float(hi))))
        torch.randint = lambda lo, hi, size: torch.tensor([lo + self.rng.below(hi - lo)])
        return T.RandomResizedCrop.get_params(image, (0.08, 1.0), (3.0 / 4.0, 4.0 / 3.0))

    def flip(self):
        return self.rng.u32() >> 31

    def jitter(self):
        order = [0, 1, 2, 3]
        self.rng.shuffle(order)
        factor = []
        for op, x in enumerate(np.float32(JITTER).astype(float)):
            middle = 0 if op == 3 else 1
            factor.append(float(np.float32(middle - x + ((middle + x) - (middle - x)) * self.rng.unit())))
        return [(ADJUST[op], factor[op]) for op in order]


def train(image, a, index, jitter):
    draw = Draw(a.seed, index)
    y, x, h, w = draw.crop(image)
    out = F.resized_crop(image, y, x, h, w, [a.size, a.size])
    if draw.flip():
        out = F.hflip(out)
    if jitter:
        for adjust, factor in draw.jitter():
            out = adjust(out, factor)
    return np.asarray(out)


def compare(what, got, want):
    bad = 0
    for row in got:
        data, label = want(int(row["index"]))
        bad += row["label"] != label or not np.array_equal(row["pixels"], data)
    print("%s: %d images, %d differ" % (what, len(got), bad))
    return bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("db")
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--resize-short", type=int, default=256)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--rn-bench", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bin/rn-bench"))
    a = p.parse_args()
    sets = records(a.db)
    image = lambda i: Image.open(io.BytesIO(sets[i][4])).convert("RGB")
    label = lambda i: sets[i].get(5, 0)
    evaluation = T.Compose([T.Resize(a.resize_short), T.CenterCrop(a.size)])
    bad = 0
    got = loader(a, "--mode", "eval")
    assert got["index"].tolist() == list(range(len(sets)))
    bad += compare("evaluation", got, lambda i: (np.asarray(evaluation(image(i))), label(i)))
    order = list(range(len(sets)))
    Philox(a.seed, SHUFFLE, 0, 0).shuffle(order)
    for what, jitter in (("training", False), ("training with colour jitter", True)):
        got = loader(a, "--exact", *(["--color-jitter", ",".join(map(str, JITTER))] if jitter else []))
        assert got["index"].tolist() == order
        bad += compare(what, got, lambda i: (train(image(i), a, i, jitter), label(i)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
