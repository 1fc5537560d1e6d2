#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# accuracy.sh [OUT]: the same recipes on the same files, trained by rn-train and by PyTorch + torchvision; see docs/results/accuracy.md.
#
# Everything made goes below OUT (default out/bench-accuracy). A run that is whole is kept and not done again, so that this can be stopped
# and started as often as one likes; OUT/accuracy.json holds all of them, accuracy.md and .svg are drawn from it. From the environment:
#   RNKIT_DATA   folder with imagenette/ and cifar10-jpeg-{train,test}.tar.gz
#   PYTHON       an interpreter with torch and torchvision; without it one is made in OUT/venv with pip
#   SEEDS="1 2 3"     ROWS="imagenette cifar10"; for a GPU, which does them in minutes, also cifar10-94 and cifar10-9546
#   SIDES="rnkit torch rnkit-bf16 rnkit-bf16-fast"    the first two in f32, beside which bf16 is held; torch-bf16 is PyTorch's autocast
#   DEVICE=cpu        or cuda, both sides; SIDES is then "rnkit-bf16 torch-bf16" unless it is set
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

device=${DEVICE:-cpu}
case $device in
cpu) sides=${SIDES-rnkit torch rnkit-bf16 rnkit-bf16-fast} ;;
cuda) sides=${SIDES-rnkit-bf16 torch-bf16} ;;
*) echo "accuracy: DEVICE is cpu or cuda" >&2; exit 2 ;;
esac
# shellcheck source=bench/sets.sh
. "$here/sets.sh"
for row in ${ROWS-imagenette cifar10}; do
    case $row in
    imagenette) recipe=imagenette/recipes/short.recipe ;;
    cifar10) recipe=cifar10/recipes/short.recipe ;;
    cifar10-94) recipe=cifar10/recipes/resnet18-fast.recipe ;;
    cifar10-9546) recipe=cifar10/recipes/resnet18-cutout-plateau.recipe ;;
    *) echo "accuracy: ROWS: $row is none of imagenette, cifar10, cifar10-94, cifar10-9546" >&2; exit 2 ;;
    esac
    mkdir -p "$out/$row" "$out/sets"
    "${row%%-*}_sets" "$data" "$out/sets/${row%%-*}" >&2
    for seed in ${SEEDS-1 2 3}; do
        for side in $sides; do
            "$PYTHON" "$here/accuracy/run.py" --side "$side" --device "$device" --seed "$seed" --recipe "$root/datasets/$recipe" --row "$row" \
                --set "$out/sets/${row%%-*}" --out "$out/$row/runs/$side-$seed.json" --peer "$here/peers/train_torch.py"
        done
    done
done
python3 "$here/accuracy/page.py" --gather "$out" "$out/accuracy.json"
python3 "$here/accuracy/page.py" "$out/accuracy.json" "$out/accuracy.md" "$out/accuracy.svg"
echo "accuracy: results in $out/accuracy.md" >&2
