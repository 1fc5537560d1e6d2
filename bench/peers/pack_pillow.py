#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pack_pillow.py TREE OUT.lmdb [--short 256] [--quality 90] [--jobs N]

What a careful user writes today: Pillow decodes, resizes to a short side (bilinear, torchvision's sizes) and encodes, one
process a core; the parent writes Caffe Datums into LMDB in order, 1,000 a commit. The pixels, and with the same libjpeg the
bytes, are those of `pack-lmdb TREE OUT.lmdb --resize short:256 --encode jpeg:90`.
"""
import argparse
import io
import multiprocessing
import os

import lmdb
from PIL import Image

from pack_lmdb_writer import datum


def convert(job):
    path, short, quality = job
    with Image.open(path) as im:
        im = im.convert("RGB")
    w, h = im.size
    if w <= h and w != short:
        im = im.resize((short, int(short * h / w)), Image.BILINEAR)
    elif h < w and h != short:
        im = im.resize((int(short * w / h), short), Image.BILINEAR)
    out = io.BytesIO()
    im.save(out, "JPEG", quality=quality)
    return out.getvalue()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("tree")
    p.add_argument("out")
    p.add_argument("--short", type=int, default=256)
    p.add_argument("--quality", type=int, default=90)
    p.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    a = p.parse_args()
    names, labels = [], []
    for label, wnid in enumerate(sorted(os.listdir(a.tree))):
        for name in sorted(os.listdir(os.path.join(a.tree, wnid))):
            names.append(f"{wnid}/{name}")
            labels.append(label)
    work = [(os.path.join(a.tree, n), a.short, a.quality) for n in names]
    env = lmdb.open(a.out, map_size=1 << 40)
    txn = env.begin(write=True)
    with multiprocessing.Pool(a.jobs) as pool:
        for i, image in enumerate(pool.imap(convert, work, chunksize=16)):
            txn.put(f"{i:08d}_{names[i]}".encode(), datum(image, labels[i]), append=True)
            if (i + 1) % 1000 == 0:
                txn.commit()
                txn = env.begin(write=True)
    txn.commit()
    env.close()
    print(len(names), "records")


if __name__ == "__main__":
    main()
