#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pack_lmdb_writer.py TREE OUT.lmdb

The usual Python packer: every file of TREE/<class>/ as it is into a Caffe Datum, committed every 1,000 records as
convert_imageset does. The Datum is put together by hand, which is faster than protobuf and gives the same bytes, so that the
peer is not slowed by what it could do without.
"""
import os
import sys

import lmdb


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def datum(image, label):
    return b"\x22" + varint(len(image)) + image + b"\x28" + varint(label) + b"\x38\x01"


def main(tree, out):
    env = lmdb.open(out, map_size=1 << 40)
    txn = env.begin(write=True)
    n = 0
    for label, wnid in enumerate(sorted(os.listdir(tree))):
        folder = os.path.join(tree, wnid)
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb") as f:
                txn.put(f"{n:08d}_{wnid}/{name}".encode(), datum(f.read(), label), append=True)
            n += 1
            if n % 1000 == 0:
                txn.commit()
                txn = env.begin(write=True)
    txn.commit()
    env.close()
    print(n, "records")


if __name__ == "__main__":
    main(*sys.argv[1:])
