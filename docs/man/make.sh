#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# make.sh BIN OUT: one man page for every tool in BIN, and for every command of rn-bench and rn-train, out of their own --help.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
bin=$1 out=$2
mkdir -p "$out"
tools=(ilsvrc-verify ilsvrc-extract pack-lmdb mkilsvrc rn-train rn-bench)
pages=("${tools[@]}")
while read -r command; do pages+=("rn-bench-$command"); done < <("$bin/rn-bench" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
for command in predict export; do pages+=("rn-train-$command"); done
version=$("$bin/rn-bench" --version | sed -n '1s/.*(\(rnkit\)) \([^ ]*\).*/\1 \2/p')

for page in "${pages[@]}"; do
    see=
    for other in "${pages[@]}"; do
        # a command refers to its tool, the tool to all of its commands, the tools to each other
        case $page:$other in
        "$page:$page") continue ;;
        rn-bench-*:rn-bench | rn-bench:rn-bench-* | rn-train-*:rn-train | rn-train:rn-train-*) ;;
        rn-bench-*:* | *:rn-bench-* | rn-train-*:* | *:rn-train-*) continue ;;
        esac
        see="$see${see:+, }\\\\fB${other//-/\\\\-}\\\\fR(1)"
    done
    case $page in
    rn-bench-*) command="rn-bench ${page#rn-bench-}" ;;
    rn-train-*) command="rn-train ${page#rn-train-}" ;;
    *) command=$page ;;
    esac
    # shellcheck disable=SC2086
    "$bin/"$command --help | awk -v name="$page" -v command="$command" -v version="$version" -v see="$see" -f "$here/man.awk" >"$out/$page.1.new"
    mv "$out/$page.1.new" "$out/$page.1"
done
