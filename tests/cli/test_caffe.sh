#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train --net --solver: Caffe's prototxt trains, is stopped and gone on with bit for bit, evaluates without its files; what is
# not honoured is an error with its line.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

mkilsvrc --synthetic 3 --train-per-class 24 --val 18 --size 40x40 --seed 4 raw --quiet &&
    pack-lmdb raw --split train --shuffle 1 --resize exact:36x36 train.lmdb --quiet &&
    pack-lmdb raw --split val --resize exact:36x36 val.lmdb --quiet || exit 1

cat >net.prototxt <<'NET'
name: "tiny"  # one of everything that is understood
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mirror: true crop_size: 32 scale: 0.017 mean_value: 104 mean_value: 117 mean_value: 123 }
  data_param { source: "train.lmdb" batch_size: 8 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 32 scale: 0.017 mean_value: 104 mean_value: 117 mean_value: 123 }
  data_param { source: "val.lmdb" batch_size: 4 backend: LMDB } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 8 kernel_size: 3 stride: 2
    weight_filler { type: "msra" } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" batch_norm_param { moving_average_fraction: 0.9 } }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 8 pad: 1 kernel_size: 3 bias_term: false weight_filler { type: "msra" } } }
layer { name: "bn2" type: "BatchNorm" bottom: "conv2" top: "conv2" }
layer { name: "scale2" type: "Scale" bottom: "conv2" top: "conv2" scale_param { bias_term: true } }
layer { name: "sum" type: "Eltwise" bottom: "pool1" bottom: "conv2" top: "sum" eltwise_param { operation: SUM } }
layer { name: "relu2" type: "ReLU" bottom: "sum" top: "sum" }
layer { name: "pool2" type: "Pooling" bottom: "sum" top: "pool2" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool2" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "acc" type: "Accuracy" bottom: "fc" bottom: "label" top: "acc" include { phase: TEST } }
NET
cat >solver.prototxt <<'SOLVER'
net: "net.prototxt"
test_iter: 4
test_interval: 10
base_lr: 0.02
lr_policy: "step"
gamma: 0.5
stepsize: 20
max_iter: 45
momentum: 0.9
weight_decay: 0.0005
iter_size: 2
display: 5
snapshot: 7
snapshot_prefix: "x"
random_seed: 3
solver_mode: CPU
SOLVER
solve() { rn-train --solver solver.prototxt --threads 1 "$@"; }
key() { grep -qxF -- "$1" run/recipe; }
number() { grep -o "\"$1\":[0-9.e-]*" | head -1 | cut -d: -f2; } # number KEY <JSON

# ---- a run ----
exits "a prototxt trains" 0 solve --out run --json
check "... to a smaller loss" awk -v l="$(number loss <out.txt)" 'BEGIN { exit !(l < 0.5) }'
check "... in max_iter steps" grep -q '"steps":45' out.txt
says "... and what test_iter would have looked at is told" "test_iter 4 x batch_size 4 would be 16 images; what is told here is of all 18 of val.lmdb"
check "the net is in the run's folder" cmp net.prototxt run/net.prototxt
for line in "arch = prototxt" "batch = 8" "eval-batch = 4" "image-size = 32" "channels = 3" "crop = window" "val-resize = 0" \
    "no-flip = false" "lr = 0.02" "schedule = step" "schedule-unit = steps" "step-size = 20" "gamma = 0.5" "max-steps = 45" \
    "epoch-steps = 10" "accumulate = 2" "momentum = 0.9" "momentum-kind = caffe" "weight-decay = 0.0005" "seed = 3" \
    "mean = 0.4823529411764706,0.45882352941176469,0.40784313725490196"; do # blue, green, red turned round
    check "the recipe says $line" key "$line"
done
check "an evaluation every test_interval" sh -c '[ "$(grep -c "\"type\":\"epoch\"" run/log.jsonl)" = 5 ]'
check "a window every display" sh -c '[ "$(grep -c "\"type\":\"window\"" run/log.jsonl)" = 9 ]'
check "the rate falls at step 20" sh -c 'grep "\"type\":\"window\"" run/log.jsonl | grep "\"step\":25," | grep -q "\"lr\":0.01[,}]"'

exits "weights evaluate without the prototxt" 0 rn-train --threads 1 --eval-batch 4 --eval-only --weights run/weights.safetensors --val-db val.lmdb --json
check "... to the same loss" sh -c '[ "$(grep -o "\"loss\":[0-9.e-]*" out.txt)" = "$(grep -o "\"loss\": *[0-9.e-]*" run/result.json | tr -d " ")" ]'

# ---- stopped and gone on with ----
exits "stopped in the middle" 1 solve --out parts --stop-after-steps 13
exits "... stopped again" 1 solve --out parts --stop-after-steps 31
exits "... and gone on with" 0 solve --out parts
check "... to the same weights" cmp run/weights.safetensors parts/weights.safetensors
check "... and the same log but for times" sh -c 'for d in run parts; do grep -v "\"type\":\"run\"" $d/log.jsonl | sed "s/\"images_per_s\":[^,}]*//; s/\"data_wait_pct\":[^,}]*//" >$d.log; done; cmp run.log parts.log'

# ---- another net is another run ----
sed 's/moving_average_fraction: 0.9/moving_average_fraction: 0.75/; s/name: "tiny"/name: "other"/' net.prototxt >other.prototxt
exits "going on with another net is refused" 1 solve --out run --net other.prototxt
says "... naming what differs" "('bn1' batch_norm_param.moving_average_fraction: 0.9 -> 'bn1' batch_norm_param.moving_average_fraction: 0.75)"
sed 's/name: "tiny".*/name: "renamed"\n\n# a comment/; s/ *top: "conv1"$/ top: "conv1"\n/; s/source: "train.lmdb"/source: "elsewhere"/' net.prototxt >same.prototxt
exits "the same net in other words goes on" 0 solve --out run --net same.prototxt --train-db train.lmdb
check "... where nothing is left to do" grep -q "already finished" out.txt
sed 's/base_lr: 0.02/base_lr: 0.03/' solver.prototxt >faster.prototxt
exits "another rate is refused, too" 1 rn-train --solver faster.prototxt --threads 1 --out run
says "... and named" "lr 0.02 -> 0.03"

# ---- what wins over what ----
exits "the command line wins over both" 0 solve --out over --batch 6 --lr 0.01 --max-steps 4 --epoch-steps 4 --val-db val.lmdb
check "... in the recipe" sh -c 'grep -qx "batch = 6" over/recipe && grep -qx "lr = 0.01" over/recipe && grep -qx "max-steps = 4" over/recipe'
exits "a prototxt trains under a recipe of ours" 0 rn-train --net net.prototxt --epochs 2 --lr 0.05 --schedule cosine --threads 1 --out ours
check "... by epochs of the set" grep -q '^epoch 2/2' out.txt
exits "--net and another --arch are misuse" 2 rn-train --net net.prototxt --arch resnet18 --out no
says "... and said to be" "--net net.prototxt describes the model, and --arch resnet18 another"
exits "--width with --net is misuse" 2 rn-train --net net.prototxt --width 0.5 --out no
exits "--arch prototxt without a net is misuse" 2 rn-train --arch prototxt --train-db train.lmdb --val-db val.lmdb --out no
exits "a solver without a net is misuse" 2 rn-train --solver <(grep -v ^net solver.prototxt) --out no
says "... with the remedy" "names no net: give --net FILE"

# ---- old forms, data without crop, mean files ----
sed 's/layer {/layers {/; s/"Data"/DATA/; s/"Convolution"/CONVOLUTION/; s/"ReLU"/RELU/; s/"Pooling"/POOLING/; s/"Eltwise"/ELTWISE/
    s/"InnerProduct"/INNER_PRODUCT/; s/"SoftmaxWithLoss"/SOFTMAX_LOSS/; s/"Accuracy"/ACCURACY/; /"BatchNorm"/d; /"Scale"/d
    s/param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }/blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0/' \
    net.prototxt >v1.prototxt
exits "the older format trains" 0 solve --net v1.prototxt --out v1 --max-steps 4 --quiet
sed 's/ crop_size: 32//' net.prototxt >whole.prototxt
exits "images as they are" 0 solve --net whole.prototxt --out whole --max-steps 4 --quiet
check "... of the size they have" grep -qx "image-size = 36" whole/recipe
check "... and no crop" grep -qx "crop = none" whole/recipe
exits "one of another size is refused" 1 solve --net whole.prototxt --out no --image-size 32
says "... by name" "36 x 36 pixels, 32 x 32 are wanted"

printf '\x08\x01\x10\x03\x18\x01\x20\x01\x2a\x0c\0\0\xd0\x42\0\0\xea\x42\0\0\xf6\x42' >flat.binaryproto # 104, 117, 123
sed 's/mean_value: 104 mean_value: 117 mean_value: 123/mean_file: "flat.binaryproto"/' net.prototxt >mean.prototxt
exits "a mean file of one value a channel" 0 solve --net mean.prototxt --out mean
check "... is those values" bash -c 'diff <(grep ^mean run/recipe) <(grep ^mean mean/recipe)'
printf 'nonsense' >flat.binaryproto
exits "one that is none" 1 solve --net mean.prototxt --out no
says "... is said to be none" "flat.binaryproto"

# ---- errors: each names file, line and field ----
wrong() { # wrong NAME SED LINE TEXT
    sed "$2" net.prototxt >bad.prototxt
    exits "$1" "${5:-1}" solve --net bad.prototxt --out no
    says "... in line $3" "bad.prototxt:$3: $4"
}
wrong "a field that Caffe lacks" 's/num_output: 8 kernel/nmu_output: 8 kernel/' 10 "'conv1' convolution_param.nmu_output: Caffe has no such field here"
wrong "a field that is not supported" 's/num_output: 8 pad/dilation: 2 num_output: 8 pad/' 17 "'conv2' convolution_param.dilation: not supported (only 1 is)"
wrong "a layer that is not supported" 's/"ReLU" bottom: "sum"/"PReLU" bottom: "sum"/' 21 "'relu2' type: a layer of type \"PReLU\" is not supported; these are: Data,"
wrong "a field of another layer" 's/eltwise_param { operation: SUM }/relu_param { negative_slope: 0.1 }/' 20 "'sum' relu_param.negative_slope: not supported"
wrong "a value of another type" 's/stride: 2$/stride: two/' 10 "'conv1' convolution_param.stride: an integer from 0 to 2147483647 is wanted, not two"
wrong "a field given twice" 's/pool: MAX/pool: MAX pool: AVE/' 15 "'pool1' pooling_param.pool: given for the second time (first in line 15)"
wrong "a bottom that nobody makes" 's/bottom: "pool1" top: "conv2"/bottom: "pool7" top: "conv2"/' 16 "'conv2' layer: bottom \"pool7\": no layer before it has such a top"
wrong "a top that is there already" 's/top: "pool1"/top: "conv1"/' 15 "'pool1' layer: top \"conv1\" is already that of the layer in line 14"
wrong "a filler that is not supported" 's/type: "msra" } } }/type: "bilinear" } } }/' 17 "'conv2' convolution_param.weight_filler.type: \"bilinear\" is not supported; constant,"
wrong "a filler's field that it does not use" 's/type: "msra" } } }/type: "msra" std: 0.1 } } }/' 17 "'conv2' convolution_param.weight_filler.std: not supported (this filler does not use it)"
wrong "shared parameters" 's/lr_mult: 2 decay_mult: 0/name: "shared"/' 9 "'conv1' param.name: not supported (parameters are not shared between layers)"
wrong "statistics of the batch in TEST" 's/name: "bn2" type: "BatchNorm"/& batch_norm_param { use_global_stats: false }/' 18 "'bn2' batch_norm_param.use_global_stats: not supported in phase TEST"
wrong "a Scale by itself" '/"BatchNorm" bottom: "conv2"/d' 18 "'scale2' layer: a Scale is supported directly behind a BatchNorm"
wrong "a second loss" 's/^layer { name: "acc".*/layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" }/' 26 "'loss2' layer: a second loss in this phase (the first in line 25)"
wrong "a weighted loss" 's/top: "loss"/& loss_weight: 0.3/' 25 "'loss' loss_weight: not supported"
wrong "ignored labels" 's/top: "loss"/& loss_param { ignore_label: 0 }/' 25 "'loss' loss_param.ignore_label: not supported"
wrong "another number of classes" 's/num_output: 3/num_output: 10/' 23 "'fc' layer: 10 scores an image, and the data have 3 classes: set num_output to 3"
wrong "LevelDB" 's/batch_size: 8 backend: LMDB/batch_size: 8/' 4 "'data' data_param: \`backend\` is missing, which means LEVELDB"
wrong "no batch size" 's/batch_size: 8 //' 4 "'data' data_param: batch_size is missing"
wrong "mirrored evaluation" 's/transform_param { crop_size/transform_param { mirror: true crop_size/' 5 "transform_param.mirror: not supported in phase TEST"
wrong "another mean in evaluation" '6s/104/105/' 5 "transform_param: mean or scale differ from those of phase TRAIN (line 2)"
wrong "a window that does not fit" 's/pool: AVE kernel_size: 3/pool: AVE kernel_size: 30/' 22 "'pool2' layer: "
wrong "gradients held back" 's/top: "conv2"$/& propagate_down: false/' 16 "'conv2' propagate_down: not supported (gradients go everywhere"
wrong "a text cut short" '20,$d;19s/}$//' 20 "the text ends inside 'layer {' of line 19"
wrong "something else" 's/^name.*/<html>/' 1 "a field's name should stand here, not '<'"
sed 's/type: "Data"/type: "Input"/' net.prototxt >bad.prototxt
exits "a net to deploy" 1 solve --net bad.prototxt --out no
says "... is said to be one" "give the net for training, with Data layers"
exits "a net that is not there" 1 solve --net nowhere.prototxt --out no

wrong_solver() { # wrong_solver NAME SED TEXT
    sed "$2" solver.prototxt >bad.prototxt
    exits "$1" 1 rn-train --solver bad.prototxt --out no
    says "... with its place" "bad.prototxt$3"
}
wrong_solver "an unknown policy" 's/"step"/"cosine"/' ':5: lr_policy: "cosine" is not supported; fixed, step, exp, inv, multistep, poly and sigmoid are'
wrong_solver "another method" '1s/^/type: "Adam" /' ':1: type: "Adam" is not supported; SGD and Nesterov are'
wrong_solver "L1" '1s/^/regularization_type: "L1" /' ':1: regularization_type: "L1" is not supported; L2 is'
wrong_solver "a policy without its numbers" '/^stepsize/d' ': stepsize is missing (this lr_policy wants it)'
wrong_solver "no length" '/^max_iter/d' ': max_iter is missing'
wrong_solver "a momentum above 1" 's/momentum: 0.9/momentum: 1.5/' ':9: momentum: 1.5; it must be 0 to 0.9999'
wrong_solver "Caffe's weights" '1s/^/weights: "a.caffemodel" /' ":1: weights: not supported: Caffe's weights are not read"
wrong_solver "a field that Caffe lacks" 's/max_iter: 45/max_iters: 45/' ':8: max_iters: Caffe has no such field here'
wrong_solver "a list of devices" 's/solver_mode: CPU/device_id: 0,1/' ":16: a field's name should stand here, not '1'"
wrong_solver "two texts for the phases" '1s/^net/train_net/' ':1: train_net: not supported: put both phases into one text'
finish
