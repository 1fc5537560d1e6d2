#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# --device cuda on the emulated device: its ops against the reference, and steps of training beside the CPU's. What no GPU has
# run, this cannot vouch for: it finds wrong kernels, not slow ones, nor what only hardware does.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/emulated.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
emulated_device

ops() { "$RNKIT_BUILD/tests/check-kernels" --device cuda --every 8 --group 'point,bn,pool,dense,join,channel,half' >checks.txt; }
check "every op, each eighth case" ops
grep '^not ok' checks.txt >&2

# Where the device reads the host's own memory by itself, nothing but the backend waits until it has.
RNKIT_DEVICE=cuda RNKIT_EMULATE_PAGEABLE=1 exits "copies of the host's own memory that are as late as others" 0 "$RNKIT_BUILD/tests/unit/test_overlap"

# driver_types.h: no driver or an old one, a toolkit's stub, one that is not the kernel's, or that has no daemon, and no device
for error in 34 35 100 802 803 804; do
    broken() { RNKIT_EMULATE_ERROR=$error "$RNKIT_BUILD/tests/check-kernels" --device cuda --group none; }
    exits "a driver that answers $error" 77 broken
    says "... is told" "use --device cpu"
done
broken() { RNKIT_EMULATE_ERROR=999 "$RNKIT_BUILD/tests/check-kernels" --device cuda --group none; }
exits "anything else is a failure" 1 broken

mkilsvrc --synthetic 4 --train-per-class 6 --val 4 --size 32x24 --seed 1 raw --quiet &&
    pack-lmdb raw --split train --shuffle 1 train --quiet && pack-lmdb raw --split val val --quiet || exit 1
steps() { # steps DEVICE PRECISION: the losses and norms of three steps, a line each
    rm -rf run
    rn-train --arch resnet18 --stem cifar --width 0.0625 --image-size 16 --val-resize 16 --threads 1 --workers 1 --batch 8 \
        --epochs 1 --lr 0.005 --log-steps 1 --train-db train --val-db val --stop-after-steps 3 --device "$1" \
        --precision "$2" --out run >/dev/null 2>"$1.$2.err"
    sed -n 's/.*"type":"window".*"loss":\([^,]*\),.*"grad_norm":\([^,]*\),.*/\1 \2/p' run/log.jsonl
}
# within FILE FILE LINES BOUND: as many lines in both, whose numbers differ by no more than so much of themselves
within() {
    [ "$(wc -l <"$1")" = "$(wc -l <"$2")" ] && [ "$(wc -l <"$1")" -ge "$3" ] &&
        paste "$1" "$2" | head -n "$3" | awk -v most="$4" '
            { for (i = 1; i <= 2; i++) { d = $i / $(i + 2) - 1; if (!(d <= most && -d <= most)) bad = 1 } }
            END { exit bad || NR == 0 }'
}
for precision in f32 bf16; do
    steps cpu $precision >cpu.$precision
    steps cuda $precision >cuda.$precision
done
# A value within a rounding of 0 may pass a ReLU here and not there, which the gradient of so small a net shows.
check "f32: the first step's loss and gradient as the CPU's, to 1e-5" within cpu.f32 cuda.f32 1 1e-5
check "f32: three steps' within 5 %" within cpu.f32 cuda.f32 3 0.05
check "bf16: the first step's loss and gradient within 5 %" within cpu.bf16 cuda.bf16 1 0.05
finish
