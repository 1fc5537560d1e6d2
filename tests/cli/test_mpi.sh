#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train under mpirun: n ranks train and evaluate as one does; a run goes on with another number of them; one that dies
# ends the job with its name.
. "$RNKIT_TESTS/tap.sh"
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

mkilsvrc --synthetic 4 --train-per-class 14 --val 13 --size 32x24 --seed 1 raw --quiet >&2 || exit 1
pack-lmdb raw --split train --shuffle 1 train --mean mean.binaryproto --quiet >&2 && pack-lmdb raw --split val val --quiet >&2 || exit 1

# mpirun itself must not be able to hang the tests.
job() { timeout -k 10 120 mpirun --allow-run-as-root --oversubscribe "$@"; }
mpi() { local n=$1; shift; job -n "$n" "$@"; }
how=(--arch resnet18 --stem cifar --width 0.125 --image-size 16 --val-resize 16 --threads 1 --workers 1 --batch 12 --lr 0.01
    --log-steps 2 --train-db train --val-db val)
ranks() { local n=$1; shift; mpi "$n" rn-train "${how[@]}" "$@"; }
# The f32 values of a safetensors file, one a line.
values() { od -An -v -tf4 -w4 -j $((8 + $(od -An -tu8 -N8 "$1"))) "$1"; }
# apart A B: |A - B| / |A| over all values of two files
apart() {
    paste <(values "$1") <(values "$2") |
        awk '{d += ($1 - $2)^2; a += $1^2; if ($1 != $1 || $2 != $2 || NF != 2) bad = 1} END {print bad || !(a > 0) ? "nan" : sqrt(d / a)}'
}
near() { local d; d=$(apart "$1" "$2") && echo "$d apart (at most $3)" && awk -v d="$d" -v m="$3" 'BEGIN {exit !(d != "nan" && d + 0 <= m)}'; }
far() { local d; d=$(apart "$1" "$2") && echo "$d apart (at least $3)" && awk -v d="$d" -v m="$3" 'BEGIN {exit !(d != "nan" && d + 0 >= m)}'; }
state() { echo "$1"/checkpoints/*/state.safetensors; }

# ---- the gradient ------------------------------------------------------------------------------------------------
# Without weight decay the momentum after one step is the gradient. Sums over ranks are of the same terms in another order:
# f32 roundings of 6e-8 each, a few hundred of them from the loss down through 18 layers, come to some 1e-6. The reference
# convolves an image to the same bits in any batch; where an algorithm rounds by the batch's size, a value about 0 may fall
# on the ReLU's other side, and the gradient jumps.
one=(--max-steps 1 --weight-decay 0 --keep 1 --quiet --algo ref)
exits "a step of one process" 0 rn-train "${how[@]}" "${one[@]}" --out g1
for n in 3 4; do
    exits "a step of $n ranks" 0 ranks $n "${one[@]}" --out g$n
    check "the same gradient" near "$(state g1)" "$(state g$n)" 1e-5
    check "the same weights and running statistics" near g1/weights.safetensors g$n/weights.safetensors 1e-6
done
exits "statistics of each rank's rows" 0 ranks 3 "${one[@]}" --local-bn --out local
check "are another gradient: this test can fail" far "$(state g1)" "$(state local)" 0.05

# Partners in mixup lie in other ranks' rows; two batches a step; clipped by the norm of the whole; an average.
more=(--max-steps 2 --weight-decay 0 --mixup 0.4 --accumulate 2 --clip-norm 0.5 --ema 0.5 --cutout 6 --label-smoothing 0.1 --keep 1 --quiet --algo ref)
exits "mixup, accumulation, clipping, an average: one process" 0 rn-train "${how[@]}" "${more[@]}" --out m1
exits "and three ranks" 0 ranks 3 "${more[@]}" --out m3
check "the same gradients" near "$(state m1)" "$(state m3)" 2e-5
check "the same average" near m1/weights.safetensors m3/weights.safetensors 2e-6

# Which values are dropped depends on the image's place in the whole batch, what of the mean image is taken off on each
# image's window; each rank has a teacher of its own.
cat >drop.prototxt <<'NET'
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 16 scale: 0.017 mean_file: "mean.binaryproto" }
  data_param { source: "train" batch_size: 12 backend: LMDB } }
layer { name: "fc1" type: "InnerProduct" bottom: "data" top: "fc1"
  inner_product_param { num_output: 64 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "fc1" top: "fc1" }
layer { name: "drop1" type: "Dropout" bottom: "fc1" top: "fc1" dropout_param { dropout_ratio: 0.5 } }
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" top: "loss" }
NET
drop() { local out=$1; shift; "$@" rn-train --net drop.prototxt --train-db train --val-db val --threads 1 --lr 0.01 --max-steps 2 --weight-decay 0 --teacher g1/weights.safetensors --kd-temperature 4 --kd-weight 0.7 --ema 0.5 --keep 1 --quiet --out "$out"; }
exits "dropout, a mean image, a teacher, an average: one process" 0 drop d1 env
exits "and three ranks" 0 drop d3 mpi 3
check "the same gradient" near "$(state d1)" "$(state d3)" 1e-5
check "the same weights" near "$(newest d1)/weights.safetensors" "$(newest d3)/weights.safetensors" 1e-6
check "the same average" near d1/weights.safetensors d3/weights.safetensors 1e-6

# ---- 16 bits -----------------------------------------------------------------------------------------------------
# Where sums over ranks differ in their last bits, a rounding to 16 bits may fall the other way: some 1e-3 of the gradient, not
# f32's 1e-6, and soon more as steps go on. The scale is exact: a rank that overflows makes all of them skip, and each
# checkpoint, here at every step, is refused unless they hold the same bits.
half=(--weight-decay 0 --keep 1 --quiet --checkpoint-steps 1)
for p in "bf16" "f16 --loss-scale 1024"; do
    name=${p%% *}
    # shellcheck disable=SC2086 # options
    exits "$name: one process" 0 rn-train "${how[@]}" "${half[@]}" --max-steps 1 --precision $p --out "$name"1
    # shellcheck disable=SC2086
    exits "$name: and three ranks" 0 ranks 3 "${half[@]}" --max-steps 1 --precision $p --out "$name"3
    check "the same gradients" near "$(state "$name"1)" "$(state "$name"3)" 0.05
    check "the same weights" near "$name"1/weights.safetensors "$name"3/weights.safetensors 1e-3
done
skips=("${half[@]}" --max-steps 10 --precision f16 --loss-scale dynamic:16777216)
exits "a scale that begins too high: one process" 0 rn-train "${how[@]}" "${skips[@]}" --out skips1
exits "and three ranks" 0 ranks 3 "${skips[@]}" --out skips3
scales() { grep -o '"loss_scale":[^,]*,"skipped_steps":[0-9]*' "$1/log.jsonl"; }
check "the same steps are left out" diff <(scales skips1) <(scales skips3)
skipped=$(scales skips3 | tail -n 1 | sed 's/.*://')
check "some, and not all of them" test "$skipped" -gt 0 -a "$skipped" -lt 10

# ---- evaluation ------------------------------------------------------------------------------------------------
evaluate() { rn-train --eval-only --weights g1/weights.safetensors --val-db val --threads 1 --json "$@"; }
seconds() { sed 's/,"seconds":.*//' "$1"; }
exits "an evaluation by one process" 0 evaluate --dump-logits one.npy
seconds out.txt >one.json
for n in 3 16; do
    exits "$n ranks, 13 images" 0 mpi $n rn-train --eval-only --weights g1/weights.safetensors --val-db val --threads 1 --json --dump-logits $n.npy --eval-batch 7
    check "the same result to the last digit" diff one.json <(seconds out.txt)
    check "the same logits in the same places" cmp one.npy $n.npy
done

# ---- the same bits, resume --------------------------------------------------------------------------------------
run=(--epochs 3 --keep 1 --quiet)
exits "a run of two ranks" 0 ranks 2 "${run[@]}" --out whole
check "one log, of the whole batch" [ "$(grep -c '"type":"run"' whole/log.jsonl) $(grep -c '"type":"window"' whole/log.jsonl)" = "1 6" ]
check "with a report" grep -q '</html>' whole/report.html
for n in 1 5; do exits "stopped after step $n" 1 ranks 2 "${run[@]}" --out parts --stop-after-steps $n; done
exits "goes on" 0 ranks 2 "${run[@]}" --out parts
check "to the bits and log of the run in one piece" same_run whole parts

# Which algorithm suits a case may depend on the ranks' share of the batch, and Winograd rounds otherwise: one for all.
run+=(--algo cpu:im2col)
exits "two ranks begin" 1 ranks 2 "${run[@]}" --lr 0.001 --out mixed --stop-after-steps 2
exits "three go on" 1 ranks 3 --epochs 3 --keep 1 --algo cpu:im2col --lr 0.001 --out mixed --stop-after-steps 5
says "which is said" "by another number of ranks"
exits "one process ends it" 0 rn-train "${how[@]}" "${run[@]}" --lr 0.001 --out mixed
exits "one process from the start" 0 rn-train "${how[@]}" "${run[@]}" --lr 0.001 --out single
check "the same run but for rounding" near mixed/weights.safetensors single/weights.safetensors 1e-4
check "its log reads as one" [ "$(log_of mixed | sed 's/[-0-9.e]*//g')" = "$(log_of single | sed 's/[-0-9.e]*//g')" ]

# ---- signals, and ranks that die --------------------------------------------------------------------------------
# begin NAME OPTION...: a long run in the background, waited for until it trains
begin() {
    local out=$1; shift
    timeout -k 10 120 mpirun --allow-run-as-root --oversubscribe -n 2 rn-train "${how[@]}" --epochs 4000 --lr 1e-4 \
        --eval-every 4000 --out "$out" "$@" >"$out.out" 2>"$out.err" &
    pid=$!
    for _ in $(seq 600); do
        grep -q '"type":"window"' "$out/log.jsonl" 2>/dev/null && return
        kill -0 $pid 2>/dev/null || return
        sleep 0.05
    done
}
# rank_pid JOB R: the process of rank R below the timeout that runs JOB
rank_pid() {
    local mpirun p
    mpirun=$(pgrep -P "$1" | head -1)
    for p in $(pgrep -P "$mpirun"); do
        tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$2" && echo "$p" && return
    done
}
begin asked
kill -USR1 "$(pgrep -P $pid | head -1)"
wait $pid
check "SIGUSR1 to mpirun: ends" [ $? = 1 ]
check "in order" grep -q 'stopped after step .*; the same command goes on from asked/checkpoints/' asked.err
check "told once" [ "$(grep -c 'stopped after step' asked.err)" = 1 ]
begin term
kill -TERM "$(rank_pid $pid 1)"
wait $pid
check "SIGTERM to one rank: all end" [ $? = 1 ]
check "in order, too" grep -q 'stopped after step .*; the same command goes on from term/checkpoints/' term.err

begin killed --checkpoint-steps 1
kill -9 "$(rank_pid $pid 1)"
wait $pid
check "kill -9 of one rank: the job fails" [ $? != 0 ]
check "and names it" grep -q 'rank 1 .*signal 9' killed.err
check "no rank is left" [ -z "$(pgrep -f -- "--out killed --checkpoint-steps" || true)" ]
step=$(basename "$(find killed/checkpoints -maxdepth 1 -name 'e*' | sort | tail -1)" | sed 's/.*-s0*//')
exits "goes on from its last checkpoint" 1 ranks 2 --epochs 4000 --lr 1e-4 --eval-every 4000 --quiet --out killed --stop-after-steps $((step + 3))
exits "a run that was never killed" 1 ranks 2 --epochs 4000 --lr 1e-4 --eval-every 4000 --quiet --out never --stop-after-steps $((step + 3))
check "the same bits" cmp "$(find killed/checkpoints -name weights.safetensors | sort | tail -1)" "$(find never/checkpoints -name weights.safetensors | sort | tail -1)"

begin orphans --checkpoint-steps 1
left=$(rank_pid $pid 0)\ $(rank_pid $pid 1)
kill -9 "$(pgrep -P $pid | head -1)"
wait $pid
for _ in $(seq 600); do
    # shellcheck disable=SC2086
    kill -0 $left 2>/dev/null || break
    sleep 0.05
done
# shellcheck disable=SC2086
check "kill -9 of mpirun: no rank is left" bash -c '! kill -0 "$@" 2>/dev/null' - $left
step=$(basename "$(newest orphans)" | sed 's/.*-s0*//')
exits "three ranks go on from the last checkpoint" 1 ranks 3 --epochs 4000 --lr 1e-4 --eval-every 4000 --out orphans --stop-after-steps $((step + 1))
says "which is said" "by another number of ranks"
says "from there" "stopped after step $((step + 1)) of"
exits "a rate that is far too high, several batches a step" 1 ranks 2 --lr 1e9 --schedule constant --epochs 9 --accumulate 3 --checkpoint-steps 1 --quiet --out nan
check "stops it, told once" [ "$(grep -c 'stopped at step .*is not finite: .*Last good checkpoint: nan/checkpoints/e' err.txt)" = 1 ]

# ---- what goes wrong ----------------------------------------------------------------------------------------------
host=$(hostname)
exits "one rank without its data" 1 job -n 1 rn-train "${how[@]}" --out lost : -n 1 rn-train "${how[@]}" --val-db nowhere --out lost
says "is named, with its host" "rank 1 of 2 on $host: "
says "and its reason" "nowhere"
exits "ranks with other recipes" 2 job -n 1 rn-train "${how[@]}" --out other : -n 1 rn-train "${how[@]}" --seed 2 --out other
says "are refused" "rank 1 has another recipe than rank 0"
# net OUTPUTS: a net in Caffe's words; each rank reads its own folder's.
net() {
    cat <<NET
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 16 } data_param { source: "x" batch_size: 12 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: $1 } }
layer { name: "fc" type: "InnerProduct" bottom: "ip" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" }
NET
}
mkdir -p nets/0 nets/1 && net 8 >nets/0/net.prototxt && net 9 >nets/1/net.prototxt
# shellcheck disable=SC2016
exits "ranks with other nets" 2 mpi 2 sh -c 'cd "nets/$OMPI_COMM_WORLD_RANK" && exec rn-train --net net.prototxt --threads 1 --workers 1 --max-steps 2 --train-db ../../train --val-db ../../val --out ../../other'
says "are refused" "rank 1 has another net than rank 0"
exits "a batch that does not divide" 2 ranks 5 --out five
says "says what would" "--batch 12 does not divide among 5 ranks: give a multiple of 5, such as 15"
check "once" [ "$(grep -c 'does not divide' err.txt)" = 1 ]
exits "an unknown option" 2 ranks 3 --bogus
check "is told once" [ "$(grep -c 'unknown option' err.txt)" = 1 ]
exits "a report by several" 2 mpi 2 rn-train --report whole
says "is for one" "--report is for one process"
mkdir -p bare/bin && cp "$RNKIT_BIN/rn-train" bare/bin/
exits "a program without its MPI part" 77 mpi 2 bare/bin/rn-train "${how[@]}" --out bare/run
says "says what is missing" "this build has no MPI"
exits "alone it needs none" 0 bare/bin/rn-train "${how[@]}" "${one[@]}" --out bare/run
finish
