#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cuDNN's rows, as far as that goes without a device: the real library plans what they describe. Only a build with CUDA=1 has them.
. "$RNKIT_TESTS/tap.sh"
plans=$RNKIT_BUILD/tests/cuda/check-cudnn-plans
[ -x "$plans" ] || { skip "plans by cuDNN" "built with CUDA=1 alone"; finish; }
exits "without the library it is told" 0 env RNKIT_CUDNN_LIBRARY=/nowhere/libcudnn.so.9 "$plans"
grep -q 'cudnn.h was not there' out.txt && { skip "plans by cuDNN" "cudnn.h was not there"; finish; }
check "... in words" grep -q '# SKIP cannot load cuDNN: /nowhere/libcudnn.so.9' out.txt
make_plans() { LD_LIBRARY_PATH=$RNKIT_BUILD/tests/cuda/driver "$plans" "$@"; }
export RNKIT_CUDNN_PLANS=$PWD/plans
exits "plans for devices that are not here" 0 make_plans
if grep -q SKIP out.txt; then
    skip "every direction and type" "$(sed -n 's/.*SKIP //p' out.txt | head -1)"
else
    check "every direction and type" test "$(grep -c '^ok .*: plans for \([0-9]*\) of \1 cases' out.txt)" = 30
    # What was compiled is in files, by which the next run need not.
    new() { grep -c ', compiled)' err.txt; }
    kept() { grep -c ', compiled before)' err.txt; }
    files() { find plans -type f -name '*.plan' | wc -l; }
    compiled=$(new)
    check "compiled ones are kept, each in a file" test "$compiled" -ge 6 -a "$(files)" = "$compiled"
    exits "again" 0 make_plans compiled
    check "... compiles none" test "$(new)" = 0 -a "$(kept)" = "$compiled"
    # Files that are cut, changed, or another's.
    mapfile -t file < <(find plans -type f | sort)
    cp -r plans whole
    truncate -s -1000 "${file[0]}"
    printf 'x' | dd of="${file[1]}" bs=1 seek=70000 conv=notrunc status=none
    cp "whole/${file[3]##*/}" "${file[2]}"
    exits "with damaged files" 0 make_plans compiled
    check "... compiles those alone" test "$(new)" = 3 -a "$(kept)" = $((compiled - 3))
    check "... says so" test "$(grep -c '\.plan: damaged, or not what its name says' err.txt)" = 3
    exits "which are whole then" 0 make_plans compiled
    check "... and taken" test "$(new)" = 0
    RNKIT_CUDNN_PLANS=/proc/none exits "where no file can be" 0 make_plans compiled
    check "... all are compiled, and one line says why" test "$(new)" = "$compiled" -a "$(grep -c "cuDNN's compiled plans are not kept" err.txt)" = 1
fi
finish
