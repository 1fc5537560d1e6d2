#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# --device cuda: what it says when it cannot, and kernels, whole nets and training beside the CPU's: on the emulated device of
# tests/cuda, which touches no GPU, or, with RNKIT_DEVICE=cuda (make check-cuda), on the machine's.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/emulated.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

bench=(rn-bench conv --case mb2ic8ih6oc16kh3ph1 --device cuda --rounds 1)
RNKIT_CUDA_MODULE=nowhere.so exits "no module" 77 "${bench[@]}"
says "... says so" "nowhere.so is not there"
echo "no object" >broken.so
RNKIT_CUDA_MODULE=./broken.so exits "a module that is there and cannot be loaded is no lack of a device" 1 "${bench[@]}"
says "... says so" "cannot load ./broken.so"
check "--version tells whether CUDA was built" sh -c 'rn-train --version | grep -qi "cuda"'

if [ "${RNKIT_DEVICE:-}" != cuda ]; then
    emulated_device
    export RNKIT_DEVICE=cuda
    # The whole of it takes minutes: check-kernels --device cuda.
    for seed in 0 7; do
        RNKIT_EMULATE_SEED=$seed exits "kernels, threads ordered by $seed" 0 "$RNKIT_BUILD/tests/check-kernels" --device cuda --every 150
        check "... on what says that it is none" grep -q '^# cuda: no GPU: emulated' out.txt
    done
    exits "PyTorch's ops" 0 "$RNKIT_BUILD/tests/golden/test_ops"
    exits "Caffe's nets" 0 "$RNKIT_BUILD/tests/golden/test_caffe"
fi

exits "rn-bench conv" 0 "${bench[@]}" --csv
check "... has all three directions" sh -c '[ "$(grep -cE ",(fwd|bwd_d|bwd_w),.*cuda:implicit-gemm," out.txt)" = 3 ]'

small_sets 8 6
train() {
    rn-train --arch resnet18 --stem cifar --width 0.0625 --image-size 16 --val-resize 16 --threads 1 --workers 1 --batch 8 --lr 0.001 \
        --no-flip --crop pad --pad 0 --log-steps 1 --epochs 1 --train-db train.lmdb --val-db val.lmdb --quiet "$@"
}
# agree A B WORD T: WORD of every step in both logs, within T of each other, relatively
agree() {
    paste <(sed -n "s/.*\"type\":\"window\".*\"$3\":\([0-9.e+-]*\).*/\1/p" "$1/log.jsonl") <(sed -n "s/.*\"type\":\"window\".*\"$3\":\([0-9.e+-]*\).*/\1/p" "$2/log.jsonl") |
        awk -v t="$4" 'NF != 2 || !($1 - $2 <= t * $1 && $2 - $1 <= t * $1) {bad = 1; print} END {exit bad || NR != 3}'
}
exits "f32 on the CPU" 0 train --out cpu
exits "f32 on the device" 0 train --out f32 --device cuda
check "... has the same losses" agree cpu f32 loss 3e-6
check "... and the same norms of gradients" agree cpu f32 grad_norm 1e-5
check "... and another log of what ran it" sh -c 'grep -q "\"device\":\"cuda\"" f32/log.jsonl'
RNKIT_CUDA_GRAPH=0 exits "launched op by op" 0 train --out byop --device cuda
tensors_of() { tensors "$(find "$1/checkpoints" -name weights.safetensors | sort | tail -1)"; }
check "... to the same bits" cmp <(tensors_of f32) <(tensors_of byop)
exits "its weights, evaluated on the CPU" 0 rn-train --eval-only --weights f32/weights.safetensors --val-db val.lmdb --threads 1 --device cpu
exits "bf16 on the CPU" 0 train --out cpu16 --precision bf16
exits "bf16 on the device" 0 train --out bf16 --precision bf16 --device cuda
check "... has about the same losses" agree cpu16 bf16 loss 0.02
exits "rn-bench train" 0 rn-bench train --arch resnet18 --stem cifar --width 0.0625 --image-size 8 --batch 2 --classes 10 --seconds 0 --device cuda
finish
