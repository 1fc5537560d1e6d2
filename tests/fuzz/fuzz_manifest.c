/* SPDX-License-Identifier: MIT */
/* A manifest: what is taken has names without folders, digests of hex, and is found again under its names. */
#include <string.h>

#include "base/rn_error.h"
#include "data/meta/rn_manifest.h"
#include "fuzz.h"

static void check_hex(const char *s, size_t n)
{
    RN_FUZZ_CHECK(s[0] == 0 || (strlen(s) == n && strspn(s, "0123456789abcdef") == n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    rn_manifest *m;
    if (rn_manifest_parse((const char *)data, n, "fuzz", &m) < 0)
        return 0;
    for (int i = 0; i < m->narchives; i++) {
        const rn_manifest_archive *a = &m->archive[i];
        check_hex(a->md5, 32);
        check_hex(a->sha256, 64);
        RN_FUZZ_CHECK(a->file[0] && !strchr(a->file, '/') && a->bytes >= -1);
        RN_FUZZ_CHECK(a->split >= -1 && a->split < m->nshapes && rn_manifest_find(m, a->file) == a);
    }
    for (int i = 0; i < m->nshapes; i++)
        RN_FUZZ_CHECK(rn_manifest_shape(m, m->shape[i].name) == &m->shape[i] && m->shape[i].nper >= 0);
    for (int i = 0; i < m->nknown; i++)
        RN_FUZZ_CHECK(rn_manifest_knows(m, m->known[i].kind, m->known[i].name));
    rn_manifest_close(m);
    return 0;
}
