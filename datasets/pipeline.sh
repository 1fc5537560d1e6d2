#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# pipeline.sh demo OUT                       archives of Fashion-MNIST made, verified, extracted, packed, trained on, reported
# pipeline.sh reproduce DATASET RAW OUT      verify -> pack straight from the archives -> train -> evaluate -> report
# pipeline.sh study NAME DATASET RAW OUT     verify -> pack -> one training for each line of studies/NAME.study -> one page of them all
# pipeline.sh plan DATASET RAW OUT           reproduce told and not done: bytes, room and time of every stage
# pipeline.sh plan-study NAME DATASET RAW OUT   study told and not done
#
# Every stage can be killed and goes on where it was; a stage that is whole is not done again. The tools do most of
# that themselves; this script only remembers, by a stamp of names, sizes and times, which archives were verified.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
BIN=${RNKIT_BIN:-$here/../bin}
export PATH=$BIN:$PATH

die() { echo "pipeline: $*" >&2; exit 2; }

# stage NAME COMMAND...: runs one stage, its duration into $OUT/stages.tsv (what a killed try took is not counted).
# Inside a stage set -e does not hold, since its status is asked for: hence the `|| return`s below.
stage_n=0
stage() {
    local name=$1 t0 t1 rc=0
    shift
    stage_n=$((stage_n + 1))
    printf '\n[%d/%d] %s\n' "$stage_n" "$stages" "$name" >&2
    t0=$(date +%s.%N)
    "$@" || rc=$?
    t1=$(date +%s.%N)
    if [ $rc != 0 ]; then
        echo "pipeline: '$name' ended with status $rc; the same command goes on from here" >&2
        exit $rc
    fi
    awk -v n="$name" -v a="$t0" -v b="$t1" 'BEGIN{printf "%s\t%.1f\n", n, b-a}' >>"$OUT/stages.tsv"
}

# publish FILE COMMAND...: stdout of a successful command becomes FILE, whole or not at all
publish() {
    local file=$1
    shift
    "$@" >"$file.tmp" && mv "$file.tmp" "$file"
}

stamp_of() { (cd "$1" && find . -maxdepth 1 -type f -printf '%f %s %T@\n' | LC_ALL=C sort); }

# What is verified depends on what the raw data are: ilsvrc-verify's operands and options, one a line, in `checks`.
verify() {
    local raw=$1 stamp rc=0
    shift
    stamp=$(stamp_of "$raw"; printf '%s\n' "$@")
    if [ -s "$OUT/verify.json" ] && [ "$stamp" = "$(cat "$OUT/verify.stamp" 2>/dev/null)" ]; then
        echo "already verified: $raw" >&2
        return 0
    fi
    publish "$OUT/verify.json" ilsvrc-verify "$@" --json || rc=$?
    if [ $rc = 3 ]; then # nobody knows a digest of these: what they are goes into the seal all the same
        echo "pipeline: nothing is known to hold $raw against; taken as it is" >&2
        mv "$OUT/verify.json.tmp" "$OUT/verify.json"
        rc=0
    fi
    [ $rc = 0 ] || return $rc
    printf '%s\n' "$stamp" >"$OUT/verify.stamp"
}

# source_of SPLIT: what of RAW pack-lmdb reads for this split, into the array `source`, and what sort of thing that is into `form`.
# A dataset's settings name alternatives, "train = ilsvrc | imagenette2*.tgz --split train"; the first that RAW has is taken:
#   ilsvrc            ILSVRC2012's archives                    (what holds without a setting)
#   tree DIR          a folder of class folders
#   lists PROGRAM     PROGRAM of the dataset's folder writes OUT/train.txt and OUT/val.txt over RAW
#   idx               MNIST's files, of which archives are made first
#   PATTERN OPTIONS   one archive
source_of() {
    local split=$1 said alternatives one found
    said=$(setting "$conf" "$split")
    IFS='|' read -r -a alternatives <<<"${said:-ilsvrc}"
    for one in "${alternatives[@]}"; do
        read -r -a source <<<"$one"
        form=${source[0]}
        case $form in
        ilsvrc)
            [ -e "$raw/ILSVRC2012_img_$split.tar" ] || continue
            source=("$raw" --split "$split")
            ;;
        tree)
            [ -d "$raw/${source[1]}" ] || continue
            source=("$raw/${source[1]}")
            ;;
        lists)
            lists=$set/${source[1]}
            source=(--list "$OUT/$split.txt" --root "$raw")
            ;;
        idx)
            [ -n "$(compgen -G "$raw/train-images*")" ] || continue
            source=("$OUT/raw" --split "$split")
            ;;
        *)
            found=$(compgen -G "$raw/$form" | LC_ALL=C sort | head -n 1) || true
            [ -n "$found" ] || continue
            form=archive
            source[0]=$found
            ;;
        esac
        return 0
    done
    die "$raw has no $split data of $name: looked for ${said:-ILSVRC2012_img_$split.tar}"
}

# setting FILE KEY: the value of `KEY = value` in a dataset's settings
setting() { sed -n "s/^$2[[:space:]]*=[[:space:]]*//p" "$1" | tail -n 1; }

# pack_options SPLIT: what the dataset's settings say for this recipe, "pack-train-RECIPE = ...", or for all
pack_options() {
    local said
    said=$(setting "$conf" "pack-$1-$(basename "$recipe" .recipe)")
    echo "${said:-$(setting "$conf" "pack-$1")}"
}

# pack SPLIT SRC OPTIONS...
pack() {
    local split=$1
    shift
    pack-lmdb "$@" "$OUT/$split.lmdb" --json >"$OUT/pack-$split.json.tmp" || return
    # What the run that packed it said is worth more than that it was packed already.
    if [ -s "$OUT/pack-$split.json" ] && grep -q '"already": *true' "$OUT/pack-$split.json.tmp"; then
        rm "$OUT/pack-$split.json.tmp"
        echo "already packed: $OUT/$split.lmdb" >&2
    else
        mv "$OUT/pack-$split.json.tmp" "$OUT/pack-$split.json"
    fi
}

train() { rn-train --recipe "$1" --train-db "$OUT/train.lmdb" --val-db "$OUT/val.lmdb" --out "$OUT/run"; }

evaluate() {
    local weights=$OUT/run/weights.safetensors
    if [ -s "$OUT/eval.json" ] && [ "$OUT/eval.json" -nt "$weights" ]; then
        echo "already evaluated: $OUT/eval.json" >&2
        return 0
    fi
    publish "$OUT/eval.json" rn-train --eval-only --weights "$weights" --val-db "$OUT/val.lmdb" --json
}

bench() {
    if [ -s "$OUT/bench.json" ]; then
        echo "already measured: $OUT/bench.json" >&2
        return 0
    fi
    publish "$OUT/bench.json" rn-bench conv "$@" --json
}

report() {
    local extra=()
    for f in verify pack-train pack-val eval bench; do
        [ -s "$OUT/$f.json" ] && extra+=(--report-extra "$OUT/$f.json")
    done
    rn-train --report "$OUT/run" "${extra[@]}" || return
    cp "$OUT/run/report.html" "$OUT/report.html.tmp" && mv "$OUT/report.html.tmp" "$OUT/report.html"
}

# json KEY FILE: one number of a flat JSON object
json() { tr ',{}' '\n' <"$2" | sed -n "s/^[[:space:]]*\"$1\"[[:space:]]*:[[:space:]]*//p" | head -n 1; }

screen() {
    local title=$1 rule='----------------------------------------------------------------------'
    echo "$rule"
    echo "$title"
    awk -F'\t' '{t[$1] += $2; if (!($1 in seen)) {seen[$1] = 1; o[++n] = $1}; all += $2}
        END {for (i = 1; i <= n; i++) printf "  %-52s %8.1f s\n", o[i], t[o[i]]; printf "  %-52s %8.1f s\n", "all stages", all}' \
        "$OUT/stages.tsv"
    printf 'accuracy  top-1 %.2f %% +- %.2f, top-5 %.2f %%, on all %d validation images\n' \
        "$(json top1 "$OUT/eval.json")" "$(json se_top1 "$OUT/eval.json")" "$(json top5 "$OUT/eval.json")" "$(json n "$OUT/eval.json")"
    echo "report    $OUT/report.html"
    echo "$rule"
}

demo() {
    local idx=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}
    [ -d "$idx" ] || die "no Fashion-MNIST at $idx: install Debian's package dataset-fashion-mnist, or set FASHION_MNIST to its idx files"
    stages=9
    stage "make archives in ILSVRC2012's form" mkilsvrc --idx "$idx" --classes "$here/fashion-mnist/classes.txt" "$OUT/raw"
    stage "verify the archives" verify "$OUT/raw" "$OUT/raw"
    stage "extract train and val" ilsvrc-extract "$OUT/raw" "$OUT/tree" --splits train,val --verify
    stage "pack train" pack train "$OUT/tree/train" --shuffle 2012
    stage "pack val" pack val "$OUT/tree/val"
    stage "train" train "$here/fashion-mnist/recipes/demo.recipe"
    stage "evaluate" evaluate
    stage "benchmark convolutions" bench --net resnet18-cifar --mb 16 --rounds 3
    stage "report" report
    screen "rnkit demo: Fashion-MNIST, from archives to a trained ResNet"
}

# Finds out about a dataset: set, conf, recipe, form, train_source, val_source, archives, checks.
look_up() {
    name=$1 raw=$2 set=$here/$1 conf=$here/$1/dataset.conf
    [ -f "$conf" ] || die "unknown DATASET '$name'; there are: $(cd "$here" && echo */dataset.conf | sed 's,/dataset.conf,,g')"
    [ -d "$raw" ] || die "RAW=$raw is not a folder"
    recipe=$set/${RECIPE:-$(setting "$conf" recipe)}
    [ -f "$recipe" ] || recipe=${RECIPE:-}
    [ -f "$recipe" ] || die "no recipe ${RECIPE:-$(setting "$conf" recipe)} in $set"
    read -r -a train_opts <<<"$(pack_options train)"
    read -r -a val_opts <<<"$(pack_options val)"
    source_of val
    val_source=("${source[@]}")
    source_of train
    train_source=("${source[@]}")
    case $form in
    archive)
        archives=("${train_source[0]}")
        [ "${val_source[0]}" = "${train_source[0]}" ] || archives+=("${val_source[0]}")
        checks=("${archives[@]}")
        [ ! -f "$set/MD5SUMS" ] || checks+=(--md5sums "$set/MD5SUMS")
        ;;
    tree) checks=(--tree "$raw" --manifest none) ;;
    idx) checks=("$OUT/raw") ;;
    *) checks=("$raw") ;;
    esac
}

# Everything up to the packed sets.
prepare() {
    case $form in
    idx)
        stages=$((stages + 1))
        stage "make archives in ILSVRC2012's form" mkilsvrc --idx "$raw" --classes "$set/classes.txt" "$OUT/raw"
        ;;
    lists) # what decodes is seen while it is packed
        stage "write the lists of the split" "$lists" "$raw" "$OUT"
        ;;
    esac
    [ "$form" = lists ] || stage "verify the raw data" verify "$raw" "${checks[@]}"
    stage "pack train" pack train "${train_source[@]}" "${train_opts[@]}"
    stage "pack val" pack val "${val_source[@]}" "${val_opts[@]}"
}

reproduce() {
    look_up "$@"
    stages=6
    prepare
    stage "train" train "$recipe"
    stage "evaluate" evaluate
    stage "report" report
    screen "rnkit reproduce: $name"
}

# study_runs FILE: its lines "NAME: OPTIONS" as NAME<TAB>OPTIONS
study_runs() { sed -n 's/^\([^#:=][^:=]*\):[[:space:]]*\(.*\)$/\1\t\2/p' "$1"; }

# A run that diverges is a result, too: the page shows how far it came.
study_one() { # FOLDER OPTIONS...: what it says goes into FOLDER's brother of logs, so that `rn-train compare OUT/NAME/*` takes the runs
    local folder=$1 rc=0 says=$OUT/$study.logs/${1##*/}
    shift
    rn-train --recipe "$recipe" --train-db "$OUT/train.lmdb" --val-db "$OUT/val.lmdb" --out "$folder" "$@" >"$says.txt" 2> >(tee "$says.err" >&2) || rc=$?
    [ $rc = 0 ] || { [ $rc = 1 ] && grep -q 'stopped at step' "$says.err"; }
}

# look_up_study NAME DATASET RAW: look_up for it; its name and file into study and file
look_up_study() {
    study=$1
    shift
    file=$here/$1/studies/$study.study
    [ -f "$file" ] || die "$1 has no study '$study'; there are: $(cd "$here" && echo */studies/*.study)"
    RECIPE=${RECIPE:-$(setting "$file" recipe)} look_up "$@"
}

study() {
    local study file folders=() label options
    look_up_study "$@"
    stages=$((4 + $(study_runs "$file" | wc -l)))
    prepare
    mkdir -p "$OUT/$study" "$OUT/$study.logs"
    while IFS=$'\t' read -r label options; do
        folders+=("$OUT/$study/${label// /-}")
        # shellcheck disable=SC2086
        stage "train: $label" study_one "${folders[-1]}" $options </dev/null
    done < <(study_runs "$file")
    stage "compare" rn-train compare "${folders[@]}" --title "$name: $study" --out "$OUT/$study.html"
    echo "page      $OUT/$study.html"
}

# shellcheck source=datasets/plan.sh
plan() {
    look_up "$@"
    . "$here/plan.sh"
    tell_plan
}

# shellcheck source=datasets/plan.sh
plan_study() {
    local study file
    look_up_study "$@"
    . "$here/plan.sh"
    tell_plan "$study" "$(study_runs "$file" | wc -l)"
}

case ${1:-} in
demo) [ $# = 2 ] || die "usage: pipeline.sh demo OUT" ;;
reproduce | plan) [ $# = 4 ] || die "usage: pipeline.sh $1 DATASET RAW OUT (make reproduce DATASET=name RAW=folder [OUT=folder] [PLAN=1])" ;;
study | plan-study) [ $# = 5 ] || die "usage: pipeline.sh $1 NAME DATASET RAW OUT (make study STUDY=lr-policies DATASET=name RAW=folder [OUT=folder] [PLAN=1])" ;;
*) die "usage: pipeline.sh demo OUT | reproduce DATASET RAW OUT | plan DATASET RAW OUT | study NAME DATASET RAW OUT | plan-study NAME DATASET RAW OUT" ;;
esac
OUT=${!#}
[[ $1 = plan* ]] || mkdir -p "$OUT"
OUT=$(realpath -m "$OUT")
case $1 in
demo) demo ;;
reproduce | plan) $1 "$2" "$(realpath -m "$3")" ;;
study) study "$2" "$3" "$(realpath -m "$4")" ;;
plan-study) plan_study "$2" "$3" "$(realpath -m "$4")" ;;
esac
