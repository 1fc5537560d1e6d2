#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What every tool keeps to: --help, --version, misuse (exit 2 and one line that helps), the help text to the letter.
# `make golden-help` rewrites tests/cli/expected/*.help; the diff is what changed for the user.
. "$RNKIT_TESTS/tap.sh"

# one_line NAME TEXT...: stderr is one line that begins with the tool's name and holds every TEXT, stdout is empty
one_line() {
    local name=$1 t
    shift
    if [ -s out.txt ]; then not_ok "$name (something on stdout)"; return; fi
    if [ "$(wc -l <err.txt)" != 1 ] || ! grep -q "^$tool: " err.txt; then
        not_ok "$name (not one line of $tool's)"
        cat err.txt >&2
        return
    fi
    for t in "$@"; do
        if ! grep -qF -- "$t" err.txt; then
            not_ok "$name (no '$t' in: $(cat err.txt))"
            return
        fi
    done
    ok "$name"
}

for tool in ilsvrc-verify ilsvrc-extract pack-lmdb rn-train rn-bench; do
    run=$RNKIT_BIN/$tool
    if [ ! -x "$run" ]; then
        not_ok "$tool is built"
        continue
    fi
    exits "$tool --help exits 0" 0 "$run" --help
    check "$tool --help is silent on stderr" test ! -s err.txt
    check "$tool --help is the text on file" diff -u "$RNKIT_TESTS/cli/expected/$tool.help" out.txt
    check "$tool --help fits 120 columns" awk 'length($0) > 120 {print; bad = 1} END {exit bad}' out.txt
    exits "$tool --version exits 0" 0 "$run" --version
    check "$tool --version names itself" grep -qE "^$tool \(rnkit\) [0-9]+\.[0-9]+\.[0-9]+" out.txt
    exits "$tool --help into a full disk fails" 1 sh -c '"$1" --help >/dev/full' - "$run"

    exits "$tool without arguments exits 2" 2 "$run"
    one_line "$tool without arguments says what is missing in one line"
    exits "$tool --hepl exits 2" 2 "$run" --hepl
    one_line "$tool --hepl is told of --help" "--hepl" "--help"
    exits "$tool --jbos exits 2" 2 "$run" --jbos 3
    one_line "$tool --jbos is told of --jobs" "unknown option --jbos" "--jobs"
    for bad in x -1 1.5 99999999999 ''; do
        exits "$tool --jobs='$bad' exits 2" 2 "$run" --jobs="$bad" operand
        one_line "$tool --jobs='$bad' says what it takes" "--jobs: '$bad'" "0 to 1024"
    done
    exits "$tool --jobs without a value exits 2" 2 "$run" operand --jobs
    one_line "$tool --jobs without a value says so" "--jobs needs a value"
    exits "$tool --progress=sometimes exits 2" 2 "$run" --progress=sometimes operand
    one_line "$tool --progress lists its words" "'sometimes'" "auto, always, never"
    exits "$tool --quiet --verbose exits 2" 2 "$run" --quiet --verbose operand
done
finish
