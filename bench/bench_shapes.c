/* SPDX-License-Identifier: MIT */
/* Lists of shapes: bench/shapes/NET.shapes are compiled in (bench_shapes.inc, made by the Makefile), so that an
 * installed rn-bench needs no files. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "bench.h"

#define ALL_DIRS  7u
#define MAX_COUNT 1000000
#define MAX_DEPTH 8  /* of lists inside lists */
#define LIST_MB   16 /* images of a descriptor in a list that names none */
#define BLANKS    " \t"

static const struct {
    const char *name, *text;
} nets[] = {
#include "bench_shapes.inc"
};

const char *bench_shapes_names(char *buf, size_t cap)
{
    size_t n = 0;

    buf[0] = 0;
    for (size_t i = 0; i < sizeof nets / sizeof *nets && n < cap; i++)
        n += (size_t)snprintf(buf + n, cap - n, "%s%s", i ? ", " : "", nets[i].name);
    return buf;
}

void bench_shapes_free(bench_shapes *s)
{
    free(s->v);
    *s = (bench_shapes){0};
}

static int append(bench_shapes *s, const bench_shape *shape)
{
    bench_shape *v = realloc(s->v, (s->n + 1) * sizeof *v);

    if (!v)
        return rn_fail(RN_E_NOMEM, "shapes: out of memory");
    s->v = v;
    s->v[s->n++] = *shape;
    return 0;
}

/* What holds for the lines of a list. */
typedef struct list {
    const char *name; /* of the file, or of the net */
    bool is_file;
    int mb;        /* of the command line: wins over everything; 0: none */
    int list_mb;   /* of --mb= in the list; 0: none */
    unsigned dirs; /* of --dir= in the list */
    int depth;
    bench_shapes *out;
} list;

static bool names_mb(const char *text)
{
    const char *name = strchr(text, 'n'), *mb = strstr(text, "mb");

    return mb && (!name || mb < name);
}

/* The case's own name, without benchdnn's quotes, and the count that it may end in. */
static void parse_name(const char *text, bench_shape *shape)
{
    const char *name = strchr(text, 'n');
    int64_t count;

    snprintf(shape->name, sizeof shape->name, "%s", name ? name + 1 + (name[1] == '"') : "");
    shape->name[strcspn(shape->name, "\"")] = 0;
    char *star = strrchr(shape->name, '*');
    if (star && rn_parse_i64(star + 1, 1, MAX_COUNT, &count) == 0) {
        *star = 0;
        shape->count = (int)count;
    }
}

static int parse_desc(const char *text, int mb, bench_shape *shape)
{
    RN_TRY(rn_conv_desc_parse(text, &shape->desc));
    if (mb > 0) {
        shape->desc.mb = mb;
        RN_TRY(rn_conv_desc_finish(&shape->desc));
    }
    parse_name(text, shape);
    return 0;
}

int bench_shapes_cases(const char *list, int mb, bench_shapes *out)
{
    char text[512];

    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        bench_shape shape = {.count = 1, .dirs = ALL_DIRS};
        const size_t n = strcspn(at, ",");
        if (n >= sizeof text)
            return rn_fail(RN_E_USAGE, "--case: a descriptor of %zu characters", n);
        memcpy(text, at, n);
        text[n] = 0;
        if (parse_desc(text, mb, &shape) < 0)
            return rn_fail_prefix(RN_E_USAGE, "--case"); /* whatever is wrong with it */
        RN_TRY(append(out, &shape));
    }
    return 0;
}

/* Ours, or benchdnn's. Cuts the text up. */
static int parse_dirs(char *text, unsigned *dirs)
{
    static const struct {
        const char *word;
        rn_conv_dir dir;
    } words[] = {{"fwd", RN_FWD},   {"bwd_d", RN_BWD_D}, {"bwd_w", RN_BWD_W}, {"FWD_B", RN_FWD},   {"FWD_D", RN_FWD},
                 {"FWD_I", RN_FWD}, {"BWD_D", RN_BWD_D}, {"BWD_W", RN_BWD_W}, {"BWD_WB", RN_BWD_W}};
    enum { NWORDS = sizeof words / sizeof *words };
    char *save = NULL;

    *dirs = 0;
    for (char *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        int i = 0;
        while (i < NWORDS && strcmp(words[i].word, word) != 0)
            i++;
        if (i == NWORDS)
            return rn_fail(RN_E_FORMAT, "direction '%s': expected some of fwd,bwd_d,bwd_w", word);
        *dirs |= 1u << words[i].dir;
    }
    return *dirs ? 0 : rn_fail(RN_E_FORMAT, "no direction; expected some of fwd,bwd_d,bwd_w");
}

static int parse_file(list *l);

/* --batch=FILE: its options end with it. */
static int parse_batch(const list *l, const char *path)
{
    const char *slash = strrchr(l->name, '/');
    char full[PATH_MAX];
    list inner = {.name = full, .is_file = true, .mb = l->mb, .dirs = ALL_DIRS, .depth = l->depth + 1, .out = l->out};

    if (!l->is_file)
        return rn_fail(RN_E_FORMAT, "--batch: not in a list that is built in");
    if (inner.depth > MAX_DEPTH)
        return rn_fail(RN_E_FORMAT, "--batch=%s: lists inside lists %d deep: does one of them name itself?", path,
                       MAX_DEPTH);
    if (*path == '/' || !slash)
        snprintf(full, sizeof full, "%s", path);
    else
        snprintf(full, sizeof full, "%.*s/%s", (int)(slash - l->name), l->name, path);
    return parse_file(&inner);
}

static int parse_option(list *l, char *word)
{
    int64_t n;

    if (strncmp(word, "--batch=", 8) == 0)
        return parse_batch(l, word + 8);
    if (strncmp(word, "--dir=", 6) == 0)
        return parse_dirs(word + 6, &l->dirs);
    if (strcmp(word, "--reset") == 0) {
        l->list_mb = 0;
        l->dirs = ALL_DIRS;
        return 0;
    }
    if (strncmp(word, "--mb=", 5) != 0)
        return rn_fail(RN_E_FORMAT,
                       "option '%s': of benchdnn's options a list may have --batch=, --dir=, --mb= and --reset", word);
    if (rn_parse_i64(word + 5, 0, 65536, &n) < 0)
        return rn_fail(RN_E_FORMAT, "'%s': expected a number of 0 to 65536", word);
    l->list_mb = (int)n;
    return 0;
}

static int parse_case(list *l, const char *text, char **save)
{
    bench_shape shape = {.count = 1, .dirs = l->dirs};
    int64_t count;

    RN_TRY(parse_desc(text, l->mb ? l->mb : l->list_mb ? l->list_mb : names_mb(text) ? 0 : LIST_MB, &shape));
    for (char *word; (word = strtok_r(NULL, BLANKS, save));) {
        if (*word != '*') {
            RN_TRY(parse_dirs(word, &shape.dirs));
            continue;
        }
        if (rn_parse_i64(word + 1, 1, MAX_COUNT, &count) < 0)
            return rn_fail(RN_E_FORMAT, "count '%s': expected * and a number of 1 to %d", word, MAX_COUNT);
        shape.count = (int)count;
    }
    return append(l->out, &shape);
}

/* Cuts the line up. Options may stand before a descriptor in its line, as in benchdnn. */
static int parse_line(list *l, char *line)
{
    char *save = NULL, *word;

    line[strcspn(line, "#\r")] = 0;
    for (word = strtok_r(line, BLANKS, &save); word; word = strtok_r(NULL, BLANKS, &save)) {
        if (strncmp(word, "--", 2) != 0)
            return parse_case(l, word, &save);
        RN_TRY(parse_option(l, word));
    }
    return 0;
}

/* `text` is cut up. */
static int parse_list(list *l, char *text)
{
    int number = 0;

    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        number++;
        int rc = parse_line(l, line);
        if (rc < 0)
            return rn_fail_prefix(rc == RN_E_USAGE ? RN_E_FORMAT : rc, "%s:%d", l->name, number);
    }
    return 0;
}

int bench_shapes_net(const char *net, int mb, bench_shapes *out)
{
    char names[256];

    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        if (strcmp(nets[i].name, net) != 0)
            continue;
        char *text = strdup(nets[i].text);
        if (!text)
            return rn_fail(RN_E_NOMEM, "shapes: out of memory");
        int rc = parse_list(&(list){.name = net, .mb = mb, .dirs = ALL_DIRS, .out = out}, text);
        free(text);
        return rc;
    }
    return rn_fail(RN_E_USAGE, "net '%s': unknown; accepted: %s", net, bench_shapes_names(names, sizeof names));
}

static int parse_file(list *l)
{
    char *text = NULL;
    size_t n;

    RN_TRY(rn_read_text(l->name, 1 << 20, &text, &n));
    int rc = parse_list(l, text);
    free(text);
    return rc;
}

int bench_shapes_file(const char *path, int mb, bench_shapes *out)
{
    return parse_file(&(list){.name = path, .is_file = true, .mb = mb, .dirs = ALL_DIRS, .out = out});
}
