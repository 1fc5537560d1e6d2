#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A training step on the emulated device (tests/cuda): the pass is captured and launched as a graph from the second batch
# on, to the bits that it has without; inside of a step nobody waits; what overflows is left out by the device's own
# decision, and a run goes on to the same bits. No GPU has run it.
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
how=(--threads 1 --workers 1 --lr 0.001 --no-flip --log-steps 1 --epochs 1 --train-db train.lmdb --val-db val.lmdb --device cuda)
resnet() {
    rn-train --arch resnet18 --stem cifar --width 0.0625 --image-size 8 --val-resize 8 --batch 4 --crop pad --pad 0 "${how[@]}" "$@"
}
small() { rn-train --net small.prototxt "${how[@]}" "$@"; } # what does not take a ResNet to be seen: an emulated device is slow
lines() { sed -n 's/.*"type":"window".*"loss":\([^,]*\),.*"grad_norm":\([^,]*\),.*/\1 \2/p' "$1/log.jsonl"; }
last() { find "$1/checkpoints" -name "$2" | sort | tail -1; }
same() { # same A B: losses, norms, weights, state
    local f
    [ -n "$(lines "$1")" ] && [ "$(lines "$1")" = "$(lines "$2")" ] || return 1
    for f in weights.safetensors state.safetensors; do
        [ -s "$(last "$1" $f)" ] && cmp <(tensors "$(last "$1" $f)") <(tensors "$(last "$2" $f)") || return 1
    done
}
graphs() { awk '{ n = $3 } END { print n + 0 }' "$1"; }
waits() { awk '{ n = $1 } END { print n + 0 }' "$1"; }

for how_to in "resnet bf16 --mixup 0.4 --label-smoothing 0.1 --clip-norm 0.5 --ema 0.5" "small f32" "small f16 --accumulate 2"; do
    read -r net name more <<<"$how_to"
    # shellcheck disable=SC2086 # words
    RNKIT_CUDA_GRAPH=0 RNKIT_EMULATE_COUNT=$name.none exits "$how_to: by node" 0 "$net" --out "by-node-$name" --precision "$name" $more
    # shellcheck disable=SC2086
    RNKIT_EMULATE_COUNT=$name.count exits "... and as a graph" 0 "$net" --out "$name" --precision "$name" $more
    check "... to the same bits" same "by-node-$name" "$name"
    check "... one for each batch but the first" test "$(graphs "$name.count")" -ge 5 -a "$(graphs "$name.none")" = 0
done
RNKIT_EMULATE_STREAMS=early exits "streams as early as they may be" 0 small --out early --precision f32
check "... change no bit" same f32 early

# One wait more for each step, when all of it has been given to the device.
for n in 2 5; do
    RNKIT_EMULATE_COUNT=$n.count exits "$n steps" 1 small --out "stop$n" --stop-after-steps $n
done
echo "waits: $(waits 2.count) in two steps, $(waits 5.count) in five" >&2
check "a step waits once" test $(($(waits 5.count) - $(waits 2.count))) = 3
exits "the former goes on" 0 small --out stop2
check "... to the same bits" same f32 stop2

# Under such a scale f16's gradients overflow: the device leaves the update out, and the host halves the scale.
RNKIT_CUDA_GRAPH=0 exits "f16 that overflows, by node" 0 small --verbose --out by-node-over --precision f16 --loss-scale dynamic:1e7
exits "f16 that overflows" 0 small --verbose --out over --precision f16 --loss-scale dynamic:1e7
says "... says so" "is left out: its gradients overflow"
check "... and comes to the same bits" same by-node-over over
finish
