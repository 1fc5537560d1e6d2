/* SPDX-License-Identifier: MIT */
/* Kernels of the emulated device: threads are fibers, blocks run one after the other. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include <vector>

#include "cuda.h"
#include "emulate.h"
#include "emulate_check.h"

enum { STACK = 256 << 10, THREADS_MOST = 1024, GROUP = 128 };
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

/* Saves what a call must keep and the stack's top in *from, and goes on where `to` was left: by a jump, as a return without its
 * call is guessed wrong each time. */
extern "C" void rn_emu_switch(void **from, void *to);
#if defined(__x86_64__)
__asm__(".text\n"
        ".type rn_emu_switch, @function\n"
        "rn_emu_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  popq %rcx\n  jmp *%rcx\n"
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
    const char *name; /* the kernel that runs */
    const std::function<void()> *body;
    std::vector<fiber> fibers;
    fiber *now;
    void *host; /* the stack that runs them */
    std::vector<char *> stacks;
    char *shared;
    size_t shared_bytes; /* of the kernel that runs */
    uint64_t random;
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
    emu.shared = (char *)aligned_alloc(128, EMU_SHARED_MOST / 128 * 128 + 128);
    if (!emu.shared)
        abort();
}

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
    emu_open_memory(true);
    rn_check_kernel(name, emu.shared, shared);
    const uint64_t n = (uint64_t)grid.x * grid.y * grid.z, turn = emu.random ? draw() % n : 0;
    const bool up = emu.random & 1;
    for (uint64_t i = 0; i < n; i++) { /* another first one; in the other direction half of the time */
        const uint64_t k = up ? (turn + i) % n : (turn + n - i) % n;
        rn_check_block(k);
        run_block(dim3((unsigned)(k % grid.x), (unsigned)(k / grid.x % grid.y), (unsigned)(k / grid.x / grid.y)),
                  shared, order);
    }
    emu_open_memory(false);
}

void rn_emu_launch(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t s,
                   const std::function<void()> &body)
{
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    const auto allowed = emu_driver.allowed.find(kernel);

    seed();
    emu_called(true);
    emu_driver.given = name;
    if (threads < 1 || threads > THREADS_MOST || block.z > 64 || grid.x < 1 || grid.x > 0x7fffffffu || grid.y < 1 ||
        grid.y > 65535 || grid.z < 1 || grid.z > 65535 ||
        shared > (size_t)(allowed == emu_driver.allowed.end() ? EMU_SHARED_DEFAULT : allowed->second)) {
        fprintf(stderr, "emulated device: %s: grid %u,%u,%u block %u,%u,%u shared %zu: not possible\n", name, grid.x,
                grid.y, grid.z, block.x, block.y, block.z, shared);
        emu_driver.error = cudaErrorInvalidConfiguration;
        return;
    }
    emu_give(s, [=]() { run_kernel(name, grid, block, shared, body); });
}
