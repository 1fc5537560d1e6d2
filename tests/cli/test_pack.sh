#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# pack-lmdb: the same bytes at any --jobs and after any kill, every source, every way of going wrong.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

seal_of() { sed -n 's/.*"seal":"\([0-9a-f]*\)".*/\1/p'; }
content() { sed -n 's/^ "content_sha256": "\(.*\)",$/\1/p' "$1/seal.json"; }
same_set() { cmp "$1/data.mdb" "$2/data.mdb" && cmp "$1/seal.json" "$2/seal.json"; }

mkilsvrc --synthetic 5 --train-per-class 700 --val 60 --size 40x32 --vary 30 --seed 7 raw --quiet >&2 || exit 1
mkdir -p tree/train
tar -xf raw/ILSVRC2012_img_train.tar -C tree
for t in tree/*.tar; do
    d=tree/train/$(basename "$t" .tar)
    mkdir "$d" && tar -xf "$t" -C "$d" && rm "$t"
done

# ---- the same bytes --------------------------------------------------------------------------------------------
exits "packs train from the archives" 0 pack-lmdb raw --split train --shuffle 3 j1.lmdb --jobs 1 --json
check "prints the promised keys" grep -qE '^\{"records":3500,"skipped":0,"bytes":[0-9]+,"seal":"[0-9a-f]{64}","seconds":[0-9.]+,' out.txt
check "the seal printed is the file's SHA-256" [ "$(seal_of <out.txt)" = "$(sha256sum <j1.lmdb/seal.json | cut -d' ' -f1)" ]
for j in 2 5; do
    exits "packs with --jobs $j" 0 pack-lmdb raw --split train --shuffle 3 j$j.lmdb --jobs $j
    check "--jobs $j gives the same files" same_set j1.lmdb j$j.lmdb
done
exits "resized and re-encoded, --jobs 1" 0 pack-lmdb raw --split train --resize short:24 e1.lmdb --jobs 1
exits "resized and re-encoded, --jobs 5" 0 pack-lmdb raw --split train --resize short:24 e5.lmdb --jobs 5
check "re-encoding gives the same files at any --jobs" same_set e1.lmdb e5.lmdb
check "a journal does not stay behind" [ ! -e j1.lmdb/pack.state ]
check "no path of this machine in the seal" bash -c "! grep -qF '$PWD' j1.lmdb/seal.json"

exits "a second time: nothing to do" 0 pack-lmdb raw --split train --shuffle 3 j2.lmdb
check "and it says so" grep -q '^j2.lmdb: already packed: 3500 records' out.txt
touch raw/ILSVRC2012_img_train.tar
exits "also when only the archive's time changed" 0 pack-lmdb raw --split train --shuffle 3 j2.lmdb --json
check "and it says so in JSON" grep -q '"already":true' out.txt
exits "other options for a finished set" 2 pack-lmdb raw --split train --shuffle 4 j2.lmdb
says "names the remedy" "Name another folder, or delete this one"
mkdir gone && cp j2.lmdb/seal.json j2.lmdb/pack.log.json gone
exits "a seal without its data" 1 pack-lmdb raw --split train --shuffle 3 gone
says "is told from a finished set" "data.mdb is gone"
exits "another seed" 0 pack-lmdb raw --split train --shuffle 4 s4.lmdb
check "gives another order" [ "$(content j1.lmdb)" != "$(content s4.lmdb)" ]
exits "--json into a full disk fails" 1 sh -c '"$@" >/dev/full' - pack-lmdb raw --split train --shuffle 3 j2.lmdb --json
says "and says so" "stdout"

# ---- a tree, a list -----------------------------------------------------------------------------------------------
exits "packs the extracted tree" 0 pack-lmdb tree/train tree.lmdb --shuffle 3
check "the tree has the archive's content" [ "$(content tree.lmdb)" = "$(content j1.lmdb)" ]
(cd tree/train && n=0 && for d in *; do for f in "$d"/*; do echo "$f $n"; done; n=$((n + 1)); done) >train.txt
exits "packs a list" 0 pack-lmdb --list train.txt --root tree/train list.lmdb --shuffle 3
check "the list has the archive's content" [ "$(content list.lmdb)" = "$(content j1.lmdb)" ]
: >none.txt
exits "an empty list" 3 pack-lmdb --list none.txt --root tree/train none.lmdb
says "the list is named, not the folder" "none.txt: no line in it"
head -n 3 train.txt >short.txt
printf 'n00000000/missing.JPEG 0\n' >>short.txt
exits "a list with a missing file" 1 pack-lmdb --list short.txt --root tree/train missing.lmdb
says "names the file" "missing.JPEG"
exits "--on-bad skip leaves it out" 0 pack-lmdb --list short.txt --root tree/train missing.lmdb --on-bad skip
check "counts it" grep -q '3 records, 1 skipped' out.txt
check "lists it" grep -q "^n00000000/missing.JPEG	" missing.lmdb/skipped.txt
printf '%s\0\n%s\n' "$(sed -n 1p train.txt)" "$(sed -n 2p train.txt)" >nul.txt
exits "a list with a NUL byte is not taken for a shorter one" 1 pack-lmdb --list nul.txt --root tree/train nul.lmdb
says "is named" "nul.txt: not a text file"
printf 'a.JPEG 1 \n' >blank.txt
exits "a blank at a line's end" 1 pack-lmdb --list blank.txt --root tree/train blank.lmdb
says "is named with its line" "blank.txt:1"
printf '\357\273\277%s\n' "$(sed -n 1p train.txt)" >bom.txt
exits "a byte-order mark is no image left out" 1 pack-lmdb --list bom.txt --root tree/train bom.lmdb --on-bad skip
says "is told" "bom.txt:1: a byte-order mark at its start; take it away with tail -c +4"
exits "what it advises" 0 pack-lmdb --list <(tail -c +4 bom.txt) --root tree/train bom.lmdb
sed 's/ /  /' train.txt >two.txt
exits "two blanks are no images left out" 1 pack-lmdb --list two.txt --root tree/train two.lmdb --on-bad skip
says "are told" 'two.txt:1: not "path label" with one blank between'
sed 's,^,./,' train.txt >dots.txt
exits "paths as find writes them" 1 pack-lmdb --list dots.txt --root tree/train dots.lmdb
says "are told what is wrong" "is no relative path without '.', '..' or '//'"
mkdir apart && tar xf raw/ILSVRC2012_img_train.tar -C apart
exits "a tar that is not of class folders" 3 pack-lmdb apart/n90000000.tar apart.lmdb
says "is told what to give" "give the folder that holds them, with --split train or --split val"
exits "classes' tars without the outer one" 1 pack-lmdb apart --split train apart.lmdb
says "are told what to do" "(cd DIR && tar cf ILSVRC2012_img_train.tar n????????.tar)"
(cd apart && tar cf ILSVRC2012_img_train.tar n????????.tar && cp ../raw/*devkit* .)
exits "which makes an archive that packs" 0 pack-lmdb apart --split train apart.lmdb --shuffle 3
check "to the archive's content" [ "$(content apart.lmdb)" = "$(content j1.lmdb)" ]

# ---- labels of val ----------------------------------------------------------------------------------------------
mkilsvrc --synthetic 5 --train-per-class 2 --val 60 --size 40x32 --seed 7 --truth truth.txt raw2 --quiet >&2
exits "packs val" 0 pack-lmdb raw2 --split val val.lmdb
if command -v mdb_dump >/dev/null; then
    # Key and label of every record as LMDB's own tool prints them: an encoded Datum ends in 28 <label> 38 01, "(\058\01".
    mdb_dump -p val.lmdb | sed '1,/^HEADER=END/d; /^DATA=END/d' | paste - - |
        sed 's/^ [0-9]*_\([^\t]*\)\t.*(\\0\([0-9]\)8\\01$/\1 \2/' >labels.txt
    cut -d' ' -f1,2 truth.txt | sort >want.txt
    check "every label of val is the truth's" cmp labels.txt want.txt
    mdb_stat j1.lmdb >stat.txt
    check "mdb_stat counts the records" grep -q 'Entries: 3500' stat.txt
else
    skip "every label of val is the truth's" "no mdb_dump (package lmdb-utils)"
    skip "mdb_stat counts the records" "no mdb_stat (package lmdb-utils)"
fi

# ---- kill -9 --------------------------------------------------------------------------------------------------
# Two at the very start, then one after each batch (and a little later), wherever that hits.
at_lines() { [ -e killed.lmdb/pack.state ] && grep -c '^at' killed.lmdb/pack.state || echo 0; }
kills=0 batches=0
for k in 0 0 1 1 1 2 2 3; do
    pack-lmdb raw --split train --shuffle 3 --jobs 2 killed.lmdb >/dev/null 2>&1 &
    p=$!
    while [ "$(at_lines)" -lt $k ] && kill -0 $p 2>/dev/null; do :; done
    sleep 0.0$((RANDOM % 3))$((RANDOM % 10))
    kill -9 $p 2>/dev/null
    wait $p 2>/dev/null
    [ $? = 137 ] && kills=$((kills + 1))
    n=$(at_lines)
    [ "$n" -gt $((batches + 1)) ] && batches=$((n - 1))
done
echo "# killed $kills times, after up to $batches batches"
mkdir -p early && : >early/pack.state.tmp.1 # killed while the journal was first written
exits "goes on where not even the journal was whole" 0 pack-lmdb raw --split val early
exits "goes on after kill -9" 0 pack-lmdb raw --split train --shuffle 3 killed.lmdb
check "killed and undisturbed are the same files" same_set j1.lmdb killed.lmdb
exits "a pack stopped between two batches" 1 bash -c 'ulimit -f 6000; exec pack-lmdb raw --split train --shuffle 3 full.lmdb'
says "disk full is said in one line" "make room, then run the same command"
check "and only one" [ "$(wc -l <err.txt)" = 1 ]
check "it has a journal" [ -e full.lmdb/pack.state ]
exits "other options for an unfinished set" 2 pack-lmdb raw --split train --shuffle 4 full.lmdb
says "names the remedy" "delete the folder"
says "and the options that differ" "changed since (shuffle=3, now shuffle=4);"
: >full.lmdb/seal.json.tmp.7 # killed while it was sealed
exits "goes on after the disk was full" 0 pack-lmdb raw --split train --shuffle 3 full.lmdb
says "from the last batch" "going on after"
check "and ends in the same files" same_set j1.lmdb full.lmdb
check "and leaves nothing else" [ -z "$(find full.lmdb -name "*.tmp.*")" ]

cp -r raw changed
exits "a pack that stops, of an archive" 1 bash -c 'ulimit -f 6000; exec pack-lmdb changed --split train changed.lmdb'
touch changed/ILSVRC2012_img_train.tar
exits "does not go on with another in its place" 2 pack-lmdb changed --split train changed.lmdb
says "and says why" "the archive was changed since"
sed -i '/^#/!s/^....../000000/' changed/MD5SUMS && touch changed/ILSVRC2012_img_train.tar
exits "a finished set is not that of an archive of another MD5" 2 pack-lmdb changed --split train --shuffle 3 j2.lmdb
says "which it says" "another source"

mkdir inside && cp -r tree/train/* inside
exits "packs into the tree it reads" 0 pack-lmdb inside inside/set.lmdb --shuffle 3
exits "and finds it packed" 0 pack-lmdb inside inside/set.lmdb --shuffle 3
check "with the same content" [ "$(content inside/set.lmdb)" = "$(content j1.lmdb)" ]
pack-lmdb raw --split train --shuffle 3 --jobs 1 term.lmdb >/dev/null 2>err.txt &
p=$!
for _ in $(seq 200); do [ -e term.lmdb/pack.state ] && break; sleep 0.005; done
kill -TERM $p
wait $p
rc=$?
if [ $rc = 0 ] && [ -e term.lmdb/seal.json ]; then
    skip "SIGTERM ends a pack with status 1" "it was faster"
else
    check "SIGTERM ends a pack with status 1" [ $rc = 1 ]
fi
exits "and it goes on" 0 pack-lmdb raw --split train --shuffle 3 term.lmdb
check "to the same files" same_set j1.lmdb term.lmdb

# ---- bad input ----------------------------------------------------------------------------------------------------
mkdir -p other && echo keep >other/file
exits "a folder that is not ours" 2 pack-lmdb tree/train other
check "is left alone" [ "$(ls other)" = file ]
exits "a file in the set's place" 2 pack-lmdb tree/train other/file
says "is told" "other/file: a file, where the set's folder is to be"
exits "no class folder" 3 pack-lmdb other x.lmdb
mkdir -p kaggle/val kaggle/test && cp -r tree/train kaggle && find tree/train -name '*1.JPEG' -exec cp {} kaggle/val ';'
mkfifo pipe && exits "a pipe" 1 pack-lmdb pipe x.lmdb
says "is told what to do" "pipe: not a regular file: save the archive to a disk first"
exits "splits are no classes" 2 pack-lmdb kaggle x.lmdb
says "and it is said what to pack" "kaggle: holds splits (train, val), not classes: pack kaggle/train and so on"
exits "flat images" 3 pack-lmdb kaggle/val x.lmdb
says "need a list" "flat images need --list FILE --root DIR"
mkdir -p deep/a/images && find tree/train -name '*1.JPEG' -exec cp {} deep/a/images ';'
exits "images below the class folders" 3 pack-lmdb deep x.lmdb
says "are told where they should be" "no image found right in a class folder (deep/a/<image>)"
mv deep/a/images deep/b && exits "an empty class" 0 pack-lmdb deep empty.lmdb
says "is told" "deep: 1 of 2 classes without an image (a)"
exits "archives without --split" 2 pack-lmdb raw x.lmdb
says "are pointed out" "--split train or --split val"
exits "no such folder" 1 pack-lmdb nowhere x.lmdb
exits "an unknown option" 2 pack-lmdb tree/train x.lmdb --shufle 3
says "suggests the known one" "--shuffle"
exits "keep and a size" 2 pack-lmdb tree/train x.lmdb --resize short:24 --encode keep
exits "keep turned by EXIF" 2 pack-lmdb tree/train x.lmdb --exif-rotate
says "is refused, with the reason" "--encode keep stores the files as they are"
exits "a size that is none" 2 pack-lmdb tree/train x.lmdb --resize exact:24
says "lists the sizes" "none, short:N, exact:WxH"
exits "an encoding that is none" 2 pack-lmdb tree/train x.lmdb --encode jpeg:101
says "lists the encodings" "keep, raw, jpeg:QUALITY"
check "misuse leaves nothing behind" [ ! -e x.lmdb ]

mkdir cut && cp raw/*.gz cut && head -c 700000 raw/ILSVRC2012_img_train.tar >cut/ILSVRC2012_img_train.tar
exits "an archive cut short" 1 pack-lmdb cut --split train x.lmdb
says "is named" "ILSVRC2012_img_train.tar"
head -c $(($(wc -c <raw/ILSVRC2012_img_train.tar) - 10240)) raw/ILSVRC2012_img_train.tar >cut/ILSVRC2012_img_train.tar
exits "an archive without its end" 1 pack-lmdb cut --split train x.lmdb
says "is cut short" "truncated inside"
yes "this is text" | head -n 4000 >cut/ILSVRC2012_img_train.tar
exits "text as an archive" 1 pack-lmdb cut --split train x.lmdb
says "is no tar" "not a tar archive"
gzip -c raw/ILSVRC2012_img_train.tar >cut/ILSVRC2012_img_train.tar
exits "a compressed train archive" 1 pack-lmdb cut --split train x.lmdb
says "must be plain" "decompress it first"
cp raw2/ILSVRC2012_img_val.tar cut && mkilsvrc --synthetic 5 --train-per-class 2 --val 50 --seed 9 raw3 --quiet >&2
cp raw3/*.gz cut
exits "a devkit of another set" 1 pack-lmdb cut --split val x.lmdb
says "does not match" "devkit"
cp raw/ILSVRC2012_img_train.tar cut
exits "train counts that are not the devkit's" 1 pack-lmdb cut --split train x.lmdb
says "do not match" "devkit"
mkdir -p dup/files && cp raw/*devkit* dup && tar -C dup/files -xf raw/ILSVRC2012_img_val.tar
mv dup/files/ILSVRC2012_val_00000002.JPEG dup/files/ILSVRC2012_val_00000001.x.JPEG
(cd dup/files && tar -cf ../ILSVRC2012_img_val.tar ./*.JPEG)
exits "a val image twice, another missing" 1 pack-lmdb dup --split val x.lmdb
says "is told" "ILSVRC2012_val_00000002 is missing"
check "bad archives leave nothing behind" [ ! -e x.lmdb ]
mkdir wrong && cp raw/* wrong && sed '/^#/!s/^....../000000/' raw/MD5SUMS >wrong/MD5SUMS
exits "--verify finds a wrong MD5" 1 pack-lmdb wrong --split val x.lmdb --verify
says "and says which" "wrong/MD5SUMS expects 000000"
rm wrong/MD5SUMS
exits "--verify without MD5SUMS takes the published digests" 1 pack-lmdb wrong --split val x.lmdb --verify
says "which made archives do not have" "the published list expects"
check "and packs nothing" [ ! -e x.lmdb ]
exits "--verify with the right one" 0 pack-lmdb raw --split val verified.lmdb --verify
check "the seal says computed" grep -q '"md5_from": "computed"' verified.lmdb/seal.json
check "the seal says declared" grep -q '"md5_from": "declared"' j1.lmdb/seal.json

cp -r tree/train bad
one=$(find bad -name '*.JPEG' | sort | sed -n 40p)
two=$(find bad -name '*.JPEG' | sort | sed -n 1500p)
head -c $(($(wc -c <"$one") / 2)) "$one" >half && cp half "$one"
echo "no picture" >"$two"
exits "a JPEG cut short" 1 pack-lmdb bad bad.lmdb --jobs 4
says "is named" "${one#bad/}"
says "with the way out" "--on-bad skip"
exits "goes on with --on-bad skip" 0 pack-lmdb bad bad.lmdb --on-bad skip
check "skips two" grep -q '3498 records, 2 skipped' out.txt
check "and lists both" [ "$(wc -l <bad.lmdb/skipped.txt)" = 2 ]
check "the seal counts them" grep -q '^ "skipped": 2,' bad.lmdb/seal.json
exits "from the start with skip and decoding" 0 pack-lmdb bad bad2.lmdb --on-bad skip --check decode
check "finds the same two" cmp <(cut -f1 bad.lmdb/skipped.txt) <(cut -f1 bad2.lmdb/skipped.txt)
check "and packs the same content" [ "$(content bad.lmdb)" = "$(content bad2.lmdb)" ]

# ---- raw and mean ---------------------------------------------------------------------------------------------
exits "raw at one size, with its mean" 0 pack-lmdb tree/train raw.lmdb --resize exact:32x24 --filter opencv-linear --encode raw --mean mean.binaryproto
check "the mean is a 3x24x32 BlobProto" [ "$(head -c 11 mean.binaryproto | od -An -tx1 | tr -d ' \n')" = "08011003181820202a8048" ]
check "of 9,216 bytes of floats" [ "$(wc -c <mean.binaryproto)" = $((11 + 9216)) ]
exits "a mean of unequal sizes" 1 pack-lmdb tree/train keep.lmdb --mean m.binaryproto
says "is refused with the remedy" "--resize exact:WxH"
check "and not written" [ ! -e m.binaryproto ]

exits "help" 0 pack-lmdb --help
finish
