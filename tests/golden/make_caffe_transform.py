#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes caffe_transform.txt beside itself: what Caffe's data transformer makes of stored pixels, for test_caffe_transform.c.

A NumPy rendering of its rule, value by value: of the datum (planes of blue, green, red) the window at (h_off, w_off) less the mean
image at the same place of the datum, times scale, in float32; mirrored in the output alone.

A case: a line "channels height width crop h_off w_off mirror scale", a line of the datum's bytes, of the mean's values, of the output
(channels, crop, crop).
"""
import os

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def transform(datum, mean, crop, h_off, w_off, mirror, scale):
    channels, height, width = datum.shape
    out = np.zeros((channels, crop, crop), np.float32)
    for c in range(channels):
        for h in range(crop):
            for w in range(crop):
                value = (np.float32(datum[c, h_off + h, w_off + w]) - mean[c, h_off + h, w_off + w]) * np.float32(scale)
                out[c, h, crop - 1 - w if mirror else w] = value
    return out


def main():
    rng = np.random.default_rng(8)
    with open(os.path.join(HERE, "caffe_transform.txt"), "w") as f:
        f.write("# NumPy %s; see make_caffe_transform.py\n" % np.__version__)
        for channels, height, width, crop, h_off, w_off, mirror, scale in (
                (3, 7, 9, 5, 0, 0, 0, 1), (3, 7, 9, 5, 2, 4, 0, 0.017), (3, 7, 9, 5, 1, 3, 1, 1), (3, 7, 9, 5, 2, 0, 1, 0.00390625),
                (3, 6, 6, 6, 0, 0, 1, 1), (1, 8, 5, 3, 5, 1, 0, 0.017), (1, 8, 5, 3, 4, 2, 1, 1)):
            datum = rng.integers(0, 256, (channels, height, width), np.uint8)
            mean = (rng.random((channels, height, width)) * 255).astype(np.float32)
            out = transform(datum, mean, crop, h_off, w_off, mirror, scale)
            f.write("%d %d %d %d %d %d %d %.9g\n" % (channels, height, width, crop, h_off, w_off, mirror, scale))
            for row in datum, mean, out:
                f.write(" ".join("%.9g" % v for v in row.ravel()) + "\n")


if __name__ == "__main__":
    main()
