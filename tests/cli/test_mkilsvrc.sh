#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# mkilsvrc: archives of ILSVRC2012's form, the same bytes every time, labels as in the source.
. "$RNKIT_TESTS/tap.sh"
mk=$RNKIT_BIN/mkilsvrc
TRAIN=ILSVRC2012_img_train.tar VAL=ILSVRC2012_img_val.tar KIT=ILSVRC2012_devkit_t12.tar.gz

# ---- the form -------------------------------------------------------------------------------------------------------
exits "synthetic pictures" 0 "$mk" --synthetic 12 --train-per-class 30 --val 48 --size 40x32 --seed 9 raw --truth truth.txt
check "MD5SUMS is right" bash -c 'cd raw && md5sum --quiet -c MD5SUMS'
check "train: a tar of a tar a class" test "$(tar tf raw/$TRAIN | grep -cE '^n[0-9]{8}\.tar$')" = 12
check "not in the classes' order" bash -c "! tar tf raw/$TRAIN | LC_ALL=C sort -c 2>/dev/null"
tar xf raw/$TRAIN -O n90000004.tar | tar tf - >names
check "a class holds <wnid>_<number>.JPEG" test "$(grep -cE '^n90000004_[1-9][0-9]*\.JPEG$' names)" = 30
check "its numbers have gaps and no fixed width" test "$(sed 's/.*_//; s/\..*//' names | awk '{w[length($0)]} END {n = 0; for (i in w) n++; print n}')" -ge 2
tar tf raw/$VAL >names
check "val is flat, 00000001 to 00000048" diff <(sort names) <(seq -f 'ILSVRC2012_val_%08g.JPEG' 48)
check "and not in name order" bash -c '! LC_ALL=C sort -c names 2>/dev/null'
tar tzf raw/$KIT >names
check "devkit: readme, meta.mat, ground truth" diff names - <<'END'
ILSVRC2012_devkit_t12/readme.txt
ILSVRC2012_devkit_t12/data/meta.mat
ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt
END
tar xzf raw/$KIT -O ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt >gt
check "ground truth: 48 ids from 1 to 12, 4 of each" diff <(sort -n gt | uniq -c | awk '{print $1, $2}') <(seq 12 | sed 's/^/4 /')
check "ids are not labels plus one" bash -c "! diff -q gt <(awk '{print \$2 + 1}' truth.txt) >/dev/null"
check "but map one to one to labels" test "$(paste -d' ' gt <(cut -d' ' -f2 truth.txt) | sort -u | wc -l)" = 12

# ---- same bytes ------------------------------------------------------------------------------------------------------
exits "again with one job" 0 "$mk" --synthetic 12 --train-per-class 30 --val 48 --size 40x32 --seed 9 again --jobs 1
check "gives the same bytes" bash -c "cmp raw/$TRAIN again/$TRAIN && cmp raw/$VAL again/$VAL && cmp raw/$KIT again/$KIT"
exits "another seed" 0 "$mk" --synthetic 12 --train-per-class 30 --val 48 --size 40x32 --seed 10 other
check "gives others" bash -c "! cmp -s raw/$TRAIN other/$TRAIN && ! cmp -s raw/$VAL other/$VAL && ! cmp -s raw/$KIT other/$KIT"
stat -c '%y %i' again/* >before
exits "a second time" 0 "$mk" --synthetic 12 --train-per-class 30 --val 48 --size 40x32 --seed 9 again
check "nothing is made" grep -q "already made" out.txt
check "or touched" diff before <(stat -c '%y %i' again/*)
exits "other options in the same folder" 0 "$mk" --synthetic 12 --train-per-class 29 --val 48 --size 40x32 --seed 9 again
check "are made" bash -c '! grep -q already out.txt && ! cmp -s again/'$TRAIN' raw/'$TRAIN
exits "a full disk" 1 bash -c "ulimit -f 1; exec '$mk' --synthetic 12 --train-per-class 30 --val 48 --size 40x32 --seed 9 again"
check "leaves the set that was there" bash -c 'cd again && md5sum --quiet -c MD5SUMS'
mkdir again/$VAL.tmp
exits "a run that fails half-way" 1 "$mk" --synthetic 12 --train-per-class 30 --val 48 --size 40x32 --seed 9 again
check "leaves no list that vouches for what is there" test ! -e again/MD5SUMS
rmdir again/$VAL.tmp
exits "the options before" 0 "$mk" --synthetic 12 --train-per-class 29 --val 48 --size 40x32 --seed 9 again
check "are made anew" bash -c '! grep -q already out.txt'
exits "--force" 0 "$mk" --synthetic 12 --train-per-class 29 --val 48 --size 40x32 --seed 9 again --force
check "makes them again" bash -c '! grep -q already out.txt'
exits "a result into a full disk fails" 1 sh -c '"$@" >/dev/full' - "$mk" --synthetic 12 --train-per-class 29 --val 48 --size 40x32 --seed 9 again
says "and says so" "stdout"

mkdir theirs && echo 'days of downloading' >theirs/$TRAIN
exits "archives that it did not make" 2 "$mk" --synthetic 2 --train-per-class 2 --val 2 theirs --force
says "are named" "theirs/$TRAIN: there already, and not made by mkilsvrc"
check "and left as they are, with nothing beside" test "$(cat theirs/$TRAIN) $(ls -A theirs)" = "days of downloading $TRAIN"
rm theirs/$TRAIN && echo '0123456789abcdef0123456789abcdef  x' >theirs/MD5SUMS
exits "nor is another's MD5SUMS replaced" 2 "$mk" --synthetic 2 --train-per-class 2 --val 2 theirs
check "a finished set has nothing else beside" test "$(find again -name '.*' -type f)" = ""

# ---- limits, sizes -----------------------------------------------------------------------------------------------------
exits "limits a class" 0 "$mk" --synthetic 12 --train-per-class 30 --val 48 --limit-train 3 --limit-val 2 small --json
check "keep so many" grep -q '"classes":12,"train":36,"val":24,' out.txt
exits "one class" 0 "$mk" --synthetic 1 --train-per-class 1 --val 1 tiny
exits "is a set too" 0 "$RNKIT_BIN/ilsvrc-extract" tiny tinyout --verify

# ---- class folders -----------------------------------------------------------------------------------------------------
"$RNKIT_BIN/ilsvrc-extract" raw tree >/dev/null
exits "class folders" 0 "$mk" --tree tree/train --val-tree tree/val --seed 1 fromtree
"$RNKIT_BIN/ilsvrc-extract" fromtree tree2 --verify >/dev/null
sums() { (cd "$1" && find . -type f -exec md5sum {} +) | sed 's,  \./\([^/]*\)/.*,  \1,' | sort; }
check "WNIDs and train JPEGs are kept, byte for byte" diff <(sums tree/train) <(sums tree2/train)
check "and val's" diff <(sums tree/val) <(sums tree2/val)
mkdir -p named/a named/b && cp tree/train/n90000000/* named/a/ && cp tree/train/n90000001/* named/b/
exits "folders with other names" 0 "$mk" --tree named --val-tree named fromnamed
"$RNKIT_BIN/ilsvrc-extract" fromnamed tree3 >/dev/null
check "get made-up WNIDs, the name as words" diff tree3/synset_words.txt - <<'END'
n90000000 a
n90000001 b
END
mkdir -p lacking/a && cp named/a/* lacking/a/
exits "val without a class" 1 "$mk" --tree named --val-tree lacking x
says "is told" "lacking/b"

# ---- idx files: a set made here, labels and pixels known ------------------------------------------------------------------
byte() { printf "\\$(printf %o "$1")"; }
be32() { byte 0; byte 0; byte $(($1 / 256)); byte $(($1 % 256)); }
idx_images() { # COUNT: image i is 8x8 of gray 40 * (i % 3) + 20
    printf '\0\0\10\3'; be32 "$1"; be32 8; be32 8
    for i in $(seq 0 $(($1 - 1))); do head -c 64 /dev/zero | tr '\0' "\\$(printf %o $((40 * (i % 3) + 20)))"; done
}
idx_labels() { printf '\0\0\10\1'; be32 "$1"; for i in $(seq 0 $(($1 - 1))); do byte $((i % 3)); done; }
mkdir idx
idx_images 30 >idx/train-images-idx3-ubyte; idx_labels 30 | gzip >idx/train-labels-idx1-ubyte.gz
idx_images 9 | gzip >idx/t10k-images-idx3-ubyte.gz; idx_labels 9 >idx/t10k-labels-idx1-ubyte
printf 'n01440764 tench, Tinca tinca\nn02102040 springer\nn02979186 player\n' >classes.txt
exits "idx files, some gzipped" 0 "$mk" --idx idx --classes classes.txt fromidx
"$RNKIT_BIN/ilsvrc-extract" fromidx idxtree --verify >/dev/null
check "words come from --classes" cmp classes.txt idxtree/synset_words.txt
check "10 train images a class" test "$(find idxtree/train/n02102040 -type f | wc -l)" = 10
check "a class's images are one picture, classes differ" test \
    "$(find idxtree/val idxtree/train -type f -exec md5sum {} + | sed 's,/val/,/,; s,/train/,/,' | awk '{split($2, p, "/"); print $1, p[2]}' | sort -u | wc -l)" = 3
cp -r idx idx2 && { printf '\0\0\10\1'; be32 9; for i in $(seq 0 8); do byte $(((i + 1) % 3)); done; } >idx2/t10k-labels-idx1-ubyte
exits "the same source again" 0 "$mk" --idx idx --classes classes.txt fromidx
check "is made already" grep -q "already made" out.txt
exits "another source of the same sizes" 0 "$mk" --idx idx2 --classes classes.txt fromidx
check "is not" bash -c '! grep -q already out.txt'
truncate -s -1 idx/t10k-labels-idx1-ubyte
exits "an idx file cut short" 1 "$mk" --idx idx x
says "is named" "idx/t10k-labels-idx1-ubyte: 8 bytes after the header, 9 expected"
exits "no idx files" 1 "$mk" --idx named x
exits "classes that do not ascend" 1 "$mk" --synthetic 2 --classes <(printf 'n00000002 b\nn00000001 a\n') x
exits "classes of another number" 1 "$mk" --synthetic 2 --classes classes.txt x

# ---- Fashion-MNIST, if installed ---------------------------------------------------------------------------------------
F=/usr/share/datasets/fashion-mnist
if [ -f $F/train-images-idx3-ubyte.gz ]; then
    exits "Fashion-MNIST, 70,000 images" 0 "$mk" --idx $F fashion --truth ftruth.txt --json
    check "all of them" grep -q '"classes":10,"train":60000,"val":10000,' out.txt
    check "the labels are the official ones, as often" diff <(cut -d' ' -f2 ftruth.txt | sort | uniq -c) \
        <(gzip -dc $F/t10k-labels-idx1-ubyte.gz | tail -c +9 | od -An -v -tu1 -w1 | tr -d ' ' | sort | uniq -c)
else
    skip "Fashion-MNIST" "dataset-fashion-mnist is not installed"
fi

# ---- misuse ---------------------------------------------------------------------------------------------------------------
exits "no source" 2 "$mk" x
exits "two sources" 2 "$mk" --idx idx --synthetic 3 x
exits "a bad size" 2 "$mk" --synthetic 3 --size 0x10 x
says "is told" "WIDTHxHEIGHT"
exits "a bad number" 2 "$mk" --synthetic three x
exits "--tree alone" 2 "$mk" --tree named x
exits "an unknown option" 2 "$mk" --sythetic 3 x
check "--help fits 80 columns" bash -c "'$mk' --help | awk 'length(\$0) > 80 {bad = 1} END {exit bad}'"
exits "a full disk" 1 bash -c "ulimit -f 2; exec '$mk' --synthetic 3 full"
says "is told with the file's name" "$TRAIN.tmp"
check "and leaves no half archive" test -z "$(ls full)"
finish
