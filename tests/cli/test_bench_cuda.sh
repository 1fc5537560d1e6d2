#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-bench --device cuda on the emulated device: everything runs, and no figure of it is given for one of a device. Clocks and power are
# those that a library of the tests answers.
. "$RNKIT_TESTS/tap.sh"
. "$RNKIT_TESTS/emulated.sh"
PATH=$RNKIT_BIN:$PATH
emulated_device

for seed in 0 5; do
    RNKIT_EMULATE_SEED=$seed exits "ceilings, threads ordered by $seed" 0 rn-bench peak --device cuda
    check "... each did its work" test "$(grep -cE '^(f32_fma|(bf16|f16|tf32)_mma|(L2|DRAM)_(read|copy)) ' out.txt)" = 8
    check "... and none has a figure" test "$(grep -vc '^#' out.txt),$(grep -cE '^[a-zA-Z0-9_]+ +1 +- +G[A-Z/a-z]+ +-$' out.txt)" = 9,8
done
check "... it is said why" grep -q '^# EMULATED' out.txt
exits "... as JSON" 0 rn-bench peak --device cuda --json
check "... null" test "$(grep -cE '"(gflops|gb_s)":null,"samples_(gflops|gb_s)":\[\]' out.txt)" = 8

for cache in warm cold; do
    exits "convolutions, caches $cache" 0 rn-bench conv --device cuda --case mb2ic8ih6oc16kh3ph1 --rounds 2 --dtype f32,bf16 --cache $cache --csv --html page.html \
        --algo 'cuda:implicit-gemm,cuda:implicit-gemm-64,cuda:implicit-gemm-tf32,cuda:winograd*,cuda:direct'
    check "... all verified" test "$(grep -c ',true,.*,timed$' out.txt),$(grep -cE ',(wrong|failed)$' out.txt)" = 27,0
    check "... per cent of nothing" test "$(grep -cE ',padding-counted,,,unknown,' out.txt)" = 27
done
check "... the page says what they are of" grep -q '<h1>Convolutions on no GPU: .*(emulated)' page.html
exits "sums of 40,960 terms, cut off towards zero" 0 rn-bench conv --device cuda --case mb160ic257ih16oc1kh1 --rounds 1 --dir bwd_w --dtype bf16 --algo cuda:implicit-gemm-64
exits "as text" 0 rn-bench conv --device cuda --case mb2ic8ih6oc16kh3ph1 --rounds 1 --dir fwd --algo cuda:direct
check "... says that times are no device's" grep -q '^# EMULATED' out.txt
check "... and has no ceiling" grep -q '^# measured here: no ceiling' out.txt

steps="--arch resnet18 --stem cifar --width 0.0625 --image-size 8 --batch 2 --classes 10 --seconds 0 --device cuda"
# shellcheck disable=SC2086
exits "steps" 0 rn-bench train $steps --json
check "... split" test "$(grep -cE '^\{"op":"conv_(fwd|bwd_d|bwd_w)","calls":(20|19),' out.txt)" = 3
check "... timed as graphs, split op by op" grep -Eq '"step_ms_min":[0-9.]+,"replayed":true,"split_step_ms":[0-9.]+,' out.txt
check "... without ceilings" grep -q '"peak_gflops":{"f32":null,"bf16":null,"f16":null},"memory_gbytes_per_s":null,' out.txt
check "... on what" grep -q '"machine":{.*"gpu":"no GPU: emulated.*"emulated":"yes' out.txt

if [ ! -e /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1 ] && ! ldconfig -p 2>/dev/null | grep -q libnvidia-ml; then
    check "without NVML it is said so" grep -q '"nvml":"libnvidia-ml.so.1 is not there: clocks and power are not known"' out.txt
else
    skip "without NVML it is said so" "this machine has it"
fi
export LD_LIBRARY_PATH=$RNKIT_BUILD/tests/cuda
exits "with NVML" 0 rn-bench conv --device cuda --case mb2ic8ih6oc16kh3ph1 --rounds 1 --dir fwd --algo cuda:direct --json
check "... clocks and power are those after a case" grep -q '"gpu_sm_mhz":1755.0,"gpu_sm_mhz_max":1980.0,"gpu_memory_mhz":2619.0,"gpu_power_w":612.5,"gpu_power_limit_w":700.0,"gpu_slowed_by":"power cap, heat","driver":"none: emulated"' out.txt
check "... and nothing that it does not tell" test "$(grep -c gpu_celsius out.txt)" = 0
exits "... as text" 0 rn-bench conv --device cuda --case mb2ic8ih6oc16kh3ph1 --rounds 1 --dir fwd --algo cuda:direct
check "... at rest" grep -q 'clock 345 of 1980 MHz, 71 of 700 W before the first' out.txt
# shellcheck disable=SC2086
exits "steps with NVML" 0 rn-bench train $steps
check "... their clock" grep -q '^after the steps: clock [0-9]* MHz, [0-9]* W, slowed by ' out.txt
exits "an NVML that fails" 0 env RNKIT_EMULATE_NVML=9 rn-bench peak --device cuda
check "... is told" grep -q '^# nvmlInit_v2: error 9: clocks and power are not known' out.txt
for bad in "conv --threads 1..4" "conv --isa avx2" "peak --threads 2" "peak --isa avx2"; do
    # shellcheck disable=SC2086
    exits "$bad is misuse" 2 rn-bench $bad --device cuda
    says "... and why" "is of the CPU: leave it out with --device cuda"
done
RNKIT_CUDA_MODULE=nowhere.so exits "no such device" 77 rn-bench peak --device cuda
says "... says so" "nowhere.so is not there"
finish
