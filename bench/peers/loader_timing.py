# SPDX-License-Identifier: MIT
"""What the peers of `rn-bench loader` share: its options, its windows of the clock, its keys of JSON."""
import argparse
import json
import os
import resource
import statistics
import time


def parser(doc, modes=("train",)):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("src")
    p.add_argument("--mode", choices=modes, default="train")
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--seconds", type=float, default=1, help="length of a window")
    p.add_argument("--rounds", type=int, default=5, help="windows; the median counts")
    return p


def cpu_seconds():
    """Of this process and of its running workers."""
    total = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    tick = os.sysconf("SC_CLK_TCK")
    for pid in os.listdir("/proc"):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if pid.isdigit() and int(fields[1]) == os.getpid():
            total += (int(fields[11]) + int(fields[12])) / tick
    return total


def time_batches(peer, a, records, batches):
    """`batches` yields (images, ...) for ever. The first ones, which were made before the clock started, are not counted."""
    rates, cores, total = [], [], 0
    for _ in range(2 + 2 * a.workers):
        first = next(batches)
    shape = tuple(first[0].shape)
    if sorted(shape) != sorted((a.batch, 3, a.size, a.size)) or "uint8" not in str(first[0].dtype):
        raise SystemExit(f"{peer}: batches are {shape} of {first[0].dtype}")
    for _ in range(a.rounds):
        start, cpu, n = time.monotonic(), cpu_seconds(), 0
        while n == 0 or time.monotonic() - start < a.seconds:
            n += len(next(batches)[0])
        rates.append(n / (time.monotonic() - start))
        cores.append(n / (cpu_seconds() - cpu))
        total += n

    def iqr(v):
        q = statistics.quantiles(v, n=4, method="inclusive") if len(v) > 1 else [0, 0, 0]
        return q[2] - q[0]

    print(json.dumps({"peer": peer, "work": "load", "mode": a.mode, "records": records, "size": a.size, "batch": a.batch,
                      "workers": a.workers, "rounds": a.rounds, "images": total,
                      "images_per_s": round(statistics.median(rates), 2), "images_per_s_iqr": round(iqr(rates), 2),
                      "images_per_s_core": round(statistics.median(cores), 2), "images_per_s_core_iqr": round(iqr(cores), 2),
                      "images_per_s_core_best": round(max(cores), 2)}), flush=True)
