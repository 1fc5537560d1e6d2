#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# step.sh [OUT]: convolutions beside oneDNN's or cuDNN's, whole training steps beside PyTorch's, interleaved; see docs/results/kernels.md.
# Exit 77 where DEVICE=cuda finds none.
#
# Everything made goes below OUT (default out/bench-step, or out/bench-cuda). A piece that is whole is kept and not measured again, so that this can be
# stopped and started as often as one likes (remove OUT/pieces to begin anew); OUT/kernels.json (cuda.json) holds all of
# them, page and chart are drawn from it. About 12 minutes on 2 cores; nothing else should run. From the environment:
#   DEVICE=cpu   or cuda: GPU pieces; trainings end to end are CIFAR-10's to 94 % and, fed from LMDB, Imagenette's first steps (RNKIT_DATA)
#   PYTHON       an interpreter with torch and torchvision; without it one is made in OUT/venv with pip
#   ROUNDS=3     PIECES="layers-* resnet18-*" (patterns; default all but end-to-end)   THREADS=cores
#   WARM=1       only lets PyTorch compile, which takes a minute a step, and keeps that: the machine need not be quiet for it
#   COMPILE=0    leaves torch.compile out         PEER_DEVICE=cpu  PyTorch's, to try the harness where it sees no GPU
#   TRAIN_ARGS="--tune quick"   more options for rn-bench train and rn-train; on a GPU "--tune full" unless it is set
#   END_TO_END=1 also the trainings; on the CPU Imagenette's 128 px, 5 epochs, bf16, some 6 minutes a side; wants RNKIT_DATA with imagenette/
#   QUICK=1      tiny shapes, to try the harness
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(dirname "$here")
device=${DEVICE:-cpu}
case $device in
cpu) name=kernels out=${1:-$root/out/bench-step} ;;
cuda) name=cuda out=${1:-$root/out/bench-cuda} TRAIN_ARGS=${TRAIN_ARGS---tune full} ;;
*) echo "bench-step: DEVICE is cpu or cuda" >&2; exit 2 ;;
esac
mkdir -p "$out/pieces"
out=$(realpath "$out")
bin=${RNKIT_BIN:-$root/bin}
say() { echo "bench-step: $*" >&2; }
data=$(realpath -m "${RNKIT_DATA:-$root/../shared/data}")
if [ $device = cuda ]; then
    rc=0
    "$bin/rn-bench" conv --device cuda --case mb1ic8ih8oc8kh1 --dtype f32 --dir fwd --rounds 1 --quiet >/dev/null || rc=$?
    [ $rc != 77 ] || { say "skipped: no GPU"; exit 77; }
    [ $rc = 0 ] || exit $rc
fi

exec 9>"$out/.lock"
flock -n 9 || { say "another run works in $out; name a folder of its own for this one"; exit 1; }
# shellcheck source=bench/venv.sh
. "$here/venv.sh"
# shellcheck source=bench/sets.sh
. "$here/sets.sh"
peers_python "$out" torch torchvision numpy
PATH=$bin:$PATH

wanted() {
    local w
    set -f # patterns, not files
    # shellcheck disable=SC2086
    for w in ${PIECES:-layers-* resnet*} ${END_TO_END:+end-to-end* feed*}; do
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
    python3 "$here/step/run.py" "$kind" --name "$name" --device $device --peer-device "${PEER_DEVICE:-}" --bin "$bin" --python "$PYTHON" --work "$out" --out "$out/pieces/$name.json" \
        --rounds "${ROUNDS:-3}" --threads "${THREADS:-$(nproc)}" --compile "${COMPILE:-1}" --warm "${WARM:-0}" "$@"
}
more=("--more=${TRAIN_ARGS:-}")
fast=("--more=--fast ${TRAIN_ARGS:-}") # what computes in fewer bits than the contract asks for, where one wants that
cifar=(--stem cifar --image-size 32 --classes 10)
need() { [ -e "$data/$1" ] || { say "RNKIT_DATA ($data) has no $1"; exit 3; }; }

pieces_cpu() {
    local dtype
    for dtype in bf16 f32; do
        piece layers-$dtype layers --dtype $dtype --batch 16
        piece resnet18-224-b32-$dtype step --dtype $dtype --batch 32 "${more[@]}"
        piece resnet18-cifar-b128-$dtype step --dtype $dtype "${cifar[@]}" --batch 128 "${more[@]}"
        piece resnet50-224-b16-$dtype step --dtype $dtype --arch resnet50 --batch 16 "${more[@]}"
    done
    piece resnet18-224-b32-bf16-fast step --dtype bf16 --batch 32 "${fast[@]}"
    piece resnet18-cifar-b128-bf16-fast step --dtype bf16 "${cifar[@]}" --batch 128 "${fast[@]}"
    wanted end-to-end || wanted end-to-end-fast || return 0
    need imagenette/ILSVRC2012_img_train.tar
    imagenette_sets "$data" "$out/imagenette" >&2
    local common=(--dtype bf16 --recipe "$root/bench/step/imagenette.recipe" --set "$out/imagenette" --rounds 1)
    piece end-to-end end-to-end "${common[@]}" "${more[@]}"
    piece end-to-end-fast end-to-end "${common[@]}" "${fast[@]}"
}

# Of a GPU's steps enough that the clock has settled.
pieces_cuda() {
    local many=(--dtype bf16 --steps 40 --seconds 3 "${more[@]}")
    piece layers-bf16 layers --dtype bf16 --batch 256 --algo 'cuda:*,cudnn:*' "--more=--device cuda --cache cold"
    piece layers-bn-bf16 layers-bn --dtype bf16 --batch 256 --algo 'cuda:*,cudnn:*' "--more=--device cuda --cache cold"
    piece resnet18-224-b256-bf16 step --batch 256 "${many[@]}"
    piece resnet50-224-b256-bf16 step --arch resnet50 --batch 256 "${many[@]}"
    piece resnet18-cifar-b512-bf16 step "${cifar[@]}" --batch 512 "${many[@]}"
    if wanted feed-resnet18; then
        need imagenette/ILSVRC2012_img_train.tar
        imagenette_sets "$data" "$out/imagenette" >&2
        piece feed-resnet18 feed --dtype bf16 --batch 256 --steps 400 --set "$out/imagenette" "${more[@]}"
    fi
    if wanted end-to-end-cifar10; then
        need cifar10-jpeg-train.tar.gz
        mkdir -p "$out/cifar10"
        cifar10_sets "$data" "$out/cifar10" >&2
        piece end-to-end-cifar10 end-to-end --what "CIFAR-10 from JPEGs" --dtype bf16 --recipe "$root/datasets/cifar10/recipes/resnet18-fast.recipe" \
            --set "$out/cifar10" "${more[@]}"
    fi
}

# Tiny shapes; the peer's whole ways, too.
pieces_quick() {
    local dtype
    for dtype in bf16 f32; do
        piece layers-$dtype layers --dtype $dtype --batch 1 --inner 1 --algo 'cpu:*,cuda:*,cudnn:*,onednn*' "--more=--device $device"
        piece layers-bn-$dtype layers-bn --dtype $dtype --batch 1 --inner 1 --algo 'cpu:*,cuda:*,cudnn:*,onednn*' "--more=--device $device"
        piece resnet18-32-b8-$dtype step --dtype $dtype --image-size 32 --batch 8 "${more[@]}"
    done
}

if [ "${QUICK:-0}" != 0 ]; then pieces_quick; else pieces_$device; fi
[ "${WARM:-0}" = 0 ] || { say "PyTorch's compilations are in $out/inductor"; exit 0; }
python3 "$here/step/kernels_page.py" --gather "$out/pieces" "$out/$name.json"
python3 "$here/step/kernels_page.py" "$out/$name.json" "$out/$name.md" "$out/$name.svg"
say "results: $out/$name.md"
