/* SPDX-License-Identifier: MIT */
/*
 * Several processes that compute one thing: ranks 0..size-1. What travels, travels by an MPI library; here is only what is
 * asked of it. A build knows MPI through a shared object of ours (kernels/mpi), opened when a launcher has started more than
 * one process: one that runs alone neither links nor loads it.
 *
 * Every call but abort is made by all ranks in the same order, from one thread (the one that joined). Wherever a
 * communicator is asked for, NULL is one rank alone: nothing is done then.
 *
 * Sums are made here, rank by rank in double, and rounded once: for a given number of ranks they are the same bits on every
 * rank, in every run, whatever algorithm the MPI library chooses to move them.
 */
#ifndef RN_COMM_H
#define RN_COMM_H

#include <stddef.h>
#include <stdint.h>

enum { RN_COMM_HOST_MAX = 64 };

typedef struct rn_comm rn_comm;
struct rn_comm {
    int rank, size;
    char host[RN_COMM_HOST_MAX];
    char library[128]; /* its name and version */

    /* What an implementation does; RN_E_IO when it fails. Sizes in bytes of one rank's piece; pieces lie in rank order. */
    int (*allgather)(rn_comm *c, const void *mine, size_t bytes, void *all);   /* mine NULL: already in its place */
    int (*alltoall)(rn_comm *c, const void *pieces, size_t bytes, void *mine); /* piece r goes to rank r */
    int (*gather)(rn_comm *c, const void *mine, size_t bytes, void *all);      /* all: of rank 0 only */
    int (*bcast)(rn_comm *c, void *data, size_t bytes);                        /* rank 0's */
    /* Has every rank come here within so many seconds (0: however long it takes)? 1: codes[rank] are filled; 0: no. */
    int (*ends)(rn_comm *c, int code, double seconds, int *codes);
    void (*abort)(rn_comm *c, int exit_code); /* ends the process of every rank; does not return */
    void (*close)(rn_comm *c);
    void *priv;
    void *room; /* rn_comm_room */
    size_t room_bytes;
};

static inline int rn_comm_rank(const rn_comm *c)
{
    return c ? c->rank : 0;
}
static inline int rn_comm_size(const rn_comm *c)
{
    return c ? c->size : 1;
}

/* Scratch of at least so many bytes (of this process, for what goes in and out); the same memory in every call. RN_E_NOMEM. */
int rn_comm_room(rn_comm *c, size_t bytes, void **out);

/* Sums over ranks, in place, on every rank. */
int rn_comm_sum_f32(rn_comm *c, float *v, int64_t n);
int rn_comm_sum_f64(rn_comm *c, double *v, int64_t n);
/* The largest over ranks, likewise; a NaN of any rank wins. */
int rn_comm_max_f64(rn_comm *c, double *v, int64_t n);
/* Every rank's `bytes`, in rank order, on every rank; for one rank a copy. */
int rn_comm_allgather(rn_comm *c, const void *mine, size_t bytes, void *all);
/* The same on rank 0 alone (`all` may be NULL elsewhere). */
int rn_comm_gather(rn_comm *c, const void *mine, size_t bytes, void *all);
int rn_comm_bcast(rn_comm *c, void *data, size_t bytes);
/* What rank 0 came to, its message included, for everybody: `rc` of the others is not looked at. One rank: `rc`. */
int rn_comm_first(rn_comm *c, int rc);

/* ---- the processes of this job (rn_comm_join.c) ---- */

/* Joins the ranks that the launcher's variables speak of (rn_launch.h), if they speak of more than one: main calls it once,
 * before threads start. RN_E_ABSENT: this build or install has no MPI; RN_E_MISMATCH: the library sees other ranks. */
int rn_comm_join(void);
/* What was joined; NULL: one rank alone. */
rn_comm *rn_comm_world(void);

/*
 * The end of a joined process, with the status it came to; returns the status to exit with. When all ranks have come to
 * theirs, only rank 0 is left to tell, and those whose failure is another one. A rank that fails while the others go on
 * (they do not come here within some seconds) tells its error with its name and ends the job. RN_OK when nothing was joined.
 * *told: nothing is left to tell.
 */
int rn_comm_end(int rc, int *told);

/* Compute threads of this rank when nothing is said: the cores it may run on, shared out among the ranks of its host that
 * may run on the same ones. `cores` without ranks. */
int rn_comm_threads(rn_comm *c, int cores, int *threads);

#endif
