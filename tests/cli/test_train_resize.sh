#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Progressive resizing: images grow from epoch to epoch; a run that is stopped anywhere ends with the same bits.
. "$RNKIT_TESTS/tap.sh"
PATH=$RNKIT_BIN:$PATH
mkilsvrc --synthetic 3 --train-per-class 16 --val 15 --size 80x72 raw --quiet
for split in train val; do pack-lmdb raw --split $split --shuffle 7 $split.lmdb >/dev/null; done
cat >grow.recipe <<'RECIPE'
arch = resnet18
width = 0.0625
image-size = 96
start-size = 32
ramp-epochs = 1,3
val-resize = 96
epochs = 5
batch = 16
lr = 0.05
schedule = cosine
ema = 0.9
RECIPE
train() { # FOLDER OPTIONS...
    local out=$1
    shift
    rn-train --recipe grow.recipe --train-db train.lmdb --val-db val.lmdb --out "$out" --threads 2 --progress never "$@"
}
exits "a run that grows" 0 train whole --verbose
check "... from the start size, in multiples of 32, to the full size" \
    test "$(grep -o 'epoch [0-9]*: training images of [0-9]* pixels' err.txt | tr '\n' ';')" = \
    "epoch 1: training images of 32 pixels;epoch 3: training images of 64 pixels;epoch 4: training images of 96 pixels;"
sed '/^start-size/d; /^ramp-epochs/d' grow.recipe >flat.recipe
exits "a run that does not" 0 rn-train --recipe flat.recipe --train-db train.lmdb --val-db val.lmdb --out flat --threads 2
for n in 1 2 4 6 7 8 9 11 14; do train parts --stop-after-steps $n >/dev/null 2>&1; done
exits "stopped all along the way, then finished" 0 train parts
check "... the same weights" cmp whole/weights.safetensors parts/weights.safetensors
others "... which are not those of full images" flat/weights.safetensors whole/weights.safetensors
exits "with a teacher" 0 train taught --teacher flat/weights.safetensors --epochs 3
exits "a start beyond the end is misuse" 2 train x --start-size 128
exits "a start without a ramp is misuse" 2 rn-train --recipe /dev/null --start-size 32 --train-db train.lmdb --val-db val.lmdb --out x
says "... and the remedy is named" "--ramp-epochs"
exits "a ramp that runs backwards is misuse" 2 train x --ramp-epochs 3,1
exits "a net whose weights are of one size" 1 train fixed --arch caffenet --image-size 227 --start-size 160 --val-resize 227 --epochs 2 --ramp-epochs 0,1 --ema 0
says "... says so" "weights are for images of 227 pixels"
finish
