#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""compare.py trees A B [--flat]    the same files with the same bytes below both (--flat: names without their folders)
compare.py bytes A.lmdb B.lmdb      the same keys with the same values, in order
compare.py pixels A.lmdb B.lmdb     the same keys and labels, and images that decode to the same pixels

Ends with a line of JSON; exit 0 when they are the same, 1 with the first difference when not, 3 when there was nothing.
"""
import hashlib
import io
import os
import sys

import peer


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)


def digests(root, flat):
    out = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                out[name if flat else os.path.relpath(path, root)] = hashlib.sha256(f.read()).hexdigest()
    return out


def trees(a, b, flat):
    one, two = digests(a, flat), digests(b, flat)
    for path in sorted(one.keys() | two.keys()):
        if path not in one or path not in two:
            fail(f"{path}: only below {a if path in one else b}")
        if one[path] != two[path]:
            fail(f"{path}: differs")
    return len(one)


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def datum(data):
    """{field number: value}; Caffe's Datum has varints and bytes only, but for float_data, which nobody here writes."""
    at, out = 0, {}
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            out[tag >> 3], at = varint(data, at)
        elif tag & 7 == 2:
            n, at = varint(data, at)
            out[tag >> 3] = bytes(data[at:at + n])
            at += n
        else:
            fail(f"a Datum with wire type {tag & 7}")
    return out


def pixels(value):
    from PIL import Image

    d = datum(value)
    if not d.get(7):
        return d.get(5), (d.get(1), d.get(2), d.get(3)), d.get(4)
    with Image.open(io.BytesIO(d[4])) as im:
        rgb = im.convert("RGB")
        return d.get(5), rgb.size, rgb.tobytes()


def lmdbs(a, b, view):
    import lmdb

    n = same = 0
    options = {"readonly": True, "lock": False, "subdir": True}
    with lmdb.open(a, **options) as one, lmdb.open(b, **options) as two, one.begin(buffers=True) as ta, two.begin(
            buffers=True) as tb:
        if ta.stat()["entries"] != tb.stat()["entries"]:
            fail(f"{ta.stat()['entries']} records and {tb.stat()['entries']}")
        for (ka, va), (kb, vb) in zip(ta.cursor(), tb.cursor()):
            if bytes(ka) != bytes(kb):
                fail(f"key {bytes(ka)} and {bytes(kb)}")
            equal = bytes(va) == bytes(vb)
            if not equal and (view == "bytes" or pixels(bytes(va)) != pixels(bytes(vb))):
                fail(f"{bytes(ka).decode()}: differs")
            n += 1
            same += equal
    return n, same


def main(argv):
    if len(argv) < 3 or argv[0] not in ("trees", "bytes", "pixels"):
        print(__doc__, file=sys.stderr)
        return 2
    if argv[0] == "trees":
        n = same = trees(argv[1], argv[2], "--flat" in argv[3:])
    else:
        n, same = lmdbs(argv[1], argv[2], argv[0])
    peer.report("compare", argv[0], n, 0, same_bytes=same)
    return 0 if n else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
