#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train predict: --eval-only's logits to the bit, names out of the weights, broken images beside whole ones.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

printf 'n01440764 tench, Tinca tinca\nn02102040 English springer\nn03000684 chain "saw" & <co>\nn03888257 parachute\n' >names
mkilsvrc --synthetic 4 --classes names --train-per-class 11 --val 21 --size 40x30 --vary 30 --seed 3 raw --quiet >&2 &&
    pack-lmdb raw --split train --shuffle 1 train.lmdb --quiet >&2 && pack-lmdb raw --split val val.lmdb --quiet >&2 || exit 1
mkdir img && tar xf raw/ILSVRC2012_img_val.tar -C img
model=(--arch resnet18 --stem cifar --width 0.125 --image-size 24 --val-resize 28 --threads 1 --workers 2)
exits "trains" 0 rn-train "${model[@]}" --batch 8 --epochs 2 --lr 0.02 --train-db train.lmdb --val-db val.lmdb --out run --json
w=run/weights.safetensors

# ---- the same numbers as the evaluation ------------------------------------------------------------------------
# Records lie in the order of classes, files in that of their names: rows are compared as a set, which they are in both.
exits "evaluates" 0 rn-train --eval-only --weights $w --val-db val.lmdb --threads 1 --dump-logits eval.f32 --json
order=$(printf '%s\n' img/*.JPEG)
# shellcheck disable=SC2086
exits "predicts" 0 rn-train predict --weights $w --threads 1 --dump-logits predict.f32 --json $order
cp out.txt predict.json
check "a line an image" [ "$(wc -l <predict.json)" = 21 ]
rows() { od -An -v -tx4 -w16 "$1" | sort; }
check "every logit is the evaluation's, to the bit" [ -s eval.f32 -a "$(rows eval.f32)" = "$(rows predict.f32)" ]
check "and in the order of the images" [ "$(rows predict.f32 | uniq | wc -l)" -gt 15 ]
# shellcheck disable=SC2086
exits "with other threads and --batch 1" 0 rn-train predict --weights $w --threads 2 --batch 1 --dump-logits one.npy $order
check "NumPy's header is there" [ "$(stat -c %s one.npy)" = $((128 + 21 * 4 * 4)) ]

# ---- what is printed -------------------------------------------------------------------------------------------
first=$(head -n 1 <<<"$order")
exits "one image" 0 rn-train predict --weights $w "$first"
check "its name, then the classes" [ "$(head -n 1 out.txt) $(wc -l <out.txt)" = "$first 5" ]
check "WNID and words" grep -qE '^ +[0-9.]+ %  n01440764  tench, Tinca tinca$' out.txt
check "sorted, to 100 %" awk 'NR>1{s+=$1; if(NR>2&&$1>p)bad=1; p=$1} END{exit !(s>99.9&&s<100.1&&!bad)}' out.txt
exits "the two best as JSON" 0 rn-train predict --weights $w --top 2 --json "$first"
check "has two classes with their keys" grep -qE '^\{"file":"img/[^"]*","top":\[\{"label":[0-3],"wnid":"n[0-9]{8}","words":".*","probability":[0-9.e-]+\},\{[^{]*\}\]\}$' out.txt

# ---- what comes in ---------------------------------------------------------------------------------------------
head -c 300 "$first" >cut.jpg
: >empty.jpg
echo text >text.png
exits "broken images among whole ones" 1 rn-train predict --weights $w cut.jpg "$first" empty.jpg text.png none.jpg img/*05.JPEG
check "the whole ones are predicted" [ "$(grep -c '^img/' out.txt) $(grep -c '%' out.txt)" = "2 8" ]
check "a line for each broken one" [ "$(grep -c 'error: ' err.txt)" = 4 ]
for f in cut.jpg empty.jpg text.png none.jpg; do says "$f is named" "$f"; done
exits "as JSON" 1 rn-train predict --weights $w --json cut.jpg "$first"
check "an error and a result" [ "$(grep -c '"error":"cut.jpg' out.txt) $(grep -c '"top":' out.txt)" = "1 1" ]
exits "a folder" 1 rn-train predict --weights $w img
says "... and the way to its images is told" "img/*.jpg"
exits "no image" 2 rn-train predict --weights $w
exits "no weights" 2 rn-train predict "$first"
says "says so" "--weights FILE"
exits "weights that are none" 1 rn-train predict --weights names "$first"
exits "an unknown option" 2 rn-train predict --weights $w --epochs 3 "$first"
exits "into a full disk" 1 sh -c '"$@" >/dev/full' - rn-train predict --weights $w "$first"
exits "help" 0 rn-train predict --help
check "is its own" grep -q '^Usage: rn-train predict ' out.txt

# ---- weights of others -----------------------------------------------------------------------------------------
# Without metadata: cut the header's out and give the length anew.
n=$(od -An -tu8 -N8 $w | tr -d ' ')
h=$(head -c $((8 + n)) $w | tail -c +9 | sed -E 's/"__metadata__":\{([^{}"]|"([^"\\]|\\.)*")*\},//; s/ *$//')
# shellcheck disable=SC2059
{ printf "$(printf '\\x%02x' $((${#h} & 255)) $((${#h} >> 8 & 255)) $((${#h} >> 16 & 255)) $((${#h} >> 24 & 255)))\\0\\0\\0\\0"
    printf '%s' "$h"; tail -c +$((9 + n)) $w; } >bare.safetensors
size=(--image-size 24 --val-resize 28 --threads 1)
exits "without metadata" 0 rn-train predict --weights bare.safetensors "${size[@]}" "$first"
check "classes go by number" grep -qE '^ +[0-9.]+ %  class [0-3]$' out.txt
exits "with --classes" 0 rn-train predict --weights bare.safetensors --classes names "${size[@]}" --json "$first"
check "gives the result of the file with metadata" [ "$(cat out.txt)" = "$(head -n 1 predict.json)" ]
printf 'a cat\na dog\nanother\nthe last\n' >plain
exits "with bare names" 0 rn-train predict --weights bare.safetensors --classes plain "${size[@]}" "$first"
check "prints them" grep -qE ' %  a (cat|dog)$' out.txt
head -n 3 plain >three
exits "three names for four classes" 1 rn-train predict --weights bare.safetensors --classes three "${size[@]}" "$first"
says "says so" "three names 3 classes, bare.safetensors has 4"
finish
