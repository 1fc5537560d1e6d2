#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# make_big_raw.sh RAW_DIR OUT_DIR [TIMES]: archives of RAW_DIR's form, TIMES (10) times its size: every class comes TIMES times,
# under new WNIDs, with the same photographs byte for byte; train, val, devkit and MD5SUMS fit each other. Imagenette's 150 MB
# become 1.5 GB in 100 classes: enough that start-up costs and one slow write do not decide a comparison.
# RNKIT_BIN: folder of the tools (default: bin/ of this checkout). Scratch space of RAW_DIR's size is used beside OUT_DIR.
set -eu
here=$(dirname "$(realpath "$0")")
bin=${RNKIT_BIN:-$here/../../bin}
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: make_big_raw.sh RAW_DIR OUT_DIR [TIMES]" >&2
    exit 2
fi
raw=$1 out=$2 times=${3:-10}
mkdir -p "$out"
work=$(mktemp -d "$out/.make_big_raw.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$bin/ilsvrc-extract" "$raw" "$work/tree" >/dev/null
# Symbolic links to the class folders: mkilsvrc reads each photograph once a copy, and nothing is copied before.
mkdir "$work/train" "$work/val"
n=0
for _ in $(seq "$times"); do
    for class in "$work"/tree/train/*/; do
        n=$((n + 1))
        wnid=$(printf 'n9%07d' $n)
        ln -s "../tree/train/$(basename "$class")" "$work/train/$wnid"
        ln -s "../tree/val/$(basename "$class")" "$work/val/$wnid"
    done
done
"$bin/mkilsvrc" --tree "$work/train" --val-tree "$work/val" "$out"
