#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# `make reproduce` over every form that data sets come in, each small and made here, and the plan that tells it beforehand.
. "$RNKIT_TESTS/tap.sh"
root=$(realpath "$RNKIT_TESTS/..")
export PLAN_SECONDS=0.1
cat >tiny.recipe <<'RECIPE'
arch = resnet18
stem = cifar
width = 0.0625
image-size = 16
val-resize = 16
crop = resized
epochs = 1
batch = 16
lr = 0.05
RECIPE
export RECIPE=$PWD/tiny.recipe

# form NAME DATASET RAW: plan, then run
form() {
    exits "$1: the plan" 0 "$root/datasets/pipeline.sh" plan "$2" "$3" "out-$1"
    check "$1: it tells all stages and the room" sh -c 'grep -q "pack train" "$1" && grep -q "train (1 epochs" "$1" && grep -q "^room: " "$1"' - out.txt
    check "$1: it counts the images that are there" grep -q "evaluate ($4 images)" out.txt
    check "$1: it begins nothing" test ! -e "out-$1"
    exits "$1: the run" 0 "$root/datasets/pipeline.sh" reproduce "$2" "$3" "out-$1"
    check "$1: every image is evaluated" grep -q "on all $4 validation images" out.txt
    check "$1: a report" test -s "out-$1/report.html"
}

"$RNKIT_BIN/mkilsvrc" --synthetic 4 --train-per-class 12 --val 24 --size 24x20 raw --quiet
"$RNKIT_BIN/ilsvrc-extract" raw tree --splits train,val --quiet
rm -f tree/*.txt
mkdir set && cp -r tree/train tree/val set/

form folder folder set 24
mkdir tgz && mv set imagenette2-9 && tar -czf tgz/imagenette2-9.tgz imagenette2-9
form archive imagenette tgz 24
form ilsvrc imagenette raw 24

mkdir cifar
(cd tree/train && tar -czf ../../cifar/cifar10-x-train.tar.gz .)
(cd tree/val && tar -czf ../../cifar/cifar10-x-test.tar.gz .)
form cifar cifar10 cifar 24

mkdir ghim
n=0
for f in tree/train/*/*; do
    n=$((n + 1))
    cp "$f" "ghim/$((n <= 24 ? n : n + 476)).jpg"
done
exits "lists: the run" 0 "$root/datasets/pipeline.sh" reproduce ghim10k ghim out-lists
check "lists: of each class every tenth image" grep -q "on all 4 validation images" out.txt
check "lists: ... by its number" grep -qx "10.jpg 0" out-lists/val.txt
check "lists: ... and 500 to a class" grep -qx "510.jpg 1" out-lists/val.txt
mkdir odd && cp ghim/1.jpg odd/ && cp ghim/2.jpg odd/x.jpg
exits "lists: names that are no numbers are refused" 1 "$root/datasets/ghim10k/lists.sh" odd out-odd

mkdir idx
byte() { printf "\\$(printf %03o "$1")"; }
idx() { # NAME COUNT: gray noise of 8x8 and labels 0..9 in turn
    { printf '\000\000\010\003\000\000\000'; byte "$2"; printf '\000\000\000\010\000\000\000\010'; head -c $(($2 * 64)) /dev/urandom; } \
        >"idx/$1-images-idx3-ubyte"
    { printf '\000\000\010\001\000\000\000'; byte "$2"; for i in $(seq 0 $(($2 - 1))); do byte $((i % 10)); done; } >"idx/$1-labels-idx1-ubyte"
}
idx train 60
idx t10k 20
sed -i 's/image-size = 16/image-size = 8/; s/val-resize = 16/val-resize = 0/; $achannels = 1' tiny.recipe
form idx fashion-mnist idx 20

echo "00000000000000000000000000000000  imagenette2-9.tgz" >tgz/MD5SUMS
exits "an archive that is not what MD5SUMS says is not packed" 1 "$RNKIT_BIN/pack-lmdb" tgz/imagenette2-9.tgz --split val bad.lmdb
sed 's/^epochs.*/max-steps = 9/' tiny.recipe >steps.recipe
RECIPE=$PWD/steps.recipe exits "a plan of a recipe that counts steps" 0 "$root/datasets/pipeline.sh" plan fashion-mnist idx out-x
check "... says how many" grep -q "train (9 steps, " out.txt
cp tiny.recipe alexnet-bvlc.recipe
RECIPE=$PWD/alexnet-bvlc.recipe exits "a plan of a recipe that wants sets of its own" 0 "$root/datasets/pipeline.sh" plan ilsvrc2012 raw out-x
check "... says how they are packed" grep -q "^sets packed with --resize exact:256x256 " out.txt
exits "a plan of another one" 0 "$root/datasets/pipeline.sh" plan ilsvrc2012 raw out-x
check "... packs as the dataset's settings say" grep -q "^sets packed with --resize short:256 " out.txt
exits "a plan of a study" 0 "$root/datasets/pipeline.sh" plan-study lr-policies imagenette raw out-x
check "... counts its runs" grep -q "train (21 x 1 epochs" out.txt
check "... and begins nothing" test ! -e out-x
mkdir nothing
exits "data that are not there are told" 2 "$root/datasets/pipeline.sh" plan cifar10 nothing out-x
says "... with what was looked for" "cifar-10-binary.tar.gz"
finish
