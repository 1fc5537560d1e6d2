# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# Sourced by pipeline.sh for PLAN=1: what `make reproduce` would read, write and take, before anything starts. Rates are
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
        first=$(tar -tf "$tar" 2>/dev/null | head -n 1) || true
        members tar -xOf "$tar" --occurrence=1 "$first"
        ;;
    ilsvrc-val) members cat "$tar" ;;
    archive-*) members cat "$from" ;;
    tree-*) find "$from" -type f | head -n 301 | xargs -d '\n' cp -t "$dir" 2>/dev/null || true ;;
    lists-*) find "$raw" -type f -iname '*.jp*g' | head -n 301 | xargs -d '\n' cp -t "$dir" 2>/dev/null || true ;;
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

# counts SPLIT BYTES MEAN: images of a split: what the dataset's settings say, else the raw bytes by the sample's mean size
counts() {
    local said
    said=$(setting "$conf" "$1-images")
    [ -n "$said" ] || said=$(awk -v b="$2" -v m="$3" 'BEGIN{printf "%d", (m > 0 ? b / m : 0)}')
    echo "$said"
}

# line STAGE READ WRITE SECONDS
line() {
    awk -v s="$1" -v r="$2" -v w="$3" -v t="$4" '
        function size(b) { return b >= 1e9 ? sprintf("%.1f GB", b / 1e9) : b >= 1e5 ? sprintf("%.1f MB", b / 1e6) : b > 0 ? "< 0.1 MB" : "-" }
        function span(t) { return t >= 172800 ? sprintf("%.1f days", t / 86400) : t >= 7200 ? sprintf("%.1f h", t / 3600) : t >= 120 ? sprintf("%.0f min", t / 60) : sprintf("%.0f s", t) }
        BEGIN{printf "  %-34s %12s %12s %12s\n", s, size(r), size(w), t == "" ? "" : span(t)}'
}

# pack_line SPLIT: measured on the sample; adds to `written` and `total`
pack_line() {
    local split=$1 from bytes n sample mean t0 t1 took out
    local -n opts=$2
    from=$([ "$split" = train ] && echo "${train_source[0]}" || echo "${val_source[0]}")
    case $form in
    ilsvrc) bytes=$(bytes_of "$raw/ILSVRC2012_img_$split.tar") ;;
    lists) bytes=$(awk -v b="$(bytes_of "$raw")" -v s="$split" 'BEGIN{printf "%d", b * (s == "train" ? 0.9 : 0.1)}') ;;
    idx) bytes=$(bytes_of "$raw") ;;
    *) bytes=$(bytes_of "$from") ;;
    esac
    sample=$(sample_of "$split" "$form" "$from")
    if [ "$sample" -lt 4 ]; then
        line "pack $split" "$bytes" "$bytes" ""
        unmeasured="$unmeasured pack-$split"
        written=$(awk -v a="$written" -v b="$bytes" 'BEGIN{print a + b}')
        eval "n_$split=$(counts "$split" "$bytes" 0)"
        return 0
    fi
    mean=$(awk -v b="$(du -cbL --files0-from=<(tr '\n' '\0' <"$tmp/$split.files") | tail -n 1 | cut -f 1)" -v n="$sample" 'BEGIN{print b / n}')
    n=$(counts "$split" "$bytes" "$mean")
    t0=$(seconds)
    pack-lmdb "$tmp/$split.sample" "$tmp/$split.lmdb" "${opts[@]}" --on-bad skip --quiet --progress never >/dev/null
    t1=$(seconds)
    took=$(minus "$t1" "$t0")
    out=$(awk -v b="$(bytes_of "$tmp/$split.lmdb/data.mdb")" -v s="$sample" -v n="$n" 'BEGIN{printf "%.0f", b / s * n}')
    took=$(awk -v t="$took" -v s="$sample" -v n="$n" 'BEGIN{print t / s * n}')
    line "pack $split ($n images)" "$bytes" "$out" "$took"
    written=$(awk -v a="$written" -v b="$out" 'BEGIN{print a + b}')
    total=$(awk -v a="$total" -v b="$took" 'BEGIN{print a + b}')
    eval "n_$split=$n"
}

verify_line() {
    local bytes file rate t0 t1 some
    case $form in
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
    local speed weights epochs every ckpt classes took
    classes=$(setting "$conf" classes)
    [ -n "$classes" ] || classes=$(find "${train_source[0]}" -mindepth 1 -maxdepth 1 -type d | wc -l)
    speed=$(rn-bench train --recipe "$recipe" --classes "$classes" --seconds "${PLAN_SECONDS:-10}" --json)
    echo "$speed" >"$tmp/speed.json"
    epochs=$(setting "$recipe" epochs)
    every=$(setting "$recipe" eval-every)
    weights=$(json weights "$tmp/speed.json")
    # weights and momentum, f32, of the checkpoints kept (two and the best), and two files of weights
    ckpt=$(awk -v w="$weights" 'BEGIN{printf "%.0f", 4 * w * (3 * 2 + 2)}')
    took=$(awk -v n="${n_train:-0}" -v v="${n_val:-0}" -v e="${epochs:-90}" -v k="${every:-1}" -v a="$(json images_per_s "$tmp/speed.json")" \
        -v b="$(json eval_images_per_s "$tmp/speed.json")" 'BEGIN{print e * n / a + int(e / k + 0.999) * v / b}')
    line "train ($epochs epochs, $(json images_per_s "$tmp/speed.json") img/s)" "$(awk -v w="$written" -v e="${epochs:-90}" 'BEGIN{print w * e}')" "$ckpt" "$took"
    written=$(awk -v a="$written" -v b="$ckpt" 'BEGIN{print a + b}')
    total=$(awk -v a="$total" -v b="$took" 'BEGIN{print a + b}')
}

tell_plan() {
    local tmp written=0 total=0 unmeasured="" n_train="" n_val="" room there=$OUT
    tmp=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$tmp'" EXIT
    echo "plan of: make reproduce DATASET=$name RAW=$raw OUT=$OUT"
    echo "recipe $recipe; nothing is done now but measuring on samples"
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
