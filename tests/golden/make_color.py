#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes color.txt beside itself: what torchvision's colour adjustments make of known pixels, for test_color.c.

Needs torchvision, Pillow, numpy. A line: the picture, the adjustments in their order with their factors (float32), and the
MD5 of the pixels. Pictures, made alike on both sides:
    cube     all 2^24 colours: pixel i is (i >> 16, i >> 8 & 255, i & 255)
    levels   all colours of the levels 0, 5, ..., 255, in the same order
    waves    97 x 61 pixels of an integer hash
    gray     the same as one channel (mode L)
"""
import hashlib
import os

import numpy as np
import PIL
import torchvision
import torchvision.transforms.functional as F
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
ADJUST = {"brightness": F.adjust_brightness, "contrast": F.adjust_contrast, "saturation": F.adjust_saturation,
          "hue": F.adjust_hue}


def cube():
    i = np.arange(1 << 24, dtype=np.uint32)
    return np.stack([i >> 16, i >> 8 & 255, i & 255], 1).astype(np.uint8).reshape(4096, 4096, 3)


def levels():
    v = np.arange(0, 256, 5, dtype=np.uint8)
    return np.stack(np.meshgrid(v, v, v, indexing="ij"), 3).reshape(52, 52 * 52, 3)


def waves(c):
    i = np.arange(97 * 61 * c, dtype=np.uint64)
    v = (i * np.uint64(2654435761) & np.uint64(0xffffffff)) >> np.uint64(24)
    v = (v + i // np.uint64(97)) & np.uint64(255)
    return v.astype(np.uint8).reshape((61, 97, 3) if c == 3 else (61, 97))


def main():
    pictures = {"cube": cube(), "levels": levels(), "waves": waves(3), "gray": waves(1)}
    cases = [("cube", [("hue", h)]) for h in (-0.37, 0.1)] + [("cube", [("saturation", 1.3)])]
    for op in ("brightness", "contrast", "saturation"):
        cases += [("levels", [(op, f)]) for f in (0, 0.2, 0.6, 0.9999, 1, 1.0001, 1.4, 1.7, 3)]
        cases += [("gray", [(op, f)]) for f in (0.3, 1.6)]
    cases += [("levels", [("hue", f)]) for f in (-0.5, -0.1, -0.003, 0, 0.002, 0.05, 0.25, 0.5)] + [("gray", [("hue", 0.2)])]
    rng = np.random.default_rng(4)
    for _ in range(24):
        order = rng.permutation(4)[:rng.integers(2, 5)]
        steps = [(list(ADJUST)[k], rng.uniform(-0.5, 0.5) if k == 3 else rng.uniform(0.2, 1.8)) for k in order]
        cases.append(("waves", steps))
    with open(os.path.join(HERE, "color.txt"), "w") as f:
        f.write(f"# Pillow {PIL.__version__}, torchvision {torchvision.__version__}; see make_color.py\n")
        for picture, steps in cases:
            im = Image.fromarray(pictures[picture])
            words = []
            for op, factor in steps:
                factor = float(np.float32(factor))
                im = ADJUST[op](im, factor)
                words.append("%s:%.9g" % (op, factor))
            f.write("%s %s %s\n" % (picture, " ".join(words), hashlib.md5(np.asarray(im).tobytes()).hexdigest()))


if __name__ == "__main__":
    main()
