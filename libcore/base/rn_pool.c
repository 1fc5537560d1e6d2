/* SPDX-License-Identifier: MIT */
#include "base/rn_pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rn_error.h"

typedef struct task {
    rn_task_fn fn;
    void *arg;
} task;

typedef struct worker {
    pthread_t thread;
    struct rn_pool *pool;
    int index;
} worker;

struct rn_pool {
    pthread_mutex_t lock;    /* guards everything below but `workers` and the sizes */
    pthread_cond_t not_full; /* a place in the ring came free */
    pthread_cond_t not_empty;
    pthread_cond_t idle; /* nothing waits and nothing runs */
    task *ring;
    int size, head, waiting, running;
    bool closing;
    int status; /* first failure since the last wait */
    char text[1024];
    worker *workers;
    int nthreads;
};

static void run_task(rn_pool *p, task t, int index)
{
    bool skip = p->status < 0;
    p->running++;
    pthread_cond_signal(&p->not_full);
    pthread_mutex_unlock(&p->lock);
    int rc = skip ? RN_OK : t.fn(t.arg, index);
    pthread_mutex_lock(&p->lock);
    if (rc < 0 && p->status == RN_OK) {
        p->status = rc;
        snprintf(p->text, sizeof(p->text), "%s", rn_error_text());
        pthread_cond_broadcast(&p->not_full); /* submitters stop waiting for a place */
    }
    p->running--;
    if (p->running == 0 && p->waiting == 0)
        pthread_cond_broadcast(&p->idle);
}

static void *work(void *arg)
{
    worker *w = arg;
    rn_pool *p = w->pool;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->waiting == 0 && !p->closing)
            pthread_cond_wait(&p->not_empty, &p->lock);
        if (p->waiting == 0)
            break;
        task t = p->ring[p->head];
        p->head = (p->head + 1) % p->size;
        p->waiting--;
        run_task(p, t, w->index);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int rn_pool_open(int nthreads, int queue, rn_pool **out)
{
    *out = NULL;
    if (nthreads < 1 || queue < 1)
        return rn_fail(RN_E_RANGE, "a pool of %d threads and %d places: both must be at least 1", nthreads, queue);
    rn_pool *p = calloc(1, sizeof(*p));
    if (!p)
        return rn_fail(RN_E_NOMEM, "out of memory: a thread pool");
    pthread_mutex_init(&p->lock, NULL); /* on Linux these cannot fail with default attributes */
    pthread_cond_init(&p->not_full, NULL);
    pthread_cond_init(&p->not_empty, NULL);
    pthread_cond_init(&p->idle, NULL);
    p->size = queue;
    p->ring = calloc((size_t)queue, sizeof(*p->ring));
    p->workers = calloc((size_t)nthreads, sizeof(*p->workers));
    int rc = RN_OK;
    if (!p->ring || !p->workers) {
        rc = rn_fail(RN_E_NOMEM, "out of memory: a pool of %d threads and %d places", nthreads, queue);
        goto fail;
    }
    for (; p->nthreads < nthreads; p->nthreads++) {
        worker *w = &p->workers[p->nthreads];
        w->pool = p;
        w->index = p->nthreads;
        int err = pthread_create(&w->thread, NULL, work, w);
        if (err) {
            rc = rn_fail_errno(err, "cannot start thread %d of %d (try a smaller --jobs)", p->nthreads + 1, nthreads);
            goto fail;
        }
    }
    *out = p;
    return RN_OK;
fail:
    rn_pool_close(p);
    return rc;
}

/* Under the lock: hands the first failure to the calling thread. */
static int report(const rn_pool *p)
{
    return p->status < 0 ? rn_fail(p->status, "%s", p->text) : RN_OK;
}

int rn_pool_submit(rn_pool *p, rn_task_fn fn, void *arg)
{
    pthread_mutex_lock(&p->lock);
    while (p->waiting == p->size && p->status == RN_OK)
        pthread_cond_wait(&p->not_full, &p->lock);
    int rc = report(p);
    if (rc == RN_OK) {
        p->ring[(p->head + p->waiting) % p->size] = (task){fn, arg};
        p->waiting++;
        pthread_cond_signal(&p->not_empty);
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

static void drain(rn_pool *p)
{
    while (p->waiting > 0 || p->running > 0)
        pthread_cond_wait(&p->idle, &p->lock);
}

int rn_pool_wait(rn_pool *p)
{
    pthread_mutex_lock(&p->lock);
    drain(p);
    int rc = report(p);
    p->status = RN_OK;
    pthread_mutex_unlock(&p->lock);
    return rc;
}

int rn_pool_threads(const rn_pool *p)
{
    return p->nthreads;
}

void rn_pool_close(rn_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    drain(p);
    p->closing = true;
    pthread_cond_broadcast(&p->not_empty);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->nthreads; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->idle);
    pthread_cond_destroy(&p->not_empty);
    pthread_cond_destroy(&p->not_full);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p->ring);
    free(p);
}
