# SPDX-License-Identifier: MIT
"""page.py --gather OUT RESULTS.json: the whole runs below OUT as one JSON; page.py RESULTS.json PAGE.md CHART.svg: page and picture of it."""
import glob
import itertools
import json
import math
import os
import subprocess
import sys

SIDES = {"rnkit": "rn-train", "torch": "PyTorch"}
BF16 = {"rnkit-bf16": "rn-train, bf16", "rnkit-bf16-fast": "rn-train, bf16 --fast", "torch-bf16": "PyTorch, bf16"}
PAIRS = (("", "rnkit", "torch"), (", bf16", "rnkit-bf16", "torch-bf16"))
COLOURS = {"rnkit": "#1f6fb2", "torch": "#c4563a", "rnkit-bf16": "#3f9b6b", "rnkit-bf16-fast": "#b08a2e", "torch-bf16": "#8a5ab8"}


def gather(out, target):
    runs = []
    for path in sorted(glob.glob(os.path.join(out, "*", "runs", "*.json"))):
        with open(path, encoding="utf-8") as f:
            runs.append(json.load(f))
    runs.sort(key=lambda r: (r["set"], r["side"], r["seed"]))
    with open(target + ".new", "w", encoding="utf-8") as f:
        json.dump(runs, f, indent=1)
        f.write("\n")
    os.rename(target + ".new", target)
    return 0 if runs else 3


def sets_of(runs):
    return sorted({r["set"] for r in runs})


def finals(runs, name, side, key="top1"):
    return [r["curve"][-1][key] for r in runs if r["set"] == name and r["side"] == side]


def mean(x):
    return math.fsum(x) / len(x)


def spread(x):
    """Standard deviation, nan of fewer than two (statistics.stdev raises on nan)."""
    return math.sqrt(math.fsum((v - mean(x)) ** 2 for v in x) / (len(x) - 1)) if len(x) > 1 else math.nan


def mean_and_spread(x):
    return f"{mean(x):.2f} ± {spread(x):.2f}" if x else "none"


def verdict(difference, deviation):
    """Of a difference of means, against the larger deviation of the two."""
    if math.isnan(deviation):
        return "too few seeds to tell"
    if abs(difference) < deviation:
        return "within the spread"
    return "ours is higher" if difference > 0 else "**ours is lower**" if difference < 0 else "**no number**"


def difference(runs, name, side="rnkit", other="torch"):
    """(a side's - the other's, the larger of the two spreads): means of the last epoch's top-1. None where a side has no run."""
    ours, theirs = finals(runs, name, side), finals(runs, name, other)
    if not ours or not theirs:
        return None
    return mean(ours) - mean(theirs), max(spread(ours), spread(theirs))


def summary(runs):
    out = ["| recipe | rn-train, top-1 | PyTorch, top-1 | difference of the means | spread of the seeds | standard error of one evaluation | |",
           "|---|---|---|---|---|---|---|"]
    for name, (precision, *pair) in itertools.product(sets_of(runs), PAIRS):
        sides = [finals(runs, name, s) for s in pair]
        if not sides[1] and (precision or not sides[0]): # bf16 of ours alone has a table of its own
            continue
        d = difference(runs, name, *pair)
        n = next(r["curve"][-1]["n"] for r in runs if r["set"] == name)
        p = mean(sides[0] or sides[1]) / 100
        out.append(f"| {name}{precision} | {mean_and_spread(sides[0])} | {mean_and_spread(sides[1])} | {f'{d[0]:+.2f}' if d else ''} | {f'{d[1]:.2f}' if d else ''} "
                   f"| {100 * math.sqrt(p * (1 - p) / n):.2f} | {verdict(*d) if d else ''} |")
    return out


def precisions(runs):
    out = []
    for name in sets_of(runs):
        for side, label in BF16.items():
            d = difference(runs, name, side, "rnkit") if side.startswith("rnkit") else None
            if d:
                out.append(f"| {name} | {label} | {mean_and_spread(finals(runs, name, side))} | {mean_and_spread(finals(runs, name, 'rnkit'))} | {d[0]:+.2f} | {d[1]:.2f} | {verdict(*d)} |")
    if not out:
        return []
    return ["", "## bf16 beside f32", "",
            "The same recipes and seeds by `--precision bf16`, and with `--fast`, which lets Winograd's transforms be rounded to bf16 as well; held against rn-train's own f32.", "",
            "| recipe | side | top-1 | in f32 | difference of the means | spread of the seeds | |", "|---|---|---|---|---|---|---|", *out]


def details(runs):
    out = ["", "## Every run"]
    for name in sets_of(runs):
        mine = [r for r in runs if r["set"] == name]
        out += ["", f"### {name}", "", "| side | precision | seed | top-1 by epoch | top-5 | validation loss | training loss | date |", "|---|---|---|---|---|---|---|---|"]
        for r in mine:
            last = r["curve"][-1]
            by_epoch = ", ".join(f"{e['top1']:.2f}" for e in r["curve"])
            out.append(f"| {r['peer']} | {(SIDES | BF16)[r['side']].partition(', ')[2] or 'f32'} | {r['seed']} | {by_epoch} | {last['top5']:.2f} | {last['loss']:.4f} | {last['train_loss']:.4f} | {r['date']} |")
        out += ["", "The recipe, as both read it:", "", "```", mine[0]["recipe"].rstrip(), "```"]
    return out


def where(runs):
    """The devices, of which runs before there were several tell none."""
    return "on the " + " and the ".join(sorted({{"cpu": "CPU", "cuda": "GPU"}[r.get("device", "cpu")] for r in runs}))


def page(runs, chart_name):
    out = ["# Accuracy beside PyTorch", "",
           "Written by `bench/accuracy.sh` (`make bench-accuracy`) out of `accuracy.json`, which has every run; no figure here is typed by hand.", "",
           "The same recipe file on the same JPEGs: `rn-train` from packed sets, PyTorch with torchvision's models, transforms, `SGD` and schedules "
           f"(`bench/peers/train_torch.py`) from class folders. In f32 {where(runs)}, unless it says otherwise. Seeds decide initialisation, order and crops on either side; the two draw "
           "other numbers, so runs of one seed are no pair. ± is the standard deviation over seeds. Every validation image is counted once.", "",
           f"![validation top-1 and training loss by epoch, every run]({chart_name})", ""]
    return "\n".join(out + summary(runs) + precisions(runs) + details(runs)) + "\n"


def panel(runs, name, key, title):
    """gnuplot: one thin line a run."""
    plots, blocks = [], []
    shown = set()
    for i, r in enumerate(r for r in runs if r["set"] == name):
        block = f"${key}_{name}_{i}".replace("-", "_")
        blocks.append(f"{block} << EOD\n" + "\n".join(f"{e['epoch']} {e[key]:.4f}" for e in r["curve"]) + "\nEOD")
        label = f"title '{(SIDES | BF16)[r['side']]}'" if r["side"] not in shown else "notitle"
        shown.add(r["side"])
        plots.append(f"{block} with linespoints pt 7 ps 0.4 lw 1.5 lc rgb '{COLOURS[r['side']]}' {label}")
    return "\n".join(blocks) + f"\nset title '{title}'\nplot " + ", \\\n     ".join(plots) + "\n"


def chart(runs, path):
    names = sets_of(runs)
    script = f"""set terminal svg size 960,{60 + 330 * len(names)} font "sans,13" background "white"
set output "{path}"
set multiplot layout {len(names)},2
set grid
set xlabel "epoch"
set xtics 1
set key bottom right
"""
    for name in names:
        script += "set key bottom right\n" + panel(runs, name, "top1", f"{name}: validation top-1, per cent")
        script += "set key top right\n" + panel(runs, name, "train_loss", f"{name}: training loss")
    subprocess.run(["gnuplot"], input=script + "unset multiplot\n", text=True, check=True)


def main(argv):
    if argv[0] == "--gather":
        return gather(*argv[1:])
    with open(argv[0], encoding="utf-8") as f:
        runs = json.load(f)
    if not runs:
        return 3
    with open(argv[1], "w", encoding="utf-8") as f:
        f.write(page(runs, os.path.basename(argv[2])))
    try:
        chart(runs, argv[2])
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"no chart: {e}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
