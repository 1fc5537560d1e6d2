#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every recipe in datasets/ is one that rn-train takes: it gets as far as asking for data. And each is named in its README.
. "$RNKIT_TESTS/tap.sh"
sets=$(realpath "$RNKIT_TESTS/../datasets")
n=0
for recipe in "$sets"/*/recipes/*.recipe; do
    name=${recipe#"$sets"/}
    extra=()
    case $name in *distillation*) extra=(--teacher none.safetensors) ;; esac
    exits "$name is taken" 1 "$RNKIT_BIN/rn-train" --recipe "$recipe" --train-db none.lmdb --val-db none.lmdb --out run "${extra[@]}"
    says "... and only its data are missing" "none.lmdb"
    check "... and its README names it" grep -q "$(basename "$recipe")\`" "$(dirname "$(dirname "$recipe")")/README.md"
    n=$((n + 1))
done
check "there are recipes" test $n -gt 10
finish
