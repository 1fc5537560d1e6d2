#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train --device cuda under mpirun, on the emulated device of tests/cuda, which touches no GPU (two of them, one for each
# rank), or, with RNKIT_DEVICE=cuda (make check-cuda), on the machine's: ranks train as they do on the CPU and hold the same
# weights, a run goes on to the same bits, and what is missing is told.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/emulated.sh"
. "$RNKIT_TESTS/training.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

if ! rn-train --version | grep -q '^MPI: yes'; then
    skip "ranks" "built without MPI"
    finish
fi
if ! command -v mpirun >/dev/null; then
    skip "ranks" "no mpirun here (openmpi-bin)"
    finish
fi
if [ "${RNKIT_DEVICE:-}" != cuda ]; then
    export RNKIT_EMULATE_DEVICES=2
    emulated_device
fi

small_sets 8 6
mpi() { local n=$1; shift; timeout -k 10 120 mpirun --allow-run-as-root --oversubscribe -n "$n" "$@"; }
how=(--arch resnet18 --stem cifar --width 0.0625 --image-size 8 --val-resize 8 --threads 1 --workers 1 --batch 8 --lr 0.001
    --no-flip --crop pad --pad 0 --log-steps 1 --epochs 1 --train-db train.lmdb --val-db val.lmdb)
ranks() { mpi 2 rn-train "${how[@]}" "$@"; }
# What does not take a ResNet to be seen: an emulated device is slow.
cat >small.prototxt <<'NET'
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 8 scale: 0.017 } data_param { source: "train.lmdb" batch_size: 8 backend: LMDB } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 8 kernel_size: 3 stride: 2 bias_term: false weight_filler { type: "msra" } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "fc1" type: "InnerProduct" bottom: "conv1" top: "fc1" inner_product_param { num_output: 32 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "fc1" top: "fc1" }
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" top: "loss" }
NET
smalls() { local n=$1; shift; mpi "$n" rn-train --net small.prototxt --threads 1 --workers 1 --lr 0.001 --no-flip --log-steps 1 --epochs 1 --train-db train.lmdb --val-db val.lmdb "$@"; }
small() { smalls 2 "$@"; }
# agree A B WORD T: WORD of every step in both logs, within T of each other, relatively
agree() {
    paste <(sed -n "s/.*\"type\":\"window\".*\"$3\":\([0-9.e+-]*\).*/\1/p" "$1/log.jsonl") <(sed -n "s/.*\"type\":\"window\".*\"$3\":\([0-9.e+-]*\).*/\1/p" "$2/log.jsonl") |
        awk -v t="$4" 'NF != 2 || !($1 - $2 <= t * $1 && $2 - $1 <= t * $1) {bad = 1; print} END {exit bad || NR != 3}'
}
differ() { ! agree "$@"; }
last() { find "$1/checkpoints" -name "$2" | sort | tail -1; }
same() {
    local f
    for f in weights.safetensors state.safetensors; do [ -s "$(last "$1" $f)" ] && cmp <(tensors "$(last "$1" $f)") <(tensors "$(last "$2" $f)") || return 1; done
}

# Each checkpoint, here of every step, is refused unless all ranks hold the same bits.
cuda=(--device cuda --checkpoint-steps 1 --keep 9)
exits "two ranks on the CPU" 0 ranks --quiet --algo ref --out cpu
exits "two ranks on devices, by way of the host" 0 ranks "${cuda[@]}" --comm host --out host
says "says so" "in the order of ranks, through page-locked memory"
check "the same losses" agree cpu host loss 3e-6
check "the same norms of gradients" agree cpu host grad_norm 1e-5
check "the log has it, too" grep -q '"ranks":2,"comm":"[^"]*through page-locked memory","device":"cuda"' host/log.jsonl

check "and the report" grep -q 'which add up by [^<]*through page-locked memory' host/report.html

# Sums are of the same terms in the same order, however they are cut.
exits "a small net" 0 small "${cuda[@]}" --quiet --comm host --out whole
exits "in pieces of 4 KiB, stopped after step 1" 1 small "${cuda[@]}" --quiet --comm host --bucket 4 --out parts --stop-after-steps 1
early() { RNKIT_EMULATE_STREAMS=early small "$@"; }
exits "goes on" 0 early "${cuda[@]}" --quiet --comm host --bucket 4 --out parts
check "to the same bits" same whole parts

more=(--quiet --local-bn --accumulate 2 --batch 4 --clip-norm 0.5)
exits "statistics of each rank's rows, two batches a step: on the CPU" 0 small "${more[@]}" --algo ref --out cpumore
exits "and on devices" 0 small "${cuda[@]}" "${more[@]}" --comm host --out more
check "the same losses" agree cpumore more loss 3e-6
check "the same norms of gradients" agree cpumore more grad_norm 1e-5
check "which are others than those of all rows: this test can fail" differ whole more grad_norm 1e-5
exits "16 bits, with a scale and an average" 0 small "${cuda[@]}" --quiet --comm host --precision f16 --loss-scale 1024 --ema 0.5 --out half

# ---- from device to device ----------------------------------------------------------------------------------------
if [ -n "${RNKIT_EMULATE_DEVICES:-}" ]; then
    export RNKIT_NCCL_LIBRARY=$RNKIT_BUILD/tests/cuda/nccl_emulated.so
    devices=2
else
    devices=$(nvidia-smi -L 2>/dev/null | wc -l)
fi
if [ "$devices" -lt 2 ]; then
    skip "NCCL" "one device only: it wants one for each rank"
else
    exits "two ranks on devices" 0 ranks "${cuda[@]}" --out nccl
    says "say that they add up by NCCL" "2 ranks add up by NCCL 2."
    says "by rings and trees" "NCCL_NVLS_ENABLE=0, NCCL_GRAPH_REGISTER=0"
    check "the same losses as on the CPU" agree cpu nccl loss 3e-6
    check "the same norms of gradients" agree cpu nccl grad_norm 1e-5
    counted() { RNKIT_EMULATE_COUNT=counts small "$@"; }
    exits "in pieces of 4 KiB" 0 counted "${cuda[@]}" --quiet --comm nccl --bucket 4 --out ncclwhole
    if [ -n "${RNKIT_EMULATE_DEVICES:-}" ]; then # three steps, the first one by node
        check "two steps of each of two ranks are a graph each" [ "$(awk '{ n += $3 } END { print n + 0 }' counts)" = 4 ]
    fi
    by_node() { RNKIT_CUDA_GRAPH=0 small "$@"; }
    exits "launched op by op" 0 by_node "${cuda[@]}" --quiet --comm nccl --bucket 4 --out ncclnode
    check "to the same bits" same ncclwhole ncclnode
    exits "stopped after step 1" 1 small "${cuda[@]}" --quiet --comm nccl --bucket 4 --out ncclparts --stop-after-steps 1
    exits "goes on" 0 early "${cuda[@]}" --quiet --comm nccl --bucket 4 --out ncclparts
    check "to the same bits" same ncclwhole ncclparts
    exits "statistics of each rank's rows, two batches a step" 0 small "${cuda[@]}" "${more[@]}" --comm nccl --out ncclmore
    exits "launched op by op" 0 by_node "${cuda[@]}" "${more[@]}" --comm nccl --out ncclmorenode
    check "to the same bits" same ncclmore ncclmorenode
    check "the same losses" agree cpumore ncclmore loss 3e-6
    check "the same norms of gradients" agree cpumore ncclmore grad_norm 1e-5
    # Without checkpoints in between, steps and batches are looked at while the next is under way: of all ranks, or of none.
    on=(--device cuda --comm nccl --batch 4 --epochs 2 --keep 99)
    over=(--accumulate 2 --precision f16 --loss-scale dynamic:1e7 --ema 0.5)
    for more in "" "${over[*]} --local-bn"; do
        words=${more// /}
        # shellcheck disable=SC2086 # words
        exits "one step after the other, $more" 0 small "${on[@]}" --quiet --checkpoint-steps 1 --out "one$words" $more
        rm -f ahead
        counted_ahead() { RNKIT_EMULATE_COUNT=ahead small "$@"; }
        # shellcheck disable=SC2086
        exits "while the next is under way" 0 counted_ahead "${on[@]}" --quiet --out "two$words" $more
        check "to the same bits" same_run "one$words" "two$words"
        if [ -n "${RNKIT_EMULATE_DEVICES:-}" ]; then # the loader may be late, now and then
            cat ahead >&2
            check "by both ranks" [ "$(awk '$5 >= 5 { n++ } END { print n + 0 }' ahead)" = 2 ]
        fi
    done
    skipped() { sed -n 's/.*"skipped_steps":\([0-9]*\).*/\1/p' "$1/log.jsonl" | tail -n 1; }
    check "some steps are left out" [ "$(skipped "two$words")" -ge 2 -a "$(skipped "two$words")" -le 5 ]
    exits "stopped among them" 1 small "${on[@]}" --quiet --out overparts "${over[@]}" --local-bn --stop-after-steps 2
    exits "goes on, with streams as early as they may be" 0 early "${on[@]}" --quiet --out overparts "${over[@]}" --local-bn
    check "to the same bits" same_run "two$words" overparts
    failure() { sed -n 's/ Last good checkpoint: .*//; s/.*\(stopped at .*\)/\1/p' err.txt | sort -u; }
    # Weights whose decay multiplies them by 1e21 a step.
    sed 's/\(name: "conv1".*\) convolution_param/\1 param { lr_mult: 1e6 decay_mult: 1e6 } convolution_param/' small.prototxt >large.prototxt
    for more in "--lr 1e9 --weight-decay 1 --net large.prototxt" "--precision f16 --loss-scale 1e19 --accumulate 2"; do
        # shellcheck disable=SC2086
        exits "not finite, $more: one after the other" 1 small "${on[@]}" --out odd1 --resume never --checkpoint-steps 1 $more
        failure >one.txt
        # shellcheck disable=SC2086
        exits "while the next is under way" 1 small "${on[@]}" --out odd2 --resume never $more
        failure >two.txt
        cat two.txt >&2
        check "says the same" cmp one.txt two.txt
        check "which is that something is not finite" grep -qE "is not finite|after the step: .* is (-?inf|nan)" two.txt
    done
    # An image that cannot be read, of one rank.
    cp -r train.lmdb torn.lmdb
    at=$(grep -abo $'\xff\xda' torn.lmdb/data.mdb | sed -n '2s/:.*//p')
    head -c 1000 /dev/zero | dd of=torn.lmdb/data.mdb bs=1 seek=$((at - 300)) conv=notrunc status=none
    exits "an image that cannot be read: one step after the other" 1 small "${on[@]}" --out torn1 --checkpoint-steps 1 --train-db torn.lmdb --seed 3
    sed -n 's/.*\(stopped at step [0-9]*\).*/\1/p' err.txt >one.txt
    exits "while the next is under way" 1 small "${on[@]}" --out torn2 --train-db torn.lmdb --seed 3
    sed -n 's/.*\(stopped at step [0-9]*\).*/\1/p' err.txt >two.txt
    check "stops at the same step" cmp one.txt two.txt
    check "which is one" grep -q "stopped at step [2-9]" two.txt
    missing() { RNKIT_NCCL_LIBRARY=nowhere.so small "$@"; }
    exits "no NCCL" 77 missing "${cuda[@]}" --comm nccl --out none
    says "is told" "rank 0: cannot load NCCL: nowhere.so"
    exits "which auto does without" 0 missing "${cuda[@]}" --comm auto --max-steps 1 --out none
    says "and tells as well" "page-locked memory (rank 0: cannot load NCCL: nowhere.so"
fi
if [ -n "${RNKIT_EMULATE_DEVICES:-}" ]; then
    failing() { RNKIT_EMULATE_NCCL=fail small "$@"; }
    exits "ranks that cannot join" 77 failing "${cuda[@]}" --comm nccl --out none
    says "say why" "rank 0: NCCL: ranks cannot join: unhandled system error: told to fail"
    losing() { RNKIT_EMULATE_NCCL=lose small "$@"; } # the sums wait for ever
    exits "a rank that does not answer" 1 losing "${cuda[@]}" --comm nccl --out lost
    says "ends the job, in words" "NCCL: a sum over ranks: remote error: told to lose a rank"
    other() { RNKIT_NCCL_LIBRARY=$RNKIT_CUDA_MODULE small "$@"; }
    exits "another library" 77 other "${cuda[@]}" --comm nccl --out none
    says "is not taken for it" "is no NCCL that is known here"
    real() { RNKIT_NCCL_LIBRARY="" small "$@"; }
    if [ -e /dev/nvidiactl ]; then # it would be given memory that is none of its devices'
        skip "NCCL itself on devices that are none" "there is a GPU here"
    else
        exits "NCCL itself, if it is here, on devices that are none" 77 real "${cuda[@]}" --comm nccl --out none
        says "is told" "NCCL: "
    fi
fi

# ---- what goes wrong ----------------------------------------------------------------------------------------------
if [ -n "${RNKIT_EMULATE_DEVICES:-}" ]; then
    exits "more ranks than devices" 77 smalls 3 --batch 9 --device cuda --out three
    says "are told" "ranks 0 and 2 would share one (2 can be seen from here)"
    check "once" [ "$(grep -c 'too few' err.txt)" = 1 ]
    exits "unless they may share" 0 smalls 3 --batch 9 --max-steps 1 --device cuda --comm host --out three
    says "with a warning" "ranks 0 and 2 on $(hostname) share a device"
fi
exits "nccl without devices" 2 ranks --comm nccl --out nowhere
says "is no use" "--comm nccl goes with --device cuda"
finish
