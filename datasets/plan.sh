# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# Sourced by pipeline.sh for PLAN=1: what `make reproduce` or `make study` would read, write and take, before anything starts. Rates are
# measured here and now: hashing and packing on a sample of the raw data, training steps on made-up images.

seconds() { date +%s.%N; }
minus() { awk -v a="$1" -v b="$2" 'BEGIN{d = a - b; printf "%.4f", (d > 0.0001 ? d : 0.0001)}'; }
bytes_of() { du -scbL "$@" 2>/dev/null | tail -n 1 | cut -f 1; }

# members COMMAND...: unpacks the first 300 members or 64 MB of the tar that COMMAND writes, below $dir. What the end of a cut stream makes
# tar complain about is no news.
members() {
    local z=""
    [ "$("$@" 2>/dev/null | head -c 2 | od -An -tx1)" != " 1f 8b" ] || z=-z
    { "$@" | head -c 64M | tar $z -t | grep -v '/$' | head -n 301 >"$tmp/names"; } 2>/dev/null || true
    { "$@" | head -c 64M | tar $z -xC "$dir" --occurrence=1 -T "$tmp/names"; } 2>/dev/null || true
}

# sample_of SPLIT FORM SOURCE: some images of the split below $tmp/SPLIT.sample, as class folders; prints how many
sample_of() {
    local split=$1 form=$2 from=$3 dir=$tmp/$1 tar=$raw/ILSVRC2012_img_$1.tar first
    mkdir -p "$dir"
    case $form-$split in
    ilsvrc-train)
        for first in $(tar -tf "$tar" 2>/dev/null | head -n 100); do # a class may have few images
            members tar -xOf "$tar" --occurrence=1 "$first"
            [ "$(find "$dir" -type f | head -n 50 | wc -l)" -lt 50 ] || break
        done
        ;;
    ilsvrc-val) members cat "$tar" ;;
    archive-*) members cat "$from" ;;
    tree-*) find "$from" -type f | head -n 301 | xargs -d '\n' cp -t "$dir" 2>/dev/null || true ;;
    lists-*) find -L "$raw" -type f -iname '*.jp*g' | head -n 301 | xargs -d '\n' cp -t "$dir" 2>/dev/null || true ;;
    esac
    # the last file of a cut stream is not whole
    find "$tmp/$split" -type f \( -iname '*.jp*g' -o -iname '*.png' \) | LC_ALL=C sort | sed '$d' | head -n 300 >"$tmp/$split.files"
    rm -rf "$tmp/$split.sample"
    mkdir -p "$tmp/$split.sample/c0" "$tmp/$split.sample/c1"
    local i=0 file
    while read -r file; do
        i=$((i + 1))
        ln "$file" "$tmp/$split.sample/c$((i % 2))/$i.jpg"
    done <"$tmp/$split.files"
    echo "$i"
}

# counts SPLIT BYTES MEAN: images of a split. Files that lie open are counted, and the members of archives that are read in a moment. Of large
# archives the dataset's settings know the number, unless the bytes say that these hold only a part of them.
counts() {
    local said from=${train_source[0]} small=$((1 << 28))
    [ "$1" = train ] || from=${val_source[0]}
    said=$(setting "$conf" "$1-images")
    case $form in
    tree) find -L "$from" -type f \( -iname '*.jp*g' -o -iname '*.png' \) | wc -l ;;
    lists) find -L "$raw" -type f -iname '*.jp*g' | awk -v s="$1" 'END{print s == "val" ? int(NR / 10) : NR - int(NR / 10)}' ;;
    ilsvrc)
        from=$raw/ILSVRC2012_img_$1.tar
        if [ "$(bytes_of "$from")" -gt $small ]; then
            # a member of a tar has a head of 512 bytes and ends at a multiple of 512
            awk -v b="$2" -v m="$3" -v s="${said:-0}" 'BEGIN{n = m > 0 ? b / (m + 768) : s; printf "%d", (s > 0 && n > 0.8 * s ? s : n)}'
        elif [ "$1" = train ]; then
            tar -xf "$from" --to-command='tar -t' 2>/dev/null | wc -l
        else
            tar -tf "$from" 2>/dev/null | wc -l
        fi
        ;;
    archive)
        if [ "$(bytes_of "$from")" -gt $small ] && [ -n "$said" ]; then
            echo "$said"
        else # one archive may hold both splits; CIFAR's files hold records of 3073 bytes
            tar -tvzf "$from" 2>/dev/null | awk -v s="$1" -v both="$([ "${train_source[0]}" = "${val_source[0]}" ] && echo 1)" '
                /\.bin$/ && (/test/ ? "val" : "train") == s {n += $3 / 3073}
                tolower($0) ~ /\.(jpe?g|png)$/ && (!both || index($0, "/" s "/")) {n++}
                END{printf "%d", n}'
        fi
        ;;
    idx) # the head of the labels says it
        zcat -f "$(compgen -G "$raw/$([ "$1" = train ] && echo train || echo t10k)-labels*" | head -n 1)" 2>/dev/null | od -An -j4 -N4 -tu1 |
            awk '{print (($1 * 256 + $2) * 256 + $3) * 256 + $4}'
        ;;
    *) echo "${said:-0}" ;;
    esac
}

# line STAGE READ WRITE SECONDS
line() {
    awk -v s="$1" -v r="$2" -v w="$3" -v t="$4" '
        function size(b) { return b >= 1e9 ? sprintf("%.1f GB", b / 1e9) : b >= 1e5 ? sprintf("%.1f MB", b / 1e6) : b > 0 ? "< 0.1 MB" : "-" }
        function span(t) { return t >= 172800 ? sprintf("%.1f days", t / 86400) : t >= 7200 ? sprintf("%.1f h", t / 3600) : t >= 120 ? sprintf("%.0f min", t / 60) : sprintf("%.0f s", t) }
        BEGIN{printf "  %-34s %12s %12s %12s\n", s, size(r), size(w), t == "" ? "" : span(t)}'
}

# few SPLIT FROM: a small source of the same form for what holds no files, into the array `some`, and how many images of the split it has
# into `sample`: some of CIFAR's records in an archive, archives of some of idx files' images.
few() {
    local split=$1 from=$2 dir=$tmp/few part file
    mkdir -p "$dir"
    sample=0
    case $form in
    archive)
        part=$(tar -tzf "$from" 2>/dev/null | grep '\.bin$' | head -n 1) || true
        [ -n "$part" ] || return 0
        rm -rf "${dir:?}"/*
        mkdir -p "$dir/$(dirname "$part")"
        tar -xzOf "$from" "$part" 2>/dev/null | head -c $((3073 * 300)) >"$dir/one"
        for file in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
            cp "$dir/one" "$dir/$(dirname "$part")/$file.bin"
        done
        (cd "$dir" && tar -xzf "$from" --wildcards '*.meta.txt' 2>/dev/null && tar -czf "$(basename "$from")" "$(dirname "$part")") || return 0
        some=("$dir/$(basename "$from")" "${@:3}")
        sample=$([ "$split" = train ] && echo 1500 || echo 300)
        ;;
    idx)
        mkilsvrc --idx "$raw" --classes "$set/classes.txt" --limit-train 30 --limit-val 30 "$dir" --quiet --progress never >/dev/null || return 0
        some=("$dir" --split "$split")
        sample=300
        ;;
    esac
}

# pack_line SPLIT: measured on the sample; adds to `written` and `total`
pack_line() {
    local split=$1 from bytes n sample mean t0 t1 took out
    local -n opts=$2
    from=$([ "$split" = train ] && echo "${train_source[0]}" || echo "${val_source[0]}")
    case $form in
    ilsvrc) bytes=$(bytes_of "$raw/ILSVRC2012_img_$split.tar") ;;
    lists) bytes=$(awk -v b="$(bytes_of "$raw")" -v s="$split" 'BEGIN{printf "%d", b * (s == "train" ? 0.9 : 0.1)}') ;;
    idx) bytes=$(awk -v m="$made" -v n="$(counts "$split" 0 0)" -v a="$n_idx" 'BEGIN{printf "%.0f", m * n / a}') ;;
    *) bytes=$(bytes_of "$from") ;;
    esac
    local -n whole=${split}_source
    local some=("$tmp/$split.sample")
    sample=$(sample_of "$split" "$form" "$from")
    [ "$sample" -ge 4 ] || few "$split" "$from" "${whole[@]:1}"
    if [ "$sample" -lt 4 ]; then
        line "pack $split" "$bytes" "$bytes" ""
        unmeasured="$unmeasured pack-$split"
        written=$(awk -v a="$written" -v b="$bytes" 'BEGIN{print a + b}')
        eval "${split}_bytes=$bytes"
        eval "n_$split=$(counts "$split" "$bytes" 0)"
        return 0
    fi
    mean=0
    [ ! -s "$tmp/$split.files" ] || mean=$(awk -v b="$(du -cbL --files0-from=<(tr '\n' '\0' <"$tmp/$split.files") | tail -n 1 | cut -f 1)" -v n="$sample" 'BEGIN{print b / n}')
    n=$(counts "$split" "$bytes" "$mean") || true # a reader that has seen enough ends its pipe with an error
    t0=$(seconds)
    pack-lmdb "${some[@]}" "$tmp/$split.lmdb" "${opts[@]}" --on-bad skip --json --quiet --progress never >"$tmp/pack.json"
    t1=$(seconds)
    took=$(minus "$t1" "$t0")
    sample=$(json records "$tmp/pack.json")
    out=$(awk -v b="$(bytes_of "$tmp/$split.lmdb/data.mdb")" -v s="$sample" -v n="$n" 'BEGIN{printf "%.0f", b / s * n}')
    took=$(awk -v t="$took" -v s="$sample" -v n="$n" 'BEGIN{print t / s * n}')
    line "pack $split ($n images)" "$bytes" "$out" "$took"
    written=$(awk -v a="$written" -v b="$out" 'BEGIN{print a + b}')
    eval "${split}_bytes=$out"
    total=$(awk -v a="$total" -v b="$took" 'BEGIN{print a + b}')
    eval "n_$split=$n"
}

verify_line() {
    local bytes file rate t0 t1 some n few
    case $form in
    tree)
        bytes=$(bytes_of "${train_source[0]}" "${val_source[0]}")
        n=$(sample_of train tree "${train_source[0]}")
        t0=$(seconds)
        ilsvrc-verify --tree "$tmp/train.sample" --manifest none --quiet --progress never >/dev/null 2>&1 || true
        t1=$(seconds)
        rate=$(awk -v t="$(minus "$t1" "$t0")" -v n="$n" -v a="$(counts train 0 0)" -v b="$(counts val 0 0)" 'BEGIN{print n ? t / n * (a + b) : 0}')
        line "verify" "$bytes" 0 "$rate"
        total=$(awk -v a="$total" -v b="$rate" 'BEGIN{print a + b}')
        return 0
        ;;
    lists)
        line "write the lists of the split" 0 "$(find -L "$raw" -type f -iname '*.jp*g' -printf '%P label\n' | wc -c)" 0
        return 0
        ;;
    idx)
        bytes=$(bytes_of "$raw")
        few train "$raw"
        t0=$(seconds)
        mkilsvrc --idx "$raw" --classes "$set/classes.txt" --limit-train 60 --limit-val 60 "$tmp/more" --quiet --progress never >/dev/null || true
        t1=$(seconds)
        n=$(($(counts train 0 0) + $(counts val 0 0)))
        few=$((n < 1200 ? n : 1200))
        rate=$(awk -v t="$(minus "$t1" "$t0")" -v n="$n" -v k=$few 'BEGIN{print t / k * n}')
        some=$(awk -v b="$(bytes_of "$tmp/more")" -v n="$n" -v k=$few 'BEGIN{printf "%.0f", b / k * n}')
        line "make archives ($n images)" "$bytes" "$some" "$rate"
        made=$some n_idx=$n
        written=$(awk -v a="$written" -v b="$some" 'BEGIN{print a + b}')
        t0=$(seconds)
        cat "$tmp"/more/* | md5sum >/dev/null
        t1=$(seconds)
        line "verify" "$some" 0 "$(awk -v t="$(minus "$t1" "$t0")" -v n="$n" -v k=$few 'BEGIN{print t / k * n}')"
        total=$(awk -v a="$total" -v b="$rate" 'BEGIN{print a + b}')
        return 0
        ;;
    ilsvrc) file=$raw/ILSVRC2012_img_train.tar bytes=$(bytes_of "$raw"/ILSVRC2012_*) ;;
    archive) file=${train_source[0]} bytes=$(bytes_of "${archives[@]}") ;;
    *) return 0 ;;
    esac
    head -c 268435456 "$file" >/dev/null # what the disk gives is in the time of the first reader
    some=$(head -c 268435456 "$file" | wc -c)
    t0=$(seconds)
    head -c 268435456 "$file" | md5sum >/dev/null
    t1=$(seconds)
    rate=$(minus "$t1" "$t0")
    rate=$(awk -v t="$rate" -v s="$some" -v b="$bytes" 'BEGIN{print t / s * b}')
    line "verify" "$bytes" 0 "$rate"
    total=$(awk -v a="$total" -v b="$rate" 'BEGIN{print a + b}')
}

train_line() {
    local speed weights epochs steps what batch each every ckpt classes took once
    classes=$(setting "$conf" classes)
    [ -n "$classes" ] || classes=$(find "${train_source[0]}" -mindepth 1 -maxdepth 1 -type d | wc -l)
    epochs=$(setting "$recipe" epochs)
    steps=$(setting "$recipe" max-steps)
    what="${epochs:-90} epochs"
    batch=$(setting "$recipe" batch)
    # an image of a batch of 32 takes about as long as one of 256, which may take half a minute
    speed=$(rn-bench train --quiet --recipe "$recipe" --batch $((${batch:-256} < 32 ? batch : 32)) --classes "$classes" --seconds "${PLAN_SECONDS:-10}" --json)
    echo "$speed" >"$tmp/speed.json"
    each=$(setting "$recipe" accumulate)
    [ "${steps:-0}" = 0 ] || {
        what="$steps steps"
        epochs=$(awk -v s="$steps" -v b="${batch:-256}" -v a="${each:-1}" -v n="${n_train:-0}" 'BEGIN{print n > 0 ? s * b * a / n : 0}')
    }
    every=$(setting "$recipe" eval-every)
    weights=$(json weights "$tmp/speed.json")
    # weights and momentum, f32, of the checkpoints kept (two) and the one being written, and the best weights
    ckpt=$(awk -v w="$weights" 'BEGIN{printf "%.0f", 4 * w * (3 * 2 + 1)}')
    [ "${n_train:-0}" -gt 0 ] || unmeasured="$unmeasured train"
    took=$(awk -v n="${n_train:-0}" -v v="${n_val:-0}" -v e="${epochs:-90}" -v k="${every:-1}" -v a="$(json images_per_s "$tmp/speed.json")" \
        -v b="$(json eval_images_per_s "$tmp/speed.json")" -v r="$runs" 'BEGIN{print r * (e * n / a + int(e / k + 0.999) * v / b)}')
    ckpt=$((ckpt * runs))
    [ "$runs" = 1 ] || what="$runs x $what"
    line "train ($what, $(awk -v a="$(json images_per_s "$tmp/speed.json")" 'BEGIN{printf a < 100 ? "%.1f" : "%.0f", a}') img/s)" \
        "$(awk -v t="$train_bytes" -v v="$val_bytes" -v e="${epochs:-90}" -v k="${every:-1}" -v r="$runs" 'BEGIN{print r * (t * e + v * int(e / k + 0.999))}')" "$ckpt" "$took"
    written=$(awk -v a="$written" -v b="$ckpt" 'BEGIN{print a + b}')
    total=$(awk -v a="$total" -v b="$took" 'BEGIN{print a + b}')
    if [ -n "$study" ]; then
        line "compare" 1 500000 1
        return 0
    fi
    once=$(awk -v v="${n_val:-0}" -v b="$(json eval_images_per_s "$tmp/speed.json")" 'BEGIN{print v / b}')
    line "evaluate ($n_val images)" "$val_bytes" 1 "$once"
    line "report" 1 500000 1
    total=$(awk -v a="$total" -v c="$once" 'BEGIN{print a + c + 1}')
}

# tell_plan [STUDY RUNS]
tell_plan() {
    local study=${1:-} runs=${2:-1}
    local tmp written=0 total=0 unmeasured="" n_train="" n_val="" train_bytes=0 val_bytes=0 made=0 n_idx=1 room there=$OUT
    tmp=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$tmp'" EXIT
    echo "plan of: make $([ -n "$study" ] && echo "study STUDY=$study" || echo reproduce) DATASET=$name RAW=$raw OUT=$OUT"
    echo "recipe $recipe; nothing is done now but measuring on samples"
    echo "sets packed with ${train_opts[*]}; for evaluation with ${val_opts[*]}"
    printf '  %-34s %12s %12s %12s\n' stage reads writes time
    verify_line
    pack_line train train_opts
    pack_line val val_opts
    train_line
    while [ ! -d "$there" ]; do there=$(dirname "$there"); done
    room=$(df --output=avail -B1 "$there" | tail -n 1)
    line "all stages" 0 "$written" "$total"
    [ -z "$unmeasured" ] || echo "  not measured for want of a sample:$unmeasured"
    awk -v w="$written" -v r="$room" -v d="$there" 'BEGIN{
        printf "room: %.1f GB are free at %s, %.1f GB will be written%s\n", r / 1e9, d, w / 1e9, (r > 1.05 * w ? "" : ": NOT ENOUGH")
        exit !(r > 1.05 * w)}'
}
