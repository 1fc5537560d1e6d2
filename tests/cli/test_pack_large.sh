#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# pack-lmdb and size: a set larger than the first map, memory that does not grow with the input, huge pictures, long lists.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

mkilsvrc --synthetic 3 --train-per-class 20 --val 3 --size 120x90 --vary 30 --seed 7 raw --quiet >&2 || exit 1
mkdir tree
tar -xf raw/ILSVRC2012_img_train.tar -C tree
for t in tree/*.tar; do
    mkdir "${t%.tar}" && tar -xf "$t" -C "${t%.tar}" && rm "$t"
done
# list N: a list of N lines over the few images there are
list() { find tree -name '*.JPEG' -printf '%P 0\n' | sort | awk -v n="$1" '{l[NR] = $0} END{for (i = 0; i < n; i++) print l[i % NR + 1]}'; }

# The sanitizers take address space of their own by the terabyte.
limited() { bash -c 'ulimit -d "$0" && exec "$@"' "$@"; }
if nm "$RNKIT_BIN/pack-lmdb" 2>/dev/null | grep -q __asan_init; then limited() { shift && "$@"; }; fi

for times in 1 4 16; do
    list $((100 * times)) >list.txt
    exits "$times times: packs within 224 MB of memory" 0 limited 229376 pack-lmdb --list list.txt --root tree set$times --resize exact:256x256 --encode raw --jobs 2
    check "$times times: all of it" grep -q "^set$times: $((100 * times)) records" out.txt
done
size=$(wc -c <set16/data.mdb)
check "the last is larger than the first map of 256 MiB ($((size >> 20)) MiB)" [ "$size" -gt $((256 << 20)) ]
rm -rf set1 set4 set16
list 20000 >list.txt
exits "20,000 small records" 0 limited 229376 pack-lmdb --list list.txt --root tree many --resize exact:8x8 --encode raw --jobs 2
check "all of them" grep -q "^many: 20000 records" out.txt

# ---- lists, as Caffe has them ---------------------------------------------------------------------------------------
one=$(find tree -name '*.JPEG' -printf '%P\n' | sort | head -1)
mkdir "tree/two words" && cp "tree/$one" "tree/two words/a b 7.JPEG"
printf '%s 1\ntwo words/a b 7.JPEG 2\n' "$one" >blanks.txt
exits "paths with blanks: the label follows the last one" 0 pack-lmdb --list blanks.txt --root tree blanks
check "the key has the path as it is" grep -aq '00000001_two words/a b 7.JPEG' blanks/data.mdb
bad() { # bad NAME LINE TEXT
    printf '%s 1\n%b\n' "$one" "$2" >bad.txt
    exits "$1" 1 pack-lmdb --list bad.txt --root tree bad
    says "$1: names the line" "bad.txt:2: "
    says "$1: says what is wrong" "$3"
    check "$1: leaves nothing behind" [ ! -e bad ]
}
bad "a blank at the end" "$one 5 " "a blank at its end"
bad "a carriage return" "$one 5\\r" "carriage return"
bad "a label with text in it" "$one 5x" "label '5x' is not a number"
bad "a negative label" "$one -5" "label '-5' is not a number"
bad "a label past all sense" "$one 99999999999999999999" "is not a number from 0 to"
bad "no label" "$one" "not \"path label\""
bad "a path that leads out" "../x.JPEG 1" "no relative path"
bad "an empty line" "" "not \"path label\""

# ---- what is bad is listed, and the list survives -------------------------------------------------------------------
list 3000 | awk 'NR % 300 == 7 {print "gone/" NR ".JPEG 0"; next} NR == 2500 {print "empty.JPEG 0"; next} {print}' >list.txt
: >tree/empty.JPEG
exits "--on-bad fail stops at the first" 1 pack-lmdb --list list.txt --root tree skip --jobs 3
says "which is the first of the list" "gone/7.JPEG"
exits "--on-bad skip goes on from there" 0 pack-lmdb --list list.txt --root tree skip --on-bad skip --json
check "counts in JSON" grep -q '"records":2989,"skipped":11,' out.txt
check "lists them in order, with a reason" [ "$(cut -f1 skip/skipped.txt | tr '\n' ' ')" = "gone/7.JPEG gone/307.JPEG gone/607.JPEG gone/907.JPEG gone/1207.JPEG gone/1507.JPEG gone/1807.JPEG gone/2107.JPEG gone/2407.JPEG empty.JPEG gone/2707.JPEG " ]
check "a reason each" [ "$(grep -c "	.*No such file" skip/skipped.txt)" = 10 ]
exits "the same undisturbed" 0 pack-lmdb --list list.txt --root tree calm --on-bad skip
exits "one that was interrupted" 1 bash -c 'ulimit -f $(($(wc -c <calm/data.mdb) / 1024 * 8 / 10)); exec pack-lmdb --list list.txt --root tree torn --on-bad skip'
exits "and goes on" 0 pack-lmdb --list list.txt --root tree torn --on-bad skip
says "in its middle" "going on after"
for f in data.mdb seal.json skipped.txt; do
    check "has the same $f" cmp calm/$f torn/$f
done
awk '{print "gone/" NR ".JPEG 0"}' list.txt >none.txt
exits "nothing but bad ones: exit 3" 3 pack-lmdb --list none.txt --root tree none --on-bad skip
check "no seal then" [ ! -e none/seal.json ]
check "but the list" [ "$(wc -l <none/skipped.txt)" = 3000 ]
finish
