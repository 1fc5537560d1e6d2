# SPDX-License-Identifier: MIT
"""page.py RESULTS.json PAGE.md CHART.svg: the results page and its chart, both made of nothing but the JSON."""
import json
import os
import subprocess
import sys

RULES = """\
- **Interleaved**: every round runs each side once, one after the other, in an order that turns from round to round. A ratio is taken within
  a round; the table has the median of the rounds' ratios, their quartiles and extremes. Above 1, ours is faster.
- **The page cache is warm for all**: before each run the outputs of earlier runs are removed, dirty pages are written back (`sync`), and all
  inputs are read once; none of that is timed. For the work that makes a file an image the cache is dropped before that (as root), and programs are
  started once: a file system that still remembers the files just removed makes new ones slowly, for whoever comes next.
- **What is timed** is the whole process, by the clock and from outside. An interpreter's start and its imports are in it, as for whoever calls
  it, on work long enough that they are below a tenth. Loaders and the bare resize tell their own speed instead: who trains for days does not
  wait for imports and workers to start. What was prefetched before their clock starts is taken out first.
- **The same output**, compared after the rounds: file trees by digest; LMDB records key by key, by bytes or by decoded pixels. The loaders' batches
  have one shape, type and distribution of crops; the fast path's pixels are not Pillow's to the bit, those of `--exact` are, in a row of its own.
- **As many workers**: one a core on either side. Where the usual form of a peer has one process only, a parallel form stands beside it.
- **Durability differs, to our cost**: `ilsvrc-extract` and `pack-lmdb` sync what they write and can be killed at any moment. `tar` syncs nothing;
  Python's `lmdb` syncs each commit of 1,000 records. A row with `sync` shows what that is worth.
- **CPU** is the ratio of what is done in a second of CPU time (user and system, all threads and children); it does not see waiting.
"""


def number(x):
    if x >= 1000:
        return f"{x:,.0f}"
    return f"{x:.1f}" if x >= 100 else f"{x:.2f}" if x >= 10 else f"{x:.3f}"


def ratio(x):
    return f"{x:.2f}"


def verdict(side):
    if side["target"] is None:
        return ""
    return "reached" if side["reached"] else "**not reached**"


def summary(rows):
    out = ["| work | against | target | ratio | quartiles | extremes | CPU | |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        if "failed" in row:
            out.append(f"| {row['title']} | | | not measured | | | | {row['failed'].splitlines()[0]} |")
            continue
        for side in row["sides"]:
            if "ratio" not in side:
                continue
            r, c = side["ratio"], side["cpu_ratio"]
            target = "" if side["target"] is None else f"{side['target']:g}x"
            bold = "**" if side["target"] is not None else ""
            out.append(f"| {row['title']} | {side['name']} | {target} | {bold}{ratio(r['median'])}x{bold} | {ratio(r['q1'])} .. {ratio(r['q3'])} "
                       f"| {ratio(r['min'])} .. {ratio(r['max'])} | {ratio(c['median']) + 'x' if c else ''} | {verdict(side)} |")
    return out


def measured(part):
    """Of what was taken over from an earlier run: which."""
    m = part.get("measured")
    return [f"Measured {m['date']} by {m['rnkit']}, load average {m['load']}.", ""] if m else []


def details(rows, asked):
    out = []
    for row in rows:
        if "failed" in row:
            continue
        out += ["", f"### {row['title']}", ""]
        if row["rounds"] != asked:
            out += [f"{row['rounds']} rounds only.", ""]
        out += measured(row)
        if row["note"]:
            out += [row["note"], ""]
        out += [f"| | {row['unit']}/s, median | quartiles | {row['unit']} a second of CPU | wall, s | CPU, s | |", "|---|---|---|---|---|---|---|"]
        for side in row["sides"]:
            runs = side["runs"]
            middle = lambda key: sorted(r[key] for r in runs)[len(runs) // 2]
            s = side["speed"]
            core = side["speed_core"]
            out.append(f"| {side['name']} | {number(s['median'])} | {number(s['q1'])} .. {number(s['q3'])} | "
                       f"{number(core['median']) if core else ''} | {middle('wall'):.2f} | "
                       f"{middle('cpu'):.2f} | {side['note']} |")
        if row["check"]:
            out += ["", ("The outputs are the same: " if row["check"]["ok"] else "**The outputs differ**: ") + row["check"]["what"] + "."]
        for name, why in row["absent"].items():
            out += ["", f"Left out: {name} ({why.splitlines()[0]})."]
    return out


def memory(table):
    if not table:
        return []
    out = ["", "## Memory", "", *measured(table), *table["text"], "", "| tool | " + " | ".join(table["columns"]) + " | |",
           "|---" * (len(table["columns"]) + 2) + "|"]
    for line in table["rows"]:
        out.append(f"| {line['name']} | " + " | ".join(line["cells"]) + f" | {line['verdict']} |")
    out += ["", *table["after"]] if table.get("after") else []
    return out


def bars_of(rows):
    """(label, median, least, most, reached) of the ratios that have a target, each as a multiple of it; last row first."""
    bars = []
    for row in rows:
        for side in row.get("sides", []):
            if side.get("target"):
                r, t = side["ratio"], side["target"]
                label = f"{row['id']} / {side['name']}  ({r['median']:.2f}x of {t:g}x)".replace('"', "'")
                bars.append((label, r["median"] / t, r["min"] / t, r["max"] / t, 1 if side["reached"] else 2))
    return bars[::-1]


def chart(bars, path):
    """Drawn by gnuplot: bars against a line at 1, which is to be reached."""
    data = "\n".join(f'{i} {b[1]:.4f} {b[2]:.4f} {b[3]:.4f} {b[4]} "{b[0]}"' for i, b in enumerate(bars))
    script = f"""
set terminal svg size 960,{90 + 34 * len(bars)} font "sans,13" background "white"
set output "{path}"
set title "Ratio to the peer, as a multiple of the target: median, extremes"
set yrange [-0.7:{len(bars) - 0.3}]
set xrange [0:{max(1.2, max(b[3] for b in bars) * 1.05):.3f}]
set xlabel "1 = the target"
set grid x
set arrow 1 from 1,graph 0 to 1,graph 1 nohead lc rgb "#444444" lw 2 front
set lmargin 52
unset key
$bars << EOD
{data}
EOD
plot $bars using ($2/2):1:($2/2):(0.33):(($5==1)?0x4c9a6a:0xc46a4a):ytic(6) with boxxyerror fs solid 0.8 noborder lc rgb variable, \\
     '' using 2:1:3:4 with xerrorbars pt 0 lc rgb "#222222"
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def page(result, chart_name):
    m = result["machine"]
    out = ["# The data tools beside what people use today", "",
           f"Written by `{result['command']}` (`bench/data/page.py`) out of `data-tools.json`, which has every round; no figure here is typed by hand.", ""]
    if result["quick"]:
        out += ["**Quick mode: small inputs, to try the harness. These figures mean nothing.**", ""]
    out += [f"{result['date']}, {result['rounds']} rounds. {m['cpu']}, {m['cores']} cores ({m['isa']}), {m['memory']}, Linux {m['kernel']}, {m['file system']}; "
            f"load average before {m['load before']}, after {m.get('load after', '?')}.", ""]
    out += ["Versions: " + "; ".join(f"{name} {said}" for name, said in result["versions"].items()) + ".", ""]
    out += ["## Ratios", ""]
    if chart_name:
        out += [f"![ratios against their targets]({chart_name})", ""]
    out += summary(result["rows"])
    out += ["", "## Rules", "", RULES.rstrip(), "", "## Each in full"]
    out += details(result["rows"], result["rounds"])
    out += memory(result["memory"])
    out += ["", "## Commands", "", "```"]
    for row in result["rows"]:
        out += [f"{row['id']:12s} {s['command']}" for s in row.get("sides", [])]
    out += ["```", ""]
    return "\n".join(out)


def main(source, target, picture):
    with open(source, encoding="utf-8") as f:
        result = json.load(f)
    bars = bars_of(result["rows"])
    with open(target, "w", encoding="utf-8") as f:
        f.write(page(result, os.path.basename(picture) if bars else None))
    try:
        if bars:
            chart(bars, picture)
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"no chart: {e}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
