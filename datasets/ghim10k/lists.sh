#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# lists.sh RAW OUT: OUT/train.txt and OUT/val.txt, Caffe's "path label" lines over the images of RAW, and OUT/synset_words.txt.
# RAW holds 1.jpg .. 10000.jpg (or 0.jpg ..), 500 of a class after one another, or one folder a class. Of each class every tenth image,
# in the order of the numbers, goes to val: 9 to 1.
set -euo pipefail
raw=$1 out=$2
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/train.txt"
: >"$work/val.txt"
(cd "$raw" && find -L . -type f \( -iname '*.jpg' -o -iname '*.jpeg' \) -printf '%P\n') | LC_ALL=C sort -V >"$work/all"
[ -s "$work/all" ] || { echo "lists: no JPEG in $raw" >&2; exit 3; }
if grep -q / "$work/all"; then # folders: a class each, labels in the order of their names
    cut -d/ -f1 "$work/all" | LC_ALL=C sort -u >"$work/classes"
    awk -F/ 'NR == FNR {label[$1] = NR - 1; next} {print $0 "\t" label[$1]}' "$work/classes" "$work/all" >"$work/labelled"
else
    awk -F. 'NR == 1 {first = $1} $1 !~ /^[0-9]+$/ || $1 - first >= 10000 {print "lists: " $0 " is none of the numbers of GHIM-10k" >"/dev/stderr"; exit 1}
        {print $0 "\t" int(($1 - first) / 500)}' "$work/all" >"$work/labelled"
    seq -f 'class%02g' 0 19 >"$work/classes"
fi
awk -F'\t' -v t="$work/train.txt" -v v="$work/val.txt" '{print $1 " " $2 >(n[$2]++ % 10 == 9 ? v : t)}' "$work/labelled"
sed 's/$/ /; s/ *$//' "$work/classes" >"$work/synset_words.txt"
for f in train.txt val.txt synset_words.txt; do mv "$work/$f" "$out/$f"; done
echo "lists: $(wc -l <"$out/train.txt") images for training, $(wc -l <"$out/val.txt") for validation, $(wc -l <"$work/classes") classes" >&2
