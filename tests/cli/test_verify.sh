#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ilsvrc-verify: digests, structure, trees, packed sets; every kind of damage must be found and named.
. "$RNKIT_TESTS/tap.sh"
verify=$RNKIT_BIN/ilsvrc-verify
TRAIN=ILSVRC2012_img_train.tar VAL=ILSVRC2012_img_val.tar KIT=ILSVRC2012_devkit_t12.tar.gz
has() { if grep -qF -- "$2" out.txt; then ok "$1"; else not_ok "$1 (no '$2' on stdout)"; cat out.txt >&2; fi; }

"$RNKIT_BIN/mkilsvrc" --synthetic 4 --train-per-class 12 --val 20 --size 40x30 --seed 2 raw >/dev/null
fresh() { rm -rf bad; mkdir bad; cp raw/* bad/; }

# ---- digests ----------------------------------------------------------------------------------------------------
exits "right archives" 0 "$verify" raw
check "three of them are ok" test "$(grep -c '^ok ' out.txt)" = 3
check "with md5sum's digests" diff <(awk '{print $2}' out.txt | sort) <(md5sum raw/ILS* | cut -d' ' -f1 | sort)
exits "--json" 0 "$verify" raw --json
check "has file, bytes, md5, expected, ok of each" test "$(grep -cE '"(file|bytes|md5|expected|ok)":' out.txt)" = 15
exits "--json into a full disk fails" 1 sh -c '"$@" >/dev/full' - "$verify" raw --json
says "and says so" "stdout"
exits "and its plain text" 1 sh -c '"$@" >/dev/full' - "$verify" raw
"$verify" raw --json >out.txt
has "with the size" "\"bytes\": $(stat -c %s raw/$VAL)"
check "and all ok" test "$(grep -c '"ok": true' out.txt)" = 3
exits "the same with one job" 0 "$verify" raw --json --jobs 1
cp out.txt one.txt
"$verify" raw --json --jobs 3 >out.txt
check "as with three" cmp one.txt out.txt

fresh
printf '\377' | dd of=bad/$VAL bs=1 seek=3000 conv=notrunc status=none
exits "a flipped byte" 1 "$verify" bad
check "is one line on stderr" test "$(wc -l <err.txt)" = 1
says "that names the file" "bad/$VAL: MD5 is $(md5sum <bad/$VAL | cut -d' ' -f1)"
says "what was expected" "expects $(md5sum <raw/$VAL | cut -d' ' -f1)"
says "and what to do" "download it again"
check "the others are still ok" test "$(grep -c '^ok ' out.txt)" = 2
exits "--json tells it too" 1 "$verify" bad --json
has "ok is false" '"ok": false'

exits "an archive by name" 0 "$verify" raw/$VAL --md5sums raw/MD5SUMS
exits "against the published digests it is wrong" 1 "$verify" raw/$VAL
says "which it says" "the published list expects 29b22e2961454d5413ddabcf34fc5622: download it again"
cp raw/$VAL other.tar
exits "an unknown file alone: nothing to check" 3 "$verify" other.tar
says "is told" "no MD5 is known"
has "and shown as unknown" "unknown"
exits "beside a known one it is only told" 0 "$verify" other.tar raw/$VAL --md5sums raw/MD5SUMS
says "by name" "other.tar: no MD5 is known"
exits "as JSON" 3 "$verify" other.tar --json
has "expected is null" '"expected": null'
has "ok is null" '"ok": null'

fresh
rm bad/$VAL
exits "a listed file that is not there" 1 "$verify" bad
says "is named" "bad/$VAL: listed in bad/MD5SUMS but not there"
fresh
echo "not a digest  file" >>bad/MD5SUMS
exits "a damaged MD5SUMS" 1 "$verify" bad
says "is told with its line" "bad/MD5SUMS:5:"
fresh
sed -i 's/^\([0-9a-f]*\)  ILSVRC2012_img_val/\U\1\E *ILSVRC2012_img_val/; s/$/\r/' bad/MD5SUMS
exits "upper case, binary marks and CRLF in MD5SUMS" 0 "$verify" bad
mkdir empty
exits "a folder without archives" 3 "$verify" empty
exits "no such folder" 1 "$verify" nowhere
says "says so" "nowhere: no such file"
mkfifo pipe
exits "a pipe" 1 "$verify" pipe
says "is there, but of no use" "pipe: not a regular file: save the archive"
exits "a folder among archives" 2 "$verify" raw/$VAL raw
says "is not called absent" "raw: a folder; give it alone"

# ---- structure --------------------------------------------------------------------------------------------------
exits "--structure" 0 "$verify" raw --structure
has "counts classes and images" "(4 classes, 48 images, 12..12 a class)"
has "and val's" "(20 images)"
check "without a word on stderr" test ! -s err.txt
fresh; head -c 300 raw/$KIT >bad/$KIT && (cd bad && md5sum ILS* >MD5SUMS)
exits "a devkit cut short" 1 "$verify" bad --structure
says "is named" "$KIT"
check "and the others are told all the same" test "$(grep -c '^ok ' out.txt)" = 2
odd=$(printf 'odd\377')
mkdir "$odd" && cp raw/* "$odd"
exits "a path that is no UTF-8" 0 "$verify" "$odd"
exits "stands in JSON" 0 "$verify" "$odd" --json
has "its odd byte escaped" '"file": "odd\\xff/ILSVRC2012_img_val.tar"'
structure() { # NAME TEXT: bad/ without MD5SUMS' help
    (cd bad && md5sum ILS* >MD5SUMS)
    exits "$1" 1 "$verify" bad --structure
    says "$1: says so" "$2"
}
size=$(stat -c %s raw/$TRAIN)
fresh; truncate -s $((size - 20480)) bad/$TRAIN; structure "a truncated tar" "truncated"
fresh; tar xf raw/$TRAIN n90000002.tar && truncate -s 9216 n90000002.tar && tar xf raw/$TRAIN n90000000.tar n90000001.tar n90000003.tar
tar cf bad/$TRAIN n9000000?.tar; structure "an inner tar cut short in a whole outer one" "n90000002.tar: truncated inside"
echo hello >text.tar
exits "a text of no known digest is no archive" 1 "$verify" text.tar
says "which it says" "text.tar: not a tar archive"
fresh; echo hello >bad/$TRAIN; structure "a text" "not a tar archive"
fresh; tar cf bad/$TRAIN n90000000.tar n90000001.tar n90000003.tar; structure "a class less than the devkit" "has 3 classes, $KIT lists 4"
fresh; mkdir v && tar xf raw/$VAL -C v && rm v/ILSVRC2012_val_00000003.JPEG && (cd v && tar cf ../bad/$VAL -- *); structure "an image less than the ground truth" "has 19 images, $KIT has 20 labels"
fresh; ln -s /etc/passwd ILSVRC2012_val_00000099.JPEG; tar rf bad/$VAL ILSVRC2012_val_00000099.JPEG; structure "a link" "a link"
fresh; echo x >x; tar rPf bad/$VAL --transform 's,^x$,../x,' x 2>/dev/null; structure "a name with .." "could leave the folder"
fresh; : >ILSVRC2012_val_00000098.JPEG.; tar rf bad/$VAL --transform 's,JPEG\.,JPEG,' ILSVRC2012_val_00000098.JPEG.; structure "an empty image" "is empty"

fresh; echo hi >readme.txt; tar rf bad/$VAL readme.txt; (cd bad && md5sum ILS* >MD5SUMS)
exits "a file among val's images" 0 "$verify" bad --structure
says "is told, since the other tools refuse it" "'readme.txt' is no name of ILSVRC2012"
mkdir train && tar xf raw/$TRAIN -C train && tar cf bad/$TRAIN train && (cd bad && md5sum ILS* >MD5SUMS)
exits "classes' tars in a folder" 0 "$verify" bad --structure
says "are told, too" "'train/n90000000.tar' is no name of ILSVRC2012"
(cd train && tar cf ../bad/$TRAIN ./n9*.tar); (cd bad && tar --delete -f $VAL readme.txt && md5sum ILS* >MD5SUMS)
exits "but not the folder itself" 0 "$verify" bad --structure
check "of which nothing is told" test ! -s err.txt
exits "nothing is told of the devkit's other files" 0 "$verify" raw --structure
check "and of what is as it should be" test ! -s err.txt

# ---- classes' tars without the outer one ------------------------------------------------------------------------------
rm -rf apart && mkdir apart && tar xf raw/$TRAIN -C apart
exits "a folder of classes' tars alone" 3 "$verify" apart
says "is told how to look at them" "4 tars of single classes (n90000000.tar ...)"
says "and how to join them" "tar cf $TRAIN n????????.tar"
exits "--structure looks into them" 0 "$verify" apart --structure
check "each" test "$(grep -c 'n9000000..tar  (1 classes, 12 images' out.txt)" = 4
check "one line of unknown digests for all" test "$(grep -c 'no MD5 is known' err.txt)" = 1
cp raw/$KIT apart
exits "beside the devkit" 0 "$verify" apart --structure --manifest none
mkdir less && tar xf apart/n90000001.tar -C less && rm "less/$(ls less | head -n 1)" && (cd less && tar cf ../apart/n90000001.tar -- *)
mv apart/n90000003.tar apart/n90000009.tar
exits "classes' tars that are not the devkit's" 1 "$verify" apart --structure --manifest none
says "an image less" "n90000001.tar: has 11 images, $KIT says 12"
says "one too many" "class n90000009 is unknown to $KIT"
says "one that is not there" "apart/n90000003.tar: listed in apart/$KIT but not there"
has "is no damage of another" "MISSING     -                                               0  apart/n90000003.tar"
has "what is whole is not called damaged" "unknown     $(md5sum <apart/n90000000.tar | cut -d' ' -f1)"
tar xf apart/n90000001.tar -C less && tar xf apart/n90000002.tar -C less && (cd less && tar cf ../apart/n90000001.tar -- *)
"$verify" apart/n90000001.tar --structure >out.txt 2>err.txt
says "a class's tar holds its own class" "n90000001.tar: 'n90000002_"

# ---- trees --------------------------------------------------------------------------------------------------------
"$RNKIT_BIN/ilsvrc-extract" raw tree >/dev/null
exits "a tree" 0 "$verify" --tree tree
has "is counted" "tree: 68 images in 8 classes (5..12 a class)"
exits "and decoded" 0 "$verify" --tree tree --decode
has "in full" "68 decoded: 0 gray, 0 CMYK, 0 PNG, 0 with warnings"
exits "a split alone" 0 "$verify" --tree tree/train --decode --json
has "as JSON" '"n90000001": 12'
cp -r tree/train oddtree && mv oddtree/n90000001 "oddtree/$odd"
exits "a class whose name is no UTF-8 is not left out of JSON" 0 "$verify" --tree oddtree --json
has "but escaped" '"odd\\xff": 12'
: >"oddtree/$odd/$odd.JPEG"
exits "nor is what was found in it" 1 "$verify" --tree oddtree --json
has "by name" '"oddtree/odd\\xff/odd\\xff.JPEG: empty"'
has "and in the list of its kind" '"oddtree/odd\\xff/odd\\xff.JPEG"'
spoilt() { # NAME TEXT [OPTION]: tree2 is found bad
    exits "$1" 1 "$verify" --tree tree2 ${3:+"$3"}
    says "$1: says so" "$2"
}
again() { rm -rf tree2; cp -r tree tree2; first=$(find tree2/train -name '*.JPEG' | LC_ALL=C sort | head -n 1); }
again; : >"$first"; spoilt "an empty file" "$first: empty"
again; truncate -s 400 "$first"; spoilt "a JPEG cut short" "$first: truncated"
again; truncate -s $(($(stat -c %s "$first") - 40)) "$first"; spoilt "a JPEG cut short, decoded" "$first" --decode
again; echo hello >"$first"; spoilt "a text" "$first: neither JPEG nor PNG"
again; rm "$first"; spoilt "a file removed" "tree2/train: has 47 images, 48 were extracted"
again; rm tree2/val/n90000001/*; spoilt "a class emptied" "class val/n90000001 has no images"
again; mkdir tree2/train/n90000001/sub; spoilt "a folder among the images" "not a file"
again; ln -s /etc/passwd tree2/train/n90000001/n90000001_999.JPEG; spoilt "a link among the images" "not a file"
again; sed -i 's/"whole"/"extracting"/' tree2/.rnkit/train.json; spoilt "an unfinished extraction" "unfinished"
mv tree2/train tree2/.rnkit/; spoilt "an unfinished split beside a finished one" "tree2/train: its extraction is unfinished"
again; echo "{" >tree2/.rnkit/val.json; spoilt "a damaged note" "tree2/.rnkit/val.json: damaged"
again; rm -r tree2/train; exits "a split removed on purpose is no damage" 0 "$verify" --tree tree2
exits "a folder without images" 3 "$verify" --tree empty
exits "no such tree" 1 "$verify" --tree nowhere
# a PNG by the name of a JPEG, made here: 1x1 pixel
again; printf '\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82' >"$first"
exits "a PNG named .JPEG is told, not failed" 0 "$verify" --tree tree2 --decode
says "by name" "$first: a PNG"
has "and counted" "1 PNG"
again; cp "$first" g.jpg; "$RNKIT_BIN/mkilsvrc" --idx /usr/share/datasets/fashion-mnist --limit-train 1 --limit-val 1 gray >/dev/null 2>&1 &&
    "$RNKIT_BIN/ilsvrc-extract" gray graytree >/dev/null && exits "gray images are told" 0 "$verify" --tree graytree --decode && has "all 20" "20 gray"

# ---- packed sets --------------------------------------------------------------------------------------------------
if [ -x "$RNKIT_BIN/pack-lmdb" ]; then
    "$RNKIT_BIN/pack-lmdb" tree/train db --shuffle 3 >/dev/null 2>err.txt || cat err.txt >&2
    exits "a packed set" 0 "$verify" --lmdb db
    has "is counted and its seal named" "db: 48 images in 4 classes (12..12 a class)"
    has "by its digest" "seal $(sha256sum db/seal.json | cut -c1-16)"
    exits "and decoded" 0 "$verify" --lmdb db --decode --json
    has "in full" '"images": 48'
    "$RNKIT_BIN/pack-lmdb" tree/train rawdb --encode raw --resize exact:16x16 >/dev/null 2>&1
    exits "raw pixels" 0 "$verify" --lmdb rawdb --decode
    cp -r db unsealed && rm unsealed/seal.json
    exits "a set without its seal" 1 "$verify" --lmdb unsealed
    says "is told" "unsealed"
    cp -r db spoilt
    at=$(grep -abo JFIF spoilt/data.mdb | sed -n '20s/:.*//p')
    printf '\377\0\377\0\1\2\3\4' | dd of=spoilt/data.mdb bs=1 seek=$((at + 300)) conv=notrunc status=none
    exits "a byte changed inside a record" 1 "$verify" --lmdb spoilt
    says "is found by the content digest" "pack it again"
    cp -r db cut && truncate -s 40960 cut/data.mdb
    exits "a set cut short" 1 "$verify" --lmdb cut
    cp -r db miscounted && sed -i '0,/"records": *12/s//"records": 13/' miscounted/seal.json
    exits "a seal whose counts do not add up" 1 "$verify" --lmdb miscounted
    exits "no such set" 1 "$verify" --lmdb nowhere
else
    not_ok "pack-lmdb is built"
fi

# ---- misuse ----------------------------------------------------------------------------------------------------------
exits "nothing to verify" 2 "$verify"
exits "two things at once" 2 "$verify" raw --tree tree
says "lists them" "give one of"
exits "--decode of archives" 2 "$verify" raw --decode
exits "an unknown option" 2 "$verify" raw --structur
says "is told its neighbour" "--structure"

# ---- real photographs --------------------------------------------------------------------------------------------------
if data "Imagenette's archives" imagenette/MD5SUMS; then
    exits "Imagenette's archives are right" 0 "$verify" "$RNKIT_DATA/imagenette" --structure
    has "train" "(10 classes, 9469 images, 858..993 a class)"
    has "val" "(3925 images)"
fi
finish
