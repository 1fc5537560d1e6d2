/* SPDX-License-Identifier: MIT */
/* What threads of kernels do with memory, looked at one by one: emulate_check.h says what for. */
#include "emulate_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <vector>

#include "cuda_runtime.h"
#include "emulate_check_order.h"
#include "emulate_check_shadow.h"

typedef std::vector<uint32_t> clocks; /* thread i: what it did up to then is known */

static struct {
    const char *kernel;
    shadow shared; /* the block's dynamic shared memory, and what it did not ask for */
    size_t shared_bytes;
    uint64_t block;
    int thread; /* that runs, -1: none does */
    uintptr_t stack_low, stack_high;
    uint32_t when, barrier;              /* the block's time now and at the last barrier of all */
    std::vector<clocks> seen;            /* of each thread, since then; empty where it met no others */
    std::map<const void *, clocks> left; /* with what has been released */
} now = {NULL, shadow(), 0, 0, -1, 0, 0, 1, 0, {}, {}};

/* ---- time ---------------------------------------------------------------------------------------------------------------- */

static void tick(void)
{
    if (++now.when == CHECK_WHEN) {
        fprintf(stderr, "emulated device: %s: threads of a block meet more often than the checker can count\n",
                now.kernel);
        abort();
    }
}

static void join(clocks *to, const clocks &from)
{
    if (to->size() < from.size())
        to->resize(from.size());
    for (size_t i = 0; i < from.size(); i++)
        (*to)[i] = (*to)[i] < from[i] ? from[i] : (*to)[i];
}

static clocks *seen_of(int thread)
{
    if (now.seen.size() <= (size_t)thread)
        now.seen.resize((size_t)thread + 1);
    clocks *c = &now.seen[(size_t)thread];
    if (c->size() <= (size_t)thread)
        c->resize((size_t)thread + 1);
    return c;
}

void rn_check_kernel(const char *name, const char *shared, size_t bytes)
{
    now.kernel = name;
    if (now.shared.low != (uintptr_t)shared) {
        const size_t most = 227 << 10;
        now.shared = rn_check_shadow_new((uintptr_t)shared, (uintptr_t)shared + most);
    }
    now.shared_bytes = bytes;
}

void rn_check_block(uint64_t block)
{
    now.block = block;
    now.when = 1;
    now.barrier = 0;
    now.seen.clear();
    now.left.clear();
}

void rn_check_thread(int thread, const char *stack, size_t bytes)
{
    now.thread = thread;
    now.stack_low = (uintptr_t)stack;
    now.stack_high = (uintptr_t)stack + bytes;
}

void rn_check_barrier(void)
{
    now.barrier = now.when;
    tick();
    now.seen.clear();
    now.left.clear();
}

void rn_check_meet(const int *threads, int count)
{
    clocks all;

    for (int i = 0; i < count; i++) {
        clocks *c = seen_of(threads[i]);
        (*c)[(size_t)threads[i]] = now.when;
        join(&all, *c);
    }
    for (int i = 0; i < count; i++)
        *seen_of(threads[i]) = all;
    tick();
}

void rn_check_release(int thread, const void *object)
{
    clocks *c = seen_of(thread);

    (*c)[(size_t)thread] = now.when;
    join(&now.left[object], *c);
    tick();
}

void rn_check_acquire(int thread, const void *object)
{
    join(seen_of(thread), now.left[object]);
}

void rn_check_forget(const void *object)
{
    now.left.erase(object);
}

/* ---- what is found --------------------------------------------------------------------------------------------------------- */

enum what { READ, WRITE, READ_ANY };

typedef struct access {
    uintptr_t at;
    size_t bytes;
    enum what what;
    uint32_t code;
    const shadow *in;
    enum check_kind kind;
} access;

static void __attribute__((format(printf, 2, 3), noreturn)) found(const access *a, const char *format, ...)
{
    va_list args;
    char *place = rn_check_place(a->code);

    fprintf(stderr, "emulated device: %s: block %llu thread %d %s %zu bytes", now.kernel, (unsigned long long)now.block,
            now.thread, a->what == WRITE ? "writes" : "reads", a->bytes);
    if (a->kind != CHECK_NONE)
        fprintf(stderr, ", %s + %zu,", a->kind == CHECK_SHARED ? "shared memory" : "device memory",
                (size_t)(a->at - a->in->low));
    fprintf(stderr, " at %s: ", place);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

/* Whether what `s` tells of is over for this block and operation: shared memory has begun anew. */
static bool of_another(stamp s, enum check_kind kind)
{
    return s.when == 0 || (kind == CHECK_SHARED && (s.op != rn_check_op || s.block != (now.block & 0x7fff)));
}

/* Whether it comes before what the thread does now. */
static bool before(stamp s)
{
    const size_t thread = s.thread;

    if (s.op != rn_check_op)
        return rn_check_op_before(s.op, rn_check_op);
    if (s.block != (now.block & 0x7fff) || thread >= CHECK_ASYNC)
        return false;
    if (thread == (size_t)now.thread || s.when <= now.barrier)
        return true;
    if ((size_t)now.thread >= now.seen.size())
        return false;
    const clocks &c = now.seen[(size_t)now.thread];
    return thread < c.size() && c[thread] >= s.when;
}

static void race(const access *a, stamp s, uint32_t code, const char *did)
{
    char *place = rn_check_place(code);

    if (s.op != rn_check_op)
        found(a, "race: %s at %s by something in another stream, which nothing puts before this", did, place);
    if (s.block != (now.block & 0x7fff))
        found(a, "race: %s at %s by block %u of the same launch", did, place, (unsigned)s.block);
    if (s.thread >= CHECK_ASYNC)
        found(a, "race: being %s by an asynchronous copy of thread %u, at %s, which has not been waited for", did,
              (unsigned)s.thread - CHECK_ASYNC, place);
    found(a, "race: %s at %s by thread %u, and no barrier since", did, place, (unsigned)s.thread);
}

/* ---- accesses -------------------------------------------------------------------------------------------------------------- */

static bool same(stamp a, stamp b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void write_cell(const access *a, cell *c, stamp me)
{
    if (same(c->write, me) && c->read[0].when == 0)
        return;
    if (!of_another(c->write, a->kind) && (c->write.bytes & me.bytes) && !before(c->write))
        race(a, c->write, c->at[0], "written");
    for (int i = 0; i < 2; i++)
        if (!of_another(c->read[i], a->kind) && (c->read[i].bytes & me.bytes) && !before(c->read[i]))
            race(a, c->read[i], c->at[1 + i], "read");
    c->write = me;
    c->at[0] = a->code;
    c->read[0] = c->read[1] = stamp();
}

static bool same_warp(stamp a, stamp b)
{
    return a.op == b.op && a.block == b.block && a.thread / 32 == b.thread / 32;
}

static void read_cell(const access *a, cell *c, stamp me)
{
    if (same(c->read[0], me)) /* a write since would have wiped it */
        return;
    if (of_another(c->write, a->kind) && !a->in->host && a->what == READ)
        found(a, "%s",
              a->kind == CHECK_SHARED ? "this block has not written it, or not yet" : "nothing has been written there");
    if (!of_another(c->write, a->kind) && (c->write.bytes & me.bytes) && !before(c->write))
        race(a, c->write, c->at[0], "written");
    int i = 0;
    for (; i < 2; i++)
        if (of_another(c->read[i], a->kind) || before(c->read[i]))
            break;
    if (i == 2) { /* three: two of different warps stay */
        if (!same_warp(c->read[0], c->read[1]) || same_warp(c->read[0], me))
            return;
        i = 1;
    }
    c->read[i] = me;
    c->at[1 + i] = a->code;
}

static void each_cell(const access *a, uint64_t more_of_thread)
{
    stamp me = stamp();

    me.op = rn_check_op;
    me.block = now.block & 0x7fff;
    me.thread = (uint64_t)(now.thread < 0 ? 0 : now.thread) + more_of_thread;
    me.when = now.when;
    for (uintptr_t at = a->at, end = a->at + a->bytes; at < end;) {
        cell *c = &a->in->cells[(at - a->in->low) / 2];
        const uintptr_t next = a->in->low + ((at - a->in->low) / 2 + 1) * 2;
        me.bytes = (at + 2 == next ? 1u : 0u) | (next <= end ? 2u : 0u);
        if (a->what == WRITE)
            write_cell(a, c, me);
        else
            read_cell(a, c, me);
        at = next;
    }
}

/* Whether it is the thread's local memory, or what stands for registers. */
static bool local(uintptr_t at)
{
    return (at >= now.stack_low && at < now.stack_high) || (at >= (uintptr_t)&rn_emu && at < (uintptr_t)(&rn_emu + 1));
}

/* What memory it is, false: none of the device's; of shared memory also whether the block has it. */
static bool settle(access *a)
{
    const uintptr_t at = a->at;

    if (at >= now.shared.low && at < now.shared.high) {
        a->in = &now.shared;
        a->kind = CHECK_SHARED;
        if (at + a->bytes > now.shared.low + now.shared_bytes)
            found(a, "beyond the launch's %zu bytes of shared memory", now.shared_bytes);
        return true;
    }
    a->in = rn_check_shadow_device(at);
    if (a->in) {
        a->kind = CHECK_GLOBAL;
        if (at + a->bytes > a->in->high)
            found(a, "beyond the end of an allocation");
        return true;
    }
    a->in = rn_check_shadow_static(at);
    if (a->in) {
        a->kind = CHECK_SHARED;
        return true;
    }
    return false;
}

/* For emulate_check_calls.cpp. */
void rn_check_touch(const void *p, size_t bytes, bool write, const void *caller);
void rn_check_touch(const void *p, size_t bytes, bool write, const void *caller)
{
    access a = {(uintptr_t)p, bytes, write ? WRITE : READ, 0, NULL, CHECK_NONE};

    if (now.thread < 0 || local(a.at))
        return;
    a.code = (uint32_t)((uintptr_t)caller - rn_check_base);
    if (settle(&a))
        each_cell(&a, 0);
    else if (write || rn_check_beside(a.at)) /* what else is read is constants, and how the host keeps a launch */
        found(&a, "neither shared nor device memory, %s", rn_check_near(a.at));
}

void rn_check_access(const void *p, size_t bytes, size_t align, bool write)
{
    access a = {(uintptr_t)p, bytes, write ? WRITE : READ, 0, NULL, CHECK_NONE};

    a.code = (uint32_t)((uintptr_t)__builtin_return_address(0) - rn_check_base);
    if ((uintptr_t)p % align)
        found(&a, "not aligned to %zu bytes", align);
    if (!settle(&a))
        found(&a, "neither shared nor device memory, %s", rn_check_near(a.at));
    each_cell(&a, 0);
}

void rn_check_any(const void *p, size_t bytes)
{
    access a = {(uintptr_t)p, bytes, READ_ANY, 0, NULL, CHECK_NONE};

    a.code = (uint32_t)((uintptr_t)__builtin_return_address(0) - rn_check_base);
    if (!settle(&a))
        found(&a, "neither shared nor device memory, %s", rn_check_near(a.at));
    each_cell(&a, 0);
}

void rn_check_async(const void *p, size_t bytes)
{
    access a = {(uintptr_t)p, bytes, WRITE, 0, NULL, CHECK_NONE};

    a.code = (uint32_t)((uintptr_t)__builtin_return_address(0) - rn_check_base);
    if ((uintptr_t)p % 16)
        found(&a, "not aligned to 16 bytes");
    if (!settle(&a) || a.kind != CHECK_SHARED)
        found(&a, "not shared memory");
    each_cell(&a, CHECK_ASYNC);
}

void rn_check_async_done(int thread, const void *p, size_t bytes)
{
    access a = {(uintptr_t)p, bytes, WRITE, 0, NULL, CHECK_NONE};

    if (!settle(&a))
        return;
    for (uintptr_t at = a.at; at < a.at + bytes; at += 2) {
        cell *c = &a.in->cells[(at - a.in->low) / 2];
        if (!of_another(c->write, a.kind) && c->write.thread == CHECK_ASYNC + (uint64_t)thread) {
            c->write.thread = (uint64_t)thread;
            c->write.when = now.when;
        }
    }
}

void rn_check_copied(const void *p, size_t bytes, bool write)
{
    access a = {(uintptr_t)p, bytes, write ? WRITE : READ, 0, rn_check_shadow_device((uintptr_t)p), CHECK_GLOBAL};
    stamp me = stamp();

    if (!a.in || bytes == 0)
        return;
    now.kernel = "a copy";
    rn_check_block(0);
    me.op = rn_check_op;
    me.when = 1;
    me.bytes = 3;
    for (uintptr_t at = a.at; at < a.at + bytes; at += 2) {
        cell *c = &a.in->cells[(at - a.in->low) / 2];
        if (write)
            write_cell(&a, c, me);
        else if (!of_another(c->write, a.kind)) /* what nobody wrote may be copied */
            read_cell(&a, c, me);
    }
}
