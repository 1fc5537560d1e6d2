#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ilsvrc-extract: the tree against plain tar and the maker's truth, resume after kill -9, damage, misfits, evil names.
. "$RNKIT_TESTS/tap.sh"
extract=$RNKIT_BIN/ilsvrc-extract
TRAIN=ILSVRC2012_img_train.tar VAL=ILSVRC2012_img_val.tar KIT=ILSVRC2012_devkit_t12.tar.gz

"$RNKIT_BIN/mkilsvrc" --synthetic 6 --train-per-class 40 --val 60 --size 48x40 --vary 20 --seed 5 raw --truth truth.txt >/dev/null

# ---- the tree is what tar makes of the archives -----------------------------------------------------------------
exits "extracts and verifies" 0 "$extract" raw out --verify
mkdir -p want/train want/flat
(cd want/train && tar xf ../../raw/$TRAIN && for t in *.tar; do mkdir "${t%.tar}" && tar xf "$t" -C "${t%.tar}" && rm "$t"; done)
check "train is what tar extracts" diff -r want/train out/train
tar xf raw/$VAL -C want/flat
mkdir want/val
while read -r name _ wnid; do mkdir -p "want/val/$wnid" && cp "want/flat/$name" "want/val/$wnid/"; done <truth.txt
check "every val image is in its true class's folder" diff -r want/val out/val
cut -d' ' -f1,2 truth.txt >want/val.txt
check "val.txt is the maker's truth" cmp want/val.txt out/val.txt
(cd out/train && find . -name '*.JPEG' | sed 's,^\./,,' | LC_ALL=C sort) >want/names
(LC_ALL=C ls out/train) | awk '{print $1, NR - 1}' >want/labels
awk 'NR == FNR {label[$1] = $2; next} {split($1, p, "/"); print $1, label[p[1]]}' want/labels want/names >want/train.txt
check "train.txt lists the tree, sorted, with labels in WNID order" cmp want/train.txt out/train.txt
check "synsets.txt is sorted and complete" cmp <(LC_ALL=C ls out/train) out/synsets.txt
check "synset_words.txt begins with the WNIDs" cmp <(cut -d' ' -f1 out/synset_words.txt) out/synsets.txt
check "nothing is left of the work" test ! -e out/.rnkit/train -a ! -e out/.rnkit/val

# ---- done is done -------------------------------------------------------------------------------------------------
find out -printf '%p %T@ %i\n' | sort >before
touch out/train.txt.tmp.1 out/.rnkit/val.json.tmp.23 out/train.txt.tmp.mine
"$extract" raw out >/dev/null
check "what killed writes left is removed" test ! -e out/train.txt.tmp.1 -a ! -e out/.rnkit/val.json.tmp.23
check "and nothing else" test -e out/train.txt.tmp.mine
rm out/train.txt.tmp.mine
find out -printf '%p %T@ %i\n' | sort >before
exits "a second run is fine" 0 "$extract" raw out
check "it says so" grep -q "already extracted" out.txt
find out -printf '%p %T@ %i\n' | sort >after
check "it touches no file" diff <(grep -v '\.rnkit' before) <(grep -v '\.rnkit' after)
exits "so is one without the archives" 0 "$extract" want out
exits "--json is an array with the counts" 0 "$extract" raw out --json
check "train: 240 images in 6 classes" grep -q '"split":"train","classes":6,"images":240,' out.txt
exits "--json into a full disk fails" 1 sh -c '"$@" >/dev/full' - "$extract" raw out --json
says "and says so" "stdout"

# ---- killed at any moment --------------------------------------------------------------------------------------------
"$RNKIT_BIN/mkilsvrc" --synthetic 30 --train-per-class 60 --val 1500 --size 24x24 --seed 6 many >/dev/null
"$extract" many whole >/dev/null
same() { diff -r -x .rnkit whole "$1"; }
kills=0 rounds=0
for delay in 0.004 0.010 0.020 0.035 0.050 0.080 0.120 0.170; do
    "$extract" many killed >/dev/null 2>&1 &
    pid=$!
    sleep "$delay"
    if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
    wait $pid 2>/dev/null
    rounds=$((rounds + 1))
    if [ -d killed/train ] && ! diff -rq whole/train killed/train >/dev/null; then break; fi
done
check "a train folder in place is always whole ($kills kills)" test $rounds = 8
exits "after $kills kills the same command ends well" 0 "$extract" many killed
check "and the tree is the one of an undisturbed run" same killed

# Stop it with some classes on disk: those are not written again.
for _ in $(seq 50); do
    rm -rf part
    "$extract" many part --splits train --jobs 1 >/dev/null 2>&1 &
    pid=$!
    for _ in $(seq 400); do
        n=$(find part/.rnkit/train/tree -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)
        [ "$n" -ge 2 ] && break
        kill -0 $pid 2>/dev/null || break
    done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    [ ! -d part/train ] && [ -d part/.rnkit/train/tree ] && [ "$n" -ge 2 ] && break
done
find part/.rnkit/train/tree -type f -printf '%f %T@ %i\n' 2>/dev/null | sort >before
if [ -s before ]; then ok "killed with $n of 30 classes done"; else not_ok "killed with some classes done"; fi
exits "goes on" 0 "$extract" many part
find part/train -type f -printf '%f %T@ %i\n' | sort >after
check "whole classes were not written again" test -z "$(comm -23 before after)"
check "the tree is right" same part

# A half-written file of a killed run must not survive, nor one that is not in the archive.
mkdir -p half && "$extract" many half --splits val >/dev/null
mkdir -p half/.rnkit/train/part/n90000001 half/.rnkit/train/tree
sed 's/"whole"/"extracting"/; s/"images": [0-9]*/"images": 0/' part/.rnkit/train.json >half/.rnkit/train.json
echo cut >half/.rnkit/train/part/n90000001/n90000001_999999.JPEG
exits "goes on over a half-written class" 0 "$extract" many half
check "nothing of it is left" same half

# ---- another archive, another's folder -----------------------------------------------------------------------------
mkdir -p mixed/.rnkit && cp half/.rnkit/train.json mixed/.rnkit/ && sed -i 's/"whole"/"extracting"/' mixed/.rnkit/train.json
exits "refuses to go on with another archive" 1 "$extract" raw mixed
says "and says why" "was begun with another archive"
cp -r raw changed && mkdir -p changedout/.rnkit/train/tree && "$extract" raw other >/dev/null
sed 's/"whole"/"extracting"/' other/.rnkit/train.json >changedout/.rnkit/train.json && touch changed/$TRAIN
exits "refuses to go on with an archive that was changed meanwhile" 1 "$extract" changed changedout
says "and says why" "this one was changed since"
exits "finished is finished, but not with other archives" 1 "$extract" many out
says "and says so" "was extracted from another archive or devkit than many/"
mkdir -p theirs/train/n00000000 && echo x >theirs/train/n00000000/x
exits "refuses a train folder that it did not make" 1 "$extract" raw theirs
says "and says what to do" "give another OUT_DIR"
mkdir theirs2 && : >theirs2/val
exits "something in val's place, before train is read" 1 "$extract" raw theirs2
says "is named" "theirs2/val: there already, but not made by ilsvrc-extract"
check "nothing was read for it" test ! -e theirs2/.rnkit/train.json
cp -r out waits && mkdir waits/.rnkit/train && mv waits/train waits/.rnkit/train/tree && mkdir waits/train && : >waits/train/mine
exits "something in the place of a finished tree" 1 "$extract" raw waits
says "is named, and where the tree is" "the finished tree waits in waits/.rnkit/train/tree"
rm -r waits/train
exits "it goes to its place when that is free" 0 "$extract" raw waits
check "and is whole" diff -r out waits

# ---- a list that was removed ----------------------------------------------------------------------------------------
cp -r out lists && rm lists/train.txt lists/val.txt lists/synsets.txt && echo mine >lists/synset_words.txt
exits "removed lists are written again" 0 "$extract" raw lists
check "as they were" diff <(cd out && cat train.txt val.txt synsets.txt) <(cd lists && cat train.txt val.txt synsets.txt)
check "and no other is touched" test "$(cat lists/synset_words.txt)" = mine
rm lists/val.txt
exits "without the devkit they are not" 0 "$extract" want lists
says "which is told" "lists/val: a list of it is not there"
rm lists/train.txt "lists/train/$(head -n 1 out/train.txt | cut -d' ' -f1)"
exits "a tree that lacks images is not listed" 1 "$extract" raw lists
says "but named with what to do" "39 images instead of 40; remove lists/train and run again"

# ---- verification ---------------------------------------------------------------------------------------------------
mkdir wrong && cp raw/* wrong/
# inside an image in the middle, where neither the tar's structure nor the archive's fingerprint shows it
at=$(grep -abo JFIF raw/$TRAIN | sed -n '120s/:.*//p')
printf '\377' | dd of=wrong/$TRAIN bs=1 seek=$((at + 200)) conv=notrunc status=none
exits "--verify: a flipped byte fails" 1 "$extract" wrong wrongout --verify
says "names the file" "wrong/$TRAIN: MD5 is"
says "says what to do" "download it again"
check "nothing is put in place" test ! -e wrongout/train
check "nor kept to go on with" test ! -e wrongout/.rnkit/train -a ! -e wrongout/.rnkit/train.json
touch -r wrong/$TRAIN stamp && mv wrong/$TRAIN spoilt.tar && cp raw/$TRAIN wrong/ && touch -r stamp wrong/$TRAIN
exits "--verify: the right archive, fetched again" 0 "$extract" wrong wrongout --verify
check "none of the wrong one's images is left" diff -r want/train wrongout/train
mv spoilt.tar wrong/$TRAIN
exits "without --verify it passes" 0 "$extract" wrong wrongout2
exits "but --verify later finds it" 1 "$extract" wrong wrongout2 --verify
rm wrong/MD5SUMS
cp raw/$TRAIN wrong/
exits "made archives without MD5SUMS are not the published ones" 1 "$extract" wrong wrongout3 --verify
says "it says whose digests it used" "the published list expects"

# ---- damage -------------------------------------------------------------------------------------------------------
damaged() { # NAME TEXT: RAW dir `bad` fails with TEXT and puts no train in place
    rm -rf badout
    exits "$1" 1 "$extract" bad badout
    says "$1: says so" "$2"
    check "$1: nothing in place" test ! -e badout/train
    check "$1: one line" test "$(wc -l <err.txt)" = 1
}
fresh() { rm -rf bad; mkdir bad; cp raw/* bad/; }
size=$(stat -c %s raw/$TRAIN)
fresh; truncate -s $((size / 2)) bad/$TRAIN; damaged "a truncated tar" "truncated"
fresh; head -c 5120 raw/$TRAIN >bad/$TRAIN; damaged "a tar cut in the first class" "truncated"
fresh; echo "<html>Please log in</html>" >bad/$TRAIN; damaged "a web page instead of a tar" "not a tar archive"
fresh; : >bad/$TRAIN; damaged "an empty file" "empty"
fresh; cp "$RNKIT_TESTS/tap.sh" bad/$KIT; damaged "a text instead of the devkit" "not a tar archive"
fresh; head -c 300 raw/$KIT >bad/$KIT; damaged "a devkit cut short" "$KIT"
fresh; rm bad/$KIT; damaged "no devkit" "has no ILSVRC2012_devkit_t12.tar.gz"
fresh; rm bad/$TRAIN; damaged "no train archive" "has no archive of the train set"
fresh; (cd bad && tar xf $TRAIN && rm $TRAIN); damaged "only classes' tars" "6 tars of single classes (n90000000.tar ...)"
# cut right between two classes, which is a clean end to most tar readers
second=$(tar tvRf raw/$TRAIN | awk 'NR == 2 {sub(":", "", $2); print $2 * 512}')
fresh; head -c "$second" raw/$TRAIN >bad/$TRAIN; damaged "a tar cut between two classes" "no end-of-archive mark"

# ---- devkit and archives that do not belong together ---------------------------------------------------------------
"$RNKIT_BIN/mkilsvrc" --synthetic 5 --train-per-class 40 --val 60 --seed 5 five >/dev/null
"$RNKIT_BIN/mkilsvrc" --synthetic 7 --train-per-class 40 --val 60 --seed 5 seven >/dev/null
"$RNKIT_BIN/mkilsvrc" --synthetic 6 --train-per-class 39 --val 59 --seed 5 fewer >/dev/null
fresh; cp five/$KIT bad/; damaged "a devkit that lacks a class" "they do not belong together"
fresh; cp seven/$KIT bad/; damaged "a devkit with a class more" "they do not belong together"
fresh; cp fewer/$KIT bad/; damaged "a devkit with other counts" "they do not belong together"
exits "and for val" 1 "$extract" bad badout --splits val
says "too" "they do not belong together"
check "no val in place" test ! -e badout/val

# ---- names and links that would leave the folder ---------------------------------------------------------------------
mkdir evil && echo gotcha >evil/x.JPEG && ln -s /etc evil/link
evil_train() { # an outer tar whose only class holds what tar is told to put in
    fresh; rm -f evil/n90000000.tar
    (cd evil && tar cf n90000000.tar "$@" 2>/dev/null && tar cf ../bad/$TRAIN n90000000.tar)
}
evil_train -P --transform 's,x.JPEG,../../../../escaped.JPEG,' x.JPEG; damaged "a name with .." "is refused"
evil_train -P --transform "s,x.JPEG,$PWD/escaped.JPEG," x.JPEG; damaged "an absolute name" "is refused"
evil_train link; damaged "a symbolic link" "a link"
evil_train --transform 's,x.JPEG,sub/n90000000_1.JPEG,' x.JPEG; damaged "a folder inside a class" "is no name of an image"
(cd evil && cp x.JPEG n90000000_1.JPEG && ln n90000000_1.JPEG n90000000_2.JPEG)
evil_train n90000000_1.JPEG n90000000_2.JPEG; damaged "a hard link" "a link"
evil_train --transform 's,x.JPEG,n90000000_1.JPEG,' x.JPEG n90000000_1.JPEG; damaged "a name twice" "twice"
fresh; (cd evil && tar cPf ../bad/$TRAIN --transform 's,x.JPEG,../n90000000.tar,' x.JPEG); damaged "an outer name with .." "is refused"
fresh; (cd evil && tar cf ../bad/$TRAIN x.JPEG); damaged "no class in the train tar" "is not a class's tar"
check "nothing escaped" test -z "$(find . -name 'escaped*')" -a ! -e ../escaped.JPEG

# ---- full disk ---------------------------------------------------------------------------------------------------------
exits "a file size limit" 1 bash -c "ulimit -f 1; exec '$extract' raw full --splits train"
says "is told as a full disk, with the file's name" "full/.rnkit/train/part/n9"
check "in one line" test "$(wc -l <err.txt)" = 1
exits "and with room the same command ends well" 0 "$extract" raw full
check "with the right tree" diff -r want/train full/train

# ---- test split ------------------------------------------------------------------------------------------------------
mkdir -p testraw && cp raw/* testraw/ && (cd want/flat && tar cf ../../testraw/ILSVRC2012_img_test_v10102019.tar --transform \
    's,ILSVRC2012_val,test/ILSVRC2012_test,' -- *.JPEG)
exits "the test set is flat" 0 "$extract" testraw testout --splits test
check "all of it is there" test "$(find testout/test -maxdepth 1 -name 'ILSVRC2012_test_*.JPEG' | wc -l)" = 60
check "with the right bytes" cmp want/flat/ILSVRC2012_val_00000007.JPEG testout/test/ILSVRC2012_test_00000007.JPEG

# ---- misuse ----------------------------------------------------------------------------------------------------------
exits "no operand" 2 "$extract"
exits "an unknown option" 2 "$extract" raw out --verfy
says "names it" "verfy"
exits "an unknown split" 2 "$extract" raw out --splits train,vla
says "lists the splits" "train, val, test"
exits "a bad number" 2 "$extract" raw out --jobs 2x
exits "no such folder" 1 "$extract" nowhere out2
says "names it too" "nowhere"

# ---- real photographs --------------------------------------------------------------------------------------------------
if data "Imagenette: val labels against an independent truth" imagenette/$VAL; then
    I=$RNKIT_DATA/imagenette
    exits "Imagenette extracts and verifies" 0 "$extract" "$I" net --verify
    mkdir kit && tar xzf "$I/$KIT" -C kit --strip-components=2
    tar xf "$I/$VAL" -O | md5sum >a
    (cd net/val && tar tf "$I/$VAL" | while read -r f; do cat ./*/"$f"; done) | md5sum >b
    check "every val image is there once, bytes and all" cmp a b
    sort -n kit/ILSVRC2012_validation_ground_truth.txt | uniq -c | awk '{print $1}' | sort -n >a
    for c in net/val/*; do find "$c" -type f | wc -l; done | sort -n >b
    check "as many in a class as the ground truth says" cmp a b
    # One id, one folder: the file names of a folder, looked up in the ground truth, give a single id.
    for c in net/val/*; do
        find "$c" -type f | sed 's/.*_0*\([1-9][0-9]*\)\.JPEG/\1/' | sort -n >numbers
        awk 'NR == FNR {id[NR] = $1; next} {print id[$1]}' kit/ILSVRC2012_validation_ground_truth.txt numbers | sort -u | wc -l
    done >b
    check "and one id a folder" test "$(sort -u b)" = 1
    # Independent of libmatio: meta.mat inflated by gzip (whose header replaces zlib's), and the WNIDs in the order in
    # which they stand there, which is that of the ids.
    { printf '\037\213\010\000\000\000\000\000\000\003'; tail -c +139 kit/meta.mat; } | gzip -dc 2>/dev/null |
        grep -ao 'n[0-9]\{8\}' | head -n 10 >wnid_of_id
    awk 'NR == FNR {wnid[NR] = $1; next} {printf "%s/ILSVRC2012_val_%08d.JPEG\n", wnid[$1], FNR}' wnid_of_id \
        kit/ILSVRC2012_validation_ground_truth.txt | sort >a
    (cd net/val && find . -name '*.JPEG' | sed 's,^\./,,' | sort) >b
    check "every val image is where an independent reading of the devkit puts it" cmp a b
    if grep -q "^n0" "$RNKIT_DATA/ilsvrc12-aux/synsets.txt" 2>/dev/null; then
        check "words are Caffe's" test -z "$(comm -23 <(sort net/synset_words.txt) <(sort "$RNKIT_DATA/ilsvrc12-aux/synset_words.txt"))"
    fi
    mkdir nettar && tar xf "$I/$TRAIN" -C nettar
    bad=0
    for t in nettar/*.tar; do
        w=$(basename "$t" .tar); mkdir "nettar/$w" && tar xf "$t" -C "nettar/$w" && rm "$t"
        diff -r "nettar/$w" "net/train/$w" >&2 || bad=1
    done
    check "train is what tar extracts (Imagenette)" test $bad = 0
fi
finish
