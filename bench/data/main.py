# SPDX-License-Identifier: MIT
"""Measures the data tools beside their peers, called by bench/data.sh, and writes one JSON file. Standard library only."""
import argparse
import datetime
import fnmatch
import json
import os
import platform
import subprocess
import sys

import inputs
import measure
import memory
import rows


class Context:
    """Where things are."""

    def __init__(self, a):
        here = os.path.dirname(os.path.abspath(__file__))
        self.root = os.path.dirname(os.path.dirname(here))
        self.peers = os.path.join(self.root, "bench", "peers")
        self.bin, self.python, self.data, self.out = (os.path.abspath(x) for x in (a.bin, a.python, a.data, a.out))
        self.quick, self.jobs = a.quick, a.jobs
        self.limit = a.limit and os.path.abspath(a.limit)
        self.at = {}
        self.said = [(self.out, "$OUT"), (self.data, "$RNKIT_DATA"), (self.python, "python"), (self.bin, "bin"), (self.root + "/", "")]
        self.logs = os.path.join(self.out, "logs")
        self.work = os.path.join(self.out, "work")
        for folder in (self.logs, self.work):
            os.makedirs(folder, exist_ok=True)

    def shown(self, value):
        """The same with the folders of this machine under their names: results are published."""
        if isinstance(value, dict):
            return {k: self.shown(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.shown(v) for v in value]
        if isinstance(value, str):
            for path, name in self.said:
                value = value.replace(path, name)
        return value

    def tmp(self, name):
        return os.path.join(self.work, name)

    def extra(self, name):
        """Folder of a Python package that data.sh could install, else None."""
        folder = os.path.join(self.out, "py-" + name)
        return folder if os.path.exists(os.path.join(folder, ".whole")) else None


def said(*argv, line=0, env=None):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
        return (done.stdout + done.stderr).strip().splitlines()[line].strip()
    except (OSError, IndexError):
        return "not there"


def machine(ctx):
    def field(path, name):
        try:
            with open(path, encoding="ascii", errors="replace") as f:
                return next(l.partition(":")[2].strip() for l in f if l.startswith(name))
        except (OSError, StopIteration):
            return "unknown"

    flags = field("/proc/cpuinfo", "flags").split()
    return {
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": ctx.jobs,
        "isa": " ".join(f for f in ("avx2", "avx512f", "avx512bw", "avx512_vbmi") if f in flags),
        "memory": f"{int(field('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "kernel": platform.release(),
        "file system": said("df", "--output=fstype", ctx.out, line=1),
        "load before": " ".join(f"{x:.2f}" for x in os.getloadavg()),
    }


def versions(ctx):
    names = "PIL torch torchvision lmdb cv2".split()
    code = "import importlib,sys\nfor n in sys.argv[1:]:\n try: print(n, importlib.import_module(n).__version__)\n except Exception as e: print(n, 'not there')"
    done = subprocess.run([ctx.python, "-c", code, *names], capture_output=True, text=True, check=False)
    out = {"rnkit": said("git", "-C", ctx.root, "describe", "--always", "--dirty") + ", " + said(os.path.join(ctx.bin, "pack-lmdb"), "--version", line=1),
           "openssl": said("openssl", "version").split()[1], "tar": said("tar", "--version").split()[-1],
           "md5sum": said("md5sum", "--version").split()[-1], "Python": said(ctx.python, "--version").split()[-1]}
    known = {"PIL": "Pillow", "lmdb": "Python's lmdb", "cv2": "OpenCV"}
    out.update((known.get(n, n), v) for n, v in (line.split(" ", 1) for line in done.stdout.splitlines()))
    for name, package in (("simd", "Pillow-SIMD"), ("webdataset", "webdataset"), ("ffcv", "ffcv")):
        code = f"import importlib.metadata as m; print(m.version('{package}'))"
        out[package] = (said(ctx.python, "-c", code, line=-1, env={"PYTHONPATH": ctx.extra(name)}) if ctx.extra(name)
                        else "could not be installed")
    return out


def take_over(result, path, order):
    """What an earlier result has and this one lacks, with when and by what it was measured."""
    with open(path, encoding="utf-8") as f:
        old = json.load(f)
    if old["quick"] or any(old["machine"][k] != result["machine"][k] for k in ("cpu", "cores", "memory")):
        raise SystemExit(f"{path}: of another machine, or of small inputs: cannot stand beside what is measured here")
    when = {"date": old["date"], "rnkit": old["versions"]["rnkit"], "load": old["machine"]["load before"]}
    have = {row["id"] for row in result["rows"]}
    result["rows"] += [{"measured": when, **row} for row in old["rows"] if row["id"] not in have]
    result["rows"].sort(key=lambda row: order.index(row["id"]))
    if not result["memory"] and old["memory"]:
        result["memory"] = {"measured": when, **old["memory"]}


def main():
    p = argparse.ArgumentParser()
    for name in ("bin", "python", "data", "out", "json"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--limit", help="the compiled jpeg_limit")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--rows", default="*", help="patterns of rows, or memory; blanks between")
    p.add_argument("--keep", help="an earlier result on this machine: its rows stand where none is measured now")
    p.add_argument("--quick", action="store_true", help="small inputs: tries the harness, measures nothing of worth")
    p.add_argument("--command", default="make bench-data")
    a = p.parse_args()
    ctx = Context(a)
    wanted = lambda name: any(fnmatch.fnmatch(name, w) for w in a.rows.split())
    inputs.make_all(ctx, measure.log)
    result = {"command": a.command, "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "quick": a.quick,
              "rounds": a.rounds, "machine": machine(ctx), "versions": versions(ctx), "rows": [], "memory": None}
    order = []
    for row in rows.all_rows(ctx):
        order.append(row.id)
        if not wanted(row.id):
            continue
        measure.log(f"{row.id}: {row.title}")
        try:
            result["rows"].append(measure.measure(row, a.rounds, ctx.logs, measure.log))
        except (measure.Failed, OSError) as e:
            measure.log(f"  NOT measured: {e}")
            result["rows"].append({"id": row.id, "title": row.title, "failed": str(e)})
        measure.clean(os.path.join(ctx.work, name) for name in os.listdir(ctx.work))
    if wanted("memory"):
        result["memory"] = memory.measure_all(ctx, measure.log)
    result["machine"]["load after"] = " ".join(f"{x:.2f}" for x in os.getloadavg())
    if a.keep:
        take_over(result, a.keep, order)
    with open(a.json + ".new", "w", encoding="utf-8") as f:
        json.dump(ctx.shown(result), f, indent=1)
        f.write("\n")
    os.rename(a.json + ".new", a.json)
    bad = [r["id"] for r in result["rows"] if "failed" in r or (r["check"] and not r["check"]["ok"])]
    if bad:
        measure.log("not measured, or outputs differ: " + " ".join(bad))
    return 1 if bad else 0 if result["rows"] or result["memory"] else 3


if __name__ == "__main__":
    sys.exit(main())
