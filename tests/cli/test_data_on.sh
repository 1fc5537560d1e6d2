#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# --data-on: batches cut out of a decoded set on the device are those of the loader, whatever is asked of them: the same run, to the bit,
# on the CPU and on the emulated device, in one piece or gone on with in the other way, in one process or ranks. What is chosen is told.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/emulated.sh"
. "$RNKIT_TESTS/training.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

mkilsvrc --synthetic 3 --train-per-class 8 --val 7 --size 24x20 --seed 4 raw --quiet &&
    pack-lmdb raw --split train --shuffle 1 train.lmdb --mean mean.binaryproto --quiet && pack-lmdb raw --split val val.lmdb --quiet || exit 1
sets=(--train-db train.lmdb --val-db val.lmdb)
train() {
    rn-train --arch resnet18 --stem cifar --width 0.0625 --image-size 16 --val-resize 0 --crop pad --pad 4 --threads 1 --workers 2 --batch 6 --eval-batch 5 \
        --lr 0.01 --log-steps 1 --epochs 2 "${sets[@]}" "$@"
}
both() { # both NAME OPTION...: the same run in both ways
    local name=$1
    shift
    exits "$name: the loader's" 0 train --out "$name.host" --data-on host "$@"
    exits "... and the device's" 0 train --out "$name.device" --data-on device "$@"
    check "... are one run" same_run "$name.host" "$name.device"
}

both plain --no-flip --pad 0
both all --cutout 8 --mixup 0.4 --order page-local --ema 0.5 --accumulate 2
others "... and not the plain one" plain.device/weights.safetensors all.device/weights.safetensors
both sizes --image-size 32 --pad 8 --start-size 16 --ramp-epochs 0,1
both windows --crop window --mean-image mean.binaryproto
both gray --channels 1

exits "with no word on a CPU" 0 train --out auto --no-flip --pad 0
says "... the loader does it, it says" "training set: batches are made on the host (auto is for GPUs)"
says "... of both sets" "validation set: batches are made on the host (auto is for GPUs)"
check "... and is the same run" same_run plain.host auto
exits "told to" 0 train --out told --data-on device --epochs 1
says "... it says what it holds" "training set: batches are made on the device, of 24 images of 24x20x3 decoded there once"
check "... and so does the log" grep -q '"batches":{"train":"on the device, of 24 images .*","val":"on the device, of 7 images' told/log.jsonl

exits "stopped in an epoch" 1 train --out parts --data-on device --cutout 8 --mixup 0.4 --order page-local --ema 0.5 --accumulate 2 --stop-after-steps 3
exits "... and gone on with in the other way" 0 train --out parts --data-on host --cutout 8 --mixup 0.4 --order page-local --ema 0.5 --accumulate 2
check "... is the same run" same_run all.host parts

exits "evaluation alone" 0 rn-train --eval-only --weights plain.host/weights.safetensors --arch resnet18 --stem cifar --width 0.0625 --image-size 16 \
    --val-resize 0 --val-db val.lmdb --batch 4 --threads 1 --data-on device --json
cp out.txt device.json
exits "... of the loader's" 0 rn-train --eval-only --weights plain.host/weights.safetensors --arch resnet18 --stem cifar --width 0.0625 --image-size 16 \
    --val-resize 0 --val-db val.lmdb --batch 4 --threads 1 --data-on host --json
result() { grep -oE '"(n|top1|top5|loss)": *[^,}]*' "$1"; }
check "... has the same result" test -n "$(result out.txt)" -a "$(result device.json)" = "$(result out.txt)"

refused() { # refused WORDS OPTION...
    local words=$1
    shift
    exits "$*: not on the device" 2 train --out no --data-on device "$@"
    says "... for what the loader has to do" "$words"
}
refused "--crop resized" --crop resized
refused "--color-jitter" --color-jitter 0.4,0,0,0
refused "--lighting" --lighting 0.1
refused "--val-resize" --val-resize 16
mkilsvrc --synthetic 3 --train-per-class 8 --val 2 --size 30x20 --seed 5 raw2 --quiet && ilsvrc-extract raw tree --splits train --quiet >&2 &&
    ilsvrc-extract raw2 tree2 --splits train --quiet >&2 || exit 1
last=$(cd tree2/train && find . -name '*.JPEG' | sort | tail -n 1)
mv "tree2/train/$last" "tree/train/${last%.JPEG}b.JPEG" && pack-lmdb tree/train mixed.lmdb --quiet || exit 1
exits "images of several sizes: not on the device" 1 train --out no --data-on device --train-db mixed.lmdb
says "... and one is named" "the image has 30 x 20 pixels, 24 x 20 are wanted"

if rn-train --version | grep -q '^MPI: yes' && command -v mpirun >/dev/null; then
    ranks() { timeout -k 10 120 mpirun --allow-run-as-root --oversubscribe -n 3 rn-train --arch resnet18 --stem cifar --width 0.0625 --image-size 16 --val-resize 0 \
        --crop pad --threads 1 --workers 1 --batch 6 --eval-batch 5 --lr 0.01 --log-steps 1 --epochs 2 --mixup 0.4 --cutout 8 "${sets[@]}" --quiet "$@"; }
    exits "three ranks" 0 ranks --out ranks.host --data-on host
    exits "... with a set each" 0 ranks --out ranks.device --data-on device
    check "... are one run" same_run ranks.host ranks.device
else
    skip "ranks" "no MPI here"
fi

# On the emulated device, or, with RNKIT_DEVICE=cuda (make check-cuda), on the machine's.
[ "${RNKIT_DEVICE:-}" = cuda ] || emulated_device
small_net
small() { rn-train --net small.prototxt --threads 1 --workers 1 --lr 0.001 --log-steps 1 --epochs 2 --device cuda "${sets[@]}" "$@"; }
for way in host device; do
    exits "$way, on a device" 0 small --out "cuda.$way" --data-on $way --mixup 0.4
done
check "... is one run" same_run cuda.host cuda.device
for when in early own-late; do # which a real one does not hear
    RNKIT_EMULATE_STREAMS=$when exits "... with streams that are $when" 0 small --out "cuda.$when" --data-on device --mixup 0.4
    check "... too" same_run cuda.device "cuda.$when"
done
RNKIT_CUDA_GRAPH=0 exits "... by node" 0 small --out cuda.nodes --data-on device --mixup 0.4
check "... too" same_run cuda.device cuda.nodes
finish
