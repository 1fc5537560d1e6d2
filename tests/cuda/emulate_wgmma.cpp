/* SPDX-License-Identifier: MIT */
/* What cuda.h beside this file promises of products by groups of four warps. */
#include <deque>
#include <map>
#include <vector>

#include "cuda.h"
#include "cuda_runtime.h"

#include "kernels/cuda/cuda_mma_emulated.h"

/* Products of one shape into one thread's sums after another's. */
typedef struct product {
    uint64_t a, b;
    int n, kind, across, add, group;
} product;

/* A from registers: where each thread has them, and what was in them when the product was issued. */
typedef struct registers_a {
    const uint32_t *at[128];
    uint32_t is[128][4];
} registers_a;

typedef struct warps {
    bool fenced, any, busy; /* busy: `sums` are what the registers are about to be */
    int groups;
    float *d[128];
    int n;
    std::vector<float> sums, left; /* left: in the registers, by the last product */
    std::deque<product> products;
    std::deque<registers_a> from;                        /* of those whose A is in registers, in their order */
    std::map<const uint32_t *, std::vector<uint32_t>> a; /* what the last fence has seen in such registers */
} warps;

static warps groups[8];

typedef struct wgmma_lane {
    float *d;
    const uint32_t *a; /* NULL: A is in shared memory */
    product p;
} wgmma_lane;

static warps *group_now(void)
{
    return &groups[rn_emu_group_index()];
}

static void fence(void *const *)
{
    group_now()->fenced = true;
}

void rn_emu_wgmma_fence(void)
{
    rn_emu_group(fence, NULL);
}

static void fence_a(void *const *lanes)
{
    warps *w = group_now();

    w->fenced = true;
    for (int i = 0; i < 128; i++)
        w->a[(const uint32_t *)lanes[i]].assign((const uint32_t *)lanes[i], (const uint32_t *)lanes[i] + 4);
}

void rn_emu_wgmma_fence_a(uint32_t *a)
{
    rn_emu_group(fence_a, a);
}

/* The value of a matrix of 16 k at (row or column r, k), by the descriptor of it. Layouts of the PTX ISA, "Strides" and "Canonical
 * layouts": along k, 8 rows of 128 bytes, the next 8 rows SBO on; across k, 8 k of 64 values each, the next 64 values LBO on, the next 8
 * k SBO on. All of it swizzled by the bits of the address. */
static double element(uint64_t matrix, bool across, int r, int k, int kind)
{
    const uint32_t first = (uint32_t)(matrix & 0x3fff) << 4, lbo = (uint32_t)(matrix >> 16 & 0x3fff) << 4,
                   sbo = (uint32_t)(matrix >> 32 & 0x3fff) << 4;
    const uint32_t at = across ? first + (uint32_t)(r / 64) * lbo + (uint32_t)(r % 64) * 2 +
                                     (uint32_t)(k % 8) * RN_EMU_ROW + (uint32_t)(k / 8) * sbo
                               : first + (uint32_t)(r % 8) * RN_EMU_ROW + (uint32_t)(r / 8) * sbo + (uint32_t)k * 2;
    uint16_t v;

    const char *from = rn_emu_shared_bytes(rn_emu_swizzled(at), 2);
    rn_check_access(from, 2, 2, false);
    memcpy(&v, from, 2);
    return rn_mma_value(kind, v, 0);
}

static void check_matrix(uint64_t matrix)
{
    if (matrix >> 62 != 1 || (matrix >> 49 & 7) ||
        (matrix & ~(3ull << 62 | 0x3fffull << 32 | 0x3fffull << 16 | 0x3fffull)))
        rn_emu_die(
            "wgmma: the matrix is not swizzled by 128 bytes, has an offset of its pattern, or bits that mean nothing");
    if ((matrix & 0x3fff) << 4 & (RN_EMU_PATTERN - 1) & ~(uint64_t)(RN_EMU_ROW - 1))
        rn_emu_die("wgmma: the matrix does not begin in the first row of a pattern of 1,024 bytes");
}

/* A 64 x 16 from the threads' registers: the layout of mma.sync's m16n8k16, 16 rows to a warp. */
static void elements_of(const registers_a *from, int kind, double a[64][16])
{
    for (int i = 0; i < 128; i++) {
        const int g = i % 32 / 4, t = i % 4;
        if (memcmp(from->at[i], from->is[i], sizeof from->is[i]) != 0)
            rn_emu_die("wgmma: registers that A comes from were written before the product was waited for");
        for (int j = 0; j < 8; j++)
            a[i / 32 * 16 + g + j / 2 % 2 * 8][t * 2 + j % 2 + j / 4 * 8] =
                rn_mma_value(kind, from->is[i][j / 2], j % 2);
    }
}

/* Two neighbouring columns of a row, which are one thread's. */
typedef double columns __attribute__((vector_size(2 * sizeof(double))));

/* Sums are rounded towards zero, once an instruction, as those of mma.sync in cuda_mma_emulated.h. Eight columns at a time, whose additions do
 * not wait for each other. */
static void multiply(warps *w, const product *p)
{
    static double a[64][16];
    alignas(16) static double b[32][16][8];

    if (!p->a) {
        elements_of(&w->from.front(), p->kind, a);
        w->from.pop_front();
    }
    rn_check_thread(rn_emu_thread(), NULL, 0); /* reads for its group */
    for (int k = 0; k < 16; k++) {
        for (int r = 0; p->a && r < 64; r++)
            a[r][k] = element(p->a, p->across & 1, r, k, p->kind);
        for (int c = 0; c < p->n; c++)
            b[c / 8][k][c % 8] = element(p->b, p->across & 2, c, k, p->kind);
    }
    rn_check_thread(-1, NULL, 0);
    for (int r = 0; r < 64; r++) {
        float *const first = &w->sums[(size_t)((r / 16 * 32 + r % 8 * 4) * (p->n / 2) + r / 8 % 2 * 2)];
        for (int c = 0; c < p->n / 8; c++) {
            float *d[4];
            columns sum[4];
            for (int t = 0; t < 4; t++) {
                d[t] = first + t * (p->n / 2) + c * 4;
                sum[t] = p->add ? columns{d[t][0], d[t][1]} : columns{0, 0};
            }
            columns s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3];
            for (int k = 0; k < 16; k++) {
                const columns *of = (const columns *)b[c][k];
                const columns by = {a[r][k], a[r][k]};
                s0 += by * of[0];
                s1 += by * of[1];
                s2 += by * of[2];
                s3 += by * of[3];
            }
            sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;
            for (int t = 0; t < 4; t++) {
                d[t][0] = rn_round_to_zero(sum[t][0]);
                d[t][1] = rn_round_to_zero(sum[t][1]);
            }
        }
    }
}

/* Takes down the registers that A comes from. */
static void issue_a(warps *w, void *const *lanes)
{
    registers_a r;

    for (int i = 0; i < 128; i++) {
        r.at[i] = ((const wgmma_lane *)lanes[i])->a;
        memcpy(r.is[i], r.at[i], sizeof r.is[i]);
        const auto seen = w->a.find(r.at[i]);
        if (seen == w->a.end() || memcmp(seen->second.data(), r.is[i], sizeof r.is[i]) != 0)
            rn_emu_die("wgmma: the registers that A comes from were written, and no fence followed");
    }
    w->from.push_back(r);
}

static void issue(void *const *lanes)
{
    warps *w = group_now();
    const wgmma_lane *first = (const wgmma_lane *)lanes[0];
    const int sums = first->p.n / 2;

    if (first->a)
        issue_a(w, lanes);
    else
        check_matrix(first->p.a);
    check_matrix(first->p.b);
    if (first->p.n % 8 || first->p.n < 8 || first->p.n > 256)
        rn_emu_die("wgmma: a multiple of 8 columns to 256");
    for (int i = 0; i < 128; i++) {
        const wgmma_lane *l = (const wgmma_lane *)lanes[i];
        if (memcmp(&l->p, &first->p, sizeof l->p) != 0 || !l->a != !first->a)
            rn_emu_die("wgmma: threads of a group give it different operands");
        if (w->busy && (w->d[i] != l->d || w->n != first->p.n))
            rn_emu_die("wgmma: other sums while products are under way");
    }
    if (!w->busy) {
        w->sums.resize((size_t)(128 * sums));
        for (int i = 0; i < 128; i++) {
            w->d[i] = ((const wgmma_lane *)lanes[i])->d;
            memcpy(&w->sums[(size_t)(i * sums)], w->d[i], (size_t)sums * sizeof(float));
            memset(w->d[i], 0xff, (size_t)sums * sizeof(float)); /* NaN until it is waited for */
        }
        const bool same = w->any && w->left.size() == w->sums.size() &&
                          memcmp(w->left.data(), w->sums.data(), w->sums.size() * sizeof(float)) == 0;
        if (!same && !w->fenced)
            rn_emu_die("wgmma: the sums are new, or were written, and no fence followed");
    }
    w->busy = w->any = true;
    w->fenced = false;
    w->n = first->p.n;
    w->products.push_back(first->p);
    w->products.back().group = w->groups;
    if (rn_emu_draw() % 4 == 1) /* a device may be as fast as this */
        for (; !w->products.empty(); w->products.pop_front())
            multiply(w, &w->products.front());
}

static void give(float *d, const uint32_t *registers, uint64_t a, uint64_t b, int n, int kind, int across, bool add)
{
    wgmma_lane mine;

    memset(&mine, 0, sizeof mine);
    mine.d = d;
    mine.a = registers;
    mine.p.a = a;
    mine.p.b = b;
    mine.p.n = n;
    mine.p.kind = kind;
    mine.p.across = across;
    mine.p.add = add;
    rn_emu_group(issue, &mine);
}

void rn_emu_wgmma(float *d, uint64_t a, uint64_t b, int n, int kind, int across, bool add)
{
    give(d, NULL, a, b, n, kind, across, add);
}

void rn_emu_wgmma_a(float *d, const uint32_t *a, uint64_t b, int n, int kind, int across, bool add)
{
    give(d, a, 0, b, n, kind, across, add);
}

static void commit(void *const *)
{
    group_now()->groups++;
}

void rn_emu_wgmma_commit(void)
{
    rn_emu_group(commit, NULL);
}

static void wait(void *const *lanes)
{
    warps *w = group_now();
    const int pending = *(const int *)lanes[0];

    for (; !w->products.empty() && w->products.front().group < w->groups - pending; w->products.pop_front())
        multiply(w, &w->products.front());
    if (!w->busy || !w->products.empty())
        return;
    for (int i = 0; i < 128; i++)
        memcpy(w->d[i], &w->sums[(size_t)(i * (w->n / 2))], (size_t)(w->n / 2) * sizeof(float));
    w->left = w->sums;
    w->busy = false;
}

void rn_emu_wgmma_wait(int pending)
{
    rn_emu_group(wait, &pending);
}

typedef struct registers {
    int count;
    bool more;
} registers;

static void set_registers(void *const *lanes)
{
    const registers *r = (const registers *)lanes[0];

    if (r->count < 24 || r->count > 256 || r->count % 8)
        rn_emu_die("setmaxnreg: a multiple of 8 from 24 to 256");
    for (int i = 0; i < 128; i++)
        if (((const registers *)lanes[i])->count != r->count)
            rn_emu_die("setmaxnreg: threads of a group ask for different counts");
}

void rn_emu_registers(int count, bool more)
{
    registers mine = {count, more};

    rn_emu_group(set_registers, &mine);
}

void rn_emu_wgmma_begin(void)
{
    for (warps &w : groups) {
        w.fenced = w.any = w.busy = false;
        w.groups = 0;
        w.products.clear();
        w.from.clear();
        w.a.clear();
        w.left.clear();
    }
}

void rn_emu_wgmma_end(void)
{
    for (const warps &w : groups)
        if (w.busy || !w.products.empty())
            rn_emu_die("a block ends whose products nobody has waited for");
}
