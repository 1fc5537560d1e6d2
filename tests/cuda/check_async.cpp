/* SPDX-License-Identifier: MIT */
/*
 * A product of 64 x 64 x 64 by tensor maps, mbarriers and wgmma, and one mistake of each kind that the emulated device must find in it:
 * check-async lists them, each with what must be said of it; check-async NAME makes it; check-async right makes none.
 */
#include <stdio.h>

#include "kernels/cuda/cuda_mma.h"
#include "kernels/cuda/cuda_sm90_mma.h"
#include "kernels/cuda/cuda_tensor_map.h"

enum { SIDE = 64, TILE = SIDE * 128, SHARED = 2 * TILE + 16 + 1024, PIXELS = 8 };

typedef enum mistake {
    RIGHT,
    NO_INIT,
    NO_INIT_FENCE,
    OVERWRITTEN,
    FEW_BYTES,
    MANY_BYTES,
    ALL_LANES,
    WRONG_PARITY,
    NO_WAIT,
    UNALIGNED,
    BEYOND_SHARED,
    NO_MAP,
    NO_FENCE,
    READ_EARLY,
    NO_WAIT_AT_END,
    HALF_A_GROUP,
    NOT_SWIZZLED,
    WRONG_STRIDE,
    BETWEEN_PATTERNS,
    COPIES_LEFT,
    OUTSIDE_BOX,
    LARGE_OFFSET,
    REGISTERS,
    A_RIGHT,
    A_NO_FENCE,
    A_WRITTEN_EARLY,
    A_NEVER_WAITED
} mistake;

static const struct {
    const char *name, *says;
    mistake kind;
} list[] = {
    {"no_init", "not initialised", NO_INIT},
    {"no_init_fence", "initialisation was not fenced", NO_INIT_FENCE},
    {"overwritten", "was overwritten", OVERWRITTEN},
    {"few_bytes", "more bytes come to an mbarrier", FEW_BYTES},
    {"many_bytes", "arrivals or bytes do not come", MANY_BYTES},
    {"all_lanes", "more arrive at an mbarrier", ALL_LANES},
    {"wrong_parity", "while copies to it are under way", WRONG_PARITY},
    {"no_wait", "while copies to it are under way", NO_WAIT},
    {"unaligned", "multiple of 1,024", UNALIGNED},
    {"beyond_shared", "where the block has none", BEYOND_SHARED},
    {"no_map", "no tensor map", NO_MAP},
    {"no_fence", "no fence followed", NO_FENCE},
    {"read_early", "wrong sums", READ_EARLY},
    {"no_wait_at_end", "nobody has waited for", NO_WAIT_AT_END},
    {"half_a_group", "threads of its group of warps that do not come", HALF_A_GROUP},
    {"not_swizzled", "not swizzled by 128 bytes", NOT_SWIZZLED},
    {"wrong_stride", "wrong sums", WRONG_STRIDE},
    {"between_patterns", "first row of a pattern", BETWEEN_PATTERNS},
    {"copies_left", "while copies to it are under way", COPIES_LEFT},
    {"outside_box", "not in the bounding box", OUTSIDE_BOX},
    {"large_offset", "not of 8 bits", LARGE_OFFSET},
    {"registers", "a multiple of 8", REGISTERS},
    {"a_no_fence", "comes from were written, and no fence", A_NO_FENCE},
    {"a_written_early", "written before the product", A_WRITTEN_EARLY},
    {"a_never_waited", "nobody has waited for", A_NEVER_WAITED},
};

struct maps {
    CUtensorMap a, b; /* a: 64 pixels of 64 channels, 8 x 8; b: a matrix of 64 x 64 */
};

static void ask(const maps &m, char *a, char *b, uint64_t *full, mistake kind)
{
    rn_barrier_expect(full, kind == FEW_BYTES ? TILE - 128 : kind == MANY_BYTES ? 3 * TILE : 2 * TILE);
    rn_tma_pixels(kind == UNALIGNED ? a + 128 : a, kind == NO_MAP ? &m.b : &m.a, full, 0,
                  kind == OUTSIDE_BOX ? PIXELS : 0, 0, 0, kind == LARGE_OFFSET ? 256 : 0, 0);
    rn_tma_tile(kind == BEYOND_SHARED ? b + TILE : b, &m.b, full, 0, 0);
}

/* The same product with A from registers, which are written for each 16 k: two sets, of which one may be read meanwhile. */
static void multiply_from_registers(const char *a, uint64_t mb, float *sums, mistake kind)
{
    const int lane = (int)threadIdx.x % 32, row = (int)threadIdx.x / 32 * 16 + lane % 16;
    uint32_t sets[2][4];

    for (int k = 0; k < SIDE / 16; k++) {
        uint32_t *to = sets[kind == A_WRITTEN_EARLY ? 0 : k % 2];
        rn_wgmma_wait<1, 32>(sums);
        rn_ldmatrix(to, a + row * 128 + ((2 * k + lane / 16) ^ (lane & 7)) * 16);
        if (kind == A_NO_FENCE)
            rn_wgmma_fence();
        else
            rn_wgmma_fence_a(to);
        rn_wgmma_a<SIDE, 0, false>(sums, to, mb + (unsigned)k * 2, k > 0);
        rn_wgmma_commit();
    }
    if (kind != A_NEVER_WAITED)
        rn_wgmma_wait<0, 32>(sums);
}

/* d = a b^T, by one group of four warps and a warp that asks. */
static void product(const maps m, float *d, mistake kind)
{
    RN_CUDA_SHARED(char, unaligned);
    char *a = unaligned + rn_to_pattern(unaligned), *b = a + TILE;
    uint64_t *full = (uint64_t *)(b + TILE);
    float sums[32] = {0};

    if (threadIdx.x == 0 && kind != NO_INIT)
        rn_barrier_init(full, 1);
    if (threadIdx.x == 0 && kind != NO_INIT && kind != NO_INIT_FENCE)
        rn_barrier_fence();
    if (threadIdx.x == 0 && kind == OVERWRITTEN)
        *full = 1;
    __syncthreads();
    if (threadIdx.x >= RN_WARPGROUP) {
        if (threadIdx.x == RN_WARPGROUP || kind == ALL_LANES)
            ask(m, a, b, full, kind);
        return;
    }
    if (kind == COPIES_LEFT || (kind == HALF_A_GROUP && threadIdx.x >= 64))
        return;
    if (kind == REGISTERS)
        rn_more_registers<41>();
    if (kind != NO_WAIT)
        rn_barrier_wait(full, kind == WRONG_PARITY);
    uint64_t ma = rn_matrix(a, 16, kind == WRONG_STRIDE ? 512 : 1024);
    const uint64_t mb = rn_matrix(b, 16, 1024);
    if (kind == NOT_SWIZZLED)
        ma &= ~((uint64_t)3 << 62);
    if (kind == BETWEEN_PATTERNS)
        ma += 128 / 16;
    if (kind != NO_FENCE && kind < A_RIGHT)
        rn_wgmma_fence();
    for (unsigned k = 0; k < SIDE / 16 && kind < A_RIGHT; k++)
        rn_wgmma<SIDE, 0, false>(sums, ma + k * 2, mb + k * 2, k > 0);
    if (kind < A_RIGHT)
        rn_wgmma_commit();
    else
        multiply_from_registers(a, mb, sums, kind);
    if (kind == READ_EARLY)
        sums[0] += 0;
    const float early = sums[0];
    if (kind != NO_WAIT_AT_END && kind < A_RIGHT)
        rn_wgmma_wait<0, 32>(sums);
    const int row = (int)threadIdx.x / 32 * 16 + (int)threadIdx.x % 32 / 4, column = (int)threadIdx.x % 4 * 2;
    for (int i = 0; i < 32; i++)
        d[(row + (i >> 1 & 1) * 8) * SIDE + i / 4 * 8 + column + (i & 1)] =
            i == 0 && kind == READ_EARLY ? early : sums[i];
}

/* Small integers, which bf16 holds: a and b are told apart by `by`. */
static int value(int row, int k, int by)
{
    return (row * by + k * (by + 2)) % 7 - 3;
}

static uint16_t bf16_of(int v)
{
    const float f = (float)v;
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static bool right(const float *d)
{
    for (int r = 0; r < SIDE; r++) {
        for (int c = 0; c < SIDE; c++) {
            int want = 0;
            for (int k = 0; k < SIDE; k++)
                want += value(r, k, 3) * value(c, k, 5);
            if (!(d[r * SIDE + c] == (float)want))
                return false;
        }
    }
    return true;
}

static int run(mistake kind)
{
    const rn_map_side side = {PIXELS, 0, 1, PIXELS};
    const int64_t dims[] = {SIDE, SIDE};
    const int box[] = {SIDE, SIDE};
    static uint16_t host[2][SIDE * SIDE];
    static float got[SIDE * SIDE];
    void *in, *out;
    maps m;

    for (int i = 0; i < SIDE * SIDE; i++) {
        host[0][i] = bf16_of(value(i / SIDE, i % SIDE, 3));
        host[1][i] = bf16_of(value(i / SIDE, i % SIDE, 5));
    }
    if (cudaMalloc(&in, sizeof host) != cudaSuccess || cudaMalloc(&out, sizeof got) != cudaSuccess)
        return 2;
    cudaMemcpyAsync(in, host, sizeof host, cudaMemcpyHostToDevice, cudaStreamPerThread);
    if (rn_tensor_map_pixels(&m.a, RN_BF16, in, 1, &side, &side, SIDE, SIDE) < 0 ||
        rn_tensor_map_tile(&m.b, RN_BF16, (char *)in + sizeof host[0], 2, dims, box) < 0)
        return 2;
    rn_emu_launch("product", (const void *)product, dim3(1), dim3(RN_WARPGROUP + 32), SHARED, cudaStreamPerThread,
                  rn_emu_bind(product, m, (float *)out, kind));
    cudaMemcpyAsync(got, out, sizeof got, cudaMemcpyDeviceToHost, cudaStreamPerThread);
    if (right(got))
        return 0;
    fprintf(stderr, "wrong sums\n");
    return 1;
}

/* What the driver refuses, one thing at a time. */
static int refusals(void)
{
    const cuuint64_t dim[] = {64, 8, 8, 2}, stride[] = {128, 1024, 8192}, odd[] = {136, 1088, 8704};
    const cuuint32_t step[] = {1, 1, 1, 1}, far[] = {1, 9, 1, 1};
    const int low[] = {0, 0}, high[] = {0, 0}, low_least[] = {-129, 0}, none[] = {-8, 0};
    CUtensorMap m;
    void *p;
    int wrong = 0;

    if (cudaMalloc(&p, 1 << 20) != cudaSuccess)
        return 2;
    char *at = (char *)p;
    const auto encode = [&](void *base, const cuuint64_t *strides, const int *lower, const int *upper,
                            unsigned channels, unsigned pixels, const cuuint32_t *steps) {
        return cuTensorMapEncodeIm2col(&m, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, base, dim, strides, lower, upper,
                                       channels, pixels, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                       CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                                       CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    };
    wrong += encode(at, stride, low, high, 64, 128, step) != CUDA_SUCCESS;
    wrong += encode(at + 8, stride, low, high, 64, 128, step) == CUDA_SUCCESS;
    wrong += encode(at, odd, low, high, 64, 128, step) == CUDA_SUCCESS;
    wrong += encode(at, stride, low_least, high, 64, 128, step) == CUDA_SUCCESS;
    wrong += encode(at, stride, low, none, 64, 128, step) == CUDA_SUCCESS; /* nothing in the box */
    wrong += encode(at, stride, low, high, 128, 128, step) == CUDA_SUCCESS;
    wrong += encode(at, stride, low, high, 64, 1025, step) == CUDA_SUCCESS;
    wrong += encode(at, stride, low, high, 64, 128, far) == CUDA_SUCCESS;
    return wrong;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "right") == 0)
        return run(RIGHT) + run(A_RIGHT);
    if (argc > 1 && strcmp(argv[1], "refusals") == 0)
        return refusals();
    for (const auto &l : list) {
        if (argc < 2)
            printf("%s\t%s\n", l.name, l.says);
        else if (strcmp(argv[1], l.name) == 0)
            return run(l.kind);
    }
    return argc < 2 ? 0 : 2;
}
