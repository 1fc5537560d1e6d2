/* SPDX-License-Identifier: MIT */
/* rn-bench: the commands. */
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"
#include "bench.h"
#include "kernels/rn_kernels.h"

static const struct {
    const char *name;
    int (*main)(int argc, char **argv);
} commands[] = {
    {"compare", bench_compare_main}, {"conv", bench_conv_main},     {"loader", bench_loader_main},
    {"peak", bench_peak_main},       {"resize", bench_resize_main}, {"train", bench_train_main},
};

static int top(int argc, char **argv)
{
    const rn_opt_spec spec = {
        .tool = "rn-bench",
        .synopsis = "compare A.json B.json [OPTION...]\nconv [OPTION...]\nloader DB [OPTION...]\npeak "
                    "[OPTION...]\nresize [OPTION...]\ntrain [OPTION...]",
        .summary = "Benchmarks this machine. `rn-bench COMMAND --help` tells more.",
        .epilog = "Commands:\n"
                  "  compare two outputs: what is faster, slower, the same, unclear\n"
                  "  conv    convolutions: every algorithm verified, then timed\n"
                  "  loader  images a second out of a packed set\n"
                  "  peak    the machine's ceilings: multiply-adds, caches, memory\n"
                  "  resize  decoded images: every instruction set verified, then timed\n"
                  "  train   whole training steps of a recipe's model\n"
                  "\n"
                  "Exit: 0 done, 1 a result was wrong, 2 usage, 3 nothing was selected, 77 a device is absent.",
        .max_operands = 1,
    };
    rn_opt_result res = {0};
    int rc = rn_opt_parse(&spec, argc, argv, &res);

    if (rc == 0 && res.noperands)
        rc = rn_fail(RN_E_USAGE, "command '%s': unknown; accepted: compare, conv, loader, peak, resize, train",
                     res.operands[0]);
    else if (rc == 0)
        rc = rn_fail(RN_E_USAGE, "no command given; accepted: compare, conv, loader, peak, resize, train (see --help)");
    rn_opt_free(&res);
    return rc < 0 ? rc : 0;
}

int main(int argc, char **argv)
{
    rn_kernels_start(argv);
    int rc = 0;
    bool found = false;

    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            rc = commands[i].main(argc - 1, argv + 1);
            found = true;
        }
    }
    if (!found)
        rc = top(argc, argv);
    if (rc >= 0)
        rc = rn_flush_stdout();
    if (rc < 0)
        rn_error("%s", rn_error_text());
    return rn_exit_code(rc);
}
