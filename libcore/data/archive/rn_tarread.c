/* SPDX-License-Identifier: MIT */
#include "data/archive/rn_tarread.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/archive/rn_archive.h"
#include "data/archive/rn_tarhead.h"

typedef struct seen {
    uint64_t hash; /* of a member's name; 0: a free slot */
    uint64_t offset;
} seen;

struct rn_tarread {
    char *what;
    rn_tar_source source;
    bool raw, ended;
    int last;           /* what next gives once ended */
    bool waiting;       /* `block` was read and not yet looked at */
    uint64_t at;        /* of the next byte from the source */
    uint64_t left, pad; /* of the current member: unread data, and what fills its last block */
    uint8_t block[RN_TAR_BLOCK];
    char name[RN_TAR_NAME_MAX + 1], why[96];
    rn_buf extension;
    seen *names; /* open addressing, nslots a power of two, at most half full */
    size_t nslots, nnames;
};

static int end_with(rn_tarread *t, int rc)
{
    t->ended = true;
    t->last = rc;
    return rc;
}

static int truncated(rn_tarread *t)
{
    if (t->left > 0)
        return rn_fail(RN_E_FORMAT, "%s: truncated inside '%s'; download it again", t->what, t->name);
    return rn_fail(RN_E_FORMAT, "%s: truncated after '%s': no end-of-archive mark; download it again", t->what,
                   t->name);
}

/* Puts archive and place before what one of rn_tarhead's functions found. */
static int damaged(const rn_tarread *t, uint64_t at, int rc)
{
    return rn_fail_prefix(rc, "%s: damaged at byte %llu, after '%s'; download it again: a header", t->what,
                          (unsigned long long)at, t->name);
}

static int read_all(rn_tarread *t, void *buf, size_t n)
{
    int64_t k = t->source.read(t->source.arg, buf, n);
    if (k < 0)
        return (int)k;
    t->at += (uint64_t)k;
    return (size_t)k == n ? RN_OK : truncated(t);
}

static int pass_over(rn_tarread *t, uint64_t n)
{
    if (n == 0)
        return RN_OK;
    int64_t k = t->source.skip(t->source.arg, n);
    if (k < 0)
        return (int)k;
    t->at += (uint64_t)k;
    return (uint64_t)k == n ? RN_OK : truncated(t);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static const char *compression(const uint8_t *b)
{
    static const struct {
        const char *name, *magic;
        size_t n;
    } known[] = {
        {"gzip", "\x1f\x8b", 2}, {"bzip2", "BZh", 3}, {"xz", "\xfd\x37zXZ", 5}, {"zstd", "\x28\xb5\x2f\xfd", 4}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (memcmp(b, known[i].magic, known[i].n) == 0)
            return known[i].name;
    return NULL;
}

static int not_a_tar(const char *what, const uint8_t *b, size_t n)
{
    char text[128];
    size_t k = 0;
    for (size_t i = 0; i < n && i < 24; i++)
        k += (size_t)snprintf(text + k, sizeof text - k, isprint(b[i]) ? "%c" : "\\x%02x", b[i]);
    text[k] = 0;
    return rn_fail(RN_E_FORMAT, "%s: not a tar archive (it begins with \"%s\"); download it again", what, text);
}

static int read_first(rn_tarread *t)
{
    rn_tar_head head;
    int64_t n = t->source.read(t->source.arg, t->block, sizeof t->block);
    if (n < 0)
        return (int)n;
    if (n == 0)
        return rn_fail(RN_E_FORMAT, "%s: empty; download it again", t->what);
    memset(t->block + n, 0, sizeof t->block - (size_t)n);
    const char *packed = compression(t->block);
    if (packed)
        return rn_fail(RN_E_UNSUPPORTED, "%s: compressed by %s, a plain tar is needed here: decompress it first",
                       t->what, packed);
    /* A header that is damaged further is told of when its turn comes. */
    if (n < RN_TAR_BLOCK || (!rn_tar_is_zero(t->block, RN_TAR_BLOCK) && rn_tar_head_parse(t->block, &head) < 0 &&
                             memcmp(t->block + 257, "ustar", 5) != 0))
        return not_a_tar(t->what, t->block, (size_t)n);
    t->at += RN_TAR_BLOCK;
    t->waiting = true;
    return RN_OK;
}

int rn_tarread_open(const char *what, rn_tar_source source, uint64_t start, bool raw, rn_tarread **out)
{
    int rc;
    *out = NULL;
    rn_tarread *t = calloc(1, sizeof *t);
    if (!t)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", what);
    t->what = strdup(what);
    if (!t->what)
        RN_GO(rn_fail(RN_E_NOMEM, "%s: out of memory", what));
    t->source = source;
    t->at = start;
    t->raw = raw;
    RN_GO(read_first(t));
    *out = t;
    return RN_OK;
out:
    rn_tarread_close(t);
    return rc;
}

void rn_tarread_close(rn_tarread *t)
{
    if (!t)
        return;
    rn_buf_free(&t->extension);
    free(t->names);
    free(t->what);
    free(t);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static uint64_t hash(const char *s)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
    h ^= h >> 32;
    return h ? h : 1;
}

static seen *slot_of(seen *names, size_t nslots, uint64_t h)
{
    size_t i = (size_t)h & (nslots - 1);
    while (names[i].hash && names[i].hash != h)
        i = (i + 1) & (nslots - 1);
    return &names[i];
}

static int grow(rn_tarread *t)
{
    size_t n = t->nslots ? t->nslots * 2 : 256;
    seen *more = calloc(n, sizeof *more);
    if (!more)
        return rn_fail(RN_E_NOMEM, "%s: out of memory for %zu names", t->what, t->nnames);
    for (size_t i = 0; i < t->nslots; i++)
        if (t->names[i].hash)
            *slot_of(more, n, t->names[i].hash) = t->names[i];
    free(t->names);
    t->names = more;
    t->nslots = n;
    return RN_OK;
}

/* 1 when the name was there before; *first is where. Names are told apart by 64 bits: two of a million honest names meet
 * with a chance of 3e-8, and then an archive is refused that need not be. */
static int seen_before(rn_tarread *t, uint64_t offset, uint64_t *first)
{
    if (t->nnames * 2 >= t->nslots)
        RN_TRY(grow(t));
    uint64_t h = hash(t->name);
    seen *s = slot_of(t->names, t->nslots, h);
    if (s->hash) {
        *first = s->offset;
        return 1;
    }
    *s = (seen){h, offset};
    t->nnames++;
    return 0;
}

/* Removes a leading "./" in place. */
static void clean_name(char *name)
{
    const char *p = name;
    while (p[0] == '.' && p[1] == '/')
        for (p += 2; *p == '/';)
            p++;
    memmove(name, p, strlen(p) + 1);
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

static int read_block(rn_tarread *t)
{
    if (!t->waiting)
        return read_all(t, t->block, sizeof t->block);
    t->waiting = false;
    return RN_OK;
}

/* The first block of zeros was read. */
static int check_end(rn_tarread *t)
{
    uint8_t rest[16384];
    uint64_t mark = t->at - RN_TAR_BLOCK;
    int64_t n;
    while ((n = t->source.read(t->source.arg, rest, sizeof rest)) > 0) {
        if (!rn_tar_is_zero(rest, (size_t)n))
            return rn_fail(RN_E_FORMAT,
                           "%s: damaged, or two archives joined: its end-of-archive mark stands at byte %llu, after "
                           "'%s', but more follows; download it again",
                           t->what, (unsigned long long)mark, t->name);
        t->at += (uint64_t)n;
    }
    if (n < 0)
        return (int)n;
    return t->at - mark >= (uint64_t)2 * RN_TAR_BLOCK ? RN_OK : truncated(t);
}

/* What the extended headers before a member say of it. */
typedef struct extended {
    bool has_name, any;
    rn_tar_pax pax;
    char name[RN_TAR_NAME_MAX + 1];
} extended;

static int read_extension(rn_tarread *t, const rn_tar_head *h, uint64_t at, extended *x)
{
    rn_tar_pax global;
    int rc = RN_OK;
    if (h->size > RN_TAR_EXTENSION_MAX)
        return damaged(t, at, rn_fail(RN_E_FORMAT, "an extension of %llu bytes", (unsigned long long)h->size));
    size_t n = (size_t)h->size, padded = (n + RN_TAR_BLOCK - 1) / RN_TAR_BLOCK * RN_TAR_BLOCK;
    RN_TRY(rn_buf_reserve(&t->extension, padded + 1));
    RN_TRY(read_all(t, t->extension.data, padded));
    const char *data = (const char *)t->extension.data;
    bool again = (h->kind == RN_TAR_PAX && (x->pax.has_path || x->pax.has_size || x->pax.sparse)) ||
                 (h->kind == RN_TAR_LONG_NAME && x->has_name);
    if (again)
        rc = rn_fail(RN_E_FORMAT, "a second extension of one member");
    else if (h->kind == RN_TAR_PAX)
        rc = rn_tar_pax_parse(data, n, &x->pax);
    else if (h->kind == RN_TAR_LONG_NAME)
        rc = rn_tar_long_name(data, n, x->name);
    else if (h->kind == RN_TAR_GLOBAL)
        rc = rn_tar_pax_parse(data, n, &global);
    if (rc == RN_OK && h->kind == RN_TAR_GLOBAL && (global.has_path || global.has_size || global.sparse))
        rc = rn_fail(RN_E_FORMAT, "one name or size for all members");
    x->has_name |= h->kind == RN_TAR_LONG_NAME;
    x->any |= h->kind != RN_TAR_GLOBAL;
    if (rc == RN_OK && x->has_name && x->pax.has_path)
        rc = rn_fail(RN_E_FORMAT, "two names of one member");
    return rc < 0 ? damaged(t, at, rc) : RN_OK;
}

/* Reads headers up to one that is a member's own: 1, or 0 at the archive's end. */
static int read_header(rn_tarread *t, rn_tar_head *h, extended *x)
{
    for (;;) {
        uint64_t at = t->at - (t->waiting ? RN_TAR_BLOCK : 0);
        RN_TRY(read_block(t));
        if (rn_tar_is_zero(t->block, sizeof t->block)) {
            if (x->any)
                return damaged(t, at, rn_fail(RN_E_FORMAT, "an extension without its member"));
            return check_end(t);
        }
        int rc = rn_tar_head_parse(t->block, h);
        if (rc < 0)
            return damaged(t, at, rc);
        if (h->kind == RN_TAR_FILE || h->kind == RN_TAR_FOLDER || h->kind == RN_TAR_OTHER)
            return 1;
        RN_TRY(read_extension(t, h, at, x));
    }
}

static int take_extended(rn_tarread *t, rn_tar_head *h, const extended *x)
{
    memcpy(t->name, x->has_name ? x->name : x->pax.has_path ? x->pax.path : h->name, sizeof t->name);
    clean_name(t->name);
    if (x->pax.has_size && h->kind == RN_TAR_FILE)
        h->size = x->pax.size;
    else if (x->pax.has_size && x->pax.size != h->size)
        return rn_fail(RN_E_FORMAT, "%s: damaged: '%s', no plain file, has two sizes; download it again", t->what,
                       t->name);
    if (x->pax.sparse) {
        h->kind = RN_TAR_OTHER;
        h->why = "a sparse file";
    }
    while (h->more_map) { /* the rest of an old sparse map */
        RN_TRY(read_all(t, t->block, sizeof t->block));
        h->more_map = t->block[504] != 0;
    }
    return RN_OK;
}

/* A folder to pass over, or one whose name is refused like any other. */
static bool harmless_folder(rn_tarread *t)
{
    size_t n = strlen(t->name);
    while (n > 0 && t->name[n - 1] == '/')
        t->name[--n] = 0;
    return n == 0 || strcmp(t->name, ".") == 0 || rn_archive_name_ok(t->name);
}

/* Sets m->why; RN_E_* only when memory is short. */
static int judge(rn_tarread *t, const rn_tar_head *h, rn_tar_member *m)
{
    uint64_t first;
    m->why = h->why;
    if (!rn_archive_name_ok(t->name))
        m->why = "a name that could leave the folder (absolute, \"..\", empty part or over 1,024 bytes)";
    if (m->why)
        return RN_OK;
    int twice = seen_before(t, m->offset, &first);
    if (twice > 0) {
        snprintf(t->why, sizeof t->why, "its name stands twice, at bytes %llu and %llu", (unsigned long long)first,
                 (unsigned long long)m->offset);
        m->why = t->why;
    }
    return twice < 0 ? twice : RN_OK;
}

static int next_member(rn_tarread *t, rn_tar_member *m)
{
    RN_TRY(pass_over(t, t->left));
    t->left = 0;
    RN_TRY(pass_over(t, t->pad));
    t->pad = 0;
    for (;;) {
        rn_tar_head h = {.size = 0};
        extended x = {.any = false};
        uint64_t offset = t->at - (t->waiting ? RN_TAR_BLOCK : 0);
        int rc = read_header(t, &h, &x);
        if (rc <= 0)
            return rc;
        RN_TRY(take_extended(t, &h, &x));
        if (h.kind == RN_TAR_FOLDER && harmless_folder(t))
            continue;
        *m = (rn_tar_member){.name = t->name, .size = h.size, .offset = offset, .data = t->at};
        t->left = h.size;
        t->pad = (RN_TAR_BLOCK - h.size % RN_TAR_BLOCK) % RN_TAR_BLOCK;
        RN_TRY(judge(t, &h, m));
        if (m->why && !t->raw)
            return rn_fail(RN_E_FORMAT, "%s: entry '%s' is refused: %s", t->what, t->name, m->why);
        return 1;
    }
}

int rn_tarread_next(rn_tarread *t, rn_tar_member *m)
{
    if (t->ended && t->last < 0)
        return rn_fail(t->last, "%s: read on after a failure", t->what);
    if (t->ended)
        return 0;
    int rc = next_member(t, m);
    return rc <= 0 ? end_with(t, rc) : rc;
}

int rn_tarread_data(rn_tarread *t, void *buf, size_t n)
{
    if (t->ended || n > t->left)
        return rn_fail(RN_E_RANGE, "%s: '%s' has no %zu bytes left to read", t->what, t->name, n);
    int rc = n ? read_all(t, buf, n) : RN_OK;
    if (rc < 0)
        return end_with(t, rc);
    t->left -= n;
    return RN_OK;
}

int64_t rn_tarread_view(rn_tarread *t, const void **block)
{
    if (t->ended || t->left == 0)
        return 0;
    int64_t n = t->source.view(t->source.arg, t->left, block);
    if (n <= 0)
        return end_with(t, n < 0 ? (int)n : truncated(t));
    t->at += (uint64_t)n;
    t->left -= (uint64_t)n;
    return n;
}

uint64_t rn_tarread_left(const rn_tarread *t)
{
    return t->left;
}
