/* SPDX-License-Identifier: MIT */
#include "amx_sites.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <ucontext.h>

#define SITES 512
#define JUMP  5 /* bytes */

typedef struct site {
    amx_insn insn;
    uint8_t was[16]; /* its bytes */
    uint8_t *stub;
    bool jumps; /* overwritten */
} site;

/* Code is the whole program's: so is this. Written under `busy`, read up to `nsites`. */
static site sites[SITES];
static int nsites;
static bool busy;
static uint8_t *stubs; /* NULL: none yet */
static struct sigaction previous[2];
static const int signals[2] = {SIGILL, SIGTRAP};

/* ---- stubs ------------------------------------------------------------------------------------------------------------ */

/*
 * On the stack: where to go on, the site, below them, past the 128 bytes that leaf functions use below theirs, what is pushed
 * here: flags and registers, number 0 (rax) last. xsave keeps x87, SSE, AVX and AVX-512: components 0-2 and 5-7; its header must
 * be 0 before.
 */
void amx_sites_enter(void);
__asm__(".pushsection .text\n"
        ".globl amx_sites_enter\n"
        ".hidden amx_sites_enter\n"
        ".type amx_sites_enter, @function\n"
        "amx_sites_enter:\n"
        "    pushfq\n"
        "    push %r15\n    push %r14\n    push %r13\n    push %r12\n"
        "    push %r11\n    push %r10\n    push %r9\n    push %r8\n"
        "    push %rdi\n    push %rsi\n    push %rbp\n    push %rsp\n"
        "    push %rbx\n    push %rdx\n    push %rcx\n    push %rax\n"
        "    lea 280(%rsp), %rax\n" /* 16 registers, flags, site, where to go on: 152; 128 */
        "    mov %rax, 32(%rsp)\n"
        "    mov %rsp, %rbp\n"
        "    cld\n"
        "    sub $2816, %rsp\n"
        "    and $-64, %rsp\n"
        "    xor %eax, %eax\n"
        "    lea 512(%rsp), %rdi\n"
        "    mov $8, %ecx\n"
        "    rep stosq\n"
        "    mov $0xe7, %eax\n"
        "    xor %edx, %edx\n"
        "    xsave64 (%rsp)\n"
        "    mov 136(%rbp), %rdi\n"
        "    mov %rbp, %rsi\n"
        "    call amx_sites_execute\n"
        "    mov $0xe7, %eax\n"
        "    xor %edx, %edx\n"
        "    xrstor64 (%rsp)\n"
        "    mov %rbp, %rsp\n"
        "    pop %rax\n    pop %rcx\n    pop %rdx\n    pop %rbx\n"
        "    lea 8(%rsp), %rsp\n"
        "    pop %rbp\n    pop %rsi\n    pop %rdi\n"
        "    pop %r8\n    pop %r9\n    pop %r10\n    pop %r11\n"
        "    pop %r12\n    pop %r13\n    pop %r14\n    pop %r15\n"
        "    popfq\n"
        "    lea 8(%rsp), %rsp\n"
        "    ret $128\n"
        ".size amx_sites_enter, .-amx_sites_enter\n"
        ".popsection\n");

void amx_sites_execute(const site *s, const uint64_t *gpr);

__attribute__((visibility("hidden"), used)) void amx_sites_execute(const site *s, const uint64_t *gpr)
{
    amx_execute(&s->insn, gpr);
}

/* lea -128(%rsp), %rsp; push [go on]; push [site]; jmp [enter]; then the three addresses. */
#define STUB 64

static void write_stub(const site *s)
{
    static const uint8_t code[] = {0x48, 0x8d, 0x64, 0x24, 0x80, 0xff, 0x35, 9 + 4, 0, 0, 0, 0xff,
                                   0x35, 15,   0,    0,    0,    0xff, 0x25, 17,    0, 0, 0};
    const uint64_t address[3] = {(uint64_t)(uintptr_t)(s->insn.at + s->insn.bytes), (uint64_t)(uintptr_t)s,
                                 (uint64_t)(uintptr_t)amx_sites_enter};

    memcpy(s->stub, code, sizeof code);
    memcpy(s->stub + 24, address, sizeof address);
}

/* Memory for them that a jump from the code reaches, or any. */
static bool map_stubs(const uint8_t *code)
{
    const size_t bytes = (size_t)SITES * STUB;
    const uintptr_t page = (uintptr_t)code & ~(uintptr_t)0xffff;

    for (uintptr_t away = 64u << 20; away < 1u << 30; away += 64u << 20) {
        stubs = mmap((void *)(page - away), bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (stubs != MAP_FAILED)
            return true;
    }
    stubs = mmap(NULL, bytes, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stubs == MAP_FAILED)
        stubs = NULL;
    return stubs;
}

/* ---- code ------------------------------------------------------------------------------------------------------------- */

static bool make_writable(uint8_t *at, int n)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)at & ~(page - 1);

    return mprotect((void *)first, (uintptr_t)at + (uintptr_t)n - first, PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
}

static void write_code(uint8_t *at, const uint8_t *bytes, int n)
{
    __atomic_store_n(at, 0xcc, __ATOMIC_SEQ_CST); /* int3 */
    memcpy(at + 1, bytes + 1, (size_t)n - 1);
    __atomic_store_n(at, bytes[0], __ATOMIC_SEQ_CST);
}

static bool write_jump(site *s)
{
    const int64_t far = s->stub - (s->insn.at + JUMP);
    const int32_t distance = (int32_t)far;
    uint8_t code[JUMP] = {0xe9};

    if (far != distance || s->insn.bytes < JUMP || !make_writable(s->insn.at, s->insn.bytes))
        return false;
    memcpy(code + 1, &distance, sizeof distance);
    write_code(s->insn.at, code, JUMP);
    return true;
}

/* ---- decoding --------------------------------------------------------------------------------------------------------- */

static int64_t displacement(const uint8_t *p, int bytes)
{
    int32_t d = 0;

    if (bytes == 1)
        return (int8_t)*p;
    memcpy(&d, p, (size_t)bytes);
    return d;
}

/* VEX in three bytes (C4), map 0F38, W 0, L 0, then an opcode of ours and ModRM. */
static bool decode(uint8_t *ip, amx_insn *d)
{
    if (ip[0] != 0xc4 || (ip[1] & 0x1f) != 2 || (ip[2] & 0x84) != 0 ||
        (ip[3] != 0x49 && ip[3] != 0x4b && ip[3] != 0x5c))
        return false;
    const int r = ip[1] & 0x80 ? 0 : 8, x = ip[1] & 0x40 ? 0 : 8, b = ip[1] & 0x20 ? 0 : 8, mod = ip[4] >> 6;
    int at = 5, disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;

    *d = (amx_insn){.at = ip,
                    .pp = ip[2] & 3,
                    .op = ip[3],
                    .vvvv = ~(ip[2] >> 3) & 15,
                    .memory = mod != 3,
                    .base = -1,
                    .index = -1};
    d->reg = (ip[4] >> 3 & 7) + r;
    d->rm = (ip[4] & 7) + b;
    d->sib = d->memory && (ip[4] & 7) == 4;
    if (d->sib) {
        at = 6;
        d->scale = ip[5] >> 6;
        d->index = (ip[5] >> 3 & 7) + x == 4 ? -1 : (ip[5] >> 3 & 7) + x;
        if ((ip[5] & 7) == 5 && mod == 0)
            disp = 4;
        else
            d->base = (ip[5] & 7) + b;
    } else if (d->memory && d->rm % 8 == 5 && mod == 0) {
        disp = 4;
        d->disp = (int64_t)(uintptr_t)ip + at + disp; /* from the next instruction on */
    } else if (d->memory) {
        d->base = d->rm;
    }
    d->disp += d->memory && disp ? displacement(ip + at, disp) : 0;
    d->bytes = at + (d->memory ? disp : 0);
    return true;
}

/* ---- signals ------------------------------------------------------------------------------------------------------------ */

static site *find(const uint8_t *at)
{
    const int n = __atomic_load_n(&nsites, __ATOMIC_ACQUIRE);

    for (int i = 0; i < n; i++) {
        if (sites[i].insn.at == at)
            return &sites[i];
    }
    return NULL;
}

static site *add(uint8_t *at)
{
    while (__atomic_test_and_set(&busy, __ATOMIC_ACQUIRE))
        ;
    site *s = find(at);
    amx_insn d;

    if (!s && nsites < SITES && decode(at, &d) && (stubs || map_stubs(at))) {
        s = &sites[nsites];
        *s = (site){.insn = d, .stub = stubs + (ptrdiff_t)nsites * STUB};
        memcpy(s->was, at, (size_t)d.bytes);
        write_stub(s);
        __atomic_store_n(&nsites, nsites + 1, __ATOMIC_RELEASE); /* from here on int3 leads to it */
        s->jumps = write_jump(s);
    }
    __atomic_clear(&busy, __ATOMIC_RELEASE);
    return s;
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    uint8_t *at = (uint8_t *)uc->uc_mcontext.gregs[REG_RIP] - (sig == SIGTRAP);
    const site *s = find(at);

    (void)info;
    if (!s && sig == SIGILL)
        s = add(at);
    if (s)
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)s->stub;
    else
        signal(sig, SIG_DFL); /* returning to it ends the program as without us */
}

bool amx_sites_start(void)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO}, old[2];

    sigemptyset(&sa.sa_mask);
    if (sigaction(SIGILL, &sa, &old[0]) < 0)
        return false;
    if (sigaction(SIGTRAP, &sa, &old[1]) < 0) {
        sigaction(SIGILL, &old[0], NULL);
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (!(old[i].sa_flags & SA_SIGINFO) || old[i].sa_sigaction != on_signal)
            previous[i] = old[i];
    }
    return true;
}

void amx_sites_stop(void)
{
    for (int i = 0; i < nsites; i++) {
        if (sites[i].jumps)
            write_code(sites[i].insn.at, sites[i].was, sites[i].insn.bytes);
    }
    nsites = 0;
    for (int i = 0; i < 2; i++)
        sigaction(signals[i], &previous[i], NULL);
}

bool amx_sites_skip(bool skip)
{
    /* nops of 5 to 10 bytes */
    static const uint8_t nop[][10] = {{0x0f, 0x1f, 0x44}, {0x66, 0x0f, 0x1f, 0x44}, {0x0f, 0x1f, 0x80},
                                      {0x0f, 0x1f, 0x84}, {0x66, 0x0f, 0x1f, 0x84}, {0x66, 0x2e, 0x0f, 0x1f, 0x84}};

    for (int i = 0; i < nsites; i++) {
        site *s = &sites[i];
        if (!s->jumps)
            return false;
        if (skip)
            write_code(s->insn.at, nop[s->insn.bytes - 5], s->insn.bytes);
        else
            (void)write_jump(s);
    }
    return true;
}

#endif
