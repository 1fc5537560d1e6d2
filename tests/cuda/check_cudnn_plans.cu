/* SPDX-License-Identifier: MIT */
/*
 * What cuDNN makes of the descriptors of cudnn:0 to :2 and cudnn:tf32, asked of the real library without a device: plans by the
 * properties of one (CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR). ResNet-18's and -50's shapes. That they compute right, only a
 * GPU can say. Prints TAP; on stderr how many plans there are, and by which engines.
 */
#include <stdio.h>

#if __has_include(<cudnn.h>)
#include <string.h>

#include "kernels/cudnn/cudnn_plan.h"

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

/* All shapes of a direction and type, with and without adding. */
static void check(const rn_cudnn_target *t, const char *device, rn_conv_dir dir, rn_dtype type, bool tf32)
{
    int planned = 0, wanted = 0;
    char text[128];

    for (int i = 0; i < NSHAPES; i++) {
        rn_conv_desc d;
        if (rn_conv_desc_parse(shapes[i], &d) < 0 || (dir == RN_BWD_D && d.ic < 4))
            continue;
        d.dtype = type;
        if (rn_cudnn_refusal(&d, dir, tf32))
            continue;
        for (int add = 0; add < 2; add++) {
            static rn_cudnn_plans p;
            const int rc = rn_cudnn_plans_open(t, &d, dir, add, tf32, &p);
            wanted++;
            planned += rc == RN_OK && p.count > 0;
            fprintf(stderr, "# %s %s %s%s %s%s:", device, rn_conv_dir_name(dir), rn_dtype_name(type),
                    tf32 ? " tf32" : "", rn_conv_desc_text(&d, text, sizeof text), add ? " add" : "");
            for (int k = 0; k < p.count; k++)
                fprintf(stderr, " engine %lld (%lld bytes)", (long long)p.v[k].engine, (long long)p.v[k].workspace);
            fprintf(stderr, "%s\n", rc < 0 ? rn_error_text() : p.count ? "" : " none");
            rn_cudnn_plans_close(t->library, &p);
        }
    }
    if (!wanted)
        return;
    const bool fine = planned == wanted;
    bad += !fine;
    printf("%sok %d - %s %s %s%s: plans for %d of %d cases\n", fine ? "" : "not ", ++tests, device,
           rn_conv_dir_name(dir), rn_dtype_name(type), tf32 ? " tf32" : "", planned, wanted);
}

int main(void)
{
    rn_cudnn_library l;

    if (rn_cudnn_load(&l) < 0) {
        printf("ok 1 - plans by cuDNN # SKIP %s\n1..1\n", rn_error_text());
        return 0;
    }
    for (int i = 0; i < NDEVICES; i++) {
        rn_cudnn_target t = {&l, NULL, NULL};
        if (properties(&l, devices[i].properties, &t.properties) < 0) {
            printf("not ok %d - a device by its properties: %s\n", ++tests, rn_error_text());
            bad++;
            continue;
        }
        for (int dir = 0; dir < 3; dir++) {
            check(&t, devices[i].name, (rn_conv_dir)dir, RN_F32, false);
            check(&t, devices[i].name, (rn_conv_dir)dir, RN_F32, true);
            check(&t, devices[i].name, (rn_conv_dir)dir, RN_BF16, false);
            check(&t, devices[i].name, (rn_conv_dir)dir, RN_F16, false);
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
