# SPDX-License-Identifier: MIT
"""Peak memory of every data tool at 1x, 4x and 16x of the same input. Standard library only.

Two peaks of the process: VmHWM, all pages that were resident at once, and of them RssAnon, the process's own. The difference is
pages of files: the program, its libraries, and what is mapped (LMDB's data file), which the kernel takes back when memory is
short and which therefore fill whatever memory is free. RssAnon is sampled every 5 ms; VmHWM is the kernel's own.
"""
import os
import subprocess
import time

import inputs
import measure

TIMES = (1, 4, 16)
ILSVRC = 1_281_167
FLAT = 0.10    # 16x may take so much more than 1x before it needs an explanation,
SMALL = 4.0    # or so many MiB (allocators' arenas come and go);
INDEX = 160    # so many bytes an image are an index: a path, a place, a length, a label


def peaks(argv, log_base, said=None):
    """(RssAnon, VmHWM) in MiB of one process, which must succeed, or else say `said` as it ends."""
    anon = high = 0
    with open(log_base + ".out", "wb") as out, open(log_base + ".err", "wb") as err:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        while True:
            try:
                with open(f"/proc/{child.pid}/status", encoding="ascii") as f:
                    status = dict(line.split(":", 1) for line in f)
                if "VmHWM" in status:
                    anon = max(anon, int(status["RssAnon"].split()[0]))
                    high = max(high, int(status["VmHWM"].split()[0]))
            except (OSError, ValueError):
                pass
            done, status, usage = os.wait4(child.pid, os.WNOHANG)
            if done:
                break
            time.sleep(0.005)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        with open(log_base + ".err", encoding="utf-8", errors="replace") as f:
            text = f.read()
        if not said or said not in text:
            raise measure.Failed(f"{' '.join(argv)}: exit {child.returncode}: {text[-1000:]}")
    return anon / 1024, max(high, usage.ru_maxrss) / 1024


def quarter(ctx, tree, folder):
    """Every fourth image of an extracted tree, as links: the base of the three sizes."""
    for split in ("train", "val"):
        for wnid in sorted(os.listdir(os.path.join(tree, split))):
            os.makedirs(os.path.join(folder, split, wnid))
            for name in sorted(os.listdir(os.path.join(tree, split, wnid)))[::4]:
                os.link(os.path.join(tree, split, wnid, name), os.path.join(folder, split, wnid, name))


def make_sizes(ctx, say):
    """{times: raw folder}; 1x is Imagenette, in quick mode a quarter of it."""
    base = os.path.join(ctx.out, "in-memory-quick" if ctx.quick else "in-memory")
    os.makedirs(base, exist_ok=True)
    tree, part = os.path.join(base, "tree"), os.path.join(base, "part")
    env = {**os.environ, "RNKIT_BIN": ctx.bin}

    def run(*argv):
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)

    raw = {k: os.path.join(base, f"raw{k}") for k in TIMES}
    if not ctx.quick:
        raw[1] = os.path.join(ctx.data, "imagenette")
    else:
        make_quarter(ctx, tree, part, raw[1], run, say)
    for k in TIMES[1:]:
        inputs.once(raw[k], lambda p, k=k: run(os.path.join(ctx.peers, "make_big_raw.sh"), raw[1], p, str(k)), say)
    return raw


def make_quarter(ctx, tree, part, raw, run, say):
    inputs.once(tree, lambda p: run(os.path.join(ctx.bin, "ilsvrc-extract"), "--quiet", os.path.join(ctx.data, "imagenette"), p), say)
    inputs.once(part, lambda p: quarter(ctx, tree, p), say)
    inputs.once(raw, lambda p: run(os.path.join(ctx.bin, "mkilsvrc"), "--tree", os.path.join(part, "train"), "--val-tree",
                                   os.path.join(part, "val"), p), say)


def steps(ctx, raw, work):
    """(name, command) of one size, in an order in which each finds what it reads."""
    tool = lambda name, *more: [os.path.join(ctx.bin, name), *more, "--quiet"]
    at = lambda name: os.path.join(work, name)
    keep, small = at("keep.lmdb"), ["--resize", "short:96"]
    train = ["--arch", "resnet18", "--stem", "cifar", "--width", "0.0625", "--image-size", "32", "--val-resize", "36", "--batch", "64",
             "--stop-after-steps", "24", "--epochs", "3"]
    return [
        ("ilsvrc-verify RAW", tool("ilsvrc-verify", raw)),
        ("ilsvrc-verify RAW --structure", tool("ilsvrc-verify", raw, "--structure")),
        ("ilsvrc-extract RAW TREE --verify", tool("ilsvrc-extract", raw, at("tree"), "--verify")),
        ("ilsvrc-verify --tree TREE", tool("ilsvrc-verify", "--tree", at("tree"))),
        ("ilsvrc-verify --tree TREE --decode", tool("ilsvrc-verify", "--tree", at("tree"), "--decode")),
        ("pack-lmdb RAW --split train --shuffle 1", tool("pack-lmdb", raw, "--split", "train", "--shuffle", "1", keep)),
        ("pack-lmdb TREE/train", tool("pack-lmdb", at("tree/train"), at("tree.lmdb"))),
        ("pack-lmdb TREE/train, short:96 jpeg:90", tool("pack-lmdb", at("tree/train"), at("jpeg.lmdb"), *small, "--encode", "jpeg:90")),
        ("pack-lmdb TREE/train, exact:64x64 raw", tool("pack-lmdb", at("tree/train"), at("raw.lmdb"), "--resize", "exact:64x64",
                                                       "--encode", "raw")),
        ("ilsvrc-verify --lmdb DB --decode", tool("ilsvrc-verify", "--lmdb", keep, "--decode")),
        ("rn-bench loader DB", tool("rn-bench", "loader", keep, "--no-verify", "--rounds", "3")),
        ("rn-train", tool("rn-train", *train, "--train-db", keep, "--val-db", keep, "--out", at("run"))),
    ]


def measure_all(ctx, say):
    raw = make_sizes(ctx, say)
    found, images = {}, {}
    for k in TIMES:
        work = ctx.tmp("memory")
        measure.clean([work])
        os.makedirs(work)
        for i, (name, argv) in enumerate(steps(ctx, raw[k], work)):
            try:
                anon, high = peaks(argv, os.path.join(ctx.logs, f"memory.{k}.{i}"), "stopped after step" if name == "rn-train" else None)
            except measure.Failed as e:
                say(f"  {name}: {e}")
                continue
            found.setdefault(name, {})[k] = (anon, high)
            say(f"  {k:2d}x {name}: {anon:.1f} MiB own, {high:.1f} MiB with mapped files")
        images[k] = sum(len(names) for _, _, names in os.walk(os.path.join(work, "tree", "train")))
        measure.clean([work])
    return table(found, images)


def table(found, images):
    rows = []
    for name, got in found.items():
        if len(got) < len(TIMES):
            continue
        first, middle, last = (got[k][0] for k in TIMES)
        per_image = max(0.0, (last - middle) * 2**20 / (images[TIMES[-1]] - images[TIMES[1]]))
        flat = last <= first * (1 + FLAT) or last - first <= SMALL
        rows.append({"name": name, "cells": [f"{got[k][0]:.1f}" for k in TIMES] + [f"{got[k][1]:.0f}" for k in TIMES]
                     + [f"{per_image:.0f}", f"{last + per_image * (ILSVRC - images[TIMES[-1]]) / 2**20:.0f}"],
                     "verdict": "flat" if flat else "flat but for its index" if per_image <= INDEX else "grows", "peaks": {str(k): got[k] for k in TIMES}})
    return {"columns": [f"{k}x" for k in TIMES] + [f"{k}x, with mapped" for k in TIMES] + ["bytes an image", "ILSVRC2012"],
            "rows": rows, "images": images, "text": [
        f"Peaks in MiB over the same input at {', '.join(f'{k}x' for k in TIMES)}: {', '.join(f'{images[k]:,}' for k in TIMES)} training images "
        "and their share of validation images. *Own* pages (RssAnon) first, then all that were resident (VmHWM): the rest is the program, "
        "its libraries and mapped files (LMDB's data, read straight from the page cache), which the kernel takes back when it needs them and which fill "
        "whatever memory is free. *Bytes an image* is the slope of the own pages from 4x to 16x (from 1x to 4x bounded buffers still fill), and the "
        f"next column what that makes of ILSVRC2012's {ILSVRC:,} training images. *Flat*: 16x takes at most {FLAT:.0%} or {SMALL:g} MiB more than 1x; "
        f"an *index* is at most {INDEX} bytes an image: a path, a place in the archive or the database, a label."]}
