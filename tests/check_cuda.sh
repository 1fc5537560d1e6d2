#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# check_cuda.sh BUILD_DIR: on a GPU, what make check holds on the CPU: every kernel, whole nets against PyTorch, training beside the
# CPU's, and a part of the kernels under compute-sanitizer where that is there.
# Exit 77, and a line that says why, without a GPU; 1 on a failure.
set -u
build=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
# This build's, never the emulated one: tests/golden lies deeper than programs look for it from.
export RNKIT_CUDA_MODULE=$build/lib/rnkit/rnkit_cuda.so
work=$(mktemp -d "${TMPDIR:-/tmp}/rnkit-cuda.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$build/tests/check-kernels" --device cuda --group none >"$work/out" 2>"$work/err"
if [ $? = 77 ]; then
    cat "$work/err"
    echo "skipped: no GPU"
    exit 77
fi
grep '^# cuda:' "$work/out" || { cat "$work/err"; exit 1; }

export RNKIT_DEVICE=cuda
bad=0
one() { # NAME COMMAND...
    local name=$1
    shift
    if (cd "$work" && "$@") >"$work/out" 2>"$work/err"; then
        echo "passed: $name"
    else
        bad=1
        echo "failed: $name"
        { grep -A12 '^not ok' "$work/out" | head -60; tail -n 25 "$work/err"; } | sed 's/^/    | /'
    fi
}
one "kernels" "$build/tests/check-kernels" --device cuda
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck synccheck initcheck; do
        one "kernels under compute-sanitizer's $tool" compute-sanitizer --tool $tool --error-exitcode 1 \
            "$build/tests/check-kernels" --device cuda --every 40
    done
else
    echo "skipped: compute-sanitizer is not there"
fi
export CMOCKA_MESSAGE_OUTPUT=TAP RNKIT_TESTS=$here RNKIT_BIN=$build/bin RNKIT_BUILD=$build
for t in test_ops test_caffe test_model; do one "$t" "$build/tests/golden/$t"; done
one "ceilings, each seen to do its work" "$build/bin/rn-bench" peak --device cuda --seconds 0.1
one "convolutions of rn-bench, cold" "$build/bin/rn-bench" conv --device cuda --net resnet18 --mb 4 --rounds 2 --dtype f32,bf16 --cache cold
one "... with batch norms, fused and apart" "$build/bin/rn-bench" conv --device cuda --net resnet18 --mb 4 --rounds 2 --dtype f32,bf16 --bn
one "batches and steps under way" "$build/tests/unit/test_overlap"
one "batches cut on the device" "$here/cli/test_data_on.sh"
one "training" "$here/cli/test_cuda_train.sh"
one "ranks" "$here/cli/test_cuda_ranks.sh"
exit $bad
