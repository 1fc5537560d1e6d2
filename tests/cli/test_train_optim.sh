#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train's optimizer: no option is a no-op, a run with all of its state in play that is killed ends with the bits of one
# that was not, what is not finite or diverges stops it, a full disk does not, wrong combinations are told.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/training.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
# shellcheck disable=SC2012  # names are our own

mkilsvrc --synthetic 4 --train-per-class 11 --val 13 --size 32x24 --seed 1 raw --quiet &&
    pack-lmdb raw --split train --shuffle 1 a.train --quiet && pack-lmdb raw --split val a.val --quiet || exit 1
base=(rn-train --arch resnet18 --stem cifar --width 0.125 --image-size 16 --val-resize 16 --threads 1 --workers 1 --batch 4 --lr 0.02
    --log-steps 1 --train-db a.train --val-db a.val)
train() { "${base[@]}" "$@"; }
rates() { sed -n 's/.*"window".*"lr":\([^,}]*\).*/\1/p' "$1/log.jsonl" | tr '\n' ' '; }

# ---- nothing is a no-op ------------------------------------------------------------------------------------------------
exits "plain" 0 train --out plain --epochs 1 --schedule cosine
check "11 steps" [ "$(rates plain | wc -w)" = 11 ]
differs() { # differs NAME OPTION...
    local name=$1
    shift
    exits "$name" 0 train --out "$name" --epochs 1 --schedule cosine "$@"
    others "... changes the weights" plain/weights.safetensors "$name/weights.safetensors"
    exits "$name again" 0 train --out "$name.2" --epochs 1 --schedule cosine "$@"
    check "... to the same bits" cmp "$name/weights.safetensors" "$name.2/weights.safetensors"
}
differs accumulate --accumulate 3
check "11 batches are 4 steps, the last one of 2" [ "$(rates accumulate | wc -w)" = 4 ]
differs clip --clip-norm 0.5
differs caffe --momentum-kind caffe
differs caffe-nesterov --momentum-kind caffe --nesterov
others "Nesterov changes Caffe's momentum" caffe/weights.safetensors caffe-nesterov/weights.safetensors
differs no-norm-decay --no-norm-decay --weight-decay 0.1
exits "decay of all" 0 train --out norm-decay --epochs 1 --schedule cosine --weight-decay 0.1
others "... is another" norm-decay/weights.safetensors no-norm-decay/weights.safetensors
differs ema --ema 0.8
differs ema-every --ema 0.8 --ema-every 4
differs ema-warmup --ema 0.8 --ema-warmup
check "the decay, its warm-up and how often all matter" [ "$(sha256sum ema/weights.safetensors ema-every/weights.safetensors ema-warmup/weights.safetensors | cut -d ' ' -f 1 | sort -u | wc -l)" = 3 ]
exits "one average, of step 4" 0 train --out first --max-steps 4 --ema 0.1 --ema-every 4
exits "one average that warms up" 0 train --out first-warm --max-steps 4 --ema 0.9 --ema-every 4 --ema-warmup
check "... decays by 1 / 10, whatever --ema says" cmp <(tensors first/weights.safetensors) <(tensors first-warm/weights.safetensors)
check "the average is what is published" cmp ema/weights.safetensors "$(newest ema)/ema.safetensors"
check "the weights themselves are those of the plain run" cmp <(tensors plain/weights.safetensors) <(tensors "$(newest ema)/weights.safetensors")
exits "an evaluation of the published weights" 0 rn-train --eval-only --weights ema/weights.safetensors --val-db a.val --threads 1 --json
check "... is the one training printed" grep -q "\"loss\":$(sed -n 's/.*"loss":\([0-9.]*\)[,}].*/\1/p' ema/log.jsonl | tail -n 1 | cut -c 1-8)" out.txt
exits "an average that hardly moves" 0 train --out slow --epochs 1 --ema 0.9999
says "is warned about" "of the average at the end will be the weights of the start"
exits "a clip that never bites" 0 train --out unclipped --epochs 1 --schedule cosine --clip-norm 1e6
check "... changes nothing" cmp <(tensors plain/weights.safetensors) <(tensors unclipped/weights.safetensors)
# Caffe clips the sum of a step's batches, PyTorch's recipes their mean: a step without momentum and decay is as long.
one=(--max-steps 1 --schedule constant --lr 10 --momentum 0 --weight-decay 0 --accumulate 4)
loss_of() { sed -n 's/.*"epoch",.*"loss":\([0-9.]*\).*/\1/p' "$1/log.jsonl" | tail -n 1; }
exits "Caffe's clip" 0 train --out clip-sum "${one[@]}" --momentum-kind caffe --clip-norm 0.4
exits "PyTorch's at a quarter" 0 train --out clip-mean "${one[@]}" --clip-norm 0.1
exits "PyTorch's at the same" 0 train --out clip-same "${one[@]}" --clip-norm 0.4
check "... a quarter is as long, the same is not" awk -v a="$(loss_of clip-sum)" -v b="$(loss_of clip-mean)" -v c="$(loss_of clip-same)" 'BEGIN { d = a - b; e = a - c; exit !(a > 0 && d * d < 1e-8 && e * e > 1e-4) }'

# ---- steps and rates ---------------------------------------------------------------------------------------------------
exits "so many steps" 0 train --out steps --max-steps 15 --schedule linear --lr 0.3
check "15, down a line, over an epoch's end" [ "$(rates steps)" = "0.3 0.28 0.26 0.24 0.22 0.2 0.18 0.16 0.14 0.12 0.1 0.08 0.06 0.04 0.02 " ]
check "with an evaluation after the last" [ "$(grep -c '"top5"' steps/log.jsonl)" = 2 ]
exits "Caffe's steps" 0 train --out inv --max-steps 5 --schedule inv --gamma 1 --power 1 --schedule-unit steps --lr 0.6
check "count iterations" [ "$(rates inv)" = "0.6 0.3 0.2 0.15 0.12 " ]
exits "epochs" 0 train --out epochs --epochs 3 --accumulate 11 --schedule exp --gamma 0.5 --lr 0.4
check "count epochs" [ "$(rates epochs)" = "0.4 0.2 0.1 " ]
exits "linear scaling" 0 train --out scaled --max-steps 1 --schedule constant --scale-lr --lr 0.64 --accumulate 4
check "is by the images of a step" [ "$(rates scaled)" = "0.04 " ]
exits "steps of warm-up" 0 train --out warm --max-steps 6 --schedule constant --warmup-steps 4 --warmup-factor 0.2 --lr 1e-2
check "rise from the factor" [ "$(rates warm)" = "0.004 0.006 0.008 0.01 0.01 0.01 " ]
exits "one cycle" 0 train --out cycle --max-steps 6 --schedule one-cycle
exits "one cycle of the momentum, too" 0 train --out cycled --max-steps 6 --schedule one-cycle --cycle-momentum 0.7,0.95
check "... changes the weights, not the rates" bash -c '! cmp -s "$3" "$4" && [ "$1" = "$2" ]' - "$(rates cycle)" "$(rates cycled)" <(tensors cycle/weights.safetensors) <(tensors cycled/weights.safetensors)
exits "one between 0.9 and 0.9" 0 train --out uncycled --max-steps 6 --schedule one-cycle --cycle-momentum 0.9,0.9
check "... is the constant one" cmp <(tensors cycle/weights.safetensors) <(tensors uncycled/weights.safetensors)
exits "a plateau that nothing satisfies" 0 train --out plateau --epochs 4 --accumulate 11 --schedule plateau --plateau-patience 0 --plateau-threshold 1 --gamma 0.5 --lr 0.4
check "halves the rate after each evaluation but the first" [ "$(rates plateau)" = "0.4 0.4 0.2 0.1 " ]

# ---- killed with all of it in play -------------------------------------------------------------------------------------
all=(--epochs 4 --accumulate 2 --momentum-kind caffe --nesterov --clip-norm 0.7 --ema 0.9 --ema-warmup --ema-every 3 --mixup 0.3
    --schedule plateau --plateau-patience 0 --plateau-threshold 0.3 --warmup-steps 3 --no-norm-decay --label-smoothing 0.1)
exits "everything at once" 0 train --out whole "${all[@]}"
check "the rate has fallen" [ "$(rates whole | tr ' ' '\n' | tail -n 2 | head -n 1)" != 0.02 ]
kills=0
RANDOM=7
for _ in 1 2 3 4 5 6; do
    after=$((RANDOM % 18 + 2))
    kill_at killed $after "${base[@]}" --out killed "${all[@]}" --checkpoint-steps $((RANDOM % 3 + 1)) && kills=$((kills + 1))
done
check "was killed at least 3 times" [ $kills -ge 3 ]
exits "goes on after kill -9" 0 train --out killed "${all[@]}"
check "to the weights, averages, momentum and log of the run in one piece" same_run whole killed
for n in 1 5 6 7 13 22; do # 6 steps an epoch: also right at an end
    exits "stops after step $n" 1 train --out parts "${all[@]}" --stop-after-steps $n
done
exits "goes on" 0 train --out parts "${all[@]}"
check "to the same" same_run whole parts
exits "stops" 1 train --out hurt "${all[@]}" --checkpoint-steps 2 --stop-after-steps 9
printf X | dd of="$(newest hurt)/ema.safetensors" bs=1 seek=5000 conv=notrunc status=none
exits "goes on from the checkpoint before one whose average is damaged" 0 train --out hurt "${all[@]}"
says "warns about it" "ema.safetensors is damaged"
check "to the same" same_run whole hurt
exits "another run's checkpoint, that has no average" 0 train --out onward "${all[@]}" --resume "$(newest plain)"
says "begins one" "holds no running average: it begins with the weights there"

# ---- what is not finite, what diverges ---------------------------------------------------------------------------------
exits "a rate that is far too high" 1 train --out nan --lr 1e9 --schedule constant --epochs 9 --checkpoint-steps 1 --ema 0.9
says "stops it with step and rate" "stopped at step 3 (epoch 1, lr 1e+09)"
says "says where it began" "the running statistic layer1.0.bn1.running_var is inf"
says "and the last good checkpoint" "Last good checkpoint: nan/checkpoints/e00000-s"
check "no checkpoint holds a value that is not finite" bash -c 'for w in nan/checkpoints/*/weights.safetensors nan/checkpoints/*/ema.safetensors; do rn-train --eval-only --weights "$w" --val-db a.val || exit 1; done'
exits "the same, several batches a step" 1 train --out nan2 --lr 1e9 --schedule constant --epochs 9 --accumulate 3
says "stops it too" "Last good checkpoint: none was written yet"
exits "a loss that stays up" 1 train --out up --lr 5 --schedule constant --epochs 50 --diverge 2 --checkpoint-steps 1
says "diverges" "has been above 3.1"
says "for 20 steps" "for 20 steps: the training diverges (guessing among 4 classes has 1.39"
good=$(sed -n 's/.*Last good checkpoint: up.checkpoints.e[0-9]*-s0*\([0-9]*\)\..*/\1/p' err.txt)
at=$(sed -n 's/.*stopped at step \([0-9]*\) .*/\1/p' err.txt)
check "the last good checkpoint is from before" [ "$good" -le $((at - 20)) ]
exits "it ends at the same step when it goes on" 1 train --out up --lr 5 --schedule constant --epochs 50 --diverge 2
says "and says so" "stopped at step $at "
exits "--diverge 0" 0 train --out up --lr 5 --schedule constant --epochs 50 --diverge 0 --max-steps 40 --resume never

# poke FILE TENSOR FOUR_BYTES COUNT: sets the first COUNT values of a tensor.
poke() {
    local n at
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    at=$(head -c $((8 + n)) "$1" | grep -ao "\"$2\":{[^}]*}" | sed -E 's/.*"data_offsets":\[([0-9]+),.*/\1/')
    printf '%b' "$(yes "$3" | head -n "$4" | tr -d '\n')" | dd of="$1" oflag=seek_bytes seek=$((8 + n + at)) conv=notrunc status=none
}
cp plain/weights.safetensors bad.safetensors
poke bad.safetensors layer2.0.bn1.weight '\x00\x00\xc0\x7f' 1
exits "initial weights with a NaN" 1 train --out x --weights bad.safetensors
says "name the tensor" "layer2.0.bn1.weight[0] is nan: not finite"
# The forward pass is fine; 3e35 in the scores' weights, times 316 = 1/sqrt(eps) of a batch norm of hardly anything, times 1e4.
cp plain/weights.safetensors steep.safetensors
poke steep.safetensors fc.weight '\x61\x1d\x67\x7a' 64
poke steep.safetensors layer4.1.bn1.weight '\x00\x40\x1c\x46' 64
poke steep.safetensors layer4.1.conv2.weight '\x08\xe5\x3c\x1e' $((64 * 64 * 9))
exits "a gradient that overflows where the loss does not" 1 train --out x --weights steep.safetensors
says "stops the first step" "stopped at step 1 (epoch 1, lr 0.02): a gradient is not finite: the gradient of layer4.1.conv2.weight is "
exits "the same in the second batch of a step" 1 train --out x --weights steep.safetensors --accumulate 2
says "stops it too" "a gradient is not finite: the gradient of layer4.1.conv2.weight is "

# ---- a full disk -------------------------------------------------------------------------------------------------------
room() { bash -c 'ulimit -f $1; shift; exec "$@"' - "$@"; } # KB a file may have
full=("${base[@]}" --schedule cosine --epochs 3)
exits "a run" 0 "${full[@]}" --out roomy
exits "no room for any checkpoint" 1 room 200 "${full[@]}" --out full --checkpoint-steps 4
check "is told each time" [ "$(grep -c 'Training goes on; the last good checkpoint: none was written yet' err.txt)" = 10 ]
says "trains to the end, and says what to do" "stopped after step 33 of 33, but checkpoint e00003-s0000000033 was not written"
exits "stops in the middle without a checkpoint" 1 room 200 "${full[@]}" --out full --stop-after-steps 5
says "and says so" "stopped after step 5 of 33, but checkpoint"
exits "goes on with room" 0 "${full[@]}" --out full
check "to the same bits" cmp full/weights.safetensors roomy/weights.safetensors
so=$RNKIT_BUILD/tests/fault/fault.so
if [ -e "$so" ]; then
    RN_FAULT_FAIL="write 1 ENOSPC" RN_FAULT_PATH=.tmp-e00002 exits "no room for one checkpoint" 0 env LD_PRELOAD="$so" "${full[@]}" --out once --keep 9 --checkpoint-steps 8
    says "is told" "checkpoint e00002-s0000000022 was not written"
    says "with the last good one" "Training goes on; the last good checkpoint: once/checkpoints/e00001-s0000000016"
    check "the others are there" [ "$(ls -A once/checkpoints | tr '\n' ' ')" = "e00000-s0000000008 e00001-s0000000011 e00001-s0000000016 e00003-s0000000033 " ]
    check "the bits are those of the run with room" cmp once/weights.safetensors roomy/weights.safetensors
    RN_FAULT_FAIL="write 9 ENOSPC" RN_FAULT_PATH=log.jsonl exits "no room for the log" 1 env LD_PRELOAD="$so" "${full[@]}" --out mute
    says "its lines wait" "log.jsonl: No space left on device; what should go there waits in memory until there is room"
    says "and without it there is no checkpoint" "Training goes on; the last good checkpoint: none was written yet"
    exits "goes on with room" 0 "${full[@]}" --out mute
    check "to the same weights" cmp mute/weights.safetensors roomy/weights.safetensors
    check "and log" diff <(log_of mute) <(log_of roomy)
else
    skip "no room for one checkpoint" "this build has no fault.so (a sanitizer's runtime would have to be loaded first)"
fi
mkdir small
if mount -t tmpfs -o size=300k none small 2>/dev/null; then
    trap 'umount -l small 2>/dev/null' EXIT
    exits "a full file system" 1 "${full[@]}" --out small/run
    says "ends saying so" "stopped after step 33 of 33, but checkpoint"
    check "nothing half-written is there" [ -z "$(ls -A small/run/checkpoints)" ]
    mount -o remount,size=20m small
    exits "goes on with room" 0 "${full[@]}" --out small/run
    check "to the same weights" cmp small/run/weights.safetensors roomy/weights.safetensors
    check "and log" diff <(log_of small/run) <(log_of roomy)
    umount -l small
else
    skip "a full file system" "no mounts here"
fi

# ---- what cannot be ----------------------------------------------------------------------------------------------------
while read -r want args; do
    # shellcheck disable=SC2086
    exits "misuse: $args" 2 train --out y --epochs 2 $args
    says "says: $want" "${want//_/ }"
done <<'LIST'
one-cycle_warms_up_by_itself --schedule one-cycle --warmup-epochs 1
one-cycle_warms_up_by_itself --schedule one-cycle --warmup-steps 1
--cycle-momentum_belongs_to --cycle-momentum 0.8,0.9
is_not_a_number_between --schedule one-cycle --cycle-momentum 0.8,1.9
low_end_of_the_cycled_momentum --schedule one-cycle --cycle-momentum 0.9,0.8
--cycle-momentum_needs_--momentum --schedule one-cycle --cycle-momentum 0.8,0.9 --momentum 0
--warmup-epochs_and_--warmup-steps_say_the_same_twice --warmup-epochs 1 --warmup-steps 2
9_steps_of_warm-up_leave_none --max-steps 9 --warmup-steps 9
plateau_multiplies_by_--gamma --schedule plateau --gamma 1
gamma_is_2;_it_must_be_above_0 --schedule step --gamma 2
gamma_is_-1;_it_must_be_at_least_0 --schedule inv --gamma=-1
gamma_is_0;_it_must_be_a_number_other --schedule sigmoid --gamma 0
power_is_0;_it_must_be_above_0 --schedule poly --power 0
size_is_0;_it_must_be_at_least_1 --schedule step --step-size 0
is_not_a_list_of_milestones --schedule multistep --milestones 3,3
--ema-every_belongs_to_--ema --ema-every 2
--ema-warmup_belongs_to_--ema --ema-warmup
from_0_to --ema 1
from_1_to --accumulate 0
not_one_of_torch,_caffe --momentum-kind nag
not_one_of_epochs,_steps --schedule-unit iterations
nearest_is_--step-size --step-sise 3
LIST
check "misuse made no folder" [ ! -e y/log.jsonl ]
finish
