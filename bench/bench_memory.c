/* SPDX-License-Identifier: MIT */
/* What a case needs, and what there is: asked before anything is allocated, because memory that Linux hands out and cannot back
 * ends the process, and with it a list of which all else would have fitted. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "bench.h"

#define GIB 0x1p30

/* The number after `key` in a file of lines "key NUMBER"; the file's first number without a key; -1: not there. */
static double number_in(const char *path, const char *key)
{
    char line[256];
    const size_t n = strlen(key);
    double v = -1;
    FILE *f = fopen(path, "r");

    while (f && v < 0 && fgets(line, sizeof line, f)) {
        char *end;
        if (strncmp(line, key, n) != 0)
            continue;
        v = strtod(line + n, &end);
        v = end == line + n ? -1 : v;
    }
    if (f)
        fclose(f);
    return v;
}

/* What a control group leaves, below `root`: its limit less what is used, but for pages of files that can be dropped. */
static double group_leaves(const char *root, const char *group, const char *limit, const char *usage, const char *files)
{
    char path[4096];

    snprintf(path, sizeof path, "%s%s/%s", root, group, limit);
    const double most = number_in(path, "");
    snprintf(path, sizeof path, "%s%s/%s", root, group, usage);
    const double used = number_in(path, "");
    snprintf(path, sizeof path, "%s%s/memory.stat", root, group);
    const double cached = number_in(path, files);
    return most < 0 || used < 0 ? INFINITY : most - used + fmax(cached, 0);
}

/* Both versions of control groups; in a container its own one is often mounted as the root. */
static double groups_leave(void)
{
    double least = INFINITY;
    char line[4096];
    FILE *f = fopen("/proc/self/cgroup", "r");

    while (f && fgets(line, sizeof line, f)) {
        const char *kind = strchr(line, ':'), *name = kind ? strchr(kind + 1, ':') : NULL;
        if (!name)
            continue;
        line[strcspn(line, "\n")] = 0;
        const char *const names[] = {name + 1, ""};
        for (int i = 0; i < 2; i++) {
            if (strncmp(kind, "::", 2) == 0)
                least = fmin(
                    least, group_leaves("/sys/fs/cgroup", names[i], "memory.max", "memory.current", "inactive_file "));
            if (strncmp(kind, ":memory:", 8) == 0)
                least = fmin(least, group_leaves("/sys/fs/cgroup/memory", names[i], "memory.limit_in_bytes",
                                                 "memory.usage_in_bytes", "total_inactive_file "));
        }
    }
    if (f)
        fclose(f);
    return least;
}

static double addresses_left(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_AS, &lim) != 0 || lim.rlim_cur == RLIM_INFINITY)
        return INFINITY;
    const double pages = number_in("/proc/self/statm", "");
    return (double)lim.rlim_cur - fmax(pages, 0) * (double)sysconf(_SC_PAGESIZE);
}

double bench_memory_available(void)
{
    const double kib = number_in("/proc/meminfo", "MemAvailable:");
    const double least = fmin(fmin(kib < 0 ? INFINITY : kib * 1024, groups_leave()), addresses_left());

    return fmax(least, 0);
}

double bench_case_bytes(const rn_backend *be, const rn_conv_desc *d, rn_conv_dir dir)
{
    const double dst = (double)d->mb * d->oh * d->ow * d->oc, src = (double)d->mb * d->ih * d->iw * d->ic,
                 wei = (double)d->oc * d->kh * d->kw * d->ic, all = dst + src + wei;
    const double written = dir == RN_FWD ? dst : dir == RN_BWD_D ? src : wei;
    const double size = (double)rn_dtype_size(d->dtype), more = dir == RN_BWD_W ? (4 - size) * wei : 0;
    const double sums = dir == RN_FWD ? dst / d->oc : dir == RN_BWD_D ? src / d->ic : wei / d->oc;
    const double one = dir == RN_FWD ? wei / d->oc : dir == RN_BWD_D ? wei / d->ic : dst / d->oc;
    const double device = strcmp(be->device, "cpu") == 0 ? size * all + more : 0;
    const double raw = fmax(fmax(size * dst, size * src), size * wei + more);

    return device + raw + 4 * (all - written) + 4 * written + 8 * (sums + one); /* as bench_tensors_make has them */
}

double bench_plan_bytes(const rn_backend *be, const rn_conv_algo *algo, const rn_conv_desc *d, rn_conv_dir dir,
                        double workspace)
{
    const double wei = 4.0 * d->oc * d->kh * d->kw * d->ic, times = d->kh == 3 && d->kw == 3 ? 4 : 1;

    if (strcmp(be->device, "cpu") != 0)
        return 0;
    return workspace + (algo->prepare && dir != RN_BWD_W ? times * wei : 0); /* Winograd makes 36 of 9 */
}

int bench_memory_refusal(double needed, double available, const char *for_what)
{
    if (needed <= available)
        return 0;
    return rn_fail(RN_E_NOMEM, "needs %.2f GiB%s, %.2f GiB available: a smaller --mb needs less", needed / GIB,
                   for_what, available / GIB);
}
