/* SPDX-License-Identifier: MIT */
/*
 * Batch normalisation: sums over blocks of rows, then the blocks joined per channel, then one pass that writes. All in
 * one parallel region: a thread writes the blocks it has read, the last one first, while they are still in its cache.
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/rn_error.h"
#include "kernels/cpu/cpu_ops.h"
#include "op/rn_bn_sync.h"
#include "op/rn_op_check.h"
#include "op/rn_op_now.h"

/*
 * How a (rows, c) tensor is cut: `wide` rows of `width` values in blocks, then fewer than `fold` narrow rows of c.
 * By the shape alone, never by the number of threads.
 */
typedef struct bn_cut {
    int64_t rows, wide, per_block;
    int c, fold, width, blocks;
    int parts; /* blocks, and the narrow rows if there are any */
} bn_cut;

enum { MAX_BLOCKS = 512, ROWS_MULTIPLE = 64, JOIN = 64 };

static bn_cut cut_rows(int64_t rows, int c)
{
    bn_cut s = {.rows = rows, .c = c, .fold = cpu_ops_fold(c)};
    s.width = s.c * s.fold;
    s.wide = rows / s.fold;
    const int64_t spread = (s.wide + MAX_BLOCKS - 1) / MAX_BLOCKS, floor = CPU_OPS_SMALL / s.width;
    s.per_block = spread > floor ? spread : floor;
    s.per_block = (s.per_block / ROWS_MULTIPLE + 1) * ROWS_MULTIPLE;
    s.blocks = (int)((s.wide + s.per_block - 1) / s.per_block);
    s.parts = s.blocks + (rows % s.fold > 0);
    return s;
}

/* Part b: how many rows of what width, where, and where among the signs. Part s->blocks is the narrow rest. */
typedef struct bn_part {
    int64_t rows, offset;
    int width;
    size_t open;
} bn_part;

static bn_part part_of(const bn_cut *s, int b)
{
    const size_t signs = cpu_signs_row(s->width);
    if (b == s->blocks)
        return (bn_part){s->rows % s->fold, s->wide * s->width, s->c, (size_t)s->wide * signs};
    const int64_t first = (int64_t)b * s->per_block, left = s->wide - first;
    return (bn_part){left < s->per_block ? left : s->per_block, first * s->width, s->width, (size_t)first * signs};
}

/* Parts lo..hi-1 are this thread's. */
typedef struct bn_share {
    int lo, hi;
} bn_share;

static bn_share share_of(const bn_cut *s)
{
    const int64_t t = omp_get_thread_num(), n = omp_get_num_threads();
    return (bn_share){(int)(s->parts * t / n), (int)(s->parts * (t + 1) / n)};
}

/* Scratch: two double sums per part and value of a row, the same joined per channel, four repeated per-channel vectors, and
 * where the ReLU was open: the writing pass then need not read y again. */
typedef struct bn_room {
    double *p, *q;       /* (parts, width) */
    double *jp, *jq;     /* (c) */
    float *vec[4];       /* (width) */
    unsigned char *open; /* of a backward pass with a ReLU */
} bn_room;

static int room_for(struct rn_backend *be, const bn_cut *s, bool signs, bn_room *out)
{
    const size_t sums = (size_t)s->parts * (size_t)s->width, joined = (size_t)s->c, all = 2 * (sums + joined),
                 vectors = 4 * (size_t)s->width * sizeof(float),
                 open = (size_t)s->wide * cpu_signs_row(s->width) + (size_t)(s->rows % s->fold) * cpu_signs_row(s->c);
    double *mem = rn_cpu_backend_scratch(be, all * sizeof(double) + vectors + (signs ? open : 0));
    if (!mem)
        return rn_fail(RN_E_NOMEM, "batch normalisation: no memory for the sums of %d channels", s->c);
    out->p = mem;
    out->q = mem + sums;
    out->jp = mem + 2 * sums;
    out->jq = out->jp + joined;
    for (int i = 0; i < 4; i++)
        out->vec[i] = (float *)(mem + all) + (size_t)i * (size_t)s->width;
    out->open = signs ? (unsigned char *)(mem + all) + vectors : NULL;
    return RN_OK;
}

/* Repeats channels from..to-1 of a vector over the folded row. */
static void spread(const bn_cut *s, float *vec, int from, int to)
{
    for (int j = 1; j < s->fold; j++)
        memcpy(vec + (size_t)j * s->c + from, vec + from, sizeof(float) * (size_t)(to - from));
}

/* Mean and sum of squares of channels from..to-1 over all parts (Chan, Golub & LeVeque 1979), in the parts' order. */
static void join_moments(const bn_cut *s, const bn_room *room, int from, int to)
{
    double n = 0, *mean = room->jp + from, *m2 = room->jq + from;
    memset(mean, 0, sizeof(double) * (size_t)(to - from));
    memset(m2, 0, sizeof(double) * (size_t)(to - from));
    for (int b = 0; b < s->parts; b++) {
        const bn_part part = part_of(s, b);
        const double m = (double)part.rows;
        for (int j = 0; j < part.width; j += s->c) {
            const double *pm = room->p + (int64_t)b * s->width + j + from,
                         *pq = room->q + (int64_t)b * s->width + j + from;
            const double share = m / (n + m), both = n * share;
            for (int i = 0; i < to - from; i++) {
                const double delta = pm[i] - mean[i];
                mean[i] += delta * share;
                m2[i] += pq[i] + delta * delta * both;
            }
            n += m;
        }
    }
}

/* From the joined moments of channels from..to-1: what the backward pass keeps, the running ones, the affine vectors. */
static void finish_fwd(const rn_op_bn_fwd *a, const bn_cut *s, const bn_room *room, int from, int to)
{
    const double n = (double)a->rows * rn_comm_size(a->comm);
    const float momentum = rn_op_momentum_of_now(a->momentum_now, a->momentum);
    for (int ch = from; ch < to; ch++) {
        const double mu = room->jp[ch], sq = room->jq[ch] < 0 ? 0 : room->jq[ch];
        const double var = sq / n, unbiased = n > 1 ? sq / (n - 1) : 0, inv_std = 1 / sqrt(var + a->eps);
        a->mean[ch] = (float)mu;
        a->inv_std[ch] = (float)inv_std;
        a->running_mean[ch] = (float)(a->running_mean[ch] + momentum * (mu - a->running_mean[ch]));
        a->running_var[ch] = (float)(a->running_var[ch] + momentum * (unbiased - a->running_var[ch]));
        const double scale = a->gamma[ch] * inv_std;
        room->vec[0][ch] = (float)mu;
        room->vec[1][ch] = (float)scale;
        room->vec[2][ch] = (float)(a->beta[ch] - (mu - (float)mu) * scale); /* what rounding took from the mean */
    }
    for (int v = 0; v < 3; v++)
        spread(s, room->vec[v], from, to);
}

static void affine_inference(const rn_op_bn_fwd *a, const bn_cut *s, const bn_room *room)
{
    for (int ch = 0; ch < a->c; ch++) {
        room->vec[0][ch] = a->running_mean[ch];
        room->vec[1][ch] = (float)(a->gamma[ch] / sqrt((double)a->running_var[ch] + a->eps));
        room->vec[2][ch] = a->beta[ch];
    }
    for (int v = 0; v < 3; v++)
        spread(s, room->vec[v], 0, a->c);
}

static void apply_part(const rn_op_bn_fwd *a, const cpu_ops_kern *k, const bn_room *room, bn_part part, bool past)
{
    const cpu_bn_affine p = {room->vec[0], room->vec[1], room->vec[2]};
    const int64_t o = part.offset;
    k->bn_apply(part.rows, part.width, cpu_ops_at(a->x, a->dtype, o), a->res ? cpu_ops_at(a->res, a->dtype, o) : NULL,
                cpu_ops_to(a->y, a->dtype, o), &p, a->relu, past);
}

int cpu_bn_fwd(struct rn_backend *be, const rn_op_bn_fwd *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_bn_fwd(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const bn_cut s = cut_rows(a->rows, a->c);
    bn_room room;
    int rc = RN_OK;
    RN_TRY(room_for(be, &s, false, &room));
    const bool past = cpu_ops_past(be, a->dtype, a->rows * a->c);
    if (!a->train)
        affine_inference(a, &s, &room);
    const int nt = cpu_ops_threads(be, a->rows * a->c);
#pragma omp parallel num_threads(nt) if (nt > 1)
    {
        const bn_share mine = share_of(&s);
        if (a->train) {
            for (int b = mine.lo; b < mine.hi; b++) {
                const bn_part part = part_of(&s, b);
                const int64_t o = (int64_t)b * s.width;
                k->bn_moments(part.rows, part.width, cpu_ops_at(a->x, a->dtype, part.offset), room.p + o, room.q + o);
            }
#pragma omp barrier
#pragma omp for schedule(static)
            for (int ch = 0; ch < a->c; ch += JOIN) {
                const int to = ch + JOIN < a->c ? ch + JOIN : a->c;
                join_moments(&s, &room, ch, to);
                if (!a->comm)
                    finish_fwd(a, &s, &room, ch, to);
            }
            if (a->comm) {
#pragma omp master /* the thread that called in: communicators know no other */
                rc = rn_bn_sync_moments(a->comm, a->rows, a->c, room.jp, room.jq);
#pragma omp barrier
#pragma omp for schedule(static)
                for (int ch = 0; ch < a->c; ch += JOIN)
                    finish_fwd(a, &s, &room, ch, ch + JOIN < a->c ? ch + JOIN : a->c);
            }
        }
        for (int b = mine.hi - 1; b >= mine.lo; b--)
            apply_part(a, k, &room, part_of(&s, b), past);
    }
    return rc;
}

/* The parts' sums of channels from..to-1: dgamma and dbeta. */
static void join_sums(const rn_op_bn_bwd *a, const bn_cut *s, const bn_room *room, int from, int to)
{
    double *g = room->jp + from, *gx = room->jq + from;
    memset(g, 0, sizeof(double) * (size_t)(to - from));
    memset(gx, 0, sizeof(double) * (size_t)(to - from));
    for (int b = 0; b < s->parts; b++)
        for (int j = 0; j < part_of(s, b).width; j += s->c) {
            const int64_t o = (int64_t)b * s->width + j + from;
            for (int i = 0; i < to - from; i++) {
                g[i] += room->p[o + i];
                gx[i] += room->q[o + i];
            }
        }
    for (int ch = from; ch < to; ch++) {
        a->dbeta[ch] = (float)room->jp[ch];
        a->dgamma[ch] = (float)(room->jq[ch] * a->inv_std[ch]);
    }
}

/* From the joined sums of channels from..to-1, by now perhaps all ranks': the vectors of the writing pass. */
static void finish_bwd(const rn_op_bn_bwd *a, const bn_cut *s, const bn_room *room, int from, int to)
{
    const double n = (double)a->rows * rn_comm_size(a->comm);
    for (int ch = from; ch < to; ch++) {
        const double dbeta = room->jp[ch], inv_std = a->inv_std[ch], dgamma = room->jq[ch] * inv_std;
        const double scale = a->gamma[ch] * inv_std;
        room->vec[1][ch] = (float)scale;
        room->vec[2][ch] = (float)(scale * inv_std * dgamma / n);
        room->vec[3][ch] = (float)(scale * dbeta / n);
    }
    for (int v = 1; v < 4; v++) /* vec[0], the mean, is there already */
        spread(s, room->vec[v], from, to);
}

static void grad_part(const rn_op_bn_bwd *a, const cpu_ops_kern *k, const bn_room *room, bn_part part, bool past)
{
    const cpu_bn_grad p = {.mean = room->vec[0],
                           .a = room->vec[1],
                           .k = room->vec[2],
                           .b = room->vec[3],
                           .open = a->relu ? room->open + part.open : NULL,
                           .dx_add = a->dx_beta,
                           .dres_add = a->dres_beta,
                           .past = past};
    const int64_t o = part.offset;
    k->bn_grad_apply(part.rows, part.width, cpu_ops_at(a->x, a->dtype, o), cpu_ops_at(a->dy, a->dtype, o),
                     cpu_ops_to(a->dx, a->dtype, o), a->dres ? cpu_ops_to(a->dres, a->dtype, o) : NULL, &p);
}

int cpu_bn_bwd(struct rn_backend *be, const rn_op_bn_bwd *a, void *stream)
{
    (void)stream;
    RN_TRY(rn_op_check_bn_bwd(a));
    const cpu_ops_kern *k = cpu_ops_kern_of(be, a->dtype);
    const bn_cut s = cut_rows(a->rows, a->c);
    bn_room room;
    int rc = RN_OK;
    RN_TRY(room_for(be, &s, a->relu, &room));
    const bool past = cpu_ops_past(be, a->dtype, a->rows * a->c);
    memcpy(room.vec[0], a->mean, sizeof(float) * (size_t)a->c);
    spread(&s, room.vec[0], 0, a->c);
    const int nt = cpu_ops_threads(be, a->rows * a->c);
#pragma omp parallel num_threads(nt) if (nt > 1)
    {
        const bn_share mine = share_of(&s);
        for (int b = mine.lo; b < mine.hi; b++) {
            const bn_part part = part_of(&s, b);
            const int64_t o = (int64_t)b * s.width, at = part.offset;
            k->bn_grad_sums(part.rows, part.width, cpu_ops_at(a->x, a->dtype, at),
                            a->relu ? cpu_ops_at(a->y, a->dtype, at) : NULL, cpu_ops_at(a->dy, a->dtype, at),
                            room.vec[0], room.p + o, room.q + o, a->relu ? room.open + part.open : NULL);
        }
#pragma omp barrier
#pragma omp for schedule(static)
        for (int ch = 0; ch < a->c; ch += JOIN) {
            const int to = ch + JOIN < a->c ? ch + JOIN : a->c;
            join_sums(a, &s, &room, ch, to);
            if (!a->comm)
                finish_bwd(a, &s, &room, ch, to);
        }
        if (a->comm) {
#pragma omp master
            rc = rn_bn_sync_sums(a->comm, a->c, room.jp, room.jq);
#pragma omp barrier
#pragma omp for schedule(static)
            for (int ch = 0; ch < a->c; ch += JOIN)
                finish_bwd(a, &s, &room, ch, ch + JOIN < a->c ? ch + JOIN : a->c);
        }
        for (int b = mine.hi - 1; b >= mine.lo; b--)
            grad_part(a, k, &room, part_of(&s, b), past);
    }
    return rc;
}
