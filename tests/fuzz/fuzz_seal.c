/* SPDX-License-Identifier: MIT */
/* seal.json: what is taken for a seal has counts that add up, and texts. */
#include <string.h>

#include "base/rn_error.h"
#include "data/store/rn_seal.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    rn_seal *s;
    if (rn_seal_parse(data, n, "fuzz", &s) < 0)
        return 0;
    uint64_t sum = 0;
    for (int i = 0; i < s->nclasses; i++) {
        RN_FUZZ_CHECK(s->classes[i].wnid && s->classes[i].words);
        sum += s->classes[i].records;
    }
    RN_FUZZ_CHECK(sum == s->records && s->tool && s->kind && s->options);
    RN_FUZZ_CHECK(strlen(s->digest) == 64 && strlen(s->content_sha256) < sizeof s->content_sha256);
    rn_seal_free(s);
    return 0;
}
