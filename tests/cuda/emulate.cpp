/* SPDX-License-Identifier: MIT */
/* A device in software: cuda_runtime.h beside this file says what for. One thread of the host drives it. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <deque>
#include <map>
#include <vector>

#include "cuda.h"
#include "cuda_runtime.h"
#include "emulate_check.h"

enum { STACK = 256 << 10, THREADS_MOST = 1024, SHARED_DEFAULT = 48 << 10, SHARED_MOST = 227 << 10, GROUP = 128 };
/* Where a block's shared memory begins: aligned by no more than RN_CUDA_SHARED promises. */
enum { SHARED_AT = 1024 + 128 };

rn_emu_place rn_emu;

static void die(const char *what, const char *name)
{
    fprintf(stderr, "emulated device: %s: %s, block %u,%u,%u thread %u,%u,%u\n", name, what, blockIdx.x, blockIdx.y,
            blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    abort();
}

/* ---- fibers --------------------------------------------------------------------------------------------------------- */

/* Saves what a call must keep and the stack's top in *from, and goes on where `to` was left. */
extern "C" void rn_emu_switch(void **from, void *to);
#if defined(__x86_64__)
__asm__(".text\n"
        ".type rn_emu_switch, @function\n"
        "rn_emu_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size rn_emu_switch, . - rn_emu_switch\n");
enum { SAVED = 6 };
#elif defined(__aarch64__)
__asm__(".text\n"
        ".type rn_emu_switch, @function\n"
        "rn_emu_switch:\n"
        "  sub sp, sp, #160\n"
        "  stp x19, x20, [sp]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n  stp x25, x26, [sp, #48]\n"
        "  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n"
        "  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
        "  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
        "  ldp x19, x20, [sp]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n  ldp x25, x26, [sp, #48]\n"
        "  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n"
        "  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
        "  add sp, sp, #160\n  ret\n"
        ".size rn_emu_switch, . - rn_emu_switch\n");
#else
#error "the emulated device knows x86-64 and aarch64"
#endif

typedef struct fiber {
    char *stack; /* NULL: none yet */
    void *top;
    dim3 place;
    enum { NEW, READY, AT_BARRIER, IN_WARP, IN_GROUP, AWAITS, GONE } state;
    void (*fn)(void *const *); /* IN_WARP, IN_GROUP */
    void *mine;
    bool (*ready)(const void *); /* AWAITS */
    const void *what;
    const char *why;
} fiber;

static struct {
    const char *name, *given; /* the kernel that runs; the last that was given to a stream */
    const std::function<void()> *body;
    std::vector<fiber> fibers;
    fiber *now;
    void *host; /* the stack that runs them */
    std::vector<char *> stacks;
    char *shared;
    size_t shared_bytes; /* of the kernel that runs */
    std::map<const void *, int> allowed;
    cudaError_t error;
    uint64_t random, allocations;
    bool waited; /* a stream was told to wait for another: the first batch travels */
} emu;

static uint64_t draw(void)
{
    emu.random ^= emu.random << 13;
    emu.random ^= emu.random >> 7;
    emu.random ^= emu.random << 17;
    return emu.random;
}

static void enter(void)
{
    (*emu.body)();
    emu.now->state = fiber::GONE;
    rn_emu_switch(&emu.now->top, emu.host);
    die("a thread went on after its end", emu.name);
}

static char *stack_get(void)
{
    if (!emu.stacks.empty()) {
        char *s = emu.stacks.back();
        emu.stacks.pop_back();
        return s;
    }
    char *s = (char *)mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s == MAP_FAILED)
        die("no memory for a stack", emu.name);
    mprotect(s, 4096, PROT_NONE);
    return s;
}

static void resume(fiber *f)
{
    if (f->state == fiber::NEW) {
        f->stack = stack_get();
        uintptr_t top = ((uintptr_t)f->stack + STACK) & ~(uintptr_t)63;
#if defined(__x86_64__)
        void **sp = (void **)(top - 64);
        *--sp = NULL;          /* as a call would have left the stack: 8 below a multiple of 16 */
        *--sp = (void *)enter; /* where ret goes */
        sp -= SAVED;
        memset(sp, 0, SAVED * sizeof *sp);
#else
        void **sp = (void **)(top - 64 - 160);
        memset(sp, 0, 160);
        sp[11] = (void *)enter;
#endif
        f->top = sp;
    }
    f->state = fiber::READY;
    emu.now = f;
    rn_emu.thread = f->place;
    rn_check_thread((int)(f - emu.fibers.data()), f->stack, STACK);
    rn_emu_switch(&emu.host, f->top);
    rn_check_thread(-1, NULL, 0);
    if (f->state == fiber::GONE) {
        emu.stacks.push_back(f->stack);
        f->stack = NULL;
    }
}

static void leave(void)
{
    fiber *f = emu.now;

    rn_emu_switch(&f->top, emu.host);
}

void rn_emu_barrier(void)
{
    emu.now->state = fiber::AT_BARRIER;
    leave();
}

void rn_emu_warp(void (*fn)(void *const *), void *mine)
{
    emu.now->state = fiber::IN_WARP;
    emu.now->fn = fn;
    emu.now->mine = mine;
    leave();
}

void rn_emu_group(void (*fn)(void *const *), void *mine)
{
    emu.now->state = fiber::IN_GROUP;
    emu.now->fn = fn;
    emu.now->mine = mine;
    leave();
}

int rn_emu_group_index(void)
{
    return (int)(emu.now - emu.fibers.data()) / GROUP;
}

void rn_emu_await(bool (*ready)(const void *), const void *what, const char *why)
{
    if (ready(what))
        return;
    emu.now->state = fiber::AWAITS;
    emu.now->ready = ready;
    emu.now->what = what;
    emu.now->why = why;
    leave();
}

void rn_emu_die(const char *what)
{
    die(what, emu.name);
}

uint64_t rn_emu_draw(void)
{
    return emu.random ? draw() : 0;
}

int rn_emu_thread(void)
{
    return (int)(emu.now - emu.fibers.data());
}

void rn_emu_meet(void *const *lanes)
{
    int threads[32];

    for (int i = 0; i < 32; i++)
        threads[i] = *(const int *)lanes[i];
    rn_check_meet(threads, 32);
}

void rn_emu_whole_warp(unsigned mask)
{
    if (mask != 0xffffffffu)
        die("something that only a part of a warp's lanes are to do, which is not emulated", emu.name);
}

void *rn_emu_shared(void)
{
    return emu.shared;
}

uint32_t rn_emu_shared_address(const void *p)
{
    return SHARED_AT + (uint32_t)((const char *)p - emu.shared);
}

char *rn_emu_shared_bytes(uint32_t address, uint32_t bytes)
{
    if (address < SHARED_AT || address + bytes > SHARED_AT + emu.shared_bytes)
        die("shared memory is read or written where the block has none", emu.name);
    return emu.shared + (address - SHARED_AT);
}

/* ---- blocks ----------------------------------------------------------------------------------------------------------- */

/* A warp or a group of four, `count` threads from `first` on, whose lanes all wait for the same thing. */
static bool step_lanes(size_t first, size_t count)
{
    void *lanes[GROUP] = {NULL};

    if (first + count > emu.fibers.size())
        return false;
    for (size_t i = 0; i < count; i++) {
        const fiber &f = emu.fibers[first + i];
        if (f.state != (count == GROUP ? fiber::IN_GROUP : fiber::IN_WARP) || f.fn != emu.fibers[first].fn)
            return false;
        lanes[i] = f.mine;
    }
    emu.now = &emu.fibers[first];
    rn_emu.thread = emu.now->place;
    emu.now->fn(lanes);
    for (size_t i = first; i < first + count; i++)
        emu.fibers[i].state = fiber::READY;
    return true;
}

/* order[at..end) is a warp: as far as it comes before it waits for others. */
static void run_warp(const std::vector<unsigned> &order, size_t at, size_t end)
{
    do {
        for (size_t i = at; i < end; i++) {
            fiber *f = &emu.fibers[order[i]];
            if (f->state == fiber::NEW || f->state == fiber::READY)
                resume(f);
        }
    } while (step_lanes(order[at] / 32 * 32, 32));
}

static bool step_groups(void)
{
    bool any = false;

    for (size_t first = 0; first < emu.fibers.size(); first += GROUP)
        any = step_lanes(first, GROUP) || any;
    return any;
}

/* Those that have what they waited for. */
static bool step_waits(void)
{
    bool any = false;

    for (fiber &f : emu.fibers) {
        if (f.state == fiber::AWAITS && f.ready(f.what)) {
            f.state = fiber::READY;
            any = true;
        }
    }
    return any;
}

/* All that live are at the barrier: goes on. */
static bool step_block(void)
{
    bool any = false;

    for (const fiber &f : emu.fibers) {
        if (f.state != fiber::GONE && f.state != fiber::AT_BARRIER)
            return false;
        any = any || f.state == fiber::AT_BARRIER;
    }
    for (fiber &f : emu.fibers)
        f.state = f.state == fiber::AT_BARRIER ? fiber::READY : f.state;
    rn_check_barrier();
    return any;
}

/* Whether anybody is left who may wait for something. */
static bool lives(void)
{
    for (const fiber &f : emu.fibers)
        if (f.state != fiber::GONE)
            return true;
    return false;
}

static void run_block(dim3 block, size_t shared, const std::vector<unsigned> &order)
{
    rn_emu.block = block;
    emu.shared_bytes = shared;
    memset(emu.shared, 0xff, shared); /* NaN */
    rn_emu_async_begin();
    for (size_t i = 0; i < emu.fibers.size(); i++) {
        emu.fibers[i].state = fiber::NEW;
        emu.fibers[i].place = dim3((unsigned)i % rn_emu.threads.x, (unsigned)i / rn_emu.threads.x % rn_emu.threads.y,
                                   (unsigned)i / rn_emu.threads.x / rn_emu.threads.y);
    }
    for (bool any = true; any;) {
        for (size_t at = 0, end; at < order.size(); at = end) {
            for (end = at + 1; end < order.size() && order[end] / 32 == order[at] / 32; end++)
                ;
            run_warp(order, at, end);
        }
        any = step_groups() || step_waits() || step_block() || (lives() && rn_emu_async_step());
    }
    for (const fiber &f : emu.fibers)
        if (f.state != fiber::GONE) {
            rn_emu.thread = f.place;
            die(f.state == fiber::AT_BARRIER ? "waits at a barrier that others do not come to"
                : f.state == fiber::AWAITS   ? f.why
                : f.state == fiber::IN_GROUP ? "waits for threads of its group of warps that do not come"
                                             : "waits for lanes of its warp that do not come",
                emu.name);
        }
    rn_emu_async_end();
}

static void shuffle(std::vector<unsigned> &v)
{
    for (size_t i = v.size(); emu.random && i > 1; i--)
        std::swap(v[i - 1], v[draw() % i]);
}

/* All threads, warp by warp: in another order, and other lanes first in each. */
static std::vector<unsigned> warp_by_warp(unsigned threads)
{
    std::vector<unsigned> warps, order;

    for (unsigned i = 0; i < threads; i += 32)
        warps.push_back(i);
    shuffle(warps);
    for (unsigned first : warps) {
        std::vector<unsigned> lanes;
        for (unsigned i = first; i < first + 32 && i < threads; i++)
            lanes.push_back(i);
        shuffle(lanes);
        order.insert(order.end(), lanes.begin(), lanes.end());
    }
    return order;
}

static void seed(void)
{
    static bool done;
    const char *text = getenv("RNKIT_EMULATE_SEED");
    char *end = NULL;

    if (done)
        return;
    done = true;
    emu.random = 1;
    if (text) {
        errno = 0;
        emu.random = strtoull(text, &end, 10);
        if (errno || end == text || *end) {
            fprintf(stderr, "RNKIT_EMULATE_SEED=%s: not a number\n", text);
            abort();
        }
    }
    emu.shared = (char *)aligned_alloc(128, SHARED_MOST / 128 * 128 + 128);
    if (!emu.shared)
        abort();
}

static void open_memory(bool open);
static void called(bool kernel);
static void give(cudaStream_t s, const std::function<void()> &f);

/* What a stream does with a launch, when it comes to it. */
static void run_kernel(const char *name, dim3 grid, dim3 block, size_t shared, const std::function<void()> &body)
{
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;

    emu.name = name;
    emu.body = &body;
    emu.fibers.assign((size_t)threads, fiber());
    rn_emu.threads = block;
    rn_emu.blocks = grid;
    const std::vector<unsigned> order = warp_by_warp((unsigned)threads);
    open_memory(true);
    rn_check_kernel(name, emu.shared, shared);
    const uint64_t n = (uint64_t)grid.x * grid.y * grid.z, turn = emu.random ? draw() % n : 0;
    const bool up = emu.random & 1;
    for (uint64_t i = 0; i < n; i++) { /* another first one; in the other direction half of the time */
        const uint64_t k = up ? (turn + i) % n : (turn + n - i) % n;
        rn_check_block(k);
        run_block(dim3((unsigned)(k % grid.x), (unsigned)(k / grid.x % grid.y), (unsigned)(k / grid.x / grid.y)),
                  shared, order);
    }
    open_memory(false);
}

void rn_emu_launch(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t s,
                   const std::function<void()> &body)
{
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    const auto allowed = emu.allowed.find(kernel);

    seed();
    called(true);
    emu.given = name;
    if (threads < 1 || threads > THREADS_MOST || block.z > 64 || grid.x < 1 || grid.x > 0x7fffffffu || grid.y < 1 ||
        grid.y > 65535 || grid.z < 1 || grid.z > 65535 ||
        shared > (size_t)(allowed == emu.allowed.end() ? SHARED_DEFAULT : allowed->second)) {
        fprintf(stderr, "emulated device: %s: grid %u,%u,%u block %u,%u,%u shared %zu: not possible\n", name, grid.x,
                grid.y, grid.z, block.x, block.y, block.z, shared);
        emu.error = cudaErrorInvalidConfiguration;
        return;
    }
    give(s, [=]() { run_kernel(name, grid, block, shared, body); });
}

/* ---- memory ------------------------------------------------------------------------------------------------------------- */

/* Pages of which the last follows the allocation at once, but for what 256-byte alignment leaves: those bytes are canaries. */
typedef struct memory {
    char *map;
    size_t mapped, bytes;
} memory;

static std::map<uintptr_t, memory> device;
static const unsigned char CANARY = 0xa5;

static size_t pages(size_t bytes)
{
    return (bytes + 4095) / 4096 * 4096;
}

static void open_memory(bool open)
{
    for (auto &m : device)
        mprotect(m.second.map, m.second.mapped - 4096, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

static void not_captured(const char *what);

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    size_t free, total;

    not_captured("cudaMalloc");
    emu.allocations += emu.waited;
    cudaMemGetInfo(&free, &total);
    if (bytes > free)
        return emu.error = cudaErrorMemoryAllocation;
    memory m = {NULL, 0, bytes};
    const size_t room = (bytes + 255) / 256 * 256;

    m.mapped = pages(room) + 4096;
    m.map = (char *)mmap(NULL, m.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m.map == MAP_FAILED)
        return emu.error = cudaErrorMemoryAllocation;
    char *p = m.map + pages(room) - room;
    memset(p, 0xff, bytes);
    memset(p + bytes, CANARY, room - bytes);
    mprotect(m.map, m.mapped, PROT_NONE);
    device[(uintptr_t)p] = m;
    rn_check_alloc(p, bytes, false);
    *out = p;
    return cudaSuccess;
}

/* RNKIT_EMULATE_MEMORY=MIB: what the device has; 2 GiB. */
cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    const char *text = getenv("RNKIT_EMULATE_MEMORY");
    size_t used = 0;

    *total = text ? (size_t)atoll(text) << 20 : (size_t)1 << 31;
    for (const auto &m : device)
        used += m.second.bytes;
    *free = used < *total ? *total - used : 0;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    const auto at = device.find((uintptr_t)p);

    if (!p)
        return cudaSuccess;
    cudaDeviceSynchronize();
    if (at == device.end())
        die("cudaFree of what is not an allocation", "host");
    const memory m = at->second;
    mprotect(m.map, m.mapped - 4096, PROT_READ);
    for (size_t i = m.bytes; i < (m.bytes + 255) / 256 * 256; i++)
        if (((unsigned char *)p)[i] != CANARY)
            die("something was written behind an allocation", "host");
    munmap(m.map, m.mapped);
    device.erase(at);
    rn_check_free(p);
    return cudaSuccess;
}

/* Whether [p, p + bytes) lies in one allocation. */
static bool on_device(const void *p, size_t bytes)
{
    auto at = device.upper_bound((uintptr_t)p);

    if (at == device.begin())
        return false;
    at--;
    return (uintptr_t)p - at->first <= at->second.bytes && bytes <= at->second.bytes - ((uintptr_t)p - at->first);
}

/* ---- streams ------------------------------------------------------------------------------------------------------------- */

/*
 * Streams are as late as they may be: kernels and copies to and from page-locked memory are done when somebody waits for them, so
 * that whoever does not, where he should, reads what was there before, and whoever changes the host's memory too early has what
 * comes after copied. With RNKIT_EMULATE_STREAMS=early they are as early as they may be: whoever gives them too early what others
 * still make, has what was there before. With RNKIT_EMULATE_STREAMS=own-late the thread's own stream is late and all others are
 * early: one that fills what the thread's own still reads, without a wait, spoils it. CUDA's old default stream is not there: it
 * cannot be captured; cudaStreamPerThread may not be, as the former's use would break that off. The thread's own is the latter, and
 * the first that it opens. A stream is never freed: events may still name it.
 */
struct CUstream_st {
    std::deque<std::function<void()>> todo;
    uint64_t given, done;
    cudaGraph_t capture; /* where what is given is kept; NULL: it is done */
    size_t branch;       /* of that graph */
    unsigned asked;      /* whether it has come to its end */
};
struct CUevent_st {
    struct timespec at;
    cudaStream_t stream;
    uint64_t given;   /* to that stream when it was recorded */
    uint64_t capture; /* number of the capture of which it is a part; 0: of none */
    size_t branch;    /* and where in it */
    unsigned asked;   /* whether it has happened */
};

/* Branch 0 is what the capturing stream was given; others begin with streams that wait for an event of a branch. */
typedef struct graph_node {
    std::function<void()> run; /* none: waits until branch `of` has come to its first `until` nodes */
    size_t branch, of, until;
} graph_node;
struct CUgraph_st {
    uint64_t number;
    std::vector<cudaStream_t> streams; /* of the branches */
    std::vector<size_t> given, joined; /* nodes of each branch, and how many of them branch 0 has waited for */
    std::vector<graph_node> nodes;
};
struct CUgraphExec_st {
    std::vector<cudaStream_t> streams; /* of its own, for all branches but the first */
    std::vector<graph_node> nodes;
};

static struct CUstream_st of_thread;
static std::vector<cudaStream_t> streams(1, &of_thread);
static std::map<uintptr_t, size_t> locked; /* the host's page-locked memory */

/*
 * RNKIT_EMULATE_COUNT=FILE: how often the host waited, how many graphs were launched, how often it waited for an event behind which its
 * stream had more to do, how often memory of the device was taken since a stream was first told to wait for another, which
 * a training's first step does, what the host called altogether to give or to wait for something, and how many of that were
 * kernels, one by one: a line at the program's end.
 */
static struct counts {
    uint64_t waits, graphs, ahead, calls, kernels;
    ~counts()
    {
        const char *file = getenv("RNKIT_EMULATE_COUNT");
        FILE *f = file ? fopen(file, "a") : NULL;
        if (f) {
            fprintf(f, "%llu waits %llu graphs %llu ahead %llu allocations %llu calls %llu kernels\n",
                    (unsigned long long)waits, (unsigned long long)graphs, (unsigned long long)ahead,
                    (unsigned long long)emu.allocations, (unsigned long long)calls, (unsigned long long)kernels);
            fclose(f);
        }
    }
} counts;

static void called(bool kernel)
{
    counts.calls++;
    counts.kernels += kernel;
}

static cudaStream_t stream_of(cudaStream_t s)
{
    if (!s) {
        fprintf(stderr, "emulated device: something is given to the old default stream\n");
        abort();
    }
    return s == cudaStreamPerThread ? &of_thread : s;
}

/* Nobody allocates or waits while something is captured. */
static void not_captured(const char *what)
{
    for (cudaStream_t s : streams)
        if (s->capture) {
            fprintf(stderr,
                    "emulated device: %s while a stream is capturing, after %zu nodes, of which the last is %s\n", what,
                    s->capture->nodes.size(), emu.given);
            abort();
        }
}

static void run_until(cudaStream_t s, uint64_t given)
{
    while (s->done < given) {
        const std::function<void()> f = s->todo.front();
        s->todo.pop_front();
        s->done++;
        f();
    }
}

static void run_dry(cudaStream_t s)
{
    run_until(s, s->given);
}

static bool is_own(cudaStream_t s)
{
    return s == &of_thread || (streams.size() > 1 && s == streams[1]);
}

static void give(cudaStream_t s, const std::function<void()> &f)
{
    static const char *const when = getenv("RNKIT_EMULATE_STREAMS");

    s = stream_of(s);
    if (s->capture) {
        s->capture->nodes.push_back(graph_node{f, s->branch, 0, 0});
        s->capture->given[s->branch]++;
        return;
    }
    const unsigned op = rn_check_give(s);
    const auto checked = [=]() {
        const unsigned before = rn_check_begin(op);
        f();
        rn_check_end(before);
    };
    if (when && (strcmp(when, "early") == 0 || (strcmp(when, "own-late") == 0 && !is_own(s))))
        return checked();
    s->todo.push_back(checked);
    s->given++;
}

static bool is_locked(const void *p)
{
    auto at = locked.upper_bound((uintptr_t)p);

    if (at == locked.begin())
        return false;
    at--;
    return (uintptr_t)p - at->first < at->second;
}

/* A kernel reads page-locked memory as well. */
bool rn_emu_on_device(const void *p, uint64_t bytes)
{
    auto at = locked.upper_bound((uintptr_t)p);

    if (at != locked.begin() && (--at, (uintptr_t)p - at->first < at->second))
        return bytes <= at->second - ((uintptr_t)p - at->first);
    return on_device(p, (size_t)bytes);
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned)
{
    not_captured("cudaHostAlloc");
    const size_t room = (bytes + 255) / 256 * 256;

    *out = aligned_alloc(256, room);
    if (!*out)
        return emu.error = cudaErrorMemoryAllocation;
    locked[(uintptr_t)*out] = room;
    rn_check_alloc(*out, bytes, true);
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p)
{
    cudaDeviceSynchronize();
    locked.erase((uintptr_t)p);
    rn_check_free(p);
    free(p);
    return cudaSuccess;
}

/* For nccl_emulated.cpp and cublaslt_emulated.cpp: something in a stream's order, a copy between any two places, and whether
 * a device can reach bytes: its own, or page-locked ones. */
extern "C" __attribute__((visibility("default"))) void rn_emu_give(cudaStream_t s, void (*fn)(void *with), void *with);
extern "C" __attribute__((visibility("default"))) void rn_emu_move(void *dst, const void *src, size_t bytes);
extern "C" __attribute__((visibility("default"))) int rn_emu_has(const void *p, size_t bytes);
/* Whether any stream is. */
extern "C" __attribute__((visibility("default"))) int rn_emu_capturing(void);

/*
 * RNKIT_EMULATE_PAGEABLE=1: the device reads and writes the host's own memory itself, as those do that share its page tables, and a
 * copy of it is as late as any other.
 */
static bool reads_host(void)
{
    return getenv("RNKIT_EMULATE_PAGEABLE") != NULL;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p)
{
    a->type = on_device(p, 1) ? cudaMemoryTypeDevice : is_locked(p) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind, cudaStream_t s)
{
    called(false);
    if (on_device(dst, bytes) != (kind != cudaMemcpyDeviceToHost) ||
        on_device(src, bytes) != (kind != cudaMemcpyHostToDevice)) {
        fprintf(stderr, "emulated device: a copy of %zu bytes whose ends are not where its kind %d says\n", bytes,
                (int)kind);
        abort();
    }
    const bool own =
        (kind == cudaMemcpyHostToDevice && !is_locked(src)) || (kind == cudaMemcpyDeviceToHost && !is_locked(dst));
    if (own)
        not_captured("a copy of the host's own memory");
    give(s, [=]() { rn_emu_move(dst, src, bytes); });
    if (own && !reads_host()) {
        counts.waits++;
        run_dry(stream_of(s)); /* the call waits */
        rn_check_wait(stream_of(s));
    }
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *dst, int byte, size_t bytes, cudaStream_t s)
{
    called(false);
    if (!on_device(dst, bytes)) {
        fprintf(stderr, "emulated device: a memset of %zu bytes that are not on the device\n", bytes);
        abort();
    }
    give(s, [=]() {
        open_memory(true);
        memset(dst, byte, bytes);
        open_memory(false);
        rn_check_copied(dst, bytes, true);
    });
    return cudaSuccess;
}

int rn_emu_capturing(void)
{
    for (cudaStream_t s : streams)
        if (s->capture)
            return 1;
    return 0;
}

int rn_emu_has(const void *p, size_t bytes)
{
    return on_device(p, bytes) || (is_locked(p) && is_locked((const char *)p + bytes - 1));
}

void rn_emu_give(cudaStream_t s, void (*fn)(void *with), void *with)
{
    called(false);
    give(s, [=]() { fn(with); });
}

void rn_emu_move(void *dst, const void *src, size_t bytes)
{
    open_memory(true);
    memmove(dst, src, bytes);
    open_memory(false);
    rn_check_copied(src, bytes, false);
    rn_check_copied(dst, bytes, true);
}

/* ---- the rest ------------------------------------------------------------------------------------------------------------- */

/*
 * RNKIT_EMULATE_DEVICES=N: so many, for as many ranks. They have nothing in common. RNKIT_EMULATE_ERROR=NUMBER: a driver that
 * answers so.
 */
cudaError_t cudaGetDeviceCount(int *n)
{
    const char *text = getenv("RNKIT_EMULATE_DEVICES"), *error = getenv("RNKIT_EMULATE_ERROR");

    if (error)
        return emu.error = (cudaError_t)atoi(error);
    *n = text && atoi(text) > 0 ? atoi(text) : 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int)
{
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    memset(p, 0, sizeof *p);
    p->uuid.bytes[15] = (char)device;
    snprintf(p->name, sizeof p->name, "no GPU: emulated on the CPU, for tests");
    p->totalGlobalMem = (size_t)1 << 31;
    p->sharedMemPerBlockOptin = SHARED_MOST;
    p->major = 9;
    if (const char *text = getenv("RNKIT_EMULATE_CAPABILITY")) { /* 80: a device that knows less */
        p->major = atoi(text) / 10;
        p->minor = atoi(text) % 10;
    }
    p->multiProcessorCount = 4;
    p->l2CacheSize = 128 << 10;
    p->pageableMemoryAccess = reads_host();
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *v)
{
    *v = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *v)
{
    *v = CUDART_VERSION;
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t e)
{
    return e == cudaErrorInvalidConfiguration ? "invalid configuration argument" : "error";
}

const char *cudaGetErrorName(cudaError_t e)
{
    return e == cudaErrorInvalidConfiguration ? "cudaErrorInvalidConfiguration" : "cudaError";
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t e = emu.error;

    emu.error = cudaSuccess;
    return e;
}

cudaError_t cudaDeviceSynchronize(void)
{
    called(false);
    not_captured("a wait for the device");
    counts.waits++;
    for (cudaStream_t s : streams)
        run_dry(s);
    rn_check_wait(NULL);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    *s = new CUstream_st();
    streams.push_back(*s);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    run_dry(s);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    called(false);
    not_captured("a wait for a stream");
    counts.waits++;
    run_dry(stream_of(s));
    rn_check_wait(stream_of(s));
    return cudaSuccess;
}

/* Whoever asks has to ask several times: something is always under way. */
enum { ASKED_MOST = 6 };

cudaError_t cudaStreamQuery(cudaStream_t s)
{
    const cudaStream_t of = stream_of(s);

    not_captured("a question about a stream");
    if (of->done < of->given && ++of->asked % ASKED_MOST != 0)
        return emu.error = cudaErrorNotReady;
    return cudaStreamSynchronize(s);
}

static void stop(const char *what)
{
    fprintf(stderr, "emulated device: %s\n", what);
    abort();
}

/* A stream that waits for an event of a capture becomes a part of it. */
static void wait_in_capture(cudaStream_t s, cudaEvent_t e)
{
    cudaGraph_t g = NULL;

    for (cudaStream_t other : streams)
        if (other->capture && other->capture->number == e->capture)
            g = other->capture;
    if (!g || (s->capture && s->capture != g))
        stop("a wait for an event of a capture that is not, or no longer, this stream's");
    if (!s->capture) {
        s->capture = g;
        s->branch = g->streams.size();
        g->streams.push_back(s);
        g->given.push_back(0);
        g->joined.push_back(0);
    }
    g->nodes.push_back(graph_node{NULL, s->branch, e->branch, (size_t)e->given});
    g->given[s->branch]++;
    if (s->branch == 0 && g->joined[e->branch] < e->given)
        g->joined[e->branch] = (size_t)e->given;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    const cudaStream_t of = e->stream;
    const uint64_t given = e->given;

    called(false);
    if (e->capture) {
        wait_in_capture(stream_of(s), e);
        return cudaSuccess;
    }
    not_captured("a wait for an event of none");
    emu.waited = true;
    if (!of) /* never recorded: nothing to wait for */
        return cudaSuccess;
    rn_check_wait_event(stream_of(s), e);
    give(s, [=]() { run_until(of, given); });
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *e)
{
    *e = new CUevent_st();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    if (e->stream && !e->capture)
        run_until(e->stream, e->given);
    delete e;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    const cudaStream_t of = stream_of(s);

    called(false);
    e->stream = of;
    e->capture = 0;
    if (of->capture) { /* it marks a place, and nothing else */
        e->capture = of->capture->number;
        e->branch = of->branch;
        e->given = of->capture->given[of->branch];
        return cudaSuccess;
    }
    not_captured("an event of another stream");
    give(of, [=]() { clock_gettime(CLOCK_MONOTONIC, &e->at); });
    e->given = of->given;
    rn_check_record(e, of);
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    called(false);
    not_captured("a wait for an event");
    if (e->capture)
        stop("a wait for an event that was captured, and so never happened");
    counts.waits++;
    counts.ahead += e->stream && e->stream->given > e->given;
    if (e->stream)
        run_until(e->stream, e->given);
    rn_check_wait_event(NULL, e);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t e)
{
    not_captured("a question about an event");
    if (e->capture)
        stop("a question about an event that was captured, and so never happened");
    if (e->stream && e->stream->done < e->given && ++e->asked % ASKED_MOST != 0)
        return emu.error = cudaErrorNotReady;
    return cudaEventSynchronize(e);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    const struct timespec *a = &from->at, *b = &to->at;

    if (from->capture || to->capture)
        stop("the time of an event that was captured");
    *ms = (float)((double)(b->tv_sec - a->tv_sec) * 1e3 + (double)(b->tv_nsec - a->tv_nsec) * 1e-6);
    return cudaSuccess;
}

/* ---- graphs: what was given, each branch in its order ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode)
{
    static uint64_t number;

    not_captured("another capture");
    s = stream_of(s);
    if (s == &of_thread)
        stop("a capture of a stream that waits for the old default one, whose use would break it off");
    s->capture = new CUgraph_st{++number, {s}, {0}, {0}, {}};
    s->branch = 0;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    const cudaGraph_t g = stream_of(s)->capture;

    *out = g;
    if (!g || stream_of(s)->branch != 0)
        return cudaErrorInvalidValue;
    for (size_t b = 0; b < g->streams.size(); b++) {
        g->streams[b]->capture = NULL;
        if (b > 0 && g->joined[b] < g->given[b])
            stop("a capture ends whose stream has not waited for the end of another that is part of it");
    }
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long)
{
    *out = new CUgraphExec_st{{NULL}, g->nodes};
    while ((*out)->streams.size() < g->streams.size()) {
        (*out)->streams.push_back(new CUstream_st());
        streams.push_back((*out)->streams.back());
    }
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t g, cudaStream_t s)
{
    std::vector<std::vector<uint64_t>> after; /* what the branch's stream was given, after so many of its nodes */

    called(false);
    not_captured("a graph's launch");
    counts.graphs++;
    g->streams[0] = stream_of(s);
    for (cudaStream_t branch : g->streams)
        after.push_back({branch->given});
    for (const graph_node &n : g->nodes) {
        const cudaStream_t at = g->streams[n.branch];
        if (n.run) {
            give(at, n.run);
        } else {
            const cudaStream_t of = g->streams[n.of];
            const uint64_t until = after[n.of][n.until];
            rn_check_record(
                &n, of); /* no earlier than where the event was: it may miss a race, and finds none that is not */
            rn_check_wait_event(at, &n);
            give(at, [=]() { run_until(of, until); });
        }
        after[n.branch].push_back(at->given);
    }
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    delete g;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g)
{
    delete g;
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute, int value)
{
    if (value > SHARED_MOST)
        return cudaErrorInvalidValue;
    emu.allowed[kernel] = value;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *a, const void *)
{
    memset(a, 0, sizeof *a);
    a->numRegs = 255;
    return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **fn, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult *found)
{
    *fn = rn_emu_driver_function(name);
    *found = *fn ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
