#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Shards: together they are the one set, record for record; each alone is a set; ranks of mpirun share them out.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

same_set() { cmp "$1/data.mdb" "$2/data.mdb" && cmp "$1/seal.json" "$2/seal.json"; }
same_shards() { # A B N: two folders hold the same N shards
    local i d
    for ((i = 0; i < $3; i++)); do
        d=$(printf '%05d-of-%05d' "$i" "$3")
        same_set "$1/$d" "$2/$d" || return 1
    done
}
records() { sed -n 's/^ "records": \([0-9]*\),$/\1/p' "$1/seal.json"; }
# Keys and values as LMDB's own tool prints them, of several sets one after another.
dump() { local d; for d in "$@"; do mdb_dump -p "$d" | sed '1,/^HEADER=END/d; /^DATA=END/d'; done; }

mkilsvrc --synthetic 5 --train-per-class 143 --val 60 --size 40x32 --vary 30 --seed 7 raw --quiet >&2 || exit 1
pack() { pack-lmdb raw --split train --shuffle 3 "$@"; }
exits "packs the one set" 0 pack one.lmdb

# ---- together and alone ----------------------------------------------------------------------------------------
exits "packs it in 4 shards" 0 pack --shards 4 four.lmdb --json
check "prints a line of JSON a shard" [ "$(grep -cE '^\{"records":17[89],"skipped":0,.*"already":false,"shard":[0-3],"shards":4\}$' out.txt)" = 4 ]
for i in 0 1 2 3; do
    exits "packs shard $i/4 alone" 0 pack --shard $i/4 s$i.lmdb
    check "the same files as in the folder" same_set s$i.lmdb four.lmdb/0000$i-of-00004
    exits "which verifies alone" 0 ilsvrc-verify --lmdb s$i.lmdb --decode
done
check "sizes differ by at most one" [ "$(for i in 0 1 2 3; do records s$i.lmdb; done | paste -sd+ | sed 's/$//')" = "179+179+179+178" ]
check "the seal says which shard" bash -c "tr -d ' \n' <s2.lmdb/seal.json | grep -qF '\"shard\":{\"index\":2,\"count\":4},\"records\":179,'"
check "one set has no shard in its seal" bash -c "! grep -q '\"shard\"' one.lmdb/seal.json"
if command -v mdb_dump >/dev/null; then
    dump s0.lmdb s1.lmdb s2.lmdb s3.lmdb >shards.txt
    dump one.lmdb >one.txt
    check "shards together hold the records of the one set, in its order" cmp shards.txt one.txt
    check "which are some" [ "$(wc -l <one.txt)" = 1430 ]
else
    skip "shards together hold the records of the one set, in its order" "no mdb_dump (package lmdb-utils)"
    skip "which are some" "no mdb_dump (package lmdb-utils)"
fi
exits "a hundred shards" 0 pack --shards 100 many.lmdb --quiet
exits "they verify together" 0 ilsvrc-verify --lmdb many.lmdb
exits "the folder verifies as one set" 0 ilsvrc-verify --lmdb four.lmdb --decode
check "of all records" grep -q 715 out.txt
exits "a second time: nothing to do" 0 pack --shards 4 four.lmdb
check "and it says so for each" [ "$(grep -c 'already packed: shard' out.txt)" = 4 ]

# ---- any names, any place --------------------------------------------------------------------------------------
mkdir gathered && ln -s ../s0.lmdb gathered/c && cp -r s1.lmdb gathered/b && cp -r s2.lmdb gathered/a
exits "a folder that lacks a shard" 1 ilsvrc-verify --lmdb gathered
says "says which" "shard 3 of 4 is not there"
cp -r s3.lmdb gathered/d
exits "under any name, also behind a link" 0 ilsvrc-verify --lmdb gathered
cp -r s3.lmdb gathered/e
exits "a shard that is there twice" 1 ilsvrc-verify --lmdb gathered
says "is named with its double" "both shard 3 of 4"
rm -r gathered/e gathered/d
exits "a shard of another order" 0 pack-lmdb raw --split train --shuffle 4 --shard 3/4 gathered/d
exits "is no part of this set" 1 ilsvrc-verify --lmdb gathered
says "named with what differs" "gathered/d: not of the same set as gathered/a, the options differ"
rm -r gathered/d && pack --shard 2/3 gathered/d >/dev/null 2>&1
exits "a shard of another cut" 1 ilsvrc-verify --lmdb gathered
says "is named with both" "gathered/d: shard 2 of 3, but "
rm -r gathered/d && cp -r one.lmdb gathered/d
exits "a whole set among shards" 1 ilsvrc-verify --lmdb gathered
says "is named" "gathered/d: a whole set, not a shard"
rm -r gathered/d && cp -r s3.lmdb gathered/d && rm gathered/d/seal.json
exits "a shard without its seal" 1 ilsvrc-verify --lmdb gathered
says "is named" "gathered/d: no seal.json"
cp s2.lmdb/seal.json gathered/d
exits "a shard with another's seal" 1 ilsvrc-verify --lmdb gathered
says "is seen as the other" "both shard 2 of 4"

# ---- misuse ----------------------------------------------------------------------------------------------------
for s in 4/4 -1/4 1 1/ /4 1/4x 1/0 0/100000 "1 /4"; do
    exits "--shard '$s'" 2 pack --shard "$s" x.lmdb
done
says "says what is accepted" "accepted is i/n with i from 0 to n-1"
exits "--shard and --shards" 2 pack --shard 0/2 --shards 2 x.lmdb
exits "more shards than there are images" 2 pack --shards 716 x.lmdb
says "says how many there are" "716 shards of 715 images"
check "misuse leaves nothing behind" [ ! -e x.lmdb ]
exits "a folder of shards of another cut" 2 pack --shards 3 four.lmdb
says "is left alone" "holds 00000-of-00004"
exits "shards into a set" 2 pack --shards 4 one.lmdb
says "are refused" "which is no shard of 4"
exits "a set into a folder of shards" 2 pack four.lmdb
says "is refused" "holds something else"
exits "another shard into a shard" 2 pack --shard 1/4 s0.lmdb
says "is refused with both" "shard=1/4"
exits "a mean of one shard" 2 pack-lmdb raw --split train --resize exact:32x24 --shard 0/2 --mean m.binaryproto x.lmdb
says "is refused with the remedy" "--shards N --mean in one process"
P="--resize exact:32x24 --encode raw"
# shellcheck disable=SC2086
exits "a mean of all shards" 0 pack-lmdb raw --split train $P --shards 3 --mean m3.binaryproto m3.lmdb
# shellcheck disable=SC2086
exits "a mean of the one set" 0 pack-lmdb raw --split train $P --mean m1.binaryproto m1.lmdb
check "is the same mean" cmp m3.binaryproto m1.binaryproto

# ---- skipping ------------------------------------------------------------------------------------------------
mkdir tree && tar -xf raw/ILSVRC2012_img_train.tar -C tree
for t in tree/*.tar; do mkdir "${t%.tar}" && tar -xf "$t" -C "${t%.tar}" && rm "$t"; done
find tree -name '*.JPEG' | sort | sed -n '10p;500p' | while read -r f; do echo "no picture" >"$f"; done
exits "bad images in two shards" 0 pack-lmdb tree --on-bad skip --shards 4 bad.lmdb
check "each lists its own" [ "$(cat bad.lmdb/00000-of-00004/skipped.txt bad.lmdb/00002-of-00004/skipped.txt | wc -l)" = 2 ]
check "the others none" [ ! -e bad.lmdb/00001-of-00004/skipped.txt ]
exits "they verify together" 0 ilsvrc-verify --lmdb bad.lmdb
rm "$(find tree -name '*.JPEG' | sort | sed -n 20p)"
exits "another list of images" 2 pack-lmdb tree --on-bad skip --shards 4 bad.lmdb
cp -r tree less && mkdir mixed && cp -r bad.lmdb/0000[0-2]* mixed && pack-lmdb less --on-bad skip --shard 3/4 mixed/x >/dev/null 2>&1
exits "a shard of another list" 1 ilsvrc-verify --lmdb mixed
says "is named" "the list of images differ"

# ---- other shards' images are not read -----------------------------------------------------------------------------
cp -r raw holes
last=$(tar -tRf raw/ILSVRC2012_img_train.tar | sed -n 's/^block \([0-9]*\): n90000004.tar$/\1/p') # the last class
size=$(stat -c %s raw/ILSVRC2012_img_train.tar)
exits "the first of two shards, sorted" 0 pack-lmdb holes --split train --shard 0/2 h0.lmdb
# An image of the last class is damaged; the archive's headers stay.
damage() {
    local at=$(((last + 2) * 512 + 200)) # behind both headers, in the first JPEG
    printf 'XXXX' | dd of=holes/ILSVRC2012_img_train.tar bs=1 seek=$at conv=notrunc status=none
    [ -n "$last" ] && [ $at -lt "$size" ]
}
check "damage in the last class" damage
exits "is nothing to the first shard" 0 pack-lmdb holes --split train --shard 0/2 h1.lmdb
check "which is the same" same_set h0.lmdb h1.lmdb
exits "the second of two shards" 0 pack-lmdb raw --split train --shard 1/2 h2.lmdb
exits "has the damage" 0 pack-lmdb holes --split train --shard 1/2 h3.lmdb
check "and is another" bash -c "! cmp -s h2.lmdb/seal.json h3.lmdb/seal.json"
mkdir -p three/a && for i in 1 2 3; do cp "$(find tree -name '*.JPEG' -size +1 | sort | sed -n ${i}p)" three/a/$i.JPEG; done && echo none >three/a/2.JPEG
exits "a shard of which every image is bad" 0 pack-lmdb three --shards 3 --on-bad skip three.lmdb
exits "is a part of its set" 0 ilsvrc-verify --lmdb three.lmdb
check "of the two others" grep -q '2 images' out.txt
exits "a set of which every image is bad" 3 sh -c 'rm three/a/1.JPEG three/a/3.JPEG && pack-lmdb three --on-bad skip lost.lmdb'

# ---- kill and go on --------------------------------------------------------------------------------------------
mkilsvrc --synthetic 3 --train-per-class 2000 --val 3 --size 24x24 --seed 9 big --quiet >&2
bigpack=(pack-lmdb big --split train --shuffle 1 --shards 3 --jobs 2)
exits "three shards of several batches" 0 "${bigpack[@]}" whole.lmdb
kills=0
for k in 0 1 2 3; do
    "${bigpack[@]}" killed.lmdb >/dev/null 2>&1 &
    p=$!
    for _ in $(seq 400); do
        kill -0 $p 2>/dev/null || break
        [ "$(find killed.lmdb -name data.mdb 2>/dev/null | wc -l)" -gt $((k * 3 / 4)) ] && break
        sleep 0.005
    done
    sleep 0.0$((RANDOM % 10))
    kill -9 $p 2>/dev/null
    wait $p 2>/dev/null
    [ $? = 137 ] && kills=$((kills + 1))
done
echo "# killed $kills times"
exits "goes on after kill -9" 0 "${bigpack[@]}" killed.lmdb
check "to the same files" same_shards whole.lmdb killed.lmdb 3

# ---- ranks -----------------------------------------------------------------------------------------------------
rank() { env OMPI_COMM_WORLD_RANK="$1" OMPI_COMM_WORLD_SIZE="$2" "${@:3}"; }
exits "the second of two ranks" 0 rank 1 2 pack-lmdb raw --split train --shuffle 3 --shards 4 ranks.lmdb
says "says what it packs" "pack-lmdb (rank 1 of 2): started by mpirun: packing shards 1, 3 of 4 into ranks.lmdb"
check "and packs that" [ "$(cd ranks.lmdb && echo *)" = "00001-of-00004 00003-of-00004" ]
exits "what one rank packed is not the set" 1 ilsvrc-verify --lmdb ranks.lmdb
says "it says what lacks" "shard 0 of 4 is not there"
exits "the first rank" 0 rank 0 2 pack-lmdb raw --split train --shuffle 3 --shards 4 ranks.lmdb
check "completes it" same_shards four.lmdb ranks.lmdb 4
exits "a rank for which there is no shard" 0 rank 2 3 pack-lmdb raw --split train --shards 2 none.lmdb
says "says so" "packing no shard of 2"
exits "without --shards there is one a rank" 0 rank 2 3 pack-lmdb raw --split train each.lmdb
check "in its folder" [ -e each.lmdb/00002-of-00003/seal.json ]
exits "--shard wins" 0 rank 1 2 pack-lmdb raw --split train --shuffle 3 --shard 2/4 wins.lmdb
says "and it is said" "every rank that mpirun started packs that one"
check "and done" same_set wins.lmdb s2.lmdb
exits "one rank alone packs one set" 0 rank 0 1 pack-lmdb raw --split train --shuffle 3 alone.lmdb
check "as without mpirun" same_set alone.lmdb one.lmdb
exits "a rank that is none" 2 rank 2 2 pack-lmdb raw --split train x.lmdb
says "is told by its variables" "OMPI_COMM_WORLD_RANK=2 and OMPI_COMM_WORLD_SIZE=2"
exits "a mean among ranks" 2 rank 0 2 pack-lmdb raw --split train --mean m.binaryproto x.lmdb
exits "MPICH's variables" 0 env PMI_RANK=1 PMI_SIZE=3 pack-lmdb raw --split train mpich.lmdb
check "are known" [ -e mpich.lmdb/00001-of-00003/seal.json ]
exits "a step of Slurm" 0 env SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 pack-lmdb raw --split train slurm.lmdb
says "is known" "(rank 1 of 2): started by srun"
exits "a batch script of Slurm is one process" 0 env SLURM_PROCID=0 SLURM_NTASKS=2 pack-lmdb raw --split train --shuffle 3 batch.lmdb
check "and packs one set" same_set batch.lmdb one.lmdb

# ---- mpirun ----------------------------------------------------------------------------------------------------
if command -v mpirun >/dev/null; then
    mpi() { mpirun --allow-run-as-root --oversubscribe -n 2 "$@"; }
    exits "mpirun -n 2" 0 mpi pack-lmdb raw --split train --shuffle 3 --shards 4 mpi.lmdb --json
    check "four lines of JSON" [ "$(grep -c '"shards":4}$' out.txt)" = 4 ]
    says "rank 0 names itself" "(rank 0 of 2): started by mpirun: packing shards 0, 2 of 4"
    says "rank 1 too" "(rank 1 of 2): started by mpirun: packing shards 1, 3 of 4"
    check "packs what one process packs" same_shards four.lmdb mpi.lmdb 4
    exits "it verifies" 0 ilsvrc-verify --lmdb mpi.lmdb
    exits "without --shards" 0 mpi pack-lmdb raw --split train --shuffle 3 mpi2.lmdb
    check "two shards" [ "$(cd mpi2.lmdb && echo *)" = "00000-of-00002 00001-of-00002" ]
    exits "a rank that fails makes mpirun fail" 1 mpi pack-lmdb tree mpi3.lmdb --shards 4
    says "it names the image" "JPEG: neither JPEG nor PNG"
    exits "the same command goes on with the rest" 0 mpi pack-lmdb tree mpi3.lmdb --shards 4 --on-bad skip
    exits "and ends in a whole set" 0 ilsvrc-verify --lmdb mpi3.lmdb
else
    skip "mpirun packs what one process packs" "no mpirun (package openmpi-bin)"
fi

# ---- training --------------------------------------------------------------------------------------------------
exits "packs val in shards" 0 pack-lmdb raw --split val --shards 2 val2.lmdb
exits "packs val" 0 pack-lmdb raw --split val val.lmdb
train() {
    rn-train --arch resnet18 --stem cifar --width 0.125 --image-size 16 --val-resize 16 --threads 1 --workers 2 --batch 70 \
        --epochs 1 --lr 0.02 --log-steps 1 --seed 5 --quiet "$@"
}
numbers() { grep -o '"\(loss\|top1\)":[^,}]*' "$1/log.jsonl"; }
exits "trains on the one set" 0 train --train-db one.lmdb --val-db val.lmdb --out run1
exits "trains on shards" 0 train --train-db four.lmdb --val-db val2.lmdb --out run4
check "some steps" [ "$(numbers run1 | wc -l)" -gt 10 ]
check "to the same losses" cmp <(numbers run1) <(numbers run4)
check "and the same weights, to the bit" cmp <(tensors run1/weights.safetensors) <(tensors run4/weights.safetensors)
seal=$(for i in 0 1 2 3; do sha256sum <four.lmdb/0000$i-of-00004/seal.json | cut -d' ' -f1; done | sha256sum | cut -d' ' -f1)
check "the run's log names the shards' common seal" grep -qF "$seal" run4/log.jsonl
check "and the report" grep -qF "$seal" run4/report.html
check "and the verifier" bash -c "ilsvrc-verify --lmdb four.lmdb --json | grep -qF $seal"
finish
