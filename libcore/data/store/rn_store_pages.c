/* SPDX-License-Identifier: MIT */
#include "data/store/rn_store_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"

enum {
    HEAD = 16,
    OFFSETS = 16, /* of the nodes, in a page */
    NODE_HEAD = 8,
    META_BYTES = HEAD + 136,
    PAGE_MIN = 512,
    PAGE_MAX = 32768,
    DEPTH_MAX = 32,
    KEY_MAX = 511
};
enum page_flags { BRANCH = 1, LEAF = 2, OVERFLOW_RUN = 4, META = 8, VOLATILE_FLAGS = 0xC010 /* dirty, loose, keep */ };
enum { NODE_BIG = 1 };
#define MAGIC   0xBEEFC0DEu
#define NO_PAGE UINT64_MAX

static uint16_t u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static int damaged(const rn_pages *p, uint64_t page, const char *what)
{
    return rn_fail(RN_E_FORMAT,
                   "%s: data.mdb is damaged at page %" PRIu64 ": %s; copy it again, or delete it and pack again",
                   p->path, page, what);
}

/* ---- meta pages --------------------------------------------------------------------------------------------- */

typedef struct meta {
    uint32_t page_size;
    uint16_t flags, depth;
    uint64_t branches, leaves, overflows, entries, root, last_page, txn;
} meta;

/* `b` holds META_BYTES. */
static int read_meta(const rn_pages *p, const uint8_t *b, uint64_t number, meta *m)
{
    const uint8_t *body = b + HEAD, *main_db = body + 24 + 48;
    if (u16(b + 10) != META || u32(body) != MAGIC)
        return rn_fail(RN_E_FORMAT, "%s: data.mdb is not LMDB, or its page %" PRIu64 " is damaged; pack the set again",
                       p->path, number);
    if (u32(body + 4) != 1)
        return rn_fail(RN_E_UNSUPPORTED, "%s: data.mdb has LMDB's data version %" PRIu32 ", this program reads 1",
                       p->path, u32(body + 4));
    *m = (meta){.page_size = u32(body + 24),
                .flags = u16(main_db + 4),
                .depth = u16(main_db + 6),
                .branches = u64(main_db + 8),
                .leaves = u64(main_db + 16),
                .overflows = u64(main_db + 24),
                .entries = u64(main_db + 32),
                .root = u64(main_db + 40),
                .last_page = u64(body + 120),
                .txn = u64(body + 128)};
    if (u64(b) != number)
        return damaged(p, number, "it has another page's number");
    if (m->page_size < PAGE_MIN || m->page_size > PAGE_MAX || (m->page_size & (m->page_size - 1)))
        return damaged(p, number, "no such page size");
    return RN_OK;
}

static int read_metas(rn_pages *p, int fd, uint64_t bytes, meta *m)
{
    uint8_t b[META_BYTES];
    size_t got;
    meta other;
    RN_TRY(rn_read_at(fd, b, sizeof b, 0, p->path, &got));
    if (got != sizeof b)
        return rn_fail(RN_E_FORMAT,
                       "%s: data.mdb is not LMDB, or cut short after %" PRIu64 " bytes; pack the set again", p->path,
                       bytes);
    RN_TRY(read_meta(p, b, 0, m));
    RN_TRY(rn_read_at(fd, b, sizeof b, m->page_size, p->path, &got));
    if (got != sizeof b)
        return rn_fail(RN_E_FORMAT, "%s: data.mdb is cut short after %" PRIu64 " bytes; copy or pack it again", p->path,
                       bytes);
    RN_TRY(read_meta(p, b, 1, &other));
    if (other.page_size != m->page_size)
        return damaged(p, 1, "the two meta pages give different page sizes");
    if (other.txn > m->txn)
        *m = other;
    return RN_OK;
}

static int take_meta(rn_pages *p, const meta *m, uint64_t bytes)
{
    uint64_t number = m->txn & 1; /* a transaction writes the meta page of its parity */
    if (m->flags)
        return rn_fail(RN_E_UNSUPPORTED,
                       "%s: the database has flags %#x (duplicates, other orders), which pack-lmdb never sets", p->path,
                       m->flags);
    if (m->last_page < 1 || m->last_page >= UINT64_MAX / PAGE_MAX)
        return damaged(p, number, "no such number of pages");
    if (bytes / m->page_size <= m->last_page)
        return rn_fail(RN_E_FORMAT,
                       "%s: data.mdb is cut short: %" PRIu64 " of %" PRIu64 " bytes; copy or pack it again", p->path,
                       bytes, (m->last_page + 1) * m->page_size);
    p->page_size = m->page_size;
    p->npages = m->last_page + 1;
    p->txn = m->txn;
    p->root = m->root;
    p->entries = m->entries;
    p->branches = m->branches;
    p->leaves = m->leaves;
    p->overflows = m->overflows;
    p->depth = m->depth;
    if (p->depth > DEPTH_MAX || (p->depth == 0) != (p->root == NO_PAGE) || (p->depth == 0) != (p->entries == 0))
        return damaged(p, number, "no such tree");
    return RN_OK;
}

static int map_file(rn_pages *p, int fd, const char *file)
{
    struct stat st;
    meta m;
    if (fstat(fd, &st) != 0)
        return rn_fail_errno(errno, "%s", file);
    RN_TRY(read_metas(p, fd, (uint64_t)st.st_size, &m));
    RN_TRY(take_meta(p, &m, (uint64_t)st.st_size));
    void *map = mmap(NULL, p->npages * p->page_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return rn_fail_errno(errno, "%s: mapping it", file);
    p->map = map;
    return RN_OK;
}

int rn_pages_open(const char *dir, rn_pages *out)
{
    char file[4096];
    *out = (rn_pages){0};
    RN_TRY(rn_path_join(file, sizeof file, dir, "data.mdb"));
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return rn_fail(RN_E_NOENT, "%s: no packed set there (no data.mdb); pack-lmdb makes one", dir);
    if (fd < 0)
        return rn_fail_errno(errno, "%s", file);
    out->path = strdup(dir);
    int rc = out->path ? map_file(out, fd, file) : rn_fail(RN_E_NOMEM, "%s: out of memory", dir);
    close(fd);
    if (rc < 0)
        rn_pages_close(out);
    return rc;
}

void rn_pages_close(rn_pages *p)
{
    if (p->map)
        munmap((void *)(uintptr_t)p->map, p->npages * p->page_size);
    free(p->path);
    *p = (rn_pages){0};
}

bool rn_pages_changed(const rn_pages *p)
{
    const size_t txn_at = HEAD + 128;
    return u64(p->map + txn_at) > p->txn || u64(p->map + p->page_size + txn_at) > p->txn;
}

/* ---- records ------------------------------------------------------------------------------------------------ */

static uint64_t run_pages(const rn_pages *p, uint64_t value_n)
{
    return (HEAD + value_n + p->page_size - 1) / p->page_size;
}

/* A leaf's node at `at`. *run: the first of the pages that its value fills, NO_PAGE if it lies in the leaf. NULL, or what is
 * wrong. Touches the leaf alone. */
static const char *parse_leaf_node(const rn_pages *p, uint64_t at, rn_pages_record *out, uint64_t *run)
{
    const uint8_t *node = p->map + at;
    uint64_t room = p->page_size - at % p->page_size;
    if (at % 2 || room < NODE_HEAD)
        return "a record begins where none can";
    uint64_t value_n = u16(node) | (uint64_t)u16(node + 2) << 16, key_n = u16(node + 6);
    uint16_t flags = u16(node + 4);
    if (flags & ~NODE_BIG)
        return "a record has flags that pack-lmdb never sets";
    if (key_n == 0 || key_n > KEY_MAX)
        return "a record's key has no possible length";
    if (room < NODE_HEAD + key_n + (flags & NODE_BIG ? sizeof(uint64_t) : value_n))
        return "a record runs over the page's end";
    *out = (rn_pages_record){.key = node + NODE_HEAD, .key_n = (size_t)key_n, .value_n = (size_t)value_n};
    *run = flags & NODE_BIG ? u64(out->key + key_n) : NO_PAGE;
    if (*run == NO_PAGE && flags & NODE_BIG)
        return "a record's value lies outside the file";
    if (*run == NO_PAGE) {
        out->value = out->key + key_n;
        return NULL;
    }
    uint64_t pages = run_pages(p, value_n);
    if (*run < 2 || *run >= p->npages || pages > p->npages - *run)
        return "a record's value lies outside the file";
    out->value = p->map + *run * p->page_size + HEAD;
    return NULL;
}

bool rn_pages_record_at(const rn_pages *p, uint64_t at, rn_pages_record *out)
{
    uint64_t run;
    if (parse_leaf_node(p, at, out, &run))
        return false;
    if (run == NO_PAGE)
        return true;
    const uint8_t *page = out->value - HEAD;
    return u64(page) == run && (u16(page + 10) & ~VOLATILE_FLAGS) == OVERFLOW_RUN &&
           u32(page + 12) == run_pages(p, out->value_n);
}

/* ---- the walk ----------------------------------------------------------------------------------------------- */

typedef struct text {
    const uint8_t *data;
    size_t n;
} text;

typedef struct walk {
    const rn_pages *p;
    rn_pages_fn fn;
    void *arg;
    uint64_t *owned; /* a bit a page */
    uint64_t branches, leaves, overflows, entries;
    text last;  /* key */
    text bound; /* what a branch says of the key to come; data NULL: nothing */
} walk;

static int compare(text a, text b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = memcmp(a.data, b.data, n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* False: a page of the run has an owner already. The caller has checked that it is in the file. */
static bool own(walk *w, uint64_t page, uint64_t n)
{
    for (uint64_t i = page; i < page + n; i++) {
        uint64_t bit = (uint64_t)1 << (i % 64);
        if (w->owned[i / 64] & bit)
            return false;
        w->owned[i / 64] |= bit;
    }
    return true;
}

/* The page of a child: its header, and as many node offsets as it says. *n: nodes. */
static int enter(walk *w, uint64_t page, uint64_t parent, bool leaf, uint32_t *n)
{
    const rn_pages *p = w->p;
    if (page < 2 || page >= p->npages)
        return damaged(p, parent, "it names a page that the file does not have");
    const uint8_t *b = p->map + page * p->page_size;
    uint32_t lower = u16(b + 12), upper = u16(b + 14);
    if (u64(b) != page)
        return damaged(p, page, "it has another page's number");
    if ((u16(b + 10) & ~VOLATILE_FLAGS) != (leaf ? LEAF : BRANCH))
        return damaged(p, page, leaf ? "it should be a leaf" : "it should be a branch");
    if (lower < OFFSETS || lower % 2 || lower > upper || upper > p->page_size)
        return damaged(p, page, "its nodes and their offsets overlap");
    *n = (lower - OFFSETS) / 2;
    if (*n == 0)
        return damaged(p, page, "it has no node");
    if (!own(w, page, 1))
        return damaged(p, page, "two places of the tree use it");
    return RN_OK;
}

/* Where node i of the page is, 0 if outside the nodes' part. */
static uint64_t node_at(const rn_pages *p, uint64_t page, uint32_t i)
{
    const uint8_t *b = p->map + page * p->page_size;
    uint32_t offset = u16(b + OFFSETS + (size_t)2 * i);
    bool inside = offset >= u16(b + 14) && offset <= p->page_size - NODE_HEAD && offset % 2 == 0;
    return inside ? page * p->page_size + offset : 0;
}

static int visit_leaf(walk *w, uint64_t page, uint32_t n)
{
    const rn_pages *p = w->p;
    for (uint32_t i = 0; i < n; i++) {
        rn_pages_record r;
        uint64_t run, at = node_at(p, page, i);
        const char *wrong = at ? parse_leaf_node(p, at, &r, &run) : "an offset is none of a node";
        if (wrong)
            return damaged(p, page, wrong);
        text key = {r.key, r.key_n};
        if (w->last.data && compare(key, w->last) <= 0)
            return damaged(p, page, "its keys do not rise");
        if (w->bound.data && compare(key, w->bound) < 0)
            return damaged(p, page, "it has a key that belongs before it");
        if (run != NO_PAGE) {
            if (!own(w, run, run_pages(p, r.value_n)))
                return damaged(p, page, "two records use one page");
            w->overflows += run_pages(p, r.value_n);
        }
        w->last = key;
        w->bound.data = NULL;
        if (w->entries++ == p->entries)
            return damaged(p, page, "there are more records than the meta page counts");
        RN_TRY(w->fn(w->arg, at, r.value_n));
    }
    w->leaves++;
    return RN_OK;
}

/* A branch's node i: the child, and the key that all keys before it are below (i > 0; the first has none). */
static int parse_branch_node(walk *w, uint64_t page, uint32_t i, uint64_t *child)
{
    const rn_pages *p = w->p;
    uint64_t at = node_at(p, page, i);
    if (!at)
        return damaged(p, page, "an offset is none of a node");
    const uint8_t *node = p->map + at;
    text key = {node + NODE_HEAD, u16(node + 6)};
    if (key.n > p->page_size - at % p->page_size - NODE_HEAD)
        return damaged(p, page, "a key runs over its end");
    if (i > 0) {
        if (key.n == 0 || (w->last.data && compare(key, w->last) <= 0))
            return damaged(p, page, "it does not divide its children's keys");
        w->bound = key;
    }
    *child = u16(node) | (uint64_t)u16(node + 2) << 16 | (uint64_t)u16(node + 4) << 32;
    return RN_OK;
}

/* Every descent ends in a leaf after `depth` pages, and a leaf is entered once: the walk is bounded by the file. */
static int visit(walk *w, uint64_t page, uint64_t parent,
                 int depth) // NOLINT(misc-no-recursion): at most DEPTH_MAX deep
{
    uint32_t n = 0;
    RN_TRY(enter(w, page, parent, depth == 1, &n));
    if (depth == 1)
        return visit_leaf(w, page, n);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t child = NO_PAGE;
        RN_TRY(parse_branch_node(w, page, i, &child));
        RN_TRY(visit(w, child, page, depth - 1));
    }
    w->branches++;
    return RN_OK;
}

int rn_pages_walk(const rn_pages *p, rn_pages_fn fn, void *arg)
{
    walk w = {.p = p, .fn = fn, .arg = arg};
    if (p->depth == 0)
        return RN_OK;
    w.owned = calloc((size_t)(p->npages / 64 + 1), sizeof *w.owned);
    if (!w.owned)
        return rn_fail(RN_E_NOMEM, "%s: no memory to check %" PRIu64 " pages", p->path, p->npages);
    int rc = visit(&w, p->root, p->txn & 1, p->depth);
    free(w.owned);
    RN_TRY(rc);
    if (w.entries != p->entries || w.branches != p->branches || w.leaves != p->leaves || w.overflows != p->overflows)
        return damaged(p, p->txn & 1, "its counts of pages and records are not those of the tree");
    return RN_OK;
}
