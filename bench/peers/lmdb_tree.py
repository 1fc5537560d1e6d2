#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lmdb_tree.py SET.lmdb OUT: the images of a set of encoded records as files, under the paths of their keys."""
import os
import sys

import lmdb

import peer
from compare import datum


def main(source, out):
    n = size = 0
    with lmdb.open(source, readonly=True, lock=False) as env, env.begin() as txn:
        for key, value in txn.cursor():
            path = os.path.join(out, key.decode().partition("_")[2])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            image = datum(value)[4]
            with open(path, "wb") as f:
                f.write(image)
            n += 1
            size += len(image)
    peer.report("lmdb", "tree", n, size)


if __name__ == "__main__":
    main(*sys.argv[1:])
