#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Linear layers by cuBLASLt, on the emulated device: against the tests' own library of its calls, which offers first what may not be
# taken; without one, with one that does not start, and with one that has nothing to offer, by the project's product. The real
# library, where it is and no device is, says that it cannot. No GPU has run it.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/emulated.sh"
. "$RNKIT_TESTS/training.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
unset RNKIT_CUBLASLT_LIBRARY
emulated_device
lt=$RNKIT_BUILD/tests/cuda/cublaslt_emulated.so
layers() { "$RNKIT_BUILD/tests/check-kernels" --device cuda --group 'dense,half' --dir 'linear,linear-exact,dense'; }
described() { check "... which the device's description says" grep -q "^# cuda: .*, $1\$" out.txt; }

exits "linear layers without cuBLASLt" 0 layers
described "no cuBLASLt"
RNKIT_CUBLASLT_LIBRARY=$lt exits "by cuBLASLt" 0 layers
described "cuBLASLt 13.99.0"
check "... without a warning" sh -c '! grep -q warning err.txt'
RNKIT_CUBLASLT_LIBRARY=$lt RNKIT_EMULATE_CUBLASLT=none exits "by one that has no algorithm as exact as asked for" 0 layers
says "... which is warned of" "cuBLASLt has no algorithm that adds up in f32, in a fixed order, for a product of"
RNKIT_CUBLASLT_LIBRARY=$lt RNKIT_EMULATE_CUBLASLT=fail exits "by one that does not start" 0 layers
says "... which is warned of" "cuBLASLt: a handle: the library was not initialized: linear layers take the product of this project"
described "no cuBLASLt"
RNKIT_CUBLASLT_LIBRARY=nowhere.so exits "by one that is not there" 0 layers
says "... which is warned of" "cannot load cuBLASLt: nowhere.so"

real=$(ldconfig -p | sed -n 's/.*=> \(.*libcublasLt\.so\.1[23]\)$/\1/p' | head -1)
[ -n "$real" ] || real=$(find /usr/local/cuda*/ -name 'libcublasLt.so.1[23]' 2>/dev/null | head -1)
if [ -n "$real" ] && [ ! -e /dev/nvidiactl ]; then
    RNKIT_CUBLASLT_LIBRARY=$real exits "NVIDIA's own, without a device" 0 layers
    says "... does not start" "cuBLASLt: a handle: "
    described "no cuBLASLt"
else
    skip "NVIDIA's own, without a device" "needs the library, and no device"
fi

small_sets 8 2 40x30
cat >small.prototxt <<'NET'
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 8 scale: 0.017 } data_param { source: "train.lmdb" batch_size: 4 backend: LMDB } }
layer { name: "fc1" type: "InnerProduct" bottom: "data" top: "fc1" inner_product_param { num_output: 24 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "fc1" top: "fc1" }
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" top: "loss" }
NET
train() { # train NAME PRECISION
    rn-train --net small.prototxt --threads 1 --workers 1 --lr 0.001 --no-flip --log-steps 1 --epochs 1 --train-db train.lmdb \
        --val-db val.lmdb --device cuda --precision "$2" --out "$1"
}
losses() { sed -n 's/.*"type":"window".*"loss":\([^,]*\),.*"grad_norm":\([^,]*\),.*/\1 \2/p' "$1/log.jsonl"; }
last() { find "$1/checkpoints" -name weights.safetensors | sort | tail -1; }
for precision in f32 bf16; do
    exits "$precision: a net of linear layers" 0 train "own.$precision" $precision
    export RNKIT_CUBLASLT_LIBRARY=$lt
    RNKIT_CUDA_GRAPH=0 exits "... by cuBLASLt, by node" 0 train "node.$precision" $precision
    RNKIT_EMULATE_COUNT=$precision.count exits "... as a graph" 0 train "lt.$precision" $precision
    check "... and without a warning" sh -c '! grep -q warning err.txt'
    RNKIT_EMULATE_CUBLASLT=uncaptured exits "... by one that cannot be captured" 0 train "not.$precision" $precision
    says "... which is warned of" "a step is given to the device op by op, as it cannot be captured: forward of fc1: cuBLASLt: a product: an internal operation failed"
    unset RNKIT_CUBLASLT_LIBRARY
    check "... to the same bits" cmp <(tensors "$(last "node.$precision")") <(tensors "$(last "not.$precision")")
    check "... one for each batch but the first" grep -q ' [5-9] graphs' $precision.count
    check "... to the same bits" cmp <(tensors "$(last "node.$precision")") <(tensors "$(last "lt.$precision")")
    check "... and losses within 1e-5 of those without, bf16's within 1 %" sh -c '
        paste "$1" "$2" | awk -v most="$3" "{ for (i = 1; i <= 2; i++) { d = \$i / \$(i + 2) - 1; if (!(d <= most && -d <= most)) bad = 1 } } END { exit bad || NR < 6 }"' \
        - <(losses "own.$precision") <(losses "lt.$precision") "$([ $precision = f32 ] && echo 1e-5 || echo 1e-2)"
done
finish
