# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by the benchmarks that train: trees for PyTorch and packed sets for rn-train, of the same files. The tools are found by PATH; what
# is whole is kept.

# imagenette_sets DATA OUT: OUT/{train,val} and OUT/{train,val}.lmdb.
imagenette_sets() {
    ilsvrc-extract "$1/imagenette" "$2" --splits train,val
    pack-lmdb "$1/imagenette" "$2/train.lmdb" --split train --shuffle 2012
    pack-lmdb "$1/imagenette" "$2/val.lmdb" --split val
}

# cifar10_sets DATA OUT: the same; the test images are its val.
cifar10_sets() {
    local split tree
    for split in train:train test:val; do
        tree=$2/${split#*:}
        if [ ! -e "$tree.whole" ]; then
            mkdir -p "$tree"
            tar -xzf "$1/cifar10-jpeg-${split%:*}.tar.gz" -C "$tree"
            touch "$tree.whole"
        fi
    done
    pack-lmdb "$2/train" "$2/train.lmdb" --shuffle 2012
    pack-lmdb "$2/val" "$2/val.lmdb"
}
