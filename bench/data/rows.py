# SPDX-License-Identifier: MIT
"""The work that is measured, and against whom. Standard library only."""
import glob
import os
import subprocess

from measure import Failed, Row, Side, files_under


def count(*roots):
    return sum(1 for _ in files_under(roots))


def size(*paths):
    return sum(os.path.getsize(p) for p in files_under(paths))


def tool(ctx, name):
    return os.path.join(ctx.bin, name)


def peer(ctx, name):
    """The command that starts a script of bench/peers."""
    path = os.path.join(ctx.peers, name)
    return [ctx.python, path] if name.endswith(".py") else [path]


def compare(ctx, how, a, b, *more):
    done = subprocess.run([*peer(ctx, "compare.py"), how, a, b, *more], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"compare.py: exit {done.returncode}")
    import json
    return json.loads(done.stdout.splitlines()[-1])


def verify_rows(ctx):
    one, two = (os.path.join(ctx.at["verify"], f"{n}.tar") for n in ("one", "two"))
    sums = os.path.join(ctx.at["verify"], "MD5SUMS")
    ours = [tool(ctx, "ilsvrc-verify"), "--quiet", "--md5sums", sums]

    def digests(*files):
        """openssl prints what MD5SUMS says and what ilsvrc-verify found right."""
        said = dict(line.split()[::-1] for line in open(sums, encoding="ascii"))
        for f in files:
            got = subprocess.run(["openssl", "md5", "-r", f], capture_output=True, text=True, check=True).stdout.split()[0]
            if got != said[os.path.basename(f)]:
                raise Failed(f"{f}: openssl says {got}")
        return f"{len(files)} MD5"

    yield Row("verify-one", "Verify one archive (MD5)", "MB", size(one) / 1e6, Side("ilsvrc-verify", [*ours, one]),
              [Side("openssl md5", ["openssl", "md5", one], target=0.97), Side("md5sum", ["md5sum", one])], [one],
              lambda: digests(one))
    half = size(one) / size(one, two)
    yield Row("verify-two", "Verify two archives at once", "MB", size(one, two) / 1e6, Side("ilsvrc-verify", [*ours, one, two]),
              [Side("openssl md5, one archive", ["openssl", "md5", one], target=1.9, scale=half),
               Side("ilsvrc-verify, one archive", [*ours, one], scale=half, note="a second core reads ahead, so that two cannot be twice one on two"),
               Side("two openssl md5 at once", ["sh", "-c", 'openssl md5 "$0" & openssl md5 "$1" & wait', one, two])],
              [one, two], lambda: digests(one, two))


def programs(ctx):
    """What rows that make and remove very many files execute."""
    return [[tool(ctx, "ilsvrc-extract"), "--version"], [tool(ctx, "pack-lmdb"), "--version"], [ctx.python, "-c", "import lmdb"],
            *([name, "--version"] for name in ("tar", "find", "xargs", "rm", "mkdir", "mv", "sync", "sh"))]


def extract_rows(ctx):
    raw, ours, theirs = ctx.at["raw"], ctx.tmp("extract-ours"), ctx.tmp("extract-theirs")
    archives = glob.glob(os.path.join(raw, "*"))

    def same():
        found = sum(compare(ctx, "trees", os.path.join(ours, split), os.path.join(theirs, split), *flat)["items"]
                    for split, flat in (("train", ()), ("val", ("--flat",))))
        return f"{found} files, byte for byte"

    def recipe(name, target=None, note="", **env):
        return Side(name, [*peer(ctx, "extract_tar.sh"), raw, theirs], [theirs], target=target, env=env, note=note)

    mine = Side("ilsvrc-extract", [tool(ctx, "ilsvrc-extract"), "--quiet", raw, ours], [ours],
                note="validation images into class folders, Caffe's lists written, everything synced to disk")
    yield Row("extract", "Extract train and validation", "MB", size(*archives) / 1e6, mine,
              [recipe("tar, two stages", 2.0, "validation images in one folder, no sync"),
               recipe("tar, two stages, then sync", note="`sync -f`: on the disk at the end, as ours is", SYNC="1"),
               recipe("tar, inner tars one a core", note="`xargs -P`, no sync", JOBS=str(ctx.jobs))],
              archives, same, start=programs(ctx))
    yield Row("extract-sorted", "Extract, validation images in class folders", "MB", size(*archives) / 1e6, mine,
              [recipe("tar, two stages, then valprep", note="one `mv` a line, as valprep.sh does it; no sync", VALPREP=ctx.at["valprep.sh"])],
              archives, same, start=programs(ctx), most=3)


def pack_rows(ctx):
    raw, photos = ctx.at["raw"], ctx.at["photos"]
    ours, theirs, work = ctx.tmp("ours.lmdb"), ctx.tmp("theirs.lmdb"), ctx.tmp("tar-work")
    pack = [tool(ctx, "pack-lmdb"), "--quiet"]
    train = os.path.join(raw, "ILSVRC2012_img_train.tar")
    n = count(photos)

    def same(how):
        def check():
            found = compare(ctx, how, ours, theirs)
            return f"{found['items']} records: keys, labels and {how}" + (
                f" ({found['same_bytes']} of them byte for byte)" if how == "pixels" else "")
        return check

    yield Row("pack-keep", "Archives to LMDB, bytes kept, no intermediate files", "MB", size(train) / 1e6,
              Side("pack-lmdb --split train", [*pack, raw, "--split", "train", ours], [ours]),
              [Side("tar, two stages, then Python lmdb", [*peer(ctx, "pack_tar_python.sh"), raw, work, theirs], [work, theirs],
                    target=4.0, env={"PYTHON": ctx.python})],
              [train], same("bytes"), start=programs(ctx))
    small, q90 = ["--resize", "short:256"], ["--encode", "jpeg:90"]
    sides = [Side("Pillow, one process a core", [*peer(ctx, "pack_pillow.py"), photos, theirs], [theirs], target=1.5)]
    if ctx.limit:
        sides.append(Side("libjpeg-turbo alone (the bound)", [ctx.limit, photos, ctx.at["short256"], "90", str(ctx.jobs)], inner=True,
                          note="decodes the photographs and encodes the small pictures, nothing else; 1.0 would be all of it"))
    yield Row("pack-short", "Pack full-size photographs, short side 256, JPEG 90", "images", n,
              Side("pack-lmdb", [*pack, photos, ours, *small, *q90], [ours]), sides, [photos], same("pixels"))
    yield Row("pack-exact", "Pack raw 256x256, OpenCV's linear (convert_imageset)", "images", n,
              Side("pack-lmdb --filter opencv-linear",
                   [*pack, photos, ours, "--resize", "exact:256x256", "--filter", "opencv-linear", "--encode", "raw"], [ours]),
              [Side("OpenCV, one process a core", [*peer(ctx, "pack_opencv.py"), photos, theirs], [theirs]),
               Side("OpenCV, one process, as convert_imageset", [*peer(ctx, "pack_opencv.py"), photos, theirs, "--jobs", "1"], [theirs])],
              [photos], same("pixels"))


def loader_rows(ctx):
    seconds = ["--rounds", "1" if ctx.quick else "3", "--seconds", "1" if ctx.quick else "3"]
    how = ["--batch", "64", *seconds]

    def ours(name, db, *more):
        return Side(name, [tool(ctx, "rn-bench"), "loader", db, "--json", "--no-verify", "--workers", str(ctx.jobs), *how, *more], inner=True)

    def theirs(name, script, source, target=None, workers=ctx.jobs, **env):
        return Side(name, [*peer(ctx, script), source, "--workers", str(workers), *how], target=target, inner=True, env=env)

    full, small = ctx.at["photos.lmdb"], ctx.at["short256.lmdb"]
    yield Row("load-full", "Decode, random resized crop 224, flip: full-size photographs", "images", 0,
              ours("rn-bench loader", full),
              [theirs("torchvision DataLoader, files", "loader_torchvision.py", ctx.at["photos"], 2.0),
               theirs("torchvision DataLoader, LMDB", "loader_torchvision.py", full)],
              [full, ctx.at["photos"]])
    webdataset, ffcv = ctx.extra("webdataset"), ctx.extra("ffcv")
    sides = [theirs("torchvision DataLoader, LMDB", "loader_torchvision.py", small, 2.5)]
    if webdataset:
        sides.append(theirs("webdataset, tar shards", "loader_webdataset.py", ctx.at["shards"], PYTHONPATH=webdataset))
    if ffcv:
        sides.append(theirs("FFCV, .beton of JPEG", "loader_ffcv.py", ctx.at["short256"], PYTHONPATH=ffcv))
    yield Row("load-short", "Decode, random resized crop 224, flip: short side 256, JPEG 90", "images", 0, ours("rn-bench loader", small), sides,
              [small, ctx.at["shards"], ctx.at["short256"]])
    yield Row("load-exact", "The same crops with torchvision's pixels to the bit (--exact), full-size", "images", 0,
              ours("rn-bench loader --exact", full, "--exact"),
              [theirs("torchvision DataLoader, files", "loader_torchvision.py", ctx.at["photos"])], [full, ctx.at["photos"]])


def resize_rows(ctx):
    how = ["--from", "500x375", "--to", "short:256", "--filter", "bilinear"]
    script = [*peer(ctx, "resize_pillow.py"), *how]
    simd = ctx.extra("simd")
    sides = [Side("Pillow", script, target=4.0, inner=True)]
    if simd:
        sides.append(Side("Pillow-SIMD", script, target=1.5, inner=True, env={"PYTHONPATH": simd}))
    yield Row("resize", "Resize alone, 500x375 to short side 256, bilinear, one core", "images", 0,
              Side("rn-bench resize", [tool(ctx, "rn-bench"), "resize", "--json", *how], inner=True), sides)


def all_rows(ctx):
    for make in (verify_rows, extract_rows, pack_rows, loader_rows, resize_rows):
        yield from make(ctx)
