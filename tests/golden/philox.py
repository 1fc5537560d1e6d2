# SPDX-License-Identifier: MIT
"""rnkit's random numbers (base/rn_rng.h) in Python, for scripts that draw what the product draws."""
import numpy as np


class Philox:
    """rn_rng: Philox4x32-10; key the seed, counter (block, 0, index, stream << 24 | epoch)."""

    def __init__(self, seed, stream, a, b):
        self.key, self.tail, self.block, self.words = (seed & 0xFFFFFFFF, seed >> 32), (0, b, stream << 24 | a), 0, []

    def u32(self):
        if not self.words:
            c, k = [self.block, *self.tail], list(self.key)
            for _ in range(10):
                p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
                c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
                k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
            self.words, self.block = c, self.block + 1
        return self.words.pop(0)

    def uniform(self, lo, hi):
        f = np.float32
        return f(f(f(self.u32() >> 8) * f(2.0**-24)) * f(f(hi) - f(lo)) + f(lo))

    def unit(self):
        lo = self.u32()
        return ((self.u32() << 32 | lo) >> 11) * 2.0**-53

    def below(self, n):
        m = self.u32() * n
        while m & 0xFFFFFFFF < 2**32 % n:
            m = self.u32() * n
        return m >> 32

    def shuffle(self, v):
        for i in range(len(v), 1, -1):
            j = self.below(i)
            v[i - 1], v[j] = v[j], v[i - 1]
