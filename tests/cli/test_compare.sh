#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train compare: several runs on one page; and the study that makes them.
. "$RNKIT_TESTS/tap.sh"
PATH=$RNKIT_BIN:$PATH
root=$(realpath "$RNKIT_TESTS/..")
mkilsvrc --synthetic 3 --train-per-class 16 --val 30 --size 24x20 raw --quiet

# A study of the pipeline, on a data set made here.
mkdir -p sets/tiny/studies sets/tiny/recipes
cp "$root/datasets/pipeline.sh" sets/
cat >sets/tiny/dataset.conf <<'CONF'
pack-train = --shuffle 7
pack-val =
recipe = recipes/tiny.recipe
CONF
cat >sets/tiny/recipes/tiny.recipe <<'RECIPE'
arch = resnet18
stem = cifar
width = 0.0625
image-size = 16
val-resize = 16
epochs = 2
batch = 16
RECIPE
cat >sets/tiny/studies/rates.study <<'STUDY'
# a comment: no run
recipe = recipes/tiny.recipe
step 0.02: --schedule step --step-size 1 --lr 0.02
step 0.1: --schedule step --step-size 1 --lr 0.1
poly 0.02: --schedule poly --lr 0.02
poly 0.005: --schedule poly --lr 0.005
exp 0.02: --schedule exp --lr 0.02
STUDY
exits "a study" 0 sets/pipeline.sh study rates tiny raw out
for run in step-0.02 step-0.1 poly-0.02 poly-0.005 exp-0.02; do
    check "... has run $run" test -s "out/rates/$run/result.json"
done
check "... and writes a page" grep -q '<h1>tiny: rates</h1>' out/rates.html
check "... that names what differs, not what is shared" sh -c 'grep -q "<th>lr</th><th>schedule</th>" out/rates.html && grep -q "<dt>arch</dt><dd>resnet18</dd>" out/rates.html'
check "... of every run" test "$(sed -n '/<section id=runs>/,$p' out/rates.html | grep -c '^<tr><th>')" = 5
check "... a table of policies by rates, these by size" grep -q '<th></th><th>0.005</th><th>0.02</th><th>0.1</th></tr>' out/rates.html
check "... a row for each policy of several rates, a cell left out where there is no run" sh -c 'sed -n "/id=grid/,/<.section>/p" out/rates.html >grid && grep -q "^<tr><th>step</th><td></td><td[^>]*>[0-9.]*</td><td[^>]*>[0-9.]*</td></tr>" grid && ! grep -q "<th>exp</th>" grid'
stat -c '%n %Y' out/rates/*/weights.safetensors >before
exits "again" 0 sets/pipeline.sh study rates tiny raw out
stat -c '%n %Y' out/rates/*/weights.safetensors >after
check "... nothing is trained twice" cmp before after
exits "an unknown study is refused" 2 sets/pipeline.sh study nosuch tiny raw out
says "... and those there are named" "rates.study"

if command -v gnuplot >/dev/null; then
    check "pictures: four of the best of each, two of each group of two" test "$(grep -c '<svg ' out/rates.html)" = 8
    mkdir many
    for i in 1 2 3 4 5 6 7 8 9; do cp -r out/rates/step-0.02 many/run$i; done
    exits "more runs than colours" 0 rn-train compare many/* --out many.html
    check "... the picture says that it shows some of them" grep -q 'The runs, the best 7 of 9: validation top-1' many.html
else
    skip "pictures" "gnuplot is not installed"
fi
cp -r out/rates/step-0.02 "odd 'name' <b>_x"
exits "a folder of an odd name" 0 rn-train compare "odd 'name' <b>_x" out/rates/poly-0.02 --out odd.html --json
check "... is escaped" sh -c 'grep -q "odd &#39;name&#39; &lt;b&gt;_x\|odd '"'name'"' &lt;b&gt;_x" odd.html && ! grep -q "<b>_x" odd.html'
check "JSON has every run" test "$(grep -c '"group":' out.txt)" = 2
rm -f "odd 'name' <b>_x/result.json"
exits "a run that did not finish" 0 rn-train compare "odd 'name' <b>_x"
check "... is shown as far as it came" grep -q 'not finished' out.txt
printf '{"type":"wind' >>"odd 'name' <b>_x/log.jsonl"
exits "a log whose last line is cut short" 0 rn-train compare "odd 'name' <b>_x"
says "... is read up to there" "its last line is cut short and passed over"
exits "a folder that is no run" 1 rn-train compare out
says "... is told" "not the folder of a run"
exits "two of one name" 2 rn-train compare out/rates/poly-0.02 out/rates/poly-0.02
exits "no folder is misuse" 2 rn-train compare
finish
