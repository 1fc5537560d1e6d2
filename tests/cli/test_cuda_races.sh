#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The checker of the emulated device (races, memory that was not written, misaligned vectors): it finds what is wrong in kernels
# that are, one mistake each, and nothing in the same ones without it; nor in some of the backend's. All of those: make check-long.
. "$RNKIT_TESTS/tap.sh"
build=$RNKIT_BUILD/tests/cuda
[ -e "$build/check-races" ] || { skip "kernels that are wrong" "make checked has not built it"; finish; }
ulimit -c 0

declare -A says=(
    [no_barrier]='not written it, or not yet' [no_second_barrier]='race:' [no_syncwarp]='race: written' [syncwarp_for_all]='or not yet'
    [same_place]='and no barrier since' [between_blocks]='by block [01] of the same launch' [misaligned]='not aligned for .*float4'
    [misaligned_shared]='not aligned for .*float2' [never_written]='this block has not written it' [beyond_shared]='beyond the launch.s 256 bytes'
    [beyond_array]='an index outside of' [before_allocation]='neither shared nor device memory' [misaligned_copy]='not aligned to 16 bytes'
    [matrix]='or not yet' [matrix_misaligned]='not aligned to 16 bytes' [part_of_a_warp]='only a part of a warp'
    [copy_without_wait]='which has not been waited for' [copy_without_barrier]='or not yet' [streams]='in another stream'
    [never_filled]='nothing has been written there'
)
count=0
for name in $("$build/check-races"); do
    { "$build/check-races" "$name" >out.txt 2>err.txt; } 2>aborted.txt
    rc=$?
    if [ $rc = 134 ] && grep -qE "${says[$name]:-no such name}" err.txt; then ok "$name is found"; else not_ok "$name (exit $rc)"; cat err.txt >&2; fi
    exits "$name, done right" 0 "$build/check-races" "$name:right"
    count=$((count + 1))
done
check "all that it should find" [ $count = ${#says[@]} ]

# Another order of threads: a race is found whichever comes first.
for seed in 0 2 3; do
    ( export RNKIT_EMULATE_SEED=$seed
      for name in no_second_barrier no_syncwarp between_blocks streams; do ! "$build/check-races" $name 2>/dev/null || exit 1; done ) 2>aborted.txt
    check "races in the order of seed $seed" [ $? = 0 ]
done

export RNKIT_CUDA_MODULE=$build/rnkit_cuda_checked.so
every() { # every N GROUPS
    "$RNKIT_BUILD/tests/check-kernels" --device cuda --every "$1" --group "$2" >checks.txt 2>checks.err || { tail -n 3 checks.err >&2; false; }
}
if [ -n "${RNKIT_LONG:-}" ]; then
    check "every kernel, checked" every 1 '*'
else
    check "ops, each 60th case, checked" every 60 'point,bn,pool,dense,join,channel,half'
    check "convolutions, each 200th case, checked" every 200 'conv*'
fi
finish
