/* SPDX-License-Identifier: MIT */
/* A fixed pool of worker threads with a bounded queue. Submitting to a full queue blocks, which
 * is what bounds the memory of every pipeline here. */
#ifndef RN_POOL_H
#define RN_POOL_H

#include <stddef.h>

typedef struct rn_pool rn_pool;

/* A task returns 0 or RN_E_*; `worker` is 0..nthreads-1 (for per-worker scratch). */
typedef int (*rn_task_fn)(void *arg, int worker);

/* nthreads >= 1; queue: tasks that may wait besides those running (>= 1). */
int rn_pool_open(int nthreads, int queue, rn_pool **out);

/* Blocks while the queue is full. After a task has failed, further tasks are not run, those already
 * in the queue included: submit returns that first failure's status (message carried over to the
 * caller). `arg` stays the caller's, run or not. Any thread may submit, but not a task of the same
 * pool: with the queue full it would wait for itself. */
int rn_pool_submit(rn_pool *pool, rn_task_fn fn, void *arg);

/* Waits until all submitted tasks have ended; returns 0 or the first failure (message carried
 * over), and clears it so that the pool can be used again. */
int rn_pool_wait(rn_pool *pool);

int rn_pool_threads(const rn_pool *pool);
void rn_pool_close(rn_pool *pool); /* waits; accepts NULL */

#endif
