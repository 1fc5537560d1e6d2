#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The whole chain as `make reproduce` runs it, on generated archives: verify, pack, train, evaluate, report; killed on the way
# it ends with the same weights; called again it redoes nothing.
. "$RNKIT_TESTS/tap.sh"
root=$(realpath "$RNKIT_TESTS/..")

# The pipeline finds its datasets beside itself: a copy with a small one.
mkdir -p sets/tiny
cp "$root/datasets/pipeline.sh" sets/
cat >sets/tiny/dataset.conf <<'CONF'
pack-train = --resize short:32 --encode jpeg:95 --shuffle 7
pack-val = --resize short:32 --encode jpeg:95
recipe = tiny.recipe
CONF
cat >sets/tiny/tiny.recipe <<'RECIPE'
arch = resnet18
stem = cifar
width = 0.125
image-size = 24
val-resize = 28
scale-min = 0.5
epochs = 3
batch = 16
lr = 0.05
schedule = cosine
RECIPE
run() { sets/pipeline.sh reproduce tiny raw "$1"; }

check "make archives" "$RNKIT_BIN/mkilsvrc" --synthetic 4 --train-per-class 40 --val 60 --size 48x40 --seed 3 raw

exits "an unknown dataset is refused" 2 sets/pipeline.sh reproduce nosuch raw out
says "and the ones there are listed" tiny
exits "a missing RAW is refused" 2 sets/pipeline.sh reproduce tiny nowhere out

exits "undisturbed" 0 run one
check "the screen gives the accuracy" grep -q 'top-1 .* on all 60 validation images' out.txt
check "and the report's place" grep -q "report .*/one/report.html" out.txt
check "the report is there" grep -q '</html>' one/report.html
check "it learned something" grep -qE '"top1": ?([4-9][0-9]|100)' one/eval.json

whole=(one/train.lmdb/data.mdb one/val.lmdb/data.mdb one/run/weights.safetensors one/verify.json one/eval.json)
stat -c '%n %Y %s' "${whole[@]}" >before
exits "again" 0 run one
stat -c '%n %Y %s' "${whole[@]}" >after
check "nothing whole was redone" cmp before after

# Killed several times, wherever that is.
delays="0.2 0.5 0.9 1.5"
[ "${RNKIT_LONG:-0}" = 0 ] || delays="$delays $(awk "BEGIN{srand(); for (i = 0; i < 40; i++) printf \"%.2f \", 0.1 + 2.5 * rand()}")"
# shellcheck disable=SC2086
for delay in $delays; do
    setsid sets/pipeline.sh reproduce tiny raw two >/dev/null 2>&1 &
    pid=$!
    sleep $delay
    kill -9 -- -$pid 2>/dev/null
    wait $pid 2>/dev/null
done
echo "killed after:" $delays >&2
exits "killed on the way, then finished" 0 run two
check "the same training set" cmp one/train.lmdb/seal.json two/train.lmdb/seal.json
check "the same weights" cmp one/run/weights.safetensors two/run/weights.safetensors

# A damaged archive stops the chain at its first stage.
cp -r raw bad
printf 'x' | dd of=bad/ILSVRC2012_img_val.tar bs=1 seek=2000 conv=notrunc status=none
exits "a wrong MD5 stops the chain" 1 sets/pipeline.sh reproduce tiny bad three
says "naming the archive" ILSVRC2012_img_val.tar
check "and nothing was packed" [ ! -e three/train.lmdb ]

finish
