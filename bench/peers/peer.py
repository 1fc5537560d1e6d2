# SPDX-License-Identifier: MIT
"""What every Python peer ends with: one line of JSON that says what it did, in how many seconds of wall and of CPU."""
import json
import os
import resource
import time

STARTED = time.perf_counter()


def cpu_seconds():
    """User and system time of this process and of the children it has waited for."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def report(peer, work, items, size, seconds=None, **more):
    if seconds is None:
        seconds = time.perf_counter() - STARTED
    line = {"peer": peer, "work": work, "items": items, "bytes": size, "seconds": round(seconds, 6),
            "cpu_seconds": round(cpu_seconds(), 6)}
    print(json.dumps({**line, **more}), flush=True)


def cores():
    return len(os.sched_getaffinity(0))


def tree(root):
    """[(path below root, label)] of ROOT/<class>/<image>, classes and names sorted, labels in the classes' order."""
    out = []
    for label, wnid in enumerate(sorted(os.listdir(root))):
        for name in sorted(os.listdir(os.path.join(root, wnid))):
            out.append((f"{wnid}/{name}", label))
    return out
