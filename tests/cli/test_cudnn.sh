#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cuDNN's rows, as far as that goes without a device: the real library plans what they describe. Only a build with CUDA=1 has them.
. "$RNKIT_TESTS/tap.sh"
plans=$RNKIT_BUILD/tests/cuda/check-cudnn-plans
[ -x "$plans" ] || { skip "plans by cuDNN" "built with CUDA=1 alone"; finish; }
exits "without the library it is told" 0 env RNKIT_CUDNN_LIBRARY=/nowhere/libcudnn.so.9 "$plans"
grep -q 'cudnn.h was not there' out.txt && { skip "plans by cuDNN" "cudnn.h was not there"; finish; }
check "... in words" grep -q '# SKIP cannot load cuDNN: /nowhere/libcudnn.so.9' out.txt
exits "plans for devices that are not here" 0 env LD_LIBRARY_PATH="$RNKIT_BUILD/tests/cuda/driver" "$plans"
if grep -q SKIP out.txt; then
    skip "every direction and type" "$(sed -n 's/.*SKIP //p' out.txt | head -1)"
else
    check "every direction and type" test "$(grep -c '^ok .*: plans for \([0-9]*\) of \1 cases' out.txt)" = 30
fi
finish
