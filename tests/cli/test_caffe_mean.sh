#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Mean images: Caffe's mean_file and --mean-image, stopped and gone on with, evaluated and predicted from the weights alone.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

mkilsvrc --synthetic 3 --train-per-class 24 --val 18 --size 40x40 --seed 4 raw --quiet &&
    pack-lmdb raw --split train --shuffle 1 --resize exact:36x36 train.lmdb --mean mean.binaryproto --quiet &&
    pack-lmdb raw --split val --resize exact:36x36 val.lmdb --mean valmean.binaryproto --quiet &&
    pack-lmdb raw --split val --resize exact:36x34 flat.lmdb --mean flat.binaryproto --quiet || exit 1

net() { # net MEAN CROP: to stdout
    cat <<NET
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mirror: true $2 scale: 0.017 $1 } data_param { source: "train.lmdb" batch_size: 8 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { $2 scale: 0.017 $1 } data_param { source: "val.lmdb" batch_size: 4 backend: LMDB } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 stride: 2 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool1" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
NET
}
file='mean_file: "mean.binaryproto"'
net "$file" "crop_size: 32" >net.prototxt
cat >solver.prototxt <<'SOLVER'
net: "net.prototxt"
test_iter: 5
test_interval: 10
base_lr: 0.01
lr_policy: "fixed"
max_iter: 30
momentum: 0.9
random_seed: 3
snapshot: 7
SOLVER
solve() { rn-train --solver solver.prototxt --threads 1 "$@"; }
number() { grep -o "\"$1\": *[0-9.e-]*" | head -1 | sed 's/.*: *//'; } # number KEY <JSON

exits "a prototxt with a mean_file trains" 0 solve --out run --json
check "... to a smaller loss" awk -v l="$(number loss <out.txt)" 'BEGIN { exit !(l < 0.8) }'
check "... and the recipe says what is subtracted" grep -qx "mean-image = mean.binaryproto" run/recipe
check "... that alone" sh -c '! grep -q "^mean = " run/recipe'
sed 's/mean_file.*binaryproto"/mean_value: 0/' net.prototxt >zero.prototxt
exits "without a mean" 0 solve --net zero.prototxt --out zero --quiet
others "... the weights are others" run/weights.safetensors zero/weights.safetensors

exits "stopped in the middle" 1 solve --out parts --stop-after-steps 13
exits "... and gone on with" 0 solve --out parts
check "... to the same weights" cmp run/weights.safetensors parts/weights.safetensors
cp mean.binaryproto kept && cp valmean.binaryproto mean.binaryproto
exits "going on with another mean image is refused" 1 solve --out run
says "... by name" "holds a run with another mean image: give that --mean-image"
exits "... and with none" 1 solve --net zero.prototxt --out run
rm mean.binaryproto

# ---- the weights carry it ----
loss() { number loss <out.txt; }
exits "weights evaluate without the file" 0 rn-train --threads 1 --eval-batch 4 --eval-only --weights run/weights.safetensors --val-db val.lmdb --json --dump-logits eval.npy
check "... to the same loss" [ "$(loss)" = "$(number loss <run/result.json)" ]
exits "two ways of evaluation agree" 0 rn-train --threads 2 --eval-batch 7 --workers 3 --eval-only --weights run/weights.safetensors --val-db val.lmdb --json
check "... in every image" awk -v a="$(loss)" -v b="$(number loss <run/result.json)" 'BEGIN { exit !(a - b < 1e-5 && b - a < 1e-5) }'
exits "a mean by --mean wins over the weights' image" 0 rn-train --threads 1 --eval-batch 4 --eval-only --weights run/weights.safetensors --val-db val.lmdb --mean 0.1,0.1,0.1 --json
check "... and tells otherwise" [ "$(loss)" != "$(number loss <run/result.json)" ]
exits "a set of another size is refused" 1 rn-train --threads 1 --eval-only --weights run/weights.safetensors --val-db flat.lmdb
says "... with the remedy" "the image has 36 x 34 pixels, the mean image 36 x 36: pack the set anew with --resize exact:36x36"
mkdir tree && tar xf raw/ILSVRC2012_img_val.tar -C tree 2>/dev/null
photo=$(find tree -type f | head -1)
exits "predict takes pictures of any size" 0 rn-train predict --weights run/weights.safetensors --json "$photo"
check "... and tells classes" grep -q '"probability"' out.txt
exits "such a model is not exported" 1 rn-train export --weights run/weights.safetensors --onnx model.onnx
says "... with the remedy" "--mean LIST exports it with each channel's mean"
cp kept mean.binaryproto

# ---- --mean-image, without a prototxt ----
ours() { rn-train --arch resnet18 --stem cifar --width 0.125 --image-size 32 --train-db train.lmdb --val-db val.lmdb --batch 8 --epochs 2 --lr 0.02 --threads 1 "$@"; }
exits "--mean-image goes with a recipe of ours" 0 ours --crop window --val-resize 0 --mean-image mean.binaryproto --out ours --quiet
exits "... and with images as they are" 0 ours --image-size 36 --crop none --val-resize 0 --mean-image mean.binaryproto --ema 0.5 --out whole --quiet
exits "... whose average evaluates the same from its file" 0 rn-train --threads 1 --eval-batch 8 --eval-only --weights whole/weights.safetensors --val-db val.lmdb --json
check "... to the bit" [ "$(loss)" = "$(number loss <whole/result.json)" ]
misuse() { # misuse NAME TEXT ARGUMENTS
    exits "$1" 2 ours --out no --mean-image mean.binaryproto "${@:3}"
    says "... with the remedy" "$2"
}
misuse "a resized crop" "give --crop window or none" --val-resize 0
misuse "a resize in evaluation" "give --val-resize 0" --crop window
misuse "--mean beside it" "leave one of them out" --crop window --val-resize 0 --mean 0.5,0.5,0.5
misuse "mixup" "do not go together: give --mean" --crop window --val-resize 0 --mixup 0.2
misuse "cutout" "do not go together: give --mean" --crop window --val-resize 0 --cutout 8
misuse "images larger than it" "less than the images of --image-size 40" --crop window --val-resize 0 --image-size 40
misuse "whole images of another size" "the images of --crop none 32 x 32" --crop none --val-resize 0
misuse "gray images" "has 3 channels, the images 1" --crop window --val-resize 0 --channels 1
exits "one of another set's size" 1 ours --crop window --val-resize 0 --mean-image flat.binaryproto --out no
says "... is told by the first image" "36 x 36 pixels, the mean image 36 x 34"
printf nonsense >bad.binaryproto
exits "one that is none" 1 ours --crop window --val-resize 0 --mean-image bad.binaryproto --out no
says "... is said to be none" "--mean-image: bad.binaryproto"
exits "a teacher with a mean image" 1 ours --teacher ours/weights.safetensors --out no
says "... is refused" "a teacher's images cannot be taken less of"
net "$file mean_value: 104" "crop_size: 32" >both.prototxt
exits "mean_file and mean_value" 1 solve --net both.prototxt --out no
says "... are one too many" "mean_file and mean_value: give one of them"
exits "--mean wins over the net's mean_file" 0 solve --mean 0.5,0.5,0.5 --max-steps 2 --out over --quiet
check "... in the recipe" sh -c 'grep -qx "mean = 0.5,0.5,0.5" over/recipe && ! grep -q mean-image over/recipe'
net "$file" "" >whole.prototxt
exits "a net without crop_size" 0 solve --net whole.prototxt --max-steps 2 --out nocrop --quiet

# ---- ImageNet's own ----
real=${RNKIT_DATA:-}/ilsvrc12-aux/imagenet_mean.binaryproto
if [ -n "${RNKIT_DATA:-}" ] && [ -f "$real" ]; then
    pack-lmdb raw --split train --shuffle 1 --resize exact:256x256 large.lmdb --quiet
    exits "ImageNet's mean image is read" 0 rn-train --arch resnet18 --width 0.125 --image-size 64 --train-db large.lmdb --val-db large.lmdb --batch 8 --max-steps 1 --threads 1 --crop window --val-resize 0 --mean-image "$real" --out real --quiet
else
    skip "ImageNet's mean image is read" "RNKIT_DATA has none"
fi
finish
