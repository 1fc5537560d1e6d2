/* SPDX-License-Identifier: MIT */
/* check-kernels: every kernel against its reference, in one program that prints TAP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amx_emulate.h"
#include "base/rn_error.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "check_ops.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/rn_kernels.h"

/* One row per file of checks. */
static const check_group *const groups[] = {
    &check_conv_group,
    &check_conv_bf16_group,
    &check_conv_f16_group,
    &check_conv_fuse_group,
    &check_conv_fuse_bf16_group,
    &check_conv_fuse_f16_group,
    &check_point_group,
    &check_optim_group,
    &check_now_group,
    &check_bn_group,
    &check_pool_group,
    &check_dense_group,
    &check_distill_group,
    &check_join_group,
    &check_channel_group,
    &check_half_group,
    &check_pick_group,
    &check_amx_model_group,
    &check_time_group,
    NULL,
};

/* A backend of check_isa_names[isa]. That of AMX opens on any CPU with AVX-512 and bf16: where AMX itself is not there, its
 * instructions are emulated. */
static int open_backend(check_run *r, int isa)
{
    const rn_backend_opts opts = {.threads = 2, .isa = check_isa_names[isa]};

    if (isa != RN_ISA_AMX || !(r->emulated = amx_emulate_start()))
        return rn_backend_open(rn_backends, "cpu", &opts, &r->be[isa]);
    return rn_cpu_open_at(&opts, RN_ISA_AMX, &r->be[isa]);
}

static int open_backends(check_run *r)
{
    if (r->device && strcmp(r->device, "cpu") != 0) {
        RN_TRY(rn_backend_open(rn_backends, r->device, NULL, &r->be[CHECK_CUDA]));
        printf("# %s: %s\n", r->device, r->be[CHECK_CUDA]->describe);
        r->best = CHECK_CUDA;
        return 0;
    }
    for (int i = 0; i < CHECK_CUDA; i++) {
        int rc = open_backend(r, i);
        if (rc == RN_E_ABSENT) {
            printf("# %s\n", rn_error_text());
            continue;
        }
        RN_TRY(rc);
        if (i == RN_ISA_AVX512_BF16) /* the code is there to be checked, whether this CPU is fast at it or not */
            rn_cpu_backend_set_pairs(r->be[i], true);
        if (i != RN_ISA_AMX || !r->emulated)
            r->best = i;
        printf("# %s: %s%s\n", check_isa_names[i], r->be[i]->describe,
               i == RN_ISA_AMX && r->emulated ? "; AMX instructions are emulated" : "");
    }
    return 0;
}

static int run(check_run *r)
{
    RN_TRY(open_backends(r));
    for (const check_group *const *g = groups; *g; g++)
        (*g)->run(r);
    if (!r->list)
        check_tally_close(r);
    free(r->turns);
    for (int i = 0; i < CHECK_ISAS; i++)
        rn_backend_close(r->be[i]);
    if (r->count + r->refused + r->listed == 0)
        return rn_fail(RN_E_NOTHING, "nothing selected; --list shows what there is");
    if (r->list)
        return 0;
    printf("1..%d\n# %d passed, %d failed, %d skipped; %d cases that an algorithm is not for\n", r->count, r->ok,
           r->bad, r->skipped, r->refused);
    if (r->every > 1)
        printf("# --every %llu: %d cases left out\n", (unsigned long long)r->every, r->left_out);
    if (r->bad)
        return rn_fail(RN_E_MISMATCH, "%d of %d checks failed", r->bad, r->count);
    return r->ok ? 0 : rn_fail(RN_E_NOTHING, "every selected check was skipped");
}

int main(int argc, char **argv)
{
    check_run r = {.seed = 1, .every = 1};
    const rn_opt opts[] = {
        {RN_OPT_GROUP, "Selection (comma-separated patterns with * and ?)", NULL, NULL, NULL, NULL, 0, 0},
        {RN_OPT_TEXT, "group", "PATTERN", &r.group, "Groups of checks, e.g. conv.", NULL, 0, 0},
        {RN_OPT_TEXT, "case", "PATTERN", &r.cas,
         "Cases; a convolution descriptor that is not in the list is checked as well.", NULL, 0, 0},
        {RN_OPT_TEXT, "dir", "PATTERN", &r.dir, "Directions: fwd, bwd_d, bwd_w, or the op's name.", NULL, 0, 0},
        {RN_OPT_TEXT, "algo", "PATTERN", &r.algo, "Algorithms by name, e.g. 'cpu:*'.", NULL, 0, 0},
        {RN_OPT_TEXT, "isa", "PATTERN", &r.isa, "Instruction sets: portable, avx2, avx512, avx512bf16, amx.", NULL, 0,
         0},
        {RN_OPT_TEXT, "device", "NAME", &r.device, "What to check: cpu, with every instruction set it has, or cuda.",
         NULL, 0, 0},
        {RN_OPT_UINT, "seed", "N", &r.seed, "Seed of all data.", NULL, 0, 0},
        {RN_OPT_UINT, "every", "N", &r.every,
         "Of each algorithm, direction and instruction set of a group only every N-th case, for slow builds.", NULL, 0,
         0},
        {RN_OPT_FLAG, "list", NULL, &r.list, "Only print what would be checked.", NULL, 0, 0},
        {RN_OPT_FLAG, "time", NULL, &r.time,
         "Time each case after it was verified; adds the group time, ops beside memcpy.", NULL, 0, 0},
        {RN_OPT_FLAG, "model", NULL, &r.model,
         "Adds the group amx_model: what cpu:amx may reach, from the instructions it executes, where AMX is emulated.",
         NULL, 0, 0},
    };
    const rn_opt_spec spec = {
        .tool = "check-kernels",
        .synopsis = "",
        .summary = "Checks every kernel on this machine against a plain reference and prints TAP.",
        .epilog = "Exit: 0 all passed, 1 a check failed, 2 usage, 3 nothing was checked.",
        .opts = opts,
        .nopts = sizeof opts / sizeof *opts,
    };
    rn_opt_result res = {0};

    rn_kernels_start(argv);
    int rc = rn_opt_parse(&spec, argc, argv, &res);

    if (rc == 0)
        rc = run(&r);
    if (rc < 0)
        rn_error("%s", rn_error_text());
    rn_opt_free(&res);
    return rn_exit_code(rc < 0 ? rc : 0);
}
