#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The rooms' rules hold in the tree, and tests/rooms.sh sees each kind of violation.
. "$RNKIT_TESTS/tap.sh"
root=$(realpath "$RNKIT_TESTS/..")

check "every include of the tree keeps to the rooms" "$RNKIT_TESTS/rooms.sh" "$root"

# catches NAME FILE LINE TEXT: a copy of the tree with that line in that file is refused, by file and reason
catches() {
    rm -rf copy && mkdir copy
    cp -r "$root"/libcore "$root"/kernels copy/
    mkdir -p "copy/$(dirname "$2")"
    printf '%s\n' "$3" >>"copy/$2"
    "$RNKIT_TESTS/rooms.sh" copy >out.txt 2>err.txt
    local rc=$?
    if [ $rc = 1 ] && grep -F -- "$2" out.txt | grep -qF -- "$4" && grep -qx '1 violations' err.txt; then
        ok "$1"
    else
        not_ok "$1 (exit $rc)"
        cat out.txt err.txt >&2
    fi
}

catches "base may not look up"        libcore/base/odd.c '#include "op/rn_op.h"'        "base may not include op/rn_op.h (of op)"
catches "data knows nothing of op"    libcore/data/odd.c '#include "op/rn_tensor.h"'    "data may not include"
catches "the store knows no loader"   libcore/data/store/odd.c '#include "data/load/rn_loader.h"' "data/store may not include"
catches "op knows nothing of nn"      libcore/op/odd.h   ' # include "nn/graph/rn_net.h"'     "op may not include"
catches "nn knows nothing of data"    libcore/nn/odd.c   '#include "data/store/rn_store.h"' "nn may not include"
catches "libcore knows no kernels"    libcore/run/odd.c  '#include "kernels/rn_kernels.h"' "run may not include"
catches "kernels see only op, base"   kernels/cpu/odd.c  '#include "nn/graph/rn_net.h"'       "kernels may not include"
catches "a way around with .."        kernels/cpu/odd.c  '#include "../../libcore/nn/graph/rn_net.h"' "is no file of the tree"
catches "libcore/ in front"           kernels/cpu/odd.c  '#include "libcore/nn/graph/rn_net.h"' "kernels may not include"
catches "angle brackets"              kernels/cpu/odd.c  '#include <nn/graph/rn_net.h>'       "include it with quotes"
catches "a file that is not there"    tools/odd.c        '#include "base/rn_none.h"'    "is no file of the tree"
catches "oneDNN stays in its folder"  kernels/cpu/odd.c  '#include <dnnl.h>'            "<dnnl.h> is only for kernels/onednn"
catches "LMDB stays in data"          libcore/run/odd.c  '#include <lmdb.h>'            "<lmdb.h> is only for libcore/data"
catches "generated records are data's" libcore/nn/odd.c  '#include "caffe.pb-c.h"'      "nn may not include"
catches "no room at all"              somewhere/odd.c    '#include <stdio.h>'           "is in no room"
catches "file names are unique"       libcore/op/rn_io.h '/* a second one */'          "stands already at libcore/base/rn_io.h"

mkdir empty
exits "an empty tree is not a success" 3 "$RNKIT_TESTS/rooms.sh" empty
finish
