#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train on sets that are damaged, of another kind, or not what was said, and with weights of another net: one line says which
# file or record and what to do; what was learnt before is kept.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/training.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

mkilsvrc --synthetic 3 --train-per-class 16 --val 7 --size 24x24 --seed 2 raw --quiet &&
    pack-lmdb raw --split train --shuffle 1 train --quiet && pack-lmdb raw --split val val --quiet || exit 1
train() { rn-train --arch resnet18 --stem cifar --width 0.125 --image-size 16 --val-resize 16 --threads 1 --workers 1 --batch 4 --lr 0.01 --epochs 1 "$@"; }
# copy SET NAME, then smash NAME OFFSET BYTES
copy() { rm -rf "$2" && cp -r "$1" "$2"; }
smash() { printf '%b' "$3" | dd of="$1/data.mdb" bs=1 seek="$2" conv=notrunc status=none; }
# Where in data.mdb the images begin, in the order of the file.
images() { grep -aboP '\xff\xd8\xff\xe0' "$1/data.mdb" | cut -d: -f1; }
one() { images "$1" | sed -n "$2p"; }
once() { check "in one line" [ "$(grep -c 'error' err.txt)" = 1 ]; }

# ---- seals -------------------------------------------------------------------------------------------------------
copy train s
: >s/seal.json
exits "an empty seal" 1 train --train-db s --val-db val --out x
says "is told" "s/seal.json: not JSON"
echo '{}' >s/seal.json
exits "a seal of something else" 1 train --train-db s --val-db val --out x
says "is told" "s/seal.json: format is '(none)'"
cp val/seal.json s/
exits "another set's seal" 1 train --train-db s --val-db val --out x
says "is told" "s: 48 records, but its seal says 7"
sed -E 's/"n90000001"/"swap"/; s/"n90000002"/"n90000001"/; s/"swap"/"n90000002"/' val/seal.json >order.json
copy val s && cp order.json s/seal.json
exits "the same classes in another order" 1 train --train-db train --val-db s --out x
says "are told, first the first" "class 1 is n90000001 in train but n90000002 in s: pack both from the same data set"
check "nothing was begun" [ ! -e x/log.jsonl ]

# ---- records -----------------------------------------------------------------------------------------------------
copy train head && smash head "$(one train 20)" XX
exits "an image that is none, in the middle of training" 1 train --train-db head --val-db val --out broken
says "stops the run, with its set, key and remedy" "neither JPEG nor PNG (it begins with 58 58 ff e0"
check "and its step" grep -qE 'error: stopped at step [0-9]+ \(epoch 1\): head: [0-9]+_n9000000[0-2]/n.*\.JPEG: ' err.txt
once
step=$(sed -nE 's/.*stopped at step ([0-9]+) .*/\1/p' err.txt)
check "what was learnt before it is kept" grep -q "Last good checkpoint: broken/checkpoints/e00000-s0*$((step - 1))\$" err.txt
rm -rf head && cp -r train head
exits "with the image mended it goes on" 0 train --train-db head --val-db val --out broken
exits "a run that had it from the start" 0 train --train-db train --val-db val --out sound
check "to the same bits" same_run sound broken
copy val headv && smash headv "$(one val 5)" XX
exits "one in the evaluation" 1 train --train-db train --val-db headv --out brokenv
says "stops that" "stopped in the evaluation after epoch 1: headv: "
says "the epoch is kept" "Last good checkpoint: brokenv/checkpoints/e00000-s0000000012"
exits "with the image mended it goes on" 0 train --train-db train --val-db val --out brokenv
check "to the same bits" same_run sound brokenv

copy train entropy && smash entropy $(($(one train 20) + 640)) '\xff\xd9\xff\xd9\xff\xd9'
exits "an image whose end is lost" 0 train --train-db entropy --val-db val --crop pad --pad 0 --out lost
check "is told once, with the policy" [ "$(grep -c 'is damaged (.*): what can be decoded is taken, as Pillow does' err.txt)" = 1 ]

label=$(grep -aboP '\x28[\x00-\x02]\x38\x01' train/data.mdb | sed -n 20p | cut -d: -f1)
copy train label && smash label "$label" '\x28\x07'
exits "a label out of range" 1 train --train-db label --val-db val --out x
check "is told with set, key and classes" grep -qE 'stopped at step .*: label: [0-9]+_n.*\.JPEG: label 7, and the set has the classes 0 to 2: pack it again' err.txt
once
exits "a gray net on images with colours" 0 train --channels 1 --train-db train --val-db val --out gray
check "says what it makes of them, once a set" [ "$(grep -c 'has colours: --channels 1 makes it gray, and all others' err.txt)" = 2 ]

# ---- weights of another net ------------------------------------------------------------------------------------------
w=sound/weights.safetensors
exits "deeper than the weights" 1 train --arch resnet34 --weights $w --train-db train --val-db val --out y
says "names what is missing" "lacks 80 of the model's tensors (layer1.2.conv1.weight, layer1.2.bn1.weight, layer1.2.bn1.bias, layer1.2.bn1.running_mean, ...): give the --arch it was made with"
once
exits "wider" 1 train --width 0.25 --weights $w --train-db train --val-db val --out y
says "names tensors, both shapes, and how many more" "tensor conv1.weight is 8x3x3x3, the model has 16x3x3x3 (and 100 more differ: bn1.weight, bn1.bias, bn1.running_mean, ...)"
once
exits "an SE net's weights" 0 train --se 4 --train-db train --val-db val --out se
exits "in one without" 1 train --weights se/weights.safetensors --train-db train --val-db val --out y
says "names what there is too much" "tensors that the model lacks (layer1.0.se.fc1.weight, layer1.0.se.fc1.bias, "
once
exits "and wider and deeper, too" 1 train --weights se/weights.safetensors --arch resnet34 --width 0.25 --train-db train --val-db val --out y
says "names what is missing" "lacks 80 of the model's tensors (layer1.2.conv1.weight, "
says "... what is too much" ", holds 32 tensors that the model lacks (layer1.0.se.fc1.weight, "
says "... and what has another shape" ", 101 are of another shape (conv1.weight is 8x3x3x3, not 16x3x3x3, ...): give the --arch"
once
exits "gray" 1 train --channels 1 --weights $w --train-db train --val-db val --out y
says "names the one, with the options" "tensor conv1.weight is 8x3x3x3, the model has 8x1x3x3: check --stem, --channels and --width"
check "nothing was begun" [ ! -e y/log.jsonl ]
finish
