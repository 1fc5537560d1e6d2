#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What travels while the device computes, on the emulated one (tests/cuda): batches of pixels on a stream of their own, into rooms
# that they take in turns. Streams that are as late as they may be, as early, or early while the computing one is late show each
# event that is not waited for: the same bits must come out. No GPU has run it.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/training.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
export RNKIT_CUDA_MODULE=$RNKIT_BUILD/tests/cuda/rnkit_cuda_emulated.so
if [ ! -e "$RNKIT_CUDA_MODULE" ]; then
    skip "the emulated device" "not built with sanitizers, which do not follow its fibers"
    finish
fi

mkilsvrc --synthetic 3 --train-per-class 8 --val 2 --size 80x60 --seed 4 raw --quiet &&
    pack-lmdb raw --split train --shuffle 1 train.lmdb --quiet && pack-lmdb raw --split val val.lmdb --quiet || exit 1
cat >small.prototxt <<'NET'
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 8 scale: 0.017 } data_param { source: "train.lmdb" batch_size: 4 backend: LMDB } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 8 kernel_size: 3 stride: 2 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "fc1" type: "InnerProduct" bottom: "conv1" top: "fc1" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc1" bottom: "label" top: "loss" }
NET
small() {
    rn-train --net small.prototxt --threads 1 --workers 2 --lr 0.001 --no-flip --log-steps 1 --epochs 2 --train-db train.lmdb --val-db val.lmdb "$@"
}
lines() { sed -n 's/.*"type":"window".*"loss":\([^,]*\),.*"grad_norm":\([^,]*\),.*/\1 \2/p' "$1/log.jsonl"; }
last() { find "$1/checkpoints" -name "$2" | sort | tail -1; }
same() { # same A B: losses, norms, weights, state
    local f
    [ -n "$(lines "$1")" ] && [ "$(lines "$1")" = "$(lines "$2")" ] || return 1
    for f in weights.safetensors state.safetensors; do
        [ -s "$(last "$1" $f)" ] && cmp <(tensors "$(last "$1" $f)") <(tensors "$(last "$2" $f)") || return 1
    done
}
near() { # near A B: losses that differ by 3e-6 at most
    paste <(lines "$1") <(lines "$2") | awk '!($1 - $3 <= 3e-6 * $1 && $3 - $1 <= 3e-6 * $1) { bad = 1; print } END { exit bad || NR != 12 }'
}

exits "on the CPU" 0 small --out cpu --device cpu
for how in "plain" "parts --accumulate 2" "mixed --mixup 0.4 --label-smoothing 0.1 --ema 0.5"; do
    read -r name more <<<"$how"
    # shellcheck disable=SC2086 # words
    exits "$name: all streams late" 0 small --out "$name" --device cuda $more
    for when in early own-late; do
        # shellcheck disable=SC2086
        RNKIT_EMULATE_STREAMS=$when exits "... $when" 0 small --out "$name-$when" --device cuda $more
        check "... to the same bits" same "$name" "$name-$when"
    done
done
check "plain: the CPU's losses" near cpu plain
finish
