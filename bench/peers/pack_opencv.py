#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pack_opencv.py TREE OUT.lmdb [--width 256] [--height 256] [--jobs N]

What Caffe's convert_imageset does, with OpenCV's Python package: imread in colour, cv::resize INTER_LINEAR to WxH, the planes
B, G, R into a raw Datum, 1,000 records a commit. convert_imageset has one thread; here --jobs processes decode and resize (one a
core unless said), which is more than it offers. One thing is not as there: EXIF orientation is ignored, as by the OpenCV 2 that
Caffe was written for.
"""
import argparse
import multiprocessing
import os

import cv2
import lmdb

import peer
from pack_lmdb_writer import varint

FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def convert(job):
    path, label, width, height = job
    image = cv2.resize(cv2.imread(path, FLAGS), (width, height), interpolation=cv2.INTER_LINEAR)
    planes = image.transpose(2, 0, 1).tobytes()
    head = b"\x08\x03\x10" + varint(height) + b"\x18" + varint(width) + b"\x22" + varint(len(planes))
    return head + planes + b"\x28" + varint(label) + b"\x38\x00"


def start():
    cv2.setNumThreads(1)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("tree")
    p.add_argument("out")
    p.add_argument("--width", type=int, default=256)
    p.add_argument("--height", type=int, default=256)
    p.add_argument("--jobs", type=int, default=peer.cores())
    a = p.parse_args()
    start()
    images = peer.tree(a.tree)
    work = [(os.path.join(a.tree, name), label, a.width, a.height) for name, label in images]
    pool = multiprocessing.Pool(a.jobs, start) if a.jobs > 1 else None
    env = lmdb.open(a.out, map_size=1 << 40)
    txn = env.begin(write=True)
    size = 0
    for i, datum in enumerate(pool.imap(convert, work, chunksize=16) if pool else map(convert, work)):
        txn.put(f"{i:08d}_{images[i][0]}".encode(), datum, append=True)
        size += len(datum)
        if (i + 1) % 1000 == 0:
            txn.commit()
            txn = env.begin(write=True)
    txn.commit()
    env.close()
    if pool:
        pool.close()
        pool.join()
    peer.report("opencv " + cv2.__version__, f"pack raw {a.width}x{a.height}", len(images), size, jobs=a.jobs)


if __name__ == "__main__":
    main()
