#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The documents keep up with the tree: docs/tour.md names every source file, links lead somewhere, and the options in
# README's examples exist.
. "$RNKIT_TESTS/tap.sh"
root=$(realpath "$RNKIT_TESTS/..")

# Files present in the tour by their name or, for x.c, by x.
missing=0
for f in "$root"/libcore/*/*.[ch] "$root"/libcore/*/*/*.[ch] "$root"/kernels/*.[ch] "$root"/kernels/*/*.[ch] "$root"/kernels/*/*.cu "$root"/bench/*.c "$root"/tools/*.c; do
    base=$(basename "$f")
    stem=${base%.*}
    grep -qwF -- "$stem" "$root/docs/tour.md" || { echo "docs/tour.md does not name $f" >&2; missing=$((missing + 1)); }
done
check "the tour names every source file" [ $missing = 0 ]

# And names none that is gone.
gone=0
while read -r word; do
    compgen -G "$root/*/$word*" >/dev/null || compgen -G "$root/*/*/$word*" >/dev/null || compgen -G "$root/libcore/*/*/$word*" >/dev/null ||
        { echo "docs/tour.md names $word, which is not there" >&2; gone=$((gone + 1)); }
done < <(grep -oE '\b(rn|ref|cpu|onednn|cuda|bench|kernels)_[a-z0-9_]+' "$root/docs/tour.md" | sort -u)
check "every file the tour names is there" [ $gone = 0 ]

broken=0
for doc in "$root"/*.md "$root"/docs/*.md "$root"/docs/results/*.md "$root"/datasets/README.md; do
    while read -r link; do
        case $link in http*) continue ;; esac
        [ -e "$(dirname "$doc")/${link%%#*}" ] || { echo "$doc links to $link" >&2; broken=$((broken + 1)); }
    done < <(grep -oE '\]\([^)]+\)' "$doc" | sed 's/^](//; s/)$//')
done
check "links in the documents lead somewhere" [ $broken = 0 ]

unknown=0 seen=0
while read -r tool rest; do
    for o in $(grep -oE -- '--[a-z][a-z0-9-]*' <<<"$rest"); do
        seen=$((seen + 1))
        case $tool in rn-bench) help=$("$RNKIT_BIN/$tool" "${rest%% *}" --help) ;; *) help=$("$RNKIT_BIN/$tool" --help) ;; esac
        grep -qE -- "$o( |\$|,)" <<<"$help" || { echo "$tool has no $o" >&2; unknown=$((unknown + 1)); }
    done
done < <(grep -hE '^(ilsvrc-verify|ilsvrc-extract|pack-lmdb|rn-train|rn-bench) ' "$root/README.md")
check "options in README's examples exist" [ $unknown = 0 ]
check "README has examples" [ $seen -gt 5 ]

finish
