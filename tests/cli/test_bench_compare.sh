#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-bench compare: verdicts, exit codes, what is named when files do not fit. The figures are made up, so that the verdicts are known.
. "$RNKIT_TESTS/tap.sh"
PATH=$RNKIT_BIN:$PATH

# row CASE ALGO MS [COUNT]: eleven samples within 0.4 % of MS
row() {
    awk -v c="$1" -v a="$2" -v ms="$3" -v n="${4:-1}" 'BEGIN {
        printf "{\"case\":\"%s\",\"dir\":\"fwd\",\"dtype\":\"f32\",\"algo\":\"%s\",\"threads\":2,\"ms\":%g,\"ms_iqr\":%g,\"count\":%d,\"verified\":true,\"samples_ms\":[", c, a, ms, ms * 0.004, n
        for (i = 0; i < 11; i++) printf "%s%g", i ? "," : "", ms * (1 + (i * 7 % 11 - 5) * 0.0008)
        printf "]}\n"
    }'
}
list() { echo "["; sed '$!s/$/,/'; echo "]"; }

{ row one cpu:x 10 4; row two cpu:x 20; row three cpu:x 5; row four cpu:x 1; } | list >a.json
{ row four cpu:x 1; row three cpu:x 5.01; row two cpu:x 24; row one cpu:x 8 4; } | list >b.json

exits "a file beside itself" 0 rn-bench compare a.json a.json
check "... is the same throughout" grep -q '4 compared: 4 same; geometric mean of the speeds 1.000' out.txt
exits "a slower case fails" 1 rn-bench compare a.json b.json
says "... and is counted" "1 of 4 are slower by more than 5 %"
check "... by name" grep -Eq '^slower +0\.833 \[ +0\.83[0-9], +0\.83[0-9]\] +0\.833 +20 +24 ms +two fwd f32 threads 2 cpu:x' out.txt
check "... the faster one, too" grep -Eq '^faster +1\.250 .* one ' out.txt
check "... and those that are neither, in A's order whatever B's" test "$(awk '/^(same|slower|faster)/ {print $1}' out.txt | xargs)" = "faster slower same same"
check "... the total weighs by count" grep -q 'time-weighted: A 66.0000 ms, B 62.0100 ms, speed 1.064' out.txt
exits "a tolerance above it" 0 rn-bench compare a.json b.json --tolerance 30
exits "a tolerance that lies inside the interval" 0 rn-bench compare a.json b.json --tolerance 19.9
check "... is unclear" grep -q '^unclear .* two ' out.txt
exits "the other way round" 1 rn-bench compare b.json a.json
exits "as JSON" 1 rn-bench compare a.json b.json --json
check "... with the counts" test "$(tr -d ' \n' <out.txt | grep -c '"faster":1,"same":2,"slower":1,"unclear":0,"lost":0,')" = 1
cp out.txt json.txt
exits "as CSV" 1 rn-bench compare a.json b.json --csv
check "... the same figures" test "$(awk -F, '$1 ~ /^two/ {print $8}' out.txt)" = "$(grep -A12 '"two fwd' json.txt | sed -n 's/.*"speed": \([0-9.]*\),.*/\1/p')"
check "... a line each and a head" test "$(wc -l <out.txt)" = 5

# quieter samples are as before: a neighbour, not the code
sed '/three/s/"samples_ms":\[[^]]*\]/"samples_ms":[5,7,7,7,7,7,7,7,7,7,7]/' a.json >noisy.json
exits "a slow median with a quiet round as fast as before" 0 rn-bench compare a.json noisy.json
check "... is unclear" grep -q '^unclear .* three ' out.txt
sed 's/,"samples_ms":\[[^]]*\]//' b.json >bare.json
exits "without samples, quartiles" 1 rn-bench compare a.json bare.json
sed 's/,"samples_ms":\[[^]]*\]//; s/"ms_iqr":[0-9.]*,//' b.json >single.json
exits "single figures have no interval" 0 rn-bench compare a.json single.json
check "... and no verdict" grep -q '4 compared: 4 unclear' out.txt
sed 's/"samples_ms":\[[^]]*\]/"samples_ms":[10,10,10]/' a.json >few.json
exits "three samples are too few" 0 rn-bench compare few.json few.json
check "... for an interval of 95 %" grep -q 'no interval' out.txt

{ row one cpu:x 10; row six cpu:x 1; } | list >c.json
exits "other cases" 0 rn-bench compare a.json c.json
check "... are named, of A" grep -q '^# only in A: two fwd f32 threads 2 cpu:x' out.txt
check "... and of B" grep -q '^# only in B: six fwd f32 threads 2 cpu:x' out.txt
row six cpu:x 1 | list >d.json
exits "no case in both exits 3" 3 rn-bench compare a.json d.json
says "... and says so" "none is of the same case"
{ row one cpu:x 10; sed -n 's/"ms":20.*"verified":true.*/"failure":"element 3 of 9 is 1, not 2","verified":false}/p' <<<"$(row two cpu:x 20)"; } | list >wrong.json
exits "timed before and wrong now fails" 1 rn-bench compare a.json wrong.json
check "... as wrong" grep -Eq '^lost .* wrong ms' out.txt
sed 's/"failure"/"state":"failed","failure"/' wrong.json >failed.json
exits "timed before and failed now fails" 1 rn-bench compare a.json failed.json
check "... as failed" grep -Eq '^lost .* failed ms' out.txt
check "... with the reason" grep -q '^lost .*element 3 of 9' out.txt

{ row one cpu:x 10; row one onednn:y 13; row one onednn:z 12; row two cpu:x 3; row two onednn:y 2; row two onednn:z 9; } | list >ab.json
exits "two algorithms of one file" 1 rn-bench compare ab.json --a-algo 'onednn:*' --b-algo 'cpu:*'
check "... against the fastest of several" grep -Eq '^faster +1\.200 .* one .*onednn:z -> cpu:x' out.txt
check "... case by case" grep -Eq '^slower +0\.667 .* two .*onednn:y -> cpu:x' out.txt
exits "one file without algorithms is misuse" 2 rn-bench compare ab.json
exits "an algorithm that is not there exits 3" 3 rn-bench compare ab.json --a-algo 'onednn:*' --b-algo 'cuda:*'

cat a.json a.json >twice.json
exits "the same case twice is an error" 1 rn-bench compare twice.json a.json
says "... that names it" "twice.json: four fwd f32 threads 2 cpu:x is there twice"
for bad in '0' '-1' '"10"' 'null' '1e999'; do
    sed "s/\"ms\":10,/\"ms\":$bad,/" a.json >bad.json
    exits "ms $bad is an error" 1 rn-bench compare a.json bad.json
    says "... that names the file" "bad.json"
done
sed 's/"ms":10,/"ms":NaN,/' a.json >bad.json
exits "NaN is an error" 1 rn-bench compare bad.json a.json
says "... at its line, with its case" "bad.json:2: not JSON, in one: "
sed 's/"ms":10,//' a.json >bad.json
exits "a missing time is an error" 1 rn-bench compare bad.json a.json
says "... that names it" "one fwd f32 threads 2: 'ms' is missing"
for bad in 0 -1 '"10"' null '[1]'; do
    sed "s/\[9.96/[$bad/" a.json >bad.json
    exits "a sample of $bad is an error" 1 rn-bench compare a.json bad.json
    says "... that names file, case and sample" "bad.json: one fwd f32 threads 2: 'samples_ms[0]' is no"
    says "... and what to do" "measure it again"
done
for bad in NaN Infinity -Infinity 1e999; do
    sed "s/\[9.96/[$bad/; s/:\"/: \"/g" a.json >bad.json
    exits "a sample of $bad is an error" 1 rn-bench compare a.json bad.json
    says "... that names file and case" "bad.json:2: not JSON, in one: "
    says "... and what to do" "measure it again"
done
for bad in '[]' null 10 '{}'; do
    sed "2s/\"samples_ms\":\[[^]]*\]/\"samples_ms\":$bad/" a.json >bad.json
    exits "$bad for samples is an error" 1 rn-bench compare a.json bad.json
    says "... that names file, case and what is wrong" "bad.json: one fwd f32 threads 2: 'samples_ms' is "
    says "... and what to do" "expected an array of numbers above 0; measure it again"
done
sed 's/"ms_iqr":[0-9.]*/"ms_iqr":-1/' a.json >bad.json
exits "quartiles below 0 apart are an error" 1 rn-bench compare a.json bad.json
says "... that names them" "'ms_iqr' is no number of 0 or more"
head -c -40 a.json >cut.json
exits "a run that was ended early is an error" 1 rn-bench compare cut.json a.json
says "... that says how to read what it measured" "cut.json:5: ends in the middle, after four: of a run that was ended early"
{ head -n 4 a.json | sed '$s/,$//'; echo ']'; } >cut.json
exits "... as it says" 0 rn-bench compare cut.json a.json
echo '[{"x":1}]' >bad.json
exits "foreign JSON is an error" 1 rn-bench compare bad.json a.json
says "... that says what was expected" "nothing that rn-bench conv, peak, train, loader or resize writes"
echo '[]' >bad.json
exits "an empty list exits 3" 3 rn-bench compare bad.json a.json
exits "a missing file fails" 1 rn-bench compare a.json nosuch.json

exits "peaks" 0 rn-bench peak --threads 1 --seconds 0.08 --samples 8 --json
cp out.txt peak.json
exits "... beside themselves" 0 rn-bench compare peak.json peak.json --tolerance 900
check "... are the same" grep -Eq '^same .*GFLOP/s +f32_fma threads 1' out.txt
sed -E 's/("gflops":|"samples_gflops":\[)([^]}]*)/\1\2/; s/"samples_gflops":\[[^]]*\]/"samples_gflops":[1,1.01,1.02,1.03,1.01,1.02,1.03,1.02]/' peak.json >low.json
exits "a lower ceiling is slower" 1 rn-bench compare peak.json low.json
exits "training steps" 0 rn-bench train --arch resnet18 --stem cifar --width 0.125 --image-size 16 --batch 4 --classes 3 --seconds 0 --json
cp out.txt train.json
exits "... and their parts" 0 rn-bench compare train.json train.json --parts --tolerance 900
check "... step and ops" test "$(grep -c 'resnet18 image_size 16 batch 4 f32 threads' out.txt)" -gt 5
exits "resizes" 0 rn-bench resize --from 61x40 --to short:13 --images 3 --seconds 0 --json
cp out.txt resize.json
exits "... beside themselves" 0 rn-bench compare resize.json resize.json --tolerance 900
echo '{"mode":"train","records":5,"size":8,"batch":2,"workers":1,"exact":false,"images_per_s":100,"images_per_s_iqr":2}' >l1.json
echo '{"mode":"train","records":5,"size":8,"batch":2,"workers":1,"exact":false,"images_per_s":80,"images_per_s_iqr":2}' >l2.json
exits "loaders: fewer images a second are slower" 1 rn-bench compare l1.json l2.json
check "... by that" grep -Eq '^slower +0\.800' out.txt
exits "loaders: more are faster" 0 rn-bench compare l2.json l1.json
finish
