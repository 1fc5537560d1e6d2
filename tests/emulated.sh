# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced behind tap.sh by tests that run on the emulated device of tests/cuda.

# It becomes what --device cuda loads; where it was not built, that is said and the test ends.
emulated_device() {
    export RNKIT_CUDA_MODULE=$RNKIT_BUILD/tests/cuda/rnkit_cuda_emulated.so
    [ -e "$RNKIT_CUDA_MODULE" ] || { skip "the emulated device" "not built with sanitizers, which do not follow its fibers"; finish; }
}

# small_sets PER_CLASS VAL [SIZE]: raw/, train.lmdb and val.lmdb of three classes.
small_sets() {
    mkilsvrc --synthetic 3 --train-per-class "$1" --val "$2" --size "${3:-80x60}" --seed 4 raw --quiet &&
        pack-lmdb raw --split train --shuffle 1 train.lmdb --quiet && pack-lmdb raw --split val val.lmdb --quiet || exit 1
}

# small.prototxt: a convolution and a linear layer over these.
small_net() {
    cat >small.prototxt <<'NET'
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 8 scale: 0.017 } data_param { source: "train.lmdb" batch_size: 4 backend: LMDB } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 8 kernel_size: 3 stride: 2 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "fc1" type: "InnerProduct" bottom: "conv1" top: "fc1" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc1" bottom: "label" top: "loss" }
NET
}
