/* SPDX-License-Identifier: MIT */
/* What memory gives: every thread reads, over and over, a part of a buffer that no cache holds. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_io.h"
#include "base/rn_pool.h"
#include "bench_train.h"

enum { MAX_THREADS = 256, AHEAD = 512 /* words: what a core's own prefetcher leaves unused of its misses in flight */ };

#define BUFFER ((size_t)256 << 20) /* of all threads together */
#define WINDOW ((size_t)8 << 20)   /* between two looks at the clock */

typedef struct reader {
    const uint64_t *from;
    size_t words;
    double seconds, best; /* bytes a second */
    uint64_t sink;
} reader;

static int read_task(void *arg, int worker)
{
    reader *r = arg;
    const double end = rn_now() + r->seconds;
    const size_t window = WINDOW / sizeof(uint64_t);
    (void)worker;
    for (size_t at = 0; rn_now() < end; at = at + 2 * window <= r->words ? at + window : 0) {
        const double from = rn_now();
        uint64_t sum[8] = {0};
        for (size_t i = 0; i + 8 <= window && at + i + 8 <= r->words; i += 8) {
            __builtin_prefetch(r->from + at + i + AHEAD);
            for (int j = 0; j < 8; j++)
                sum[j] += r->from[at + i + (size_t)j];
        }
        const double rate = (double)WINDOW / (rn_now() - from);
        for (int j = 0; j < 8; j++)
            r->sink += sum[j];
        r->best = rate > r->best ? rate : r->best;
    }
    return 0;
}

double bench_memory_gbytes(rn_backend *be, double seconds)
{
    reader readers[MAX_THREADS];
    rn_pool *pool = NULL;
    double total = 0;
    if (strcmp(be->device, "cpu") != 0 || be->threads > MAX_THREADS)
        return 0;
    uint64_t *buffer = aligned_alloc(64, BUFFER);
    if (!buffer || rn_pool_open(be->threads, be->threads, &pool) < 0) {
        free(buffer);
        return 0;
    }
    memset(buffer, 1, BUFFER); /* pages that were never written to are all the same one */
    const size_t words = BUFFER / sizeof *buffer / (size_t)be->threads;
    for (int i = 0; i < be->threads; i++) {
        readers[i] = (reader){.from = buffer + (size_t)i * words, .words = words, .seconds = seconds};
        rn_pool_submit(pool, read_task, &readers[i]);
    }
    rn_pool_wait(pool);
    rn_pool_close(pool);
    for (int i = 0; i < be->threads; i++)
        total += readers[i].best;
    free(buffer);
    return total * 1e-9;
}
