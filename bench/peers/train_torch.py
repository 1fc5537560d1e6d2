# SPDX-License-Identifier: MIT
"""train_torch.py --recipe FILE --train TREE --val TREE --seed N: the recipe as PyTorch and torchvision users train it.

TREE is a folder of class folders. A key of the recipe that this script does not know how to follow is an error. One JSON line an epoch on
stdout: {"epoch", "train_loss", "train_top1", "n", "top1", "top5", "loss"}; the last has "peer" and the times.
"""
import argparse
import json
import math
import os
import random

import peer
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import models
from torchvision import transforms as T
from torchvision.datasets import ImageFolder

DEFAULTS = {  # rn-train's
    "arch": "resnet18", "stem": "imagenet", "width": "1", "channels": "3", "image-size": "224", "zero-gamma": "false",
    "mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225", "crop": "resized", "pad": "4", "scale-min": "0.08", "ratio": str(4 / 3),
    "no-flip": "false", "val-resize": "256", "epochs": "90", "batch": "256", "lr": "0.1", "momentum": "0.9", "nesterov": "false",
    "weight-decay": "1e-4", "no-norm-decay": "false", "label-smoothing": "0", "schedule": "step", "warmup-epochs": "0", "step-size": "30",
    "gamma": "0.1", "lr-min": "0", "pct-start": "0.3", "div-factor": "25", "final-div-factor": "10000", "eval-batch": "0", "init": "kaiming-out",
    "cutout": "0", "plateau-metric": "loss", "plateau-patience": "10"}
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


def recipe_of(path):
    r = dict(DEFAULTS)
    with open(path, encoding="utf-8") as f:
        for line in f:
            key, eq, value = (x.strip() for x in line.split(" #")[0].partition("="))
            if not eq or key.startswith("#"):
                continue
            if key not in r:
                raise SystemExit(f"{path}: {key}: this twin does not know how to follow it")
            r[key] = value
    return r


class Cutout:
    """DeVries and Taylor's: a square around any pixel, cut off at the edges, of the mean colour. Of a (channels, h, w) tensor of bytes."""

    def __init__(self, side, mean):
        self.half, self.fill = side // 2, torch.tensor([round(255 * m) for m in mean], dtype=torch.uint8)[:, None, None]

    def __call__(self, x):
        cy, cx = random.randrange(x.shape[1]), random.randrange(x.shape[2])
        x[:, max(0, cy - self.half) : cy + self.half, max(0, cx - self.half) : cx + self.half] = self.fill
        return x


def reals(text):
    return [float(x) for x in text.split(",")]


def model_of(r, classes):
    """torchvision's blocks, wired as torchvision does, with the stem and the width of the recipe."""
    block = models.resnet.Bottleneck if r["arch"] == "resnet50" else models.resnet.BasicBlock
    width = lambda c: max(8, int(math.floor(c * float(r["width"]) / 8 + 0.5)) * 8)
    small = r["stem"] == "cifar"
    ic = width(64)
    stem = [("conv1", nn.Conv2d(3, ic, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)), ("bn1", nn.BatchNorm2d(ic)),
            ("relu", nn.ReLU(inplace=True))] + ([] if small else [("maxpool", nn.MaxPool2d(3, 2, 1))])
    layers = []
    for stage, n in enumerate(BLOCKS[r["arch"]]):
        planes, blocks = width(64 << stage), []
        for i in range(n):
            stride = 2 if stage and not i else 1
            down = None
            if stride != 1 or ic != planes * block.expansion:
                down = nn.Sequential(nn.Conv2d(ic, planes * block.expansion, 1, stride, bias=False), nn.BatchNorm2d(planes * block.expansion))
            blocks.append(block(ic, planes, stride, down))
            ic = planes * block.expansion
        layers.append((f"layer{stage + 1}", nn.Sequential(*blocks)))
    net = nn.Sequential()
    for name, module in stem + layers + [("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("fc", nn.Linear(ic, classes))]:
        net.add_module(name, module)
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        if r["zero-gamma"] == "true" and isinstance(m, (models.resnet.BasicBlock, models.resnet.Bottleneck)):
            nn.init.zeros_((m.bn3 if hasattr(m, "bn3") else m.bn2).weight)
    if float(r["width"]) == 1 and not small: # the same network as torchvision's own
        own, theirs = (sum(p.numel() for p in m.parameters()) for m in (net, getattr(models, r["arch"])(num_classes=classes)))
        assert own == theirs, (own, theirs)
    return net


def loaders_of(r, a):
    size, flip = int(r["image-size"]), [] if r["no-flip"] == "true" else [T.RandomHorizontalFlip()]
    if r["crop"] == "pad":
        crop = T.RandomCrop(size, padding=int(r["pad"]))
    else:
        crop = T.RandomResizedCrop(size, (float(r["scale-min"]), 1), (1 / float(r["ratio"]), float(r["ratio"])))
    resize = [T.Resize(int(r["val-resize"]))] if int(r["val-resize"]) else []
    cut = [Cutout(int(r["cutout"]), reals(r["mean"]))] if int(r["cutout"]) else []
    train = ImageFolder(a.train, T.Compose([crop, *flip, T.PILToTensor(), *cut]))
    val = ImageFolder(a.val, T.Compose([*resize, T.CenterCrop(size), T.PILToTensor()]))
    assert train.classes == val.classes, "the two trees have other classes"
    more = {"num_workers": a.workers, "persistent_workers": a.workers > 0, "pin_memory": a.device == "cuda"}
    order = torch.Generator().manual_seed(a.seed)
    batch = int(r["batch"])
    return (DataLoader(train, batch, shuffle=True, drop_last=True, generator=order, **more),
            DataLoader(val, int(r["eval-batch"]) or batch, **more), len(train.classes))


def optimizer_of(r, net):
    decay = float(r["weight-decay"])
    spared = lambda p: p.ndim == 1 and r["no-norm-decay"] == "true"
    groups = [{"params": [p for p in net.parameters() if spared(p) == s], "weight_decay": 0 if s else decay} for s in (False, True)]
    return torch.optim.SGD(groups, float(r["lr"]), float(r["momentum"]), nesterov=r["nesterov"] == "true")


def schedule_of(r, opt, steps):
    """Of torch.optim.lr_scheduler, stepped once a batch; plateau, after each evaluation."""
    S = torch.optim.lr_scheduler
    epochs, warm = int(r["epochs"]), round(float(r["warmup-epochs"]) * steps)
    if r["schedule"] == "cosine":
        main = S.CosineAnnealingLR(opt, epochs * steps - warm, float(r["lr-min"]))
    elif r["schedule"] == "one-cycle":
        assert not warm, "one cycle has its own warm-up"
        return S.OneCycleLR(opt, float(r["lr"]), epochs * steps, pct_start=float(r["pct-start"]), div_factor=float(r["div-factor"]),
                            final_div_factor=float(r["final-div-factor"]), cycle_momentum=False)
    elif r["schedule"] == "plateau":
        assert not warm and r["plateau-metric"] == "loss", "plateau by the loss, without warm-up, is what is followed here"
        return S.ReduceLROnPlateau(opt, factor=float(r["gamma"]), patience=int(r["plateau-patience"]), min_lr=float(r["lr-min"]))
    elif r["schedule"] == "step":
        assert not warm, "warm-up with steps is not followed here"
        main = S.StepLR(opt, int(r["step-size"]) * steps, float(r["gamma"]))
    else:
        raise SystemExit(f"schedule {r['schedule']}: this twin does not know how to follow it")
    if warm < 2:
        return main
    return S.SequentialLR(opt, [S.LinearLR(opt, 1 / warm, 1, warm - 1), main], [warm])


def correct(logits, labels, k):
    return logits.topk(k, 1).indices.eq(labels[:, None]).any(1).sum()


def main():
    p = argparse.ArgumentParser()
    for name in ("recipe", "train", "val"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--seed", type=int, required=True)
    p.add_argument("--workers", type=int, default=peer.cores())
    p.add_argument("--threads", type=int, default=peer.cores())
    p.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="bf16: by autocast")
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    random.seed(a.seed)
    torch.manual_seed(a.seed)
    torch.backends.cudnn.benchmark = True
    r = recipe_of(a.recipe)
    assert r["init"] == "kaiming-out", "torchvision's initialisation is what is followed here"
    train, val, classes = loaders_of(r, a)
    net = model_of(r, classes).to(a.device, memory_format=torch.channels_last)
    opt = optimizer_of(r, net)
    schedule = schedule_of(r, opt, len(train))
    mean, std = (torch.tensor(reals(r[k]), device=a.device)[:, None, None] for k in ("mean", "std"))
    there = lambda x: x.to(a.device, non_blocking=True)
    pixels = lambda x: ((there(x).float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
    loss_of = nn.CrossEntropyLoss(label_smoothing=float(r["label-smoothing"]))
    cast = lambda: torch.autocast(a.device, torch.bfloat16, enabled=a.precision == "bf16")
    for epoch in range(1, int(r["epochs"]) + 1):
        net.train()
        seen = total = right = 0
        for x, y in train:
            y = there(y)
            with cast():
                out = net(pixels(x))
                loss = loss_of(out, y)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            if r["schedule"] != "plateau":
                schedule.step()
            seen, total, right = seen + len(y), total + loss.detach().double() * len(y), right + correct(out, y, 1) # sums stay where they are made
        line = {"epoch": epoch, "train_loss": float(total) / seen, "train_top1": 100 * float(right) / seen}
        net.eval()
        n = top1 = top5 = total = 0
        with torch.inference_mode():
            for x, y in val:
                y = there(y)
                with cast():
                    out = net(pixels(x)).float()
                total += nn.functional.cross_entropy(out, y, reduction="sum").double()
                n, top1, top5 = n + len(y), top1 + correct(out, y, 1), top5 + correct(out, y, min(5, classes))
        n, top1, top5, total = float(n), float(top1), float(top5), float(total)
        if r["schedule"] == "plateau":
            schedule.step(total / n)
        print(json.dumps({**line, "n": int(n), "top1": 100 * top1 / n, "top5": 100 * top5 / n, "loss": total / n}), flush=True)
    peer.report(f"PyTorch {torch.__version__}", os.path.basename(a.recipe), len(train.dataset) * int(r["epochs"]), 0)


if __name__ == "__main__":
    main()
