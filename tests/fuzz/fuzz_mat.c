/* SPDX-License-Identifier: MIT */
/* meta.mat: whatever gets past the guard (rn_matcheck.h), libmatio reads without harm; rows are texts and numbers. */
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "data/meta/rn_mat.h"
#include "data/meta/rn_matcheck.h"
#include "fuzz.h"

static void check_text(const char *s)
{
    RN_FUZZ_CHECK(s && rn_utf8_ok(s));
}

/* What is laid down is itself such a file, and comes out the same. */
static void extract_twice(const uint8_t *data, size_t n)
{
    rn_buf once = {0}, again = {0};
    if (rn_mat_extract(data, n, "fuzz", "synsets", &once) == RN_OK) {
        RN_FUZZ_CHECK(rn_mat_extract(once.data, once.n, "fuzz", "synsets", &again) == RN_OK);
        RN_FUZZ_CHECK(again.n == once.n && memcmp(again.data, once.data, once.n) == 0);
    }
    rn_buf_free(&once);
    rn_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    rn_mat_synset *rows;
    int nrows;
    extract_twice(data, n);
    if (rn_mat_read_synsets(data, n, "fuzz", &rows, &nrows) < 0)
        return 0;
    for (int i = 0; i < nrows; i++) {
        check_text(rows[i].wnid);
        check_text(rows[i].words);
        check_text(rows[i].gloss);
    }
    rn_mat_free_synsets(rows, nrows);
    return 0;
}
