#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Weights travel both ways between rnkit and torchvision (or timm), and give the same logits. Run by hand:

    tests/golden/check_torchvision.py --db VAL.lmdb [--arch resnet18] [--variant d] [--se 16] [--classes 1000] [--size 64]
                                      [--checkpoint CKPT.safetensors]

needs torch, torchvision, timm (for --variant c, d and --se), safetensors, numpy, lmdb and Pillow, and bin/rn-train. The set must hold images of exactly SIZE x
SIZE pixels, so that neither side resizes anything, e.g. from a class-folder tree:

    bin/pack-lmdb TREE VAL.lmdb --resize exact:64x64 --encode raw

Without --checkpoint, a torchvision model with made-up weights is saved with safetensors and evaluated by rn-train, which has
to find out by itself what model it is.
With --checkpoint, weights that rn-train wrote are loaded into torchvision (strictly: every name, every shape). Both
ways torchvision computes the logits of every image of the set in float64, and they must agree with those of
`rn-train --eval-only --dump-logits` to 1e-5 of the largest. Exit status 0 when they do, 1 when not.
"""
import argparse
import io
import os
import subprocess
import sys
import tempfile

import lmdb
import numpy as np
import safetensors.torch
import torch
from PIL import Image

import make_model_goldens as goldens


def varint(b, i):
    v = shift = 0
    while True:
        v |= (b[i] & 127) << shift
        shift += 7
        i += 1
        if b[i - 1] < 128:
            return v, i


def datum(b):
    """Fields of a Caffe Datum by number: 1 channels, 2 height, 3 width, 4 data, 5 label, 7 encoded."""
    out, i = {}, 0
    while i < len(b):
        tag, i = varint(b, i)
        if tag & 7 == 0:
            out[tag >> 3], i = varint(b, i)
        elif tag & 7 == 2:
            n, i = varint(b, i)
            out[tag >> 3] = b[i:i + n]
            i += n
        else:
            sys.exit("a Datum with wire type %d" % (tag & 7))
    return out


def pixels(value, channels):
    """(h, w, channels) uint8; a raw Datum is planar BGR."""
    d = datum(value)
    if d.get(7):
        x = np.asarray(Image.open(io.BytesIO(d[4])).convert("RGB" if channels == 3 else "L"))
        return x.reshape(x.shape[0], x.shape[1], channels)
    planes = np.frombuffer(d[4], np.uint8).reshape(d[1], d[2], d[3])
    return planes[::-1].transpose(1, 2, 0)


def images(path, channels, size):
    with lmdb.open(path, readonly=True, lock=False, subdir=os.path.isdir(path)).begin() as txn:
        x = np.stack([pixels(v, channels) for _, v in txn.cursor()])
    if x.shape[1:] != (size, size, channels):
        sys.exit("%s holds images of %s; give --size, or pack with --resize exact:SIZExSIZE" % (path, x.shape[1:]))
    mean, std = (goldens.MEAN, goldens.STD) if channels == 3 else ((0.449,), (0.226,))
    return torch.from_numpy(((x / 255 - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2).copy())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--db", required=True)
    p.add_argument("--arch", default="resnet18")
    p.add_argument("--stem", default="imagenet")
    p.add_argument("--variant", default="none")
    p.add_argument("--se", type=int, default=0)
    p.add_argument("--se-round", type=int, default=1)
    p.add_argument("--width", type=float, default=1)
    p.add_argument("--channels", type=int, default=3)
    p.add_argument("--classes", type=int, default=1000)
    p.add_argument("--size", type=int, default=64)
    p.add_argument("--checkpoint")
    p.add_argument("--rn-train", default=os.path.join(goldens.HERE, "../../bin/rn-train"))
    a = p.parse_args()

    model = goldens.build_model(a.arch, a.stem, a.width, a.channels, a.classes, a.size, a.size, variant=a.variant, se=a.se,
                                se_round=a.se_round)
    with tempfile.TemporaryDirectory() as tmp:
        weights = a.checkpoint
        if not weights:
            goldens.load(model, 1)
            weights = os.path.join(tmp, "weights.safetensors")
            safetensors.torch.save_file(model.state_dict(), weights)
        model.load_state_dict(safetensors.torch.load_file(weights), strict=True)
        dump = os.path.join(tmp, "logits.npy")
        subprocess.run([a.rn_train, "--eval-only", "--weights", weights, "--val-db", a.db, "--image-size",
                        str(a.size), "--val-resize", str(a.size), "--dump-logits", dump], check=True)
        ours = torch.from_numpy(np.load(dump)).double()
    with torch.no_grad():
        x = images(a.db, a.channels, a.size)
        theirs = torch.cat([model.double().eval()(part) for part in x.split(64)])
    if ours.shape != theirs.shape:
        sys.exit("logits of shape %s, torchvision's are %s" % (tuple(ours.shape), tuple(theirs.shape)))
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    print("%s, %d images, %s: largest difference %.2g of the largest logit, same first guess for %d" % (
        a.arch, len(ours), "checkpoint into torchvision" if a.checkpoint else "torchvision's weights into rnkit", error,
        (ours.argmax(1) == theirs.argmax(1)).sum()))
    return 0 if error <= 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
