# SPDX-License-Identifier: MIT
# TAP for shell tests: `. "$RNKIT_TESTS/tap.sh"`, then ok / not_ok / skip / check..., and `finish` last.
# shellcheck shell=bash
tap_n=0 tap_bad=0
ok() { tap_n=$((tap_n + 1)); echo "ok $tap_n - $*"; }
not_ok() { tap_n=$((tap_n + 1)); tap_bad=$((tap_bad + 1)); echo "not ok $tap_n - $*"; }
skip() { tap_n=$((tap_n + 1)); echo "ok $tap_n - $1 # SKIP $2"; }
# check NAME COMMAND...: ok when the command succeeds
check() { local name=$1; shift; if "$@" >&2; then ok "$name"; else not_ok "$name"; fi; }
# exits NAME WANT COMMAND...: ok when the exit status is WANT; stdout and stderr are left in out.txt and err.txt
exits() {
    local name=$1 want=$2 got; shift 2
    "$@" >out.txt 2>err.txt; got=$?
    if [ $got = "$want" ]; then ok "$name"; else not_ok "$name (exit $got, wanted $want)"; cat err.txt >&2; fi
}
# says NAME TEXT: ok when err.txt holds TEXT
says() { if grep -qF -- "$2" err.txt; then ok "$1"; else not_ok "$1 (no '$2' on stderr)"; cat err.txt >&2; fi; }
# tensors FILE: the numbers of a safetensors file, without its header, which holds the recipe
tensors() { tail -c +$((9 + $(od -An -t u8 -N 8 "$1"))) "$1"; }
# others NAME A B: ok when both weights files are there and their numbers differ
others() { if [ -s "$2" ] && [ -s "$3" ] && ! cmp -s <(tensors "$2") <(tensors "$3"); then ok "$1"; else not_ok "$1"; fi; }
# data NAME FILE: succeeds when FILE is there below RNKIT_DATA; otherwise a visible skip
data() {
    [ -e "$RNKIT_DATA/$2" ] && return 0
    skip "$1" "RNKIT_DATA has no $2"; return 1
}
finish() { echo "1..$tap_n"; [ $tap_bad = 0 ]; exit $?; }
