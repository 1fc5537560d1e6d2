/* SPDX-License-Identifier: MIT */
#include "kernels/cuda/cuda_nccl.h"

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_launch.h"

extern "C" {
#include "base/rn_comm.h"
}

#if __has_include(<nccl.h>)

#include <dlfcn.h>
#include <nccl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ncclAvg came with 2.10, the capture of graphs before it. */
enum { VERSION_LEAST = 21000 };

/* How long a rank whose start failed waits for the others' to fail as well. */
#define START_SECONDS 60.0

/* And how long what gives up sums is waited for, whoever holds it up. */
enum { ABORT_SECONDS = 10 };

#define FUNCTIONS(X)                                                                                                   \
    X(GetVersion)                                                                                                      \
    X(GetUniqueId)                                                                                                     \
    X(GetErrorString) X(GetLastError) X(CommInitRank) X(CommAbort) X(CommGetAsyncError) X(AllReduce) X(AllGather)

struct rn_nccl {
#define X(name) decltype(&nccl##name) name;
    FUNCTIONS(X)
#undef X
    ncclComm_t group; /* NULL: not joined */
    struct rn_comm *comm;
    double *room; /* of rn_nccl_gather */
    size_t room_bytes;
    uint64_t room_moves;
    bool lost; /* sums have failed for good: why, and the thread that gives them up */
    char why[256];
    pthread_t aborter;
};

/* ---- the library ---- */

static int load(rn_nccl *n)
{
    const char *named = getenv("RNKIT_NCCL_LIBRARY"), *file = named && *named ? named : "libnccl.so.2";
    void *so = dlopen(file, RTLD_NOW | RTLD_LOCAL); /* never closed: it has threads */
    int version = 0;

    if (!so)
        return rn_fail(RN_E_ABSENT, "cannot load NCCL: %s (install libnccl2, or have RNKIT_NCCL_LIBRARY name it)",
                       dlerror());
#define X(name)                                                                                                        \
    n->name = (decltype(n->name))dlsym(so, "nccl" #name);                                                              \
    if (!n->name)                                                                                                      \
        return rn_fail(RN_E_ABSENT, "%s is no NCCL that is known here: it has no %s", file, "nccl" #name);
    FUNCTIONS(X)
#undef X
    if (n->GetVersion(&version) != ncclSuccess || version < VERSION_LEAST)
        return rn_fail(RN_E_ABSENT, "%s is NCCL of version code %d: %d or later is needed", file, version,
                       VERSION_LEAST);
    return RN_OK;
}

static int failed(const rn_nccl *n, int code, const char *what, ncclResult_t err)
{
    const char *more = n->GetLastError(n->group);

    return rn_fail(code, "NCCL: %s: %s%s%s", what, n->GetErrorString(err), more && *more ? ": " : "",
                   more && *more ? more : "");
}

/* Results depend on how NCCL goes about it: that is part of what it is called. */
static void describe(const rn_nccl *n, char *out, size_t cap)
{
    static const char *const names[] = {"NCCL_ALGO", "NCCL_PROTO", "NCCL_NVLS_ENABLE", "NCCL_GRAPH_REGISTER",
                                        "NCCL_COLLNET_ENABLE"};
    int version = 0, at;

    (void)n->GetVersion(&version);
    at = snprintf(out, cap, "NCCL %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
    for (size_t i = 0; i < sizeof names / sizeof *names && at >= 0 && (size_t)at < cap; i++)
        if (getenv(names[i]))
            at += snprintf(out + at, cap - (size_t)at, ", %s=%.16s", names[i], getenv(names[i]));
}

/* ---- all ranks at once ---- */

typedef struct verdict {
    int rc;
    char text[512];
} verdict;

/* The first rank's failure, if any has failed, for everybody. */
static int agree(struct rn_comm *comm, int rc)
{
    verdict mine = {rc, ""}, *all = (verdict *)calloc((size_t)comm->size, sizeof *all);

    if (!all)
        return rn_fail(RN_E_NOMEM, "no memory for the answers of %d ranks", comm->size);
    if (rc < 0)
        snprintf(mine.text, sizeof mine.text, "%s", rn_error_text());
    rc = comm->allgather(comm, &mine, sizeof mine, all);
    for (int r = 0; r < comm->size && rc == RN_OK; r++)
        if (all[r].rc < 0)
            rc = rn_fail(all[r].rc, "rank %d: %s", r, all[r].text);
    free(all);
    return rc;
}

static int share_id(rn_nccl *n, ncclUniqueId *id)
{
    int rc = RN_OK;

    if (n->comm->rank == 0) {
        const ncclResult_t err = n->GetUniqueId(id);
        if (err != ncclSuccess)
            rc = failed(n, RN_E_ABSENT, "an identity", err);
    }
    RN_TRY(agree(n->comm, rc));
    return n->comm->bcast(n->comm, id, sizeof *id);
}

/*
 * A rank that failed must not wait for ranks that wait for it inside of NCCL: they are asked for with a limit, and when that
 * is over the job ends, as it does for any rank that fails alone.
 */
static int start(rn_nccl *n, const ncclUniqueId *id)
{
    int *codes = (int *)calloc((size_t)n->comm->size, sizeof *codes), rc = RN_OK, all;

    if (!codes)
        return rn_fail(RN_E_NOMEM, "no memory for the answers of %d ranks", n->comm->size);
    const ncclResult_t err = n->CommInitRank(&n->group, n->comm->size, *id, n->comm->rank);
    if (err != ncclSuccess) {
        n->group = NULL;
        rc = failed(n, RN_E_ABSENT, "ranks cannot join", err);
    }
    all = n->comm->ends(n->comm, rc, rc < 0 ? START_SECONDS : 0, codes);
    free(codes);
    if (all != 1)
        return rn_fail(RN_E_IO, "%s, while other ranks wait: use --comm host", rn_error_text());
    return agree(n->comm, rc);
}

static int join(rn_nccl *n, bool vary)
{
    ncclUniqueId id;

    memset(&id, 0, sizeof id);
    RN_TRY(agree(n->comm, load(n)));
    /*
     * Sums that NVLink's switches make (NVLS) may differ from call to call. Rings and trees add up in an order that is given by
     * ranks, topology, size and version. What is captured has the caller's memory registered, for which other ways may be chosen
     * than for the same sum when it is not: a run that goes on does so by node, where the first one had a graph. What the user has
     * set is left alone.
     */
    if (!vary && (setenv("NCCL_NVLS_ENABLE", "0", 0) != 0 || setenv("NCCL_GRAPH_REGISTER", "0", 0) != 0))
        return rn_fail(RN_E_NOMEM, "no memory for the environment");
    RN_TRY(share_id(n, &id));
    return start(n, &id);
}

/* ---- the slots ---- */

int rn_nccl_open(struct rn_backend *be, struct rn_comm *comm, bool vary)
{
    rn_nccl *n = (rn_nccl *)calloc(1, sizeof *n);

    if (!n)
        return rn_fail(RN_E_NOMEM, "cuda: out of memory");
    rn_nccl_close(be);
    *rn_cuda_nccl(be) = n;
    n->comm = comm;
    const int rc = join(n, vary);
    if (rc < 0) {
        rn_nccl_close(be);
        return rc;
    }
    describe(n, be->ranks, sizeof be->ranks);
    return RN_OK;
}

static void *abort_group(void *with)
{
    const rn_nccl *n = (const rn_nccl *)with;

    (void)n->CommAbort(n->group);
    return NULL;
}

/*
 * What runs on the device waits for ranks that never come, until NCCL tells it to stop; and NCCL then waits for the graphs that hold
 * on to it (since 2.26), which are the caller's to close. So this thread goes on, and the caller comes to that.
 */
static void give_up(rn_nccl *n)
{
    n->lost = pthread_create(&n->aborter, NULL, abort_group, n) == 0;
    snprintf(n->why, sizeof n->why, "%s", rn_error_text());
}

static bool aborted(const rn_nccl *n)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ABORT_SECONDS;
    return pthread_timedjoin_np(n->aborter, NULL, &until) == 0;
}

/*
 * Aborted, not destroyed: that waits for the other ranks, which may never come. When a run has ended well all sums have been
 * waited for long before.
 */
void rn_nccl_close(struct rn_backend *be)
{
    rn_nccl *n = *rn_cuda_nccl(be);

    *rn_cuda_nccl(be) = NULL;
    be->ranks[0] = 0;
    if (!n)
        return;
    if (n->lost ? !aborted(n) : n->group && n->CommAbort(n->group) != ncclSuccess)
        return; /* what still goes on may look at it */
    be->free(be, n->room);
    free(n);
}

bool rn_nccl_joins(const struct rn_backend *be, const struct rn_comm *comm)
{
    const rn_nccl *n = *rn_cuda_nccl(be);

    return n && n->group && n->comm == comm;
}

/* What went wrong since the last time, on this rank or another: kernels alone would wait for ever. */
static int check(rn_nccl *n)
{
    ncclResult_t async = ncclSuccess;

    if (n->lost)
        return rn_fail(RN_E_IO, "%s", n->why);
    const ncclResult_t err = n->CommGetAsyncError(n->group, &async);
    if (err == ncclSuccess && async == ncclSuccess)
        return RN_OK;
    const int rc = failed(n, RN_E_IO, "a sum over ranks", err != ncclSuccess ? err : async);
    give_up(n);
    return rc;
}

int rn_nccl_check(const struct rn_backend *be)
{
    rn_nccl *n = *rn_cuda_nccl(be);

    return n && n->group ? check(n) : RN_OK;
}

bool rn_nccl_waits(const struct rn_backend *be)
{
    const rn_nccl *n = *rn_cuda_nccl(be);

    return n && n->group && !n->lost;
}

uint64_t rn_nccl_moves(const struct rn_backend *be)
{
    const rn_nccl *n = *rn_cuda_nccl(be);

    return n ? n->room_moves : 0;
}

int rn_nccl_sum(struct rn_backend *be, float *v, int64_t n, bool mean, rn_stream s)
{
    rn_nccl *c = *rn_cuda_nccl(be);

    if (n < 1)
        return RN_OK;
    RN_TRY(check(c));
    const ncclResult_t err =
        c->AllReduce(v, v, (size_t)n, ncclFloat32, mean ? ncclAvg : ncclSum, c->group, rn_cuda_stream(s));
    return err == ncclSuccess ? RN_OK : failed(c, RN_E_IO, "a sum over ranks", err);
}

int rn_nccl_gather(struct rn_backend *be, const double *mine, int64_t n, double **all, void *stream)
{
    rn_nccl *c = *rn_cuda_nccl(be);
    const size_t bytes = (size_t)n * (size_t)c->comm->size * sizeof *mine;

    RN_TRY(check(c));
    if (bytes > c->room_bytes) {
        void *p = NULL;
        RN_TRY(rn_cuda_status(cudaDeviceSynchronize(), "waiting for those who use the room"));
        be->free(be, c->room);
        c->room = NULL;
        c->room_bytes = 0;
        RN_TRY(be->alloc(be, bytes, &p));
        c->room = (double *)p;
        c->room_bytes = bytes;
        c->room_moves++;
    }
    *all = c->room;
    const ncclResult_t err = c->AllGather(mine, c->room, (size_t)n, ncclFloat64, c->group, rn_cuda_stream(stream));
    return err == ncclSuccess ? RN_OK : failed(c, RN_E_IO, "statistics of all ranks", err);
}

#else

int rn_nccl_open(struct rn_backend *, struct rn_comm *, bool)
{
    return rn_fail(RN_E_ABSENT, "this build has no NCCL: build where nccl.h is (libnccl-dev), or use --comm host");
}

int rn_nccl_sum(struct rn_backend *, float *, int64_t, bool, rn_stream)
{
    return rn_fail(RN_E_UNSUPPORTED, "this build has no NCCL");
}

void rn_nccl_close(struct rn_backend *) {}

int rn_nccl_check(const struct rn_backend *)
{
    return RN_OK;
}

bool rn_nccl_waits(const struct rn_backend *)
{
    return false;
}

uint64_t rn_nccl_moves(const struct rn_backend *)
{
    return 0;
}

bool rn_nccl_joins(const struct rn_backend *, const struct rn_comm *)
{
    return false;
}

int rn_nccl_gather(struct rn_backend *, const double *, int64_t, double **, void *)
{
    return rn_fail(RN_E_UNSUPPORTED, "this build has no NCCL");
}

#endif
