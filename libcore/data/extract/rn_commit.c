/* SPDX-License-Identifier: MIT */
#include "data/extract/rn_commit.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

typedef struct action {
    rn_commit_fn fn;
    void *arg;
    struct action *next;
} action;

struct rn_commit {
    int dirfd;
    const char *where;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    action *first, **last; /* waiting, in order */
    bool busy, stop;
    int waiting; /* callers of rn_commit_wait */
    double rest; /* until when no sync begins on its own; rn_now() */
    int rc;      /* first failure; later actions still run: each vouches for its own data only */
    char text[1024];
};

static int run_batch(rn_commit *c, action *a)
{
    int rc = syncfs(c->dirfd) == 0 ? RN_OK : rn_fail_errno(errno, "%s: writing it to disk", c->where);
    bool synced = rc == RN_OK;
    char text[1024] = "";
    if (rc < 0)
        snprintf(text, sizeof text, "%s", rn_error_text());
    while (a) {
        action *next = a->next;
        int one = synced ? a->fn(a->arg) : RN_OK;
        if (!synced)
            free(a->arg);
        if (one < 0 && rc == RN_OK) {
            rc = one;
            snprintf(text, sizeof text, "%s", rn_error_text());
        }
        free(a);
        a = next;
    }
    return rc < 0 ? rn_fail(rc, "%s", text) : RN_OK;
}

/* Under the lock: waits until c->rest, or until something changes. */
static void rest(rn_commit *c)
{
    struct timespec until;
    double t = c->rest;
    until.tv_sec = (time_t)t;
    until.tv_nsec = (long)(1e9 * (t - (double)until.tv_sec));
    pthread_cond_timedwait(&c->change, &c->lock, &until);
}

static void *commit_main(void *arg)
{
    rn_commit *c = arg;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        if (!c->first && c->stop)
            break;
        if (!c->first) {
            pthread_cond_wait(&c->change, &c->lock);
            continue;
        }
        if (!c->stop && c->waiting == 0 && rn_now() < c->rest) {
            rest(c);
            continue;
        }
        action *batch = c->first;
        c->first = NULL;
        c->last = &c->first;
        c->busy = true;
        pthread_mutex_unlock(&c->lock);
        double start = rn_now();
        int rc = run_batch(c, batch);
        double end = rn_now();
        pthread_mutex_lock(&c->lock);
        c->rest = end + (end - start);
        if (rc < 0 && c->rc == RN_OK) {
            c->rc = rc;
            snprintf(c->text, sizeof c->text, "%s", rn_error_text());
        }
        c->busy = false;
        pthread_cond_broadcast(&c->change);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

int rn_commit_open(int dirfd, const char *where, rn_commit **out)
{
    *out = NULL;
    rn_commit *c = calloc(1, sizeof *c);
    if (!c)
        return rn_fail(RN_E_NOMEM, "out of memory");
    c->dirfd = dirfd;
    c->where = where;
    c->last = &c->first;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC); /* as rn_now() */
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int err = pthread_create(&c->thread, NULL, commit_main, c);
    if (err) {
        pthread_mutex_destroy(&c->lock);
        pthread_cond_destroy(&c->change);
        free(c);
        return rn_fail_errno(err, "starting a thread");
    }
    *out = c;
    return RN_OK;
}

int rn_commit_add(rn_commit *c, rn_commit_fn fn, void *arg)
{
    action *a = malloc(sizeof *a);
    if (!a)
        return rn_fail(RN_E_NOMEM, "out of memory");
    *a = (action){fn, arg, NULL};
    pthread_mutex_lock(&c->lock);
    *c->last = a;
    c->last = &a->next;
    pthread_cond_broadcast(&c->change);
    pthread_mutex_unlock(&c->lock);
    return RN_OK;
}

int rn_commit_wait(rn_commit *c)
{
    pthread_mutex_lock(&c->lock);
    c->waiting++;
    pthread_cond_broadcast(&c->change);
    while (c->first || c->busy)
        pthread_cond_wait(&c->change, &c->lock);
    c->waiting--;
    int rc = c->rc;
    pthread_mutex_unlock(&c->lock);
    return rc < 0 ? rn_fail(rc, "%s", c->text) : RN_OK;
}

void rn_commit_close(rn_commit *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_broadcast(&c->change);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->change);
    free(c);
}
