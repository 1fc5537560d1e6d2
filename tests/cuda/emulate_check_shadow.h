/* SPDX-License-Identifier: MIT */
/*
 * Within the checker: what it knows of each two bytes of memory, and where that is kept.
 */
#ifndef EMULATE_CHECK_SHADOW_H
#define EMULATE_CHECK_SHADOW_H

#include <stddef.h>
#include <stdint.h>

/* Who touched memory, and when. All 0: nobody. */
typedef struct stamp {
    uint64_t op : 15;     /* the operation; 0: one of long ago */
    uint64_t block : 15;  /* of the launch, its low bits */
    uint64_t thread : 11; /* of the block; plus CHECK_ASYNC: a copy that it has under way */
    uint64_t when : 20;   /* in the block's time, which moves on where threads meet; from 1 */
    uint64_t bytes : 2;   /* which of the two */
    uint64_t : 1;
} stamp;
enum { CHECK_ASYNC = 1024, CHECK_WHEN = 1 << 20 };

/* Of two bytes: the last write, and two reads behind it that nothing puts in order; of different warps if there were any. */
typedef struct cell {
    stamp write, read[2];
    uint32_t at[3]; /* of each, the code: bytes from the module's begin */
    uint32_t : 32;
} cell;

/* Memory [low, high) and its cells, the first for the two bytes at `low`, which is even. */
typedef struct shadow {
    uintptr_t low, high;
    cell *cells;
    bool host; /* the host writes to it unseen */
} shadow;

enum check_kind { CHECK_NONE, CHECK_SHARED, CHECK_GLOBAL };

/* The module that this is part of: where it begins, what it may write to. */
extern uintptr_t rn_check_base, rn_check_data_low, rn_check_data_high;

/* Shadow of [low, high), all 0; its end. */
shadow rn_check_shadow_new(uintptr_t low, uintptr_t high);
void rn_check_shadow_free(shadow *s);

/* Of the allocation of device memory that `at` is in; NULL: in none. */
const shadow *rn_check_shadow_device(uintptr_t at);
/* In words, where that is: behind which allocation. The next call overwrites it. */
const char *rn_check_near(uintptr_t at);
/* Whether it is in no allocation of device memory, but in the pages of one or the next. */
bool rn_check_beside(uintptr_t at);
/* Of the module's data, where __shared__ variables are; NULL: `at` is elsewhere. */
const shadow *rn_check_shadow_static(uintptr_t at);

/* "file:line" of the code so many bytes from the module's begin, in memory for the caller to free. */
char *rn_check_place(uint32_t code);

#endif
