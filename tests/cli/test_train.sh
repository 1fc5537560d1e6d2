#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train: a run killed anywhere ends with the bits of one that was not; evaluations count every image once; every way of
# going wrong is told and leaves what was there.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/training.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
# shellcheck disable=SC2012,SC2016  # names are our own; inner shells expand

sets() { # sets NAME CLASSES SEED
    mkilsvrc --synthetic "$2" --train-per-class 11 --val 13 --size 32x24 --seed "$3" "$1.raw" --quiet &&
        pack-lmdb "$1.raw" --split train --shuffle 1 "$1.train" --quiet && pack-lmdb "$1.raw" --split val "$1.val" --quiet
}
sets a 4 1 >&2 || exit 1
sets b 5 2 >&2 || exit 1

model=(--arch resnet18 --stem cifar --width 0.125 --image-size 16 --val-resize 16 --threads 1 --workers 2)
how=(--batch 8 --epochs 3 --lr 0.02 --schedule cosine --warmup-epochs 1 --log-steps 2)
on_a=("${model[@]}" "${how[@]}" --train-db a.train --val-db a.val)
train() { rn-train "${on_a[@]}" "$@"; }
num() { sed -n "s/.*\"$1\":\([^,}]*\).*/\1/p" "$2" | tail -n 1; }

# ---- one run in one piece --------------------------------------------------------------------------------------
exits "trains" 0 train --out whole --json
cp out.txt whole.json
check "prints one object with the promised keys" grep -qE '^\{"n":13,"top1":[0-9.]+,"top5":[0-9.]+,"se_top1":[0-9.]+,"loss":[0-9.]+,' whole.json
check "15 steps, 3 epochs" [ "$(num steps whole.json) $(num epochs whole.json)" = "15 3" ]
check "the log: a run, windows of 2 steps, epochs" [ "$(sed -E 's/^\{"type":"([a-z]+)".*/\1/' whole/log.jsonl | uniq -c | tr -s ' \n' ' ')" = " 1 run 3 window 1 epoch 3 window 1 epoch 3 window 1 epoch " ]
check "a window has the promised keys" grep -qE '^\{"type":"window","step":2,"epoch":1,"loss":[0-9.]+,"top1":[0-9.]+,"lr":[0-9.]+,"grad_norm":[0-9.]+,"images_per_s":[0-9.]+,"data_wait_pct":[0-9.]+\}$' whole/log.jsonl
check "the recipe is complete" [ "$(grep -cE '^(arch|stem|width|lr|momentum|seed|crop|schedule|precision|threads) = ' whole/recipe)" = 10 ]
check "the two newest checkpoints and at most the best are kept" [ "$(ls whole/checkpoints | wc -l)" -le 3 ]
check "the report is there" grep -q '<h2>Convolution algorithms</h2>' whole/report.html
exits "trains from the recipe it wrote" 0 rn-train --recipe whole/recipe --log-steps 2 --out again
check "to the same bits and log" same_run whole again
mkdir elsewhere && cp -r a.train a.val elsewhere
exits "trains in another folder" 0 rn-train "${model[@]}" "${how[@]}" --workers 1 --train-db elsewhere/a.train --val-db elsewhere/a.val --out elsewhere/run
check "to the same bits: no path is in the weights" same_run whole elsewhere/run
exits "a finished run: nothing to do" 0 train --out whole
check "and it says so" grep -q 'already finished' out.txt

# ---- stopped, killed, interrupted ------------------------------------------------------------------------------
for n in 2 5 9; do
    exits "stops after step $n" 1 train --out parts --stop-after-steps $n
    says "says where it goes on" "the same command goes on from parts/checkpoints/"
done
exits "goes on" 0 train --out parts
check "to the bits and log of the run in one piece" same_run whole parts

kills=0
for after in 1 3 4 6 8; do
    kill_at killed $after rn-train "${on_a[@]}" --out killed --checkpoint-steps 1 && kills=$((kills + 1))
done
check "was killed at least 3 times" [ $kills -ge 3 ]
exits "goes on after kill -9" 0 train --out killed --checkpoint-steps 1
check "to the bits and log of the run in one piece" same_run whole killed

rn-train "${on_a[@]}" --out signalled >/dev/null 2>err.txt &
pid=$!
for _ in $(seq 600); do
    grep -q '"type":"window"' signalled/log.jsonl 2>/dev/null && break
    sleep 0.02
done
kill -TERM $pid
wait $pid
rc=$?
check "SIGTERM ends it with 1" [ $rc = 1 ]
says "after a checkpoint" "the same command goes on from signalled/checkpoints/"
exits "goes on after SIGTERM" 0 train --out signalled
check "to the bits and log of the run in one piece" same_run whole signalled

exits "goes back to an earlier checkpoint" 0 train --out parts --resume "$(ls -d parts/checkpoints/* | head -n 1)"
check "to the bits and log of the run in one piece" same_run whole parts

exits "two threads" 0 train --out two --threads 2
exits "two threads, stopped" 1 train --out two-parts --threads 2 --stop-after-steps 7
exits "two threads, goes on" 0 train --out two-parts --threads 2
check "to the bits and log of two threads in one piece" same_run two two-parts

# ---- damage ----------------------------------------------------------------------------------------------------
exits "stops with some checkpoints" 1 train --out hurt --checkpoint-steps 2 --stop-after-steps 8
newest=$(ls -d hurt/checkpoints/* | tail -n 1)
printf X | dd of="$newest/weights.safetensors" bs=1 seek=5000 conv=notrunc status=none
exits "goes on from the checkpoint before a damaged one" 0 train --out hurt
says "warns about it" "is passed over: $newest/weights.safetensors is damaged"
check "to the bits and log of the run in one piece" same_run whole hurt
exits "keeps one checkpoint and the best" 1 train --out one --keep 1 --checkpoint-steps 2 --stop-after-steps 8
newest=$(ls -d one/checkpoints/* | tail -n 1)
: >"$newest/weights.safetensors"
exits "goes on from the best, the newest being damaged" 1 train --out one --keep 1 --checkpoint-steps 1 --stop-after-steps 7
check "what it has written is not pruned for the damaged one" test -e one/checkpoints/e00001-s0000000007/digests.json
exits "goes on" 0 train --out one
check "to the bits and log of the run in one piece" same_run whole one
exits "stops once more" 1 train --out ruined --stop-after-steps 3
for c in ruined/checkpoints/*; do : >"$c/state.safetensors"; done
exits "every checkpoint damaged: refuses" 1 train --out ruined
says "names the remedy" "--resume never starts over"
exits "--resume never starts over" 0 train --out ruined --resume never
check "to the bits and log of the run in one piece" same_run whole ruined

exits "stops before the disk is full" 1 train --out full --stop-after-steps 3
before=$(ls full/checkpoints)
exits "no room for a checkpoint" 1 bash -c "ulimit -f 200; rn-train ${on_a[*]} --out full --stop-after-steps 4"
says "says so" "was not written"
check "what was there is still there, and nothing else" [ "$(ls -A full/checkpoints)" = "$before" ]

# ---- another recipe, other data, another process ---------------------------------------------------------------
exits "another algorithm" 1 train --out algo --algo 'cpu:*' --stop-after-steps 6
exits "the same again" 1 train --out algo --algo 'cpu:*' --stop-after-steps 7
check "is not warned about" bash -c '! grep -q "other algorithms" err.txt'
exits "goes back, with the reference from there on" 1 train --out algo --algo ref --stop-after-steps 6 --resume algo/checkpoints/e00001-s0000000005
says "warns of other bits" "by other algorithms: rounding may differ"
exits "another recipe in the same folder" 1 train --out parts --lr 0.03
says "names what differs" "lr 0.02 -> 0.03"
exits "other data in the same folder" 1 rn-train "${model[@]}" "${how[@]}" --train-db b.train --val-db b.val --out parts
says "names the seals" "the seals differ"
exits "another run's checkpoint, another recipe, a new folder" 0 train --out onward --lr 0.01 --resume "$(ls -d parts/checkpoints/*s0000000010)"
says "warns about the recipe" "lr 0.02 -> 0.01"
check "its log begins after that checkpoint" [ "$(sed -n 's/.*"window","step":\([0-9]*\).*/\1/p' onward/log.jsonl | head -n 1)" = 12 ]
exits "goes back, with another recipe from there on" 0 train --out onward --lr 0.005 --resume "$(ls -d onward/checkpoints/* | head -n 1)"
says "warns about that recipe" "lr 0.01 -> 0.005"
check "the recipe in the folder is the new one" grep -qx 'lr = 0.005' onward/recipe
before=$(find parts | sort)
exits "a checkpoint that is not there" 1 train --out parts --resume parts/checkpoints/e00001-s000000005
says "is said to be none" "--resume parts/checkpoints/e00001-s000000005: no checkpoint: give auto, never, or the folder of one"
exits "starting over from weights that are not there" 1 train --out parts --resume never --weights none.safetensors
check "neither touches the run that is there" [ "$(find parts | sort)" = "$before" ]
mkdir -p busy
exits "a folder where another process trains" 2 flock busy/lock rn-train "${on_a[@]}" --out busy
says "says so" "another rn-train is at work there"

# ---- evaluation ------------------------------------------------------------------------------------------------
exits "evaluates" 0 rn-train --eval-only --weights whole/weights.safetensors --val-db a.val --threads 1 --json
check "the same figures as training's last evaluation" [ "$(cut -d, -f1-5 out.txt)" = "$(cut -d, -f1-5 whole.json)" ]
for b in 1 5 13 64; do
    exits "evaluates in batches of $b" 0 rn-train --eval-only --weights whole/weights.safetensors --val-db a.val --threads 1 --batch $b --dump-logits l$b.npy --json
    check "every image once" [ "$(num n out.txt) $(stat -c %s l$b.npy)" = "13 $((128 + 13 * 4 * 4))" ]
    check "the same loss" awk -v a="$(num loss out.txt)" -v b="$(num loss whole.json)" 'BEGIN{d = a - b; exit !(d < 1e-4 && d > -1e-4)}'
    check "the same top-1" [ "$(num top1 out.txt)" = "$(num top1 whole.json)" ]
done
exits "--json into a full disk fails" 1 sh -c '"$@" >/dev/full' - rn-train --eval-only --weights whole/weights.safetensors --val-db a.val --threads 1 --json
exits "bare logits" 0 rn-train --eval-only --weights whole/weights.safetensors --val-db a.val --threads 1 --dump-logits bare.f32
exits "NumPy's logits" 0 rn-train --eval-only --weights whole/weights.safetensors --val-db a.val --threads 1 --dump-logits full.npy
check "are the same values" cmp bare.f32 <(tail -c +129 full.npy)
exits "weights of 4 classes on data of 5" 1 rn-train --eval-only --weights whole/weights.safetensors --val-db b.val
says "names the tensor" "fc.weight is 4x64, the model has 5x64 (and 1 more differs: fc.bias): the weights were trained on another number"
exits "a file that is no safetensors" 1 rn-train --eval-only --weights whole/log.jsonl --val-db a.val
says "says so" "not a safetensors file"
head -c 20000 whole/weights.safetensors >cut.safetensors
exits "truncated weights" 1 rn-train --eval-only --weights cut.safetensors --val-db a.val
says "says so" "truncated"
exits "another architecture" 1 rn-train --eval-only --weights whole/weights.safetensors --val-db a.val --arch resnet50
says "names a tensor" "of the model's tensors"
# Without metadata the tensors say what it is: cut the header's metadata out and give the length anew.
strip_metadata() { # FILE OUT
    local n h
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    h=$(head -c $((8 + n)) "$1" | tail -c +9 | sed -E 's/"__metadata__":\{([^{}"]|"([^"\\]|\\.)*")*\},//; s/ *$//')
    n=${#h}
    printf "$(printf '\\x%02x' $((n & 255)) $((n >> 8 & 255)) $((n >> 16 & 255)) $((n >> 24 & 255)))\\0\\0\\0\\0" >"$2"
    printf '%s' "$h" >>"$2"
    tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1" >>"$2"
}
strip_metadata whole/weights.safetensors bare.safetensors
exits "weights without metadata" 0 rn-train --eval-only --weights bare.safetensors --val-db a.val --image-size 16 --val-resize 16 --threads 1 --json
says "says what it takes them for" "taken for resnet18"
check "the same figures" [ "$(cut -d, -f1-5 out.txt)" = "$(cut -d, -f1-5 whole.json)" ]
exits "training goes on from given weights" 0 train --out tuned --weights whole/weights.safetensors --epochs 2 --lr 1e-4
check "and is soon as good" awk -v a="$(sed -n 's/.*"window","step":2,.*"loss":\([0-9.]*\).*/\1/p' tuned/log.jsonl)" -v b="$(sed -n 's/.*"window","step":2,.*"loss":\([0-9.]*\).*/\1/p' whole/log.jsonl)" 'BEGIN{exit !(a < b)}'

# ---- wrong in other ways ---------------------------------------------------------------------------------------
exits "a loss that is not finite stops it" 1 train --out nan --lr 1e9 --warmup-epochs 0 --schedule constant --epochs 50 --checkpoint-steps 1
says "names the step" "at step 3 "
says "names the last good checkpoint" "Last good checkpoint: nan/checkpoints/e00000-s0000000001"
exits "going on from it" 1 train --out nan --lr 1e9 --warmup-epochs 0 --schedule constant --epochs 50
says "ends at the same step" "at step 3 "
check "no checkpoint holds a value that is not finite" bash -c 'for w in nan/checkpoints/*/; do rn-train --eval-only --weights "$w/weights.safetensors" --val-db a.val || exit 1; done'
exits "no such set" 1 rn-train "${model[@]}" "${how[@]}" --train-db none.lmdb --val-db a.val --out x
says "names it" "none.lmdb"
cp -r a.train unsealed && rm unsealed/seal.json
exits "a set without its seal" 1 rn-train "${model[@]}" "${how[@]}" --train-db unsealed --val-db a.val --out x
says "names it" "unsealed"
exits "train and val of different classes" 1 rn-train "${model[@]}" "${how[@]}" --train-db a.train --val-db b.val --out x
says "says so" "pack both from the same data set"
printf 'n0100000%d some\n' 1 2 3 4 >classes
mkilsvrc --synthetic 4 --train-per-class 2 --val 4 --size 32x24 --classes classes c.raw --quiet && pack-lmdb c.raw --split val c.val --quiet || exit 1
exits "as many, but other classes" 1 rn-train "${model[@]}" "${how[@]}" --train-db a.train --val-db c.val --out x
says "names the first" "class 0 is n90000000 in a.train but n01000001 in c.val"
exits "a batch larger than the set" 2 train --out x --batch 64
says "says so" "--batch 64 is more than the 44 images"
RNKIT_CUDA_MODULE=nowhere.so exits "no such device" 77 train --out x --device cuda
says "... says what to do" "build with CUDA=1, which needs nvcc, or use --device cpu"
while read -r want args; do
    # shellcheck disable=SC2086
    exits "misuse: $args" 2 train --out x $args
    says "says: $want" "${want//_/ }"
done <<'LIST'
nearest_is_--momentum --momentun 0.9
'1e'_is_not --lr 1e
nan --lr nan
not_one_of_imagenet,_cifar --stem square
not_one_of_cpu,_cuda --device tpu
--channels_2 --channels 2
--lr_0 --lr 0
needs_--milestones --schedule multistep
--warmup-epochs_3_leaves_none --warmup-epochs 3
--dump-logits_goes_with --dump-logits l.npy
--report-extra_goes_with --report-extra x.json
LIST
exits "no --out" 2 rn-train --train-db a.train --val-db a.val
exits "--eval-only without weights" 2 rn-train --eval-only --val-db a.val
printf 'epochs = 3\nlearning-rate = 1\n' >bad.recipe
exits "an unknown key in a recipe" 2 train --recipe bad.recipe --out x
says "names file and line" "bad.recipe:2"
printf '# of ours\n\nepochs = 3\nmomentum = 1.5 # too much\n' >far.recipe
exits "a key out of range in a recipe" 2 train --recipe far.recipe --out x
says "names file, line, key and range" "far.recipe:4: momentum: '1.5' is not a number from 0 to 0.9999"
printf 'epochs = 3\nfoo = 1\n' >bad.recipe
exits "one that is near no other" 2 train --recipe bad.recipe --out x
says "is not taken for a slip" "bad.recipe:2: unknown key 'foo' (--help lists all)"
# placed LINE TEXT KEYS [OPTION...]: what is wrong only together with other keys is told of its line, too
placed() {
    printf '# one\n%b\n' "$3" >pair.recipe
    exits "wrong together: $3 ${*:4}" 2 rn-train "${model[@]}" --train-db a.train --val-db a.val --recipe pair.recipe --out x "${@:4}"
    says "says where" "pair.recipe:$1: $2"
}
placed 3 "milestones belongs to schedule multistep" "schedule = step\nmilestones = 3,7"
placed 2 "schedule multistep needs --milestones" "schedule = multistep"
placed 3 "milestones: '7,3' is not" "schedule = multistep\nmilestones = 7,3"
placed 2 "init " "init = square"
placed 3 "warmup-epochs 5 leaves none of --epochs 4" "lr = 1\nwarmup-epochs = 5" --epochs 4
placed 2 "--lr-min 1 is above lr 0.5" "lr = 0.5" --lr-min 1
placed 3 "batch 64 is more than the 44 images" "lr = 1\nbatch = 64"
exits "a set that is not there" 1 train --out x --train-db none
check "what never began leaves no folder" [ ! -e x ]
mkdir kept
exits "... in a folder that is there" 1 train --out kept --train-db none
check "... which stays" [ -d kept ]

# ---- report ----------------------------------------------------------------------------------------------------
ilsvrc-verify a.raw --json >verify.json
exits "a report with another tool's results" 0 rn-train --report whole --report-extra verify.json --report-extra whole.json
check "prints its path" [ "$(cat out.txt)" = whole/report.html ]
check "holds them" grep -q 'Verified archives: verify.json' whole/report.html
check "is one page that needs nothing else" bash -c '! grep -qE "(src|href)=\"?(https?:)?//|<script|@import" whole/report.html'
if command -v gnuplot >/dev/null; then
    check "has four curves" [ "$(grep -c '<svg ' whole/report.html)" = 4 ]
else
    skip "has four curves" "no gnuplot"
fi
tool=$(command -v rn-train)
exits "a report without gnuplot" 0 env PATH=/nonexistent "$tool" --report whole
check "says so" grep -q 'No curves: gnuplot cannot be run' whole/report.html
check "and has the tables" grep -q '<h2>Epochs</h2>' whole/report.html
exits "a report of a folder that is no run" 1 rn-train --report a.train
says "says so" "is not the folder of a run"
finish
