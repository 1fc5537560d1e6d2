#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-bench: selection, refusals, verification and the JSON keys that scripts read. Nothing here depends on a time.
. "$RNKIT_TESTS/tap.sh"
PATH=$RNKIT_BIN:$PATH
small="--case mb1ic3ih9oc5kh3ph1 --rounds 2 --threads 1"

exits "no command is misuse" 2 rn-bench
says "... and the commands are listed" "accepted: compare, conv, loader, peak, resize, train"
exits "an unknown command is misuse" 2 rn-bench nosuch
exits "help" 0 rn-bench conv --help
exits "an unknown net is misuse" 2 rn-bench conv --net resnet19
says "... and the nets are listed" "resnet18, "
exits "an unknown direction is misuse" 2 rn-bench conv --dir sideways
exits "a descriptor without ic is misuse" 2 rn-bench conv --case ih9oc5kh3
says "... and the missing field is named" "'ic' is missing"
exits "an impossible shape is misuse" 2 rn-bench conv --case ic3ih2oc5kh5
exits "an operand is misuse" 2 rn-bench conv operand
check "... without a blank at the line's end" sh -c '! grep -q " $" err.txt'
exits "two lists at once are misuse" 2 rn-bench conv --net resnet18 --case ic3ih9oc5kh3
exits "a missing list is a failure" 1 rn-bench conv --shapes nosuch.shapes
# shellcheck disable=SC2086
{
    exits "an empty selection exits 3" 3 rn-bench conv $small --algo 'nosuch:*'
    exits "--json into a full disk fails" 1 sh -c '"$@" >/dev/full' - rn-bench conv $small --dir fwd --algo 'cpu:*' --json
    exits "one case in all directions" 0 rn-bench conv $small --algo cpu:im2col --json
}
check "... gives three results" test "$(grep -c '"case":' out.txt)" = 3
check "... in one array" test "$(head -c 1 out.txt)$(tail -c 2 out.txt)" = "[]"
check "... all verified" test "$(grep -c '"verified":true' out.txt)" = 3
for key in case dir dtype algo threads ms ms_iqr gflops flop_convention peak_pct verified; do
    check "... with the key $key" test "$(grep -c "\"$key\":" out.txt)" = 3
done
check "... in the named convention" grep -q '"flop_convention":"padding-counted"' out.txt
check "... and the whole descriptor" grep -q '"case":"mb1ic3ih9oc5oh9kh3sh1ph1"' out.txt

# ---- what memory is too small for
printf 'mb60000ic512ih128oc512kh3ph1nhuge fwd\nmb1ic3ih9oc5kh3ph1nsmall fwd\n' >huge.shapes
exits "a case too large for memory fails" 1 rn-bench conv --shapes huge.shapes --algo cpu:im2col,ref --rounds 1 --threads 1 --html page.html
says "... is counted" "failed: 2 of 4 results, which have no time"
check "... says what it needs and what there is" grep -Eq '^mb60000.* cpu:im2col +failed: needs 9[0-9]{3}\.[0-9]+ GiB, [0-9.]+ GiB available' out.txt
check "... and the list goes on" grep -Eq '^mb1ic3.* cpu:im2col +[0-9.]+ ' out.txt
check "... has no total" grep -q '^total fwd .*cpu:im2col.*without 1 of 2' out.txt
check "... is told in the page" grep -q 'colspan=9 class=bad>failed: needs 9' page.html
exits "... as JSON, too" 1 rn-bench conv --shapes huge.shapes --algo cpu:im2col --rounds 1 --threads 1 --json
check "... by its state" test "$(grep -c '"state":"failed","failure":"needs' out.txt),$(grep -c '"state":"timed"' out.txt)" = 1,1
exits "... and as CSV" 1 rn-bench conv --shapes huge.shapes --algo cpu:im2col --rounds 1 --threads 1 --csv
check "... by its state" grep -Eq '^mb60000.*,false,.*,failed$' out.txt
if ! rn-bench --version | grep -q 'sanitizer: none'; then
    skip "a limit of addresses is kept to" "sanitizers reserve more than that"
else
    exits "a limit of addresses is kept to" 1 sh -c 'ulimit -v 3000000; exec "$@"' - rn-bench conv --case mb64ic64ih256oc64kh3ph1 --dir fwd --algo cpu:im2col --rounds 1 --threads 1
    check "... and told" grep -Eq 'failed: needs [4-9]\.[0-9]+ GiB, [0-2]\.[0-9]+ GiB available' out.txt
fi

# ---- a run that is ended early keeps what it measured: the second case takes plain loops a minute
printf 'mb1ic3ih9oc5kh3ph1 fwd\nmb32ic64ih56oc64kh3ph1 fwd\n' >slow.shapes
for form in json csv; do
    mkfifo rows.$form
    rn-bench conv --shapes slow.shapes --rounds 3 --threads 1 --algo ref --$form >rows.$form 2>err.txt &
    pid=$!
    timeout 50 head -c 450 rows.$form >out.txt
    check "a row of $form is out as soon as it is measured" sh -c "kill -0 $pid && grep -q mb1ic3ih9oc5oh9kh3sh1ph1 out.txt"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
# shellcheck disable=SC2086
exits "the 16-bit types" 0 rn-bench conv $small --algo 'cpu:im2col,ref' --dtype bf16,f16 --json
check "... give twelve results" test "$(grep -c '"case":' out.txt)" = 12
check "... all verified" test "$(grep -c '"verified":true' out.txt)" = 12
check "... half of them bf16" test "$(grep -c '"dtype":"bf16"' out.txt)" = 6
check "... half of them f16" test "$(grep -c '"dtype":"f16"' out.txt)" = 6
exits "an unknown type is misuse" 2 rn-bench conv --dtype f8
says "... and the types are listed" "f32, bf16, f16"

# shellcheck disable=SC2086
exits "a capped instruction set" 0 rn-bench conv $small --isa portable --dir fwd --flops inbounds
check "... is told" grep -q 'portable' out.txt
check "... as is the FLOP convention" grep -q 'inbounds' out.txt
if rn-bench --version | grep -q '^oneDNN: yes'; then
    # shellcheck disable=SC2086
    exits "only a refusal exits 3" 3 rn-bench conv $small --isa portable --dir fwd --algo 'onednn:*'
    check "... and prints the reason" grep -q 'refused: .*instruction set' out.txt
else
    skip "only a refusal exits 3" "built without oneDNN"
fi

exits "a device that this build has not exits 77" 77 env RNKIT_CUDA_MODULE=nowhere.so rn-bench conv --case mb1ic3ih9oc5kh3ph1 --device cuda
says "... and says what to do" "nowhere.so is not there): build with CUDA=1, which needs nvcc, or use --device cpu"
exits "... for whole steps, too" 77 env RNKIT_CUDA_MODULE=nowhere.so rn-bench train --device cuda

cat >own.shapes <<'EOF'
# two layers
mb1ic3ih9oc5kh3ph1_nfirst *2 fwd,bwd_w
mb1ic5ih9oc4kh1sh2_nsecond # no count
EOF
exits "a list of one's own" 0 rn-bench conv --shapes own.shapes --mb 2 --rounds 1 --threads 1 --algo 'cpu:im2col' --json
check "... keeps to its directions" test "$(grep -c '"case":' out.txt)" = 5
check "... takes --mb" test "$(grep -c '"case":"mb2' out.txt)" = 5
check "... and counts" test "$(grep -c '"count":2' out.txt)" = 2
echo "mb1ic3ih9oc5kh3ph1 *x" >bad.shapes
exits "a bad count is a failure" 1 rn-bench conv --shapes bad.shapes
says "... at its line" "bad.shapes:1"

exits "peak" 0 rn-bench peak --threads 1 --seconds 0.05 --samples 2 --json
check "... has a number above 0" grep -Eq '"gflops":[1-9]' out.txt
exits "peak where OpenMP gives fewer threads" 0 env OMP_THREAD_LIMIT=1 timeout 60 rn-bench peak --threads 2 --seconds 0.01 --samples 1 --json
check "... has a number above 0 for all of them" grep -Eq '"threads":2,"gflops":[1-9]' out.txt
exits "peak where OpenMP changes its mind" 0 env OMP_DYNAMIC=true timeout 60 rn-bench peak --threads 64 --seconds 0.01 --samples 1 --json

exits "whole steps" 0 rn-bench train --arch resnet18 --stem cifar --width 0.125 --image-size 16 --batch 4 --classes 3 --seconds 0 --json
check "... with what they cost" grep -Eq '"weights":[0-9]+,"steps":3,"step_ms":[0-9.]+,.*"images_per_s":[1-9]' out.txt
check "... split by op" test "$(grep -c '^{"op":"conv_\(fwd\|bwd_d\|bwd_w\)","calls":[0-9]*,"ms":[0-9.]*,.*"bound":"\(flop\|bytes\)"},$' out.txt)" = 3
if command -v python3 >/dev/null; then
    check "... with every convolution of every direction in its shapes" python3 - <<'PY'
import json
with open("out.txt", encoding="utf-8") as f:
    step = json.load(f)
ops, parts = {o["op"]: o for o in step["ops"]}, step["parts"]
assert ops["conv_fwd"]["calls"] == ops["conv_bwd_w"]["calls"] == 20 and ops["conv_bwd_d"]["calls"] == 19, ops  # pixels need no gradient
assert ops["bn_fwd"]["calls"] == ops["bn_bwd"]["calls"] == 20 and ops["sgd"]["calls"] >= 1, ops
for name, op in ops.items():
    mine = [p for p in parts if p["op"] == name]
    assert sum(p["calls"] for p in mine) == op["calls"] and abs(sum(p["ms"] for p in mine) - op["ms"]) < 1e-4, name
for p in parts:
    assert ("layer" in p and "algo" in p and "case" in p and "dir" in p) == (p["op"].startswith("conv_") and p["op"] != "conv_prepare"), p
stem = next(p for p in parts if p.get("layer") == "conv1" and p["dir"] == "fwd")
assert abs(stem["gflop"] - 2e-9 * 4 * 16 * 16 * 8 * 3 * 9) < 1e-6, stem  # 8 channels of 64 * 0.125
assert abs(stem["gbytes"] - 4e-9 * (4 * 16 * 16 * (3 + 8) + 8 * 27)) < 1e-6, stem
assert step["roofline_ms"] > 0 and step["memory_gbytes_per_s"] > 0 and step["peak_gflops"]["f32"] > 0
PY
else
    skip "... with every convolution of every direction in its shapes" "no python3"
fi
exits "whole steps without the padding's taps" 0 rn-bench train --arch resnet18 --stem cifar --width 0.125 --image-size 16 --batch 4 --classes 3 --seconds 0 --flops inbounds --csv
check "... as CSV, a part a line" grep -Eq '^resnet18,16,4,f32,[0-9]+,conv_fwd,mb4ic3ih16oc8oh16kh3sh1ph1,conv1,[a-z:0-9-]+,' out.txt
check "... and the whole" grep -q '^resnet18,16,4,f32,[0-9]*,step,' out.txt
check "... every line with as many fields" test "$(awk -F, '{print NF}' out.txt | sort -u | wc -l)" = 1
exits "whole steps with a line for each shape" 0 rn-bench train --arch resnet18 --stem cifar --width 0.125 --image-size 16 --batch 4 --classes 3 --seconds 0 --precision bf16 --by-layer
check "... names layer and algorithm" grep -Eq 'layer4.1.conv2: [a-z]+:|layer4.0.conv2: [a-z]+:' out.txt
check "... and narrows the weights once a convolution" grep -Eq '^convert +20 ' out.txt
printf 'arch = resnet18\nstem = cifar\nwidth = 0.125\nimage-size = 16\nbatch = 4\nepochs = 2\n' >tiny.recipe
exits "whole steps of a recipe" 0 rn-bench train --recipe tiny.recipe --batch 2 --val-resize 0 --classes 3 --seconds 0
check "... the command line wins" grep -q "16 px, batch 2, f32" out.txt
exits "a recipe that makes no sense is misuse" 2 rn-bench train --recipe tiny.recipe --channels 2 --val-resize 0

exits "resize" 0 rn-bench resize --from 61x40 --to short:13 --filter lanczos --images 3 --seconds 0 --json
check "... has plain C first" grep -q '"from":"61x40","to":"19x13","channels":3,"filter":"lanczos","isa":"portable"' out.txt
check "... all verified" test "$(grep -c '"isa":' out.txt)" = "$(grep -c '"verified":true' out.txt)"
exits "resize of gray to an exact size with one instruction set" 0 env RNKIT_ISA=portable rn-bench resize --channels 1 --to exact:9x9 --images 1 --seconds 0
check "... is one row" test "$(grep -vc '^#\|^isa' out.txt)" = 1
exits "a size that is none is misuse" 2 rn-bench resize --to 256
says "... and the forms are listed" "short:N"
exits "an instruction set that is none is misuse" 2 env RNKIT_ISA=avx1024 rn-bench resize --images 1 --seconds 0
says "... and the words are listed" "accepted: portable, avx2, avx512, avx512bf16"
finish
