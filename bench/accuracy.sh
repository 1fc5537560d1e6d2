#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# accuracy.sh [OUT]: the same recipes on the same files, trained by rn-train and by PyTorch + torchvision; see docs/results/accuracy.md.
#
# Everything made goes below OUT (default out/bench-accuracy). A run that is whole is kept and not done again, so that this can be stopped
# and started as often as one likes; OUT/accuracy.json holds all of them, accuracy.md and .svg are drawn from it. From the environment:
#   RNKIT_DATA   folder with imagenette/ and cifar10-jpeg-{train,test}.tar.gz
#   PYTHON       an interpreter with torch and torchvision; without it one is made in OUT/venv with pip
#   SEEDS="1 2 3"     ROWS="imagenette cifar10"
#   SIDES="rnkit torch rnkit-bf16 rnkit-bf16-fast"    the first two in f32; the others hold bf16 against rnkit's own f32
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(dirname "$here")
out=${1:-$root/out/bench-accuracy}
mkdir -p "$out"
out=$(realpath "$out")
data=$(realpath "${RNKIT_DATA:-$root/../shared/data}")
export PATH=${RNKIT_BIN:-$root/bin}:$PATH

exec 9>"$out/.lock"
flock -n 9 || { echo "accuracy: another run works in $out; name a folder of its own for this one" >&2; exit 1; }
for need in imagenette/ILSVRC2012_img_train.tar cifar10-jpeg-train.tar.gz cifar10-jpeg-test.tar.gz; do
    [ -e "$data/$need" ] || { echo "accuracy: RNKIT_DATA ($data) has no $need" >&2; exit 3; }
done
# shellcheck source=bench/venv.sh
. "$here/venv.sh"
peers_python "$out" torch torchvision pillow numpy

# Trees for PyTorch, packed sets for rn-train: of the same files.
imagenette() {
    ilsvrc-extract "$data/imagenette" "$out/imagenette" --splits train,val
    pack-lmdb "$data/imagenette" "$out/imagenette/train.lmdb" --split train --shuffle 2012
    pack-lmdb "$data/imagenette" "$out/imagenette/val.lmdb" --split val
}
cifar10() {
    local split
    for split in train:train test:val; do
        local tree=$out/cifar10/${split#*:}
        if [ ! -e "$tree.whole" ]; then
            mkdir -p "$tree"
            tar -xzf "$data/cifar10-jpeg-${split%:*}.tar.gz" -C "$tree"
            touch "$tree.whole"
        fi
    done
    pack-lmdb "$out/cifar10/train" "$out/cifar10/train.lmdb" --shuffle 2012
    pack-lmdb "$out/cifar10/val" "$out/cifar10/val.lmdb"
}
for row in ${ROWS-imagenette cifar10}; do
    $row >&2
    case $row in
    imagenette) recipe=$root/datasets/imagenette/recipes/short.recipe ;;
    cifar10) recipe=$root/datasets/cifar10/recipes/short.recipe ;;
    esac
    for seed in ${SEEDS-1 2 3}; do
        for side in ${SIDES-rnkit torch rnkit-bf16 rnkit-bf16-fast}; do
            "$PYTHON" "$here/accuracy/run.py" --side $side --seed "$seed" --recipe "$recipe" --set "$out/$row" \
                --out "$out/$row/runs/$side-$seed.json" --peer "$here/peers/train_torch.py"
        done
    done
done
python3 "$here/accuracy/page.py" --gather "$out" "$out/accuracy.json"
python3 "$here/accuracy/page.py" "$out/accuracy.json" "$out/accuracy.md" "$out/accuracy.svg"
echo "accuracy: results in $out/accuracy.md" >&2
