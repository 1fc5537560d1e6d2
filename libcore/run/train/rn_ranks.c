/* SPDX-License-Identifier: MIT */
/* A run in several ranks: all take the same steps; rank 0 alone has the run's folder, and decides by the clock. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_digest.h"
#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "run/train/rn_trainer_impl.h"

int rn_ranks_check(const rn_trainer *t)
{
    rn_comm *c = t->s.comm;
    const char *mean = t->job->recipe->mean_text, *net = t->job->recipe->net_text;
    const char *const parts[] = {RN_VERSION,
                                 t->job->recipe_text,
                                 rn_store_seal_digest(t->s.train_db),
                                 rn_store_seal_digest(t->s.val_db),
                                 mean ? mean : "",
                                 net ? net : "",
                                 t->s.teacher_digest};
    static const char *const names[] = {"version",    "recipe", "training set", "validation set",
                                        "mean image", "net",    "teacher"};
    enum { PARTS = sizeof parts / sizeof *parts };
    char mine[PARTS][RN_DIGEST_HEX_MAX] = {{0}};
    if (!c)
        return RN_OK;
    for (int i = 0; i < PARTS; i++)
        RN_TRY(rn_digest_buffer(RN_SHA256, parts[i], strlen(parts[i]), mine[i]));
    char(*all)[PARTS][RN_DIGEST_HEX_MAX] = malloc((size_t)c->size * sizeof *all);
    if (!all)
        return rn_fail(RN_E_NOMEM, "no memory for the digests of %d ranks", c->size);
    int rc = rn_comm_allgather(c, mine, sizeof mine, all);
    for (int r = 1; r < c->size; r++)
        for (int i = 0; i < PARTS && rc == RN_OK; i++)
            if (strcmp(all[r][i], all[0][i]) != 0)
                rc = rn_fail(RN_E_USAGE,
                             "rank %d has another %s than rank 0: start all ranks with the same command and data", r,
                             names[i]);
    free(all);
    return rc;
}

int rn_ranks_sums(rn_comm *c, rn_sums *s)
{
    double v[] = {(double)s->n, (double)s->top1, (double)s->top5, s->loss};
    RN_TRY(rn_comm_sum_f64(c, v, 4));
    s->n = (int64_t)v[0]; /* exact: far below 2^53 */
    s->top1 = (int64_t)v[1];
    s->top5 = (int64_t)v[2];
    s->loss = v[3];
    return rn_comm_max_f64(c, &s->waited, 1);
}

int rn_ranks_agree_ahead(rn_comm *c, bool *stop, bool *due, bool *wait)
{
    double v[] = {*stop, rn_comm_rank(c) == 0 && *due, *wait};
    RN_TRY(rn_comm_max_f64(c, v, 3));
    *stop = v[0] > 0;
    *due = v[1] > 0;
    *wait = v[2] > 0;
    return RN_OK;
}

int rn_ranks_agree(rn_comm *c, bool *stop, bool *due)
{
    bool wait = false;
    return rn_ranks_agree_ahead(c, stop, due, &wait);
}

int rn_ranks_begin(rn_trainer *t)
{
    rn_comm *c = t->s.comm;
    RN_TRY(rn_comm_first(c, rn_comm_rank(c) == 0 ? rn_rundir_begin(t) : RN_OK));
    RN_TRY(rn_comm_bcast(c, &t->state, sizeof t->state));
    RN_TRY(rn_comm_bcast(c, t->from, sizeof t->from));
    RN_TRY(rn_comm_bcast(c, t->last_good, sizeof t->last_good));
    RN_TRY(rn_net_share(t->s.net, c));
    return rn_net_share(t->s.eval_net, c); /* its weights may be its own: the average */
}

int rn_ranks_checkpoint(rn_trainer *t)
{
    rn_comm *c = t->s.comm;
    RN_TRY(rn_net_same(t->s.net, c));
    RN_TRY(rn_net_same(t->s.eval_net, c));
    int rc = rn_comm_first(c, rn_comm_rank(c) == 0 ? rn_rundir_checkpoint(t) : RN_OK);
    RN_TRY(rn_comm_bcast(c, t->last_good, sizeof t->last_good));
    return rc;
}
