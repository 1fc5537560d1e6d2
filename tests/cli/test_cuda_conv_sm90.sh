#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Convolutions by tensor maps and wgmma on the emulated device: strides, phases that no tap meets, tails of pixels, channels and columns,
# an image that no tile ends with, prologues, epilogues; copies as late as they may be, or in another order.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/emulated.sh"
emulated_device

kernels=$RNKIT_BUILD/tests/check-kernels
ulimit -c 0

# The emulated device finds each mistake, told as it should be; copies and products as late as they may be.
export RNKIT_EMULATE_SEED=0
mistakes=$RNKIT_BUILD/tests/cuda/check-async
exits "a product by tensor maps and wgmma" 0 "$mistakes" right
exits "what a driver refuses" 0 "$mistakes" refusals
while IFS=$'\t' read -r name text; do
    { "$mistakes" "$name" >out.txt 2>err.txt; } 2>aborted.txt
    says "$name is found" "$text"
done < <("$mistakes")
check "all of them" [ "$("$mistakes" | wc -l)" = 25 ]
unset RNKIT_EMULATE_SEED

sm90='mb2ic8ih9oc24kh2sh2ph1,mb2ic64ih14oc31kh1sh2,mb1ic8ih19oc64kh7sh2ph3,mb3ic72ih9oc136kh3sh2ph1,mb1ic64ih10iw7oc200kh3ph1'
sm90=$sm90,'mb3ic64ih12iw15oc40kh1,mb2ic128ih9oc72kh1sh2,mb3ic64ih9iw7oc136kh1sh2 *,mb3ic72ih7oc64kh3sh2ph1 *,mb2ic64ih6oc72kh1kw3ph0pw1 *,mb3ic64ih9oc40kh3kw1sh2ph1pw0 *'
exits "convolutions by tensor maps and wgmma" 0 "$kernels" --device cuda --group '*16' --algo 'cuda:*-sm90*' --case "$sm90"
grep '^not ok' out.txt >&2
for columns in '' -64 -256; do
    check "cuda:implicit-gemm-sm90$columns ran: bf16, f16, prologues and epilogues" \
        grep -qE "^# cuda:implicit-gemm-sm90$columns +[./]+ +7/6/3 +7/6/3 +[./]+ +20/12/6 +10/6/4" out.txt
done
exits "... in another order" 0 env RNKIT_EMULATE_SEED=2 "$kernels" --device cuda --group conv_bf16 --algo 'cuda:*-sm90*' \
    --case "${sm90/mb1ic8ih19oc64kh7sh2ph3,/}"
exits "... prologues" 0 env RNKIT_EMULATE_SEED=2 "$kernels" --device cuda --group conv_fuse_bf16 --algo 'cuda:*-sm90*' \
    --case 'mb3ic64ih9oc40kh3kw1sh2ph1pw0 pro*'
exits "a device that is older" 3 env RNKIT_EMULATE_CAPABILITY=80 "$kernels" --device cuda --group conv_bf16 --algo 'cuda:*-sm90' \
    --case mb3ic64ih7oc64kh3ph1
check "... is told so" grep -q 'needs compute capability 9.0' out.txt
finish
