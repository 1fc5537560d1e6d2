#!/bin/sh
# SPDX-License-Identifier: MIT
# extract_tar.sh RAW_DIR OUT: the two-stage recipe. The outer tar to disk, every inner tar out of it into a folder of its own and
# away; the validation archive into one flat folder.
#   JOBS=N        N inner tars at a time (the recipe has one)
#   VALPREP=FILE  then run FILE in the folder of validation images: one `mv` a line, into class folders
#   SYNC=1        wait until the disk has it all, as ilsvrc-extract does
set -eu
raw=$(realpath "$1")
mkdir -p "$2/train" "$2/val"
cd "$2/train"
tar -xf "$raw/ILSVRC2012_img_train.tar"
# shellcheck disable=SC2016
one='mkdir -p "${0%.tar}" && tar -xf "$0" -C "${0%.tar}" && rm -f "$0"'
if [ "${JOBS:-1}" -gt 1 ]; then
    find . -name '*.tar' -print0 | xargs -0 -n 1 -P "$JOBS" sh -c "$one"
else
    find . -name '*.tar' | while read -r class; do
        mkdir -p "${class%.tar}"
        tar -xf "$class" -C "${class%.tar}"
        rm -f "$class"
    done
fi
cd ../val
tar -xf "$raw/ILSVRC2012_img_val.tar"
if [ -n "${VALPREP:-}" ]; then sh "$VALPREP"; fi
if [ -n "${SYNC:-}" ]; then sync -f .; fi
