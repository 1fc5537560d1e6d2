#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A module that is loaded calls the library that the program has, and of that a linker takes only what the program names: each program that
# loads one must have all that it calls. Also run by itself, of those that are built (make check-modules).
. "$RNKIT_TESTS/tap.sh"
needed() { nm -D --undefined-only "$1" | awk '$NF ~ /^rn_/ { print $NF }' | sort -u; }
had() { nm -D --defined-only "$1" | awk '{ print $NF }' | sort -u; }
for module in tests/cuda/rnkit_cuda_emulated.so lib/rnkit/rnkit_cuda.so; do
    module=$RNKIT_BUILD/$module
    [ -f "$module" ] || { skip "what ${module##*/} calls" "not built: it wants CUDA=1, or no sanitizer"; continue; }
    needed "$module" >needed.txt
    programs=0 lacking=0
    for program in "$RNKIT_BIN"/rn-* "$RNKIT_BUILD"/tests/check-kernels "$RNKIT_BUILD"/tests/{golden,grad,unit}/test_*; do
        [ -x "$program" ] && had "$program" >had.txt && grep -qx rn_cuda_open had.txt || continue
        programs=$((programs + 1))
        comm -23 needed.txt had.txt | sed "s|^|${program##*/} lacks |" >lacks.txt
        [ ! -s lacks.txt ] || { cat lacks.txt >&2; lacking=$((lacking + 1)); }
    done
    check "what ${module##*/} calls, all programs have that load it" test -s needed.txt -a $programs -ge 3 -a $lacking = 0
done
finish
