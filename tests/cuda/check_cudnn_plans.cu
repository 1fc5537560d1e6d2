/* SPDX-License-Identifier: MIT */
/*
 * What cuDNN makes of the descriptors of its rows, asked of the real library without a device: plans by the properties of one
 * (CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR). ResNet-18's and -50's shapes. Engines that compile their kernels want a driver, for which
 * driver_absent.c stands: of those one shape on one device, as they take seconds each; with "all" all of them (some 5 minutes), with "compiled" nothing else. That they
 * compute right, only a GPU can say. Prints TAP; on stderr the plans, by which engines, and how long they took to make.
 */
#include <stdio.h>

#if __has_include(<cudnn.h>)
#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <time.h>

#include "kernels/cudnn/cudnn_kept.h"

extern "C" {
#include "base/rn_error.h"
}

static const struct {
    const char *name, *properties;
} devices[] = {
    {"sm_90",
     "{\"deviceName\":\"H100\",\"cudaDeviceId\":0,\"deviceVer\":900,\"driverVer\":13000,\"multiProcessorCount\":132,"
     "\"totalGlobalMem\":85000000000,\"l2CacheSize\":52428800,\"smClockRateKHz\":1980000,"
     "\"memClockRateKHz\":2619000,\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":232448,"
     "\"reservedSharedMemoryPerBlock\":1024,\"regsPerBlock\":65536,\"maxRegistersPerSM\":65536,"
     "\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"warpSize\":32,"
     "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"pciDeviceId\":0,"
     "\"isTccDriver\":0,\"supportCoopLaunch\":1}"},
    {"sm_80",
     "{\"deviceName\":\"A100\",\"cudaDeviceId\":0,\"deviceVer\":800,\"driverVer\":13000,\"multiProcessorCount\":108,"
     "\"totalGlobalMem\":42000000000,\"l2CacheSize\":41943040,\"smClockRateKHz\":1410000,"
     "\"memClockRateKHz\":1215000,\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":166912,"
     "\"reservedSharedMemoryPerBlock\":1024,\"regsPerBlock\":65536,\"maxRegistersPerSM\":65536,"
     "\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"warpSize\":32,"
     "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"pciDeviceId\":0,"
     "\"isTccDriver\":0,\"supportCoopLaunch\":1}"},
};

static const char *const shapes[] = {
    "mb256ic64ih56oc64kh3ph1",      "mb256ic64ih56oc128kh3sh2ph1",  "mb256ic64ih56oc128kh1sh2",
    "mb256ic128ih28oc128kh3ph1",    "mb256ic128ih28oc256kh3sh2ph1", "mb256ic256ih14oc256kh3ph1",
    "mb256ic256ih14oc512kh3sh2ph1", "mb256ic512ih7oc512kh3ph1",     "mb256ic64ih56oc256kh1",
    "mb256ic1024ih14oc256kh1",      "mb256ic2048ih7oc512kh1",       "mb256ic3ih224oc64kh7sh2ph3",
};

/* COMPILED: wants a driver; of the compiled shapes alone, and one plan. RARE: as this, only when all are wanted. */
enum how { OFFERED, COMPILED, RARE };

/* What is asked for, and of which of the shapes: plans whose kernels are compiled take a second each. */
static const struct {
    rn_conv_dir dir;
    rn_dtype dtype;
    unsigned fuse, loose;
    enum how how;
} kinds[] = {
    {RN_FWD, RN_F32, 0, 0, OFFERED},
    {RN_FWD, RN_F32, 0, RN_CUDNN_TF32 | RN_CUDNN_SUMS32, OFFERED},
    {RN_FWD, RN_BF16, 0, 0, OFFERED},
    {RN_FWD, RN_F16, 0, 0, OFFERED},
    {RN_BWD_D, RN_F32, 0, 0, OFFERED},
    {RN_BWD_D, RN_F32, 0, RN_CUDNN_TF32 | RN_CUDNN_SUMS32, OFFERED},
    {RN_BWD_D, RN_BF16, 0, 0, OFFERED},
    {RN_BWD_D, RN_F16, 0, 0, OFFERED},
    {RN_BWD_W, RN_F32, 0, 0, OFFERED},
    {RN_BWD_W, RN_F32, 0, RN_CUDNN_TF32 | RN_CUDNN_SUMS32, OFFERED},
    {RN_BWD_W, RN_BF16, 0, RN_CUDNN_DW16, OFFERED},
    {RN_BWD_W, RN_F16, 0, RN_CUDNN_DW16, OFFERED},
    {RN_BWD_W, RN_BF16, 0, 0, COMPILED},
    {RN_BWD_W, RN_F16, 0, 0, RARE},
    {RN_FWD, RN_BF16, RN_PRO_BN, 0, RARE},
    {RN_FWD, RN_BF16, RN_PRO_BN | RN_PRO_RELU, 0, COMPILED},
    {RN_FWD, RN_BF16, RN_PRO_BN | RN_PRO_ADD | RN_PRO_RELU, 0, COMPILED},
    {RN_FWD, RN_F16, RN_PRO_BN | RN_PRO_RELU, 0, RARE},
    {RN_FWD, RN_F32, RN_PRO_BN | RN_PRO_RELU, RN_CUDNN_TF32 | RN_CUDNN_SUMS32, COMPILED},
    {RN_FWD, RN_BF16, RN_EPI_STATS, RN_CUDNN_SUMS32, COMPILED},
    {RN_FWD, RN_F16, RN_EPI_STATS, RN_CUDNN_SUMS32, RARE},
    {RN_FWD, RN_F32, RN_EPI_STATS, RN_CUDNN_TF32 | RN_CUDNN_SUMS32, RARE},
    {RN_BWD_D, RN_BF16, RN_EPI_DBN, RN_CUDNN_SUMS32, COMPILED},
    {RN_BWD_D, RN_F16, RN_EPI_DBN, RN_CUDNN_SUMS32, RARE},
};
static const int compiled_shapes[] = {0, 1, 8};

enum { NKINDS = sizeof kinds / sizeof *kinds, NCOMPILED = sizeof compiled_shapes / sizeof *compiled_shapes };

enum { NSHAPES = sizeof shapes / sizeof *shapes, NDEVICES = sizeof devices / sizeof *devices };

static int tests, bad;

static int properties(const rn_cudnn_library *l, const char *text, cudnnBackendDescriptor_t *out)
{
    RN_TRY(rn_cudnn_status(l, l->BackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, out), "properties"));
    RN_TRY(rn_cudnn_status(l,
                           l->BackendSetAttribute(*out, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                                  (int64_t)strlen(text), text),
                           "properties"));
    return rn_cudnn_status(l, l->BackendFinalize(*out), "properties");
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One case: how many plans it has, of those that are asked for. */
static int count_plans(const rn_cudnn_target *t, const char *device, const rn_cudnn_work *w, int wanted)
{
    static rn_cudnn_plans p;
    const rn_conv_desc *d = &w->d;
    const double start = now();
    char text[128], fuse[64];
    const int rc = rn_cudnn_plans_open(t, w, &p);

    for (int n = 0; rc == RN_OK && n < wanted && rn_cudnn_plan_at(t, &p, n); n++)
        ;
    fprintf(stderr, "# %s %s %s %s %s loose %u%s:", device, rn_conv_dir_name(w->dir), rn_dtype_name(d->dtype),
            rn_conv_desc_text(d, text, sizeof text), rn_conv_fuse_text(d->fuse, fuse, sizeof fuse), w->loose,
            w->add ? " add" : "");
    for (int k = 0; k < p.count; k++)
        fprintf(stderr, " engine %lld (%lld bytes%s)", (long long)p.v[k].engine, (long long)p.v[k].workspace,
                p.v[k].kept       ? ", compiled before"
                : p.v[k].compiled ? ", compiled"
                                  : "");
    fprintf(stderr, "%s, %.0f ms\n", rc < 0 ? rn_error_text() : p.count ? "" : " none", (now() - start) * 1e3);
    const int count = p.count;
    rn_cudnn_plans_close(t->library, &p);
    return count;
}

/* All shapes of one kind, with and without adding where that is cuDNN's; of what is compiled the first, unless `all`. */
static void check(const rn_cudnn_target *t, const char *device, int kind, bool driver, bool all)
{
    const unsigned fuse = kinds[kind].fuse, loose = kinds[kind].loose;
    const bool compiled = kinds[kind].how != OFFERED, sums = fuse & (RN_EPI_STATS | RN_EPI_DBN);
    int planned = 0, wanted = 0;
    char text[64];

    const int nshapes = !compiled ? (int)NSHAPES : !driver ? 0 : all ? (int)NCOMPILED : 1;

    for (int i = 0; i < nshapes; i++) {
        rn_cudnn_work w;
        memset(&w, 0, sizeof w);
        if (rn_conv_desc_parse(shapes[compiled ? compiled_shapes[i] : i], &w.d) < 0)
            continue;
        w.d.dtype = kinds[kind].dtype;
        w.d.fuse = fuse;
        w.dir = kinds[kind].dir;
        w.loose = loose;
        if (rn_cudnn_refusal(&w) || (w.dir == RN_BWD_D && w.d.ic < 4))
            continue;
        const int adds = sums || (compiled && !all) || (w.dir == RN_BWD_W && w.d.dtype != RN_F32) ? 1 : 2;
        for (int add = 0; add < adds; add++) {
            w.add = add;
            wanted++;
            planned += count_plans(t, device, &w, compiled ? 1 : (int)RN_CUDNN_PLANS) > 0;
        }
    }
    const bool fine = planned == wanted && (wanted > 0 || !driver);
    bad += !fine;
    printf("%sok %d - %s %s %s %s%s%s%s: ", fine ? "" : "not ", ++tests, device, rn_conv_dir_name(kinds[kind].dir),
           rn_dtype_name(kinds[kind].dtype), rn_conv_fuse_text(fuse, text, sizeof text),
           loose & RN_CUDNN_TF32 ? " tf32" : "", loose & RN_CUDNN_DW16 ? " dw16" : "",
           loose & RN_CUDNN_SUMS32 ? " sums32" : "");
    if (compiled && !driver)
        printf("# SKIP engines that compile want a driver\n");
    else
        printf("plans for %d of %d cases\n", planned, wanted);
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "";
    const bool all = strcmp(part, "all") == 0, offered = strcmp(part, "compiled") != 0;
    rn_cudnn_library l;
    char plans[PATH_MAX];

    if (rn_cudnn_load(&l) < 0) {
        printf("ok 1 - plans by cuDNN # SKIP %s\n1..1\n", rn_error_text());
        return 0;
    }
    if (rn_cudnn_kept_folder(plans, sizeof plans) < 0)
        fprintf(stderr, "# %s\n", rn_error_text());
    const bool driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    for (int i = 0; i < (int)NDEVICES; i++) {
        rn_cudnn_target t = {&l, NULL, NULL, devices[i].name, plans};
        if (properties(&l, devices[i].properties, &t.properties) < 0) {
            printf("not ok %d - a device by its properties: %s\n", ++tests, rn_error_text());
            bad++;
            continue;
        }
        for (int k = 0; k < (int)NKINDS; k++) {
            if (all || (offered && kinds[k].how == OFFERED) || (i == 0 && kinds[k].how == COMPILED))
                check(&t, devices[i].name, k, driver, all);
        }
        l.BackendDestroyDescriptor(t.properties);
    }
    printf("1..%d\n", tests);
    return tests == 0 || bad;
}

#else

int main(void)
{
    printf("ok 1 - plans by cuDNN # SKIP this build has no cuDNN: cudnn.h was not there\n1..1\n");
    return 0;
}
#endif
