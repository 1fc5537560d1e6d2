/* SPDX-License-Identifier: MIT */
/*
 * With --model only: what cpu:amx may reach on a CPU with AMX, layer by layer, on one thread. Predicted, not measured: the
 * cycles of the tiles come from the instructions that it executes and the lines that they touch (amx_emulate.h); those of all
 * the rest (strips copied and transposed, sums rounded and stored) from this CPU's clock, while tile instructions do
 * nothing. Two predictions: tiles and the rest side by side, as far as the CPU's window reaches (the larger of the two), and one
 * after the other. Useful FLOP, those in the padding included, over what the tiles could have done in these cycles. Nothing is
 * compared with a reference here: the groups conv_bf16 and conv_fuse_bf16 do that.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "amx_emulate.h"
#include "base/rn_cpu.h"
#include "base/rn_error.h"
#include "check.h"
#include "kernels/cpu/cpu_amx.h"
#include "op/rn_select.h"

#define FLOP_A_CYCLE 1024.0

/* Layers of ResNet-18 and, with one tap, ResNet-50 at 224 pixels, then of ResNet-18 at CIFAR's 32. */
static const char *const layers[] = {"mb4ic3ih224oc64kh7sh2ph3",   "mb4ic64ih56oc64kh3ph1",
                                     "mb4ic64ih56oc128kh3sh2ph1",  "mb4ic64ih56oc128kh1sh2",
                                     "mb4ic128ih28oc128kh3ph1",    "mb4ic128ih28oc256kh3sh2ph1",
                                     "mb4ic128ih28oc256kh1sh2",    "mb4ic256ih14oc256kh3ph1",
                                     "mb4ic256ih14oc512kh3sh2ph1", "mb4ic256ih14oc512kh1sh2",
                                     "mb4ic512ih7oc512kh3ph1",     "mb4ic64ih56oc256kh1",
                                     "mb4ic256ih56oc64kh1",        "mb4ic512ih28oc128kh1",
                                     "mb4ic256ih14oc1024kh1",      "mb4ic2048ih7oc512kh1",
                                     "mb16ic3ih32oc64kh3ph1",      "mb16ic64ih32oc64kh3ph1",
                                     "mb16ic128ih16oc128kh3ph1",   "mb16ic256ih8oc256kh3ph1",
                                     "mb16ic512ih4oc512kh3ph1",    NULL};

static void fill(check_run *r, uint16_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint16_t)(0x3f00 | (rn_rng_u32(&r->rng) & 0x807f)); /* +-0.5..1 */
}

/* ---- the clock ---------------------------------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Cycles a second: of additions that wait for each other. */
static double cycles_a_second(void)
{
    enum { N = 200000 };
    double best = 1;

    for (int turn = 0; turn < 5; turn++) {
        const double start = seconds();
        uint64_t x = 0;
        for (int i = 0; i < N; i++)
            __asm__ volatile("add $1, %0\n add $1, %0\n add $1, %0\n add $1, %0" : "+r"(x));
        const double took = seconds() - start;
        best = took < best ? took : best;
    }
    return 4.0 * N / best;
}

/* Cycles of a run without its tile instructions: the fastest of some. Negative: not to be had. */
static double rest_cycles(check_run *r, rn_conv_plan *plan, const rn_conv_args *args, void *ws)
{
    const double hz = cycles_a_second(), until = seconds() + 0.05;
    double best = 1e9;

    if (!amx_emulate_skip(true))
        return -1;
    for (int i = 0; i < 5 || (seconds() < until && i < 1000); i++) {
        const double start = seconds();
        if (rn_conv_run(plan, args, 0, ws, NULL) < 0)
            check_fail(r, "%s", rn_error_text());
        const double took = seconds() - start;
        best = took < best ? took : best;
    }
    if (!amx_emulate_skip(false))
        check_fail(r, "the emulation is gone");
    return best * hz;
}

/* ---- a case ------------------------------------------------------------------------------------------------------------- */

static void model(check_run *r, const char *text, rn_conv_dir dir)
{
    const check_id id = {"amx_model", text, rn_conv_dir_name(dir), "cpu:amx", "amx"};
    rn_backend *be = r->be[RN_ISA_AMX];
    const int threads = be->threads;
    rn_conv_plan *plan = NULL;
    const char *why = "";
    rn_conv_desc d;

    if (!check_begin(r, &id))
        return;
    be->threads = 1;
    if (rn_conv_desc_parse(text, &d) < 0 || (d.dtype = RN_BF16, !rn_cpu_amx.supports(be, &d, dir, &why)) ||
        rn_conv_plan_open(be, &rn_cpu_amx, &d, dir, &plan) < 0) {
        check_fail(r, "%s", *why ? why : rn_error_text());
        be->threads = threads;
        check_end(r);
        return;
    }
    const size_t n[3] = {(size_t)d.mb * d.oh * d.ow * d.oc, (size_t)d.mb * d.ih * d.iw * d.ic,
                         (size_t)d.oc * d.kh * d.kw * d.ic};
    uint16_t *t[3];
    for (int i = 0; i < 3; i++) {
        t[i] = check_bytes(r, n[i] * sizeof(float));
        fill(r, t[i], n[i]);
    }
    void *ws = check_bytes(r, plan->workspace_bytes);
    const rn_conv_args args = {.src = t[RN_BWD_D], .wei = t[RN_BWD_W], .dst = t[RN_FWD]};
    if (rn_conv_prepare(plan, t[RN_BWD_W], NULL) < 0)
        check_fail(r, "%s", rn_error_text());
    amx_emulate_reset();
    if (rn_conv_run(plan, &args, 0, ws, NULL) < 0)
        check_fail(r, "%s", rn_error_text());
    const amx_counts c = amx_emulate_counts();
    const amx_model m = amx_model_of(&c);
    const double least = rn_conv_flops(&d, false) / FLOP_A_CYCLE, rest = rest_cycles(r, plan, &args, ws);
    const double side = rest > m.cycles ? rest : m.cycles;
    printf("# %-28s %-5s Mcycles: multiply %6.2f ports %6.2f caches %6.2f rest %6.2f; of peak %2.0f to %2.0f %%; %s\n",
           text, id.dir, m.multiply * 1e-6, m.ports * 1e-6, m.caches * 1e-6, rest * 1e-6,
           100 * least / (m.cycles + rest), 100 * least / side,
           side > m.cycles                             ? "rest"
           : m.cycles > m.ports && m.cycles > m.caches ? "multiply"
           : m.cycles > m.ports                        ? "caches"
                                                       : "ports");
    if (!(c.tdp > 0))
        check_fail(r, "no product was counted");
    rn_conv_plan_close(plan);
    be->threads = threads;
    check_end(r);
}

static void run(check_run *r)
{
    rn_conv_desc d;
    bool listed = false;

    if (!r->model || !r->emulated) /* elsewhere rn-bench measures */
        return;
    for (const char *const *l = layers; *l; l++) {
        for (int dir = 0; dir < 3; dir++) {
            if (dir != RN_BWD_D || l != layers) /* no gradient goes to the images */
                model(r, *l, (rn_conv_dir)dir);
        }
        listed = listed || (r->cas && rn_select_match(r->cas, *l));
    }
    for (int dir = 0; dir < 3 && r->cas && !listed && rn_conv_desc_parse(r->cas, &d) == 0; dir++)
        model(r, r->cas, (rn_conv_dir)dir);
}

const check_group check_amx_model_group = {"amx_model", run};
