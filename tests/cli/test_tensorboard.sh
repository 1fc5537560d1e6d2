#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The event file: framing and checksums by hand, and, where Python has it, read back by TensorBoard's own reader: the numbers
# of the log.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

mkilsvrc --synthetic 6 --train-per-class 8 --val 20 --size 32x24 --seed 1 raw --quiet >&2 &&
    pack-lmdb raw --split train --shuffle 1 train.lmdb --quiet >&2 && pack-lmdb raw --split val val.lmdb --quiet >&2 || exit 1
run=(rn-train --arch resnet18 --stem cifar --width 0.125 --image-size 16 --val-resize 16 --threads 1 --workers 1 --batch 8 --epochs 3 --lr 0.02 --log-steps 2
    --train-db train.lmdb --val-db val.lmdb --out run)
exits "trains a part" 1 "${run[@]}" --stop-after-steps 9
exits "and to the end" 0 "${run[@]}"
events=run/events.out.tfevents.rnkit

# Records by their lengths: as many as the log has lines, one for the file's version in place of the run's.
size=$(stat -c %s $events) at=0 records=0
while [ $at -lt "$size" ]; do
    n=$(od -An -tu8 -j $at -N 8 $events | tr -d ' ')
    at=$((at + 16 + n)) records=$((records + 1))
done
check "records follow each other to the end" [ $at = "$size" ]
check "one for each line of the log" [ $records = "$(wc -l <run/log.jsonl)" ]
for tag in train/loss train/top1 train/top5 train/lr train/grad_norm speed/images_per_s speed/data_wait_pct val/loss val/top1 val/top5 val/se_top1; do
    check "has $tag" grep -qaF "$tag" $events
done

python=
for p in "${RNKIT_PYTHON:-}" python3 python; do
    [ -n "$p" ] && "$p" -c 'from tensorboard.backend.event_processing import event_file_loader' 2>/dev/null && python=$p && break
done
if [ -z "$python" ]; then
    skip "read back by TensorBoard" "no Python with tensorboard (RNKIT_PYTHON names one)"
    finish
fi
cat >read.py <<'PY'
import json
from tensorboard.backend.event_processing import event_accumulator
acc = event_accumulator.EventAccumulator("run", size_guidance={event_accumulator.SCALARS: 0})
acc.Reload()
log = [json.loads(l) for l in open("run/log.jsonl")]
want = {}
for o in log:
    if o["type"] == "window":
        for tag, key in (("train/loss", "loss"), ("train/top1", "top1"), ("train/lr", "lr"), ("train/grad_norm", "grad_norm"),
                         ("speed/images_per_s", "images_per_s"), ("speed/data_wait_pct", "data_wait_pct")):
            want.setdefault(tag, []).append((o["step"], o[key]))
    elif o["type"] == "epoch":
        for tag, key in (("val/loss", "loss"), ("val/top1", "top1"), ("val/top5", "top5"), ("val/se_top1", "se_top1")):
            want.setdefault(tag, []).append((o["step"], o[key]))
assert len(want) == 10 and all(len(v) >= 3 for v in want.values()), want
tags = acc.Tags()["scalars"]
assert set(tags) == set(want) | {"train/top5"}, tags
for tag, points in want.items():
    got = [(e.step, e.value) for e in acc.Scalars(tag)]
    assert [s for s, _ in got] == [s for s, _ in points], (tag, got, points)
    for (_, g), (_, w) in zip(got, points):
        assert abs(g - w) <= 1e-6 * max(1, abs(w)), (tag, g, w)
assert all(t.value >= o.value for t, o in zip(acc.Scalars("train/top5"), acc.Scalars("train/top1")))
PY
check "read back by TensorBoard: the log's numbers at the log's steps" "$python" read.py
finish
