/* SPDX-License-Identifier: MIT */
/* What cuda.h beside this file promises of tensor maps, mbarriers and copies. */
#include <stdio.h>

#include <map>
#include <vector>

#include "cuda.h"
#include "cuda_runtime.h"

/* ---- tensor maps ------------------------------------------------------------------------------------------------------ */

typedef struct tensor_map {
    uint64_t magic;
    const char *base;
    uint64_t dim[4], stride[4]; /* elements; bytes, stride[0] being an element's */
    uint16_t box[4];            /* tiled; pixels: channels, pixels */
    int8_t low[2], high[2];     /* pixels: x, y */
    uint8_t step[4];
    uint8_t rank;
    bool pixels;
} tensor_map;

static_assert(sizeof(tensor_map) <= sizeof(CUtensorMap), "a tensor map has room for it");
static const uint64_t MAP = 0x70616d2d726f7374u;

/* What both kinds are refused for; false: refused. Fills all but the box. */
static bool common(tensor_map *m, CUtensorMap *out, CUtensorMapDataType type, cuuint32_t rank, void *address,
                   const cuuint64_t *dim, const cuuint64_t *stride, const cuuint32_t *step, CUtensorMapSwizzle swizzle)
{
    uint64_t last = 0;

    memset(m, 0, sizeof *m);
    if ((uintptr_t)out % 64 || (uintptr_t)address % 16 || rank < 1 || rank > 4 ||
        (type != CU_TENSOR_MAP_DATA_TYPE_FLOAT16 && type != CU_TENSOR_MAP_DATA_TYPE_BFLOAT16) ||
        swizzle != CU_TENSOR_MAP_SWIZZLE_128B)
        return false;
    m->stride[0] = 2;
    for (cuuint32_t i = 0; i < rank; i++) {
        if (dim[i] < 1 || dim[i] > (uint64_t)1 << 32 || step[i] < 1 || step[i] > 8)
            return false;
        m->dim[i] = dim[i];
        m->step[i] = i ? (uint8_t)step[i] : 1;
        if (i) {
            if (stride[i - 1] % 16 || stride[i - 1] >= (uint64_t)1 << 40 ||
                stride[i - 1] < m->stride[i - 1] * m->dim[i - 1])
                return false;
            m->stride[i] = stride[i - 1];
        }
        last += m->stride[i] * (dim[i] - 1);
    }
    if (!rn_emu_on_device(address, last + 2)) {
        fprintf(stderr, "emulated device: a tensor map of %llu bytes that are not in one allocation\n",
                (unsigned long long)last + 2);
        abort();
    }
    m->magic = MAP;
    m->base = (const char *)address;
    m->rank = (uint8_t)rank;
    return true;
}

CUresult cuTensorMapEncodeTiled(CUtensorMap *out, CUtensorMapDataType type, cuuint32_t rank, void *address,
                                const cuuint64_t *dim, const cuuint64_t *stride, const cuuint32_t *box,
                                const cuuint32_t *step, CUtensorMapInterleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill)
{
    tensor_map m;

    if (!common(&m, out, type, rank, address, dim, stride, step, swizzle) || box[0] * 2 > RN_EMU_ROW || box[0] * 2 % 16)
        return CUDA_ERROR_INVALID_VALUE;
    for (cuuint32_t i = 0; i < rank; i++) {
        if (box[i] < 1 || box[i] > 256)
            return CUDA_ERROR_INVALID_VALUE;
        m.box[i] = (uint16_t)box[i];
    }
    memcpy(out, &m, sizeof m);
    return CUDA_SUCCESS;
}

CUresult cuTensorMapEncodeIm2col(CUtensorMap *out, CUtensorMapDataType type, cuuint32_t rank, void *address,
                                 const cuuint64_t *dim, const cuuint64_t *stride, const int *low, const int *high,
                                 cuuint32_t channels, cuuint32_t pixels, const cuuint32_t *step, CUtensorMapInterleave,
                                 CUtensorMapSwizzle swizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill)
{
    tensor_map m;

    if (rank != 4 || !common(&m, out, type, rank, address, dim, stride, step, swizzle) || channels < 1 ||
        channels > 256 || channels * 2 > RN_EMU_ROW || channels * 2 % 16 || pixels < 1 || pixels > 1024)
        return CUDA_ERROR_INVALID_VALUE;
    for (int i = 0; i < 2; i++) {
        if (low[i] < -128 || low[i] > 127 || high[i] < -128 || high[i] > 127 ||
            (int64_t)dim[i + 1] - 1 + high[i] < low[i])
            return CUDA_ERROR_INVALID_VALUE;
        m.low[i] = (int8_t)low[i];
        m.high[i] = (int8_t)high[i];
    }
    m.box[0] = (uint16_t)channels;
    m.box[1] = (uint16_t)pixels;
    m.pixels = true;
    memcpy(out, &m, sizeof m);
    return CUDA_SUCCESS;
}

void *rn_emu_driver_function(const char *name)
{
    return strcmp(name, "cuTensorMapEncodeTiled") == 0    ? (void *)cuTensorMapEncodeTiled
           : strcmp(name, "cuTensorMapEncodeIm2col") == 0 ? (void *)cuTensorMapEncodeIm2col
                                                          : NULL;
}

/* ---- mbarriers -------------------------------------------------------------------------------------------------------- */

typedef struct mbarrier {
    unsigned arrivals, pending;
    int64_t bytes; /* expected and not there yet */
    unsigned phase;
    bool fenced;
    int by; /* the thread that made it */
} mbarrier;

typedef struct copy {
    uint32_t to, barrier;
    tensor_map map;
    int at[4], off_x, off_y;
    int by; /* the thread that asked for it */
} copy;

static struct {
    std::map<uint32_t, mbarrier> barriers;
    std::vector<copy> copies;
} block;

static const uint64_t BARRIER = 0x7265697272616221u;

static int thread_index(void)
{
    return (int)(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
}

static mbarrier *barrier_at(uint32_t address)
{
    const auto at = block.barriers.find(address);
    uint64_t there;

    memcpy(&there, rn_emu_shared_bytes(address, 8), 8);
    if (at == block.barriers.end() || there != BARRIER + address)
        rn_emu_die("an mbarrier that is not initialised, or was overwritten");
    return &at->second;
}

static void barrier_turn(mbarrier *b)
{
    if (b->pending == 0 && b->bytes == 0) {
        b->phase++;
        b->pending = b->arrivals;
    }
}

void rn_emu_barrier_init(void *barrier, unsigned arrivals)
{
    const uint32_t address = rn_emu_shared_address(barrier);
    const uint64_t mark = BARRIER + address;

    if (address % 8 || arrivals < 1 || arrivals >= 1u << 20 || block.barriers.count(address))
        rn_emu_die("mbarrier.init: not at a multiple of 8, again, or of no or too many arrivals");
    memcpy(rn_emu_shared_bytes(address, 8), &mark, 8);
    block.barriers[address] = mbarrier{arrivals, arrivals, 0, 0, false, thread_index()};
}

void rn_emu_barrier_fence(void)
{
    for (auto &b : block.barriers)
        b.second.fenced = b.second.fenced || b.second.by == thread_index();
}

/* A phase of an mbarrier, for the checker. */
static const void *phase_of(uint32_t address, unsigned phase)
{
    return (const void *)((uintptr_t)phase << 32 | address);
}

static void arrive(uint32_t address)
{
    mbarrier *b = barrier_at(address);

    rn_check_release(thread_index(), phase_of(address, b->phase));
    if (b->pending == 0)
        rn_emu_die("more arrive at an mbarrier than it was initialised for");
    b->pending--;
    barrier_turn(b);
}

void rn_emu_barrier_arrive(void *barrier)
{
    arrive(rn_emu_shared_address(barrier));
}

void rn_emu_barrier_expect(void *barrier, unsigned bytes)
{
    mbarrier *b = barrier_at(rn_emu_shared_address(barrier));

    b->bytes += bytes;
    if (b->bytes >= 1 << 20)
        rn_emu_die("an mbarrier expects more bytes than it can count");
    arrive(rn_emu_shared_address(barrier));
}

typedef struct awaited {
    uint32_t address;
    unsigned parity;
} awaited;

static bool barrier_ready(const void *what)
{
    const awaited *w = (const awaited *)what;

    return (barrier_at(w->address)->phase & 1) != w->parity;
}

void rn_emu_barrier_wait(void *barrier, unsigned parity)
{
    const awaited w = {rn_emu_shared_address(barrier), parity};

    if (parity > 1)
        rn_emu_die("a parity is 0 or 1");
    rn_emu_await(barrier_ready, &w, "waits for an mbarrier whose arrivals or bytes do not come");
    rn_check_acquire(thread_index(), phase_of(w.address, barrier_at(w.address)->phase - 1));
}

/* ---- copies ----------------------------------------------------------------------------------------------------------- */

/* A row of `count` values from channel c on of what lies at `from`, NULL: of zeros. */
static void put_row(uint32_t to, const char *from, int64_t c, uint64_t channels, int count)
{
    for (int i = 0; i < count; i++) {
        char *at = rn_emu_shared_bytes(rn_emu_swizzled(to + 2 * (uint32_t)i), 2);
        if (from && c + i >= 0 && (uint64_t)(c + i) < channels)
            memcpy(at, from + (c + i) * 2, 2);
        else
            memset(at, 0, 2);
    }
}

static bool within(const tensor_map *m, int i, int64_t at)
{
    return at >= 0 && (uint64_t)at < m->dim[i];
}

static uint32_t deliver_tile(const copy *c)
{
    const tensor_map *m = &c->map;
    const int lines = m->rank > 1 ? m->box[1] : 1, planes = m->rank > 2 ? m->box[2] : 1;

    for (int i = 0; i < lines * planes; i++) {
        const int64_t y = (int64_t)c->at[1] + i % lines, z = (int64_t)c->at[2] + i / lines;
        const bool there = within(m, 1, y) && (m->rank < 3 || within(m, 2, z));
        const char *from = m->base + y * (int64_t)m->stride[1] + (m->rank < 3 ? 0 : z * (int64_t)m->stride[2]);
        put_row(c->to + (uint32_t)i * RN_EMU_ROW, there ? from : NULL, c->at[0], m->dim[0], m->box[0]);
    }
    return (uint32_t)(lines * planes) * m->box[0] * 2;
}

/* From one first pixel to the next within the bounding box, line by line and image by image. */
static uint32_t deliver_pixels(const copy *c)
{
    const tensor_map *m = &c->map;
    int64_t x = c->at[1], y = c->at[2], n = c->at[3];

    for (int i = 0; i < m->box[1]; i++) {
        const bool there = within(m, 1, x + c->off_x) && within(m, 2, y + c->off_y) && within(m, 3, n);
        const char *from = m->base + n * (int64_t)m->stride[3] + (y + c->off_y) * (int64_t)m->stride[2] +
                           (x + c->off_x) * (int64_t)m->stride[1];
        put_row(c->to + (uint32_t)i * RN_EMU_ROW, there ? from : NULL, c->at[0], m->dim[0], m->box[0]);
        x += m->step[1];
        if (x > (int64_t)m->dim[1] - 1 + m->high[0]) {
            x = m->low[0];
            y += m->step[2];
        }
        if (y > (int64_t)m->dim[2] - 1 + m->high[1]) {
            y = m->low[1];
            n += m->step[3];
        }
    }
    return (uint32_t)m->box[1] * m->box[0] * 2;
}

static uint32_t bytes_of(const tensor_map *m)
{
    const uint32_t rows = m->pixels ? m->box[1] : (m->rank > 1 ? m->box[1] : 1u) * (m->rank > 2 ? m->box[2] : 1u);

    return rows * m->box[0] * 2;
}

static void deliver(size_t i)
{
    const copy c = block.copies[i];

    block.copies.erase(block.copies.begin() + (long)i);
    const uint32_t bytes = c.map.pixels ? deliver_pixels(&c) : deliver_tile(&c);
    mbarrier *b = barrier_at(c.barrier);
    rn_check_async_done(c.by, rn_emu_shared_bytes(c.to, bytes), bytes);
    rn_check_release(c.by, phase_of(c.barrier, b->phase));
    b->bytes -= bytes;
    if (b->bytes < 0)
        rn_emu_die("more bytes come to an mbarrier than it expects");
    barrier_turn(b);
}

static tensor_map map_of(const CUtensorMap *map, bool pixels)
{
    tensor_map m;

    memcpy(&m, map, sizeof m);
    if ((uintptr_t)map % 64 || m.magic != MAP || m.pixels != pixels)
        rn_emu_die("a copy by what is no tensor map of its kind");
    return m;
}

static void start(copy *c, void *to, void *barrier)
{
    c->to = rn_emu_shared_address(to);
    c->barrier = rn_emu_shared_address(barrier);
    if (c->to % RN_EMU_PATTERN || c->map.box[0] * 2 != RN_EMU_ROW)
        rn_emu_die("a swizzled tile that is not of whole rows of 128 bytes at a multiple of 1,024");
    if (!barrier_at(c->barrier)->fenced)
        rn_emu_die("a copy tells an mbarrier whose initialisation was not fenced");
    c->by = thread_index();
    rn_check_async(rn_emu_shared_bytes(c->to, bytes_of(&c->map)), bytes_of(&c->map));
    block.copies.push_back(*c);
    if (rn_emu_draw() % 4 == 1)
        deliver(block.copies.size() - 1);
}

void rn_emu_copy_tile(void *to, const CUtensorMap *map, void *barrier, int rank, const int *at)
{
    copy c = {};

    c.map = map_of(map, false);
    for (int i = 0; i < rank; i++)
        c.at[i] = at[i];
    if (c.map.rank != rank)
        rn_emu_die("a copy of another rank than its tensor map's");
    for (int i = 1; i < rank; i++)
        if (c.map.step[i] != 1)
            rn_emu_die("tiles with steps are not emulated");
    start(&c, to, barrier);
}

void rn_emu_copy_pixels(void *to, const CUtensorMap *map, void *barrier, const int *at, int off_x, int off_y)
{
    const int off[2] = {off_x, off_y};
    copy c = {};

    c.map = map_of(map, true);
    for (int i = 0; i < 4; i++)
        c.at[i] = at[i];
    c.off_x = off_x;
    c.off_y = off_y;
    for (int i = 0; i < 2; i++) {
        if (off[i] < 0 || off[i] > 255)
            rn_emu_die("a copy's offset is not of 8 bits");
        if (at[i + 1] < c.map.low[i] || at[i + 1] > (int64_t)c.map.dim[i + 1] - 1 + c.map.high[i])
            rn_emu_die("a copy whose first pixel is not in the bounding box");
    }
    start(&c, to, barrier);
}

bool rn_emu_async_step(void)
{
    if (block.copies.empty())
        return false;
    deliver((size_t)(rn_emu_draw() % block.copies.size()));
    return true;
}

/* ---- blocks ----------------------------------------------------------------------------------------------------------- */

void rn_emu_async_begin(void)
{
    block.barriers.clear();
    block.copies.clear();
    rn_emu_wgmma_begin();
}

void rn_emu_async_end(void)
{
    if (!block.copies.empty())
        rn_emu_die("a block ends while copies to it are under way");
    rn_emu_wgmma_end();
}
