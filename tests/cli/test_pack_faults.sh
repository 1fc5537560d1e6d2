#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# pack-lmdb and what goes wrong around it: two at once, a full or read-only disk, readers meanwhile, damage between two runs,
# files that went missing, archives that were replaced.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

same_set() { cmp "$1/data.mdb" "$2/data.mdb" && cmp "$1/seal.json" "$2/seal.json"; }
content() { sed -n 's/^ "content_sha256": "\(.*\)",$/\1/p' "$1/seal.json"; }
surely() { awk '/^at /{before = last; last = $2} END{print before + 0}' "$1/pack.state" 2>/dev/null || echo 0; }
# flip FILE AT: changes one byte
flip() { printf '%b' "\\x$(printf %02x $((0x$(od -An -tx1 -j"$2" -N1 "$1" | tr -d ' ') ^ 0x41)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

mkilsvrc --synthetic 5 --train-per-class 700 --val 5 --size 40x32 --vary 30 --seed 7 raw --quiet >&2 || exit 1
exits "packs undisturbed" 0 pack-lmdb raw --split train whole --shuffle 3

# ---- two at once ----------------------------------------------------------------------------------------------
lost=0 both=0
for k in 1 2 3 4 5 6 7 8; do
    rm -rf two
    mkdir two
    pack-lmdb raw --split train --shuffle 3 two >/dev/null 2>a.txt & a=$!
    pack-lmdb raw --split train --shuffle 3 two >/dev/null 2>b.txt & b=$!
    sleep 0.0$((k * 7 % 10))
    kill -9 $a $b 2>/dev/null
    wait $a $b 2>/dev/null
    sure=$(surely two)
    pack-lmdb raw --split train --shuffle 3 two >/dev/null 2>err.txt || lost=$((lost + 1))
    from=$(sed -n 's/.*going on after \([0-9]*\) of.*/\1/p' err.txt)
    [ "${from:-0}" -ge "$sure" ] || [ -e two/seal.json ] && same_set whole two || lost=$((lost + 1))
    grep -q 'another pack-lmdb is writing there' a.txt b.txt && both=$((both + 1))
done
echo "# $both of 8 times one met the other"
check "two packs started at once do not cost the folder its resume" [ $lost = 0 ]
flock whole true && mkdir held
exits "a folder that another pack holds" 1 flock held pack-lmdb raw --split train held
says "is left to it" "another pack-lmdb is writing there"

# ---- readers meanwhile ------------------------------------------------------------------------------------------
pack-lmdb raw --split train --shuffle 3 --resize short:96 --encode jpeg:90 quiet.lmdb --jobs 1 >/dev/null 2>&1
pack-lmdb raw --split train --shuffle 3 --resize short:96 --encode jpeg:90 watched.lmdb --jobs 1 >/dev/null 2>&1 & p=$!
looks=0 wrong=0
while kill -0 $p 2>/dev/null; do
    ilsvrc-verify --lmdb watched.lmdb >out.txt 2>err.txt
    rc=$?
    [ $rc -lt 100 ] || wrong=$((wrong + 1))
    [ -e watched.lmdb/seal.json ] || [ $rc != 0 ] || wrong=$((wrong + 1))
    looks=$((looks + 1))
done
wait $p
check "reading while another process packs: nobody crashes, nobody calls it whole ($looks looks)" [ $wrong = 0 ]
check "and the pack is not disturbed" same_set quiet.lmdb watched.lmdb

# ---- damage between two runs ------------------------------------------------------------------------------------
exits "a pack that stops half way" 1 bash -c 'ulimit -f 6000; exec pack-lmdb raw --split train --shuffle 3 half'
size=$(wc -c <half/data.mdb)
harmed=0 noticed=0 crashed=0
for ((k = 0; k < 60; k++)); do
    rm -rf hurt && cp -r half hurt
    # meta pages, the tree's pages, the images
    at=$(((k < 8 ? k * 24 + 8 : k * 104729 * 37 + 11) % size))
    flip hurt/data.mdb $at
    pack-lmdb raw --split train --shuffle 3 hurt >/dev/null 2>err.txt
    rc=$?
    [ $rc -lt 100 ] || { crashed=$((crashed + 1)); echo "# byte $at: status $rc" >&2; }
    if [ $rc = 0 ]; then
        ilsvrc-verify --lmdb hurt --decode >&2 && [ "$(content whole)" = "$(content hurt)" ] || { harmed=$((harmed + 1)); echo "# byte $at" >&2; }
    else
        noticed=$((noticed + 1))
    fi
done
echo "# $noticed of 60 damaged bytes noticed, the others lay in unused pages"
check "a damaged page never crashes a resumed pack" [ $crashed = 0 ]
check "nor ends in a set that is not whole" [ $harmed = 0 ]
check "and is noticed" [ $noticed -gt 30 ]
rm -rf hurt && cp -r half hurt
flip hurt/data.mdb $((size / 2 / 4096 * 4096 + 200))
exits "a damaged image in an unfinished set" 1 pack-lmdb raw --split train --shuffle 3 hurt
says "is told with the remedy" "are not what was committed"
rm -rf hurt && cp -r half hurt && head -c $((size / 2)) half/data.mdb >hurt/data.mdb
exits "an unfinished set cut short" 1 pack-lmdb raw --split train --shuffle 3 hurt
says "is told" "cut short"
rm -rf hurt && cp -r half hurt && head -c 100 half/data.mdb >hurt/data.mdb
exits "a data.mdb that was hardly begun is begun anew" 0 pack-lmdb raw --split train --shuffle 3 hurt
check "and ends the same" same_set whole hurt

# ---- a seal without its log; a seal that only declares --------------------------------------------------------------
cp -r whole nolog && rm nolog/pack.log.json
exits "a set whose log was lost to a kill" 0 pack-lmdb raw --split train --shuffle 3 nolog
check "gets one" grep -q ILSVRC2012_img_train.tar nolog/pack.log.json
cp -rp raw raw2 && exits "a copy of the archive" 0 pack-lmdb raw2 --split train --shuffle 3 nolog
head -c "$(wc -c <raw2/ILSVRC2012_img_train.tar)" /dev/zero >zeros && touch -r raw2/ILSVRC2012_img_train.tar zeros && cp -p zeros raw2/ILSVRC2012_img_train.tar
exits "is not scanned a second time" 0 pack-lmdb raw2 --split train --shuffle 3 nolog

cp -r whole declared
exits "--verify on a set that was packed without" 0 pack-lmdb raw --split train --shuffle 3 declared --verify
exits "packs with --verify" 0 pack-lmdb raw --split train --shuffle 3 verified --verify
check "gives it the seal of one packed with" same_set verified declared
check "which says computed" grep -q '"md5_from": "computed"' declared/seal.json
mkdir bare && cp raw/*.tar raw/*.gz bare
exits "packs without MD5SUMS" 0 pack-lmdb bare --split train bare.lmdb
at=$(grep -aobUP '\xff\xda' bare/ILSVRC2012_img_train.tar | sed -n '1500{s/:.*//p}')
flip bare/ILSVRC2012_img_train.tar $((at + 40))
touch -r raw/ILSVRC2012_img_train.tar bare/ILSVRC2012_img_train.tar
(cd bare && md5sum -- *.tar *.gz >MD5SUMS)
exits "--verify with an archive that is right, but not what was packed" 1 pack-lmdb bare --split train bare.lmdb --verify
says "tells them apart" "was not made of these archives"
check "and leaves the seal" grep -q '"md5_from": "none"' bare.lmdb/seal.json

# ---- disks that are full or read-only -----------------------------------------------------------------------------
encode=(raw --split train --shuffle 3 --resize short:96 --encode jpeg:95)
mkdir disk
if mount -t tmpfs -o size=9m none disk 2>/dev/null; then
    trap 'umount disk' EXIT
    exits "a file system that is plainly too small" 1 pack-lmdb raw --split train --resize exact:64x64 --encode raw disk/raw.lmdb
    says "is told at once" "still to be written"
    rm -rf disk/*
    exits "a disk that fills up" 1 pack-lmdb "${encode[@]}" disk/set
    says "is told in one line" "make room, then run the same command"
    check "and only one" [ "$(grep -cv 'going on after' err.txt)" = 1 ]
    sure=$(surely disk/set)
    check "what was committed stays" [ "$sure" -gt 0 ]
    exits "still full" 1 pack-lmdb "${encode[@]}" disk/set
    says "goes on and stops again" "going on after"
    mount -o remount,ro disk
    exits "read-only" 1 pack-lmdb "${encode[@]}" disk/set
    says "is told" "Read-only file system"
    exits "a new set on a read-only disk" 1 pack-lmdb "${encode[@]}" disk/new
    says "is told, too" "Read-only file system"
    mount -o remount,rw,size=100m disk
    exits "with room the same command goes on" 0 pack-lmdb "${encode[@]}" disk/set
    exits "the same undisturbed" 0 pack-lmdb "${encode[@]}" small
    check "to the same files" same_set small disk/set
    mount -o remount,ro disk
    rm -f disk/set/pack.log.json 2>/dev/null
    exits "a finished set on a read-only disk" 0 pack-lmdb "${encode[@]}" disk/set
    umount disk
    trap - EXIT
else
    skip "a disk that fills up" "no right to mount a tmpfs"
fi
if [ "$(id -u)" != 0 ]; then
    mkdir locked && chmod a-w locked
    exits "a folder without the right to write" 1 pack-lmdb raw --split train locked/set
    says "is told" "Permission denied"
else
    skip "a folder without the right to write" "root may write anywhere"
fi
finish
