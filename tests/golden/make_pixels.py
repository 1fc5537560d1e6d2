#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes pixels_*.bin beside itself: what Pillow, torchvision and OpenCV make of small images, for test_pixels.c.

Needs Pillow >= 13 (see rn_resize.h on the order of the passes), torch, torchvision, numpy, opencv-python. The images
are made here from waves and noise of a fixed seed; the encoded files are part of the goldens, so that both decoders see
the same.

File: "RNPX2\\n" and the making versions' line, then records of 12 little-endian int32 and two blobs:
kind, a[0..8], bytes of the input (0: that of the record before), bytes of the output; input; output.
An output of more than 800 bytes is replaced by its MD5, as 32 hex digits.
"""
import hashlib
import io
import os
import struct

import cv2
import numpy as np
import PIL
import torch
import torchvision
import torchvision.transforms as T
from PIL import Image

from philox import Philox

HERE = os.path.dirname(os.path.abspath(__file__))
DECODE, RESIZE, EVAL, CROP, NOISE = 1, 2, 3, 4, 5
rng = np.random.default_rng(20121019)


class Golden:
    def __init__(self, name):
        self.f = open(os.path.join(HERE, f"pixels_{name}.bin"), "wb")
        versions = f"Pillow {PIL.__version__}, torchvision {torchvision.__version__}, OpenCV {cv2.__version__}"
        self.f.write(b"RNPX2\n" + versions.encode() + b"\n")
        self.last = None

    def add(self, kind, args, data=b"", out=b""):
        assert len(out) != 32
        if len(out) > 800:
            out = hashlib.md5(out).hexdigest().encode()
        same = data == self.last and data
        self.last = data
        args = list(args) + [0] * (9 - len(args))
        self.f.write(struct.pack("<12i", kind, *args, 0 if same else len(data), len(out)))
        self.f.write(b"" if same else data)
        self.f.write(out)


def scene(w, h, c, noise=12):
    """Waves and noise: (h, w, c) uint8."""
    y, x = np.mgrid[0:h, 0:w]
    planes = [128 + 70 * np.sin(x * (0.13 + 0.05 * k) + k) + 50 * np.cos(y * (0.21 - 0.04 * k)) for k in range(c)]
    a = np.stack(planes, 2) + rng.integers(-noise, noise + 1, (h, w, c))
    return np.clip(a, 0, 255).astype(np.uint8)


def image(a, mode=None):
    mode = mode or {1: "L", 3: "RGB"}[a.shape[2]]
    return Image.frombytes(mode, a.shape[1::-1], a.tobytes())


def encoded(im, fmt, **options):
    b = io.BytesIO()
    im.save(b, fmt, **options)
    return b.getvalue()


def as_ycck(jpeg):
    """Declares a CMYK JPEG to be YCCK: the transform byte of its Adobe marker."""
    at = jpeg.index(b"Adobe")
    assert jpeg[at + 11] == 0
    return jpeg[: at + 11] + b"\x02" + jpeg[at + 12 :]


def decode():
    g = Golden("decode")
    files = []
    for sub in ("4:4:4", "4:2:2", "4:2:0", "4:1:1"):
        files.append(encoded(image(scene(37, 21, 3)), "JPEG", quality=75, subsampling=sub))
    files.append(encoded(image(scene(40, 33, 3)), "JPEG", quality=90, progressive=True))
    files.append(encoded(image(scene(19, 30, 3)), "JPEG", quality=60, restart_marker_blocks=2))
    files.append(encoded(image(scene(23, 17, 3)), "JPEG", keep_rgb=True))
    files.append(encoded(image(scene(29, 31, 1)), "JPEG"))
    cmyk = encoded(image(scene(33, 18, 4, 60), "CMYK"), "JPEG", quality=95)
    files += [cmyk, as_ycck(cmyk)]
    a = image(scene(17, 13, 4), "RGBA")
    files += [encoded(im, "PNG") for im in (a, a.convert("RGB"), a.convert("L"), a.convert("LA"), a.convert("1"))]
    files += [encoded(a.convert("RGB").quantize(n), "PNG") for n in (3, 11, 200)]
    deep = rng.integers(0, 600, (13, 17)).astype(np.uint16)  # of 16 bits, which Pillow clips
    files.append(encoded(Image.frombytes("I;16", (17, 13), deep.tobytes()), "PNG"))
    for data in files:
        im = Image.open(io.BytesIO(data))
        for gray, mode in ((0, "RGB"), (1, "L")):
            out = im.convert(mode)
            g.add(DECODE, (gray, im.width, im.height), data, out.tobytes())


def resize():
    g = Golden("resize")
    filters = (Image.BOX, Image.BILINEAR, Image.HAMMING, Image.BICUBIC, Image.LANCZOS)
    # down, up, mixed both ways (vertical pass first), one axis alone, strong, exactly 2:1
    sizes = ((19, 13), (47, 41), (16, 40), (50, 9), (36, 11), (13, 30), (5, 4), (18, 15))
    for c in (3, 1):
        a = scene(36, 30, c, 40)
        a[5:9] = 255 * (rng.integers(0, 2, a[5:9].shape))  # overshoot must clip
        for w, h in sizes if c == 3 else sizes[:2]:
            for f, filt in enumerate(filters):
                g.add(RESIZE, (f, 36, 30, c, w, h), a.tobytes(), image(a).resize((w, h), filt).tobytes())
            out = cv2.resize(a, (w, h), interpolation=cv2.INTER_LINEAR)
            g.add(RESIZE, (len(filters), 36, 30, c, w, h), a.tobytes(), out.tobytes())


def hashed(w, h, c, seed):
    """Noise that the test makes, too: byte i is a hash of i."""
    x = np.arange(w * h * c, dtype=np.uint32) + np.uint32(seed * 0x01000193)
    for mul, shift in ((0x9E3779B1, 15), (0x85EBCA77, 13)):
        x *= np.uint32(mul)
        x ^= x >> np.uint32(shift)
    return (x >> np.uint32(24)).astype(np.uint8).reshape(h, w, c)


def noise():
    """Larger images and many taps, without the pixels in the file."""
    g = Golden("noise")
    filters = (Image.BOX, Image.BILINEAR, Image.HAMMING, Image.BICUBIC, Image.LANCZOS)
    sizes = ((500, 375, 341, 256), (375, 500, 256, 341), (500, 333, 224, 224), (97, 61, 224, 224), (640, 480, 40, 31))
    sizes += ((1000, 20, 9, 30), (17, 900, 33, 5), (3, 3, 200, 100), (256, 192, 128, 96), (300, 41, 300, 200))
    sizes += ((1, 50, 31, 7), (61, 1, 7, 9), (71, 371, 46, 558), (233, 39, 122, 22))
    for i, (w, h, ow, oh) in enumerate(sizes):
        for c in (3, 1):
            a = hashed(w, h, c, i)
            for f, filt in enumerate(filters):
                out = image(a).resize((ow, oh), filt).tobytes()
                g.add(NOISE, (f, w, h, c, ow, oh, i), b"", hashlib.md5(out).hexdigest().encode() + b"\n")
            out = cv2.resize(a, (ow, oh), interpolation=cv2.INTER_LINEAR).tobytes()
            g.add(NOISE, (len(filters), w, h, c, ow, oh, i), b"", hashlib.md5(out).hexdigest().encode() + b"\n")
    hamming = hashlib.md5()  # whose constants are floats, which shows in few pixels: so in many
    for i in range(200):
        w, h, ow, oh = 40 + 7 * i % 200, 30 + 11 * i % 150, 20 + 13 * i % 300, 25 + 17 * i % 170
        hamming.update(image(hashed(w, h, 3, i)).resize((ow, oh), Image.HAMMING).tobytes())
    g.add(NOISE, (-1,), b"", hamming.hexdigest().encode() + b"\n")


def evaluation():
    g = Golden("eval")
    for w, h in ((75, 50), (50, 75), (60, 60), (41, 97), (57, 40)):
        data = encoded(image(scene(w, h, 3)), "JPEG", quality=80)
        im = Image.open(io.BytesIO(data)).convert("RGB")
        for short, size in ((36, 32), (18, 16), (23, 17), (20, 28)):
            out = T.CenterCrop(size)(T.Resize(short)(im)).tobytes()
            g.add(EVAL, (short, size, size), data, out)
        g.add(EVAL, (0, 45, 52), data, T.CenterCrop((52, 45))(im).tobytes())
    for w, h in ((500, 375), (333, 500)):
        data = encoded(image(scene(w, h, 3, 2)), "JPEG", quality=30)
        im = Image.open(io.BytesIO(data)).convert("RGB")
        for short, size in ((256, 224), (146, 128)):
            g.add(EVAL, (short, size, size), data, T.CenterCrop(size)(T.Resize(short)(im)).tobytes())


def crops():
    """torchvision's own get_params, with its random numbers drawn from ours."""
    g = Golden("crop")
    draw = None
    real = torch.Tensor.uniform_, torch.randint
    torch.Tensor.uniform_ = lambda t, lo, hi: t.fill_(torch.tensor(draw.uniform(float(lo), float(hi))))
    torch.randint = lambda lo, hi, size: torch.tensor([lo + draw.below(hi - lo)])
    for i in range(500):
        w, h = ((500, 375), (375, 500), (224, 224), (32, 32), (1000, 60), (28, 213), (7, 5), (1, 1))[i % 8]
        seed, epoch = 11 + i % 3 * 2**31, i % 5
        draw = Philox(seed, 3, epoch, i)
        y, x, ch, cw = T.RandomResizedCrop.get_params(Image.new("L", (w, h)), (0.08, 1.0), (3.0 / 4.0, 4.0 / 3.0))
        g.add(CROP, (i % 3, epoch, i, w, h, x, y, cw, ch))
    torch.Tensor.uniform_, torch.randint = real


decode()
resize()
noise()
evaluation()
crops()
