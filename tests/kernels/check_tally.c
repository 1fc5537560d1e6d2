/* SPDX-License-Identifier: MIT */
/* Who was checked on what: counts by algorithm, group and direction, and what must not be 0. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_cpu.h"
#include "op/rn_select.h"

static const char *const groups[] = {"conv", "conv_bf16", "conv_f16", "conv_fuse", "conv_fuse_bf16", "conv_fuse_f16"};
static const char *const dirs[] = {"fwd", "bwd_d", "bwd_w"};

enum { GROUPS = sizeof groups / sizeof *groups, DIRS = sizeof dirs / sizeof *dirs };

/* What our algorithms are not for, in rn_select_match's patterns. A line that is no longer true fails as well. */
static const struct {
    const char *algo, *groups, *dirs;
} not_for[] = {
    {"cpu:amx", "conv,conv_f16,conv_fuse,conv_fuse_f16", "*"},
    {"cpu:winograd*", "conv_f16,conv_fuse_f16", "*"},
    {"cpu:winograd-pairs,cpu:winograd-2x2-pairs", "conv,conv_fuse", "*"},
    {"cpu:direct-pairs", "conv,conv_f16,conv_fuse,conv_fuse_f16", "*"},
    {"cpu:direct*", "*", "bwd_w"},
    {"cpu:point", "*", "fwd,bwd_d"},
    {"cpu:strip", "*", "fwd,bwd_d"},
    {"cuda:implicit-gemm-tf32", "conv_bf16,conv_f16,conv_fuse_bf16,conv_fuse_f16", "*"},
    {"cuda:winograd*", "conv_bf16,conv_f16,conv_fuse_bf16,conv_fuse_f16", "*"},
    {"cuda:direct", "conv_fuse*", "*"},
    {"cuda:direct-stem", "conv,conv_fuse", "*"},
    {"cuda:direct-stem", "*", "bwd_d"},
    {"cuda:implicit-gemm-sm90*", "conv,conv_fuse", "*"},
};

/* The least instruction set that has it at all; portable C for the others. */
static const struct {
    const char *algo;
    int isa;
} least[] = {
    {"cpu:amx", RN_ISA_AMX},
    {"cpu:winograd-pairs", RN_ISA_AVX512_BF16},
    {"cpu:winograd-2x2-pairs", RN_ISA_AVX512_BF16},
    {"cpu:direct-pairs", RN_ISA_AVX512_BF16},
};

static check_tally *find(const check_run *r, const char *group, const char *algo, const char *dir)
{
    for (int i = 0; i < r->ntallies; i++) {
        check_tally *t = &r->tally[i];
        if (strcmp(t->group, group) == 0 && strcmp(t->algo, algo) == 0 && strcmp(t->dir, dir) == 0)
            return t;
    }
    return NULL;
}

void check_tally_add(check_run *r, const char *refusal)
{
    check_tally *t;

    if (strncmp(r->id.group, "conv", 4) != 0 || strcmp(r->id.algo, "") == 0) /* ops refuse nothing */
        return;
    if (!(t = find(r, r->id.group, r->id.algo, r->id.dir))) {
        check_tally *grown = realloc(r->tally, ((size_t)r->ntallies + 1) * sizeof *grown);
        if (!grown) {
            fprintf(stderr, "check-kernels: out of memory\n");
            abort();
        }
        r->tally = grown;
        t = &r->tally[r->ntallies++];
        *t = (check_tally){.group = r->id.group, .algo = r->id.algo, .dir = r->id.dir};
    }
    if (!refusal)
        t->ran++;
    else if (t->refused++ == 0)
        snprintf(t->why, sizeof t->why, "%s", refusal);
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

/* Each algorithm once: the first entry that has its name. */
static bool first_of(const check_run *r, int i)
{
    for (int j = 0; j < i; j++) {
        if (strcmp(r->tally[j].algo, r->tally[i].algo) == 0)
            return false;
    }
    return strcmp(r->tally[i].dir, "adjoint") != 0;
}

static void print_table(const check_run *r)
{
    printf("# cases that ran, fwd / bwd_d / bwd_w (-: refused all, .: not selected)\n# %-28s", "");
    for (int g = 0; g < GROUPS; g++)
        printf(" %15s", groups[g]);
    printf("\n");
    for (int i = 0; i < r->ntallies; i++) {
        if (!first_of(r, i))
            continue;
        printf("# %-28s", r->tally[i].algo);
        for (int g = 0; g < GROUPS; g++) {
            char cell[48] = "";
            for (int d = 0; d < DIRS; d++) {
                const check_tally *t = find(r, groups[g], r->tally[i].algo, dirs[d]);
                char *end = cell + strlen(cell);
                const size_t room = sizeof cell - (size_t)(end - cell);
                if (!t || t->ran == 0)
                    snprintf(end, room, "%s%s", d ? "/" : "", t ? "-" : ".");
                else
                    snprintf(end, room, "%s%d", d ? "/" : "", t->ran);
            }
            printf(" %15s", cell);
        }
        printf("\n");
    }
}

/* ---- the rule ------------------------------------------------------------------------------------------------------- */

static bool excused(const char *algo, const char *group, const char *dir)
{
    for (size_t i = 0; i < sizeof not_for / sizeof *not_for; i++) {
        if (rn_select_match(not_for[i].algo, algo) && rn_select_match(not_for[i].groups, group) &&
            rn_select_match(not_for[i].dirs, dir))
            return true;
    }
    return false;
}

/* The CPU is there that the algorithm asks for. */
static bool at_home(const check_run *r, const char *algo)
{
    for (size_t i = 0; i < sizeof least / sizeof *least; i++) {
        if (strcmp(least[i].algo, algo) == 0)
            return r->be[least[i].isa] != NULL;
    }
    return true;
}

static void judge(check_run *r, const char *group, const char *algo, const char *dir)
{
    const check_tally *t = find(r, group, algo, dir);
    const bool ran = t && t->ran > 0, ours = rn_select_match("cpu:*,cuda:*", algo), excuse = excused(algo, group, dir);

    if (ours ? ran != excuse : ran)
        return;
    if (ours && at_home(r, algo)) {
        printf("not ok %d - %s %s %s: %s\n", ++r->count, group, algo, dir,
               ran ? "check_tally.c says that it is not for this, but it ran"
                   : "no case ran: mend supports(), or say in check_tally.c that it is not for this");
        r->bad++;
    } else {
        printf("ok %d - %s %s %s # SKIP %s\n", ++r->count, group, algo, dir,
               t && t->refused ? t->why : "this CPU has not what it needs");
        r->skipped++;
    }
}

/* Every algorithm that any backend lists, whether a check came to it or not. */
static void judge_all(check_run *r)
{
    const rn_conv_algo *seen[64];
    int n = 0;

    for (int isa = 0; isa < CHECK_ISAS; isa++) {
        for (const rn_conv_algo *const *a = r->be[isa] ? r->be[isa]->conv_algos : NULL; a && *a; a++) {
            int k = 0;
            while (k < n && seen[k] != *a)
                k++;
            if (k < n || n == sizeof seen / sizeof *seen)
                continue;
            seen[n++] = *a;
            for (int g = 0; g < GROUPS; g++) {
                for (int d = 0; d < DIRS; d++)
                    judge(r, groups[g], (*a)->name, dirs[d]);
            }
        }
    }
}

void check_tally_close(check_run *r)
{
    if (r->ntallies)
        print_table(r);
    if (!r->group && !r->cas && !r->dir && !r->algo && !r->isa)
        judge_all(r);
    free(r->tally);
    r->tally = NULL;
    r->ntallies = 0;
}
