#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Damaged and unfinished sets as a user meets them: the tools say what is wrong and exit with 1, never by a signal.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

mkilsvrc --synthetic 4 --train-per-class 150 --val 20 --size 56x48 --vary 30 --seed 3 raw --quiet >&2 || exit 1
exits "packs a set" 0 pack-lmdb raw --split train --shuffle 5 set.lmdb
cp set.lmdb/data.mdb sound
size=$(stat -c %s sound)

# ---- damage anywhere -------------------------------------------------------------------------------------------
RANDOM=11
found=0 harmless=0 wrong=""
load() { timeout 60 rn-bench loader --mode eval --size 16 --resize-short 0 --batch 600 --rounds 1 --seconds 0 --no-verify "$1"; }
mend() { cp sound set.lmdb/data.mdb; }
# Exit 0 is right only where every record is still what it was.
look() { # WHAT
    local rc
    ilsvrc-verify --lmdb set.lmdb --decode >out.txt 2>err.txt
    rc=$?
    case $rc in
    0) harmless=$((harmless + 1)) ;;
    1) [ -s err.txt ] && found=$((found + 1)) || wrong="$wrong $1: no message;" ;;
    *) wrong="$wrong $1: exit $rc;" ;;
    esac
    load set.lmdb >/dev/null 2>&1
    [ $? -le 1 ] || wrong="$wrong $1: the loader ended otherwise;"
}
for k in $(seq 60); do
    at=$(((RANDOM * 32768 + RANDOM) % size))
    [ $((k % 3)) = 0 ] && at=$((at / 4096 * 4096 + RANDOM % 64)) # where a page's head is
    # shellcheck disable=SC2059
    printf "\\x$(printf %02x $((RANDOM % 256)))\\xff\\x80" | dd of=set.lmdb/data.mdb bs=1 seek=$at conv=notrunc status=none
    look "byte $at"
    mend
done
for k in $(seq 20); do
    at=$((RANDOM % (size / 4096)))
    dd if=/dev/zero of=set.lmdb/data.mdb bs=4096 seek=$at count=1 conv=notrunc status=none
    look "page $at"
    mend
done
check "nothing but 0 and 1 with a message:${wrong:- as it should be}" [ -z "$wrong" ]
echo "# $found of 80 damaged sets were found, in $harmless the damage hit no record"
check "most damage hits a record" [ $found -gt 50 ]
check "what was called harmless is little" [ $harmless -lt 30 ]
for n in 0 1 4095 4096 8191 8192 $((size / 2)) $((size - 4096)) $((size - 1)); do
    truncate -s "$n" set.lmdb/data.mdb
    exits "cut after $n bytes" 1 ilsvrc-verify --lmdb set.lmdb
    mend
done
says "is said with both sizes" "data.mdb is cut short: $((size - 1)) of $size bytes"
exits "mended, it is as it was, for the loader" 0 load set.lmdb
exits "mended, it is as it was" 0 ilsvrc-verify --lmdb set.lmdb --decode

# ---- unfinished, under way -------------------------------------------------------------------------------------
cp -r set.lmdb open.lmdb && rm open.lmdb/seal.json
exits "no seal" 1 ilsvrc-verify --lmdb open.lmdb
says "is said" "no seal.json: the set is incomplete"
echo "begun" >open.lmdb/pack.state
exits "a pack that was left" 1 ilsvrc-verify --lmdb open.lmdb
says "is told by its journal" "packing is not finished"
says "with the remedy" "run the same pack-lmdb command again"
echo 'n90000000/none.JPEG 0' >none.txt && mkdir root
exits "a pack that ends at its first image" 1 pack-lmdb --list none.txt --root root none.lmdb
exits "has no record, and is told as unfinished, not as nothing to check" 1 ilsvrc-verify --lmdb none.lmdb --json
says "by its journal" "packing is not finished"
check "in JSON" grep -q '"ok": false' out.txt
if command -v flock >/dev/null; then
    exits "a pack under way" 1 flock -n open.lmdb/pack.state ilsvrc-verify --lmdb open.lmdb
    says "is told by its lock" "is being packed at this moment"
    exits "rn-bench does not take it either" 1 flock -n open.lmdb/pack.state rn-bench loader open.lmdb
    says "and says the same" "is being packed at this moment"
else
    skip "a pack under way" "no flock (package util-linux)"
fi
cp set.lmdb/seal.json open.lmdb && rm open.lmdb/pack.state open.lmdb/data.mdb
exits "a seal without data" 1 ilsvrc-verify --lmdb open.lmdb
says "is no set" "no data.mdb"
pack-lmdb raw --split val other.lmdb --quiet >/dev/null 2>&1
cp sound open.lmdb/data.mdb && cp other.lmdb/seal.json open.lmdb
exits "another set's seal" 1 ilsvrc-verify --lmdb open.lmdb
says "does not fit" "600 records, but its seal says 20"

# ---- a medium that cannot be written to --------------------------------------------------------------------------
rm set.lmdb/lock.mdb
before=$(ls -la set.lmdb)
exits "without LMDB's lock file" 0 ilsvrc-verify --lmdb set.lmdb
check "it verifies, and none is made" [ "$(ls -la set.lmdb)" = "$before" ]
chmod 555 set.lmdb && chmod 444 set.lmdb/*
# Root loses what lets it write all the same.
if [ "$(id -u)" != 0 ]; then as=(); else as=(setpriv --bounding-set=-all --inh-caps=-all); fi
if "${as[@]}" true 2>/dev/null && ! "${as[@]}" touch set.lmdb/x 2>/dev/null; then
    exits "a folder that cannot be written to" 0 "${as[@]}" ilsvrc-verify --lmdb set.lmdb --decode
    exits "a finished pack there" 0 "${as[@]}" pack-lmdb raw --split train --shuffle 5 set.lmdb
    check "is left as it is" grep -q 'already packed' out.txt
else
    skip "a folder that cannot be written to" "everything can be written to here"
fi
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
    exits "a file system mounted read-only" 0 unshare -m sh -c 'mount --bind set.lmdb set.lmdb && mount -o remount,bind,ro set.lmdb && ! touch set.lmdb/x 2>/dev/null && exec ilsvrc-verify --lmdb set.lmdb --decode'
else
    skip "a file system mounted read-only" "mounting is not allowed here"
fi
chmod 755 set.lmdb
finish
