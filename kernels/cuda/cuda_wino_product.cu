/* SPDX-License-Identifier: MIT */
/* cuda:winograd: a product of matrices for each frequency, in f32 by FMA: cuda:implicit-gemm's tiles, whose operands lie ready. */
#include "kernels/cuda/cuda_conv_gemm.h"
#include "kernels/cuda/cuda_wino.h"

typedef rn_tile<rn_by_f32, 128, 128, 32, 64> wide_tile;
typedef rn_tile<rn_by_f32, 128, 64, 32, 64> narrow_tile;

/* Copies of pieces into a stage's A and B. Rows of an operand that lies along k: a thread has one of the 4 pieces of some rows. */
template <class T> struct load_along {
    enum { STEP = T::THREADS / 4, A_ROWS = T::M / STEP, B_ROWS = T::N / STEP };

    const rn_wino_product &p;
    const float *a, *b;          /* this thread's first row and column */
    int64_t rows, columns, term; /* from those on; of the next copy */

    __device__ __forceinline__ load_along(const rn_wino_product &args, int f, int64_t m0, int n0) : p(args)
    {
        const int first = threadIdx.x / 4;

        a = p.a + f * p.a_freq + (m0 + first) * p.a_line;
        b = p.b + f * p.b_freq + (int64_t)(n0 + first) * p.b_line;
        rows = p.rows - m0 - first;
        columns = p.columns - n0 - first;
        term = threadIdx.x % 4 * T::PIECE;
    }
    __device__ __forceinline__ void copy(rn_async &async, char *stage)
    {
        RN_UNROLL
        for (int i = 0; i < A_ROWS; i++) {
            const bool valid = i * STEP < rows && term < p.terms;
            async.copy(stage + rn_along_k(threadIdx.x / 4 + i * STEP, threadIdx.x % 4),
                       valid ? a + (int64_t)i * STEP * p.a_line + term : p.a, valid);
        }
        RN_UNROLL
        for (int i = 0; i < B_ROWS; i++) {
            const bool valid = i * STEP < columns && term < p.terms;
            async.copy(stage + T::A_BYTES + rn_along_k(threadIdx.x / 4 + i * STEP, threadIdx.x % 4),
                       valid ? b + (int64_t)i * STEP * p.b_line + term : p.b, valid);
        }
    }
    __device__ __forceinline__ void advance()
    {
        term += T::K;
    }
};

/* Operands that lie across k: a thread has one piece of rows or columns of some terms. */
template <class T> struct load_across {
    enum {
        A_PIECES = T::M / T::PIECE,
        B_PIECES = T::N / T::PIECE,
        A_STEP = T::THREADS / A_PIECES,
        B_STEP = T::THREADS / B_PIECES
    };

    const rn_wino_product &p;
    const float *a, *b; /* those of term 0 */
    bool row, column;   /* ... are there */
    int64_t term, last; /* of the next copy; behind the part's */

    __device__ __forceinline__ load_across(const rn_wino_product &args, int f, int64_t m0, int n0, int64_t first,
                                           int64_t behind)
        : p(args)
    {
        const int64_t m = m0 + threadIdx.x % A_PIECES * T::PIECE, n = n0 + threadIdx.x % B_PIECES * T::PIECE;

        row = m < p.a_line;
        column = n < p.b_line;
        a = p.a + f * p.a_freq + m;
        b = p.b + f * p.b_freq + n;
        term = first;
        last = behind;
    }
    __device__ __forceinline__ void copy(rn_async &async, char *stage)
    {
        RN_UNROLL
        for (int i = 0; i < T::K / A_STEP; i++) {
            const int k = threadIdx.x / A_PIECES + i * A_STEP;
            const bool valid = row && term + k < last;
            async.copy(stage + rn_across_k(T::M * 4, k, threadIdx.x % A_PIECES),
                       valid ? a + (term + k) * p.a_line : p.a, valid);
        }
        RN_UNROLL
        for (int i = 0; i < T::K / B_STEP; i++) {
            const int k = threadIdx.x / B_PIECES + i * B_STEP;
            const bool valid = column && term + k < last;
            async.copy(stage + T::A_BYTES + rn_across_k(T::N * 4, k, threadIdx.x % B_PIECES),
                       valid ? b + (term + k) * p.b_line : p.b, valid);
        }
    }
    __device__ __forceinline__ void advance()
    {
        term += T::K;
    }
};

/* Blocks: parts of a sum x frequencies x tiles of rows x tiles of columns, the latter fastest. */
template <class T, bool along>
static __global__ void __launch_bounds__(T::THREADS, (rn_blocks<T, true>::LEAST)) multiply(const rn_wino_product p)
{
    RN_CUDA_SHARED(char, shared);
    const int n0 = (int)(blockIdx.x % p.tiles_n) * T::N, block = (int)(blockIdx.x / p.tiles_n);
    const int64_t m0 = (int64_t)(block % p.tiles_m) * T::M;
    const int part = block / p.tiles_m, f = part % p.freqs, split = part / p.freqs;
    int64_t *places = (int64_t *)(shared + T::PLACES);
    float sums[T::SUMS];

    for (int i = threadIdx.x; i < T::M; i += T::THREADS)
        places[i] = m0 + i < p.rows ? (part * p.rows + m0 + i) * p.write.columns : -1;
    RN_UNROLL
    for (int i = 0; i < T::SUMS; i++)
        sums[i] = 0;
    const int64_t stages = (p.terms + T::K - 1) / T::K, first = stages * split / p.splits,
                  behind = stages * (split + 1) / p.splits;
    if constexpr (along) {
        load_along<T> load(p, f, m0, n0);
        rn_sum_up<T, true, true>(load, (int)stages, shared, sums);
    } else {
        load_across<T> load(p, f, m0, n0, first * T::K, behind * T::K < p.terms ? behind * T::K : p.terms);
        rn_sum_up<T, false, true>(load, (int)(behind - first), shared, sums);
    }
    rn_finish_tile<T, rn_type_f32, along>(p.write, sums, shared, 0, n0);
}

template <class T, bool along> static int launch(rn_wino_product *p, void *stream)
{
    p->tiles_m = (int)((p->rows + T::M - 1) / T::M);
    p->tiles_n = (p->write.columns + T::N - 1) / T::N;
    const unsigned blocks = (unsigned)p->splits * p->freqs * p->tiles_m * p->tiles_n;

    return RN_CUDA_LAUNCH((multiply<T, along>), blocks, T::THREADS, T::SHARED_BYTES, stream, *p);
}

int rn_wino_multiply(rn_wino_product *p, bool along, bool wide, void *stream)
{
    if (along)
        return wide ? launch<wide_tile, true>(p, stream) : launch<narrow_tile, true>(p, stream);
    return wide ? launch<wide_tile, false>(p, stream) : launch<narrow_tile, false>(p, stream);
}

int rn_wino_product_open(void)
{
    RN_TRY(rn_cuda_allow_shared(multiply<wide_tile, true>, wide_tile::SHARED_BYTES));
    RN_TRY(rn_cuda_allow_shared(multiply<wide_tile, false>, wide_tile::SHARED_BYTES));
    RN_TRY(rn_cuda_allow_shared(multiply<narrow_tile, true>, narrow_tile::SHARED_BYTES));
    return rn_cuda_allow_shared(multiply<narrow_tile, false>, narrow_tile::SHARED_BYTES);
}
