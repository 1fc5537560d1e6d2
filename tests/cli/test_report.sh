#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# report.html: what it must show, from finished, interrupted and damaged runs; opened in a real browser where there is one.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

printf 'n01440764 tench, Tinca tinca\nn02102040 English springer\nn03000684 chain "saw" & <co>\nn03888257 parachute\n' >names
mkilsvrc --synthetic 4 --classes names --train-per-class 11 --val 31 --size 40x30 --seed 3 raw --quiet >&2 &&
    pack-lmdb raw --split train --shuffle 1 train.lmdb --quiet >&2 && pack-lmdb raw --split val val.lmdb --quiet >&2 || exit 1
how=(--arch resnet18 --stem cifar --width 0.125 --image-size 24 --val-resize 28 --threads 1 --workers 2 --batch 8 --lr 0.02 --log-steps 2)
on=("${how[@]}" --train-db train.lmdb --val-db val.lmdb)
exits "trains" 0 rn-train "${on[@]}" --epochs 2 --out run --json
page=run/report.html

# ---- what the evaluation left ----------------------------------------------------------------------------------
p=run/predictions.json
check "every image is in the confusion" [ "$(grep -o '"confusion":\[.*\],"samples"' $p | grep -oE '[0-9]+\]' | tr -d ']' | awk "{s += \$1} END{print s}")" = 31 ]
top1=$(sed -n 's/.*"top1":\([0-9.]*\).*/\1/p' run/result.json run/log.jsonl | tail -n 1)
check "whose diagonal is the top-1" awk -v t="$top1" -v n="$(grep -oE '\[([0-9]+),\1,[0-9]+\]' $p | sed -E 's/.*,([0-9]+)\]/\1/' | awk "{s += \$1} END{print s}")" 'BEGIN{d = t - 100 * n / 31; exit !(d < 1e-6 && d > -1e-6)}'
check "24 images, and the wrong ones" [ "$(grep -o '"image":"data:image/png;base64,' $p | wc -l)" -ge 24 ]

# ---- the page --------------------------------------------------------------------------------------------------
for h in Curves 'Validation images' Classes Epochs Throughput Recipe Data 'Model and memory' 'Convolution algorithms' 'Machine and versions'; do
    check "has the section $h" grep -q "<h2>$h</h2>" $page
done
check "of four classes nobody is told the top-5" bash -c "grep -q '>top-1, all' $page && ! grep -q '<span>top-5</span>' $page"
check "names classes by their first word" grep -q '✓ tench</b>\|✗ tench</b>\|, is tench<' $page
check "escapes what is markup in them" bash -c "grep -q 'chain &quot;saw&quot; &amp; &lt;co&gt;' $page && ! grep -q '<co>' $page"
check "the seals are there" bash -c "for s in train.lmdb val.lmdb; do grep -q \"\$(sha256sum <\$s/seal.json | cut -c1-64)\" $page || exit 1; done"
check "needs nothing else" bash -c "! grep -qE '(src|href)=\"?(https?:)?//|<script|@import|<link' $page"

# ---- runs that did not end well --------------------------------------------------------------------------------
exits "an interrupted run" 1 rn-train "${on[@]}" --epochs 2 --out part --stop-after-steps 3
says "keeps its message" "the same command goes on from part/checkpoints/"
check "has its report" grep -q 'This run is not finished' part/report.html
check "which says that there was no evaluation" grep -q 'No evaluation yet' part/report.html
exits "a diverged run" 1 rn-train "${on[@]}" --epochs 50 --out nan --lr 1e9 --schedule constant
says "keeps its message" "Last good checkpoint"
check "has its report" grep -q '<h2>Curves</h2>' nan/report.html
cp -r run torn
truncate -s -9 torn/log.jsonl
rm torn/report.html
exits "a log whose last line is torn" 0 rn-train --report torn
says "is told of" "its last line is cut short"
check "and reported without it" [ "$(grep -c '<h2>' torn/report.html)" = "$(grep -c '<h2>' $page)" ]
sed -i '3s/.$//' torn/log.jsonl
exits "one torn in the middle" 1 rn-train --report torn
says "is refused" "torn/log.jsonl: not JSON"
echo '{"classes":[["a",""]],"confusion":[[0,7,1]],"samples":[]}' >run/predictions.json
exits "predictions that fit nothing" 0 rn-train --report run
check "are told of on the page" grep -q 'entry 0 of the confusion is none' $page
echo '{' >run/predictions.json
exits "predictions cut short" 0 rn-train --report run
says "are told of" "predictions.json cannot be read"
exits "the same run once more" 0 rn-train "${on[@]}" --epochs 2 --out run --resume never

# ---- in a browser ----------------------------------------------------------------------------------------------
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -z "$browser" ]; then
    skip "opened in a browser" "no chromium"
    finish
fi
# A copy that says about itself what the browser made of it.
cat >probe.html <<'JS'
<script>
let trouble = [];
addEventListener('error', e => trouble.push(e.message || e.target.src), true);
addEventListener('load', () => {
    const images = [...document.images];
    const wide = document.documentElement.scrollWidth > innerWidth ? 1 : 0;
    document.title = `images=${images.length} broken=${images.filter(i => !(i.naturalWidth > 0)).length} svg=${document.querySelectorAll('svg').length}`
        + ` curves=${[...document.querySelectorAll('svg path')].filter(p => p.getTotalLength() > 50).length > 8} requests=${performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length}`
        + ` wide=${wide} trouble=${trouble.join('|')}.`;
});
</script>
JS
open_page() { # open_page FILE WIDTH: title.txt, console.txt; a browser that a busy machine was too slow for gets a second chance
    sed '/<meta charset/r probe.html' "$1" >seen.html
    for _ in 1 2 3; do
        timeout 120 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$(mktemp -d "$PWD/profile.XXXXXX")" --window-size="$2,1000" \
            --virtual-time-budget=20000 --enable-logging=stderr --host-resolver-rules='MAP * ~NOTFOUND' --dump-dom "file://$PWD/seen.html" >dom.html 2>console.txt
        grep -o '<title>images=[^<]*' dom.html >title.txt && break
    done
    cat title.txt >&2
}
want=$(grep -o '<img' $page | wc -l)
svg=$(grep -o '<svg ' $page | wc -l)
command -v gnuplot >/dev/null || svg=0
for width in 1200 390; do
    open_page $page $width
    check "$width wide: all images decode" grep -q "images=$want broken=0 " title.txt
    check "$width wide: the pictures are there" grep -q " svg=$svg " title.txt
    check "$width wide: nothing is asked of anybody" grep -q ' requests=0 ' title.txt
    check "$width wide: it does not scroll sideways" grep -q ' wide=0 ' title.txt
    check "$width wide: no error" bash -c "grep -q ' trouble=\.' title.txt && ! grep -q 'CONSOLE.*\(rror\|refused\)' console.txt"
done
[ "$svg" = 0 ] && skip "the curves have lines" "no gnuplot" || check "the curves have lines" grep -q ' curves=true ' title.txt
check "the browser shows the sections" [ "$(grep -o '<h2>' dom.html | wc -l)" = "$(grep -o '<h2>' $page | wc -l)" ]
check "at least 24 images" [ "$want" -ge 24 ]
open_page part/report.html 1200
check "the interrupted run's page, too" grep -q 'broken=0 .*trouble=\.' title.txt
finish
