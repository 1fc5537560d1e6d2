#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_pack.py PACK_LMDB TREE [SCRATCH_DIR]

Packs the class-folder TREE with every filter, two forms of --resize, raw and jpeg, with and without --exif-rotate, and holds every
record against Pillow (and OpenCV's INTER_LINEAR): pixels of raw records, bytes of jpeg ones where Pillow's libjpeg-turbo writes
the same for the same pixels, else the pixels those decode to. Adds odd files of its own: CMYK and YCCK, gray, PNG named .JPEG
(palette, alpha, gray), progressive, with restart markers, all EXIF orientations. Needs Pillow, numpy, opencv-python, lmdb.
Not part of `make check`: the product does not need Python.
"""
import io
import os
import shutil
import subprocess
import sys
import tempfile

import cv2
import lmdb
import numpy as np
from PIL import Image, ImageOps

FILTERS = {"box": Image.BOX, "bilinear": Image.BILINEAR, "hamming": Image.HAMMING, "bicubic": Image.BICUBIC,
           "lanczos": Image.LANCZOS, "opencv-linear": None}


def fields(value):
    """A Datum's fields by number, without protobuf."""
    i, out = 0, {}
    while i < len(value):
        tag, i = value[i], i + 1
        n = shift = 0
        while True:
            byte, i = value[i], i + 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if tag & 7 == 2:
            out[tag >> 3], i = value[i:i + n], i + n
        else:
            out[tag >> 3] = n
    return out


def add_odd_files(tree, photo):
    folder = os.path.join(tree, "odd")
    os.makedirs(folder)
    im = Image.open(photo).convert("RGB").resize((301, 233), Image.BICUBIC)

    def save(name, image, form="JPEG", **kw):
        image.save(os.path.join(folder, name), form, **kw)
    save("cmyk.JPEG", im.convert("CMYK"))
    save("gray.JPEG", im.convert("L"))
    save("progressive.JPEG", im, progressive=True)
    save("restart.JPEG", im, restart_marker_blocks=3)
    save("s444.JPEG", im, subsampling=0)
    save("s422.JPEG", im, subsampling=1)
    save("png.JPEG", im, "PNG")
    save("palette.JPEG", im.convert("P", palette=Image.ADAPTIVE), "PNG")
    rgba = im.convert("RGBA")
    rgba.putalpha(im.convert("L"))
    save("alpha.JPEG", rgba, "PNG")
    save("graypng.JPEG", im.convert("L"), "PNG")
    save("bits.JPEG", im.convert("1"), "PNG")
    save("small.JPEG", im.resize((7, 5)))
    save("line.JPEG", im.resize((90, 1)))
    save("exact.JPEG", im.resize((227, 227)))
    for o in range(1, 9):
        exif = Image.Exif()
        exif[274] = o
        save(f"exif{o}.JPEG", im, exif=exif)
        save(f"exif{o}.png", im, "PNG", exif=exif)


def wanted(path, size, name, rotate):
    im = Image.open(path)
    if rotate:
        im = ImageOps.exif_transpose(im)
    im = im.convert("RGB")
    w, h = im.size
    if size.startswith("short:"):
        s = int(size[6:])
        to = (s, int(s * h / w)) if w <= h else (int(s * w / h), s)
    else:
        to = tuple(int(x) for x in size[6:].split("x"))
    if to == im.size:
        return np.asarray(im)
    if name == "opencv-linear":
        return cv2.resize(np.asarray(im), to, interpolation=cv2.INTER_LINEAR)
    return np.asarray(im.resize(to, FILTERS[name]))


def pixels(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def check(tool, tree, scratch, size, name, encode, rotate):
    out = os.path.join(scratch, "set.lmdb")
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([tool, tree, out, "--resize", size, "--filter", name, "--encode", encode, "--quiet"] +
                   (["--exif-rotate"] if rotate else []), check=True, stdout=subprocess.DEVNULL)
    n = wrong = other_bytes = 0
    with lmdb.open(out, readonly=True, lock=False) as env, env.begin() as txn:
        for key, value in txn.cursor():
            path = os.path.join(tree, key.decode().split("_", 1)[1])
            want, d = wanted(path, size, name, rotate), fields(value)
            n += 1
            if encode == "raw":
                got = np.frombuffer(d[4], np.uint8).reshape(d[1], d[2], d[3])[::-1].transpose(1, 2, 0)
            else:
                b = io.BytesIO()
                Image.fromarray(want).save(b, "JPEG", quality=int(encode[5:]))
                if b.getvalue() == d[4]:
                    continue
                other_bytes += 1
                got, want = pixels(d[4]), pixels(b.getvalue())
            if got.shape != want.shape or (got != want).any():
                wrong += 1
                most = abs(got.astype(int) - want).max() if got.shape == want.shape else "shape"
                print(f"  {path}: differs by {most}", flush=True)
    print(f"{size} {name} {encode}{' rotated' if rotate else ''}: {n} records, {wrong} wrong, {other_bytes} of other bytes",
          flush=True)
    return wrong


def main(tool, tree, scratch=None):
    with tempfile.TemporaryDirectory(dir=scratch) as work:
        mine = os.path.join(work, "tree")
        shutil.copytree(tree, mine, symlinks=False)
        photo = next(os.path.join(d, f) for d, _, fs in sorted(os.walk(mine)) for f in sorted(fs))
        add_odd_files(mine, photo)
        wrong = 0
        for name in FILTERS:
            for size, encode in (("short:256", "raw"), ("exact:227x227", "raw"), ("short:64", "jpeg:90")):
                wrong += check(tool, mine, work, size, name, encode, False)
        for quality in (1, 50, 75, 95, 100):
            wrong += check(tool, mine, work, "exact:227x227", "bilinear", f"jpeg:{quality}", False)
        wrong += check(tool, mine, work, "short:256", "bilinear", "raw", True)
        wrong += check(tool, mine, work, "short:256", "lanczos", "jpeg:90", True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
