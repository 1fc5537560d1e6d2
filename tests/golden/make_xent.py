#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes xent.txt beside itself: PyTorch's cross-entropy of mixed labels with label smoothing, in float64, for test_losses.c.

A case: a line "rows classes share smoothing", then for each row a line "label label2 loss", then one line each of its logits
and of the gradients of the mean loss.
"""
import os

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


def line(values):
    return " ".join("%.17g" % v for v in values) + "\n"


def main():
    g = torch.Generator().manual_seed(3)
    with open(os.path.join(HERE, "xent.txt"), "w") as f:
        f.write("# PyTorch %s; see make_xent.py\n" % torch.__version__)
        for rows, k, share, smoothing in ((5, 4, 0.25, 0), (3, 10, 0.5, 0.1), (4, 7, 1, 0.1), (4, 7, 0, 0), (2, 100, 0.8125, 0.05)):
            z = (torch.randn(rows, k, generator=g) * 3).double().requires_grad_()
            y, y2 = (torch.randint(k, (rows,), generator=g) for _ in range(2))
            y2[0] = y[0]
            loss = sum(s * F.cross_entropy(z, t, reduction="none", label_smoothing=smoothing)
                       for s, t in ((share, y), (1 - share, y2)))
            loss.mean().backward()
            f.write("%d %d %.17g %.17g\n" % (rows, k, share, smoothing))
            for i in range(rows):
                f.write("%d %d %.17g\n" % (y[i], y2[i], loss[i].item()) + line(z[i].detach()) + line(z.grad[i]))


if __name__ == "__main__":
    main()
