# SPDX-License-Identifier: MIT
"""kernels_page.py --gather PIECES RESULTS.json: the whole pieces as one JSON; kernels_page.py RESULTS.json PAGE.md CHART.svg: page and chart of it."""
import glob
import json
import math
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data"))
from measure import spread  # pylint: disable=wrong-import-position
from page import chart  # pylint: disable=wrong-import-position

# What is to be reached, by piece: times as fast as the peer, or per cent of the roofline.
LAYERS = {("bf16", "time-weighted"): 1.5, ("bf16", "geometric mean"): 1.3, ("f32", "time-weighted"): 1.15}
STEPS = {("resnet18-224-b32", "bf16"): 2, ("resnet18-224-b32", "f32"): 1.5, ("resnet18-cifar-b128", "bf16"): 2, ("resnet18-cifar-b128", "f32"): 1.5}
ROOFLINE = {"bf16": 45, "f32": 75}
END_TO_END = 1 / 0.45
FAST = " with --fast"

RULES = """\
- **Interleaved.** Steps: every round measures each side once, in an order that turns from round to round; ratios are taken within a round. Layers: a round is a
  process, in which `rn-bench conv` times all algorithms in turn over the same tensors. The tables have medians over rounds, and the extremes. Above 1, ours is faster.
- **A step** is forward, backward and update of one batch of made-up images, the loss fetched. Ours includes the images' way to the net and their normalisation from bytes;
  PyTorch gets them normalised, in channels_last. bf16 is PyTorch's autocast, and ours with the same f32 masters. PyTorch's figure is that of its faster mode, eager or
  `torch.compile`, whose compilation is not counted; its SGD is the fused one. The first step of each round is left out on both sides.
- **Layers** are those of ResNet-18 at 224 pixels with what a training step needs of them: 11 shapes in three directions, but for the stem's data gradient. Every result is
  verified before it is timed. Both sides: the fastest algorithm for the case, by the median; weights that were packed beforehand on either side. Where oneDNN works in
  layouts of its own, the reorders of source and destination from and to NHWC are not counted: a net that stays in them has none.
  `--fast` adds the algorithms that compute in fewer bits than the contract asks for (docs/kernels.md has their error); verified within that. Without the word they do not count.
  *Time-weighted*: the sum of the times, each as often as the network has the layer. *Geometric mean*: over the cases, each once.
- **The roofline** of a step is summed over the calls that the step makes, fused or not: for each the longer of FLOP at the measured peak and bytes (each tensor once) at the measured
  bandwidth of memory. FLOP are of the direct convolution and count taps in the padding, also where Winograd multiplies less.
- Threads: as many on either side.
"""


def gather(pieces, target):
    found = []
    for path in sorted(glob.glob(os.path.join(pieces, "*.json"))):
        with open(path, encoding="utf-8") as f:
            found.append({"id": os.path.basename(path).removesuffix(".json"), **json.load(f)})
    with open(target + ".new", "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(p) for p in found) + "\n]\n")
    os.rename(target + ".new", target)
    return 0 if found else 3


def of_kind(pieces, kind):
    return [p for p in pieces if p["piece"] == kind]


# ---- layers ----------------------------------------------------------------------------------------------------------------------


DIRECTIONS = ("fwd", "bwd_d", "bwd_w")


def is_ours(row):
    return row["algo"].startswith("cpu:")


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
           "| layer | case | direction | ours, ms | by | GFLOP/s | per cent of the peak | oneDNN, ms | by | ratio |", "|---|---|---|---|---|---|---|---|---|---|"]
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
        library = (libraries(piece) or ["onednn"])[0]
        for fast in (False, True) if has_fast(piece) else (False,):
            out += layer_table(piece, library, fast)
    return out


# ---- steps -----------------------------------------------------------------------------------------------------------------------


def middle(values):
    return sorted(values)[len(values) // 2]


def peer_times(piece):
    """{mode: median ms by round}."""
    return {m: [spread(r[m])["median"] for r in piece["rounds"]] for m in piece["modes"]}


def faster_mode(piece):
    times = peer_times(piece)
    return min(times, key=lambda m: spread(times[m])["median"])


def step_ratios(piece):
    theirs = peer_times(piece)[faster_mode(piece)]
    return [t / r["rnkit"]["step_ms"] for t, r in zip(theirs, piece["rounds"])]


def our_step(piece):
    """Our round of median time."""
    return middle_by([r["rnkit"] for r in piece["rounds"]], "step_ms")


def middle_by(rows, key):
    return sorted(rows, key=lambda r: r[key])[len(rows) // 2]


def images(piece, ms):
    return f"{piece['batch'] / ms * 1e3:.1f}"


def step_table(pieces):
    out = ["", "## Whole training steps", "", "| step | type | ours, images/s | PyTorch eager | torch.compile | ratio to the faster | extremes | of the roofline |", "|---|---|---|---|---|---|---|---|"]
    for p in of_kind(pieces, "step"):
        times, r, mine = peer_times(p), spread(step_ratios(p)), our_step(p)
        compiled = images(p, spread(times["compile"])["median"]) if "compile" in times else "left out"
        out.append(f"| {label(p)} | {type_of(p)} | {images(p, mine['step_ms'])} | {images(p, spread(times['eager'])['median'])} | {compiled} "
                   f"| **{r['median']:.2f}** | {r['min']:.2f} .. {r['max']:.2f} | {mine['roofline_pct']:.0f} % |")
    return out


def label(p):
    stem = ", CIFAR's stem" if p["stem"] == "cifar" else ""
    return f"{p['arch']}, {p['image_size']} px{stem}, batch {p['batch']}"


def type_of(p):
    return p["dtype"] + (f" with {p['more']}" if p.get("more") else "")


def split_tables(pieces):
    out = []
    for p in of_kind(pieces, "step"):
        s = our_step(p)
        out += ["", f"### Where the step goes: {label(p)}, {type_of(p)}", "",
                f"Ceilings of that run: {s['peak_gflops']['f32']:.0f} GFLOP/s f32, {s['peak_gflops']['bf16']:.0f} bf16, {s['memory_gbytes_per_s']:.1f} GB/s.", "",
                "| op | calls | ms | share, per cent | GFLOP/s | GB/s | roofline, ms | per cent of it |", "|---|---|---|---|---|---|---|---|"]
        for o in sorted(s["ops"], key=lambda o: -o["ms"]):
            if o["share_pct"] >= 0.1:
                out.append(f"| {o['op']} | {o['calls']} | {o['ms']:.2f} | {o['share_pct']:.1f} | {o['gflops']:.0f} | {o['gbytes_per_s']:.1f} | {o['roofline_ms']:.2f} | {o['roofline_pct']:.0f} |")
        out.append(f"| step | | {s['step_ms']:.2f} | 100 | | | {s['roofline_ms']:.2f} | {s['roofline_pct']:.0f} |")
    return out


# ---- what is to be reached -------------------------------------------------------------------------------------------------------


def lost_in_step(piece):
    """The ops that are furthest, in ms, from their roofline, and what of the step would be left if all were on it."""
    s = our_step(piece)
    worst = sorted(s["ops"], key=lambda o: o["roofline_ms"] - o["ms"])[:3]
    return f"the step is at {s['roofline_pct']:.0f} % of its roofline; most is lost in " + ", ".join(
        f"{o['op']} ({o['ms'] - o['roofline_ms']:.0f} of {s['step_ms']:.0f} ms, {o['roofline_pct']:.0f} % of its own)" for o in worst)


def lost_in_layers(piece, library, fast):
    """The cases that would have to gain most to be as far ahead as the whole is to be."""
    rows = piece["rounds"][0]
    worst = sorted(pairs_of(rows, library, fast=fast), key=lambda p: (p[1]["ms"] - p[0]["ms"]) / p[1]["ms"])[:4]
    at = [f"{a['layer']} {a['dir']} ({b['ms'] / a['ms']:.2f}" + (f", {a['peak_pct']:.0f} % of the peak" if "peak_pct" in a else "") + ")" for a, b in worst]
    return "least ahead: " + ", ".join(at)


def goals(pieces):
    """[{work, against, target, spread, reached, why, unit}]: figures to reach, and what was reached."""
    out = []

    def add(work, against, target, values, why, unit="x"):
        if not values:
            return
        s = spread(values)
        out.append({"work": work, "against": against, "target": target, "ratio": s, "reached": s["median"] >= target, "why": why, "unit": unit})

    for p in of_kind(pieces, "layers"):
        for (dtype, how), target in LAYERS.items():
            for library in libraries(p) if dtype == p["dtype"] else ():
                for fast in (False, True) if has_fast(p) else (False,):
                    add(f"{p['net']}'s layers, {dtype}{FAST if fast else ''}, {how}", f"{library}, its fastest for each case", target,
                        layer_ratios(p, library, how, fast=fast), lost_in_layers(p, library, fast))
    for p in of_kind(pieces, "step"):
        target = STEPS.get((p["id"].removesuffix("-fast").removesuffix("-" + p["dtype"]), p["dtype"]))
        if target:
            add(f"step of {label(p)}, {type_of(p)}", f"{p['peer']}, {faster_mode(p)}", target, step_ratios(p), lost_in_step(p))
    for p in of_kind(pieces, "step"):
        add(f"step of {label(p)}, {type_of(p)}", "its own roofline", ROOFLINE[p["dtype"]], [r["rnkit"]["roofline_pct"] for r in p["rounds"]], lost_in_step(p), " %")
    for p in of_kind(pieces, "end-to-end"):
        add(f"Imagenette, 128 px, 5 epochs end to end, {type_of(p)}", "PyTorch, DataLoader with 2 workers", END_TO_END,
            [r["torch"]["seconds"] / r["rnkit"]["seconds"] for r in p["rounds"]], "see the step's own split")
    return out


def goal_table(found):
    out = ["| work | against | at least | reached | extremes | |", "|---|---|---|---|---|---|"]
    for g in found:
        u, digits = g["unit"], 0 if g["unit"] == " %" else 2
        said = lambda x: f"{x:.{digits}f}{u}"  # pylint: disable=cell-var-from-loop
        out.append(f"| {g['work']} | {g['against']} | {g['target']:.3g}{u} | **{said(g['ratio']['median'])}** | {said(g['ratio']['min'])} .. {said(g['ratio']['max'])} "
                   f"| {'reached' if g['reached'] else '**not reached**'} |")
    missed = [g for g in found if not g["reached"]]
    if missed:
        out += ["", "Not reached, and where the time is:", ""]
        out += [f"- {g['work']}, against {g['against']}: {g['why']}." for g in missed]
    return out


def end_to_end_table(pieces):
    out = []
    for p in of_kind(pieces, "end-to-end"):
        out += ["", f"## End to end, {type_of(p)}", "", "| round | side | seconds | top-1, per cent | top-5 | images |", "|---|---|---|---|---|---|"]
        for i, r in enumerate(p["rounds"]):
            out += [f"| {i + 1} | {side} | {r[side]['seconds']:.1f} | {r[side]['top1']:.2f} | {r[side]['top5']:.2f} | {r[side]['n']} |" for side in ("rnkit", "torch")]
        out += ["", "The recipe, as both read it:", "", "```", p["recipe"].rstrip(), "```"]
    return out


def provenance(pieces):
    out = ["| piece | date | rnkit | load average before, after |", "|---|---|---|---|"]
    return out + [f"| {p['id']} | {p['date']} | {p['rnkit']} | {p['machine']['load before']}, {p['machine']['load after']} |" for p in pieces]


def page(pieces, chart_name):
    m = pieces[0]["machine"]
    device = next((p["rounds"][0]["rnkit"]["device"] for p in of_kind(pieces, "step")), "")
    out = ["# Convolutions and training steps beside oneDNN and PyTorch", "",
           "Written by `bench/step.sh` (`make bench-step`) out of `kernels.json`, which has every round; no figure here is typed by hand.", "",
           f"{m['cpu']}, {m['cores']} cores, {m['memory']}, Linux {m['kernel']}. {device}.", "", "## Figures to reach", ""]
    if chart_name:
        out += [f"![what was reached, as a multiple of what was to be]({chart_name})", ""]
    out += goal_table(goals(pieces)) + step_table(pieces) + end_to_end_table(pieces) + ["", "## Rules", "", RULES.rstrip(), "", "## Each in full"]
    out += layer_tables(pieces) + split_tables(pieces)
    out += ["", "## Pieces", "", *provenance(pieces), "", "```"]
    out += [c for p in pieces for c in ([p["command"]] if "command" in p else p.get("commands", []))]
    return "\n".join([*out, "```", ""])


def bars(pieces):
    out = []
    for g in goals(pieces):
        r, t = g["ratio"], g["target"]
        work = g["work"]
        for long, short in (("step of ", ""), (", CIFAR's stem", ""), (" with --fast", " --fast"), (" end to end", "")):  # the margin is not wide
            work = work.replace(long, short)
        against = "PyTorch" if g["against"].startswith("PyTorch") else g["against"].split(",")[0].replace("its own ", "")
        text = f"{work} / {against}  ({r['median']:.{0 if g['unit'] == ' %' else 2}f}{g['unit']} of {t:.3g})"
        out.append((text, r["median"] / t, r["min"] / t, r["max"] / t, 1 if g["reached"] else 2))
    return out[::-1]


def main(argv):
    if argv[0] == "--gather":
        return gather(*argv[1:])
    with open(argv[0], encoding="utf-8") as f:
        pieces = json.load(f)
    if not pieces:
        return 3
    drawn = bars(pieces)
    with open(argv[1], "w", encoding="utf-8") as f:
        f.write(page(pieces, os.path.basename(argv[2]) if drawn else None))
    try:
        if drawn:
            chart(drawn, argv[2])
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"no chart: {e}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
