#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""loader_torchvision.py SRC [--mode train|eval] [--size 224] [--batch 64] [--workers 1] [--seconds 1] [--rounds 5]

What `rn-bench loader` does, done by torchvision's DataLoader: SRC is a class-folder tree (ImageFolder), or an LMDB of Caffe's
Datum records (read with Python's lmdb). Random resized crop and flip, or resize and centre crop, and the pixels as uint8
tensors: no normalisation, as in rn-bench. Prints rn-bench's JSON keys; CPU time is that of this process and its workers.
Needs torch, torchvision, Pillow, and lmdb for an LMDB.
"""
import argparse
import io
import json
import os
import resource
import statistics
import sys
import time

import torch
from PIL import Image
from torchvision import datasets, transforms


def varint(b, i):
    v = shift = 0
    while True:
        v |= (b[i] & 127) << shift
        shift += 7
        i += 1
        if b[i - 1] < 128:
            return v, i


def datum(b):
    """(image bytes, label) of an encoded Datum; b may be a memoryview into the map."""
    data, label, i = None, 0, 0
    while i < len(b):
        tag, i = varint(b, i)
        if tag & 7 == 0:
            v, i = varint(b, i)
            if tag >> 3 == 5:
                label = v
        elif tag & 7 == 2:
            n, i = varint(b, i)
            if tag >> 3 == 4:
                data = b[i:i + n]
            i += n
        else:
            sys.exit("a Datum with wire type %d" % (tag & 7))
    return data, label


class Packed(torch.utils.data.Dataset):
    """Opened by the worker that reads: an environment must not be carried through a fork."""

    def __init__(self, path, transform):
        import lmdb
        self.lmdb, self.path, self.transform, self.txn = lmdb, path, transform, None
        with lmdb.open(path, readonly=True, lock=False) as env, env.begin() as txn:
            self.keys = [bytes(k) for k, _ in txn.cursor()]

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, i):
        if self.txn is None:
            self.env = self.lmdb.open(self.path, readonly=True, lock=False, readahead=False)
            self.txn = self.env.begin(buffers=True)
        data, label = datum(self.txn.get(self.keys[i]))
        return self.transform(Image.open(io.BytesIO(data)).convert("RGB")), label


def cpu_seconds():
    """Of this process and of its running workers."""
    total = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    tick = os.sysconf("SC_CLK_TCK")
    for pid in os.listdir("/proc"):
        try:
            with open("/proc/%s/stat" % pid) as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if pid.isdigit() and int(fields[1]) == os.getpid():
            total += (int(fields[11]) + int(fields[12])) / tick
    return total


def main():
    p = argparse.ArgumentParser()
    p.add_argument("src")
    p.add_argument("--mode", choices=["train", "eval"], default="train")
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--resize-short", type=int, default=256)
    p.add_argument("--seconds", type=float, default=1)
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args()
    torch.set_num_threads(1)
    if a.mode == "train":
        steps = [transforms.RandomResizedCrop(a.size), transforms.RandomHorizontalFlip()]
    else:
        steps = [transforms.Resize(a.resize_short), transforms.CenterCrop(a.size)]
    steps = transforms.Compose(steps + [transforms.PILToTensor()])
    packed = os.path.isfile(os.path.join(a.src, "data.mdb"))
    data = Packed(a.src, steps) if packed else datasets.ImageFolder(a.src, steps)
    # One long epoch: the set many times over, so that no restart of the workers is timed.
    many = torch.utils.data.ConcatDataset([data] * max(1, 400000 // len(data)))
    loader = iter(torch.utils.data.DataLoader(many, batch_size=a.batch, shuffle=a.mode == "train", num_workers=a.workers))
    rates, cores, total = [], [], 0
    for _ in range(2 + 2 * a.workers):
        next(loader)
    for _ in range(a.rounds):
        start, cpu, n = time.monotonic(), cpu_seconds(), 0
        while True:
            n += len(next(loader)[1])
            if time.monotonic() - start >= a.seconds:
                break
        rates.append(n / (time.monotonic() - start))
        cores.append(n / (cpu_seconds() - cpu))
        total += n

    def iqr(v):
        q = statistics.quantiles(v, n=4, method="inclusive") if len(v) > 1 else [0, 0, 0]
        return q[2] - q[0]

    print(json.dumps({"peer": "torchvision DataLoader", "mode": a.mode, "records": len(data), "size": a.size,
                      "batch": a.batch, "workers": a.workers, "rounds": a.rounds, "images": total,
                      "images_per_s": round(statistics.median(rates), 2), "images_per_s_iqr": round(iqr(rates), 2),
                      "images_per_s_core": round(statistics.median(cores), 2),
                      "images_per_s_core_iqr": round(iqr(cores), 2),
                      "images_per_s_core_best": round(max(cores), 2)}))


if __name__ == "__main__":
    main()
