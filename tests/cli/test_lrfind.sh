#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train --lr-find: a curve, a picture and suggestions, from any recipe, and nothing of a run is touched.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

mkilsvrc --synthetic 4 --train-per-class 20 --val 13 --size 32x24 --seed 1 raw --quiet >&2 &&
    pack-lmdb raw --split train --shuffle 1 train.lmdb --quiet >&2 && pack-lmdb raw --split val val.lmdb --quiet >&2 || exit 1
on=(--arch resnet18 --stem cifar --width 0.125 --image-size 16 --val-resize 16 --threads 1 --workers 1 --batch 8 --train-db train.lmdb --val-db val.lmdb)
find_lr() { rn-train --lr-find "${on[@]}" "$@"; }
num() { sed -n "s/.*\"$1\": *\([^,}]*\).*/\1/p" "$2" | head -n 1; }
list() { sed -n "/\"$1\": \[/,/\]/p" "$2" | grep -oE '^ +[0-9.e+-]+' | tr -d ' '; }

# so far up that it explodes well before, whatever rounding does near the edge
exits "finds" 0 find_lr --out a --lr-find-max 1000 --json
check "says what it suggests" grep -qE '^\{"steepest":[0-9.e-]+,"valley":[0-9.e-]+,"minimum":[0-9.e-]+,"steps":[0-9]+,"diverged":(true|false)\}$' out.txt
check "and writes it" [ "$(num steepest a/lr-find.json) $(num valley a/lr-find.json)" = "$(num steepest out.txt) $(num valley out.txt)" ]
check "the rates grow by a constant factor from the least" bash -c "sed -n '/\"lr\": \[/,/\]/p' a/lr-find.json | grep -oE '^ +[0-9.e+-]+' |
    awk 'NR == 1 && (\$1 < 0.999e-6 || \$1 > 1.001e-6) {bad = 1} NR == 2 {q = \$1 / p} NR > 2 && (\$1 / p / q > 1.0001 || \$1 / p / q < 0.9999) {bad = 1} {p = \$1} END {exit bad || NR < 20}'"
check "as many losses as rates" [ "$(list lr a/lr-find.json | wc -l) $(list lr a/lr-find.json | wc -l)" = "$(list loss a/lr-find.json | wc -l) $(list smoothed a/lr-find.json | wc -l)" ]
check "the smoothed loss is the running mean of the others, its start corrected for" bash -c "paste <(sed -n '/\"loss\": \[/,/\]/p' a/lr-find.json | grep -oE '^ +[0-9.e+-]+') <(sed -n '/\"smoothed\": \[/,/\]/p' a/lr-find.json | grep -oE '^ +[0-9.e+-]+') |
    awk '{m = 0.98 * m + 0.02 * \$1; d = m / (1 - 0.98 ^ NR) / \$2 - 1; if (!(d < 1e-6 && d > -1e-6)) bad = 1} END {exit bad || !NR}'"
check "it stopped where the loss exploded" [ "$(num diverged a/lr-find.json)" = true ]
check "below the largest rate" [ "$(num steps a/lr-find.json)" -lt 100 ]
if command -v gnuplot >/dev/null; then
    check "there is a picture of its own" bash -c "head -c 5 a/lr-find.svg | grep -q '<svg' && grep -q 'xmlns=\"http' a/lr-find.svg && grep -q '<style>' a/lr-find.svg"
else
    skip "there is a picture of its own" "no gnuplot"
fi
check "nothing else is there" [ "$(find a -type f ! -name 'lr-find.*' | wc -l)" = 0 ]
exits "again" 0 find_lr --out b --lr-find-max 1000 --json
check "gives the same curve" cmp a/lr-find.json b/lr-find.json
exits "as text" 0 find_lr --out a
check "says what to do" grep -q -- '--lr ' out.txt

# ---- beside a run ----------------------------------------------------------------------------------------------
exits "a run, stopped" 1 rn-train "${on[@]}" --lr 0.02 --epochs 2 --out run --stop-after-steps 7
before=$(find run -type f ! -name 'lr-find.*' -exec sha256sum {} + | sort)
exits "finds in the run's folder" 0 find_lr --out run --lr-find-steps 30
check "touches nothing of the run" [ "$(find run -type f ! -name 'lr-find.*' -exec sha256sum {} + | sort)" = "$before" ]
exits "from trained weights" 0 find_lr --out c --lr-find-steps 20 --weights "$(find run/checkpoints -name weights.safetensors | sort | tail -n 1)"

# ---- any recipe ------------------------------------------------------------------------------------------------
while read -r extra; do
    # shellcheck disable=SC2086
    exits "with $extra" 0 find_lr --out d --lr-find-steps 25 --lr-find-max 0.1 $extra
done <<'LIST'
--mixup 0.2 --label-smoothing 0.1 --nesterov
--momentum-kind caffe --accumulate 3 --clip-norm 1
--ema 0.9 --schedule plateau
--schedule one-cycle --crop pad --cutout 4 --no-norm-decay
LIST
check "all of its steps were taken" [ "$(num steps d/lr-find.json) $(num diverged d/lr-find.json)" = "25 false" ]
check "up to the rate that was given" [ "$(list lr d/lr-find.json | tail -n 1)" = 0.1 ]

exits "a range upside down" 2 find_lr --out x --lr-find-min 1 --lr-find-max 0.1
says "says so" "is not below"
exits "no --out" 2 find_lr
exits "no set" 2 rn-train --lr-find --out x
exits "with --eval-only" 2 find_lr --eval-only --out x
exits "with --report" 2 find_lr --report run --out x
says "is another use" "--report and --lr-find are two uses"
exits "with --dump-logits" 2 find_lr --dump-logits x.npy --out x
says "is told where that goes" "--dump-logits goes with --eval-only"
exits "--lr-find-steps alone" 2 rn-train "${on[@]}" --lr-find-steps 20 --out x
says "says so" "goes with --lr-find"
finish
