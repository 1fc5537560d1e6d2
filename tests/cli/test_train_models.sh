#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train's models, initial weights and teachers: each option changes what is trained, files say what model they hold,
# a distilling run goes on bit for bit and only with the teacher it began with.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

sets() { # sets NAME CLASSES SEED
    mkilsvrc --synthetic "$2" --train-per-class 8 --val 9 --size 32x24 --seed "$3" "$1.raw" --quiet &&
        pack-lmdb "$1.raw" --split train --shuffle 1 "$1.train" --quiet && pack-lmdb "$1.raw" --split val "$1.val" --quiet
}
sets a 4 1 >&2 || exit 1
sets b 5 2 >&2 || exit 1
small=(--width 0.125 --image-size 16 --val-resize 16 --threads 1 --workers 1)
how=(--batch 8 --epochs 2 --lr 0.02 --schedule cosine --log-steps 2 --train-db a.train --val-db a.val)
train() { rn-train --arch resnet18 --stem cifar "${small[@]}" "${how[@]}" "$@"; }
log_of() { tail -n +2 "$1/log.jsonl" | sed -E 's/"images_per_s":[^,}]*,"data_wait_pct":[^,}]*//'; }
same_run() { cmp "$1/weights.safetensors" "$2/weights.safetensors" && diff <(log_of "$1") <(log_of "$2"); }
first_loss() { sed -n 's/.*"window","step":2,.*"loss":\([0-9.]*\).*/\1/p' "$1/log.jsonl"; }
strip_metadata() { # FILE OUT: without what rn-train says of the model, only the tensors can tell
    local n h
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    h=$(head -c $((8 + n)) "$1" | tail -c +9 | sed -E 's/"__metadata__":\{([^{}"]|"([^"\\]|\\.)*")*\},//; s/ *$//')
    printf "$(printf '\\x%02x' $((${#h} & 255)) $((${#h} >> 8 & 255)) $((${#h} >> 16 & 255)) $((${#h} >> 24 & 255)))\\0\\0\\0\\0" >"$2"
    printf '%s' "$h" >>"$2"
    tail -c +$((9 + n)) "$1" >>"$2"
}
# evaluates FILE: the same figures as the run's own, with and without metadata. MODEL: what its tensors are taken for.
evaluates() { # evaluates RUN MODEL
    exits "$1: its weights are evaluated" 0 rn-train --eval-only --weights "$1/weights.safetensors" --val-db a.val --threads 1 --json
    cut -d, -f1-5 out.txt >whole.txt
    check "$1: to the same figures" grep -qF "$(sed -n 's/.*\("top1": [^,]*\).*/\1/p' "$1/result.json" | tr -d ' ')" whole.txt
    strip_metadata "$1/weights.safetensors" bare.safetensors
    exits "$1: without metadata, too" 0 rn-train --eval-only --weights bare.safetensors --val-db a.val --threads 1 --image-size 16 --val-resize 16 --json
    says "$1: taken for $2" "taken for $2"
    check "$1: the same figures" cmp whole.txt <(cut -d, -f1-5 out.txt)
}

# ---- models ------------------------------------------------------------------------------------------------------
exits "a bottleneck net with a deep stem" 0 rn-train --arch resnet50 --variant c "${small[@]}" --image-size 32 --val-resize 32 "${how[@]}" --out c
check "its stem is timm's" grep -qaF 'conv1.3.weight' c/weights.safetensors
exits "resnet101" 0 rn-train --arch resnet101 --stem cifar "${small[@]}" "${how[@]}" --epochs 1 --out r101
evaluates r101 resnet101
exits "squeeze and excitation in resnet18-d" 0 rn-train --arch resnet18 --variant d --se 16 "${small[@]}" --width 0.25 --image-size 16 "${how[@]}" --epochs 1 --out se
evaluates se resnet18
exits "the five-convolution net" 0 rn-train --arch ghim5 "${small[@]}" --dropout 0.2 "${how[@]}" --epochs 1 --out ghim5
evaluates ghim5 ghim5
exits "dropout draws anew, but the same for the same seed" 0 rn-train --arch ghim5 "${small[@]}" --dropout 0.2 "${how[@]}" --epochs 1 --out ghim5-again
check "to the same bits" same_run ghim5 ghim5-again
exits "without dropout" 0 rn-train --arch ghim5 "${small[@]}" "${how[@]}" --epochs 1 --out ghim5-none
check "is another run" [ "$(first_loss ghim5)" != "$(first_loss ghim5-none)" ]
exits "CaffeNet" 0 rn-train --arch caffenet "${small[@]}" --image-size 67 --val-resize 67 "${how[@]}" --epochs 1 --out caffenet
exits "its weights are evaluated" 0 rn-train --eval-only --weights caffenet/weights.safetensors --val-db a.val --threads 1 --json
exits "AlexNet's average pool takes no small images" 1 rn-train --arch alexnet "${small[@]}" --image-size 128 --val-resize 128 "${how[@]}" --out x
says "says so" "give images of 223 to 254 pixels"
exits "the stride in the 1x1" 0 rn-train --arch resnet50 --stem cifar --variant v1 "${small[@]}" "${how[@]}" --out v1
exits "the stride in the 3x3" 0 rn-train --arch resnet50 --stem cifar "${small[@]}" "${how[@]}" --out v15
exits "by its other name" 0 rn-train --arch resnet50 --stem cifar --variant b "${small[@]}" "${how[@]}" --out b50
check "v1 is another net" [ "$(first_loss v1)" != "$(first_loss v15)" ]
check "b is none" diff <(log_of v15) <(log_of b50)
exits "the file says which" 0 rn-train --eval-only --weights v1/weights.safetensors --val-db a.val --threads 1 --json
check "and is evaluated as such" grep -qF "$(sed -n 's/.*\("top1": [^,]*\).*/\1/p' v1/result.json | tr -d ' ')" out.txt

# ---- initial weights ---------------------------------------------------------------------------------------------
seen=
for init in model torchvision kaiming-out kaiming-in xavier xavier-normal xavier-caffe msra gaussian gaussian:0.05; do
    exits "--init $init" 0 train --epochs 1 --init $init --out "init-$init"
    seen="$seen $(first_loss "init-$init")"
done
# model and torchvision are one here, kaiming-in and msra are one by definition.
check "eight different beginnings" [ "$(tr ' ' '\n' <<<"$seen" | grep -c .) $(tr ' ' '\n' <<<"$seen" | grep . | sort -u | wc -l)" = "10 8" ]

# ---- teachers ----------------------------------------------------------------------------------------------------
exits "a teacher of another architecture" 0 rn-train --arch resnet50 --stem cifar "${small[@]}" "${how[@]}" --epochs 4 --out teacher
t=teacher/weights.safetensors
exits "without a teacher" 0 train --out alone
exits "with one" 0 train --teacher $t --kd-temperature 4 --kd-weight 0.7 --out taught
check "the loss is another" [ "$(first_loss alone)" != "$(first_loss taught)" ]
others "so are the weights" alone/weights.safetensors taught/weights.safetensors
check "the log names it" grep -qF "\"teacher\":{\"path\":\"$t\",\"sha256\":\"$(sha256sum $t | cut -d' ' -f1)\"" taught/log.jsonl
check "so do the weights" grep -qaF "$(sha256sum $t | cut -d' ' -f1)" taught/weights.safetensors
exits "another temperature" 0 train --teacher $t --kd-temperature 2 --kd-weight 0.7 --out cooler
check "is another loss" [ "$(first_loss cooler)" != "$(first_loss taught)" ]
exits "the paper's weights" 0 train --teacher $t --kd-temperature 4 --kd-weight 1 --kd-hard-weight 1 --out paper
check "are another loss" [ "$(first_loss paper)" != "$(first_loss taught)" ]
exits "a teacher hardly listened to" 0 train --teacher $t --kd-temperature 4 --kd-weight 1e-9 --out deaf
check "leaves the labels' loss" awk -v a="$(first_loss deaf)" -v b="$(first_loss alone)" 'BEGIN { d = a - b; exit !(a > 0 && d < 1e-5 && d > -1e-5) }'
exits "with mixed images and smoothed labels" 0 train --teacher $t --mixup 0.2 --label-smoothing 0.1 --out mixed
for n in 1 3 6; do
    exits "stops after step $n" 1 train --teacher $t --kd-temperature 4 --kd-weight 0.7 --out parts --stop-after-steps $n
done
cp $t moved.safetensors
exits "goes on, the teacher elsewhere" 0 train --teacher moved.safetensors --kd-temperature 4 --kd-weight 0.7 --out parts
check "to the bits and log of the run in one piece" same_run taught parts

exits "stops" 1 train --teacher $t --out switch --stop-after-steps 2
exits "does not go on with another teacher" 1 train --teacher alone/weights.safetensors --out switch
says "says so" "another teacher"
exits "nor without" 1 train --out switch
says "says so" "--teacher"
exits "stops without one" 1 train --out sudden --stop-after-steps 2
exits "does not go on with one" 1 train --teacher $t --out sudden
says "says so" "no teacher"
exits "a teacher of other classes" 1 train --teacher $t --train-db b.train --val-db b.val --out x
says "says so" "tells 4 classes apart, b.train has 5"
exits "no such teacher" 1 train --teacher none.safetensors --out x
says "names it" "none.safetensors"
exits "a teacher for gray images" 0 train --channels 1 --epochs 1 --out gray
exits "has nothing to teach here" 1 train --teacher gray/weights.safetensors --out x
says "says so" "images of 1 channels, the student of 3"
# Another mean in the place of as many characters of its recipe.
sed 's/# Evaluation\\neval-every = 1\\neval-batch = 0/mean = 0.9,0.5,0.1                          /' $t >pixels.safetensors
exits "a teacher used to other pixels" 0 train --teacher pixels.safetensors --kd-temperature 4 --kd-weight 0.7 --out pixels
check "gets to see those" [ "$(first_loss pixels)" != "$(first_loss taught)" ]
strip_metadata $t foreign.safetensors
exits "a foreign file as a teacher" 0 train --teacher foreign.safetensors --kd-temperature 4 --kd-weight 0.7 --out foreign
check "teaches the same" diff <(log_of taught) <(log_of foreign)

while read -r want args; do
    # shellcheck disable=SC2086
    exits "misuse: $args" 2 train --out x $args
    says "says: $want" "${want//_/ }"
done <<LIST
need_--teacher --kd-weight 0.3
need_--teacher --kd-temperature 2
leave_--teacher_out --teacher $t --kd-weight 0
give_--kd-hard-weight,_too --teacher $t --kd-weight 1.5
give_0_or_more --teacher $t --kd-hard-weight -0.5
kd-temperature --teacher $t --kd-temperature 0
give_--variant_none_or_d --variant c
one_of_none,_v1,_b,_c,_d --variant e
not_one_of_model --init he
only_gaussian_takes_a_number --init xavier:2
the_deviation_must_be --init gaussian:0
belongs_to_--se --se-round 8
belong_to_the_ResNets --arch alexnet --variant d
belong_to_the_ResNets --arch caffenet --stem imagenet --se 16
give_0_to_0.99 --dropout -0.5
LIST
finish
