/* SPDX-License-Identifier: MIT */
/* safetensors: every tensor's bytes lie inside the file and are as many as its shape says. */
#include <string.h>

#include "base/rn_error.h"
#include "fuzz.h"
#include "run/save/rn_safetensors.h"

static void read_values(const rn_st_tensor *t)
{
    RN_FUZZ_CHECK(t->count >= 0 && (t->bytes == 0 || t->data) && (uint64_t)t->count <= 8 * (uint64_t)t->bytes + 1);
    float *out = malloc(((size_t)t->count + 1) * sizeof *out);
    if (out)
        (void)rn_st_read_f32(t, out);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    rn_st_file *f;
    char *copy = malloc(n ? n : 1); /* rn_st_open_memory takes it over */
    RN_FUZZ_CHECK(copy != NULL);
    if (n)
        memcpy(copy, data, n);
    if (rn_st_open_memory("fuzz", copy, n, &f) < 0)
        return 0;
    for (int i = 0; i < rn_st_count(f); i++) {
        read_values(rn_st_at(f, i));
        RN_FUZZ_CHECK(rn_st_find(f, rn_st_at(f, i)->name) == rn_st_at(f, i));
    }
    (void)rn_st_meta(f, "format");
    rn_st_close(f);
    return 0;
}
