# SPDX-License-Identifier: MIT
# What tests of rn-train share, after tap.sh: how two runs are compared, and how one is killed.
# shellcheck shell=bash

# The log without its first line and what was measured.
log_of() { tail -n +2 "$1/log.jsonl" | sed -E 's/"images_per_s":[^,}]*,"data_wait_pct":[^,}]*//'; }
# newest RUN: its newest checkpoint
newest() { find "$1/checkpoints" -mindepth 1 -maxdepth 1 -name 'e*' | LC_ALL=C sort | tail -n 1; }
# meta KEY FILE: a text of a safetensors file's metadata, as it stands in its JSON
meta() { head -c $((8 + $(od -An -t u8 -N 8 "$2"))) "$2" | grep -aoE "\"$1\":\"([^\"\\\\]|\\\\.)*\""; }
# What a checkpoint knows of where the run stands, but for what was measured and the places in files that hold it.
state_of() { meta rnkit.state "$1/state.safetensors" | sed -E 's/\\"([a-z_.]*(seconds|waited|_s|_bytes))\\":[^,}]*//g'; }
# same_run A B: the same weights published, log, and newest checkpoint: weights, average, optimizer, where it stands
same_run() {
    local a b f
    a=$(newest "$1") b=$(newest "$2")
    for f in weights best; do cmp "$1/$f.safetensors" "$2/$f.safetensors" || return 1; done
    diff <(log_of "$1") <(log_of "$2") && [ "$(basename "$a")" = "$(basename "$b")" ] &&
        cmp "$a/weights.safetensors" "$b/weights.safetensors" &&
        cmp <(tensors "$a/state.safetensors") <(tensors "$b/state.safetensors") &&
        [ -n "$(state_of "$a")" ] && diff <(state_of "$a") <(state_of "$b") || return 1
    [ ! -e "$a/ema.safetensors" ] || cmp "$a/ema.safetensors" "$b/ema.safetensors"
}
# kill_at RUN N COMMAND...: SIGKILL for the command when the log of RUN has N windows; succeeds if that ended it
kill_at() {
    local run=$1 n=$2 pid
    shift 2
    "$@" >/dev/null 2>&1 &
    pid=$!
    for _ in $(seq 2000); do
        [ "$(grep -c '"type":"window"' "$run/log.jsonl" 2>/dev/null || true)" -ge "$n" ] 2>/dev/null && break
        kill -0 $pid 2>/dev/null || break
        sleep 0.01
    done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    [ $? = 137 ]
}
