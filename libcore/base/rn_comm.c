/* SPDX-License-Identifier: MIT */
/* What is computed on the way between ranks: sums, in their order. */
#include "base/rn_comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

enum {
    ROOM_FLOATS = 1 << 20, /* in flight at once: 4 MiB out and as many in */
    STRIPE = 256           /* of the sum in double; on the stack */
};

int rn_comm_room(rn_comm *c, size_t bytes, void **out)
{
    if (bytes > c->room_bytes) {
        void *room = realloc(c->room, bytes);
        if (!room)
            return rn_fail(RN_E_NOMEM, "no memory for what ranks exchange (%zu bytes)", bytes);
        c->room = room;
        c->room_bytes = bytes;
    }
    *out = c->room;
    return RN_OK;
}

int rn_comm_allgather(rn_comm *c, const void *mine, size_t bytes, void *all)
{
    if (c)
        return c->allgather(c, mine, bytes, all);
    if (bytes)
        memcpy(all, mine, bytes);
    return RN_OK;
}

int rn_comm_gather(rn_comm *c, const void *mine, size_t bytes, void *all)
{
    if (c)
        return c->gather(c, mine, bytes, all);
    if (bytes)
        memcpy(all, mine, bytes);
    return RN_OK;
}

int rn_comm_bcast(rn_comm *c, void *data, size_t bytes)
{
    return c ? c->bcast(c, data, bytes) : RN_OK;
}

int rn_comm_first(rn_comm *c, int rc)
{
    struct {
        int rc;
        char text[1024];
    } told = {.rc = rc};
    if (!c)
        return rc;
    if (rc < 0)
        snprintf(told.text, sizeof told.text, "%s", rn_error_text());
    RN_TRY(c->bcast(c, &told, sizeof told));
    return told.rc < 0 ? rn_fail(told.rc, "%s", told.text) : told.rc;
}

/* out = the sum of `ranks` rows of n floats, row after row. */
static void sum_rows(const float *rows, int ranks, int64_t n, float *out)
{
    double acc[STRIPE];
    for (int64_t at = 0; at < n; at += STRIPE) {
        const int64_t w = n - at < STRIPE ? n - at : STRIPE;
        for (int64_t i = 0; i < w; i++)
            acc[i] = (double)rows[at + i];
        for (int r = 1; r < ranks; r++)
            for (int64_t i = 0; i < w; i++)
                acc[i] += (double)rows[r * n + at + i];
        for (int64_t i = 0; i < w; i++)
            out[at + i] = (float)acc[i];
    }
}

/* Rank r adds up piece r of all ranks; then everybody gets all pieces: 2 (size - 1) / size of n travel, as in a ring. */
static int sum_bucket(rn_comm *c, float *v, int64_t n)
{
    const int64_t piece = (n + c->size - 1) / c->size, whole = piece * c->size;
    void *room = NULL;
    RN_TRY(rn_comm_room(c, 2 * (size_t)whole * sizeof *v, &room));
    float *in = room, *out = in + whole;
    if (whole > n) { /* pieces are of one size: filled up with zeros */
        memcpy(out, v, (size_t)n * sizeof *v);
        memset(out + n, 0, (size_t)(whole - n) * sizeof *v);
    }
    RN_TRY(c->alltoall(c, whole > n ? out : v, (size_t)piece * sizeof *v, in));
    float *to = whole > n ? out : v;
    sum_rows(in, c->size, piece, to + c->rank * piece);
    RN_TRY(c->allgather(c, NULL, (size_t)piece * sizeof *v, to));
    if (whole > n)
        memcpy(v, out, (size_t)n * sizeof *v);
    return RN_OK;
}

int rn_comm_sum_f32(rn_comm *c, float *v, int64_t n)
{
    if (!c || c->size == 1)
        return RN_OK;
    for (int64_t at = 0; at < n; at += ROOM_FLOATS)
        RN_TRY(sum_bucket(c, v + at, n - at < ROOM_FLOATS ? n - at : ROOM_FLOATS));
    return RN_OK;
}

/* For a few numbers: latency counts, so one exchange. */
static int all_f64(rn_comm *c, const double *v, int64_t n, double **out)
{
    void *room = NULL;
    RN_TRY(rn_comm_room(c, (size_t)c->size * (size_t)n * sizeof *v, &room));
    *out = room;
    return c->allgather(c, v, (size_t)n * sizeof *v, room);
}

int rn_comm_sum_f64(rn_comm *c, double *v, int64_t n)
{
    double *all;
    if (!c || c->size == 1)
        return RN_OK;
    RN_TRY(all_f64(c, v, n, &all));
    for (int64_t i = 0; i < n; i++) {
        v[i] = all[i];
        for (int r = 1; r < c->size; r++)
            v[i] += all[r * n + i];
    }
    return RN_OK;
}

int rn_comm_max_f64(rn_comm *c, double *v, int64_t n)
{
    double *all;
    if (!c || c->size == 1)
        return RN_OK;
    RN_TRY(all_f64(c, v, n, &all));
    for (int64_t i = 0; i < n; i++) {
        v[i] = all[i];
        for (int r = 1; r < c->size; r++)
            if (!(all[r * n + i] <= v[i]))
                v[i] = v[i] != v[i] ? v[i] : all[r * n + i];
    }
    return RN_OK;
}
