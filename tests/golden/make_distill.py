#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes distill.txt beside itself: PyTorch's distillation loss and gradient, in float64, for test_losses.c.

The loss is hard * cross_entropy(z, label, smoothing) + soft * T^2 * kl_div(log_softmax(z / T), softmax(t / T)), each row by
itself; the gradients are those of the mean over the rows.

A case: a line "rows classes T hard soft smoothing", then for each row a line "label loss", and one line each of its logits, the
teacher's, and the gradients.
"""
import os

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


def line(values):
    return " ".join("%.17g" % v for v in values) + "\n"


def main():
    g = torch.Generator().manual_seed(5)
    with open(os.path.join(HERE, "distill.txt"), "w") as f:
        f.write("# PyTorch %s; see make_distill.py\n" % torch.__version__)
        for rows, k, t, hard, soft, smoothing in ((5, 4, 1, 0.5, 0.5, 0), (3, 10, 20, 1, 1, 0.1), (4, 7, 4, 0.25, 0.75, 0),
                                                  (2, 100, 2.5, 0, 1, 0)):
            z = (torch.randn(rows, k, generator=g) * 3).double().requires_grad_()
            teacher = (torch.randn(rows, k, generator=g) * 4).double()
            y = torch.randint(k, (rows,), generator=g)
            loss = hard * F.cross_entropy(z, y, reduction="none", label_smoothing=smoothing)
            loss = loss + soft * t * t * F.kl_div(F.log_softmax(z / t, 1), F.softmax(teacher / t, 1), reduction="none").sum(1)
            loss.mean().backward()
            f.write("%d %d %.17g %.17g %.17g %.17g\n" % (rows, k, t, hard, soft, smoothing))
            for i in range(rows):
                f.write("%d %.17g\n" % (y[i], loss[i].item()) + line(z[i].detach()) + line(teacher[i]) + line(z.grad[i]))


if __name__ == "__main__":
    main()
