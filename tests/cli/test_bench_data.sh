#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The benchmark's own parts: ratios and spreads as they are told, sides left out by name, outputs compared to the byte, the page
# made from the JSON alone. No tool is timed here; no data and no Python package are needed.
. "$RNKIT_TESTS/tap.sh"
bench=$(realpath "$RNKIT_TESTS/../bench")
if ! command -v python3 >/dev/null; then
    skip "the benchmark of the data tools" "python3 is not installed"
    finish
fi
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$bench/data

# ---- trees are the same, or the first difference is named
compare() { python3 "$bench/peers/compare.py" "$@"; }
mkdir -p a/x b/x c/x d empty
echo 1 >a/x/1; echo 2 >a/x/2
cp a/x/* b/x; cp a/x/* c/x; cp a/x/* d
echo 3 >c/x/2
exits "equal trees" 0 compare trees a b
check "and how many files that was" grep -q '"items": 2' out.txt
exits "a changed byte" 1 compare trees a c
says "is named" "x/2: differs"
exits "the same files in other folders differ" 1 compare trees a d
exits "but not by their names alone" 0 compare trees a d --flat
rm b/x/1
exits "a missing file" 1 compare trees a b
says "is named, too" "x/1: only below a"
exits "nothing compared is no success" 3 compare trees empty empty

# ---- rows: two shell commands that tell their own speed
cat >rows.py <<'PY'
import json, measure, sys
told = "echo noise; echo '{\"images_per_s\": %d, \"images_per_s_core\": %d}'"
side = lambda name, speed, **more: measure.Side(name, ["sh", "-c", told % (speed, speed // 2)], inner=True, **more)
def differ():
    raise measure.Failed("x: differs")
rows = [
    measure.Row("fast", "Something", "image", 0, side("ours", 300),
                [side("slow peer", 100, target=2.5), side("good peer", 400, target=1.5, note="quick"),
                 measure.Side("not here", ["/nonexistent/peer"])], check=lambda: "3 files"),
    measure.Row("other", "Something else", "MB", 8, measure.Side("ours", ["sh", "-c", "echo x >made"], ["made"]),
                [measure.Side("peer", ["sh", "-c", "test ! -e made && : >made"], ["made"], scale=0.5)], check=differ),
]
out = {"command": "make bench-data", "date": "2026-01-01", "quick": False, "rounds": 3, "memory": None,
       "machine": {"cpu": "C", "cores": 2, "isa": "", "memory": "1 GiB", "kernel": "k", "file system": "f", "load before": "0"},
       "versions": {"rnkit": "v"}, "rows": [measure.measure(r, 3, ".", lambda text: None) for r in rows]}
json.dump(out, open(sys.argv[1], "w"))
by = {s["name"]: s for s in out["rows"][0]["sides"]}
assert by["slow peer"]["ratio"] == {"median": 3.0, "q1": 3.0, "q3": 3.0, "min": 3.0, "max": 3.0}
assert by["slow peer"]["reached"] and not by["good peer"]["reached"] and by["good peer"]["cpu_ratio"]["median"] == 0.75
assert measure.spread([4, 1, 3, 2, 5]) == {"median": 3, "q1": 2, "q3": 4, "min": 1, "max": 5}
PY
exits "ratios, targets and spread" 0 python3 rows.py results.json
cat err.txt >&2
exits "the page is made of it" 0 python3 "$bench/data/page.py" results.json page.md chart.svg
page() { grep -qF -- "$1" page.md; }
check "a target reached" page "| Something | slow peer | 2.5x | **3.00x** | 3.00 .. 3.00 | 3.00 .. 3.00 | 3.00x | reached |"
check "a target not reached" page "| Something | good peer | 1.5x | **0.75x** | 0.75 .. 0.75 | 0.75 .. 0.75 | 0.75x | **not reached** |"
check "a peer that could not run" page "Left out: not here"
check "outputs that agree" page "The outputs are the same: 3 files."
check "outputs that do not" page "**The outputs differ**: x: differs."
if command -v gnuplot >/dev/null; then
    check "and its chart" grep -q '</svg>' chart.svg
else
    skip "and its chart" "gnuplot is not installed"
fi

# ---- what is published was not touched by hand
results=$(realpath "$RNKIT_TESTS/../docs/results")
if [ -e "$results/data-tools.json" ]; then
    exits "the published page is made anew" 0 python3 "$bench/data/page.py" "$results/data-tools.json" published.md data-tools.svg
    check "and is the one on file" diff -u "$results/data-tools.md" published.md
else
    skip "the published page is the one its JSON makes" "there is no docs/results/data-tools.json"
fi

# ---- the script says what is missing
exits "no data" 3 env RNKIT_DATA="$PWD/empty" PYTHON=python3 "$bench/data.sh" out
says "says which" "imagenette/ILSVRC2012_img_train.tar"
finish
