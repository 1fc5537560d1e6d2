# SPDX-License-Identifier: MIT
"""Of the pieces that rn-bench conv has timed: the fastest of either side, ratios, and tables. Alone, and (layers-bn) with the batch norm beside each convolution."""
import math
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data"))
import targets  # pylint: disable=wrong-import-position
from measure import spread  # pylint: disable=wrong-import-position

FAST = " with --fast"


def of_kind(pieces, kind):
    return [p for p in pieces if p["piece"] == kind]


DIRECTIONS = ("fwd", "bwd_d", "bwd_w")


def is_ours(row):
    return row["algo"].startswith(("cpu:", "cuda:"))


def device_of(piece):
    """Pieces of before there were several tell none."""
    return piece.get("device", "cpu")


def best(rows, ours, library="onednn", fast=False):
    """The fastest row of a side that has a time; None without one. Ours: what computes in fewer bits than the contract's counts if `fast`. oneDNN in layouts of its
    own counts without the reorders from and to ours (core_ms): in a net that keeps to them there are none."""
    mine = [r for r in rows if r.get("verified") and (is_ours(r) and (fast or not r.get("lowprec")) if ours else r["algo"].split(":")[0] == library)]
    if not ours:
        mine = [{**r, "ms": min(r["ms"], r.get("core_ms", r["ms"]))} for r in mine]
    return min(mine, key=lambda r: r["ms"], default=None)


def cases(rows):
    """{(case, dir): rows}, in the order of the list."""
    out = {}
    for r in rows:
        out.setdefault((r["case"], r["dir"]), []).append(r)
    return out


def libraries(piece):
    return sorted({r["algo"].split(":")[0] for rows in piece["rounds"] for r in rows if not is_ours(r) and ":" in r["algo"]})


def has_fast(piece):
    return any(r.get("lowprec") and r.get("verified") for rows in piece["rounds"] for r in rows)


def pairs_of(rows, library, directions=DIRECTIONS, fast=False):
    pairs = [(best(group, True, fast=fast), best(group, False, library)) for (_, d), group in cases(rows).items() if d in directions]
    return [(a, b) for a, b in pairs if a and b]


def layer_ratios(piece, library, how, directions=DIRECTIONS, fast=False):
    """By round; none where nothing can be compared."""
    out = []
    for rows in piece["rounds"]:
        pairs = pairs_of(rows, library, directions, fast)
        if not pairs:
            continue
        if how == "time-weighted":
            out.append(sum(b["ms"] * b["count"] for _, b in pairs) / sum(a["ms"] * a["count"] for a, _ in pairs))
        else:
            out.append(math.exp(math.fsum(math.log(b["ms"] / a["ms"]) for a, b in pairs) / len(pairs)))
    return out


def middle_case(piece, key, ours, library, fast=False):
    """(median ms over the rounds, the algorithm of the middle round, its row)."""
    found = sorted((r for r in (best(cases(rows)[key], ours, library, fast) for rows in piece["rounds"]) if r), key=lambda r: r["ms"])
    return found[len(found) // 2] if found else None


def layer_table(piece, library, fast):
    out = ["", f"### Layers, {piece['dtype']}{FAST if fast else ''}, {piece['batch']} images, against {library}", "",
           f"| layer | case | direction | ours, ms | by | GFLOP/s | per cent of the peak | {targets.LIBRARY[device_of(piece)]}, ms | by | ratio |", "|---|---|---|---|---|---|---|---|---|---|"]
    for case, direction in cases(piece["rounds"][0]):
        a, b = (middle_case(piece, (case, direction), side, library, fast) for side in (True, False))
        if not a or not b or (fast and not a.get("lowprec")):
            continue
        peak = f"{a['peak_pct']:.0f}" if "peak_pct" in a else ""
        out.append(f"| {a['layer']} x {a['count']} | {case} | {direction} | {a['ms']:.3f} | {a['algo']} | {a['gflops']:.0f} | {peak} | {b['ms']:.3f} "
                   f"| {b['algo']}{' ' + b['impl'] if b.get('impl') else ''} | {b['ms'] / a['ms']:.2f} |")
    for direction in DIRECTIONS:
        ratios = [layer_ratios(piece, library, how, (direction,), fast) for how in ("time-weighted", "geometric mean")]
        if ratios[0]:
            both = ", ".join(f"{spread(r)['median']:.2f}" for r in ratios)
            out.append(f"| all | | {direction} | | | | | | time-weighted, geometric mean | {both} |")
    return out


def layer_tables(pieces):
    """With --fast only the cases that it changes."""
    out = []
    for piece in of_kind(pieces, "layers"):
        library = (libraries(piece) or [targets.LIBRARY[device_of(piece)].lower()])[0]
        for fast in (False, True) if has_fast(piece) else (False,):
            out += layer_table(piece, library, fast)
    return out


def lost_in_layers(piece, library, fast):
    """The cases that would have to gain most to be as far ahead as the whole is to be."""
    rows = piece["rounds"][0]
    worst = sorted(pairs_of(rows, library, fast=fast), key=lambda p: (p[1]["ms"] - p[0]["ms"]) / p[1]["ms"])[:4]
    at = [f"{a['layer']} {a['dir']} ({b['ms'] / a['ms']:.2f}" + (f", {a['peak_pct']:.0f} % of the peak" if "peak_pct" in a else "") + ")" for a, b in worst]
    return "least ahead: " + ", ".join(at)


# ---- with batch norms ------------------------------------------------------------------------------------------------------------


WAYS = ("apart", "fused")


def way_of(row):
    return "apart" if row["fuse"] == "apart" else "fused"


def ways(groups, ours, library):
    """{way: ms} of a layer, {direction: rows}, in all its directions; a way that a side has not in each is left out. What is one way in one direction is so in the
    others: a batch norm that is fused forward has not been stored for the others to read."""
    out = {}
    for way in WAYS:
        found = [best([r for r in rows if r.get("fuse") and way_of(r) == way], ours, library) for rows in groups.values()]
        if found and all(found):
            out[way] = sum(r["ms"] for r in found)
    return out


def layers_of(rows):
    """{case: ({direction: rows}, count)}."""
    out = {}
    for (case, direction), group in cases(rows).items():
        out.setdefault(case, ({}, group[0]["count"]))[0][direction] = group
    return out


def both_sides(rows, library):
    """[(layer's name, case, count, ours by way, theirs by way)] where both have one."""
    out = []
    for case, (groups, count) in layers_of(rows).items():
        a, b = ways(groups, True, library), ways(groups, False, library)
        if a and b:
            out.append((next(iter(groups.values()))[0]["layer"], case, count, a, b))
    return out


def norm_ratios(piece, library):
    """By round, time-weighted: each side's faster way for each layer."""
    sums = [both_sides(rows, library) for rows in piece["rounds"]]
    return [sum(n * min(b.values()) for *_, n, _, b in s) / sum(n * min(a.values()) for *_, n, a, _ in s) for s in sums if s]


def lost_with_norms(piece, library):
    worst = sorted(both_sides(piece["rounds"][0], library), key=lambda s: min(s[4].values()) / min(s[3].values()))[:4]
    return "least ahead: " + ", ".join(f"{layer} ({min(b.values()) / min(a.values()):.2f})" for layer, _, _, a, b in worst)


def norm_tables(pieces):
    out = []
    for piece in of_kind(pieces, "layers-bn"):
        library = (libraries(piece) or [targets.LIBRARY[device_of(piece)].lower()])[0]
        rounds = [{case: rest for _, case, *rest in both_sides(rows, library)} for rows in piece["rounds"]]
        out += ["", f"### Layers with their batch norms, {piece['dtype']}, {piece['batch']} images, against {library}", "",
                "All directions of a layer together: convolutions, and batch norm with ReLU forward and back, as ops of the device (apart) or within the convolutions (fused).", "",
                f"| layer | case | ours apart, ms | ours fused | {targets.LIBRARY[device_of(piece)]} apart | fused | ratio |", "|---|---|---|---|---|---|---|"]
        for layer, case, count, *_ in both_sides(piece["rounds"][0], library):
            there = [r[case] for r in rounds if case in r]
            a, b = ({w: spread([r[side][w] for r in there])["median"] for w in WAYS if all(w in r[side] for r in there)} for side in (1, 2))
            if a and b:
                told = [f"{of[w]:.3f}" if w in of else "" for of in (a, b) for w in WAYS]
                out.append(f"| {layer} x {count} | {case} | {' | '.join(told)} | {min(b.values()) / min(a.values()):.2f} |")
    return out
