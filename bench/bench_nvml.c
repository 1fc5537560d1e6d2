/* SPDX-License-Identifier: MIT */
#include "bench_nvml.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libnvidia-ml.so.1"

/* NVML's own numbers, from its reference manual: nvmlClockType_t, nvmlTemperatureSensors_t, nvmlClocksEventReasons. */
enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, SENSOR_GPU = 0 };
static const struct {
    unsigned long long bit;
    const char *word;
} slowing[] = {{0x4, "power cap"},        {0x8, "hardware"},     {0x10, "sync boost"},        {0x20, "heat"},
               {0x40, "heat (hardware)"}, {0x80, "power brake"}, {0x2, "application clocks"}, {0x100, "display"}};

typedef void *nvml_device;

struct bench_nvml {
    void *so;
    char trouble[256]; /* why nothing is known; "" */
    nvml_device device;
    int (*init)(void);
    int (*shutdown)(void);
    int (*by_uuid)(const char *uuid, nvml_device *out);
    int (*clock)(nvml_device d, int type, unsigned *mhz);
    int (*clock_max)(nvml_device d, int type, unsigned *mhz);
    int (*power)(nvml_device d, unsigned *mw);
    int (*power_limit)(nvml_device d, unsigned *mw);
    int (*temperature)(nvml_device d, int sensor, unsigned *celsius);
    int (*reasons)(nvml_device d, unsigned long long *bits);
    int (*driver)(char *text, unsigned cap);
};

/* The second name is the one that later drivers have. */
static bool find(bench_nvml *n, void *slot, const char *name, const char *later)
{
    void *f = dlsym(n->so, name);

    if (!f && later)
        f = dlsym(n->so, later);
    memcpy(slot, &f, sizeof f); /* POSIX's way from an object's pointer to a function's */
    if (!f && !*n->trouble)
        snprintf(n->trouble, sizeof n->trouble, LIBRARY " has no %s: clocks and power are not known", name);
    return f != NULL;
}

static bool find_all(bench_nvml *n)
{
    return find(n, &n->init, "nvmlInit_v2", NULL) && find(n, &n->shutdown, "nvmlShutdown", NULL) &&
           find(n, &n->by_uuid, "nvmlDeviceGetHandleByUUID", NULL) &&
           find(n, &n->clock, "nvmlDeviceGetClockInfo", NULL) &&
           find(n, &n->clock_max, "nvmlDeviceGetMaxClockInfo", NULL) &&
           find(n, &n->power, "nvmlDeviceGetPowerUsage", NULL) &&
           find(n, &n->power_limit, "nvmlDeviceGetEnforcedPowerLimit", NULL) &&
           find(n, &n->temperature, "nvmlDeviceGetTemperature", NULL) &&
           find(n, &n->reasons, "nvmlDeviceGetCurrentClocksThrottleReasons",
                "nvmlDeviceGetCurrentClocksEventReasons") &&
           find(n, &n->driver, "nvmlSystemGetDriverVersion", NULL);
}

/* rn_backend's 32 digits as NVML writes them: GPU-8-4-4-4-12. */
static void uuid_of(const rn_backend *be, char out[48])
{
    const char *u = be->unit;

    snprintf(out, 48, "GPU-%.8s-%.4s-%.4s-%.4s-%.12s", u, u + 8, u + 12, u + 16, u + 20);
}

bench_nvml *bench_nvml_open(const rn_backend *be)
{
    char uuid[48];

    if (strcmp(be->device, "cpu") == 0)
        return NULL;
    bench_nvml *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->so = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!n->so) {
        snprintf(n->trouble, sizeof n->trouble, LIBRARY " is not there: clocks and power are not known");
        return n;
    }
    if (!find_all(n))
        return n;
    int rc = n->init();
    if (rc != 0) {
        snprintf(n->trouble, sizeof n->trouble, "nvmlInit_v2: error %d: clocks and power are not known", rc);
        n->shutdown = NULL;
        return n;
    }
    if (strlen(be->unit) != 32) {
        snprintf(n->trouble, sizeof n->trouble, "a device without a UUID: clocks and power are not known");
        return n;
    }
    uuid_of(be, uuid);
    rc = n->by_uuid(uuid, &n->device);
    if (rc != 0)
        snprintf(n->trouble, sizeof n->trouble, "NVML knows no %s (error %d): clocks and power are not known", uuid,
                 rc);
    return n;
}

void bench_nvml_close(bench_nvml *n)
{
    if (!n)
        return;
    if (n->so && n->shutdown)
        (void)n->shutdown();
    if (n->so)
        dlclose(n->so);
    free(n);
}

static void put(json_t *o, const char *key, int rc, double v)
{
    if (rc == 0) /* a device may not tell all */
        json_object_set_new(o, key, json_real(v));
}

static void put_slowing(json_t *o, unsigned long long bits)
{
    char text[160] = "";
    size_t n = 0;

    for (size_t i = 0; i < sizeof slowing / sizeof *slowing; i++) {
        if (bits & slowing[i].bit)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? ", " : "", slowing[i].word);
    }
    json_object_set_new(o, "gpu_slowed_by", json_string(n ? text : "nothing"));
}

void bench_nvml_read(const bench_nvml *n, json_t *machine)
{
    unsigned long long bits = 0;
    unsigned v = 0;
    char driver[96];
    int rc;

    if (!n)
        return;
    if (*n->trouble) {
        json_object_set_new(machine, "nvml", json_string(n->trouble));
        return;
    }
    rc = n->clock(n->device, CLOCK_SM, &v);
    put(machine, "gpu_sm_mhz", rc, v);
    rc = n->clock_max(n->device, CLOCK_SM, &v);
    put(machine, "gpu_sm_mhz_max", rc, v);
    rc = n->clock(n->device, CLOCK_MEMORY, &v);
    put(machine, "gpu_memory_mhz", rc, v);
    rc = n->power(n->device, &v);
    put(machine, "gpu_power_w", rc, v * 1e-3);
    rc = n->power_limit(n->device, &v);
    put(machine, "gpu_power_limit_w", rc, v * 1e-3);
    rc = n->temperature(n->device, SENSOR_GPU, &v);
    put(machine, "gpu_celsius", rc, v);
    if (n->reasons(n->device, &bits) == 0)
        put_slowing(machine, bits);
    if (n->driver(driver, sizeof driver) == 0)
        json_object_set_new(machine, "driver", json_string(driver));
}
