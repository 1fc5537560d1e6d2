#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ilsvrc-verify: manifests written and held against, every kind of trouble named and counted, labels in wrong order.
. "$RNKIT_TESTS/tap.sh"
verify=$RNKIT_BIN/ilsvrc-verify
TRAIN=ILSVRC2012_img_train.tar VAL=ILSVRC2012_img_val.tar KIT=ILSVRC2012_devkit_t12.tar.gz
has() { if grep -qF -- "$2" out.txt; then ok "$1"; else not_ok "$1 (no '$2' on stdout)"; cat out.txt >&2; fi; }
# kind NAME "COUNT BAD NOTES KNOWN" [NAME...]: what --json in out.txt says of a kind, and that it names these
kind() {
    local k=$1 want=$2 got n
    shift 2
    got=$(awk -v k="\"$k\": {" 'index($0, k) {in_kind = 1} in_kind && /"(count|bad|notes|known)": [0-9]/ {gsub(/[^0-9]/, ""); printf "%s%s", s, $0; s = " "; if (++n == 4) exit}' out.txt)
    if [ "$got" = "$want" ]; then ok "$k is counted"; else not_ok "$k is counted ('$got', wanted '$want')"; cat out.txt >&2; fi
    for n; do has "and named: ${n##*/}" "\"$n\""; done
}
pack() { "$RNKIT_BIN/pack-lmdb" "$@" >/dev/null 2>err.txt || cat err.txt >&2; }
"$RNKIT_BIN/mkilsvrc" --synthetic 4 --train-per-class 12 --val 20 --size 40x30 --seed 2 raw >/dev/null
"$RNKIT_BIN/ilsvrc-extract" raw tree >/dev/null

# ---- images that are odd, made of a sound one --------------------------------------------------------------------
sound=$(find tree/train -name '*.JPEG' | LC_ALL=C sort | head -n 1)
end=$(($(stat -c %s "$sound") - 2))
png() { printf '\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82'; }
cmyk() { # 8x8, made by Pillow
    base64 -d <<</9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAQCwwODAoQDg0OEhEQExgoGhgWFhgxIyUdKDozPTw5Mzg3QEhcTkBEV0U3OFBtUVdfYmdoZz5NcXlwZHhcZWdj/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EABQAAQAAAAAAAAAAAAAAAAAAAAb/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/9oADgRDAE0AWQBLAAA/AHY0Ylj/2Q==
}
exif() { # one tag, ImageDescription, whose 100 bytes would begin at byte 1000 of 26
    head -c 2 "$sound"
    printf '\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0e\0\x02\0\0\0\x64\0\0\x03\xe8\0\0\0\0'
    tail -c +3 "$sound"
}
warns() { head -c $end "$sound"; printf 'left over\xff\xd9'; }
huge() { # width and height of 65,500 in the frame header
    local at
    at=$(LC_ALL=C grep -aboP '\xff\xc0\x00\x11\x08' "$sound" | head -n 1 | cut -d: -f1)
    head -c $((at + 5)) "$sound"; printf '\xff\xdc\xff\xdc'; tail -c +$((at + 10)) "$sound"
}
holed() { head -c 60 "$sound"; head -c 100 /dev/zero; tail -c +161 "$sound"; } # its tables are gone
thumbnail() { # cut short, but with the end marker of a thumbnail in its headers
    head -c 2 "$sound"; printf '\xff\xe1\0\x0c\xff\xd8\xff\xdb\xff\xd9\xff\xd8\xff\xd9'; tail -c +3 "$sound" | head -c $((end / 2))
}

# ---- manifests: written, read, held against -----------------------------------------------------------------------
exits "--write-manifest" 0 "$verify" raw --write-manifest m.json
check "without a word on stderr" test ! -s err.txt
check "it has the sizes" grep -qF "\"bytes\": $(stat -c %s raw/$TRAIN)" m.json
check "the MD5s" grep -qF "\"md5\": \"$(md5sum <raw/$VAL | cut -d' ' -f1)\"" m.json
check "and the SHA-256s" grep -qF "\"sha256\": \"$(sha256sum <raw/$KIT | cut -d' ' -f1)\"" m.json
check "classes of train" test "$(grep -c '"n9000000[0-3]": 12' m.json)" = 4
check "and, by the devkit, of val" test "$(grep -c '"n9000000[0-3]": 5' m.json)" = 4
cp m.json one.json
exits "a second one" 0 "$verify" raw --write-manifest m.json --jobs 1
check "is the same" cmp m.json one.json
cp -r raw copy && rm copy/MD5SUMS
exits "a copy is held against it" 0 "$verify" copy --manifest m.json --sha256 --structure --json
check "all right" test "$(grep -c '"ok": true' out.txt)" = 3
has "by SHA-256, too" "\"sha256\": \"$(sha256sum <raw/$VAL | cut -d' ' -f1)\""
has "which it should have" "\"expected_sha256\": \"$(sha256sum <raw/$VAL | cut -d' ' -f1)\""
has "from the manifest" '"from": "m.json"'
exits "plain" 0 "$verify" copy --manifest m.json --sha256
has "with SHA-256" "sha256 $(sha256sum <raw/$KIT | cut -d' ' -f1)"
exits "archives by name" 0 "$verify" copy/$VAL --manifest m.json
exits "without it they are held against the published digests" 1 "$verify" copy
exits "or against nothing" 3 "$verify" copy --manifest none
exits "which leaves MD5SUMS" 0 "$verify" raw --manifest none
cp raw/MD5SUMS sums && sed -i 's/^[0-9a-f]\{8\}/00000000/' sums
exits "--md5sums wins over --manifest" 1 "$verify" copy --manifest m.json --md5sums sums
says "by name" "sums expects 00000000"
cp sums copy/MD5SUMS
exits "--manifest wins over MD5SUMS" 0 "$verify" copy --manifest m.json
rm copy/MD5SUMS

changed() { # NAME TEXT: copy/ is found changed
    exits "$1" 1 "$verify" copy --manifest m.json
    says "$1: says so" "$2"
    rm -rf copy && cp -r raw copy && rm copy/MD5SUMS
}
printf '\1' | dd of=copy/$TRAIN bs=1 seek=5000 conv=notrunc status=none; changed "a byte changed" "copy/$TRAIN: MD5 is"
truncate -s -512 copy/$TRAIN; changed "an archive cut short" "has $(($(stat -c %s raw/$TRAIN) - 512)) bytes of $(stat -c %s raw/$TRAIN): cut short; download it again"
printf x >>copy/$VAL; changed "a byte more" "has $(($(stat -c %s raw/$VAL) + 1)) bytes of $(stat -c %s raw/$VAL): too long"
rm copy/$KIT; changed "an archive gone" "copy/$KIT: listed in m.json but not there"
rm copy/$KIT
exits "the others are verified all the same" 1 "$verify" copy --manifest m.json --json
check "two of them" test "$(grep -c '"ok": true' out.txt)" = 2
has "and the missing one has its status" '"status": "missing"'
cp raw/$KIT copy/
exits "a manifest that cannot be written" 1 "$verify" raw --write-manifest nowhere/m.json
says "is told" "nowhere/: the manifest cannot be written there"
check "before anything is read" test ! -s out.txt
exits "a folder for one" 2 "$verify" raw --write-manifest raw
# A size that is wrong is told before anything is read: this hole of 140 GB would take minutes.
truncate -s 147897477119 hole && mkdir -p big && mv hole big/$TRAIN
exits "a size that is wrong, of a large file, is enough" 1 timeout 20 "$verify" big
says "by one byte" "has 147897477119 bytes of 147897477120: cut short"
rm -r big
cp -r raw damaged && truncate -s -20480 damaged/$TRAIN
exits "damaged archives get no manifest" 1 "$verify" damaged --write-manifest n.json
says "which says why" "n.json: not written"
check "none is left" test ! -e n.json
rm damaged/MD5SUMS
exits "nor those that are cut short without anyone knowing their digest" 1 "$verify" damaged --write-manifest n.json
has "which are called damaged" "DAMAGED"
exits "--write-manifest into a folder that is not there" 1 "$verify" raw --write-manifest no/where.json
sed 's/"bytes": [0-9]*/"bytes": -1/' m.json >bad.json
exits "a manifest with a mistake" 1 "$verify" raw --manifest bad.json
says "is told with its field" "bad.json: archives[0].bytes: must be a whole number"
echo '{' >bad.json
exits "one that is no JSON" 1 "$verify" raw --manifest bad.json
says "with its line" "bad.json:2:"
exits "one that is not there" 1 "$verify" raw --manifest nowhere.json
exits "--write-manifest of a tree" 2 "$verify" --tree tree --write-manifest x.json
exits "--against of archives" 2 "$verify" raw --against tree

# ---- a disk that fails: a process's memory cannot be read at 0, which is EIO ------------------------------------------
if [ -r /proc/self/mem ] && ! head -c 1 /proc/self/mem >/dev/null 2>&1; then
    ln -s /proc/self/mem sick.tar
    for how in "" --structure --sha256; do
        exits "a read error $how" 1 "$verify" sick.tar raw/$VAL --md5sums raw/MD5SUMS ${how:+"$how"}
        has "is no damage: unreadable" "UNREADABLE"
        says "with the system's words" "Input/output error"
        check "and the next archive is verified all the same" grep -q "^ok .*$VAL" out.txt
    done
    exits "in JSON" 1 "$verify" sick.tar --structure --json
    kind unreadable "1 1 0 0" sick.tar
    has "by its status" '"status": "unreadable"'
else
    skip "a read error" "/proc/self/mem can be read at 0, or is not there"
fi

# ---- archives of other forms ------------------------------------------------------------------------------------------
mkdir -p forms/dogs dogs && tar xf raw/$TRAIN -C dogs
tar cf forms/ILSVRC2012_img_train_t3.tar -C dogs n90000000.tar n90000002.tar
mkdir flat && for t in dogs/*.tar; do tar xf "$t" -C flat; done
tar cf forms/dogs.tar -C flat .
mkdir -p box/Annotation/n90000001 box/Annotation/n90000003 box/val
for i in 3 5 8; do echo '<annotation/>' >box/Annotation/n90000001/n90000001_$i.xml; done
echo '<annotation/>' >box/Annotation/n90000003/n90000003_7.xml
for i in 1 2; do echo '<annotation/>' >box/val/ILSVRC2012_val_0000000$i.xml; done
tar czf forms/ILSVRC2012_bbox_train_v2.tar.gz -C box Annotation
tar czf forms/ILSVRC2012_bbox_val_v3.tgz -C box val
(cd box/Annotation && for c in n9*; do tar czf $c.tar.gz $c; done && tar cf ../../forms/ILSVRC2012_bbox_train_dogs.tar.gz -- *.tar.gz)
rm -r forms/dogs
(cd forms && md5sum ./*.* >MD5SUMS)
exits "t3 and bounding boxes" 0 "$verify" forms --structure
has "a tar of tars" "ILSVRC2012_img_train_t3.tar  (2 classes, 24 images, 12..12 a class)"
has "a flat tar of train images" "dogs.tar  (4 classes, 48 images, 12..12 a class)"
has "boxes in folders" "ILSVRC2012_bbox_train_v2.tar.gz  (2 classes, 4 annotations, 1..3 a class)"
has "boxes in an archive a class" "ILSVRC2012_bbox_train_dogs.tar.gz  (2 classes, 4 annotations, 1..3 a class)"
has "boxes of val" "ILSVRC2012_bbox_val_v3.tgz  (2 annotations)"
exits "a manifest of them" 0 "$verify" forms --write-manifest f.json
exits "is held against" 0 "$verify" forms --manifest f.json --structure
sed -i '/"n90000001": /d' f.json && sed -i 's/"annotations": 4/"annotations": 1/; s/"classes": 2,/"classes": 1,/; s/"most_per_class": 3/"most_per_class": 1/' f.json
cp forms/ILSVRC2012_bbox_train_v2.tar.gz x.tgz && mkdir -p zip && mv x.tgz zip/ILSVRC2012_bbox_train_v2.tar.gz
(cd raw && tar cf ../zip/$TRAIN --format=ustar ./*.tar) # two levels down
exits "tars of tars of tars" 1 "$verify" zip --structure
says "are not looked into, and said so" "an archive two levels down"
tar rf flat.tar -C flat "$(basename "$sound")" && tar rf flat.tar -C flat "$(basename "$sound")"
md5sum flat.tar >MD5SUMS
exits "one name twice" 1 "$verify" flat.tar --md5sums MD5SUMS --structure
says "is told" "'$(basename "$sound")': its name stands twice"

# ---- every kind in a tree -------------------------------------------------------------------------------------------
cp -r tree/train odd
c=odd/n90000000
rm "$c"/*
png >$c/n90000000_1.JPEG; png >$c/n02105855_2933.JPEG
cmyk >$c/n90000000_2.JPEG; cmyk >$c/n01739381_1309.JPEG
exif >$c/n90000000_3.JPEG; exif >$c/n04152593_17460.JPEG
warns >$c/n90000000_4.JPEG
c=odd/n90000001
rm "$c"/*
: >$c/n90000001_1.JPEG
head -c 600 "$sound" >$c/n90000001_2.JPEG; head -c 30 "$sound" >$c/n90000001_3.JPEG; thumbnail >$c/n90000001_4.JPEG
echo hello >$c/n90000001_5.JPEG
holed >$c/n90000001_6.JPEG
huge >$c/n90000001_7.JPEG
mkdir $c/n90000001_8.JPEG
rm odd/n90000002/*
exits "a tree with every kind of trouble" 1 "$verify" --tree odd --decode --json
c=odd/n90000000
kind png "2 0 1 1" $c/n90000000_1.JPEG $c/n02105855_2933.JPEG
kind cmyk "2 0 1 1" $c/n90000000_2.JPEG $c/n01739381_1309.JPEG
kind exif "2 0 1 1" $c/n90000000_3.JPEG $c/n04152593_17460.JPEG
kind warning "1 0 1 0" $c/n90000000_4.JPEG
c=odd/n90000001
kind empty "2 2 0 0" $c/n90000001_1.JPEG n90000002
kind truncated "3 3 0 0" $c/n90000001_2.JPEG $c/n90000001_3.JPEG $c/n90000001_4.JPEG
kind not_image "1 1 0 0" $c/n90000001_5.JPEG
kind damaged "1 1 0 0" $c/n90000001_6.JPEG
kind unsupported "1 1 0 0" $c/n90000001_7.JPEG
kind entry "1 1 0 0" $c/n90000001_8.JPEG
has "classes are counted" '"n90000000": 7'
has "empty ones, too" '"n90000002": 0'
has "ok is false" '"ok": false'
exits "the same for people" 1 "$verify" --tree odd --decode
has "a table of classes" "n90000000  7   n90000001  7   n90000002  0   n90000003 12"
for row in "png                   -          1          1" "cmyk                  -          1          1" "truncated             3          -          -"; do
    has "and of kinds: ${row%% *}" "$row"
done
says "what is known is said to be" "known: odd/n90000000/n02105855_2933.JPEG: a PNG"
says "what is not is a note" "note: odd/n90000000/n90000000_1.JPEG: a PNG"
says "libjpeg-turbo's words" "n90000000_4.JPEG: Corrupt JPEG data: 7 extraneous bytes before marker 0xd9"
says "and damage is damage" "error: odd/n90000001/n90000001_2.JPEG: truncated"
rm -r odd/n90000001 odd/n90000002
exits "what is odd and known does no harm" 0 "$verify" --tree odd --decode
exits "nor without decoding" 0 "$verify" --tree odd --json
kind png "2 0 1 1"
kind cmyk "2 0 1 1"
kind exif "2 0 1 1"
cp -r tree/train cut && thumbnail >"cut/${sound#tree/train/}"
exits "a thumbnail's end is not the image's, without decoding either" 1 "$verify" --tree cut
says "by name" "truncated"
exits "an oddity that the manifest does not know" 0 "$verify" --tree odd --json --manifest none
kind cmyk "2 0 2 0"

# ---- boxes that were extracted --------------------------------------------------------------------------------------------
cp raw/$KIT forms/ && (cd forms && md5sum ./*.* >MD5SUMS)
if "$RNKIT_BIN/ilsvrc-extract" forms boxes --splits t3,bbox >/dev/null 2>err.txt; then
    exits "extracted dogs and boxes" 0 "$verify" --tree boxes
    has "are counted" "t3/n90000002 12"
    first=$(find boxes/bbox -name '*.xml' | LC_ALL=C sort | head -n 1)
    : >"$first"
    exits "an empty box" 1 "$verify" --tree boxes
    says "is found" "$first: empty"
    rm "$first"
    exits "one less" 1 "$verify" --tree boxes
    says "too" "were extracted"
else
    not_ok "dogs and boxes are extracted"
    cat err.txt >&2
fi

# ---- oddities in archives go into the manifest ------------------------------------------------------------------------
mkdir v && tar xf raw/$VAL -C v && cmyk >v/ILSVRC2012_val_00000007.JPEG
cp -r raw oddraw && rm oddraw/MD5SUMS && (cd v && tar cf ../oddraw/$VAL -- *)
exits "a manifest of archives with a CMYK image" 0 "$verify" oddraw --write-manifest o.json
check "knows it" grep -qF '"ILSVRC2012_val_00000007.JPEG"' o.json
"$RNKIT_BIN/ilsvrc-extract" oddraw oddtree >/dev/null
exits "so the tree's is known" 0 "$verify" --tree oddtree --manifest o.json --json
kind cmyk "1 0 0 1"

pack oddraw oddval.lmdb --split val
exits "and so is the packed set's, whose keys have no folder" 0 "$verify" --lmdb oddval.lmdb --manifest o.json --json
kind cmyk "1 0 0 1" "$(printf '%08d_ILSVRC2012_val_00000007.JPEG' 6)"

# ---- names ----------------------------------------------------------------------------------------------------------------
names() { # NAME STATUS: what --json says of tree2
    exits "$1" "$2" "$verify" --tree tree2 "${@:3}" --json
}
again() { rm -rf tree2; cp -r tree tree2; }
again; rm "tree2/train/${sound#tree/train/}" tree2/val/*/ILSVRC2012_val_00000003.JPEG; cp "$sound" tree2/train/n90000003/n90000003_7777.JPEG
names "missing and extra names" 1
kind missing "2 2 0 0" "${sound#tree/train/}" ILSVRC2012_val_00000003.JPEG
kind extra "1 1 0 0" n90000003/n90000003_7777.JPEG
names "the same, by the archives" 1 --against raw
kind missing "2 2 0 0" "${sound#tree/train/}" ILSVRC2012_val_00000003.JPEG
kind extra "1 1 0 0"
rm -r tree2/.rnkit tree2/*.txt
names "without lists nothing is missing" 0
names "but by the lists of another" 1 --against tree
kind missing "2 2 0 0"
names "and by the manifest as far as it goes" 1 --manifest m.json
kind missing "1 1 0 0" ILSVRC2012_val_00000003.JPEG
kind count "4 4 0 0" n90000000 n90000003
again; rm -r tree2/train/n90000002
names "a missing class" 1
has "is named" 'tree2/train: class n90000002 is missing'
again; mv tree2/val/n90000001/ILSVRC2012_val_*.JPEG tree2/val/n90000002/
names "images in another class's folder" 1
kind label "5 5 0 0"
again; sed -i '3s/ [0-9]*$/ x/' tree2/train.txt
names "a damaged list" 1
has "is told with its line" 'train.txt:3: not \"path label\"'
names "no such folder to hold against" 1 --against nowhere

# ---- labels in wrong order -----------------------------------------------------------------------------------------------
# The devkit's ids, another permutation than that of the sorted names: 0->2, 1->0, 2->3, 3->1.
relabel() { awk -v m="$1" 'BEGIN {split(m, to, " ")} {print $1, to[$2 + 1]}' "$2"; }
again; relabel "2 0 3 1" tree/train.txt >tree2/train.txt
names "train.txt in the devkit's order" 1
kind label_order "4 4 0 0" n90000000 n90000003
has "with a guess" "the devkit's ids?"
again; relabel "2 0 3 1" tree/val.txt >tree2/val.txt
names "val.txt in the devkit's order" 1
kind label_order "4 4 0 0"
again; relabel "1 2 3 4" tree/train.txt >tree2/train.txt
names "labels that count from 1" 1
has "are told" "count from 1"
again; printf '%s\n' n90000001 n90000000 n90000002 n90000003 >tree2/synsets.txt
names "a class list out of order" 1
kind label_order "2 2 0 0"
relabel "2 0 3 1" tree/train.txt >wrong.txt
pack --list wrong.txt --root tree/train wrong.lmdb
exits "a packed set in the devkit's order" 1 "$verify" --lmdb wrong.lmdb --json
kind label_order "4 4 0 0" n90000001
pack --list tree/train.txt --root tree/train right.lmdb --shuffle 5
exits "one in order" 0 "$verify" --lmdb right.lmdb --against raw --json
awk '{if (NR == 5) $2 = 3; print}' tree/train.txt >mis.txt
pack --list mis.txt --root tree/train mis.lmdb
exits "one image with another's label" 1 "$verify" --lmdb mis.lmdb --json
kind label "1 1 0 0" "$(sed -n 5p tree/train.txt | cut -d' ' -f1)"
pack raw val.lmdb --split val
exits "val by the devkit" 0 "$verify" --lmdb val.lmdb --against raw --decode
has "says what it was held against" "held against raw/$VAL"
exits "by the manifest" 0 "$verify" --lmdb val.lmdb --manifest m.json
relabel "2 0 3 1" tree/val.txt >wrongval.txt
mkdir flatval && cp tree/val/*/* flatval/
pack --list wrongval.txt --root flatval wrongval.lmdb
exits "val in the devkit's order, which its names do not show" 0 "$verify" --lmdb wrongval.lmdb
exits "but the archives do" 1 "$verify" --lmdb wrongval.lmdb --against raw --json
kind label_order "4 4 0 0" n90000000
mkdir kit && cp raw/$KIT kit/
exits "and the devkit alone" 1 "$verify" --lmdb wrongval.lmdb --against kit --json
kind label_order "4 4 0 0" n90000000
grep -v "$(basename "$sound")" tree/train.txt >less.txt
pack --list less.txt --root tree/train less.lmdb
exits "a packed set that lacks an image" 1 "$verify" --lmdb less.lmdb --against raw --json
kind missing "1 1 0 0" "${sound#tree/train/}"
exits "by the manifest" 1 "$verify" --lmdb less.lmdb --manifest m.json
says "as a count" "less.lmdb: has 47 images, there should be 48"
cp -r odd oddpack && cp -r tree/train/n90000001 tree/train/n90000002 oddpack/ && rm oddpack/n90000000/n90000000_[14].JPEG
pack oddpack odd.lmdb
exits "odd images in a packed set" 0 "$verify" --lmdb odd.lmdb --decode --json
kind cmyk "2 0 1 1"
kind png "1 0 0 1"
cp -r right.lmdb unsealed.lmdb && rm unsealed.lmdb/seal.json
exits "an unsealed set is looked through all the same" 1 "$verify" --lmdb unsealed.lmdb --decode --json
kind seal "1 1 0 0" unsealed.lmdb
has "to the last record" '"images": 48'
has "by class" '"n90000002": 12'
finish
