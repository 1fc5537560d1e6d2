/* SPDX-License-Identifier: MIT */
/*
 * Ranks over MPI: what rn_comm asks for, call by call. Built as a shared object of its own (rnkit_mpi.so), which
 * rn_comm_join opens. It links nothing of librnkit.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/rn_comm_module.h"
#include "base/rn_error.h"

typedef struct ranks {
    MPI_Comm work, ends; /* what a rank that fails waits for must not be taken for what the others do */
    int (*fail)(int code, const char *fmt, ...);
} ranks;

static int failed(const ranks *p, const char *what, int err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    MPI_Error_string(err, text, &n);
    return p->fail(RN_E_IO, "MPI: %s: %s", what, text);
}

#define MPI_TRY(c, what, call)                                                                                         \
    do {                                                                                                               \
        const int err_ = (call);                                                                                       \
        if (err_ != MPI_SUCCESS)                                                                                       \
            return failed((c)->priv, what, err_);                                                                      \
    } while (0)

/* MPI counts in int. */
static int count_of(const ranks *p, size_t bytes, int *count)
{
    *count = (int)bytes;
    return bytes <= (size_t)1 << 30 ? RN_OK : p->fail(RN_E_RANGE, "MPI: %zu bytes at once; 1 GiB is possible", bytes);
}

static MPI_Comm work_of(const rn_comm *c)
{
    return ((const ranks *)c->priv)->work;
}

static int mpi_allgather(rn_comm *c, const void *mine, size_t bytes, void *all)
{
    int n;
    RN_TRY(count_of(c->priv, bytes, &n));
    MPI_TRY(c, "allgather", MPI_Allgather(mine ? mine : MPI_IN_PLACE, n, MPI_BYTE, all, n, MPI_BYTE, work_of(c)));
    return RN_OK;
}

static int mpi_alltoall(rn_comm *c, const void *pieces, size_t bytes, void *mine)
{
    int n;
    RN_TRY(count_of(c->priv, bytes, &n));
    MPI_TRY(c, "alltoall", MPI_Alltoall(pieces, n, MPI_BYTE, mine, n, MPI_BYTE, work_of(c)));
    return RN_OK;
}

static int mpi_gather(rn_comm *c, const void *mine, size_t bytes, void *all)
{
    int n;
    RN_TRY(count_of(c->priv, bytes, &n));
    MPI_TRY(c, "gather", MPI_Gather(mine, n, MPI_BYTE, all, n, MPI_BYTE, 0, work_of(c)));
    return RN_OK;
}

static int mpi_bcast(rn_comm *c, void *data, size_t bytes)
{
    const size_t most = (size_t)1 << 30;
    for (size_t at = 0; at < bytes; at += most) {
        const size_t n = bytes - at < most ? bytes - at : most;
        MPI_TRY(c, "bcast", MPI_Bcast((char *)data + at, (int)n, MPI_BYTE, 0, work_of(c)));
    }
    return RN_OK;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Without spinning: a rank may be done long before the others. */
static int mpi_ends(rn_comm *c, int code, double seconds, int *codes)
{
    const ranks *p = c->priv;
    const struct timespec nap = {.tv_nsec = 2000000};
    const double from = now();
    MPI_Request r;
    int done = 0;
    if (MPI_Iallgather(&code, 1, MPI_INT, codes, 1, MPI_INT, p->ends, &r) != MPI_SUCCESS)
        return 0;
    while (MPI_Test(&r, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && !done) {
        if (seconds > 0 && now() - from > seconds)
            return 0; /* the request stays: what follows is abort */
        nanosleep(&nap, NULL);
    }
    return done;
}

static void mpi_abort(rn_comm *c, int exit_code)
{
    MPI_Abort(work_of(c), exit_code);
}

static void mpi_close(rn_comm *c)
{
    ranks *p = c->priv;
    MPI_Comm_free(&p->work);
    MPI_Comm_free(&p->ends);
    MPI_Finalize();
    free(p);
    c->priv = NULL;
}

static int dup_world(const ranks *p, MPI_Comm *out)
{
    int err = MPI_Comm_dup(MPI_COMM_WORLD, out);
    if (err == MPI_SUCCESS)
        err = MPI_Comm_set_errhandler(*out, MPI_ERRORS_RETURN);
    return err == MPI_SUCCESS ? RN_OK : failed(p, "a communicator", err);
}

static int fill(rn_comm *c, ranks *p)
{
    char library[MPI_MAX_LIBRARY_VERSION_STRING] = "", *comma;
    int n = 0;
    RN_TRY(dup_world(p, &p->work));
    RN_TRY(dup_world(p, &p->ends));
    MPI_Comm_rank(p->work, &c->rank);
    MPI_Comm_size(p->work, &c->size);
    MPI_Get_library_version(library, &n);
    comma = strchr(library, ',');
    if (comma)
        *comma = 0;
    library[strcspn(library, "\n")] = 0;
    snprintf(c->library, sizeof c->library, "%.*s", (int)sizeof c->library - 1, library);
    if (gethostname(c->host, sizeof c->host) != 0)
        snprintf(c->host, sizeof c->host, "?");
    c->host[sizeof c->host - 1] = 0;
    return RN_OK;
}

/* The name is RN_COMM_MODULE_SYMBOL. */
rn_comm_module rnkit_mpi_open_1;
int rnkit_mpi_open_1(rn_comm *c, int (*fail)(int code, const char *fmt, ...))
{
    int have = 0;
    ranks *p = calloc(1, sizeof *p);
    if (!p)
        return fail(RN_E_NOMEM, "no memory for the ranks");
    p->fail = fail;
    *c = (rn_comm){.allgather = mpi_allgather,
                   .alltoall = mpi_alltoall,
                   .gather = mpi_gather,
                   .bcast = mpi_bcast,
                   .ends = mpi_ends,
                   .abort = mpi_abort,
                   .close = mpi_close,
                   .priv = p};
    int err = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &have);
    int rc = err == MPI_SUCCESS ? fill(c, p) : failed(p, "init", err);
    if (rc >= 0 && have < MPI_THREAD_FUNNELED)
        rc = fail(RN_E_UNSUPPORTED, "MPI: %s does not go with threads in a rank (MPI_THREAD_FUNNELED)", c->library);
    if (rc < 0)
        free(p);
    return rc;
}
