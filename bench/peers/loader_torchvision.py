#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `rn-bench loader` does, done by torchvision's DataLoader: SRC is a class-folder tree (ImageFolder), or an LMDB of Caffe's
Datum records (read with Python's lmdb). Random resized crop and flip, or resize and centre crop, and the pixels as uint8
tensors: no normalisation, as in rn-bench. Prints rn-bench's JSON keys; CPU time is that of this process and its workers.
Needs torch, torchvision, Pillow, and lmdb for an LMDB.
"""
import io
import os

import torch
from PIL import Image
from torchvision import datasets, transforms

import loader_timing
from compare import varint


def datum(b):
    """(image bytes, label) of an encoded Datum; b may be a memoryview into the map, and the bytes stay one."""
    data, label, i = None, 0, 0
    while i < len(b):
        tag, i = varint(b, i)
        if tag & 7 == 0:
            value, i = varint(b, i)
            if tag >> 3 == 5:
                label = value
        elif tag & 7 == 2:
            n, i = varint(b, i)
            if tag >> 3 == 4:
                data = b[i:i + n]
            i += n
        else:
            raise SystemExit(f"a Datum with wire type {tag & 7}")
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


def main():
    p = loader_timing.parser(__doc__, ("train", "eval"))
    p.add_argument("--resize-short", type=int, default=256)
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
    loader = torch.utils.data.DataLoader(many, batch_size=a.batch, shuffle=a.mode == "train", num_workers=a.workers)
    loader_timing.time_batches("torchvision DataLoader", a, len(data), iter(loader))


if __name__ == "__main__":
    main()
