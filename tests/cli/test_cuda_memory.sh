#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A device's memory, on the emulated one (tests/cuda): all of it is taken before the first step, told, and refused in words that say
# what would fit. No GPU has run it.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/emulated.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
emulated_device

small_sets 4 2
width=0.25 # wide enough for batch norm to take more scratch than the sums of squares
resnet() {
    rn-train --arch resnet18 --stem cifar --width "$width" --image-size 8 --val-resize 8 --batch 4 --crop pad --pad 0 --threads 1 --workers 1 --lr 0.001 \
        --epochs 1 --train-db train.lmdb --val-db val.lmdb --device cuda "$@"
}
count() { awk -v at="$2" '{ n = $at } END { print n + 0 }' "$1"; } # a column of RNKIT_EMULATE_COUNT's last line
figure() { sed -n "s/.*\"type\":\"run\".*\"$2\":\([0-9]*\).*/\1/p" "$1/log.jsonl"; }

for how in "bf16 --ema 0.5 --mixup 0.4" "f32 --accumulate 2"; do
    read -r name more <<<"$how"
    # shellcheck disable=SC2086 # words
    RNKIT_EMULATE_COUNT=$name.count exits "$how" 0 resnet --out "$name" --precision "$name" $more
    check "... tells its memory" grep -qE "memory of the device: [0-9.]+ MiB: [0-9.]+ activations, .* scratch" err.txt
    grep "memory of the device" err.txt >&2
    check "... and takes none from the first step on" test "$(count "$name.count" 7)" = 0
    for part in params activations workspace plans pixels optimizer scratch; do
        check "... $part in its log" test "$(figure "$name" $part)" -gt 0
    done
done
width=0.0625
RNKIT_CUDA_GRAPH=0 RNKIT_EMULATE_COUNT=none.count exits "without graphs" 0 resnet --out none
check "... the same" test "$(count none.count 7)" = 0
check "the count is not 0 where something is taken" test "$(RNKIT_EMULATE_COUNT=resize.count resnet --out resize --epochs 2 --image-size 16 --start-size 8 --ramp-epochs 0,1 --val-resize 16 >/dev/null 2>&1; count resize.count 7)" -gt 0

RNKIT_EMULATE_MEMORY=3 exits "a device that is too small" 1 resnet --out small --batch 12 --image-size 32 --val-resize 32
says "... says what takes it" "MiB of activations"
says "... and what would fit" "a batch of about"
check "... before anything ran" test ! -e small/log.jsonl
finish
