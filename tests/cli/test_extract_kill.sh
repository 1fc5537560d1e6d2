#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ilsvrc-extract killed with SIGKILL at fifty random moments (RNKIT_LONG: five hundred): what is resumed to its end is byte
# for byte what an undisturbed run makes, and what was whole is not written again.
. "$RNKIT_TESTS/tap.sh"
extract=$RNKIT_BIN/ilsvrc-extract
want_kills=50
[ -z "${RNKIT_LONG:-}" ] || want_kills=500
RANDOM=${RNKIT_SEED:-20120609}

# In memory where that can be had: a kill asks nothing of the disk, and fifty runs would wait for it. RNKIT_LONG stays on it.
if [ -z "${RNKIT_LONG:-}" ] && [ -w /dev/shm ] && [ "$(df --output=avail -k /dev/shm | tail -1)" -gt 500000 ]; then
    scratch=$(mktemp -d -p /dev/shm rnkit-kill.XXXXXX)
    trap 'rm -rf "$scratch"' EXIT
    cd "$scratch" || exit 1
fi

"$RNKIT_BIN/mkilsvrc" --synthetic 24 --train-per-class 60 --val 1200 --size 24x24 --seed 8 raw >/dev/null
mkdir flat && tar xf raw/ILSVRC2012_img_val.tar -C flat
(cd flat && tar cf ../raw/ILSVRC2012_img_test.tar --transform 's,_val_,_test_,' -- *.JPEG)
args=(raw out --splits "train,val,test")
"$extract" raw warm --splits train,val,test >/dev/null
ms() { echo $((($(date +%s%N) - $1) / 1000000)); }
start=$(date +%s%N)
exits "an undisturbed run" 0 "$extract" raw whole --splits train,val,test
full=$(ms "$start")
rm -rf warm

same() { diff -r -x .rnkit whole out; }
# Whole pieces, by inode and time of change: what stands under train/tree or in place, or in a marked run.
pieces() { find out/train out/.rnkit/train/tree -type f -printf '%f %i %T@\n' 2>/dev/null | sort; }
kills=0 chains=0 longest=0 chain=0 early=0 wrong=0 again=0
: >before
while [ $kills -lt $want_kills ]; do
    # A chain: killed again and again until a run comes to its end by itself. Moments are uniform over the whole duration.
    delay=$((RANDOM % (full + full / 10 + 1)))
    "$extract" "${args[@]}" >/dev/null 2>&1 &
    pid=$!
    sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    rc=$?
    pieces >after
    [ -z "$(comm -23 before after)" ] || again=$((again + 1))
    cp after before
    if [ $rc = 137 ]; then
        kills=$((kills + 1)) chain=$((chain + 1))
        [ $chain -le $longest ] || longest=$chain
        [ ! -s after ] || early=$((early + 1))
        for s in train val test; do # a folder in place is whole, whenever one looks
            [ ! -d out/$s ] || diff -rq "whole/$s" "out/$s" >&2 || wrong=$((wrong + 1))
        done
        # One in four is resumed to its end without another kill.
        [ $((RANDOM % 4)) = 0 ] || continue
        "$extract" "${args[@]}" >/dev/null 2>err.txt || { wrong=$((wrong + 1)); cat err.txt >&2; }
        pieces >after
        [ -z "$(comm -23 before after)" ] || again=$((again + 1))
    elif [ $rc != 0 ]; then
        wrong=$((wrong + 1))
    fi
    same >&2 || wrong=$((wrong + 1))
    chains=$((chains + 1)) chain=0
    rm -rf out
    : >before
done
[ ! -d out ] || { "$extract" "${args[@]}" >/dev/null 2>&1 && same >&2 || wrong=$((wrong + 1)); }
echo "# $kills kills in $chains chains of up to $longest, $early with whole pieces on disk, a run takes $full ms" >&2
check "$kills kills at random moments: every resumed tree is that of an undisturbed run" test $wrong = 0
check "no whole class was written again" test $again = 0
check "some kills fell between the pieces" test $early -gt 0
check "some runs were killed more than once" test $longest -gt 1

# ---- val and test: marked runs are not written again --------------------------------------------------------------------
marks() { find out/.rnkit/val/done -type f 2>/dev/null | wc -l; }
n=0
for _ in $(seq 40); do
    rm -rf out
    "$extract" raw out --splits val --jobs 1 >/dev/null 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null && [ "$(marks)" -lt 2 ]; do :; done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    n=$(marks)
    [ ! -d out/val ] && [ "$n" -ge 2 ] && [ "$n" -le 4 ] && break
done
if [ ! -d out/val ] && [ "$n" -ge 2 ] && [ "$n" -le 4 ]; then ok "val, killed with $n of 5 runs on disk"; else not_ok "val, killed with runs on disk"; fi
find out/.rnkit/val/tree -type f -printf '%f %i %T@\n' | sort >before
exits "val goes on" 0 "$extract" raw out --splits val
find out/val -type f -printf '%f %i %T@\n' | sort >after
check "and keeps the files of whole runs ($(comm -12 before after | wc -l) of $(wc -l <before))" \
    test "$(comm -12 before after | wc -l)" -ge $((n * 256))
check "the tree is right" diff -r whole/val out/val

# ---- what is whole is not read again ------------------------------------------------------------------------------------
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
    mkdir -p part/.rnkit/train && cp -r whole/train part/.rnkit/train/tree && cp whole/.rnkit/train.json part/.rnkit/
    sed -i 's/"whole"/"extracting"/' part/.rnkit/train.json
    gone=$(find part/.rnkit/train/tree -mindepth 1 -maxdepth 1 | sort | tail -1)
    rm -r "$gone"
    exits "one class of 24 is missing" 0 strace -f -y -e trace=read,pread64 -o calls "$extract" raw part --splits train
    read_bytes=$(grep 'img_train.tar' calls | awk '{n += $NF} END {print n + 0}')
    size=$(stat -c %s raw/ILSVRC2012_img_train.tar)
    check "only a part of the archive is read for it ($read_bytes of $size bytes)" test "$read_bytes" -lt $((size * 2 / 3))
    check "the tree is right" diff -r whole/train part/train
else
    skip "what is whole is not read again" "no strace, or it may not trace"
fi
finish
