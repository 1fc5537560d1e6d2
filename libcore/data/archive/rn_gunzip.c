/* SPDX-License-Identifier: MIT */
#include "data/archive/rn_gunzip.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/rn_error.h"

enum { OUT_BYTES = 1 << 18, GZIP_ONLY = 15 + 16 /* largest window, gzip's header */ };

struct rn_gunzip {
    char *name;
    rn_pull_fn pull;
    void *arg;
    z_stream z;
    bool ready, between; /* `between`: the last member has ended */
    const uint8_t *in;
    size_t nin;
    uint8_t out[OUT_BYTES];
};

int rn_gunzip_open(const char *name, rn_pull_fn pull, void *arg, rn_gunzip **out)
{
    int rc;
    *out = NULL;
    rn_gunzip *g = calloc(1, sizeof *g);
    if (!g)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", name);
    g->name = strdup(name);
    g->pull = pull;
    g->arg = arg;
    g->ready = g->name && inflateInit2(&g->z, GZIP_ONLY) == Z_OK;
    if (!g->ready)
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", name));
    *out = g;
    return RN_OK;
out:
    rn_gunzip_close(g);
    return rc;
}

/* More compressed bytes: 1, 0 at their end. */
static int refill(rn_gunzip *g)
{
    const void *block;
    int64_t n = g->pull(g->arg, &block);
    if (n < 0)
        return (int)n;
    g->in = block;
    g->nin = (size_t)n;
    return n > 0;
}

/* Behind a member: zeros that fill a tape's block are passed over, another member begins. 1, or 0 at the end. */
static int next_member(rn_gunzip *g)
{
    for (;;) {
        while (g->nin > 0 && *g->in == 0) {
            g->in++;
            g->nin--;
        }
        if (g->nin > 0)
            break;
        int rc = refill(g);
        if (rc <= 0)
            return rc;
    }
    if (*g->in != 0x1f || inflateReset(&g->z) != Z_OK)
        return rn_fail(RN_E_FORMAT, "%s: damaged: something follows its gzip data; download it again", g->name);
    g->between = false;
    return 1;
}

static int step(rn_gunzip *g)
{
    uInt n = g->nin < UINT_MAX ? (uInt)g->nin : UINT_MAX;
    g->z.next_in = (Bytef *)(uintptr_t)g->in; /* zlib only reads it */
    g->z.avail_in = n;
    int r = inflate(&g->z, Z_NO_FLUSH);
    g->in += n - g->z.avail_in;
    g->nin -= n - g->z.avail_in;
    if (r == Z_STREAM_END)
        g->between = true;
    else if (r == Z_MEM_ERROR)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", g->name);
    else if (r != Z_OK && r != Z_BUF_ERROR)
        return rn_fail(RN_E_FORMAT, "%s: damaged gzip data (%s); download it again", g->name,
                       g->z.msg ? g->z.msg : "no detail");
    return RN_OK;
}

int64_t rn_gunzip_next(rn_gunzip *g, const void **block)
{
    g->z.next_out = g->out;
    g->z.avail_out = OUT_BYTES;
    while (g->z.avail_out == OUT_BYTES) {
        int rc = g->between ? next_member(g) : 1;
        if (rc <= 0)
            return rc;
        if (g->nin == 0) {
            rc = refill(g);
            if (rc == 0)
                rc = rn_fail(RN_E_FORMAT, "%s: truncated gzip data; download it again", g->name);
            if (rc < 0)
                return rc;
        }
        RN_TRY(step(g));
    }
    *block = g->out;
    return OUT_BYTES - (int64_t)g->z.avail_out;
}

void rn_gunzip_close(rn_gunzip *g)
{
    if (!g)
        return;
    if (g->ready)
        inflateEnd(&g->z);
    free(g->name);
    free(g);
}
