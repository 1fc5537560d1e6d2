# SPDX-License-Identifier: MIT
"""What is to be reached on each kind of device, and under which rules it is measured: times as fast as the peer, or per cent of the roofline."""

LAYERS = {"cpu": {("bf16", "time-weighted"): 1.5, ("bf16", "geometric mean"): 1.3, ("f32", "time-weighted"): 1.15},
          "cuda": {("bf16", "time-weighted"): 0.9}}
LAYERS_BN = {"cpu": {}, "cuda": {"bf16": 1.1}}
STEPS = {("resnet18-224-b32", "bf16"): 2, ("resnet18-224-b32", "f32"): 1.5, ("resnet18-cifar-b128", "bf16"): 2, ("resnet18-cifar-b128", "f32"): 1.5,
         ("resnet18-224-b256", "bf16"): 1.3, ("resnet50-224-b256", "bf16"): 1.2, ("resnet18-cifar-b512", "bf16"): 1.5}
ROOFLINE = {"cpu": {"bf16": 45, "f32": 75}, "cuda": {"bf16": 50}}
END_TO_END = 1 / 0.45 # Imagenette on the CPU
CIFAR10 = {"top1": 94, "seconds": 60}
BUSY = 90 # per cent of a step from LMDB in which the device does not wait for data

TITLE = {"cpu": "Convolutions and training steps beside oneDNN and PyTorch", "cuda": "Convolutions and training steps on a GPU beside cuDNN and PyTorch"}
MADE_BY = {"cpu": "make bench-step", "cuda": "make bench-cuda"}
LIBRARY = {"cpu": "oneDNN", "cuda": "cuDNN"}

INTERLEAVED = """\
- **Interleaved.** Steps: every round measures each side once, in an order that turns from round to round; ratios are taken within a round. Layers: a round is a
  process, in which `rn-bench conv` times all algorithms in turn over the same tensors. The tables have medians over rounds, and the extremes. Above 1, ours is faster.
"""
WEIGHTED = """\
  *Time-weighted*: the sum of the times, each as often as the network has the layer. *Geometric mean*: over the cases, each once.
- **The roofline** of a step is summed over the calls that the step makes, fused or not: for each the longer of FLOP at the measured peak and bytes (each tensor once) at the measured
  bandwidth of memory. FLOP are of the direct convolution and count taps in the padding, also where Winograd multiplies less.
"""
RULES = {"cpu": INTERLEAVED + """\
- **A step** is forward, backward and update of one batch of made-up images, the loss fetched. Ours includes the images' way to the net and their normalisation from bytes;
  PyTorch gets them normalised, in channels_last. bf16 is PyTorch's autocast, and ours with the same f32 masters. PyTorch's figure is that of its faster mode, eager or
  `torch.compile`, whose compilation is not counted; its SGD is the fused one. The first step of each round is left out on both sides.
- **Layers** are those of ResNet-18 at 224 pixels with what a training step needs of them: 11 shapes in three directions, but for the stem's data gradient. Every result is
  verified before it is timed. Both sides: the fastest algorithm for the case, by the median; weights that were packed beforehand on either side. Where oneDNN works in
  layouts of its own, the reorders of source and destination from and to NHWC are not counted: a net that stays in them has none.
  `--fast` adds the algorithms that compute in fewer bits than the contract asks for (docs/kernels.md has their error); verified within that. Without the word they do not count.
""" + WEIGHTED + """\
- Threads: as many on either side.
""", "cuda": INTERLEAVED + """\
- **A step** is forward, backward and update of one batch of made-up images that lie in the device's memory, timed on either side by the device's events, with nothing fetched in between. Ours
  includes their normalisation from bytes; PyTorch gets them normalised, in channels_last. bf16 is PyTorch's autocast, and ours with the same f32 masters. PyTorch's figure is
  that of its faster mode, eager with cuDNN's benchmark on, or `torch.compile` with max-autotune, whose compilation is not counted; its SGD is the fused one.
- **Layers** are those of ResNet-18 at 224 pixels with what a training step needs of them: 11 shapes in three directions, but for the stem's data gradient. Every result is
  verified before it is timed; runs are replayed as one graph between two events. Both sides: the fastest algorithm for the case, by the median. No fused work is counted.
- **With batch norms** each layer's three directions are timed with the batch norm and ReLU that training has beside them (`rn-bench conv --bn`): as ops of ours before and after, or fused
  into the convolution. A side's figure is that of its faster way, one way for all directions of a layer.
""" + WEIGHTED + """\
- **Fed from LMDB**: `rn-train` on JPEGs; *busy* is the share of its time in which the device does not wait for a batch. The loader alone, with as many threads and no net, says what it can give.
- Clocks and power are read and never set.
"""}
