#!/bin/sh
# SPDX-License-Identifier: MIT
# pack_tar_python.sh RAW_DIR WORK_DIR OUT.lmdb: the recipe that everybody has today for the train archive: the outer tar, then
# every inner tar into a folder of its own (as PyTorch's extract_ILSVRC.sh does), then a Python lmdb writer over the tree.
# PYTHON names an interpreter that has the package lmdb.
set -eu
raw=$(realpath "$1") work=$2 out=$(realpath -m "$3") here=$(dirname "$(realpath "$0")")
mkdir -p "$work/train"
cd "$work/train"
tar -xf "$raw/ILSVRC2012_img_train.tar"
find . -name "*.tar" | while read -r class; do
    mkdir -p "${class%.tar}"
    tar -xf "$class" -C "${class%.tar}"
    rm -f "$class"
done
exec "${PYTHON:-python3}" "$here/pack_lmdb_writer.py" . "$out"
