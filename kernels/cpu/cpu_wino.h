/* SPDX-License-Identifier: MIT */
/*
 * Convolution by minimal filtering, "cpu:winograd" and "cpu:winograd-2x2": 3x3 kernels of stride 1, any padding, channels and
 * maps, NHWC, f32 or bf16 with f32 inside, all three directions. Winograd 1980; Lavin and Gray 2015, arXiv 1509.09308.
 *
 * The output is cut into tiles of 4x4 (2x2) pixels, each made of 6x6 (4x4) pixels of the input. A tile of the input and a
 * kernel, both transformed to n x n values ("frequencies", n = 6 or 4), need one multiplication for each frequency and pair of
 * channels, where the direct sum has 9 for each pixel: 4 (2.25) times as many.
 *
 *   fwd    dst = A^T [sum_ic (G wei G^T) . (B^T src B)] A
 *   bwd_d  the same of dst's gradient with the kernel turned round and oc, ic exchanged
 *   bwd_w  wei = G^T [sum_tiles (A dst A^T) . (B^T src B)] G, the transpose of fwd: transformed back once, at the end
 *
 * For one frequency the sums are a matrix product: (tiles x ic)(ic x oc), or (oc x tiles)(tiles x ic). Blocks of tiles are
 * transformed, multiplied and transformed back while they are in the cache; transformed tensors are never made whole.
 *   - fwd, bwd_d: weights are transformed in prepare(), as panels of the register tile's columns. Where they are small each
 *     thread takes blocks of its own; where they are not, all threads transform the same blocks and divide the panels, so that
 *     each panel is read once for many tiles. The sum over channels has one order in both: the bits do not depend on threads.
 *   - bwd_w: where the sums of all channels are small, tiles are divided into groups, as many for any number of threads, and a
 *     thread goes through a group with sums of its own; the groups' are added up in their order. Where they are not, all threads
 *     transform the same block of src and dst, then divide the channels of both sides: a task sums all frequencies of a few, in
 *     its L2 cache, transforms them back there and adds them to the gradient; blocks follow each other. Either way the same bits
 *     for any number of threads.
 *
 * Rounding error. All arithmetic is in f32 (bf16 is widened on its way in, and rounded once on its way out), but values meet
 * that the direct sum keeps apart, larger ones than the result, and cancel.
 * With |x| for the matrix of absolute values, an output of 9 terms of size 1 is made of terms that add up to 9 K,
 *     9 K = max(|A^T| ((|G| 1 |G^T|) . (|B^T| 1 |B|)) |A|),
 * and K 2^-24 of the sum of the absolute terms, the largest in the tile, is what one rounding of each of them may cost. K
 * depends on the points at which the polynomials are evaluated:
 *     F(2x2)  0, +-1, inf                    K = 7     (bwd_w: 9)
 *     F(4x4)  0, +-1, +-2, inf (Lavin, Gray) K = 256   (178)
 *             0, +-3/4, +-3/2, inf (here)    K = 84    (68)
 * Of all pairs of multiples of 1/16 ours lose within the noise as little as the best, and the constants made of them are exact
 * in f32. Roundings are not all the worst, nor of one sign: RN_WINO_LOSS_*, of the largest sum of absolute terms in the
 * tensor, is half of K or less, and more than twice what was seen in any case of check-kernels, which holds every case to it.
 * Seen with numbers uniform in [-1, 1), of that sum, the largest error and the root of the mean square: these kernels (AVX-512)
 * against sums in double over all elements, mb4ic64ih28oc64kh3ph1
 *     F(2x2) fwd 7.7e-8, 1.3e-8;  bwd_d 7.1e-8, 1.3e-8;  bwd_w 3.2e-8, 6.5e-9
 *     F(4x4) fwd 4.1e-7, 3.9e-8;  bwd_d 4.0e-7, 4.0e-8;  bwd_w 1.2e-7, 1.5e-8
 * and no more with 512 channels to 128 but in bwd_w, where there is less to sum: F(4x4) 2.8e-7, 3.4e-8.
 * The output's own rounding to bf16 is 3.9e-3 of its size at most, 1.7e-3 in the root of the mean square.
 *
 * "cpu:winograd-pairs" and "cpu:winograd-2x2-pairs": of bf16, for CPUs with AVX-512 BF16. What is transformed, in f32 as above, is
 * rounded to bf16 and multiplied in pairs (vdpbf16ps), twice as many terms an instruction; sums are f32, and so is the way
 * back. That is less than the contract's f32 arithmetic (RN_ALGO_LOWPREC): these rows are for those who allow it. Pairs are two
 * channels of a sum in fwd and bwd_d, two tiles in bwd_w. Each factor's rounding, 2^-9 at most, is spread by K over the tile;
 * they are of either sign, so that the error grows as the root of the number of terms. Of the output's root mean square, 64
 * channels, the error's root mean square (and the largest of 50,000), before the output's own rounding (1.7e-3):
 *                                uniform in [-1, 1)    normal, src after ReLU
 *     F(2x2)                     0.0040 (0.016)        0.0035 (0.015)
 *     F(4x4)                     0.0121 (0.087)        0.0094 (0.068)     bwd_w: 0.0127 (0.050), 0.0084 (0.026)
 *     F(4x4) 0, +-1, +-2, inf    0.0251 (0.36)         0.0188 (0.22)
 *     F(4x4) 0, +-1, +-1/2, inf  0.0249 (0.29)         0.0219 (0.21)
 * Scaling rows by powers of 2 changes none of it; of the other points tried none is better beyond the noise. F(2x2)'s transforms
 * of integers up to 8 fit bf16: such sums are exact. RN_WINO_LOSS_PAIRS_*: of the largest sum of absolute terms over the root
 * of their number, twice what was seen at 1 to 300 channels (0.12, 0.024).
 */
#ifndef CPU_WINO_H
#define CPU_WINO_H

#include "op/rn_conv.h"

#define RN_WINO_LOSS_4       (32 * 0x1p-24)
#define RN_WINO_LOSS_2       (4 * 0x1p-24)
#define RN_WINO_LOSS_PAIRS_4 0.25 /* of the same over the root of the number of terms */
#define RN_WINO_LOSS_PAIRS_2 0.05
#define RN_WINO_LOSS_LAVIN   (128 * 0x1p-24) /* of another library's F(4x4) with Lavin and Gray's points */

extern const rn_conv_algo rn_cpu_winograd, rn_cpu_winograd_2x2, rn_cpu_winograd_pairs, rn_cpu_winograd_2x2_pairs;

#endif
