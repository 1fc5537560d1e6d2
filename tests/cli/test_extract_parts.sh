#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ilsvrc-extract: test in both layouts, t3 and bounding boxes in every layout they may have.
. "$RNKIT_TESTS/tap.sh"
extract=$RNKIT_BIN/ilsvrc-extract
T3=ILSVRC2012_img_train_t3.tar

# What comes out must be this, whatever the archive's layout.
for w in n02085620 n02085782 n02085936; do
    mkdir -p "want/t3/$w" "want/boxes/$w"
    for i in 7 10074 3; do
        echo "image $w $i" >"want/t3/$w/${w}_$i.JPEG"
        echo "<annotation>$w $i</annotation>" >"want/boxes/$w/${w}_$i.xml"
    done
done
mkdir -p want/val want/test raw
for i in $(seq -f %08g 1 300); do
    echo "<annotation>$i</annotation>" >"want/val/ILSVRC2012_val_$i.xml"
    echo "image $i" >"want/test/ILSVRC2012_test_$i.JPEG"
done
flatten() { (cd "$1" && find . -type f -printf '%P\n' | shuf --random-source=<(yes "$2")); } # paths in no order

# ---- t3 -------------------------------------------------------------------------------------------------------------
t3() { # NAME: raw/$T3 gives want/t3
    rm -rf out
    exits "t3, $1" 0 "$extract" raw out --splits t3
    check "t3, $1: in class folders" diff -r want/t3 out/t3
    check "t3, $1: counted" grep -q "^t3 .* 9 images" out.txt
}
mkdir inner && for w in want/t3/*; do tar cf "inner/$(basename "$w").tar" -C "$w" .; done
for w in want/t3/*; do (cd "$w" && tar cf "../../../inner/$(basename "$w").tar" -- *.JPEG); done
(cd inner && tar cf ../raw/$T3 -- *.tar) && t3 "a tar a class"
flatten want/t3 1 | tar cf raw/$T3 -C want/t3 -T - && t3 "a folder a class"
flatten want/t3 2 | tar cf raw/$T3 -C want/t3 --transform 's,^[^/]*/,,' -T - && t3 "flat"
flatten want/t3 3 | tar cf raw/$T3 -C want/t3 --transform 's,^,train_t3/,' -T - && t3 "class folders in a folder"
(cd inner && tar cf ../raw/$T3 n02085620.tar ../want/t3/n02085782/n02085782_3.JPEG --transform 's,.*/,,')
exits "t3: both kinds in one is not known" 1 "$extract" raw mixed --splits t3
says "names the member" "'n02085782_3.JPEG' is not a class's tar"
(cd want/t3/n02085620 && tar cf ../../../raw/$T3 --transform 's,.*,picture.JPEG,' n02085620_3.JPEG)
exits "t3: no class to be found" 1 "$extract" raw noclass --splits t3
says "names the member" "'picture.JPEG' has no class"
flatten want/t3 2 | tar cf raw/$T3 -C want/t3 -T - && (cd want/t3/n02085620 && tar rf ../../../raw/$T3 n02085620_3.JPEG)
exits "t3: a name twice" 1 "$extract" raw twice --splits t3
says "names it" "n02085620_3.JPEG' twice"
rm raw/$T3
exits "no t3" 1 "$extract" raw none --splits t3
says "says which file is missing" "has no $T3"

# ---- bounding boxes -----------------------------------------------------------------------------------------------------
TRAIN=ILSVRC2012_bbox_train_v2.tar.gz DOGS=ILSVRC2012_bbox_train_dogs.tar.gz VAL=ILSVRC2012_bbox_val_v3.tgz ZIP=ILSVRC2012_bbox_test_dogs.zip
exits "no boxes" 1 "$extract" raw none --splits bbox
says "says so" "has no archive of bounding boxes"
boxes() { # NAME FOLDER WANT: OUT/bbox/FOLDER is WANT
    rm -rf out
    exits "boxes, $1" 0 "$extract" raw out --splits bbox
    check "boxes, $1: all there" diff -r "$3" "out/bbox/$2"
}
flatten want/boxes 1 | tar czf raw/$TRAIN -C want/boxes -T - && boxes "a folder a class" train want/boxes
flatten want/boxes 2 | tar czf raw/$TRAIN -C want/boxes --transform 's,^[^/]*/,,' -T - && boxes "flat" train want/boxes
for z in "tar cf .tar" "tar czf .tar.gz" "tar czf .tgz"; do
    read -r tool how end <<<"$z"
    rm -rf inner && mkdir inner
    for w in want/boxes/*; do (cd "$w" && $tool "$how" "../../../inner/$(basename "$w")$end" -- *.xml); done
    (cd inner && tar czf ../raw/$TRAIN -- *) && boxes "one $end a class" train want/boxes
    (cd inner && tar czf ../raw/$TRAIN --transform 's,^,Annotation/,' -- *) && boxes "one $end a class in a folder" train want/boxes
done
(cd inner && tar czf deep.tar n02085620.tgz && tar czf ../raw/$TRAIN deep.tar)
exits "an archive in an archive in an archive" 1 "$extract" raw deep --splits bbox
says "is named" "deep.tar: 'n02085620.tgz' is an archive in an archive in an archive"
(cd want/boxes && flatten . 5 | tar czf ../../raw/$TRAIN -T -)
flatten want/val 6 | tar czf raw/$VAL -C want/val --transform 's,^,val/,' -T -
cp raw/$TRAIN raw/$DOGS
if python3 -c '' 2>/dev/null; then
    (cd want/boxes && python3 -c "import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as z:
    for line in sys.stdin: z.write(line.strip(), 'bbox_test_dogs/' + line.strip())" "$PWD/../../raw/$ZIP" < <(find . -type f -printf '%P\n'))
else
    skip "a zip file" "no python3 to make one"
fi
rm -rf out
exits "all archives of boxes that are there" 0 "$extract" raw out --splits bbox
check "train" diff -r want/boxes out/bbox/train
check "train_dogs" diff -r want/boxes out/bbox/train_dogs
check "val, flat" diff -r want/val out/bbox/val
[ ! -e raw/$ZIP ] || check "test_dogs, out of a zip file" diff -r want/boxes out/bbox/test_dogs
exits "a second run" 0 "$extract" raw out --splits bbox --json
check "finds them done" test "$(grep -o '"already":true' out.txt | wc -l)" = "$(find raw -name '*bbox*' | wc -l)"
echo notes >want/boxes/README.txt
tar czf raw/$TRAIN -C want/boxes . && rm want/boxes/README.txt
rm -rf out
exits "a file that is no XML" 0 "$extract" raw out --splits bbox
says "is passed over, and said" "passed over 1 files that are not XML"
check "and is not in the tree" diff -r want/boxes out/bbox/train
tar czf raw/$TRAIN -C want/t3 . && rm -rf out
exits "no XML at all is no archive of boxes" 1 "$extract" raw out --splits bbox
says "names it" "$TRAIN: holds no XML file"
if [ -e raw/$ZIP ]; then
    rm raw/$TRAIN && truncate -s 400 raw/$ZIP && rm -rf out
    exits "a zip file cut short" 1 "$extract" raw out --splits bbox
    says "names it" "raw/$ZIP"
    check "is not in place" test ! -e out/bbox/test_dogs
    check "but what was whole is" diff -r want/val out/bbox/val
fi
rm -f raw/*

# ---- test -------------------------------------------------------------------------------------------------------------
sed 's,.*/,,' <(cd want/test && find . -type f | LC_ALL=C sort) | sed 's/$/ 0/' >want/test.txt
for form in "s,^,,:ILSVRC2012_img_test.tar:flat" "s,^,test/,:ILSVRC2012_img_test_v10102019.tar:below test/" "s,^,./test/,:ILSVRC2012_img_test_v10102019.tar:below ./test/"; do
    IFS=: read -r how file name <<<"$form"
    flatten want/test 4 | tar cf "raw/$file" -C want/test --transform "$how" -T -
    rm -rf out
    exits "test, $name" 0 "$extract" raw out --splits test
    check "test, $name: flat" diff -r want/test out/test
    check "test, $name: Caffe's list" cmp want/test.txt out/test.txt
    rm "raw/$file"
done
flatten want/test 4 | tar cf raw/ILSVRC2012_img_test.tar -C want/test -T - --transform 's,^,test/,'
(cd want/test && tar rf ../../raw/ILSVRC2012_img_test.tar ILSVRC2012_test_00000002.JPEG)
exits "test: a number twice, once below test/" 1 "$extract" raw twice2 --splits test
says "is named" "ILSVRC2012_test_00000002.JPEG' twice"
exits "an unknown word" 2 "$extract" raw out --splits train,boxes
says "lists the words" "train, val, test, t3, bbox"
finish
