/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_cpu.h"
#include "base/rn_error.h"
#include "op/rn_select.h"

#define GUARD          256 /* bytes of canary on either side */
#define CANARY         0xa5
#define POISON         0xff /* 0xffff.. is a NaN in f32, bf16 and f16 */
#define MAX_COMPLAINTS 3    /* lines printed of one failed check */

const char *const check_isa_names[CHECK_ISAS] = {"portable", "avx2", "avx512", "avx512bf16", "amx", "cuda"};

struct check_buffer {
    struct check_buffer *next;
    uint8_t *base;
    size_t bytes;
};

/* ---- memory -------------------------------------------------------------------------------------------------------- */

/* What a device can read and write, too, if one is checked. */
static void *memory(check_run *r, size_t bytes)
{
    rn_backend *be = r->be[CHECK_CUDA];
    void *p = NULL;

    if (!be)
        return aligned_alloc(64, bytes);
    return be->alloc_host(be, bytes, &p) == 0 ? p : NULL;
}

static void release(check_run *r, void *p)
{
    rn_backend *be = r->be[CHECK_CUDA];

    if (be)
        be->free_host(be, p);
    else
        free(p);
}

/* ---- identity ----------------------------------------------------------------------------------------------------- */

static bool selected(const check_run *r, const check_id *id)
{
    return rn_select_match(r->group, id->group) && rn_select_match(r->cas, id->cas) &&
           rn_select_match(r->dir, id->dir) && rn_select_match(r->algo, id->algo) && rn_select_match(r->isa, id->isa);
}

static uint32_t hash_text(uint32_t h, const char *s)
{
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 16777619u; /* FNV-1a */
    return h;
}

/* --every: of each algorithm, direction and instruction set of a group, the first case and each N-th after it. */
struct check_turn {
    const char *group, *dir, *algo, *isa;
    uint64_t n;
};

static struct check_turn *turn_of(check_run *r, const check_id *id)
{
    for (int i = r->nturns - 1; i >= 0; i--) {
        struct check_turn *t = &r->turns[i];
        if (!strcmp(t->group, id->group) && !strcmp(t->dir, id->dir) && !strcmp(t->algo, id->algo) &&
            !strcmp(t->isa, id->isa))
            return t;
    }
    struct check_turn *grown = realloc(r->turns, ((size_t)r->nturns + 1) * sizeof *grown);
    if (!grown) {
        fprintf(stderr, "check-kernels: out of memory\n");
        abort();
    }
    r->turns = grown;
    r->turns[r->nturns] = (struct check_turn){id->group, id->dir, id->algo, id->isa, 0};
    return &r->turns[r->nturns++];
}

bool check_begin(check_run *r, const check_id *id)
{
    if (!selected(r, id))
        return false;
    if (r->every > 1 && turn_of(r, id)->n++ % r->every != 0) {
        r->left_out++;
        return false;
    }
    if (r->list) {
        printf("--group %s --case '%s' --dir '%s' --algo '%s' --isa '%s'\n", id->group, id->cas, id->dir, id->algo,
               id->isa);
        r->listed++;
        return false;
    }
    /* Neither algorithm nor instruction set: all of them see the same data. */
    uint32_t h = hash_text(hash_text(hash_text(2166136261u, id->group), id->cas), id->dir);
    rn_rng_seed(&r->rng, r->seed, RN_STREAM_TEST, 0, h);
    r->id = *id;
    r->failed = false;
    r->complaints = 0;
    r->count++;
    return true;
}

static void print_id(const check_run *r)
{
    const char *words[] = {r->id.group, r->id.cas, r->id.dir, r->id.algo, r->id.isa};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (*words[i])
            printf("%s%s", i ? " " : "", words[i]);
    }
}

void check_fail(check_run *r, const char *fmt, ...)
{
    va_list ap;

    r->failed = true;
    if (r->complaints++ >= MAX_COMPLAINTS)
        return;
    printf("# ");
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

static void check_guard(check_run *r, const struct check_buffer *b, size_t at, const char *where)
{
    for (size_t i = 0; i < GUARD; i++) {
        if (b->base[at + i] != CANARY) {
            check_fail(r, "wrote %s a buffer of %zu bytes", where, b->bytes);
            return;
        }
    }
}

static void free_buffers(check_run *r)
{
    while (r->buffers) {
        struct check_buffer *b = r->buffers;
        check_guard(r, b, 0, "before");
        check_guard(r, b, GUARD + b->bytes, "after");
        r->buffers = b->next;
        release(r, b->base);
        free(b);
    }
}

void check_end(check_run *r)
{
    free_buffers(r);
    printf("%s %d - ", r->failed ? "not ok" : "ok", r->count);
    print_id(r);
    printf("%s\n", r->emulated && strcmp(r->id.isa, "amx") == 0 ? " (AMX emulated)" : "");
    check_tally_add(r, NULL);
    if (r->failed) {
        printf("# repro: check-kernels --group %s --case '%s' --dir '%s' --algo '%s' --isa '%s' --seed %llu\n",
               r->id.group, r->id.cas, r->id.dir, r->id.algo, r->id.isa, (unsigned long long)r->seed);
        r->bad++;
    } else {
        r->ok++;
    }
    fflush(stdout);
}

void check_refuse(check_run *r, const char *reason)
{
    free_buffers(r);
    printf("# not a check: ");
    print_id(r);
    printf(": %s\n", reason);
    check_tally_add(r, reason);
    r->refused++;
    r->count--;
    if (r->every > 1)
        turn_of(r, &r->id)->n = 0; /* the next one has the turn */
}

/* ---- buffers ------------------------------------------------------------------------------------------------------ */

void check_wait(check_run *r)
{
    rn_backend *be = r->be[CHECK_CUDA];

    if (be && be->sync(be, NULL) < 0)
        check_fail(r, "%s", rn_error_text());
}

void *check_bytes(check_run *r, size_t bytes)
{
    struct check_buffer *b = malloc(sizeof *b);
    size_t total = (bytes + 2 * GUARD + 63) & ~(size_t)63;
    uint8_t *base = b ? memory(r, total) : NULL;

    if (!base) {
        fprintf(stderr, "check-kernels: %zu bytes: out of memory\n", total);
        abort();
    }
    memset(base, CANARY, total);
    memset(base + GUARD, POISON, bytes);
    *b = (struct check_buffer){r->buffers, base, bytes};
    r->buffers = b;
    return base + GUARD;
}

float *check_f32(check_run *r, size_t n)
{
    return check_bytes(r, n * sizeof(float));
}

void check_fill_int(check_run *r, float *p, size_t n, int max)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (float)((int)rn_rng_below(&r->rng, 2 * (uint32_t)max + 1) - max);
}

void check_fill_real(check_run *r, float *p, size_t n, float max)
{
    for (size_t i = 0; i < n; i++)
        p[i] = ((float)(rn_rng_u32(&r->rng) >> 8) * 0x1p-23f - 1.0f) * max;
}

void check_poison(void *p, size_t bytes)
{
    memset(p, POISON, bytes);
}

/* ---- comparison --------------------------------------------------------------------------------------------------- */

bool check_equal(check_run *r, const char *what, const float *got, const float *want, size_t n)
{
    size_t bad = 0, first = 0;

    for (size_t i = 0; i < n; i++) {
        if (!(got[i] == want[i]) && bad++ == 0)
            first = i;
    }
    if (bad)
        check_fail(r, "%s: %zu of %zu differ; first at %zu: got %.9g, want %.9g", what, bad, n, first,
                   (double)got[first], (double)want[first]);
    return bad == 0;
}

bool check_close(check_run *r, const char *what, const float *got, const double *want, const double *mag, size_t n,
                 double tol)
{
    size_t bad = 0, first = 0;

    for (size_t i = 0; i < n; i++) {
        double scale = mag ? mag[i] : fmax(1.0, fabs(want[i]));
        if (!(fabs((double)got[i] - want[i]) <= tol * scale) && bad++ == 0)
            first = i;
    }
    if (bad)
        check_fail(r, "%s: %zu of %zu beyond %.3g relative; first at %zu: got %.9g, want %.9g", what, bad, n, tol,
                   first, (double)got[first], want[first]);
    return bad == 0;
}
