/* SPDX-License-Identifier: MIT */
/* The driver's library as far as rn-bench asks it, for the emulated device: one GPU with figures of its own, at rest before its first reading
 * and at work from then on. RNKIT_EMULATE_NVML=N: its init fails with that error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

static int readings; /* of the clock; one thread asks */

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetHandleByUUID(const char *uuid, void **out);
int nvmlDeviceGetClockInfo(void *d, int type, unsigned *mhz);
int nvmlDeviceGetMaxClockInfo(void *d, int type, unsigned *mhz);
int nvmlDeviceGetPowerUsage(void *d, unsigned *mw);
int nvmlDeviceGetEnforcedPowerLimit(void *d, unsigned *mw);
int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *celsius);
int nvmlDeviceGetCurrentClocksEventReasons(void *d, unsigned long long *bits);
int nvmlSystemGetDriverVersion(char *text, unsigned cap);

int nvmlInit_v2(void)
{
    const char *text = getenv("RNKIT_EMULATE_NVML");

    return text ? (int)strtol(text, NULL, 10) : OK;
}

int nvmlShutdown(void)
{
    return OK;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **out)
{
    *out = &readings;
    return strcmp(uuid, "GPU-00000000-0000-0000-0000-000000000000") == 0 ? OK : NOT_FOUND;
}

int nvmlDeviceGetClockInfo(void *d, int type, unsigned *mhz)
{
    if (d != &readings || (type != 1 && type != 2))
        return NOT_SUPPORTED;
    *mhz = type == 2 ? 2619 : readings++ ? 1755 : 345;
    return OK;
}

int nvmlDeviceGetMaxClockInfo(void *d, int type, unsigned *mhz)
{
    *mhz = 1980;
    return d == &readings && type == 1 ? OK : NOT_SUPPORTED;
}

int nvmlDeviceGetPowerUsage(void *d, unsigned *mw)
{
    *mw = readings > 1 ? 612500 : 71250;
    return d == &readings ? OK : NOT_SUPPORTED;
}

int nvmlDeviceGetEnforcedPowerLimit(void *d, unsigned *mw)
{
    *mw = 700000;
    return d == &readings ? OK : NOT_SUPPORTED;
}

/* As on a device that does not tell. */
int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *celsius)
{
    (void)d, (void)sensor, (void)celsius;
    return NOT_SUPPORTED;
}

int nvmlDeviceGetCurrentClocksEventReasons(void *d, unsigned long long *bits)
{
    *bits = readings > 1 ? 0x24 : 0;
    return d == &readings ? OK : NOT_SUPPORTED;
}

int nvmlSystemGetDriverVersion(char *text, unsigned cap)
{
    snprintf(text, cap, "none: emulated");
    return OK;
}
