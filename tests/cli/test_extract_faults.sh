#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ilsvrc-extract on a bad day: full disks, folders that cannot be written, a disk that falls short or fails, hostile archives.
# Each ends with exit 1 and one line that names the object, nothing is put in place or written outside OUT_DIR, and then the
# right archives are extracted to the same OUT_DIR.
. "$RNKIT_TESTS/tap.sh"
extract=$RNKIT_BIN/ilsvrc-extract
fault=${RNKIT_BUILD:-$RNKIT_BIN/..}/tests/fault/fault.so
TRAIN=ILSVRC2012_img_train.tar VAL=ILSVRC2012_img_val.tar
mounted=()
cleanup() { for m in "${mounted[@]}"; do umount -l "$m" 2>/dev/null; done; }
trap cleanup EXIT

"$RNKIT_BIN/mkilsvrc" --synthetic 6 --train-per-class 50 --val 300 --size 48x40 --vary 20 --seed 5 raw >/dev/null
"$extract" raw whole >/dev/null
same() { diff -r -x .rnkit whole "$1"; }
size=$(cat raw/$TRAIN raw/$VAL | wc -c)
fails() { # NAME TEXT COMMAND...: exit 1, and TEXT in a line that is the only one
    local name=$1 text=$2
    shift 2
    exits "$name" 1 "$@"
    says "$name: told" "$text"
    check "$name: in one line" test "$(grep -vc 'going on where' err.txt)" = 1
}
recovers() { # NAME OUT: the same command with nothing wrong
    exits "$1: afterwards it ends well" 0 "$extract" raw "$2"
    check "$1: with the right tree" same "$2"
}

# ---- room -------------------------------------------------------------------------------------------------------------
mkdir small
if mount -t tmpfs -o size=$((size / 2)) none small 2>/dev/null; then
    mounted+=(small)
    fails "a file system that is plainly too small" "small/out: needs about" "$extract" raw small/out
    check "says how much is needed and how much is free" grep -qE 'needs about [0-9.]+ MB more, its file system has [0-9.]+ MB free' err.txt
    check "and has written no image" test -z "$(find small -name '*.JPEG')"
    mount -o remount,size=$((size * 3)) small
    recovers "with more room" small/out
    rm -rf small/out && mount -o remount,nr_inodes=100 small
    fails "a file system with too few inodes" "files more, its file system has room for" "$extract" raw small/out
    mount -o remount,nr_inodes=0,size=$((size * 2)) small
    # Enough at the start, but someone else fills it meanwhile.
    mkdir -p small/out/.rnkit && "$extract" raw small/out --splits val >/dev/null
    dd if=/dev/zero of=small/ballast bs=1k count=$(($(df --output=avail -k small | tail -1) - $(stat -c %s raw/$TRAIN) / 1024 - 40)) status=none
    fails "a disk that fills up" "No space left" "$extract" raw small/out
    check "no train in place" test ! -e small/out/train
    rm small/ballast
    recovers "with the ballast gone" small/out
else
    skip "a full file system" "no mounts here"
fi
if truncate -s 12M image && mkfs.ext4 -q -F -m 0 -b 1024 image 2>/dev/null && mkdir disk && mount -o loop image disk 2>/dev/null; then
    mounted+=(disk)
    dd if=/dev/zero of=disk/ballast bs=1k count=$(($(df --output=avail -k disk | tail -1) - size / 1024 * 9 / 10)) status=none
    exits "a real disk, nearly full" 1 "$extract" raw disk/out
    check "is told" grep -qE "No space left|needs about|files more" err.txt
    rm disk/ballast
    recovers "the disk, with the ballast gone" disk/out
else
    skip "a full ext4" "no loop mounts here"
fi
fails "a file size limit" "full/.rnkit/" bash -c "ulimit -f 1; exec '$extract' raw full"
recovers "without the limit" full

# ---- read-only ------------------------------------------------------------------------------------------------------------
mkdir -p ro/out
if mount --bind ro ro 2>/dev/null && mount -o remount,bind,ro ro 2>/dev/null; then
    mounted+=(ro)
    fails "an OUT_DIR on a read-only file system" "ro/out/.rnkit" "$extract" raw ro/out
    mount -o remount,bind,rw ro
    recovers "once it may be written" ro/out
else
    skip "a read-only file system" "no mounts here"
fi
if [ "$(id -u)" = 0 ]; then
    if setpriv --reuid 65534 --regid 65534 --clear-groups test -r raw/$TRAIN -a -x "$extract" 2>/dev/null; then
        as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    fi
else
    as=(env)
fi
if [ -n "${as[*]:-}" ]; then
    mkdir -p closed && chmod 555 closed
    fails "an OUT_DIR without permission to write" "closed/.rnkit" "${as[@]}" "$extract" raw closed
    chmod 777 closed
    exits "once permitted it ends well" 0 "${as[@]}" "$extract" raw closed
    check "with the right tree" same closed
    rm -rf closed/train closed/.rnkit/train.json && mkdir -p closed/.rnkit/train/part closed/.rnkit/train/tree
    mkdir closed/.rnkit/train/part/n90000001 && chmod 555 closed/.rnkit/train/part/n90000001 closed/.rnkit
    exits "a state folder without permission" 1 "${as[@]}" "$extract" raw closed
    says "names it" "closed/.rnkit/"
else
    skip "a folder without permission" "other users cannot reach the scratch folder"
fi

# ---- a disk that falls short or fails -------------------------------------------------------------------------------------
if [ -e "$fault" ]; then
    for seed in 1 2 3; do
        rm -rf short
        exits "short reads and writes, interruptions ($seed)" 0 env RN_FAULT_SHORT=$seed RN_FAULT_EINTR=$seed LD_PRELOAD="$fault" "$extract" raw short --verify
        check "give the same tree" same short
    done
    try() { # OP K ERRNO PATH: the K-th such call on files of PATH fails
        rm -rf bad
        exits "$1 $2 of $4 fails with $3" 1 env RN_FAULT_FAIL="$1 $2 $3" RN_FAULT_PATH="$4" LD_PRELOAD="$fault" "$extract" raw bad
        check "$1 $2 of $4: one line that names a file" test "$(grep -c "$4\|bad/" err.txt)" = 1
        check "$1 $2 of $4: train in place is whole, or not there" bash -c '[ ! -d bad/train ] || diff -rq whole/train bad/train'
        recovers "$1 $2 of $4" bad
    }
    try read 1 EIO $TRAIN
    try read @300000 EIO $TRAIN
    try read @200000 EIO $VAL
    try write 40 ENOSPC part/
    try write 40 EIO val/tree
    try sync 1 EIO .rnkit
else
    skip "short reads, failing disks" "no fault library in this build"
fi

# ---- hostile archives -----------------------------------------------------------------------------------------------------
mkdir evil && (cd evil && for i in 1 2 3; do echo "image $i" >n90000000_$i.JPEG; done)
hostile() { # NAME TEXT: bad/ is refused
    rm -rf evilout && "$extract" raw evilout --splits val >/dev/null
    fails "$1" "$2" timeout 60 "$extract" bad evilout
    check "$1: no train in place" test ! -e evilout/train
    rm -rf evilout/.rnkit/train evilout/.rnkit/train.json
    recovers "$1" evilout
}
fresh() { rm -rf bad && mkdir bad && cp raw/* bad/; }
one_class() { fresh && (cd evil && tar cf n90000000.tar "$@" && tar cf ../bad/$TRAIN n90000000.tar); }
one_class n90000000_1.JPEG n90000000_2.JPEG && (cd evil && tar rf n90000000.tar n90000000_1.JPEG && tar cf ../bad/$TRAIN n90000000.tar)
hostile "two members of one name" "twice"
tar xf raw/$TRAIN -C evil && (cd evil && tar cf ../bad/$TRAIN n90000001.tar n90000002.tar && tar rf ../bad/$TRAIN n90000001.tar)
hostile "two classes of one name" "twice"
one_class -P --transform 's,^,../../../../escaped/,' n90000000_1.JPEG && hostile "a name with .." "is refused"
one_class -P --transform "s,^,$PWD/escaped/," n90000000_1.JPEG && hostile "an absolute name" "is refused"
(cd evil && ln -s /etc n90000000_4.JPEG) && one_class n90000000_4.JPEG && hostile "a symbolic link" "a link"
(cd evil && ln n90000000_1.JPEG n90000000_5.JPEG) && one_class n90000000_1.JPEG n90000000_5.JPEG && hostile "a hard link" "a link"
(cd evil && mkfifo n90000000_6.JPEG) && one_class n90000000_6.JPEG && hostile "a pipe" "a pipe"
if (cd evil && mknod n90000000_7.JPEG c 1 3 2>/dev/null); then one_class n90000000_7.JPEG && hostile "a device" "a device"; fi
(cd evil && cp n90000000_1.JPEG nest && for i in $(seq 40); do tar cf nest.tar nest && mv nest.tar nest; done && mv nest n90000000.tar && tar cf ../bad/$TRAIN n90000000.tar)
hostile "a nest of 40 tars" "'nest' in n90000000.tar is no name of an image"
fresh && (cd evil && head -c 100000000 /dev/zero >n90000000.tar && tar cf ../bad/$TRAIN n90000000.tar && rm n90000000.tar)
hostile "100 MB of zeros for a class" "belong together"
fresh && head -c 100000000 /dev/zero >bad/$TRAIN && hostile "100 MB of zeros for the archive" "belong together"
fresh && rm -rf zeros && { cat raw/$TRAIN && head -c 100000000 /dev/zero; } >bad/$TRAIN
exits "100 MB of zeros after the archive" 0 timeout 60 "$extract" bad zeros
check "are no matter" same zeros
check "nothing was written outside" test -z "$(find . -path '*escaped*')" -a ! -e ../escaped -a ! -e ../../escaped
finish
