#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train export: every family's ONNX model passes onnx's checker and gives onnxruntime the logits that predict prints, to 1e-4.
# What stands in the file without Python: tests/unit/test_onnx.c.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

sets() { # NAME SIDE: images of exactly that size, so that they reach the network as they are
    mkilsvrc --synthetic 4 --train-per-class 8 --val 6 --size "$2x$2" --seed 3 "$1.raw" --quiet >&2 &&
        pack-lmdb "$1.raw" --split train --shuffle 1 "$1.train" --quiet >&2 && pack-lmdb "$1.raw" --split val "$1.val" --quiet >&2 &&
        mkdir "$1" && tar xf "$1.raw/ILSVRC2012_img_val.tar" -C "$1"
}
sets small 32 && sets large 67 || exit 1
cat >net.prototxt <<'NET'
name: "joined"
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "large.train" batch_size: 4 backend: LMDB } transform_param { crop_size: 67 scale: 0.0078125 mean_value: 110 } include { phase: TRAIN } }
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "large.val" batch_size: 4 backend: LMDB } transform_param { crop_size: 67 scale: 0.0078125 mean_value: 110 } include { phase: TEST } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 8 kernel_size: 5 stride: 2 weight_filler { type: "msra" } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 0.01 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "a" type: "Convolution" bottom: "pool1" top: "a" convolution_param { num_output: 8 kernel_size: 3 pad: 1 group: 2 weight_filler { type: "xavier" } } }
layer { name: "b" type: "Convolution" bottom: "pool1" top: "b" convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" eltwise_param { operation: SUM coeff: 0.5 coeff: 2 } }
layer { name: "join" type: "Concat" bottom: "sum" bottom: "b" top: "join" }
layer { name: "pool2" type: "Pooling" bottom: "join" top: "pool2" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool2" top: "pool2" }
layer { name: "ip" type: "InnerProduct" bottom: "pool2" top: "ip" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
NET

python=
for p in "${RNKIT_PYTHON:-}" python3; do
    [ -n "$p" ] && "$p" -c 'import onnx, onnxruntime, numpy, PIL' 2>/dev/null && python=$p && break
done
[ -n "$python" ] || skip "the models under onnxruntime" "no Python with onnx, onnxruntime and Pillow (RNKIT_PYTHON names one)"
cat >compare.py <<'PY'
# compare.py PLAIN.onnx RAW.onnx LOGITS.f32 CHANNELS MEAN STD IMAGE...: both models against the logits of predict.
import sys
import numpy as np
import onnx, onnxruntime
from PIL import Image
plain, raw, dump, channels = sys.argv[1:5]
images = sys.argv[5:]
for f in (plain, raw):
    onnx.checker.check_model(onnx.load(f), full_check=True)
px = np.stack([np.asarray(Image.open(f).convert("RGB" if channels == "3" else "L")).reshape(*Image.open(f).size[::-1], -1).transpose(2, 0, 1) for f in images])
s = onnxruntime.InferenceSession(raw)
meta = s.get_modelmeta().custom_metadata_map
mean = np.array([float(v) for v in meta["mean"].split(",")], "f8").reshape(1, -1, 1, 1)
std = np.array([float(v) for v in meta["std"].split(",")], "f8").reshape(1, -1, 1, 1)
want = np.fromfile(dump, "f4").reshape(len(images), -1)
assert np.isfinite(want).all() and want.std() > 0
got = {raw: s.run(None, {"input": px.astype("u1")})[0],
       plain: onnxruntime.InferenceSession(plain).run(None, {"input": ((px / 255 - mean) / std).astype("f4")})[0]}
for f, g in got.items():
    err = np.abs(g - want).max()
    print(f, "differs by", err, "of", np.abs(want).max(), file=sys.stderr)
    assert g.shape == want.shape and err <= 1e-4 * max(1, np.abs(want).max()), f
PY

# family NAME SET TRAINING-OPTIONS...: trains some steps, so that no statistic is 0 or 1, exports, compares
family() {
    local name=$1 set=$2 size channels=3
    shift 2
    size=$([ "$set" = small ] && echo 32 || echo 67)
    case "$*" in *--solver*) ;; *) set -- --image-size "$size" --val-resize 0 --batch 4 --lr 0.001 --train-db "$set.train" --val-db "$set.val" "$@" ;; esac
    case "$*" in *'--channels 1'*) channels=1 ;; esac
    exits "$name: trains" 0 rn-train "$@" --threads 1 --max-steps 3 --out "$name" --quiet
    exits "$name: exports" 0 rn-train export --weights "$name/weights.safetensors" --onnx "$name.onnx" --json
    check "$name: says how large" grep -qE '"bytes":[0-9]+,"parameters":[0-9]+,"classes":4}' out.txt
    exits "$name: exports with the normalisation inside, for 6 images" 0 rn-train export --weights "$name/weights.safetensors" --onnx "$name-raw.onnx" --raw --batch 6
    exits "$name: predicts" 0 rn-train predict --weights "$name/weights.safetensors" --threads 1 --dump-logits "$name.f32" "$set"/*.JPEG
    [ -z "$python" ] || check "$name: onnxruntime agrees" "$python" compare.py "$name.onnx" "$name-raw.onnx" "$name.f32" $channels "$set"/*.JPEG
}
family cifar18 small --arch resnet18 --stem cifar --width 0.25
family gray18 small --arch resnet18 --stem cifar --width 0.125 --channels 1
family resnet34 large --arch resnet34 --width 0.25
family resnet50 large --arch resnet50 --width 0.25
family resnet50d large --arch resnet50 --variant d --width 0.25
family se18 large --arch resnet18 --se 16 --width 0.5
family caffenet large --arch caffenet --dropout 0.5
printf 'net: "net.prototxt"\nbase_lr: 0.01\nlr_policy: "fixed"\nmax_iter: 3\nsolver_mode: CPU\n' >solver.prototxt
family joined large --solver solver.prototxt

# ---- what can go wrong -----------------------------------------------------------------------------------------
w=cifar18/weights.safetensors
exits "the same once more" 0 rn-train export --weights $w --onnx again.onnx
check "is the same file" cmp again.onnx cifar18.onnx
exits "no --onnx" 2 rn-train export --weights $w
exits "no weights" 2 rn-train export --onnx x.onnx
exits "a batch that is none" 2 rn-train export --weights $w --onnx x.onnx --batch many
says "says so" "neither dynamic nor a number"
exits "weights that are none" 1 rn-train export --weights net.prototxt --onnx x.onnx
exits "another architecture" 1 rn-train export --weights $w --onnx x.onnx --arch resnet34
says "names a tensor" "layer"
exits "a folder that is not there" 1 rn-train export --weights $w --onnx none/x.onnx
check "none of them left a file" [ ! -e x.onnx ]
finish
