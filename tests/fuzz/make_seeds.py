#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds below corpus/ (run once; they are committed). Archives by Python's tarfile, so by other hands than
ours; meta.mat by scipy and, given `mkilsvrc`, by libmatio; the rest by hand. Usage: make_seeds.py [BIN_DIR]"""
import gzip, io, json, os, struct, subprocess, sys, tarfile, tempfile

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def put(kind, name, data):
    os.makedirs(os.path.join(HERE, kind), exist_ok=True)
    with open(os.path.join(HERE, kind, name), "wb") as f:
        f.write(data)


# ---- archives: members are (name, data, changes to the TarInfo) -----------------------------------------------------
END = bytes(1024)


def tar(members, form=tarfile.USTAR_FORMAT, end=END, **kw):
    out = b""
    for name, data, *change in members:
        t = tarfile.TarInfo(name)
        t.size, t.mtime, t.mode = len(data), 1339200000, 0o644
        for key, value in (change[0] if change else {}).items():
            setattr(t, key, value)
        out += t.tobuf(form, "utf-8", "surrogateescape") + data + bytes(-len(data) % 512)
    return out + end


def patch(block, at, data):
    """Changes a header and puts its checksum right."""
    b = bytearray(block)
    b[at:at + len(data)] = data
    b[148:156] = b" " * 8
    b[148:156] = b"%06o\0 " % sum(b[:512])
    return bytes(b)


def header(name, size, **kw):
    t = tarfile.TarInfo(name)
    t.size, t.mtime, t.mode = size, 1339200000, 0o644
    for key, value in kw.items():
        setattr(t, key, value)
    return t.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")


def pax(records, data=b"four", size=4, kind=b"x"):
    text = b""
    for key, value in records:
        line = b" %s=%s\n" % (key, value)
        n = len(line) + 1
        while len(b"%d" % n) + len(line) != n:
            n += 1
        text += b"%d" % n + line
    head = patch(header("PaxHeaders/x", len(text)), 156, kind)
    return head + text + bytes(-len(text) % 512) + header("short", size) + data + bytes(-len(data) % 512)


def archives():
    images = [("n01440764_%d.JPEG" % k, bytes([65 + k]) * n) for k, n in enumerate((0, 1, 511, 512, 513))]
    inner = tar(images[1:3])
    seeds = {
        "plain.tar": tar(images),
        "nested.tar": tar([("n01440764.tar", inner), ("n01443537.tar", tar(images[3:4]))]),
        "folders.tar": tar([("./", b"", {"type": tarfile.DIRTYPE}), ("./a", b"", {"type": tarfile.DIRTYPE}), ("./a/b", b"x")]),
        "prefix.tar": tar([("p" * 90 + "/" + "n" * 90, b"x")]),
        "v7.tar": patch(header("old", 1), 257, bytes(8)) + b"x" + bytes(511) + END,
        "gnu-long-name.tar": tar([("g" * 200 + "/x", b"x"), ("y", b"y")], tarfile.GNU_FORMAT),
        "gnu-long-link.tar": tar([("l", b"", {"type": tarfile.SYMTYPE, "linkname": "k" * 200})], tarfile.GNU_FORMAT),
        "pax-long-name.tar": tar([("q" * 300 + "/\u00e9", b"x"), ("y", b"y")], tarfile.PAX_FORMAT),
        "pax-size.tar": pax([(b"size", b"600")], b"s" * 600, 4) + END,
        "pax-size-negative.tar": pax([(b"size", b"-4")]) + END,
        "pax-size-huge.tar": pax([(b"size", b"9223372036854775807")]) + END,
        "pax-global.tar": pax([(b"comment", b"from a version control system")], kind=b"g") + END,
        "pax-global-path.tar": pax([(b"path", b"everywhere")], kind=b"g") + END,
        "pax-dotdot.tar": pax([(b"path", b"../escaped")]) + END,
        "pax-broken.tar": patch(header("x", 12), 156, b"x") + b"99 path=a\n\0\0" + bytes(500) + tar([("a", b"")]),
        "pax-sparse.tar": pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"holes"),
                               (b"GNU.sparse.realsize", b"1048576")], b"0\n" + bytes(510), 512) + END,
        "gnu-sparse.tar": patch(patch(patch(header("holes", 512), 156, b"S"), 257, b"ustar  \0"), 386,
                                b"00000000000\0" b"00000001000\0" + bytes(48) + b"\0" * 24 + b"\1" + b"00004000000\0")
        + bytes(512) + b"d" * 512 + END,
        "base256-size.tar": patch(header("big", 0), 124, b"\x80" + (513).to_bytes(11, "big")) + b"z" * 513 + bytes(511) + END,
        "base256-over-8-gib.tar": patch(header("big", 0), 124, b"\x80" + (9 << 30).to_bytes(11, "big")) + b"z" * 512 + END,
        "base256-negative.tar": patch(header("big", 0), 124, b"\xff" * 12) + END,
        "base256-largest.tar": patch(header("big", 0), 124, b"\x80" + b"\xff" * 11) + END,
        "octal-garbage.tar": patch(header("odd", 0), 124, b"12x45678901\0") + END,
        "dotdot.tar": tar([("../escaped", b"x")]),
        "absolute.tar": tar([("/tmp/escaped", b"x")]),
        "symlink.tar": tar([("link", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc"}), ("link/passwd", b"x")]),
        "hardlink.tar": tar([("a", b"x"), ("b", b"", {"type": tarfile.LNKTYPE, "linkname": "a"})]),
        "hardlink-with-data.tar": patch(header("b", 3), 156, b"1") + b"abc" + bytes(509) + END,
        "device.tar": tar([("null", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3})]),
        "fifo.tar": tar([("pipe", b"", {"type": tarfile.FIFOTYPE})]),
        "folder-with-data.tar": patch(header("a/", 3), 156, b"5") + b"abc" + bytes(509) + END,
        "unknown-type.tar": patch(header("a", 3), 156, b"Q") + b"abc" + bytes(509) + END,
        "twice.tar": tar([("a", b"1"), ("b", b"2"), ("./a", b"3")]),
        "odd-names.tar": tar([("new\nline", b"x"), ("bell\a", b"x"), ("\udcff\udcfe", b"x"), ("caf\u00e9", b"x")]),
        "zeros.tar": bytes(2048),
        "zeros-in-the-middle.tar": tar(images[:2], end=b"") + bytes(4096) + tar(images[2:4]),
        "one-zero-block.tar": tar(images[:2], end=bytes(512)),
        "joined.tar": tar(images[:2]) + tar(images[2:4]),
        "trailing-garbage.tar": tar(images[:2]) + b"garbage",
        "wrong-magic.tar": patch(header("a", 1), 257, b"uztar\0") + b"x" + bytes(511) + END,
        "no-checksum.tar": header("a", 1)[:148] + bytes(8) + header("a", 1)[156:] + b"x" + bytes(511) + END,
        "plain.tar.gz": gzip.compress(tar(images), mtime=0),
        "two-gzip-members.tar.gz": gzip.compress(tar(images)[:1024], mtime=0) + gzip.compress(tar(images)[1024:], mtime=0),
    }
    deep = b"the end"
    for level in range(40):
        deep = tar([("level%02d.tar" % level, deep)])
    put("archive", "nest-of-40.tar.gz", gzip.compress(deep, mtime=0))
    for name, data in seeds.items():
        put("archive", name, data)


# ---- meta.mat -------------------------------------------------------------------------------------------------------
def mats(bindir):
    import numpy, scipy.io
    cell = lambda v: numpy.array([[v]])
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O"),
            ("children", "O"), ("wordnet_height", "O"), ("num_train_images", "O")]
    rows = numpy.zeros((3, 1), dtype=kind)
    for i, (number, wnid, children) in enumerate(((1, "n01440764", 0), (2, "n01443537", 0), (3, "n00001740", 2))):
        rows[i, 0] = (cell(float(number)), wnid, "tench, caf\u00e9", "a fish", cell(numpy.uint8(children)),
                      numpy.arange(1.0, children + 1), cell(1.0), cell(float(10 * number)))
    for packed in (False, True):
        out = io.BytesIO()
        scipy.io.savemat(out, {"synsets": rows}, do_compression=packed)
        data = bytearray(out.getvalue())
        data[:116] = b"MATLAB 5.0 MAT-file, a seed".ljust(116)
        put("mat", "scipy-packed.mat" if packed else "scipy.mat", bytes(data))
    if bindir:
        with tempfile.TemporaryDirectory() as d:
            subprocess.run([bindir + "/mkilsvrc", "--synthetic", "2", "--val", "1", "--train-per-class", "1", d], check=True, stdout=2)
            with tarfile.open(d + "/ILSVRC2012_devkit_t12.tar.gz") as t:
                for m in t:
                    if m.name.endswith("meta.mat"):
                        put("mat", "libmatio.mat", t.extractfile(m).read())


# ---- the rest -------------------------------------------------------------------------------------------------------
def texts():
    put("list", "list.txt", b"lan01440764/n01440764_10026.JPEG 0\nb c/d e.JPEG 999999\n")
    put("list", "no-newline.txt", b"la.JPEG 3")
    put("list", "blanks.txt", b"l name 5 \n  7\n a 1\n")
    put("list", "odd.txt", b"l../x 1\n/abs 2\nx -1\nx 1e3\n\xff\xfe 4\r\n")
    put("list", "classes.txt", b"cn01440764 tench, Tinca tinca\nn01443537 goldfish\nn01484850\n")
    put("list", "classes-crlf.txt", b"cn01440764 tench\r\n\r\nn01440764 again\r\n")
    put("list", "md5sums.txt", b"m# made\n0123456789ABCDEF0123456789abcdef  ILSVRC2012_img_val.tar\n\n" + b"f" * 32 + b" *./a/other.tar\r\n")
    manifest = {"format": "rnkit-manifest-1", "name": "small", "archives": [{"file": "a.tar", "split": "train", "bytes": 5,
                "md5": "a" * 32, "sha256": "B" * 64}, {"file": "b.tar"}],
                "splits": {"train": {"images": 3, "classes": 2, "least_per_class": 1, "per_class": {"n01440764": 1, "n01443537": 2}},
                           "b.tar": {"annotations": 7}}}
    put("manifest", "small.json", json.dumps(manifest).encode())
    put("recipe", "fashion.recipe", b"# a comment\narch = resnet18\nstem = cifar\nlr = 0.1   # after a blank\nepochs=2\nmean = 0.5,0.5,0.5\n"
        b"std = 0.25,0.25,0.25\nmilestones = 1\nschedule = step\nnesterov = true\nseed = 18446744073709551615\n")
    put("recipe", "bad.recipe", b"lr = 1e999\nlr = 2\nno-such = 1\n = \nbatch\n")
    seal = {"format": "rnkit-lmdb-1", "tool": "pack-lmdb 0.1.0", "kind": "raw-val", "options": "resize=none encode=keep", "records": 2,
            "skipped": 1, "data_bytes": 77, "content_sha256": "0" * 64, "list_sha256": "1" * 64,
            "sources": [{"file": "a.tar", "bytes": 5, "md5": "a" * 32, "md5_from": "computed"},
                        {"file": "b", "bytes": 0, "md5": None, "md5_from": "none"}],
            "classes": [{"wnid": "n01440764", "words": "tench", "records": 2}, {"wnid": "n2", "words": "", "records": 0}]}
    put("seal", "seal.json", json.dumps(seal, indent=1).encode())
    put("seal", "overflow.json", json.dumps(dict(seal, records=9223372036854775807)).encode())
    put("seal", "deep.json", b"[" * 300 + b"]" * 300)


def datums():
    put("datum", "encoded", b"\x22\x04\xff\xd8\xff\xd9\x28\x07\x38\x01")
    put("datum", "raw", b"\x08\x03\x10\x02\x18\x02\x22\x0c" + bytes(range(12)) + b"\x28\x00\x38\x00")
    put("datum", "negative-label", b"\x22\x01x\x28" + b"\xff" * 9 + b"\x01\x38\x01")
    put("datum", "unknown-fields", b"\x22\x01x\x42\x02hi\x4d1234\x51" + b"8bytes!!" + b"\x38\x01\x28\x05\x28\x06")
    put("datum", "floats", b"\x35\x00\x00\x80\x3f\x32\x04\x00\x00\x80\x3f")
    put("datum", "group", b"\x0b\x08\x01\x0c")
    put("datum", "long-varint", b"\x28" + b"\x80" * 10 + b"\x01")


def safetensors():
    def file(head, data):
        text = head if isinstance(head, bytes) else json.dumps(head).encode()
        return struct.pack("<Q", len(text)) + text + data
    ok = {"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
          "b": {"dtype": "BF16", "shape": [], "data_offsets": [24, 26]}, "c": {"dtype": "U8", "shape": [0, 4], "data_offsets": [26, 26]},
          "d": {"dtype": "I64", "shape": [1], "data_offsets": [26, 34]}}
    put("safetensors", "ok", file(ok, bytes(range(34))))
    put("safetensors", "f16", file({"h": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}, b"\x01\x00\xff\x7b\x00\x7c\x01\x80"))
    put("safetensors", "huge-shape", file({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 0]}}, b""))
    put("safetensors", "hole", file({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, b"xy"))
    put("safetensors", "long-header", struct.pack("<Q", 1 << 63) + b"{}")
    put("safetensors", "deep", file(b"[" * 3000, b""))


def images():
    from PIL import Image
    im = Image.new("RGB", (17, 11))
    im.putdata([(x * 15 & 255, y * 23 & 255, x * y & 255) for y in range(11) for x in range(17)])
    def save(name, image, form, **kw):
        out = io.BytesIO()
        image.save(out, form, **kw)
        put("image", name, out.getvalue())
    save("420.jpg", im, "JPEG", quality=80)
    save("444-progressive.jpg", im, "JPEG", quality=90, subsampling=0, progressive=True)
    save("gray-restart.jpg", im.convert("L"), "JPEG", quality=70, restart_marker_blocks=1)
    save("cmyk.jpg", im.convert("CMYK"), "JPEG", quality=70)
    save("rgb.png", im, "PNG")
    save("palette.png", im.convert("P"), "PNG")
    save("alpha.png", im.convert("RGBA"), "PNG")
    save("gray16.png", im.convert("I;16") if hasattr(im, "I16") else im.convert("L"), "PNG")
    save("bits.png", im.convert("1"), "PNG")


if __name__ == "__main__":
    archives()
    mats(sys.argv[1] if len(sys.argv) > 1 else None)
    texts()
    datums()
    safetensors()
    images()
