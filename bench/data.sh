#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# data.sh [OUT]: the data tools beside what people use today, interleaved in one run; see docs/results/data-tools.md.
#
# Everything made, installed or written goes below OUT (default out/bench-data); OUT/data-tools.json holds all rounds,
# OUT/data-tools.md and .svg are drawn from it. From the environment:
#   RNKIT_DATA   folder with imagenette/ and imagenet-sample.tar
#   PYTHON       an interpreter with torch, torchvision, Pillow, lmdb, numpy and opencv; without it one is made in OUT/venv with pip
#                (PIP_ARGS is passed on, e.g. "--extra-index-url https://download.pytorch.org/whl/cpu")
#   ROUNDS=7     ROWS="pack-* memory" (patterns; default all)     JOBS=cores
#   KEEP=FILE    an earlier data-tools.json of this machine: its rows stand where ROWS leaves them out
#   QUICK=1      small inputs, to try the harness
# Pillow-SIMD, webdataset and FFCV are installed with pip into folders of their own where that works (FFCV needs
# libopencv-dev and libturbojpeg0-dev); a peer that cannot be had is left out and the page says so.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$(dirname "$here")
out=${1:-$root/out/bench-data}
mkdir -p "$out"
out=$(realpath "$out")
data=$(realpath "${RNKIT_DATA:-$root/../shared/data}")
say() { echo "bench-data: $*" >&2; }

exec 9>"$out/.lock"
flock -n 9 || { say "another run works in $out; name a folder of its own for this one"; exit 1; }

for need in imagenette/ILSVRC2012_img_train.tar imagenet-sample.tar; do
    [ -e "$data/$need" ] || { say "RNKIT_DATA ($data) has no $need"; exit 3; }
done
for tool in openssl md5sum tar python3 cc; do
    command -v $tool >/dev/null || { say "$tool is missing"; exit 77; }
done

# shellcheck source=bench/venv.sh
. "$here/venv.sh"
peers_python "$out" torch torchvision pillow lmdb numpy opencv-python-headless setuptools

# extra NAME PACKAGE...: into OUT/py-NAME, found through PYTHONPATH; not being able to is no error.
extra() {
    local name=$1 dir=$out/py-$1
    shift
    [ -e "$dir/.whole" ] || [ -e "$dir.failed" ] && return 0
    rm -rf "$dir"
    say "installing $* into $dir"
    # shellcheck disable=SC2086
    if "$PYTHON" -m pip install -q ${PIP_ARGS:-} --no-deps --no-build-isolation --target "$dir" "$@" >"$dir.log" 2>&1; then
        touch "$dir/.whole"
    else
        say "$name cannot be installed here (see $dir.log)"
        mv "$dir.log" "$dir.failed"
    fi
}
CC="cc -mavx2" extra simd pillow-simd
extra webdataset webdataset braceexpand pyyaml
extra ffcv ffcv terminaltables pytorch_pfn_extras fastargs assertpy tqdm psutil numba llvmlite

limit=$out/jpeg_limit
[ "$limit" -nt "$here/peers/jpeg_limit.c" ] || cc -O2 -pthread -o "$limit" "$here/peers/jpeg_limit.c" -ljpeg

args=(--bin "${RNKIT_BIN:-$root/bin}" --python "$PYTHON" --data "$data" --out "$out" --json "$out/data-tools.json"
    --limit "$limit" --rounds "${ROUNDS:-7}" --rows "${ROWS:-*}")
[ -z "${JOBS:-}" ] || args+=(--jobs "$JOBS")
[ "${QUICK:-0}" = 0 ] || args+=(--quick)
if [ -n "${KEEP:-}" ]; then # it may be the file that is written
    cp "$KEEP" "$out/kept.json"
    args+=(--keep "$out/kept.json")
fi
rm -f "$out/data-tools.json"
rc=0
python3 "$here/data/main.py" "${args[@]}" || rc=$?
[ -e "$out/data-tools.json" ] || exit $((rc ? rc : 1))
python3 "$here/data/page.py" "$out/data-tools.json" "$out/data-tools.md" "$out/data-tools.svg"
say "results: $out/data-tools.md"
exit $rc
