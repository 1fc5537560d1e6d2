#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The three tools over every hostile archive of the fuzz corpus, as the outer tar and as a class's: exit 1 with one line of
# error from extract and pack, nothing in place, nothing outside; verify names what is wrong and looks at the rest as well.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C
TRAIN=ILSVRC2012_img_train.tar VAL=ILSVRC2012_img_val.tar
corpus=$RNKIT_TESTS/fuzz/corpus/archive

mkilsvrc --synthetic 2 --train-per-class 6 --val 6 --size 16x16 --seed 3 good --quiet || exit 1
mkdir classes && tar xf good/$TRAIN -C classes && rm good/MD5SUMS
mkdir bad && cp good/ILSVRC2012_devkit_t12.tar.gz bad/

# refused NAME WHAT COMMAND...: exit 1, one line of error that has WHAT (a pattern)
refused() {
    local name=$1 what=$2 rc; shift 2
    "$@" >out.txt 2>err.txt; rc=$?
    if { [ $rc = 1 ] || [ "$rc:$s" = 3:zeros.tar ]; } && [ "$(grep -c ': error: ' err.txt)" = 1 ] && grep -qE "$what" err.txt; then
        ok "$name"
    else
        not_ok "$name (exit $rc, wanted '$what')"; cat err.txt >&2
    fi
}
reported() { # the same for verify, which may have more to say
    local name=$1 what=$2 rc; shift 2
    "$@" >out.txt 2>err.txt; rc=$?
    if [ $rc = 1 ] && grep -qE "$what" err.txt; then ok "$name"; else not_ok "$name (exit $rc, wanted '$what')"; cat err.txt >&2; fi
}
in_place() { [ -e out/train ] || [ -e out/val ] || [ -e out.lmdb/seal.json ]; }

n=0 s=
for seed in "$corpus"/*; do
    s=$(basename "$seed")
    # What is wrong in itself, or else with its names or counts: no seed is a train set.
    case $s in
    zeros.tar) what='(no image found|has no n90000000.tar|has 0 images)' ;;
    dotdot* | absolute* | pax-dotdot*) what='is refused: a name that could leave the folder' ;;
    symlink* | gnu-long-link*) what='is refused: a link' ;;
    device* | fifo*) what='is refused: a (device|pipe)' ;;
    *sparse*) what='is refused: a sparse file' ;;
    *) what='(train|n90000000).*tar' ;;
    esac
    for as in outer inner; do
        case $as:$s in
        outer:*) cp "$seed" bad/$TRAIN ;;
        inner:*.gz) continue ;;
        inner:*) cp "$seed" classes/n90000000.tar && (cd classes && tar cf ../bad/$TRAIN -- *.tar) ;;
        esac
        rm -rf out out.lmdb
        refused "extract: $s as the $as tar" "$what" ilsvrc-extract bad out --splits train
        refused "pack: $s as the $as tar" "$what|compressed by gzip" pack-lmdb bad --split train out.lmdb
        if in_place; then not_ok "$s as the $as tar: nothing in place"; fi
        n=$((n + 1))
    done
done
# Right names, so that nothing else is wrong.
(cd classes && tar xf ../good/$TRAIN && mkdir images && tar xf n90000000.tar -C images)
first=$(find classes/images -name '*.JPEG' -printf '%f\n' | sort | head -n 1)
(cd classes/images && tar rf ../n90000000.tar "$first" && cd .. && tar cf ../bad/$TRAIN -- *.tar)
rm -rf out out.lmdb s
refused "extract: an image twice" "'$first' is refused: its name stands twice, at bytes [0-9]+ and [0-9]+" ilsvrc-extract bad out --splits train
refused "pack: an image twice" "'$first' is refused: its name stands twice, at bytes [0-9]+ and [0-9]+" pack-lmdb bad --split train out.lmdb
reported "verify: an image twice" "n90000000.*'$first': its name stands twice" ilsvrc-verify bad --structure
for extra in good/$TRAIN /etc/hostname; do
    cat good/$TRAIN $extra >bad/$TRAIN; rm -rf out
    refused "extract: followed by $(basename $extra)" "but more follows" ilsvrc-extract bad out --splits train
    refused "pack: followed by $(basename $extra)" "but more follows" pack-lmdb bad --split train out.lmdb
    reported "verify: followed by $(basename $extra)" "but more follows" ilsvrc-verify bad --structure
done
if in_place; then not_ok "nothing in place of any of them"; else ok "nothing in place of any of them"; fi
cp good/$TRAIN bad/ && truncate -s +100M bad/$TRAIN && rm -rf out out.lmdb
exits "100 MB of zeros behind the end are padding: extract" 0 ilsvrc-extract bad out --splits train
exits "100 MB of zeros behind the end are padding: pack" 0 pack-lmdb bad --split train out.lmdb
check "there were seeds ($n)" [ $n -gt 80 ]
check "nothing was written outside" [ -z "$(find . /tmp/escaped ../escaped -name 'escaped*' 2>/dev/null)" ]

# ---- verify: the entries by name, as many as are wrong -------------------------------------------------------------
for pair in twice:"'a': its name stands twice, at bytes 0 and 2048" dotdot:"'../escaped': a name that could" symlink:"'link': a link" \
    hardlink:"'b': a link" device:"'null': a device" fifo:"'pipe': a pipe" gnu-sparse:"'holes': a sparse file" \
    joined:"two archives joined" one-zero-block:"no end-of-archive mark" base256-negative:"its size is negative"; do
    cp "$corpus/${pair%%:*}.tar" bad/$TRAIN
    reported "verify: ${pair%%:*}" "${pair#*:}" ilsvrc-verify bad --structure
    cp "$corpus/${pair%%:*}.tar" classes/n90000000.tar && (cd classes && tar cf ../bad/$TRAIN -- *.tar)
    reported "verify: ${pair%%:*} in a class" "n90000000.*${pair#*:}" ilsvrc-verify bad --structure
done

# ---- a compressed val --------------------------------------------------------------------------------------------------
rm bad/$TRAIN
gzip -c good/$VAL >bad/$VAL && rm -rf out out.lmdb
exits "a gzipped val archive is extracted" 0 ilsvrc-extract bad out --splits val
check "all of it" [ "$(find out/val -name '*.JPEG' | wc -l)" = 6 ]
gzip -c good/$TRAIN >bad/$TRAIN && rm -rf out
refused "a gzipped train archive is not extracted: its classes are read by offset" "compressed; .*decompress it first" ilsvrc-extract bad out
rm -rf bad/$TRAIN out
refused "it is not packed by offset" "compressed by gzip.*decompress it first" pack-lmdb bad --split val out.lmdb
for tool in xz bzip2 zstd; do
    command -v $tool >/dev/null || { skip "a val archive compressed by $tool" "no $tool here"; continue; }
    $tool -c <good/$VAL >bad/$VAL && rm -rf out out.lmdb
    refused "extract: a val archive compressed by $tool" "compressed by $tool.*decompress it first" ilsvrc-extract bad out --splits val
    refused "pack: a val archive compressed by $tool" "compressed by $tool.*decompress it first" pack-lmdb bad --split val out.lmdb
    reported "verify: a val archive compressed by $tool" "compressed by $tool" ilsvrc-verify bad --structure
done
finish
