#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A bad disk (tests/fault/fault.c, preloaded) under the real tools: short and interrupted reads and writes change nothing;
# a read, write, sync or rename that fails ends the tool with exit 1 and one error line that names file and reason, nothing
# half-written passes for whole, and the same command afterwards ends with what an undisturbed one gives.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
so=$RNKIT_BUILD/tests/fault/fault.so
if [ ! -e "$so" ]; then
    skip "a bad disk" "this build has no fault.so (a sanitizer's runtime would have to be loaded first)"
    finish
fi
TRAIN=ILSVRC2012_img_train.tar

mkilsvrc --synthetic 5 --train-per-class 30 --val 40 --size 40x32 --vary 20 --seed 7 raw --quiet || exit 1
ilsvrc-extract raw want --quiet && pack-lmdb raw --split train --shuffle 1 want.lmdb --quiet &&
    pack-lmdb want/train short.lmdb --resize short:24 --encode jpeg:90 --quiet || exit 1

bad() { LD_PRELOAD=$so "$@"; } # with RN_FAULT_* in the environment
same_tree() { diff -r -x .rnkit want "$1"; }
same_set() { cmp "$1/data.mdb" "$2/data.mdb" && cmp "$1/seal.json" "$2/seal.json"; }

# ---- the disk itself can fail, or nothing here would be seen -------------------------------------------------------
RN_FAULT_FAIL="read 1 EIO" RN_FAULT_PATH=raw/MD5SUMS exits "the bad disk works" 1 bad dd if=raw/MD5SUMS of=/dev/null
says "it gives the error" "Input/output error"

# ---- short and interrupted -----------------------------------------------------------------------------------------
# LMDB takes a short read or write of its file for the end of the disk; no Linux file system makes one without cause.
ilsvrc-verify raw --structure >verified.txt
for seed in 1 2 3; do
    export RN_FAULT_SHORT=$seed RN_FAULT_EINTR=$seed RN_FAULT_PATH='!.mdb'
    rm -rf out out.lmdb out2.lmdb
    exits "seed $seed: extracts" 0 bad ilsvrc-extract raw out --verify
    check "seed $seed: the same tree" same_tree out
    exits "seed $seed: packs archives" 0 bad pack-lmdb raw --split train --shuffle 1 out.lmdb
    check "seed $seed: the same bytes" same_set want.lmdb out.lmdb
    exits "seed $seed: packs a tree" 0 bad pack-lmdb out/train out2.lmdb --resize short:24 --encode jpeg:90
    check "seed $seed: the same bytes of that, too" same_set short.lmdb out2.lmdb
    exits "seed $seed: verifies archives" 0 bad ilsvrc-verify raw --structure
    check "seed $seed: with the same words" cmp verified.txt out.txt
    exits "seed $seed: verifies the tree" 0 bad ilsvrc-verify --tree out/train --decode
    exits "seed $seed: verifies the set" 0 bad ilsvrc-verify --lmdb out.lmdb --decode
    unset RN_FAULT_SHORT RN_FAULT_EINTR RN_FAULT_PATH
done

# ---- failing -------------------------------------------------------------------------------------------------------
seen=0
# fails NAME TEXT PATH "OP K E" COMMAND...: exit 1, one line with TEXT and the reason; or 0 when there was no K-th call
fails() {
    local name=$1 text=$2 path=$3 fault=$4 reason='Input/output error' rc; shift 4
    case $fault in *ENOSPC) reason='No space left on device' ;; esac
    RN_FAULT_FAIL=$fault RN_FAULT_PATH=$path bad "$@" >out.txt 2>err.txt; rc=$?
    [ $rc = 0 ] && return
    seen=$((seen + 1))
    check "$name, $fault: exit 1 ($rc)" [ $rc = 1 ]
    check "$name, $fault: one line of error" [ "$(grep -c ": error: " err.txt)" = 1 ]
    says "$name, $fault: names what" "$text"
    says "$name, $fault: says why" "$reason"
}
enough() { check "$2: $seen of the faults were met" [ $seen -ge "$1" ]; seen=0; }

for fault in "read 1 EIO" "read @70000 EIO" "read @200 EIO"; do
    fails "verify" "raw/$TRAIN: reading it" raw/$TRAIN "$fault" ilsvrc-verify raw/$TRAIN raw/ILSVRC2012_img_val.tar --md5sums raw/MD5SUMS
    check "verify, $fault: the other archive is verified" grep -q '^ok.*img_val' out.txt
    for split in "" --verify; do
        rm -rf out out.lmdb
        fails "extract $split" "raw/$TRAIN" raw/$TRAIN "$fault" ilsvrc-extract raw out --splits train $split
        check "extract $split, $fault: nothing in place" [ ! -e out/train ]
        fails "pack $split" "raw/$TRAIN" raw/$TRAIN "$fault" pack-lmdb raw --split train --shuffle 1 out.lmdb $split
        check "pack $split, $fault: no seal" [ ! -e out.lmdb/seal.json ]
    done
done
fails "verify" raw/MD5SUMS raw/MD5SUMS "read 1 EIO" ilsvrc-verify raw
fails "extract" raw/ILSVRC2012_devkit raw/ILSVRC2012_devkit "read 1 EIO" ilsvrc-extract raw out
fails "pack" raw/ILSVRC2012_devkit raw/ILSVRC2012_devkit "read 1 EIO" pack-lmdb raw --split val out2.lmdb
rm -rf out out2.lmdb
fails "pack a tree" n90000001_ train/n90000001/ "read 7 EIO" pack-lmdb want/train out2.lmdb
fails "verify a set" want.lmdb want.lmdb/seal "read 1 EIO" ilsvrc-verify --lmdb want.lmdb
RN_FAULT_FAIL="read 3 EIO" RN_FAULT_PATH=train/n90000001/ exits "a tree: unreadable files are findings" 1 bad ilsvrc-verify --tree want/train --decode
check "a tree: each by its name" test "$(grep -c 'n90000001_[0-9]*.JPEG: Input/output error' err.txt)" -gt 0
enough 20 "reading"

# From the same folder again and again, each time failing somewhere else, until it ends; and afresh with every fault.
for fault in "write 1 ENOSPC" "write 60 ENOSPC" "sync 3 EIO" "rename 2 EIO"; do
    fails "extract on" "out" out "$fault" ilsvrc-extract raw out
    for s in train val; do [ ! -e out/$s ] || check "extract on, $fault: $s in place is whole" diff -r want/$s out/$s; done
done
exits "extract: goes on from all that" 0 ilsvrc-extract raw out
check "extract: to the same tree" same_tree out
check "extract: with nothing left over" [ -z "$(find out -name '*.tmp.*')" ]
for fault in "write 3 EIO" "write 30 ENOSPC" "write 120 EIO" "sync 1 EIO" "sync 2 EIO" "sync 3 EIO" "sync 5 EIO" "sync 6 EIO" "rename 1 EIO" \
    "rename 3 EIO" "rename 6 EIO"; do
    rm -rf out
    fails "extract" "out" out "$fault" ilsvrc-extract raw out
    for s in train val; do [ ! -e out/$s ] || check "extract, $fault: $s in place is whole" diff -r want/$s out/$s; done
    exits "extract, $fault: then ends well" 0 ilsvrc-extract raw out
    check "extract, $fault: with the same tree" same_tree out
done
enough 10 "extract"

for fault in "write 1 ENOSPC" "write 2 ENOSPC" "write 3 EIO" "write 5 ENOSPC" "write 9 EIO" "write @20000 EIO" "write @150000 EIO" "sync 1 EIO" \
    "sync 2 EIO" "sync 3 EIO" "sync 4 EIO" "sync 5 EIO" "sync 6 EIO" "sync 8 EIO" "rename 1 EIO" "rename 2 EIO" "rename 3 EIO"; do
    rm -rf out.lmdb
    fails "pack" "" out.lmdb "$fault" pack-lmdb raw --split train --shuffle 1 out.lmdb
    [ ! -e out.lmdb/seal.json ] || check "pack, $fault: what is sealed is whole" ilsvrc-verify --lmdb out.lmdb --quiet
    exits "pack, $fault: then ends well" 0 pack-lmdb raw --split train --shuffle 1 out.lmdb
    check "pack, $fault: with the same bytes" same_set want.lmdb out.lmdb
done
rm -rf out.lmdb
export RN_FAULT_SHORT=5 RN_FAULT_PATH=out.lmdb/data.mdb
bad pack-lmdb raw --split train --shuffle 1 out.lmdb >out.txt 2>err.txt
unset RN_FAULT_SHORT RN_FAULT_PATH
exits "pack: after short writes of the pages" 0 pack-lmdb raw --split train --shuffle 1 out.lmdb
check "pack: the same bytes" same_set want.lmdb out.lmdb
enough 12 "pack"

# ---- checkpoints -----------------------------------------------------------------------------------------------------
mkilsvrc --synthetic 2 --train-per-class 8 --val 8 --size 20x20 --seed 1 tiny --quiet &&
    pack-lmdb tiny --split train --shuffle 1 tiny.train --quiet && pack-lmdb tiny --split val tiny.val --quiet || exit 1
train=(rn-train --arch resnet18 --stem cifar --width 0.125 --image-size 16 --val-resize 16 --threads 1 --workers 1 --batch 8 --epochs 2
    --lr 0.02 --checkpoint-steps 1 --train-db tiny.train --val-db tiny.val)
"${train[@]}" --out whole --quiet >/dev/null || exit 1
for fault in "write 1 ENOSPC" "write 4 ENOSPC" "write 9 EIO" "write 16 ENOSPC" "write 25 EIO" "sync 1 EIO" "sync 4 EIO" "sync 7 EIO" "sync 12 EIO" \
    "sync 20 EIO" "rename 1 EIO" "rename 2 EIO" "rename 4 EIO" "rename 6 EIO" "rename 10 EIO"; do
    rm -rf run
    fails "train" "run/" run "$fault" "${train[@]}" --out run
    exits "train, $fault: then ends well" 0 "${train[@]}" --out run
    check "train, $fault: with the same weights" cmp whole/weights.safetensors run/weights.safetensors
done
rm -rf run
RN_FAULT_SHORT=3 RN_FAULT_EINTR=3 RN_FAULT_PATH='!.mdb' exits "train: short writes" 0 bad "${train[@]}" --out run
check "train: the same weights" cmp whole/weights.safetensors run/weights.safetensors
enough 10 "train"

# ---- names of bytes that are no text -------------------------------------------------------------------------------
odd=$(printf 'odd\377')
exits "a run's folder that is not UTF-8" 0 "${train[@]}" --out "$odd"
check "its log is JSON all the same" grep -q 'command.*odd.\\xff' "$odd/log.jsonl"
cp -r tiny.train "$odd.train"
exits "a recipe's path that is not UTF-8" 2 "${train[@]}" --out other --train-db "$odd.train"
says "is told before anything is done" "not UTF-8"
mkdir -p "tree/$odd" && cp want/train/n90000001/*.JPEG "tree/$odd/"
exits "a class that is not UTF-8" 1 pack-lmdb tree tree.lmdb
says "is told before anything is packed" "are not UTF-8, which the seal needs"
mv raw "$odd.raw"
exits "archives in a folder that is not UTF-8 are verified" 0 ilsvrc-verify "$odd.raw" --json
check "and named in JSON" grep -q 'odd.\\xff' out.txt
finish
