#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `rn-bench loader` does, done by webdataset: SRC is a folder of tar shards (samples of .jpg and .cls), at least as many as
workers. Shards and a buffer of 1,000 samples are shuffled; Pillow decodes; torchvision crops and flips; uint8 tensors come out.
Needs webdataset, torch, torchvision, Pillow.
"""
import glob
import os
import warnings

import torch
import webdataset
from torchvision import transforms

import loader_timing

STEPS = None


def to_tensor(image):
    return STEPS(image)


def main():
    global STEPS
    a = loader_timing.parser(__doc__).parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    STEPS = transforms.Compose([transforms.RandomResizedCrop(a.size), transforms.RandomHorizontalFlip(), transforms.PILToTensor()])
    shards = sorted(glob.glob(os.path.join(a.src, "*.tar")))
    # resampled: shards are drawn for ever, so that no epoch's end is timed
    data = (webdataset.WebDataset(shards, resampled=True).shuffle(1000).decode("pilrgb").to_tuple("jpg", "cls")
            .map_tuple(to_tensor, int).batched(a.batch, partial=False))
    loader = webdataset.WebLoader(data, batch_size=None, num_workers=a.workers)
    loader_timing.time_batches("webdataset", a, None, iter(loader))


if __name__ == "__main__":
    main()
