# SPDX-License-Identifier: MIT
"""Running commands side by side: what `make bench-data` measures with. Standard library only.

A Row is one piece of work; its Sides do it, ours first. Every round runs each side once, in an order that turns round by round,
each after the same preparation: outputs of earlier runs removed, dirty pages written back, every input file read once, so that
the page cache holds it. Wall time is of the whole process from outside, interpreters' start included; CPU time (user + system)
is of the process and all its children. A side may instead report itself, for loaders and bare functions, whose start-up nobody
who uses them notices: the last line of JSON on its stdout has `images_per_s`, or `items` and `seconds`.
"""
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from typing import Callable, Optional, Sequence


@dataclasses.dataclass
class Side:
    name: str
    argv: Sequence[str]                # a command; no shell in between
    outputs: Sequence[str] = ()        # removed before each run
    target: Optional[float] = None     # ours must be at least so many times as fast as this side
    inner: bool = False                # its speed is what its own last line of JSON says
    env: dict = dataclasses.field(default_factory=dict)
    note: str = ""
    scale: float = 1.0                 # work relative to the row's: 0.5 when it does half


@dataclasses.dataclass
class Row:
    id: str
    title: str
    unit: str                          # what speed is counted in
    items: float                       # units of work in one run
    ours: Side
    peers: Sequence[Side]
    inputs: Sequence[str] = ()         # files or folders read through before each run
    check: Optional[Callable[[], str]] = None  # compares the outputs; returns what was found equal, raises otherwise
    note: str = ""
    start: Sequence[Sequence[str]] = ()  # commands that bring what the sides execute into memory, see forget()
    most: int = 1 << 30                # rounds, for a row that takes long and decides nothing


class Failed(Exception):
    pass


def files_under(paths):
    for path in paths:
        if os.path.isdir(path):
            for folder, _, names in os.walk(path):
                for name in names:
                    yield os.path.join(folder, name)
        else:
            yield path


def warm(paths):
    buffer = bytearray(1 << 20)
    for path in files_under(paths):
        with open(path, "rb", buffering=0) as f:
            while f.readinto(buffer):
                pass


def clean(paths):
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)


def forget():
    """Drops the page cache, where that is permitted. A file system that has just lost a hundred thousand files is a slow one to make
    as many in: ext4 without a journal steps over every inode that it remembers as deleted less than a minute ago."""
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
            f.write("1\n")
    except OSError:
        pass


def last_json(path):
    """What a command told last: the last line that is an object, or the last object of an array that is all of the output."""
    with open(path, encoding="utf-8", errors="replace") as f:
        text = f.read()
    if text.lstrip().startswith("["):
        return json.loads(text)[-1]
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    raise Failed(f"{path}: no line of JSON")


def run(side, row, log_base):
    """One run; a dict of wall, cpu (seconds), and for inner sides what they told, with their speed."""
    clean(side.outputs)
    os.sync()
    if row.start:
        forget()
        for argv in row.start:
            subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    warm(row.inputs)
    with open(log_base + ".out", "wb") as out, open(log_base + ".err", "wb") as err:
        begin = time.perf_counter()
        child = subprocess.Popen(list(side.argv), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                 env={**os.environ, **side.env})
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        with open(log_base + ".err", encoding="utf-8", errors="replace") as f:
            tail = f.read()[-2000:]
        raise Failed(f"{side.name}: exit {child.returncode}: {' '.join(side.argv)}\n{tail}")
    result = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime}
    if side.inner:
        told = last_json(log_base + ".out")
        result["speed"] = told["images_per_s"] if "images_per_s" in told else told["items"] / told["seconds"]
        if "images_per_s_core" in told:
            result["speed_core"] = told["images_per_s_core"]
        result["told"] = told
    return result


def speed(side, items, result):
    if side.inner:
        return result["speed"]
    return items * side.scale / result["wall"]


def speed_core(side, items, result):
    """Units of work in a second of CPU time; None where the side does not tell."""
    if side.inner:
        return result.get("speed_core")
    return items * side.scale / result["cpu"]


def spread(values):
    values = sorted(values)
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    else:
        low = high = values[0]
    return {"median": statistics.median(values), "q1": low, "q3": high, "min": values[0], "max": values[-1]}


def measure(row, rounds, logs, say):
    """All rounds of a row, as a JSON-able dict; a side that cannot run is left out, and says why, if it is not ours."""
    sides = [row.ours, *row.peers]
    results = {s.name: [] for s in sides}
    absent = {}
    rounds = min(rounds, row.most)
    for r in range(rounds):
        for s in sides[r % len(sides):] + sides[:r % len(sides)]:
            if s.name in absent:
                continue
            try:
                results[s.name].append(run(s, row, os.path.join(logs, f"{row.id}.{sides.index(s)}.{r}")))
            except (Failed, FileNotFoundError, KeyError) as e:
                if s is row.ours:
                    raise
                absent[s.name] = str(e)
                say(f"  {s.name}: left out: {str(e).splitlines()[0]}")
                continue
            last = results[s.name][-1]
            say(f"  round {r + 1}: {s.name}: {speed(s, row.items, last):.4g} {row.unit}/s, "
                f"{last['wall']:.2f} s wall, {last['cpu']:.2f} s cpu")
    mine = results[row.ours.name]
    out = {"id": row.id, "title": row.title, "unit": row.unit, "items": row.items, "note": row.note, "rounds": rounds, "sides": [],
           "ours": row.ours.name, "check": None, "absent": absent}
    for s in sides:
        if s.name in absent:
            continue
        theirs = results[s.name]
        entry = {"name": s.name, "command": " ".join(s.argv), "note": s.note, "runs": theirs, "target": s.target,
                 "speed": spread([speed(s, row.items, x) for x in theirs]),
                 "speed_core": spread([speed_core(s, row.items, x) for x in theirs])
                 if all(speed_core(s, row.items, x) is not None for x in theirs) else None}
        if s is not row.ours:
            ratios = [speed(row.ours, row.items, a) / speed(s, row.items, b) for a, b in zip(mine, theirs)]
            entry["ratio"] = spread(ratios)
            entry["ratios"] = ratios
            cores = [(speed_core(row.ours, row.items, a), speed_core(s, row.items, b)) for a, b in zip(mine, theirs)]
            entry["cpu_ratio"] = None if any(a is None or b is None for a, b in cores) else spread([a / b for a, b in cores])
            entry["reached"] = None if s.target is None else entry["ratio"]["median"] >= s.target
        out["sides"].append(entry)
    if row.check:
        try:
            out["check"] = {"ok": True, "what": row.check()}
        except (Failed, OSError, subprocess.CalledProcessError) as e:
            out["check"] = {"ok": False, "what": str(e)}
        say(f"  output: {'the same: ' if out['check']['ok'] else 'NOT the same: '}{out['check']['what']}")
    return out


def log(text):
    print(text, file=sys.stderr, flush=True)
