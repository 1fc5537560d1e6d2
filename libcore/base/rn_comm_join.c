/* SPDX-License-Identifier: MIT */
/* The ranks that a launcher has started: joined at the beginning, told apart at the end. */
#include <dlfcn.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_comm.h"
#include "base/rn_comm_module.h"
#include "base/rn_error.h"
#include "base/rn_launch.h"
#include "base/rn_log.h"
#include "base/rn_module.h"

/* How long a rank that failed waits for the others to fail, too, before it ends them. */
#define END_SECONDS 3.0

/* Set once by main (rn_comm_join) before threads start; cleared by rn_comm_end. */
static rn_comm *world;

rn_comm *rn_comm_world(void)
{
    return world;
}

static int open_module(const rn_launch *l, rn_comm_module **out)
{
    char path[PATH_MAX];
    RN_TRY(rn_module_path(RN_COMM_MODULE, path));
    if (access(path, R_OK) != 0)
        return rn_fail(RN_E_ABSENT,
                       "%s started %d processes, but this build has no MPI (%s is not there): install libopenmpi-dev "
                       "and build with MPI=1, or start one process",
                       l->who, l->size, path);
    void *so = dlopen(path, RTLD_NOW | RTLD_GLOBAL); /* global: MPI libraries have plugins that look for them */
    if (!so)
        return rn_fail(RN_E_ABSENT, "cannot load %s: %s", path, dlerror());
    /* ISO C knows no cast from an object's pointer to a function's; POSIX promises that this copy works. */
    void *symbol = dlsym(so, RN_COMM_MODULE_SYMBOL);
    if (!symbol)
        return rn_fail(RN_E_ABSENT, "%s is not of this version of rnkit: install both anew", path);
    memcpy(out, &symbol, sizeof symbol);
    return RN_OK; /* never closed: MPI libraries do not survive it */
}

int rn_comm_join(void)
{
    rn_launch l;
    rn_comm_module *open = NULL;
    RN_TRY(rn_launch_find(&l));
    if (l.size == 1 || world)
        return RN_OK;
    RN_TRY(open_module(&l, &open));
    rn_comm *c = calloc(1, sizeof *c);
    if (!c)
        return rn_fail(RN_E_NOMEM, "no memory for the ranks of %s", l.who);
    int rc = open(c, rn_fail_text);
    if (rc == RN_OK && (c->size != l.size || c->rank != l.rank)) {
        rc = rn_fail(RN_E_MISMATCH,
                     "%s says rank %d of %d, but %s sees rank %d of %d: start with the mpirun that belongs to it",
                     l.who, l.rank, l.size, c->library, c->rank, c->size);
        c->close(c);
    }
    if (rc < 0) {
        free(c);
        return rc;
    }
    world = c;
    return RN_OK;
}

/* ---- the end ---- */

static void tell(const rn_comm *c)
{
    rn_error("rank %d of %d on %s: %s", c->rank, c->size, c->host, rn_error_text());
}

int rn_comm_end(int rc, int *told)
{
    rn_comm *c = world;
    *told = 0;
    if (!c)
        return rc;
    int *codes = calloc((size_t)c->size, sizeof *codes);
    int all = codes ? c->ends(c, rc, rc < 0 ? END_SECONDS : 0, codes) : 0;
    if (all != 1) {
        tell(c);
        fflush(NULL);
        c->abort(c, rn_exit_code(rc < 0 ? rc : RN_E_IO));
        abort(); /* not reached */
    }
    /* Rank 0 tells what all have met; another failure than its own is told by whoever met it. */
    int worst = rc;
    if (c->rank == 0 && rc < 0)
        rn_error("%s", rn_error_text());
    else if (rc < 0 && rc != codes[0])
        tell(c);
    for (int r = 0; r < c->size && worst == RN_OK; r++)
        worst = codes[r] < 0 ? codes[r] : RN_OK;
    *told = c->rank != 0 || worst < 0;
    c->ends(c, worst, 0, codes); /* the first process that exits with a failure has mpirun end the others */
    free(codes);
    c->close(c);
    free(c->room);
    free(c);
    world = NULL;
    return worst;
}

/* ---- cores ---- */

typedef struct cores_of {
    char host[RN_COMM_HOST_MAX];
    cpu_set_t may;
} cores_of;

int rn_comm_threads(rn_comm *c, int cores, int *threads)
{
    *threads = cores;
    if (!c)
        return RN_OK;
    cores_of mine = {0}, *all = calloc((size_t)c->size, sizeof *all);
    if (!all)
        return rn_fail(RN_E_NOMEM, "no memory for the cores of %d ranks", c->size);
    memcpy(mine.host, c->host, sizeof mine.host);
    sched_getaffinity(0, sizeof mine.may, &mine.may);
    int rc = c->allgather(c, &mine, sizeof mine, all), sharers = 0;
    for (int r = 0; r < c->size; r++)
        sharers += strcmp(all[r].host, mine.host) == 0 && CPU_EQUAL(&all[r].may, &mine.may);
    free(all);
    *threads = sharers > 0 && cores / sharers > 1 ? cores / sharers : 1;
    return rc;
}
