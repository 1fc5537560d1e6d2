#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The page of make bench-accuracy: of made-up runs, and the published one. What trains needs PyTorch and hours: not here.
. "$RNKIT_TESTS/tap.sh"
bench=$RNKIT_TESTS/../bench/accuracy
results=$RNKIT_TESTS/../docs/results
if ! command -v python3 >/dev/null; then
    skip "the page of accuracies" "no python3"
    finish
    exit
fi

# run SIDE SEED TOP1
run() {
    mkdir -p out/tiny/runs
    cat >"out/tiny/runs/$1-$2.json" <<JSON
{"set": "tiny", "side": "$1", "seed": $2, "cores": 2, "peer": "$1", "date": "2026-01-01", "load": [0, 0], "recipe": "lr = 0.1\n", "seconds": 1,
 "curve": [{"epoch": 1, "train_loss": 2, "train_top1": 30, "n": 1000, "top1": 40, "top5": 90, "loss": 1.5},
           {"epoch": 2, "train_loss": 1, "train_top1": 60, "n": 1000, "top1": $3, "top5": 95, "loss": 1.1}]}
JSON
}
page() {
    python3 "$bench/page.py" --gather out all.json && python3 "$bench/page.py" all.json page.md page.svg
}
mkdir out
exits "no run gives no page" 3 python3 "$bench/page.py" --gather out all.json
run rnkit 1 70; run rnkit 2 72; run torch 1 70.5; run torch 2 72.5
exits "a page of runs" 0 page
check "means and deviations" grep -q '| tiny | 71.00 ± 1.41 | 71.50 ± 1.41 | -0.50 | 1.41 | 1.43 | within the spread |' page.md
check "without runs in bf16 there is no table of them" sh -c '! grep -q bf16 page.md'
run rnkit-bf16 1 71; run rnkit-bf16 2 72; run rnkit-bf16-fast 1 50; run rnkit-bf16-fast 2 50.1
exits "a page with bf16" 0 page
check "bf16 is held against f32" grep -q '| tiny | rn-train, bf16 | 71.50 ± 0.71 | 71.00 ± 1.41 | +0.50 | 1.41 | within the spread |' page.md
check "and can be lower" grep -q '| tiny | rn-train, bf16 --fast | 50.05 ± 0.07 | .* | \*\*ours is lower\*\* |' page.md
run rnkit 1 60; run rnkit 2 60.1
exits "a page of other runs" 0 page
check "a worse result is called one" grep -qF '**ours is lower**' page.md
run torch 1 NaN; run torch 2 NaN
exits "a page of a failure" 0 page
check "what is no number is not within anything" sh -c '! grep -q "within the spread" page.md'

if [ -e "$results/accuracy.json" ]; then
    exits "the published page is made anew" 0 python3 "$bench/page.py" "$results/accuracy.json" published.md accuracy.svg
    check "and is the one on file" diff -u "$results/accuracy.md" published.md
else
    skip "the published page is the one its JSON makes" "there is no docs/results/accuracy.json"
fi
finish
