#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `rn-bench loader` does, done by FFCV: SRC is a class-folder tree, out of which SRC.beton is written first (and kept) with
every image as a JPEG of quality 90, since FFCV cannot keep a file's own bytes. Its RandomResizedCrop decodes with libjpeg-turbo's
fast DCT and resizes with OpenCV's INTER_AREA: not Pillow's pixels. Needs ffcv, torch, torchvision, numpy.
"""
import os

import numpy as np
import torch
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import RandomHorizontalFlip, Squeeze, ToTensor
from ffcv.writer import DatasetWriter
from torchvision.datasets import ImageFolder

import loader_timing


def main():
    a = loader_timing.parser(__doc__).parse_args()
    torch.set_num_threads(1)
    beton = a.src.rstrip("/") + ".beton"
    images = ImageFolder(a.src)
    if not os.path.exists(beton):
        fields = {"image": RGBImageField(write_mode="jpg", jpeg_quality=90), "label": IntField()}
        DatasetWriter(beton + ".new", fields, num_workers=a.workers).from_indexed_dataset(images)
        os.rename(beton + ".new", beton)
    # One long epoch, as for the others.
    indices = np.tile(np.arange(len(images)), max(1, 400000 // len(images)))
    loader = Loader(beton, batch_size=a.batch, num_workers=a.workers, order=OrderOption.RANDOM, os_cache=True, indices=indices,
                    drop_last=True,
                    pipelines={"image": [RandomResizedCropRGBImageDecoder((a.size, a.size)), RandomHorizontalFlip(), ToTensor()],
                               "label": [IntDecoder(), ToTensor(), Squeeze()]})
    loader_timing.time_batches("FFCV", a, len(images), iter(loader))
    os._exit(0)  # its threads are in the midst of a long epoch


if __name__ == "__main__":
    main()
