#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes ops.safetensors beside itself: one net of all kinds of layers that are not a ResNet's, in PyTorch, for test_ops.c.

Computed in float64 and stored as float32: the parameters by torch's names and in torch's shapes, their gradients under "grad.",
the input (NHWC), labels, logits and the losses of the images.
"""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 2))
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.fc1 = nn.Conv2d(8, 4, 1)
        self.fc2 = nn.Conv2d(4, 8, 1)
        self.conv3 = nn.Conv2d(8, 6, (1, 2), bias=False)
        self.fc = nn.Linear(6 * 3 * 1, 5)

    def forward(self, x):
        x = F.local_response_norm(F.relu(self.conv1(x)), 5, alpha=0.5, beta=0.75, k=1)
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)  # 10x6 -> 5x3: both sides rounded up
        y = F.local_response_norm(F.relu(self.conv2(x)), 4, alpha=0.7, beta=0.6, k=2)  # an even size is lopsided
        s = torch.sigmoid(self.fc2(F.relu(self.fc1(y.mean((2, 3), keepdim=True)))))
        x = F.relu(y * s + x)
        a = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
        b = F.avg_pool2d(x, 3, 2, padding=1, ceil_mode=True, count_include_pad=True)
        both = torch.cat((a, b), 1)
        p, q = both[:, 5:13], both[:, 1:9]
        x = torch.maximum(p * q, 0.25 * q)
        x = 0.5 * x - 2 * p
        x = F.relu(self.conv3(x))
        return self.fc(torch.flatten(x, 1))


def main():
    torch.manual_seed(11)
    net = Net().double()
    with torch.no_grad():
        for p in net.parameters():  # what float32 can hold
            p.copy_(p.float().double())
    x = torch.randn(3, 3, 19, 6).float().double()
    labels = torch.tensor([1, 4, 0])
    logits = net(x)
    losses = F.cross_entropy(logits, labels, reduction="none")
    losses.mean().backward()
    out = {"input": x.permute(0, 2, 3, 1), "labels": labels.double(), "logits": logits, "losses": losses}
    for name, p in net.named_parameters():
        out[name] = p
        out["grad." + name] = p.grad
    save_file({k: v.detach().float().contiguous() for k, v in out.items()}, os.path.join(HERE, "ops.safetensors"),
              metadata={"made_by": "make_ops.py, PyTorch %s" % torch.__version__})


if __name__ == "__main__":
    main()
