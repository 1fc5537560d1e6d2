#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The CUDA backend's convolutions on the emulated device: few cases, of whole pieces of 16 bytes and of none, with a stride, fused
# work and sums in parts. All of them: check-kernels --device cuda.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/emulated.sh"
emulated_device

exits "convolutions on the emulated device" 0 "$RNKIT_BUILD/tests/check-kernels" --device cuda --group 'conv*' --algo 'cuda:*,!cuda:*-sm90*' \
    --case 'mb2ic8ih9oc24kh2sh2ph1,mb1ic17ih4oc33kh1*,mb24ic16ih6iw5oc31kh3sh2ph1 *'
grep '^not ok' out.txt >&2
for algo in implicit-gemm implicit-gemm-64 implicit-gemm-tf32 direct; do
    check "cuda:$algo ran, each direction" grep -qE "^# cuda:$algo +2/2/2" out.txt
done
exits "first layers on the emulated device" 0 "$RNKIT_BUILD/tests/check-kernels" --device cuda --group 'conv*' --algo cuda:direct-stem \
    --case 'mb3ic3ih32iw30oc40kh3ph1*,mb3ic3ih40oc80kh7sh2ph3*,mb3ic3ih40oc64kh7sh2ph3,mb1ic3ih4iw1501oc8kh3kw2ph1pw0*'
grep '^not ok' out.txt >&2
check "cuda:direct-stem ran, forward and to the weights" grep -qE "^# cuda:direct-stem +[^ ]+ +3/-/3 +3/-/3 +[^ ]+ +3/./3 +3/./3" out.txt
# Several chunks of tiles, and several parts of a sum.
exits "minimal filtering" 0 "$RNKIT_BUILD/tests/check-kernels" --device cuda --group 'conv,conv_fuse' --algo 'cuda:winograd*' \
    --case 'mb2ic3ih7oc5kh3ph1,mb33ic17ih5oc19kh3ph1 *,mb33ic17ih5oc19kh3ph1'
grep '^not ok' out.txt >&2
for algo in winograd winograd-2x2; do
    check "cuda:$algo ran, each direction" grep -qE "^# cuda:$algo +2/2/2 .* [1-9]/[1-9]/[1-9]" out.txt
done
finish
