/* SPDX-License-Identifier: MIT */
#include "data/store/rn_resident.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rn_error.h"

enum {
    MAX_MAPS = 256, /* more (a set of very many shards) stay as they are */
    EVERY = 8       /* calls between two counts: one costs about a microsecond */
};

typedef struct map {
    uintptr_t from, to;
    bool ours, read; /* may be emptied; has been read since it was */
} map;

struct rn_resident {
    pthread_mutex_t lock;
    size_t limit;
    int statm; /* /proc/self/statm, open; -1: none */
    int calls; /* since the last count */
    int nmaps;
    map maps[MAX_MAPS];
};

static void empty(rn_resident *r)
{
    for (int i = 0; i < r->nmaps; i++) {
        map *m = &r->maps[i];
        if (m->ours && m->read) /* a refusal leaves the pages where they are: no harm */
            (void)madvise((void *)m->from, m->to - m->from, MADV_DONTNEED);
        m->read = false;
    }
}

/* Resident pages of files, in bytes: the third number of statm; 0 when it cannot be told. */
static size_t resident(const rn_resident *r)
{
    char text[128], *p = text;
    ssize_t n = r->statm < 0 ? -1 : pread(r->statm, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    for (int i = 0; i < 2 && p; i++)
        p = strchr(p + (i > 0), ' ');
    return p ? strtoull(p, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

int rn_resident_open(size_t limit, rn_resident **out)
{
    rn_resident *r = *out = calloc(1, sizeof *r);
    if (!r)
        return rn_fail(RN_E_NOMEM, "out of memory");
    pthread_mutex_init(&r->lock, NULL);
    r->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    r->limit = limit + resident(r); /* what is there already is not the reader's: programs, libraries */
    return RN_OK;
}

void rn_resident_close(rn_resident *r)
{
    if (!r)
        return;
    empty(r);
    if (r->statm >= 0)
        close(r->statm);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* The map that holds `at`, from /proc/self/maps, whose lines are "from-to perms ... path". What is not found is remembered as
 * a map of one byte that is not ours. */
static map look_up(uintptr_t at)
{
    map m = {.from = at, .to = at + 1};
    char *line = NULL;
    size_t cap = 0;
    FILE *f = fopen("/proc/self/maps", "re");
    while (f && getline(&line, &cap, f) > 0) {
        uintptr_t from, to;
        char perms[5];
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, perms) == 3 && from <= at && at < to) {
            m = (map){.from = from, .to = to, .ours = perms[1] == '-' && perms[3] == 's'};
            break;
        }
    }
    free(line);
    if (f)
        fclose(f);
    return m;
}

static map *find(rn_resident *r, uintptr_t at)
{
    for (int i = 0; i < r->nmaps; i++)
        if (r->maps[i].from <= at && at < r->maps[i].to)
            return &r->maps[i];
    if (r->nmaps == MAX_MAPS)
        return NULL;
    r->maps[r->nmaps] = look_up(at);
    return &r->maps[r->nmaps++];
}

void rn_resident_note(rn_resident *r, const void *data)
{
    pthread_mutex_lock(&r->lock);
    map *m = find(r, (uintptr_t)data);
    if (m)
        m->read = true;
    if (++r->calls >= EVERY) {
        r->calls = 0;
        if (resident(r) > r->limit)
            empty(r);
    }
    pthread_mutex_unlock(&r->lock);
}
