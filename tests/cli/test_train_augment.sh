#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rn-train's augmentations: none is a no-op, none depends on the workers, a run with all of them resumes bit for bit.
. "$RNKIT_TESTS/tap.sh"
export PATH=$RNKIT_BIN:$PATH LC_ALL=C

mkilsvrc --synthetic 3 --train-per-class 8 --val 6 --size 80x60 --seed 4 raw --quiet &&
    pack-lmdb raw --split train --shuffle 1 train.lmdb --quiet && pack-lmdb raw --split val val.lmdb --quiet || exit 1
train() {
    rn-train --arch resnet18 --stem cifar --width 0.0625 --image-size 16 --val-resize 16 --threads 1 --batch 6 --lr 0.01 \
        --train-db train.lmdb --val-db val.lmdb "$@"
}

all=(--color-jitter "0.4,0.4,0.4,0.1" --lighting 0.1 --cutout 8 --mixup 0.2)
exits "plain" 0 train --out plain --epochs 1 --workers 1
exits "plain once more" 0 train --out twice --epochs 1 --workers 2
check "... to the same weights" cmp plain/weights.safetensors twice/weights.safetensors
differs() { # differs NAME OPTION...
    local name=$1
    shift
    exits "$name" 0 train --out "$name" --epochs 1 --workers 2 "$@"
    others "... is not the plain run" plain/weights.safetensors "$name/weights.safetensors"
    exits "$name, one worker" 0 train --out "$name.1" --epochs 1 --workers 1 "$@"
    check "... comes to the same weights" cmp "$name/weights.safetensors" "$name.1/weights.safetensors"
}
differs brightness --color-jitter 0.4,0,0,0
differs contrast --color-jitter 0,0.4,0,0
differs saturation --color-jitter 0,0,0.4,0
differs hue --color-jitter 0,0,0,0.1
differs lighting --lighting 0.3
differs cutout --cutout 8
differs mixup --mixup 0.4
differs page-local --order page-local
differs exact --exact
differs everything "${all[@]}"
check "the recipe tells" grep -qx 'mixup = 0.2' everything/recipe

exits "two epochs in one piece" 0 train --out whole --epochs 2 --workers 2 "${all[@]}"
exits "two epochs, stopped in the first" 1 train --out parts --epochs 2 --workers 2 "${all[@]}" --stop-after-steps 3
exits "... and gone on with" 0 train --out parts --epochs 2 --workers 3 "${all[@]}"
check "... to the same weights" cmp whole/weights.safetensors parts/weights.safetensors
exits "another mixup is another run" 1 train --out parts --epochs 2 "${all[@]}" --mixup 0.3
says "... and the difference is named" "mixup 0.2 -> 0.3"

exits "a jitter of three is misuse" 2 train --out no --color-jitter 0.4,0.4,0.4
exits "a hue over a half is misuse" 2 train --out no --color-jitter 0,0,0,0.7
exits "lighting of gray is misuse" 2 train --out no --lighting 0.1 --channels 1
exits "a cutout of all that there is is misuse" 2 train --out no --cutout 32
says "... and says so" "--cutout 32 hides all of every image of 16 pixels"
exits "an unknown order is misuse" 2 train --out no --order keys
finish
