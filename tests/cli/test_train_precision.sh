#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train --precision bf16 and f16: learns about what f32 learns, its files are f32 and interchangeable, the loss scale
# skips, counts and gives up, and a run with skips on its way resumes bit for bit.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

mkilsvrc --synthetic 3 --train-per-class 8 --val 6 --size 80x60 --seed 4 raw --quiet &&
    pack-lmdb raw --split train --shuffle 1 train.lmdb --quiet && pack-lmdb raw --split val val.lmdb --quiet || exit 1
train() {
    rn-train --arch resnet18 --stem cifar --width 0.0625 --image-size 16 --val-resize 16 --threads 1 --batch 6 --lr 0.01 \
        --no-flip --crop pad --pad 0 --log-steps 1 --train-db train.lmdb --val-db val.lmdb "$@"
}
loss_of() { sed -n 's/.*"train_loss":\([0-9.]*\).*/\1/p' "$1/log.jsonl" | head -1; } # of the first epoch: later ones amplify every rounding
near() { awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { exit !(a > 0 && b > 0 && a - b <= t && b - a <= t) }'; }
last() { sed -n "s/.*\"$2\":\([0-9.]*\).*/\1/p" "$1/log.jsonl" | tail -1; }

exits "f32" 0 train --out f32 --epochs 4
exits "bf16" 0 train --out bf16 --epochs 4 --precision bf16
says "... says what it is" "precision bf16"
exits "f16" 0 train --out f16 --epochs 4 --precision f16
says "... says that it is emulated" "emulated"
for p in bf16 f16; do
    check "$p begins near f32's loss" near "$(loss_of f32)" "$(loss_of $p)" 0.08
    others "... by other weights" f32/weights.safetensors "$p/weights.safetensors"
    check "... in files as large: f32" sh -c '[ $(($(wc -c <"$1") / 4096)) = $(($(wc -c <"$2") / 4096)) ]' - f32/weights.safetensors "$p/weights.safetensors"
done
check "bf16 has no loss scale" sh -c '! grep -q loss_scale bf16/log.jsonl'
check "f16 has one" grep -q '"loss_scale":' f16/log.jsonl
check "... and so has its result" grep -q '"skipped_steps":' f16/result.json

if command -v gnuplot >/dev/null; then
    check "the report draws f16's scale" grep -q '<figcaption>Loss scale' f16/report.html
    check "... and none where there is none" sh -c 'grep -q "<figcaption>Learning rate" bf16/report.html && ! grep -q "<figcaption>Loss scale" bf16/report.html'
else
    skip "the report draws f16's scale" "no gnuplot"
fi

# Interchangeable: evaluated in the precision they were trained in, and in any other.
for p in f32 bf16 f16; do
    exits "weights of bf16, evaluated in $p" 0 rn-train --eval-only --weights bf16/weights.safetensors --val-db val.lmdb \
        --threads 1 --precision $p --dump-logits $p.npy
done
exits "... and as their file says" 0 rn-train --eval-only --weights bf16/weights.safetensors --val-db val.lmdb --threads 1 \
    --dump-logits said.npy
check "... which is in bf16" cmp said.npy bf16.npy
check "... the scores are f32 in each, and differ" sh -c '! cmp -s f32.npy bf16.npy && [ $(wc -c <f32.npy) = $(wc -c <bf16.npy) ]'
exits "bf16 goes on from weights of f32" 0 train --out on --epochs 1 --precision bf16 --weights f32/weights.safetensors

# Skips: a scale of 2^40 overflows every gradient until it has been halved often enough.
skips=(--precision f16 --loss-scale dynamic:1099511627776 --epochs 9)
exits "a scale that begins too high" 0 train --out whole "${skips[@]}"
check "... skips steps" test "$(last whole skipped_steps)" -gt 8
check "... and comes to one that works" test "$(last whole loss_scale | cut -d. -f1)" -lt 4294967296
exits "the same, stopped among the skips" 1 train --out parts "${skips[@]}" --stop-after-steps 5
check "... having skipped" test "$(last parts skipped_steps)" -ge 4
exits "... and gone on with" 0 train --out parts "${skips[@]}" --checkpoint-steps 7
check "... to the same weights" cmp whole/weights.safetensors parts/weights.safetensors
check "... and the same scale" test "$(last whole loss_scale)/$(last whole skipped_steps)" = "$(last parts loss_scale)/$(last parts skipped_steps)"
# A step left out changes nothing: neither momentum, nor weights.
exits "the first steps alone" 1 train --out first --precision f16 --loss-scale dynamic:1099511627776 --stop-after-steps 4
check "... are skipped" test "$(last first skipped_steps)" = 4
momentum() { tensors "$1"/checkpoints/*/state.safetensors | tr -d '\0' | wc -c; }
check "... and leave no momentum" test "$(momentum first)" = 0
check "... nor a norm in the log" test "$(grep -c '"grad_norm":null' first/log.jsonl)" = 4

# With all that may lie between gradient and weights: two batches a step, clipping, an average, a teacher.
full=("${skips[@]}" --epochs 20 --accumulate 2 --clip-norm 0.5 --ema 0.5 --teacher f32/weights.safetensors --kd-weight 0.5)
exits "skips among accumulation, clipping, an average and a teacher" 0 train --out full "${full[@]}"
check "... are made, and end" test "$(last full skipped_steps)" -gt 8 -a "$(last full skipped_steps)" -lt 40
check "... and no norm is told with the scale in it" awk -F'"grad_norm":' '/"window"/ && $2 !~ /^null/ { n++; if (!($2 + 0 < 100)) bad = 1 } END { exit !(n > 0 && !bad) }' full/log.jsonl
exits "the same, stopped among the skips" 1 train --out full2 "${full[@]}" --stop-after-steps 5
exits "... and gone on with" 0 train --out full2 "${full[@]}" --checkpoint-steps 3
check "... to the same weights" cmp full/weights.safetensors full2/weights.safetensors

exits "a scale that is given and too high" 1 train --out given --precision f16 --loss-scale 1e12 --epochs 1
says "... stops, and says what may be wrong" "under a --loss-scale that may be too high, a gradient is not finite"
exits "a scale that is given" 0 train --out given --resume never --precision f16 --loss-scale 128 --epochs 1
exits "no scale" 0 train --out none --precision f16 --loss-scale none --epochs 1
others "... is another run" given/weights.safetensors none/weights.safetensors
exits "f32 under a scale" 0 train --out scaled --loss-scale 4096 --epochs 1
exits "f32 without" 0 train --out plain --epochs 1
check "... is the same to the bit" sh -c '[ "$(tail -c 4000 "$1" | cksum)" = "$(tail -c 4000 "$2" | cksum)" ]' - scaled/weights.safetensors plain/weights.safetensors
exits "f32 clipped" 0 train --out clip1 --clip-norm 0.5 --epochs 1
exits "f32 clipped under a scale" 0 train --out clip2 --clip-norm 0.5 --loss-scale 4096 --epochs 1
check "... is the same to the bit, too" sh -c '[ "$(tail -c 4000 "$1" | cksum)" = "$(tail -c 4000 "$2" | cksum)" ]' - clip1/weights.safetensors clip2/weights.safetensors
exits "clipped to 0.5, f32" 0 train --out clip32 --clip-norm 0.5 --epochs 4
exits "clipping looks at what is unscaled" 0 train --out clip16 --precision f16 --clip-norm 0.5 --epochs 4
check "... and learns as f32 does so" near "$(loss_of clip32)" "$(loss_of clip16)" 0.04

exits "an unknown scale is misuse" 2 train --out no --loss-scale much
says "... and the words are told" "dynamic:START"
exits "a scale below 1 is misuse" 2 train --out no --loss-scale 0.5
exits "an unknown precision is misuse" 2 train --out no --precision fp8
finish
