#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh BUILD_DIR [GLOB...]: runs every test program (or those whose name matches a glob) and adds up their TAP.
# A program must print a plan ("1..N") and N results; one that stops short, crashes or prints none counts as failed.
# JOBS of them at a time (one per core, 8 at most): most have one thread, and the machine's cores should not wait for it.
# EVERY=N: check-kernels takes only every N-th case of each algorithm, direction and instruction set (sanitizers' builds).
# Ends with the programs that cost the most CPU time, and a closing line: "N passed, N failed, N skipped".
# Exit 1 on a failure, 3 when nothing passed.
set -um # each job a process group of its own, so that an interrupted run leaves none behind

build=$(realpath "$1")
shift
here=$(dirname "$(realpath "$0")")
RNKIT_DATA=$(realpath -m "${RNKIT_DATA:-$here/../../shared/data}")
export RNKIT_DATA RNKIT_BIN=$build/bin RNKIT_TESTS=$here RNKIT_BUILD=$build
export CMOCKA_MESSAGE_OUTPUT=TAP
# Waiting threads do not spin: the machine may be shared (rn_kernels_start does this for the tools).
export GOMP_SPINCOUNT=1000 KMP_BLOCKTIME=0
# An allocation too large is an error that the library reports: under the sanitizer it must get to see NULL, too.
export ASAN_OPTIONS=allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS} TSAN_OPTIONS=allocator_may_return_null=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}
work=$(mktemp -d "${TMPDIR:-/tmp}/rnkit-check.XXXXXX")
trap 'jobs -p | sed s/^/-/ | xargs -r kill -- 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
jobs=${JOBS:-$(nproc)}
[ "$jobs" -le 8 ] || jobs=8

programs=()
while IFS= read -r p; do programs+=("$p"); done < <(
    find "$build/tests" -type f \( -name 'test_*' -o -name 'fuzz_*' -o -name check-kernels \) -perm -u+x 2>/dev/null | sort
    find "$here/cli" "$here/e2e" -type f -name 'test_*.sh' 2>/dev/null | sort
)

# run_one PROGRAM N: prints its lines at once when it is done, and leaves "passed failed skipped cpu-seconds name" in N.sum: a C
# test and a shell test may have the same name.
run_one() {
    local p=$1 at=$work/$2 args=() label name rc took cpu ok bad skip plan why
    name=$(basename "$p" .sh)
    [ "$name" != check-kernels ] || [ "${EVERY:-1}" = 1 ] || args=(--every "$EVERY")
    label="$name${args[*]:+ ${args[*]}}"
    mkdir -p "$at"
    TIMEFORMAT='%R %U %S'
    { time (cd "$at" && TMPDIR=$at "$p" "${args[@]}" >"$at.out" 2>"$at.err" </dev/null); } 2>"$at.time"
    rc=$?
    read -r took cpu < <(awk '{printf "%.1f %.1f\n", $1, $2 + $3}' "$at.time")
    read -r ok bad skip plan < <(awk '
        /^(not )?ok .*# *[Ss][Kk][Ii][Pp]/ {skip++; next} # cmocka says "not ok" of what it skips
        /^ok( |$)/ {ok++; next}
        /^not ok( |$)/ {bad++; next}
        /^1\.\.[0-9]+/ {sub(/^1\.\./, ""); plan += $1; seen = 1}
        END {print ok+0, bad+0, skip+0, seen ? plan : -1}' "$at.out")
    why=""
    if [ "$plan" -lt 0 ]; then why="printed no plan"
    elif [ "$plan" -eq 0 ]; then why="planned no test"
    elif [ $((ok + bad + skip)) -ne "$plan" ]; then why="planned $plan tests, reported $((ok + bad + skip))"
    elif [ $rc -ne 0 ] && [ "$bad" -eq 0 ]; then why="exit status $rc without a failed test"
    fi
    if [ -n "$why" ]; then bad=$((bad + 1)); fi
    {
        printf '%-28s %5d passed %4d failed %4d skipped %7ss %7s CPU s%s\n' "$label" "$ok" "$bad" "$skip" "$took" "$cpu" "${why:+   <- $why}"
        grep -hE '^(not )?ok .*# *[Ss][Kk][Ii][Pp]' "$at.out" | sed -E 's/^(not )?ok [0-9 -]*/    skipped: /' | sort | uniq -c | sort -rn | head -5 | sed 's/^ *1 / /'
        if [ "$bad" -gt 0 ]; then
            { grep -h -A12 '^not ok' "$at.out" | head -60; tail -n 25 "$at.err"; } | sed 's/^/    | /'
        fi
    } >"$at.lines"
    flock "$work" cat "$at.lines"
    echo "$ok $bad $skip $cpu $name" >"$at.sum"
    rm -rf "${at:?}" "$at".{out,err,time}
}

started=0
for p in "${programs[@]}"; do
    name=$(basename "$p" .sh)
    case ${RNKIT_KIND:-all}:$p in c:*.sh) continue ;; esac # RNKIT_KIND=c: no shell tests
    if [ $# -gt 0 ]; then
        want=0
        # shellcheck disable=SC2254
        for g in "$@"; do case $name in $g) want=1 ;; esac; done
        [ $want = 1 ] || continue
    fi
    # A program whose source is gone must not be run from an old build.
    case $p in
    "$build"/tests/check-kernels) ;;
    "$build"/*) [ -f "$here/${p#"$build"/tests/}.c" ] || continue ;;
    esac
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    run_one "$p" $started &
    started=$((started + 1))
done
wait

cat "$work"/*.sum >"$work/sums" 2>/dev/null
read -r finished passed failed skipped cpu < <(awk '{p += $1; f += $2; s += $3; c += $4} END {printf "%d %d %d %d %.0f\n", NR, p, f, s, c}' "$work/sums")
[ "$finished" = "$started" ] || { echo "run.sh: $((started - finished)) of $started programs left no result" >&2; failed=$((failed + 1)); }
[ "$started" -lt 5 ] || echo "most CPU time, of $cpu s: $(sort -k4,4nr "$work/sums" | head -8 | awk '{printf "%s%s %s", (NR > 1 ? ", " : ""), $5, $4}')"
[ "$failed" = 0 ] || echo "failed: $(awk '$2 > 0 {print $5}' "$work/sums" | sort | xargs)"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] || exit 1
[ "$passed" -gt 0 ] || exit 3
