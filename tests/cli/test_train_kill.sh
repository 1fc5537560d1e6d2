#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train by Caffe's prototxts (--solver, --net), killed with SIGKILL and gone on with: the weights, optimizer, order of the data
# and log of the run that was never killed. Killed at seeded steps, and before every seventh call that changes a file of the run
# (RNKIT_LONG=1: before each). With a mean image, iter_size, dropout, batch norm, clipping, snapshots.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/training.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
RANDOM=${RNKIT_SEED:-19}

mkilsvrc --synthetic 3 --train-per-class 13 --val 7 --size 24x24 --seed 4 raw --quiet &&
    pack-lmdb raw --split train --shuffle 1 --resize exact:20x20 train.lmdb --mean mean.binaryproto --quiet &&
    pack-lmdb raw --split val --resize exact:20x20 val.lmdb --quiet || exit 1
cat >net.prototxt <<'NET'
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mirror: true crop_size: 16 scale: 0.017 mean_file: "mean.binaryproto" }
  data_param { source: "train.lmdb" batch_size: 4 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 16 scale: 0.017 mean_file: "mean.binaryproto" }
  data_param { source: "val.lmdb" batch_size: 4 backend: LMDB } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 stride: 2 weight_filler { type: "msra" } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "drop1" type: "Dropout" bottom: "pool1" top: "pool1" dropout_param { dropout_ratio: 0.3 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool1" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
NET
# 13 + 13 + 13 images are 9 batches: steps of 2 reach into the next pass. Snapshots and tests do not fall together.
solver() { # solver MAX_ITER TEST_INTERVAL SNAPSHOT
    cat <<SOLVER
net: "net.prototxt"
test_iter: 2
test_interval: $2
base_lr: 0.02
lr_policy: "multistep"
gamma: 0.5
stepvalue: 3
stepvalue: 17
max_iter: $1
iter_size: 2
momentum: 0.9
weight_decay: 0.001
clip_gradients: 3
display: 1
random_seed: 3
snapshot: $3
SOLVER
}
solver 40 11 3 >long.prototxt
solver 5 4 2 >short.prototxt
train() { rn-train --solver "$1" --threads 1 --workers 2 --quiet "${@:2}"; }
files_of() { (cd "$1" && find . | sort); }

# ---- at seeded steps -------------------------------------------------------------------------------------------
exits "a run in one piece" 0 train long.prototxt --out whole
check "40 windows of 1 step" [ "$(grep -c '"type":"window"' whole/log.jsonl)" = 40 ]
kills=0 at=0
while [ $at -lt 34 ]; do
    at=$((at + 1 + RANDOM % 9))
    kill_at killed $at rn-train --solver long.prototxt --threads 1 --workers 2 --quiet --out killed && kills=$((kills + 1))
done
check "was killed at least 3 times ($kills)" [ $kills -ge 3 ]
exits "goes on" 0 train long.prototxt --out killed
check "to the weights, optimizer and log of the run in one piece" same_run whole killed
check "from the middle" grep -q '"from":"killed/checkpoints/e' killed/sessions.jsonl
sed 's/random_seed: 3/random_seed: 4/' long.prototxt >other.prototxt
exits "another seed" 0 train other.prototxt --out other
check "is another run: this test can fail" sh -c '! cmp -s whole/weights.safetensors other/weights.safetensors'

# ---- before each change of a file --------------------------------------------------------------------------------
so=$RNKIT_BUILD/tests/fault/fault.so
if [ -e "$so" ]; then
    exits "a short run" 0 train short.prototxt --out brief
    files_of brief >brief.list
    step=7 kills=0 differ="" more="" rc=137
    [ -z "${RNKIT_LONG:-}" ] || step=1
    for ((k = 1 + RANDOM % step; k < 1000; k += step)); do
        rm -rf swept
        RN_FAULT_FAIL="change $k KILL" RN_FAULT_PATH=swept/ LD_PRELOAD="$so" train short.prototxt --out swept >/dev/null 2>&1
        rc=$?
        [ $rc = 137 ] || break
        kills=$((kills + 1))
        files_of swept >had.txt
        train short.prototxt --out swept 2>err.txt && same_run brief swept >&2 || { differ="$differ $k" && cat had.txt err.txt >&2; }
        files_of swept | diff brief.list - >&2 || more="$more $k"
    done 2>/dev/null
    check "then it ends without a kill" [ $rc = 0 ]
    check "killed before at least $((90 / step)) changes ($kills)" [ $kills -ge $((90 / step)) ]
    check "each goes on to the bits and log of the run in one piece (not:$differ)" [ -z "$differ" ]
    check "and leaves nothing else behind (but:$more)" [ -z "$more" ]
else
    skip "killed before each change" "this build has no fault.so (a sanitizer's runtime would have to be loaded first)"
fi
finish
