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
# shellcheck disable=SC2086
{
    exits "the first epoch, dumped" 0 rn-bench loader train.lmdb $quick --mode eval --dump eval.bin
    check "... is 12 records of number, label and pixels" test "$(stat -c %s eval.bin)" = $((12 * (8 + 32 * 32 * 3)))
    exits "... with augmentations" 0 rn-bench loader train.lmdb $quick --dump plain.bin
    for o in "--color-jitter 0.4,0.4,0.4,0.1" "--lighting 0.2" "--cutout 16" "--mixup 0.5" "--exact"; do
        exits "... $o" 0 rn-bench loader train.lmdb $quick --dump other.bin $o --json
        [ "$o" = --exact ] || check "... changes the pixels" sh -c '! cmp -s plain.bin other.bin'
    done
    exits "a jitter of two is misuse" 2 rn-bench loader train.lmdb $quick --color-jitter 1,1
    exits "a dump into a full disk fails" 1 rn-bench loader train.lmdb $quick --dump /dev/full
}
finish
