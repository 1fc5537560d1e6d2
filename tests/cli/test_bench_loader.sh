#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-bench loader: what it refuses, what it verifies, and the JSON keys that scripts read. Nothing depends on a time.
. "$RNKIT_TESTS/tap.sh"
PATH=$RNKIT_BIN:$PATH
quick="--size 32 --batch 8 --rounds 2 --seconds 0"

mkilsvrc --synthetic 2 --train-per-class 6 --val 4 --size 60x48 --vary 20 --seed 3 raw --quiet >&2 || exit 1
exits "a set to time" 0 pack-lmdb raw train.lmdb --split train --quiet
exits "no set is misuse" 2 rn-bench loader
exits "a missing set is a failure" 1 rn-bench loader nosuch.lmdb
says "... and is named" "nosuch.lmdb"
exits "an unknown mode is misuse" 2 rn-bench loader train.lmdb --mode sideways
# shellcheck disable=SC2086
{
    exits "training with three workers" 0 rn-bench loader train.lmdb $quick --workers 3 --json
}
for key in mode records size batch workers exact rounds images seconds images_per_s images_per_s_iqr images_per_s_core \
    images_per_s_core_iqr images_per_s_core_best mb_per_s read_pct decode_pct resize_pct augment_pct verified; do
    check "... has the key $key" grep -q "\"$key\":" out.txt
done
check "... was verified" grep -q '"verified":true' out.txt
check "... counts what came" grep -q '"images":12,' out.txt
# shellcheck disable=SC2086
{
    exits "evaluation goes round" 0 rn-bench loader train.lmdb $quick --mode eval --rounds 7 --json
    check "... is exact" grep -q '"exact":true' out.txt
    exits "for people" 0 rn-bench loader train.lmdb $quick --exact
    check "... with both rates" grep -q 'images/s a core' out.txt
}
finish
