#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# pack-lmdb killed with SIGKILL at fifty seeded moments (RNKIT_LONG=1: five hundred): nothing committed is ever lost, the next run
# goes on, and the finished set is the undisturbed one's, to the byte: data.mdb, seal.json, skipped.txt.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
RANDOM=${RNKIT_SEED:-71}
kills=25
[ -z "${RNKIT_LONG:-}" ] || kills=250

mkilsvrc --synthetic 5 --train-per-class 800 --val 5 --size 40x32 --vary 30 --seed 7 raw --quiet >&2 || exit 1
mkdir tree
tar -xf raw/ILSVRC2012_img_train.tar -C tree
for t in tree/*.tar; do
    mkdir "${t%.tar}" && tar -xf "$t" -C "${t%.tar}" && rm "$t"
done
# Some bad ones, spread over the batches, so that the list of what was skipped has to survive, too.
find tree -name '*.JPEG' | sort | awk 'NR % 400 == 17' | while read -r f; do echo "no picture" >"$f"; done

# How far a pack has got for certain: the last line but one was followed by a commit, the last may not have been.
surely() { awk '/^at /{before = last; last = $2} END{print before + 0}' "$1/pack.state" 2>/dev/null || echo 0; }
went_on() { sed -n 's/.*going on after \([0-9]*\) of.*/\1/p' "$1"; }
same_set() { cmp "$1/data.mdb" "$2/data.mdb" && cmp "$1/seal.json" "$2/seal.json" && diff "$1/skipped.txt" "$2/skipped.txt"; }

# torture NAME OPTION...: kills runs of `pack-lmdb OPTION... SET`, each a random part of what a whole one takes.
torture() {
    local name=$1 done_sets=0 landed=0 lost=0 differ=0 mid=0 sure=0 from us p t0 t1 fresh
    shift
    t0=$(date +%s%N)
    pack-lmdb "$@" "$name.whole" --jobs 2 >/dev/null 2>err.txt || { not_ok "$name: packs undisturbed"; cat err.txt >&2; return; }
    t1=$(date +%s%N)
    us=$(((t1 - t0) / 1000))
    rm -rf "$name.set"
    for ((k = 0; landed < kills && k < 20 * kills; k++)); do
        fresh=$([ -e "$name.set" ] || echo yes)
        t0=$(date +%s%N)
        pack-lmdb "$@" "$name.set" --jobs $((1 + RANDOM % 4)) >/dev/null 2>run.txt &
        p=$!
        sleep "$(awk -v r=$((RANDOM * 32768 + RANDOM)) -v us="$us" 'BEGIN{printf "%.4f", r / 1073741824 * us * 1.1 / 1e6}')"
        kill -9 $p 2>/dev/null
        wait $p 2>/dev/null
        if [ $? = 137 ]; then
            landed=$((landed + 1))
        elif [ -n "$fresh" ] && t1=$(date +%s%N) && [ $(((t1 - t0) / 1000)) -lt $us ]; then
            us=$(((t1 - t0) / 1000)) # the machine was busier when it was measured
        fi
        from=$(went_on run.txt)
        [ -z "$from" ] || [ "$from" -ge "$sure" ] || { lost=$((lost + 1)); echo "# went on after $from, $sure were committed" >&2; }
        if [ -e "$name.set/seal.json" ]; then
            pack-lmdb "$@" "$name.set" >/dev/null 2>&1 # a kill right after the seal may have left the journal
            same_set "$name.whole" "$name.set" >&2 || differ=$((differ + 1))
            done_sets=$((done_sets + 1)) sure=0
            rm -rf "$name.set"
        else
            sure=$(surely "$name.set")
            [ "$sure" -gt 0 ] && mid=$((mid + 1))
        fi
    done
    exits "$name: the next run goes on and ends" 0 pack-lmdb "$@" "$name.set"
    same_set "$name.whole" "$name.set" >&2 || differ=$((differ + 1))
    echo "# $name: $landed kills over $((us / 1000)) ms each, $mid of them between batches, $((done_sets + 1)) sets finished"
    check "$name: $kills kills hit" [ "$landed" = $kills ]
    check "$name: nothing committed was lost" [ $lost = 0 ]
    check "$name: every set is the undisturbed one, to the byte" [ $differ = 0 ]
    check "$name: nothing else is left in it" [ -z "$(find "$name.set" -name '*.tmp.*' -o -name pack.state)" ]
}

torture keep tree --shuffle 3 --on-bad skip
check "ten bad images are listed" [ "$(wc -l <keep.set/skipped.txt)" = 10 ]
torture jpeg tree --resize short:24 --encode jpeg:90 --on-bad skip
finish
