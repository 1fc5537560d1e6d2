/* SPDX-License-Identifier: MIT */
/* A communicator whose ranks are threads of one process: what is computed on top of one is tested without a launcher. */
#ifndef THREAD_RANKS_H
#define THREAD_RANKS_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_comm.h"
#include "base/rn_error.h"

enum { THREAD_RANKS_MAX = 8 };

typedef struct thread_ranks {
    pthread_barrier_t barrier;
    int n;
    const void *from[THREAD_RANKS_MAX];
} thread_ranks;

typedef struct thread_rank {
    rn_comm comm;
    thread_ranks *all;
    pthread_t thread;
    int (*body)(rn_comm *c, void *arg);
    void *arg;
    int rc;
    char text[256];
} thread_rank;

/* Everybody shows where its data lie, everybody copies, nobody goes on before all have. */
static void show(rn_comm *c, const void *mine)
{
    thread_ranks *t = c->priv;
    t->from[c->rank] = mine;
    pthread_barrier_wait(&t->barrier);
}

static void leave(rn_comm *c)
{
    pthread_barrier_wait(&((thread_ranks *)c->priv)->barrier);
}

static int thread_allgather(rn_comm *c, const void *mine, size_t bytes, void *all)
{
    thread_ranks *t = c->priv;
    void *copy = malloc(bytes + 1);
    memcpy(copy, mine ? mine : (char *)all + (size_t)c->rank * bytes, bytes);
    show(c, copy);
    for (int r = 0; r < t->n; r++)
        memcpy((char *)all + (size_t)r * bytes, t->from[r], bytes);
    leave(c);
    free(copy);
    return RN_OK;
}

static int thread_alltoall(rn_comm *c, const void *pieces, size_t bytes, void *mine)
{
    thread_ranks *t = c->priv;
    show(c, pieces);
    for (int r = 0; r < t->n; r++)
        memcpy((char *)mine + (size_t)r * bytes, (const char *)t->from[r] + (size_t)c->rank * bytes, bytes);
    leave(c);
    return RN_OK;
}

static int thread_gather(rn_comm *c, const void *mine, size_t bytes, void *all)
{
    thread_ranks *t = c->priv;
    show(c, mine);
    for (int r = 0; c->rank == 0 && r < t->n; r++)
        memcpy((char *)all + (size_t)r * bytes, t->from[r], bytes);
    leave(c);
    return RN_OK;
}

static int thread_bcast(rn_comm *c, void *data, size_t bytes)
{
    thread_ranks *t = c->priv;
    show(c, data);
    if (c->rank)
        memcpy(data, t->from[0], bytes);
    leave(c);
    return RN_OK;
}

static void *thread_rank_main(void *arg)
{
    thread_rank *r = arg;
    r->rc = r->body(&r->comm, r->arg);
    snprintf(r->text, sizeof r->text, "%s", r->rc < 0 ? rn_error_text() : "");
    return NULL;
}

/* Runs body on n ranks; the first failure is printed and returned. */
static int run_ranks(int n, int (*body)(rn_comm *c, void *arg), void *arg)
{
    thread_ranks all = {.n = n};
    thread_rank ranks[THREAD_RANKS_MAX];
    int rc = RN_OK;
    memset(ranks, 0, sizeof ranks);
    pthread_barrier_init(&all.barrier, NULL, (unsigned)n);
    for (int r = 0; r < n; r++) {
        ranks[r].comm = (rn_comm){.rank = r,
                                  .size = n,
                                  .allgather = thread_allgather,
                                  .alltoall = thread_alltoall,
                                  .gather = thread_gather,
                                  .bcast = thread_bcast,
                                  .priv = &all};
        ranks[r].body = body;
        ranks[r].arg = arg;
        if (pthread_create(&ranks[r].thread, NULL, thread_rank_main, &ranks[r]) != 0)
            abort();
    }
    for (int r = 0; r < n; r++) {
        pthread_join(ranks[r].thread, NULL);
        if (ranks[r].rc < 0 && rc == RN_OK) {
            fprintf(stderr, "rank %d: %s\n", r, ranks[r].text);
            rc = ranks[r].rc;
        }
        free(ranks[r].comm.room);
    }
    pthread_barrier_destroy(&all.barrier);
    return rc;
}

#endif
