# SPDX-License-Identifier: MIT
"""What `make bench-data` measures on, made once below OUT/in and kept. Standard library only.

  raw/          Imagenette's archives, every class repeated under other names (bench/peers/make_big_raw.sh)
  verify/       one.tar and two.tar, large files with their MD5SUMS
  photos/       160 full-size photographs of ILSVRC2012's kind as class folders, repeated under other names
  photos.lmdb, short256.lmdb, short256/, shards/
                the photographs packed as they are, and to a short side of 256; the latter also as files and as tar shards
"""
import hashlib
import os
import shutil
import subprocess
import tarfile

SIZES = {  # times Imagenette, bytes of a file to verify, times 160 photographs
    "full": {"raw": 8, "verify": 2 << 30, "photos": 24},
    "quick": {"raw": 1, "verify": 192 << 20, "photos": 2},
}


def once(path, make, say):
    """make(temporary) puts something there, which then gets its name: what stands under `path` is whole."""
    if os.path.exists(path):
        return
    say(f"making {path}")
    aside = path + ".new"
    if os.path.isdir(aside):
        shutil.rmtree(aside)
    elif os.path.exists(aside):
        os.unlink(aside)
    make(aside)
    os.rename(aside, path)


def make_verify(source, size, folder):
    os.mkdir(folder)
    sums = ""
    for k, name in enumerate(("one.tar", "two.tar")):
        digest, left = hashlib.md5(), size - k * 512  # not the same bytes twice
        with open(os.path.join(folder, name), "wb") as out:
            while left > 0:
                with open(source, "rb") as f:
                    while left > 0 and (block := f.read(min(1 << 20, left))):
                        out.write(block)
                        digest.update(block)
                        left -= len(block)
        sums += f"{digest.hexdigest()}  {name}\n"
    with open(os.path.join(folder, "MD5SUMS"), "w", encoding="ascii") as f:
        f.write(sums)


def make_photos(sample, times, folder):
    with tarfile.open(sample) as tar:
        for member in tar:
            if not member.isfile():
                continue
            data = tar.extractfile(member).read()
            wnid, name = member.name.split("/")[-2:]
            stem, ext = os.path.splitext(name)
            os.makedirs(os.path.join(folder, wnid), exist_ok=True)
            for k in range(times):
                with open(os.path.join(folder, wnid, f"{stem}_{k:03d}{ext}"), "wb") as f:
                    f.write(data)


def make_shards(tree, folder, per_shard=1000):
    """webdataset's form: members of one sample beside each other, with one stem. The order is shuffled, as its makers advise."""
    import io
    import random

    os.mkdir(folder)
    names = [os.path.join(wnid, name) for wnid in sorted(os.listdir(tree)) for name in sorted(os.listdir(os.path.join(tree, wnid)))]
    label = {wnid: i for i, wnid in enumerate(sorted(os.listdir(tree)))}
    random.Random(1).shuffle(names)
    per_shard = max(1, min(per_shard, len(names) // 8))
    for k in range(0, len(names), per_shard):
        with tarfile.open(os.path.join(folder, f"{k // per_shard:06d}.tar"), "w", format=tarfile.USTAR_FORMAT) as tar:
            for i, name in enumerate(names[k:k + per_shard], k):
                with open(os.path.join(tree, name), "rb") as f:
                    image = f.read()
                for ext, data in (("jpg", image), ("cls", str(label[os.path.dirname(name)]).encode())):
                    info = tarfile.TarInfo(f"{i:08d}.{ext}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def link_raw(source, folder):
    os.mkdir(folder)
    for name in os.listdir(source):
        os.symlink(os.path.join(source, name), os.path.join(folder, name))


def make_raw(ctx, times, folder):
    source = os.path.join(ctx.data, "imagenette")
    if times == 1:
        link_raw(source, folder)
        return
    maker = os.path.join(ctx.peers, "make_big_raw.sh")
    subprocess.run([maker, source, folder, str(times)], check=True, stdout=subprocess.DEVNULL, env={**os.environ, "RNKIT_BIN": ctx.bin})


def make_valprep(ctx, raw, script):
    """The `mv` lines that sort the validation images: those of valprep.sh, for the images at hand."""
    tree = script + ".tree"
    subprocess.run([os.path.join(ctx.bin, "ilsvrc-extract"), "--quiet", "--splits", "val", raw, tree], check=True)
    classes = sorted(os.listdir(os.path.join(tree, "val")))
    with open(script, "w", encoding="ascii") as f:
        f.writelines(f"mkdir -p {c}\n" for c in classes)
        for c in classes:
            f.writelines(f"mv {name} {c}/\n" for name in sorted(os.listdir(os.path.join(tree, "val", c))))
    shutil.rmtree(tree)


def make_all(ctx, say):
    """Fills ctx.at, a dict of paths, and says what each holds in ctx.sizes."""
    size = SIZES["quick" if ctx.quick else "full"]
    folder = os.path.join(ctx.out, "in-quick" if ctx.quick else "in")
    os.makedirs(folder, exist_ok=True)
    at = {name: os.path.join(folder, name)
          for name in ("raw", "verify", "photos", "photos.lmdb", "short256.lmdb", "short256", "shards", "valprep.sh")}
    pack = os.path.join(ctx.bin, "pack-lmdb")
    once(at["raw"], lambda p: make_raw(ctx, size["raw"], p), say)
    once(at["valprep.sh"], lambda p: make_valprep(ctx, at["raw"], p), say)
    once(at["verify"], lambda p: make_verify(os.path.join(ctx.data, "imagenette", "ILSVRC2012_img_train.tar"), size["verify"], p), say)
    once(at["photos"], lambda p: make_photos(os.path.join(ctx.data, "imagenet-sample.tar"), size["photos"], p), say)
    once(at["photos.lmdb"], lambda p: subprocess.run([pack, "--quiet", at["photos"], p], check=True, stdout=subprocess.DEVNULL), say)
    once(at["short256.lmdb"], lambda p: subprocess.run([pack, "--quiet", at["photos"], p, "--resize", "short:256", "--encode", "jpeg:90"],
                                                       check=True, stdout=subprocess.DEVNULL), say)
    once(at["short256"], lambda p: subprocess.run([ctx.python, os.path.join(ctx.peers, "lmdb_tree.py"), at["short256.lmdb"], p], check=True,
                                                  stdout=subprocess.DEVNULL), say)
    once(at["shards"], lambda p: make_shards(at["short256"], p), say)
    ctx.at = at
