/* SPDX-License-Identifier: MIT */
#include "run/train/rn_devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_launch.h"
#include "base/rn_log.h"

/* ---- one for each ---- */

int rn_devices_place(rn_comm *c, int *place)
{
    rn_launch l;
    *place = 0;
    if (!c)
        return RN_OK;
    RN_TRY(rn_launch_find(&l));
    char(*hosts)[RN_COMM_HOST_MAX] = malloc((size_t)c->size * sizeof *hosts);
    if (!hosts)
        return rn_fail(RN_E_NOMEM, "no memory for the hosts of %d ranks", c->size);
    int rc = rn_comm_allgather(c, c->host, sizeof *hosts, hosts);
    for (int r = 0; rc == RN_OK && r < c->rank; r++)
        *place += strcmp(hosts[r], c->host) == 0;
    free(hosts);
    if (l.local >= 0)
        *place = l.local;
    return rc;
}

typedef struct unit_of {
    char host[RN_COMM_HOST_MAX], unit[sizeof((rn_backend *)0)->unit];
} unit_of;

/* The first two ranks with one device, or false. */
static bool find_shared(const unit_of *u, int n, int *a, int *b)
{
    for (int i = 1; i < n; i++)
        for (int j = 0; j < i; j++)
            if (strcmp(u[i].host, u[j].host) == 0 && strcmp(u[i].unit, u[j].unit) == 0) {
                *a = j;
                *b = i;
                return true;
            }
    return false;
}

/* *shared: and that is allowed. */
static int check_units(const rn_session *s, bool *shared)
{
    rn_comm *c = s->comm;
    unit_of mine = {{0}, {0}}, *all = calloc((size_t)c->size, sizeof *all);
    int a = 0, b = 0;
    if (!all)
        return rn_fail(RN_E_NOMEM, "no memory for the devices of %d ranks", c->size);
    memcpy(mine.host, c->host, sizeof mine.host);
    memcpy(mine.unit, s->be->unit, sizeof mine.unit);
    int rc = rn_comm_allgather(c, &mine, sizeof mine, all);
    *shared = rc == RN_OK && find_shared(all, c->size, &a, &b);
    if (*shared && s->r->comm != RN_COMM_HOST)
        rc = rn_fail(
            RN_E_ABSENT,
            "device %s: too few on %s: ranks %d and %d would share one (%d can be seen from here): start no more "
            "ranks there than devices, or have CUDA_VISIBLE_DEVICES show all of them; --comm host lets ranks share",
            s->be->device, all[a].host, a, b, s->be->units);
    else if (*shared && c->rank == 0)
        rn_warn("ranks %d and %d on %s share a device: one rank would be faster", a, b, all[a].host);
    free(all);
    return rc;
}

/* ---- sums ---- */

const char *rn_devices_how(const rn_session *s, char out[RN_DEVICES_HOW_MAX])
{
    out[0] = 0;
    if (!s->comm)
        return out;
    if (s->be->ranks[0])
        snprintf(out, RN_DEVICES_HOW_MAX, "%s, from device to device", s->be->ranks);
    else
        snprintf(out, RN_DEVICES_HOW_MAX, "%s, in the order of ranks%s", s->comm->library,
                 s->be->unit[0] ? ", through page-locked memory" : "");
    return out;
}

/* Devices by themselves, unless they are not to. */
static int join(rn_session *s)
{
    rn_backend *be = s->be;
    if (s->r->comm == RN_COMM_HOST)
        return RN_OK;
    return be->ranks_open ? be->ranks_open(be, s->comm, s->r->fast)
                          : rn_fail(RN_E_ABSENT, "device %s knows no NCCL here: use --comm host", be->device);
}

int rn_devices_join(rn_session *s, bool train)
{
    char how[RN_DEVICES_HOW_MAX];
    bool shared;
    if (!s->comm)
        return RN_OK;
    if (!s->be->unit[0])
        return s->r->comm == RN_COMM_NCCL ? rn_fail(RN_E_USAGE, "--comm nccl goes with --device cuda") : RN_OK;
    RN_TRY(check_units(s, &shared));
    if (!train)
        return RN_OK;
    int rc = join(s);
    if (rc < 0 && (s->r->comm == RN_COMM_NCCL || rc != RN_E_ABSENT))
        return rc;
    if (s->comm->rank == 0)
        rn_info("%d ranks add up by %s%s%s%s", s->comm->size, rn_devices_how(s, how), rc < 0 ? " (" : "",
                rc < 0 ? rn_error_text() : "", rc < 0 ? ")" : "");
    return RN_OK;
}
