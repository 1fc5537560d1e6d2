#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The page of make bench-step: of made-up pieces, and the published one. Nothing is timed here and no Python package is needed.
. "$RNKIT_TESTS/tap.sh"
bench=$(realpath "$RNKIT_TESTS/../bench")
results=$RNKIT_TESTS/../docs/results
if ! command -v python3 >/dev/null; then
    skip "the page of kernels and steps" "no python3"
    finish
    exit
fi
export PYTHONDONTWRITEBYTECODE=1
page() { python3 "$bench/step/kernels_page.py" --gather pieces kernels.json && python3 "$bench/step/kernels_page.py" kernels.json page.md page.svg; }
has() { grep -qF -- "$1" page.md; }

# pieces OUR_BWD_W_MS: two shapes, one of them three times in the net; and a step of two rounds
pieces() {
    mkdir -p pieces
    python3 - "$1" <<'PY'
import json, sys
slow = float(sys.argv[1])
head = {"date": "2026-01-01", "rnkit": "v", "machine": {"cpu": "C", "cores": 2, "memory": "1 GiB", "kernel": "k", "load before": "0", "load after": "0"}}
def row(case, direction, algo, ms, count, **more):
    return {"case": case, "dir": direction, "dtype": "bf16", "algo": algo, "ms": ms, "count": count, "gflops": 1, "peak_pct": 50, "layer": "l" + case, "verified": True, **more}
rows = [row("a", "fwd", "cpu:one", 2, 1), row("a", "fwd", "cpu:two", 1, 1), row("a", "fwd", "onednn:auto", 4, 1), row("a", "fwd", "onednn:blocked", 3, 1, core_ms=2),
        row("b", "bwd_w", "cpu:one", slow, 3), row("b", "bwd_w", "onednn:auto", 8, 3), row("b", "bwd_w", "onednn:broken", 0.1, 3, verified=False),
        row("b", "bwd_w", "onednn:refused", 0, 3, verified=False)]
json.dump({**head, "piece": "layers", "command": "c", "net": "resnet18", "batch": 16, "dtype": "bf16", "rounds": [rows, rows]}, open("pieces/layers-bf16.json", "w"))
op = lambda name, ms, best: {"op": name, "calls": 1, "ms": ms, "share_pct": ms, "gflops": 1, "gbytes_per_s": 1, "roofline_ms": best, "roofline_pct": 100 * best / ms}
def round_of(ms, eager, compiled):
    step = {"step_ms": ms, "roofline_ms": 40, "roofline_pct": 4000 / ms, "memory_gbytes_per_s": 1, "peak_gflops": {"f32": 1, "bf16": 2}, "device": "D",
            "ops": [op("conv_fwd", 60, 35), op("bn_fwd", 40, 5)]}
    return {"rnkit": step, "eager": eager, "compile": compiled}
json.dump({**head, "piece": "step", "name": "n", "arch": "resnet18", "stem": "imagenet", "image_size": 224, "batch": 32, "dtype": "bf16", "threads": 2, "peer": "PyTorch 9",
           "modes": ["eager", "compile"], "absent": {}, "commands": ["x", "y"],
           "rounds": [round_of(100, [300, 310], [250, 250]), round_of(80, [300, 290], [200, 200])]}, open("pieces/resnet18-224-b32-bf16.json", "w"))
PY
}
mkdir empty
exits "no piece gives no page" 3 python3 "$bench/step/kernels_page.py" --gather empty all.json
pieces 4
exits "a page of pieces" 0 page
check "the fastest of either side, weighted by count" has "| resnet18's layers, bf16, time-weighted | onednn, its fastest for each case | 1.5x | **2.00x** | 2.00x .. 2.00x | reached |"
check "a round's ratio is of that round, to the faster mode" has "| step of resnet18, 224 px, batch 32, bf16 | PyTorch 9, compile | 2x | **2.50x** | 2.50x .. 2.50x | reached |"
check "the roofline" has "| step of resnet18, 224 px, batch 32, bf16 | its own roofline | 45 % | **45 %** | 40 % .. 50 % | reached |"
check "the step's split, its largest first" test "$(grep -n '| conv_fwd | 1 | 60.00 ' page.md | cut -d: -f1)" -lt "$(grep -n '| bn_fwd | 1 | 40.00 ' page.md | cut -d: -f1)"
pieces 16
exits "a page of slower pieces" 0 page
check "(2 + 24) / (1 + 48) by time" has "time-weighted | onednn, its fastest for each case | 1.5x | **0.53x** | 0.53x .. 0.53x | **not reached** |"
check "sqrt(2 * 8/16) by cases" has "geometric mean | onednn, its fastest for each case | 1.3x | **1.00x** |"
check "a miss says where" has "least ahead: lb bwd_w (0.50, 50 % of the peak), la fwd (2.00"
check "a result that was wrong is no figure" sh -c '! grep -q "onednn:broken" page.md'
python3 - <<'PY'
import json
piece = json.load(open("pieces/layers-bf16.json"))
for rows in piece["rounds"]:
    rows.append({**rows[4], "algo": "cpu:fewer-bits", "ms": 2, "lowprec": True})
json.dump(piece, open("pieces/layers-bf16.json", "w"))
PY
exits "a page with an algorithm of fewer bits" 0 page
check "which does not count" has "| resnet18's layers, bf16, time-weighted | onednn, its fastest for each case | 1.5x | **0.53x** |"
check "but where it is asked for" has "| resnet18's layers, bf16 with --fast, time-weighted | onednn, its fastest for each case | 1.5x | **3.71x** |"
python3 - <<'PY'
import json
piece = json.load(open("pieces/layers-bf16.json"))
def row(case, direction, algo, fuse, ms, count):
    return {**piece["rounds"][0][0], "case": case, "dir": direction, "algo": algo, "fuse": fuse, "ms": ms, "count": count, "layer": "l" + case}
# of a: fused is faster in one direction, and slower in both together; of b it is faster; the library's has no fused bwd_d
rows = [row("a", "fwd", "cpu:one", "apart", 3, 1), row("a", "fwd", "cpu:one", "pro_bn", 1, 1), row("a", "bwd_d", "cpu:one", "apart", 3, 1), row("a", "bwd_d", "cpu:one", "pro_dbn", 9, 1),
        row("a", "fwd", "onednn:auto", "apart", 4, 1), row("a", "fwd", "onednn:auto", "pro_bn", 1, 1), row("a", "bwd_d", "onednn:auto", "apart", 8, 1),
        row("b", "fwd", "cpu:one", "apart", 3, 2), row("b", "fwd", "cpu:one", "pro_bn", 2, 2), row("b", "fwd", "onednn:auto", "apart", 4, 2)]
json.dump({**piece, "piece": "layers-bn", "device": "cuda", "rounds": [rows, rows]}, open("pieces/layers-bn-bf16.json", "w"))
PY
exits "a page of layers with their batch norms" 0 page
check "one way for all directions of a layer, the faster: (12 + 2 * 4) / (6 + 2 * 2)" has "| resnet18's layers and their batch norms, bf16, time-weighted | onednn, its faster way for each layer | 1.1x | **2.00x** |"
check "... and each told" has "| la x 1 | a | 6.000 | 10.000 | 12.000 |  | 2.00 |"
rm pieces/layers-bn-bf16.json pieces/resnet18-224-b32-bf16.json
exits "a page without steps" 0 page

if [ -e "$results/kernels.json" ]; then
    exits "the published page is made anew" 0 python3 "$bench/step/kernels_page.py" "$results/kernels.json" published.md kernels.svg
    check "and is the one on file" diff -u "$results/kernels.md" published.md
else
    skip "the published page is the one its JSON makes" "there is no docs/results/kernels.json"
fi
finish
