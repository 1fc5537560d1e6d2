#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times Pillow's (or Pillow-SIMD's: whichever this Python has) Image.resize alone, on one core, and prints one JSON line.

The peer of `rn-bench resize`: the same options, the same work. Images of noise are resized in turn, so many that they
do not all stay in the cache. A window of the clock is repeated until --seconds are over; "ms" is the median of the
windows, "ms_min" the quietest, "ms_iqr" their interquartile range.
"""
import argparse
import json
import os
import statistics
import time

import PIL
from PIL import Image

FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def size(text):
    w, h = text.split("x")
    return int(w), int(h)


def target(text, src):
    """short:N as torchvision's Resize(N), or exact:WxH."""
    kind, _, value = text.partition(":")
    if kind == "exact":
        return size(value)
    if kind != "short":
        raise SystemExit(f"--to {text}: short:N or exact:WxH is possible")
    n = int(value)
    w, h = src
    return (n, int(n * h / w)) if w <= h else (int(n * w / h), n)


p = argparse.ArgumentParser()
p.add_argument("--from", dest="src", type=size, default=(500, 375), metavar="WxH")
p.add_argument("--to", default="short:256", metavar="short:N|exact:WxH")
p.add_argument("--filter", choices=FILTERS, default="bilinear")
p.add_argument("--channels", type=int, choices=(1, 3), default=3)
p.add_argument("--images", type=int, default=64)
p.add_argument("--seconds", type=float, default=2.0)
a = p.parse_args()

mode = {1: "L", 3: "RGB"}[a.channels]
out, filt = target(a.to, a.src), FILTERS[a.filter]
images = [Image.frombytes(mode, a.src, os.urandom(a.src[0] * a.src[1] * a.channels)) for _ in range(a.images)]
for im in images:
    im.resize(out, filt)
windows = []
end = time.perf_counter() + a.seconds
while time.perf_counter() < end or len(windows) < 3:
    t = time.perf_counter()
    for im in images:
        im.resize(out, filt)
    windows.append((time.perf_counter() - t) / len(images) * 1e3)
q = statistics.quantiles(windows, n=4)
name = ("Pillow-SIMD " if "post" in PIL.__version__ else "Pillow ") + PIL.__version__
print(
    json.dumps(
        {
            "peer": name,
            "from": "%dx%d" % a.src,
            "to": "%dx%d" % out,
            "channels": a.channels,
            "filter": a.filter,
            "ms": round(q[1], 5),
            "ms_iqr": round(q[2] - q[0], 5),
            "ms_min": round(min(windows), 5),
            "images_per_s": round(1e3 / q[1], 1),
        }
    )
)
