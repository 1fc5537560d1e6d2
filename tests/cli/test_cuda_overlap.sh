#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What goes on while the device computes, on the emulated one (tests/cuda): batches of pixels travel on a stream of their own, into
# rooms that they take in turns, and the host looks at a step's results while the next is under way. Streams that are as late as
# they may be, as early, or early while the computing one is late show each event that is not waited for: the same bits must
# come out, and the same words where a step goes wrong. No GPU has run it.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/emulated.sh"
. "$RNKIT_TESTS/training.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
emulated_device

small_sets 8 2
small_net
net=small.prototxt
small() {
    rn-train --net "$net" --threads 1 --workers 2 --lr 0.001 --no-flip --log-steps 1 --epochs 2 --train-db train.lmdb --val-db val.lmdb "$@"
}
lines() { sed -n 's/.*"type":"window".*"loss":\([^,]*\),.*"grad_norm":\([^,]*\),.*/\1 \2/p' "$1/log.jsonl"; }
near() { # near A B: losses that differ by 3e-6 at most
    paste <(lines "$1") <(lines "$2") | awk '!($1 - $3 <= 3e-6 * $1 && $3 - $1 <= 3e-6 * $1) { bad = 1; print } END { exit bad || NR != 12 }'
}

count() { awk -v at="$2" '{ n = $at } END { print n + 0 }' "$1"; } # a column of RNKIT_EMULATE_COUNT's last line
failure() { sed -n 's/ Last good checkpoint: .*//; s/.*\(stopped at .*\)/\1/p' err.txt; }

exits "on the CPU" 0 small --out cpu --device cpu
# however NAME "MODES" OPTION...: what comes out, however streams run.
however() {
    local name=$1 modes=$2 when
    shift 2
    RNKIT_EMULATE_COUNT=$name.count exits "$name: all streams late" 0 small --out "$name" --device cuda "$@"
    for when in $modes; do
        RNKIT_EMULATE_STREAMS=$when exits "... $when" 0 small --out "$name-$when" --device cuda "$@"
        check "... to the same bits" same_run "$name" "$name-$when"
    done
}
however plain "early own-late"
however mixed own-late --mixup 0.4 --label-smoothing 0.1 --ema 0.5
however parts own-late --accumulate 2
however f16 own-late --precision f16 --loss-scale dynamic:1e7
# A checkpoint after each step: none may be under way then.
RNKIT_EMULATE_COUNT=one.count exits "one after the other" 0 small --out one --device cuda --checkpoint-steps 1
check "... to the same bits" same_run plain one
# A loss scale that the device moves: some steps are left out, and the next has another scale before the host knows.
exits "f16, one after the other" 0 small --out one-f16 --device cuda --checkpoint-steps 1 --precision f16 --loss-scale dynamic:1e7
check "... to the same bits" same_run f16 one-f16
scales() { sed -n 's/.*"type":"window".*\("loss_scale":[^}]*\)}/\1/p' "$1/log.jsonl"; }
exits "f16 on the CPU" 0 small --out cpu-f16 --device cpu --precision f16 --loss-scale dynamic:1e7
check "... leaves the same steps out" diff <(scales cpu-f16) <(scales f16)
check "... which are some, and not all" grep -q '"skipped_steps":[2-8]$' <(scales f16 | tail -n 1)
check "plain: the CPU's losses" near cpu plain
echo "looked at with another under way: $(count plain.count 5), $(count parts.count 5), $(count f16.count 5), $(count one.count 5)" >&2
# All but an epoch's last; fewer where the loader is late, as it may be on a busy machine.
most() { local n; for n in plain parts f16; do n=$(count $n.count 5); [ "$n" -ge 6 ] && [ "$n" -le 10 ] || return 1; done; }
check "most batches are looked at while the next is under way" most
check "... each is waited for once, but for what is lazily made" test "$(count parts.count 1)" -le $(($(count plain.count 1) + 1))
check "... none where the host has to look first" test "$(count one.count 5)" = 0

exits "three steps" 1 small --out stopped --device cuda --stop-after-steps 3
says "... are three" "stopped after step 3 of 12"
exits "... and go on" 0 small --out stopped --device cuda
check "... to the same bits" same_run plain stopped
# Between steps that are left out.
exits "f16, two steps" 1 small --out stopped-f16 --device cuda --precision f16 --loss-scale dynamic:1e7 --stop-after-steps 2
exits "... and go on" 0 small --out stopped-f16 --device cuda --precision f16 --loss-scale dynamic:1e7
check "... to the same bits" same_run f16 stopped-f16

# Weights whose decay multiplies them by 1e21 a step.
sed 's/\(name: "conv1".*\) convolution_param/\1 param { lr_mult: 1e6 decay_mult: 1e6 } convolution_param/' small.prototxt >large.prototxt
# Gradients of the scores by what comes before them that no scale keeps in f16's range, of a loss that is finite.
sed 's/\(name: "fc1".*\)type: "xavier"/\1type: "gaussian" std: 1e7/' small.prototxt >steep.prototxt
# Where a step goes wrong, nothing that was given behind it may change what is found, or where: as on the CPU.
for how in "loss --lr 1e9" "weights --lr 1e9 --weight-decay 1" "gradient --precision f16 --loss-scale 1e19" \
    "scaled --precision f16 --loss-scale dynamic:1e7 --lr 1e6" "floor --precision f16 --loss-scale dynamic:4"; do
    read -r name more <<<"$how"
    net=small.prototxt
    [ "$name" != weights ] || net=large.prototxt
    [ "$name" != floor ] || net=steep.prototxt
    # shellcheck disable=SC2086 # words
    exits "not finite, $name: one after the other" 1 small --out "odd-$name-1" --device cuda --checkpoint-steps 1 $more
    failure >one.txt
    # shellcheck disable=SC2086
    exits "... while the next is under way" 1 small --out "odd-$name" --device cuda $more
    failure >two.txt
    cat two.txt >&2
    check "... says the same" cmp one.txt two.txt
    if [ "$name" = floor ]; then
        check "... which is that no scale will do" grep -q "stopped at step 3 .*below 1, and the gradients still overflow f16 (3 steps left out)" two.txt
    else
        check "... which is that something is not finite" grep -qE "is not finite|after the step: .* is (-?inf|nan)" two.txt
    fi
    check "... after the same steps" diff <(lines "odd-$name") <(lines "odd-$name-1")
done

# Of a step of several batches it is the first such batch that is found, the fourth here, when those behind it were given: as on the CPU,
# and as where each batch is a step.
sed 's/scale: 0.017/scale: 1/; s/type: "msra"/type: "gaussian" std: 50/' small.prototxt >bright.prototxt
net=bright.prototxt
for how in "cpu 1 4" "cuda 1 4" "cpu 6 1" "cuda 6 1" "cuda 5 1" "cuda 4 1" "cuda 3 2"; do
    read -r device batches step <<<"$how"
    exits "not finite, steps of $batches, $device" 1 small --out "bright-$device-$batches" --device "$device" --accumulate "$batches" \
        --precision f16 --loss-scale 1 --lr 1e-9
    says "... in step $step" "stopped at step $step "
    failure | sed 's/ step [0-9]*/ step N/' >bright.txt
    [ "$how" != "cpu 1 4" ] || cp bright.txt bright.1.txt
    check "... and finds the same" cmp bright.1.txt bright.txt
done
check "... in some values" grep -q "the output of conv1 is inf (first of [0-9]* among" bright.txt

net=small.prototxt
# Steps of several batches and a scale that moves; the run goes on between steps that are left out.
changing=(--device cuda --accumulate 2 --precision f16 --loss-scale dynamic:1e7 --ema 0.5)
exits "f16, two batches a step" 0 small --out parts-f16 "${changing[@]}"
check "... leaves some steps out, and not all" grep -q '"skipped_steps":[2-4]$' <(scales parts-f16 | tail -n 1)
exits "... two steps" 1 small --out stopped-parts "${changing[@]}" --stop-after-steps 2
exits "... and go on" 0 small --out stopped-parts "${changing[@]}"
check "... to the same bits" same_run parts-f16 stopped-parts
exits "... one step after the other" 0 small --out one-parts "${changing[@]}" --checkpoint-steps 1
check "... to the same bits" same_run parts-f16 one-parts

# An image that cannot be read: what came before is kept, though it was still under way when the loader told.
cp -r train.lmdb torn.lmdb
at=$(grep -abo $'\xff\xda' torn.lmdb/data.mdb | sed -n '13s/:.*//p')
head -c 6000 /dev/zero | dd of=torn.lmdb/data.mdb bs=1 seek=$((at - 400)) conv=notrunc status=none
for device in cpu cuda; do
    exits "an image that cannot be read, $device" 1 small --out "torn-$device" --device "$device" --train-db torn.lmdb
    sed -n 's/.*\(stopped at step [0-9]*\).*/\1/p' err.txt >"$device.txt"
done
check "... stops at the same step" cmp cpu.txt cuda.txt
check "... which is one" grep -q "stopped at step" cuda.txt
check "... with the same checkpoint" test "$(basename "$(newest torn-cpu)")" = "$(basename "$(newest torn-cuda)")"

for when in late early own-late; do
    RNKIT_DEVICE=cuda RNKIT_EMULATE_STREAMS=$when exits "batches and steps, $when" 0 "$RNKIT_BUILD/tests/unit/test_overlap"
done
finish
