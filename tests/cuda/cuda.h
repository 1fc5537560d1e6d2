/* SPDX-License-Identifier: MIT */
/*
 * Stands for the CUDA driver's header where kernels are compiled for the host (see cuda_runtime.h beside it): tensor maps, and behind
 * them what a kernel of sm_90a does with shared memory without waiting for it: mbarriers, copies by tensor maps (TMA), and products
 * by groups of four warps (wgmma). emulate_async.cpp and emulate_wgmma.cpp do it by the PTX ISA 9.x and the driver's documentation, and are stricter than a device
 * where that finds mistakes:
 *   - a copy comes as late as anybody can still wait for it, or at once (drawn), in any order; a product is made when it is waited for,
 *     until when its sums are NaN: whoever reads too early, or overwrites too early, has wrong sums;
 *   - a tensor map is refused for every reason that the driver documents, and where its tensor is not in one allocation;
 *   - what is undefined ends the program with the kernel's name: an mbarrier that is not there, not fenced, or overwritten; more bytes than
 *     it expects; a wait that nothing ends; a tile of swizzled rows that is not at a multiple of 1,024 bytes; a first pixel outside of the
 *     bounding box; sums, or registers that A comes from, that were written or are new, without a fence; such registers written before
 *     the product that reads them is waited for; products or copies that a block leaves behind.
 * Only what the kernels use is there: 16-bit values, rows of 128 bytes swizzled by 128 bytes.
 */
#ifndef CUDA_H
#define CUDA_H

#include <stdint.h>

typedef uint32_t cuuint32_t;
typedef uint64_t cuuint64_t;
typedef enum CUresult { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1 } CUresult;

typedef struct CUtensorMap_st {
    alignas(128) cuuint64_t opaque[16];
} CUtensorMap;

typedef enum CUtensorMapDataType {
    CU_TENSOR_MAP_DATA_TYPE_FLOAT16 = 6,
    CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9
} CUtensorMapDataType;
typedef enum CUtensorMapInterleave { CU_TENSOR_MAP_INTERLEAVE_NONE = 0 } CUtensorMapInterleave;
typedef enum CUtensorMapSwizzle { CU_TENSOR_MAP_SWIZZLE_NONE = 0, CU_TENSOR_MAP_SWIZZLE_128B = 3 } CUtensorMapSwizzle;
typedef enum CUtensorMapL2promotion {
    CU_TENSOR_MAP_L2_PROMOTION_NONE = 0,
    CU_TENSOR_MAP_L2_PROMOTION_L2_128B = 2,
    CU_TENSOR_MAP_L2_PROMOTION_L2_256B = 3
} CUtensorMapL2promotion;
typedef enum CUtensorMapFloatOOBfill { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE = 0 } CUtensorMapFloatOOBfill;

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
                                const cuuint64_t *dim, const cuuint64_t *stride, const cuuint32_t *box,
                                const cuuint32_t *step, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill);
CUresult cuTensorMapEncodeIm2col(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
                                 const cuuint64_t *dim, const cuuint64_t *stride, const int *low, const int *high,
                                 cuuint32_t channels, cuuint32_t pixels, const cuuint32_t *step,
                                 CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                 CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill);

/* ---- the inside of a kernel ---- */

#define __grid_constant__

/* Where p lies as shared memory counts it. Not more than 128-byte aligned where p is the block's first byte. */
uint32_t rn_emu_shared_address(const void *p);

void rn_emu_barrier_init(void *barrier, unsigned arrivals);
void rn_emu_barrier_fence(void);
void rn_emu_barrier_arrive(void *barrier);
void rn_emu_barrier_expect(void *barrier, unsigned bytes); /* and arrives */
void rn_emu_barrier_wait(void *barrier, unsigned parity);

void rn_emu_copy_tile(void *to, const CUtensorMap *map, void *barrier, int rank, const int *at);
/* at: channel, x, y, image. */
void rn_emu_copy_pixels(void *to, const CUtensorMap *map, void *barrier, const int *at, int off_x, int off_y);

/* All threads of a group of 128. across: 1 A, 2 B, whose rows in shared memory lie across k. kind: 0 bf16, 1 f16. */
void rn_emu_wgmma_fence(void);
void rn_emu_wgmma(float *d, uint64_t a, uint64_t b, int n, int kind, int across, bool add);
/* A from 4 registers of each thread, which are read when the product is made. */
void rn_emu_wgmma_fence_a(uint32_t *a);
void rn_emu_wgmma_a(float *d, const uint32_t *a, uint64_t b, int n, int kind, int across, bool add);
void rn_emu_wgmma_commit(void);
void rn_emu_wgmma_wait(int pending);
void rn_emu_registers(int count, bool more);

/* ---- between emulate.cpp and these two ---- */

/* Bytes of a row, and of the 8 rows that a swizzled pattern has. */
enum { RN_EMU_ROW = 128, RN_EMU_PATTERN = 1024 };

static inline uint32_t rn_emu_swizzled(uint32_t address)
{
    return address ^ (address >> 7 & 7) << 4;
}

void rn_emu_die(const char *what);
uint64_t rn_emu_draw(void); /* 0: nothing is to be drawn */
bool rn_emu_on_device(const void *p, uint64_t bytes);
/* The bytes at an address of shared memory; ends the program where the block has not all of them. */
char *rn_emu_shared_bytes(uint32_t address, uint32_t bytes);
/* Until ready(what); `why` is told where that never comes. */
void rn_emu_await(bool (*ready)(const void *what), const void *what, const char *why);
/* As rn_emu_warp, for the 128 threads of a group of warps. */
void rn_emu_group(void (*fn)(void *const *lanes), void *mine);
int rn_emu_group_index(void);

/* A block begins; brings one copy that is under way, false: there is none; a block has ended. */
void rn_emu_async_begin(void);
bool rn_emu_async_step(void);
void rn_emu_async_end(void);
void rn_emu_wgmma_begin(void);
void rn_emu_wgmma_end(void);
/* "cuTensorMapEncode...", NULL: not known. */
void *rn_emu_driver_function(const char *name);

#endif
