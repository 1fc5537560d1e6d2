#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# step.sh [OUT]: convolutions beside oneDNN's, whole training steps beside PyTorch's, interleaved; see docs/results/kernels.md.
#
# Everything made goes below OUT (default out/bench-step). A piece that is whole is kept and not measured again, so that this can be
# stopped and started as often as one likes (remove OUT/pieces to begin anew); OUT/kernels.json holds all of them, kernels.md and .svg are
# drawn from it. About 12 minutes on 2 cores; nothing else should run. From the environment:
#   PYTHON       an interpreter with torch and torchvision; without it one is made in OUT/venv with pip
#   ROUNDS=3     PIECES="layers-* resnet18-*" (patterns; default all but end-to-end)   THREADS=cores
#   WARM=1       only lets PyTorch compile, which takes a minute a step, and keeps that: the machine need not be quiet for it
#   COMPILE=0    leaves torch.compile out         TRAIN_ARGS="--tune quick"   more options for rn-bench train and rn-train
#   END_TO_END=1 also Imagenette's 128 px, 5 epochs, bf16, some 6 minutes a side; wants RNKIT_DATA with imagenette/
#   QUICK=1      tiny shapes, to try the harness
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(dirname "$here")
out=${1:-$root/out/bench-step}
mkdir -p "$out/pieces"
out=$(realpath "$out")
bin=${RNKIT_BIN:-$root/bin}
say() { echo "bench-step: $*" >&2; }

exec 9>"$out/.lock"
flock -n 9 || { say "another run works in $out; name a folder of its own for this one"; exit 1; }
# shellcheck source=bench/venv.sh
. "$here/venv.sh"
peers_python "$out" torch torchvision numpy

wanted() {
    local w
    set -f # patterns, not files
    # shellcheck disable=SC2086
    for w in ${PIECES:-layers-* resnet*} ${END_TO_END:+end-to-end*}; do
        # shellcheck disable=SC2254
        case $1 in $w) set +f; return 0 ;; esac
    done
    set +f
    return 1
}
# piece NAME KIND OPTION...
piece() {
    local name=$1 kind=$2
    shift 2
    wanted "$name" || return 0
    [ ! -e "$out/pieces/$name.json" ] || { say "$name: kept"; return 0; }
    say "$name"
    python3 "$here/step/run.py" "$kind" --name "$name" --bin "$bin" --python "$PYTHON" --work "$out" --out "$out/pieces/$name.json" \
        --rounds "${ROUNDS:-3}" --threads "${THREADS:-$(nproc)}" --compile "${COMPILE:-1}" --warm "${WARM:-0}" "$@"
}
more=(--more "${TRAIN_ARGS:-}")

for dtype in bf16 f32; do
    if [ "${QUICK:-0}" != 0 ]; then
        piece layers-$dtype layers --dtype $dtype --batch 1 --inner 1
        piece resnet18-32-b8-$dtype step --dtype $dtype --image-size 32 --batch 8 "${more[@]}"
        continue
    fi
    piece layers-$dtype layers --dtype $dtype --batch 16
    piece resnet18-224-b32-$dtype step --dtype $dtype --batch 32 "${more[@]}"
    piece resnet18-cifar-b128-$dtype step --dtype $dtype --stem cifar --image-size 32 --classes 10 --batch 128 "${more[@]}"
    piece resnet50-224-b16-$dtype step --dtype $dtype --arch resnet50 --batch 16 "${more[@]}"
done
# the same with what computes in fewer bits than the contract asks for, where one wants that
fast=("--more=--fast ${TRAIN_ARGS:-}")
if [ "${QUICK:-0}" = 0 ]; then
    piece resnet18-224-b32-bf16-fast step --dtype bf16 --batch 32 "${fast[@]}"
    piece resnet18-cifar-b128-bf16-fast step --dtype bf16 --stem cifar --image-size 32 --classes 10 --batch 128 "${fast[@]}"
fi

if wanted end-to-end || wanted end-to-end-fast; then
    data=$(realpath "${RNKIT_DATA:-$root/../shared/data}")
    [ -e "$data/imagenette/ILSVRC2012_img_train.tar" ] || { say "RNKIT_DATA ($data) has no imagenette/"; exit 3; }
    "$bin/ilsvrc-extract" "$data/imagenette" "$out/imagenette" --splits train,val >&2
    "$bin/pack-lmdb" "$data/imagenette" "$out/imagenette/train.lmdb" --split train --shuffle 2012 >&2
    "$bin/pack-lmdb" "$data/imagenette" "$out/imagenette/val.lmdb" --split val >&2
    piece end-to-end end-to-end --dtype bf16 --recipe "$root/bench/step/imagenette.recipe" --set "$out/imagenette" --rounds 1 "${more[@]}"
    piece end-to-end-fast end-to-end --dtype bf16 --recipe "$root/bench/step/imagenette.recipe" --set "$out/imagenette" --rounds 1 "${fast[@]}"
fi
[ "${WARM:-0}" = 0 ] || { say "PyTorch's compilations are in $out/inductor"; exit 0; }
python3 "$here/step/kernels_page.py" --gather "$out/pieces" "$out/kernels.json"
python3 "$here/step/kernels_page.py" "$out/kernels.json" "$out/kernels.md" "$out/kernels.svg"
say "results: $out/kernels.md"
