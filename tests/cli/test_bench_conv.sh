#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-bench conv: lists in benchdnn's words, caches, numbers of threads, CSV and the page. Nothing here depends on a time.
. "$RNKIT_TESTS/tap.sh"
PATH=$RNKIT_BIN:$PATH
quick="--rounds 1 --threads 1 --algo cpu:im2col --csv"
# cases: those in out.txt
cases() { tail -n +2 out.txt | cut -d, -f1 | uniq | xargs; }

# ---- lists
mkdir -p lists/inner
cat >lists/outer.shapes <<'L'
# a comment
--mb=3 --dir=FWD_B,BWD_WB
ic3ih9oc5kh3ph1n"net:first*4"   # quotes and a count in benchdnn's name
--batch=inner/list
ic3ih9oc6kh3_ph1 *2 bwd_d
--reset
mb5ic4ih6oc4kh1
ic4ih6oc5kh1n_last
L
cat >lists/inner/list <<'L'
--mb=2
g1mb1_ic3ih8iw9oc4oh8ow9kh3kw3sh1sw1ph1pw1dh0dw0nnamed
L
# shellcheck disable=SC2086
exits "a list of lists" 0 rn-bench conv --shapes lists/outer.shapes $quick
check "... in order, with its own batches" test "$(cases)" = "mb3ic3ih9oc5oh9kh3sh1ph1 mb2ic3ih8iw9oc4oh8ow9kh3kw3sh1sw1ph1pw1 mb3ic3ih9oc6oh9kh3sh1ph1 mb5ic4ih6oc4oh6kh1sh1ph0 mb16ic4ih6oc5oh6kh1sh1ph0"
check "... names without quotes, counts out of them" grep -q '^mb3ic3ih9oc5oh9kh3sh1ph1,net:first,4,fwd,' out.txt
check "... the directions asked for" test "$(grep -c '^mb3ic3ih9oc5.*,bwd_d,' out.txt),$(grep -c '^mb3ic3ih9oc5' out.txt)" = 0,2
check "... a line's own directions win" test "$(grep '^mb3ic3ih9oc6' out.txt | cut -d, -f3,4)" = 2,bwd_d
check "... a list inside has its own options" test "$(grep -c '^mb2ic3ih8' out.txt)" = 3
# shellcheck disable=SC2086
{
    exits "--mb wins over all of them" 0 rn-bench conv --shapes lists/outer.shapes --mb 1 --dir fwd $quick
    check "... everywhere" test "$(cases | tr ' ' '\n' | grep -cv '^mb1ic')" = 0
    printf '%s\n' --batch=self.shapes >self.shapes
    exits "a list that names itself" 1 rn-bench conv --shapes self.shapes $quick
    says "... ends" "does one of them name itself?"
    printf 'ic3ih9oc5kh3\n--cfg=bf16\n' >bad.shapes
    exits "an option that is not understood" 1 rn-bench conv --shapes bad.shapes $quick
    says "... is named at its line" "bad.shapes:2: option '--cfg=bf16'"
    printf -- '--batch=nosuch\n' >bad.shapes
    exits "a list that is not there" 1 rn-bench conv --shapes bad.shapes $quick
    says "... is named, too" "nosuch"
    for net in alexnet bvlc-alexnet vgg16 resnet20-cifar resnet34-cifar resnet50-cifar resnet56-cifar deepbench; do
        exits "$net is a list" 3 rn-bench conv --net $net --algo nosuch
        says "... whose shapes are possible" "no algorithm matches"
    done
    exits "deepbench has minibatches of its own" 2 rn-bench conv --net deepbench --threads x

    # ---- what cannot be done is misuse, or nothing, with its cause
    for bad in g2mb1ic8ih8oc8kh3 ic16ih5oc8kh9 ic16ih5oc8oh9kh3 mb0ic3ih5oc4kh3 mb99999999999ic3ih5oc4kh3; do
        exits "--case=$bad is misuse" 2 rn-bench conv --case $bad $quick
        says "... and named" "case '$bad'"
    done
    echo '# none' >none.shapes
    exits "a list without a shape" 3 rn-bench conv --shapes none.shapes $quick
    says "... is said to be so" "no shape in none.shapes"
    check "... before any figure" test ! -s out.txt
    echo 'ic3ih9oc5kh3 fwd' >one.shapes
    exits "a direction that no shape has" 3 rn-bench conv --shapes one.shapes --dir bwd_w $quick
    says "... is said to be so" "no shape has a direction of 'bwd_w'"
    exits "a long list of numbers of threads is misuse" 2 rn-bench conv --case mb1ic3ih9oc5kh3ph1 --threads "$(seq -s, 1 200)"
    exits "long names" 3 rn-bench conv --case mb1ic3ih9oc5kh3ph1 --dir fwd --rounds 1 --threads 1 --algo 'cpu:amx,cpu:winograd-2x2-pairs'
    check "... leave the columns where they are" test "$(awk '/ refused: / {print index($0, "refused:")}' out.txt | sort | uniq -c | awk '{print $1}')" = 2

    # ---- how
    exits "several cases" 0 rn-bench conv --case mb1ic3ih9oc5kh3ph1,mb1ic4ih5oc5kh1 --case mb1ic2ih5oc5kh1 --dir fwd --rounds 1 --algo cpu:im2col --csv
    check "are all timed, none is dropped" test "$(cut -d, -f1 out.txt | sort -u | grep -c ^mb1)" = 3
    exits "cold caches" 0 rn-bench conv --case mb1ic3ih9oc5kh3ph1 --dir fwd $quick --cache cold
    check "... are told" test "$(tail -1 out.txt | cut -d, -f9)" = cold
    check "... each run is timed alone" test "$(tail -1 out.txt | cut -d, -f15)" = 1
    exits "several numbers of threads" 0 rn-bench conv --case mb1ic3ih9oc5kh3ph1 --dir fwd --rounds 1 --algo cpu:im2col --csv --threads 1..2,1
    check "... in order" test "$(tail -n +2 out.txt | cut -d, -f8 | xargs)" = "1 2 1"
    for bad in x 1.. 2..1 ',' 1,,x -1; do
        exits "--threads=$bad is misuse" 2 rn-bench conv --case mb1ic3ih9oc5kh3ph1 "--threads=$bad"
    done
    exits "CSV and JSON at once are misuse" 2 rn-bench conv --case mb1ic3ih9oc5kh3ph1 --csv --json
}

# ---- CSV and page
if rn-bench --version | grep -q '^oneDNN: yes'; then other=,onednn:auto; else other=; fi
exits "a page" 0 rn-bench conv --case "mb1ic3ih9oc5kh3ph1n<x&y>" --rounds 3 --dtype f32,f16 --algo "cpu:*$other" --csv --html page.html
check "... all CSV lines have as many fields" test "$(sed 's/"[^"]*"//g' out.txt | awk -F, '{print NF}' | sort -u | wc -l)" = 1
# The CSV has six digits, the page rounds the number itself: where the sixth is a 5 either way is right.
tail -n +2 out.txt | cut -d, -f11 | grep . | awk '{printf "%s %.4f %.4f\n", $1, $1 * (1 - 5e-6), $1 * (1 + 5e-6)}' | while read -r ms low high; do
    grep -qF -e ">$low<" -e ">$high<" page.html || echo "$ms"
done >absent.txt
check "... every time stands in it" test ! -s absent.txt
check "... a roofline for each type" test "$(grep -c "aria-label='Roofline of" page.html)" = 2
check "... bars for each direction and type" test "$(grep -c "by layer'" page.html)" = 6
check "... the machine" grep -q '<th>compiler</th>' page.html
check "... names are escaped" grep -q '&lt;x&amp;y&gt;' page.html
check "... needs nothing from elsewhere" test "$(grep -ciE '<script|src=|href=|@import|url\(' page.html)" = 0
if command -v xmllint >/dev/null; then
    sed -n '/<svg class=.plot/,/<\/svg>/p' page.html | sed '1s/.*<svg/<svg/' | awk '/<svg class/ {f = "svg" ++n ".xml"; sub(/.*<svg/, "<svg")} {sub(/<\/svg>.*/, "</svg>"); print >f}'
    for f in svg*.xml; do xmllint --noout "$f" 2>>xml.txt || echo "$f" >>xml.txt; done
    check "... its pictures are well-formed" test ! -s xml.txt -a -s svg8.xml
    check "... and so is the rest" test "$(xmllint --html --noout page.html 2>&1 | grep 'error' | grep -vc 'Tag .* invalid')" = 0
else
    skip "... its pictures are well-formed" "xmllint is not installed"
fi
exits "a page of an algorithm that refuses some" 0 rn-bench conv --case mb1ic3ih9oc5kh3ph1 --rounds 1 --threads 1 --algo cpu:direct --csv --html page.html
check "... has no sum for it" grep -Eq 'cpu:direct</td><td>f32</td><td class=num>1</td>(<td class=num>[0-9.]+</td>){2}(<td class=num>-</td>){2}<td>without 1 of the cases<' page.html
check "... and counts what was timed" grep -q '<p class=lead>2 results' page.html
exits "a page that cannot be written fails" 1 rn-bench conv --case mb1ic3ih9oc5kh3ph1 --dir fwd --rounds 1 --html nosuch/page.html

# ---- with the batch norm beside each convolution
bn="--bn --case mb1ic8ih9oc16kh3ph1 --rounds 2 --threads 1 --algo cpu:im2col"
# shellcheck disable=SC2086
{
    exits "each algorithm twice" 0 rn-bench conv $bn --json
    check "... apart and fused, in each direction" test "$(grep -c '"fuse":"apart"' out.txt),$(grep -cE '"fuse":"pro_(bn\+pro_relu\+epi_stats|dbn\+epi_dbn|bn\+pro_relu\+pro_dbn)"' out.txt)" = 3,3
    check "... all verified" test "$(grep -c '"verified":true' out.txt)" = 6
    check "... without a roofline, which would be of the convolution alone" test "$(grep -c '"roofline_pct":null' out.txt)" = 6
    exits "... as text" 0 rn-bench conv $bn --dir fwd
    check "... by both names" grep -Eq '^mb1.* cpu:im2col, fused +[0-9.]+ ' out.txt
    exits "... as CSV" 0 rn-bench conv $bn --dir fwd --csv
    check "... with a column for it" test "$(awk -F, '{ print $(NF - 1) }' out.txt | tr '\n' ' ')" = "fuse apart pro_bn+pro_relu+epi_stats "
    exits "a page of it is misuse" 2 rn-bench conv $bn --html page.html
}
if rn-bench conv --case ic8ih9oc8kh3ph1 --dir fwd --rounds 1 --algo 'onednn:auto' >/dev/null 2>&1; then
    exits "what cannot fuse" 0 rn-bench conv --bn --case mb1ic8ih9oc16kh3ph1 --dir fwd --rounds 1 --threads 1 --algo onednn:auto
    check "... is timed apart, and says why not fused" sh -c 'grep -Eq "onednn:auto, apart +[0-9]" out.txt && grep -q "onednn:auto, fused *refused: no fused batch norm" out.txt'
else
    skip "what cannot fuse is timed apart" "no oneDNN"
fi
finish
