#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Measured choices of algorithms: told, logged, kept by the run, shared by a file, and the same for a resumed run, for one that
# replays them and for every rank.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/training.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

mkilsvrc --synthetic 3 --train-per-class 8 --val 6 --size 24x24 --seed 1 raw --quiet >&2 &&
    pack-lmdb raw --split train train --quiet >&2 && pack-lmdb raw --split val val --quiet >&2 || exit 1
how=(--arch resnet18 --stem cifar --width 0.125 --image-size 16 --val-resize 16 --threads 1 --workers 1 --batch 8 --epochs 2 --lr 0.01
    --log-steps 1 --train-db train --val-db val)
train() { rn-train "${how[@]}" "$@"; }
# algos RUN KEY: layer, direction and algorithm of each choice, a line
algos() { head -n 1 "$1/log.jsonl" | sed -e "s/.*\"$2\":\[//" -e 's/\].*//' | tr '{' '\n' | sed -nE 's/^"layer":"([^"]*)","dir":"([a-z_]*)".*"algo":"([^"]*)".*/\1 \2 \3/p'; }
same_weights() { [ -s "$1/weights.safetensors" ] && cmp <(tensors "$1/weights.safetensors") <(tensors "$2/weights.safetensors"); }
alike() { [ -n "$(algos "$1" algorithms)" ] && [ "$(algos "$1" "$3")" = "$(algos "$2" "$3")" ]; }

# ---- measured once, and told ---------------------------------------------------------------------------------------
exits "trains with measured choices" 0 train --tune quick --out measured --tune-file shared.json
cp err.txt told.txt
check "tells what was chosen, and what the second best would have cost" grep -qE '^rn-train: .* [0-9]+ x bwd_w mb8ic[0-9a-z]* +[a-z]+:[a-z0-9-]+ [0-9.]+ ms; second [a-z]+:[a-z0-9-]+ [0-9.]+ ms' told.txt
check "for training" grep -q 'convolutions of training, .* chosen by measurement' told.txt
check "and for evaluation" grep -q 'convolutions of evaluation, .* chosen by measurement' told.txt
check "the log has them, with their cost" grep -qE '"algorithms":\[\{"layer":"conv1","dir":"fwd",[^}]*"by":"measured","ms":[0-9.e-]+,"second":"[^"]+","second_ms":[0-9.e-]+\}' measured/log.jsonl
check "of evaluation, too" grep -qE '"eval_algorithms":\[\{"layer":"conv1","dir":"fwd",[^}]*"second_ms"' measured/log.jsonl
check "one a layer and direction: 20 convolutions, the first without bwd_d" [ "$(algos measured algorithms | wc -l)" = 59 ]
check "the report shows the second best" grep -q 'class=note>.*:[a-z0-9-]* [0-9.]* ms</span></td>' measured/report.html
check "the run keeps them" grep -q '"second_ms"' measured/tune.json
check "and so does the file" cmp measured/tune.json shared.json

# ---- the same again -------------------------------------------------------------------------------------------------
exits "measures nothing that the file has" 0 train --tune quick --out again --tune-file shared.json
check "and takes the same" alike measured again algorithms
check "also in evaluation" alike measured again eval_algorithms
check "so the bits are the same" same_weights measured again
check "which the log calls remembered" grep -q '"by":"remembered"' again/log.jsonl
check "the file stays as it is" cmp measured/tune.json shared.json
exits "replays them without measuring" 0 train --tune off --out replayed --tune-file shared.json
check "to the same bits" same_weights measured replayed
exits "stops" 1 train --tune quick --out parts --tune-file shared.json --stop-after-steps 2
echo '{"version": 2, "entries": {}}' >shared.json
exits "goes on with what the run itself keeps" 0 train --tune quick --out parts --tune-file shared.json
check "to the same bits" same_weights measured parts
check "a file that lacks them gets them" cmp measured/tune.json shared.json

# ---- batch norms done by convolutions --------------------------------------------------------------------------------
# ways RUN: how each batch norm runs, and what convolutions do for them
ways() { head -n 1 "$1/log.jsonl" | grep -oE '"(layer|dir|fuse|way)":"[^"]*"'; }
fuse=(--tune quick --fuse auto --tune-file fused.json)
exits "measures batch norms with the convolutions beside them" 0 train "${fuse[@]}" --out fused
check "tells what it chose, and what the second best would have cost" grep -qE 'layer1\.0\.bn1 +(apart|given|through) +[0-9.]+ ms with the convolutions beside it; second (apart|given|through) [0-9.]+ ms' err.txt
check "the log has all of them: 20" [ "$(ways fused | grep -c '"way"')" = 20 ]
check "with their cost" grep -qE '"batch_norms":\[\{"layer":"bn1","way":"[a-z]+","ms":[0-9.e-]+,"second":"[a-z]+","second_ms":[0-9.e-]+\}' fused/log.jsonl
check "the tuning file says which costs are of fused work" bash -c 'grep -q "fuse=pro_bn+pro_relu" fused.json && grep -q "fuse=epi_stats" fused.json && grep -q " fuse=none " fused.json && grep -q "| bn_bwd rows" fused.json'
cp fused.json kept.json
exits "stops" 1 train "${fuse[@]}" --out fparts --stop-after-steps 2
check "chose the same" diff <(ways fused) <(ways fparts)
echo '{"version": 2, "entries": {}}' >fused.json
check "is killed on its way" kill_at fparts 4 rn-train "${how[@]}" "${fuse[@]}" --out fparts
exits "goes on with what it chose, having no file to take it from" 0 train "${fuse[@]}" --out fparts
check "to the same bits" same_run fused fparts
check "replays the costs without measuring" bash -c 'rn-train "$@" --tune off --fuse auto --tune-file kept.json --out freplayed 2>/dev/null' - "${how[@]}"
check "to the same bits, too" same_weights fused freplayed
exits "fuses whatever can be" 0 train --fuse on --out fon
check "which the log names" bash -c 'ways=$(head -n 1 fon/log.jsonl); [[ $ways == *\"way\":\"through\"* && $ways == *\"fuse\":\"epi_stats\"* && $ways == *\"fuse\":\"pro_bn+pro_relu* ]]'
check "and the checkpoint" grep -raq "fwd cpu:[a-z0-9-]* pro_bn+pro_relu" "$(newest fon)"
exits "stops" 1 train --fuse on --out fonparts --stop-after-steps 4
exits "goes on" 0 train --fuse on --out fonparts
check "to the same bits" same_run fon fonparts
exits "goes on otherwise" 1 train --fuse off --out fonparts
says "never: that is another recipe" "fuse on -> off"

# ---- by order, by name -----------------------------------------------------------------------------------------------
exits "trains by table order" 0 train --out ordered
check "measures nothing, keeps nothing" bash -c 'grep -q "\"by\":\"order\"" ordered/log.jsonl && ! grep -q second_ms ordered/log.jsonl && [ ! -e ordered/tune.json ]'
exits "again" 0 train --out ordered2
check "to the same bits" same_weights ordered ordered2
exits "leaves an algorithm out" 0 train --out named --algo '!cpu:im2col,!*winograd*,!onednn:*'
check "all over the net" bash -c '! head -n 1 named/log.jsonl | grep -oE "\"layer\":[^}]*\"algo\":\"[^\"]*" | grep -E "cpu:im2col|onednn:|winograd"'
exits "allows what is not exact" 0 train --out fast --fast --epochs 1

# ---- wrong files -----------------------------------------------------------------------------------------------------
exits "replaying from no file" 1 train --tune off --out none --tune-file absent.json
says "says how to make one" "absent.json: no such tuning file; --tune quick makes one"
echo '[1, 2]' >other.json
exits "what is no tuning file" 1 train --tune quick --out none --tune-file other.json
says "is named" "other.json: not a tuning file"
check "and left alone" [ "$(cat other.json)" = "[1, 2]" ]

# ---- ranks ------------------------------------------------------------------------------------------------------------
if rn-train --version | grep -q '^MPI: yes' && command -v mpirun >/dev/null; then
    ranks() { timeout -k 10 120 mpirun --allow-run-as-root --oversubscribe -n 2 rn-train "${how[@]}" "$@"; }
    exits "two ranks agree on measured choices, what is fused among them" 0 ranks --fuse auto --tune quick --tune-file ranks.json --out ranks
    check "which are written down once" [ "$(grep -c '"second_ms"' ranks/tune.json)" -gt 10 ]
    exits "stop" 1 ranks --fuse auto --tune quick --tune-file ranks.json --out rstopped --stop-after-steps 1
    exits "and go on" 0 ranks --fuse auto --tune quick --out rstopped
    check "to the same bits" same_run ranks rstopped
    exits "two ranks fuse whatever can be" 0 ranks --fuse on --out fused-ranks
    check "and do" bash -c 'head -n 1 fused-ranks/log.jsonl | grep -q "\"way\":\"through\""'
    exits "stop" 1 ranks --fuse on --out fstopped --stop-after-steps 1
    exits "and go on" 0 ranks --fuse on --out fstopped
    check "to the same bits" same_run fused-ranks fstopped
else
    skip "ranks" "no MPI"
fi
finish
