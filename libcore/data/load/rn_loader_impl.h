/* SPDX-License-Identifier: MIT */
/* Private to the loader: the ring and its threads (rn_loader.c), and what fills a place in it (rn_loader_fill.c). */
#ifndef RN_LOADER_IMPL_H
#define RN_LOADER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "data/load/rn_augment.h"
#include "data/load/rn_loader.h"
#include "data/store/rn_resident.h"

enum { RN_LOADER_ERROR_TEXT = 1024 };

typedef struct rn_loader_slot {
    uint8_t *images; /* NULL: picks */
    rn_pick *picks;  /* (rows + 2): the one before row 0, the rows, and room for `todo`'s one more. NULL: images */
    int32_t *labels, *labels2; /* labels2: NULL without mixup */
    uint32_t *index;
    rn_origin *windows; /* NULL: see rn_loader_windows */
    uint32_t share;     /* of 65536, see rn_mixup.h */
    uint32_t epoch;
    uint64_t number;
    int n, first;     /* images in it; row of the whole batch that the first is */
    int todo;         /* n, and one more if the first image's partner in mixup is another part's: it lies behind them */
    int handed, done; /* of todo: given to workers, finished */
    bool whole;       /* all are finished, and mixed */
    bool held;        /* by the consumer */
    int bad;          /* position of the first image that failed; -1: none */
    int status;
    char text[RN_LOADER_ERROR_TEXT];
} rn_loader_slot;

typedef struct rn_loader_worker {
    rn_loader *l;
    pthread_t thread;
    rn_store_txn *txn;
    rn_renderer *renderer;
    uint8_t *scratch;          /* one image; NULL without mixup */
    rn_loader_profile profile; /* since it was last added to the loader's */
} rn_loader_worker;

struct rn_loader {
    rn_store *store;
    rn_resident *resident;
    rn_loader_opts o;   /* resolved: no 0 that stands for a default, nothing of training in evaluation */
    uint32_t count;     /* records of the set */
    uint32_t from, to;  /* those that come: all, but for a part of an evaluation */
    int rows;           /* of `o.batch` that come at most */
    uint64_t per_epoch; /* batches */
    size_t image_bytes;
    int run; /* images taken at once */

    pthread_mutex_t lock;
    pthread_cond_t work, ready; /* for workers; for the consumer */
    bool stop, paused;
    int busy; /* workers outside the lock */
    uint64_t out, taken, released;
    rn_loader_slot *slots;
    rn_loader_profile profile;

    /* Orders of the epoch being handed out and of the next, by the epoch's last bit. */
    uint32_t *order[2];
    uint32_t epoch_at; /* of the next batch to be handed out */
    uint64_t number_at;
    uint32_t order_epoch[2];
    enum order_state { ORDER_NONE = 0, ORDER_WANTED, ORDER_MAKING, ORDER_READY } order_state[2];

    rn_loader_worker *workers;
    int started;
    atomic_bool told_damage, told_colour; /* of the first image that has it */
};

/* RN_E_NOTHING, RN_E_RANGE. */
int rn_loader_check(const rn_store *store, const rn_loader_opts *o);
/* Are images windows of their records? */
bool rn_loader_windows(const rn_loader_opts *o);
void rn_loader_resolve(const rn_loader_opts *given, rn_loader_opts *out);

/* Where an image of iw x ih pixels is drawn from; `name` is the failure's. */
int rn_loader_place(const rn_loader *l, rn_rng *r, int iw, int ih, const char *name, rn_place *p);

/* rn_loader_pick.c, where the images are decoded already: what may be asked for, pick i of the slot, n that are none, and the mixing. */
int rn_loader_check_decoded(const rn_store *store, const rn_loader_opts *o);
int rn_loader_pick(const rn_loader *l, rn_loader_slot *s, int i);
void rn_loader_rest(rn_pick *picks, int n);
void rn_loader_mix_picks(rn_loader_slot *s);

/* Fills image i of the slot, outside the lock; the message of a failure names store and record. */
int rn_loader_fill(rn_loader_worker *w, rn_loader_slot *s, int i);
/* Mixes the images of a batch that is filled, outside the lock. */
void rn_loader_mix(rn_loader_worker *w, rn_loader_slot *s);

#endif
