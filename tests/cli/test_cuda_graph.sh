#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A training step on the emulated device (tests/cuda): pass and update are captured and launched as one graph from the second batch
# on, to the bits that they have without, whatever changes from step to step; inside of a step nobody waits; what overflows is
# left out by the device's own decision, and a run goes on to the same bits. No GPU has run it.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/emulated.sh"
. "$RNKIT_TESTS/training.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
emulated_device

small_sets 8 2
small_net
cat >caffe.prototxt <<'NET'
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 8 scale: 0.017 } data_param { source: "train.lmdb" batch_size: 4 backend: LMDB } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 8 kernel_size: 3 stride: 2 bias_term: false weight_filler { type: "msra" } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" batch_norm_param { moving_average_fraction: 0.5 } }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "drop1" type: "Dropout" bottom: "conv1" top: "conv1" dropout_param { dropout_ratio: 0.3 } }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2" convolution_param { num_output: 5 kernel_size: 1 bias_term: false weight_filler { type: "msra" } } }
layer { name: "bn2" type: "BatchNorm" bottom: "conv2" top: "conv2" batch_norm_param { moving_average_fraction: 0.9 } }
layer { name: "scale2" type: "Scale" bottom: "conv2" top: "conv2" scale_param { bias_term: true } }
layer { name: "fc1" type: "InnerProduct" bottom: "conv2" top: "fc1" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc1" bottom: "label" top: "loss" }
NET
how=(--threads 1 --workers 1 --lr 0.001 --no-flip --log-steps 1 --epochs 1 --train-db train.lmdb --val-db val.lmdb --device cuda)
resnet() {
    rn-train --arch resnet18 --stem cifar --width 0.0625 --image-size 8 --val-resize 8 --batch 4 --crop pad --pad 0 "${how[@]}" "$@"
}
caffe() { rn-train --net caffe.prototxt "${how[@]}" "$@"; }
small() { rn-train --net small.prototxt "${how[@]}" "$@"; } # what does not take a ResNet to be seen: an emulated device is slow
lines() { sed -n 's/.*"type":"window".*"loss":\([^,]*\),.*"grad_norm":\([^,]*\),.*/\1 \2/p' "$1/log.jsonl"; }
last() { find "$1/checkpoints" -name "$2" | sort | tail -1; }
same() { # same A B: losses, norms, weights, their average if there is one, state
    local f
    [ -n "$(lines "$1")" ] && [ "$(lines "$1")" = "$(lines "$2")" ] || return 1
    for f in weights.safetensors state.safetensors ema.safetensors; do
        [ "$f" != ema.safetensors ] || [ -n "$(last "$1" $f)" ] || continue
        [ -s "$(last "$1" $f)" ] && cmp <(tensors "$(last "$1" $f)") <(tensors "$(last "$2" $f)") || return 1
    done
}
count() { awk -v n="$2" '{ for (i = 1; i < NF; i += 2) if ($(i + 1) == n) sum += $i } END { print sum + 0 }' "$1"; } # count FILE waits|graphs|kernels

# Each with what changes between its steps: labels' shares, draws, places in the running statistics, rates, decays, scales.
changing="--lr 0.01 --schedule cosine --warmup-steps 3 --ema 0.9 --ema-warmup"
for how_to in "resnet bf16 --mixup 0.4 --label-smoothing 0.1 --clip-norm 0.5 $changing" "small f32" "small f16 --accumulate 2 --loss-scale 300 --ema 0.5" \
    "caffe f32 $changing --ema-every 2 --momentum-kind caffe --nesterov --clip-norm 3" "caffe f16 --accumulate 5 --momentum-kind caffe $changing --warmup-steps 1"; do
    read -r net type more <<<"$how_to"
    name=$net-$type
    # shellcheck disable=SC2086 # words
    RNKIT_CUDA_GRAPH=0 RNKIT_EMULATE_COUNT=$name.none exits "$how_to: by node" 0 "$net" --out "by-node-$name" --precision "$type" $more
    # shellcheck disable=SC2086
    RNKIT_EMULATE_COUNT=$name.count exits "... and as a graph" 0 "$net" --out "$name" --precision "$type" $more
    check "... to the same bits" same "by-node-$name" "$name"
    case $more in # first and last batches of a step are two kinds, and a last step of fewer is a third
    *"accumulate 5"*) least=3 ;;
    *accumulate*) least=4 ;;
    *) least=5 ;;
    esac
    check "... one for each batch but the first of its kind" test "$(count "$name.count" graphs)" -ge $least -a "$(count "$name.none" graphs)" = 0
done
RNKIT_EMULATE_STREAMS=early exits "streams as early as they may be" 0 small --out early --precision f32
check "... change no bit" same small-f32 early

# One wait more for each step, when all of it has been given to the device.
for n in 2 5; do
    RNKIT_EMULATE_COUNT=$n.count exits "$n steps" 1 small --out "stop$n" --stop-after-steps $n
done
more() { echo $(($(count 5.count "$1") - $(count 2.count "$1"))); }
echo "in three steps: $(more waits) waits, $(more graphs) graphs, $(more kernels) kernels by themselves" >&2
check "a step waits once" test "$(more waits)" = 3
check "... is one graph" test "$(more graphs)" = 3
check "... and one kernel, which reads the pixels" test "$(more kernels)" = 3
exits "the former goes on" 0 small --out stop2
check "... to the same bits" same small-f32 stop2

# Under such a scale f16's gradients overflow: the device leaves the update out, and the host halves the scale.
RNKIT_CUDA_GRAPH=0 exits "f16 that overflows, by node" 0 small --verbose --out by-node-over --precision f16 --loss-scale dynamic:1e7 --ema 0.5
exits "f16 that overflows" 0 small --verbose --out over --precision f16 --loss-scale dynamic:1e7 --ema 0.5
says "... says so" "is left out: its gradients overflow"
check "... and comes to the same bits" same by-node-over over
finish
