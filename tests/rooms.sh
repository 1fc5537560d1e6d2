#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rooms.sh [ROOT]: checks every #include of the tree against the rooms' rules, and names each violation.
#
#   tools, bench -> kernels -> libcore;  in libcore  run -> nn -> op -> base  and  run -> data -> base;
#   kernels sees only op and base of libcore; nobody sees tools or bench but themselves.
#   data, nn and run have folders; what each may include of its neighbours is listed below.
#   An include names its room ("base/rn_io.h", "kernels/cpu/cpu_gemm.h"), or a file beside the includer.
#   A library that only one room may know is listed below. File names (.c, .h) are unique.
# Exit 0: all well; 1: violations; 3: there was nothing to check.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

sources() { # every C and CUDA file of the tree, as ROOM/...
    find . \( -path ./build -o -path ./out -o -path ./.git \) -prune -o \
        -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) -print | sed 's|^\./||' | sort
}

sources | awk '
function room_of(path, part, n) {
    n = split(path, part, "/")
    if (part[1] == "libcore" && n > 2)
        return part[2]
    return part[1] ~ /^(kernels|bench|tools|tests)$/ && n > 1 ? part[1] : ""
}
# "data/pack" for a file in a folder of a room, else ""
function folder_of(path, part, n) {
    n = split(path, part, "/")
    return part[1] == "libcore" && n > 3 ? part[2] "/" part[3] : ""
}
function room_of_folder(folder) {
    sub(/\/.*/, "", folder)
    return folder
}
function violation(where, what) {
    print where ": " what
    bad++
}
# A header only some files may include: both sides are regular expressions.
function restrict(header, files, said) {
    nrules++
    rule_header[nrules] = "^" header "$"
    rule_files[nrules] = "^(" files ")"
    rule_said[nrules] = said
}
function quoted(file, at, inc, room, target, folder, from, to) {
    if (inc ~ /\.pb-c\.h$/) { # generated from the .proto files
        if (index(may[room], " data ") == 0)
            violation(at, room " may not include " inc " (data has it)")
        return
    }
    if (inc ~ /^bench_[a-z]*\.inc$/ && room == "bench") # generated from bench/shapes
        return
    if (inc == "rn_manifest_ilsvrc2012.inc" && room == "data") # generated from datasets/ilsvrc2012
        return
    folder = file
    sub(/[^\/]*$/, "", folder)
    target = (folder inc) in tree ? folder inc : ("libcore/" inc) in tree ? "libcore/" inc : inc
    if (inc ~ /\.\./ || !(target in tree)) {
        violation(at, "\"" inc "\" is no file of the tree (name the room: \"base/rn_io.h\"; no ..)")
        return
    }
    if (index(may[room], " " room_of(target) " ") == 0)
        violation(at, room " may not include " inc " (of " room_of(target) ")")
    from = folder_of(file)
    to = folder_of(target)
    if (from != "" && to != "" && from != to && room_of_folder(from) == room_of_folder(to) &&
        index(knows[from], " " substr(to, index(to, "/") + 1) " ") == 0)
        violation(at, from " may not include " inc)
}
function angled(file, at, inc, i) {
    for (i = 1; i <= nrules; i++)
        if (inc ~ rule_header[i] && file !~ rule_files[i])
            violation(at, "<" inc "> is only for " rule_said[i])
    if (("libcore/" inc) in tree || inc in tree)
        violation(at, "<" inc "> is a file of the tree: include it with quotes")
}
BEGIN {
    may["base"] = " base "
    may["data"] = " data base "
    may["op"] = " op base "
    may["nn"] = " nn op base "
    may["run"] = " run nn op data base "
    may["kernels"] = " kernels op base "
    may["bench"] = " bench kernels run nn op data base "
    may["tools"] = " tools kernels run nn op data base "
    may["tests"] = " tests bench kernels run nn op data base "
    knows["data/meta"] = " archive "
    knows["data/extract"] = " archive meta "
    knows["data/pack"] = " archive image meta store "
    knows["data/load"] = " image store "
    knows["data/verify"] = " archive image meta store extract pack "
    knows["data/make"] = " archive image meta "
    knows["nn/graph"] = " model optim "
    knows["nn/model"] = " graph caffe "
    knows["nn/caffe"] = " graph "
    knows["nn/optim"] = " graph "
    knows["run/save"] = " log "
    knows["run/train"] = " recipe save log "
    knows["run/report"] = " log "
    knows["run/use"] = " recipe save log train "
    knows["run/lrfind"] = " recipe save log train report "
    restrict("dnnl.*", "kernels/onednn/", "kernels/onednn")
    restrict("cuda.*", "kernels/(cuda|cudnn)/", "kernels/cuda and kernels/cudnn")
    restrict("cudnn.*", "kernels/cudnn/", "kernels/cudnn")
    restrict("nccl.*", "kernels/cuda/cuda_nccl|tests/cuda/", "kernels/cuda/cuda_nccl.cu")
    restrict("cublas.*", "kernels/cuda/cuda_blas|tests/cuda/", "kernels/cuda/cuda_blas.cu")
    restrict("mpi\\.h", "kernels/mpi/", "kernels/mpi")
    restrict("omp\\.h", "kernels/|bench/|tests/", "kernels, bench and tests")
    restrict("(jpeglib|png|lmdb|matio|archive|archive_entry|zlib)\\.h", "libcore/data/|libcore/base/rn_version|bench/peers/|tests/",
             "libcore/data (and the version page, and what is measured by itself)")
    restrict("openssl/.*", "libcore/base/|tests/", "libcore/base")
    restrict("cmocka\\.h", "tests/", "tests")
}
{ # the list of files
    tree[$0] = 1
    list[++nfiles] = $0
    name = $0
    sub(/.*\//, "", name)
    if (name in first)
        violation($0, "the file name stands already at " first[name])
    else
        first[name] = $0
}
END {
    include = "^[ \t]*#[ \t]*include[ \t]*[<\"][^>\"]+[>\"]"
    for (f = 1; f <= nfiles; f++) {
        file = list[f]
        room = room_of(file)
        if (!(room in may)) {
            violation(file, "is in no room")
            continue
        }
        for (n = 1; (getline line < file) > 0; n++) {
            if (!match(line, include))
                continue
            seen++
            inc = substr(line, RSTART, RLENGTH)
            kind = inc ~ /</ ? "<" : "\""
            sub(/^[^<"]*[<"]/, "", inc)
            sub(/[>"]$/, "", inc)
            if (kind == "<")
                angled(file, file ":" n, inc)
            else
                quoted(file, file ":" n, inc, room)
        }
        close(file)
    }
    if (bad) {
        print bad " violations" > "/dev/stderr"
        exit 1
    }
    if (!seen) {
        print "no #include found" > "/dev/stderr"
        exit 3
    }
}'
