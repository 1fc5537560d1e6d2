/* SPDX-License-Identifier: MIT */
/* Lists of shapes: bench/shapes/NET.shapes are compiled in (bench_shapes.inc, made by the Makefile), so that an
 * installed rn-bench needs no files. */
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "bench.h"

#define ALL_DIRS  7u
#define MAX_COUNT 1000000

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

static int parse_desc(const char *text, int mb, bench_shape *shape)
{
    const char *name = strchr(text, 'n');

    RN_TRY(rn_conv_desc_parse(text, &shape->desc));
    if (mb > 0) {
        shape->desc.mb = mb;
        RN_TRY(rn_conv_desc_finish(&shape->desc));
    }
    snprintf(shape->name, sizeof shape->name, "%s", name ? name + 1 : "");
    return 0;
}

int bench_shapes_case(const char *text, int mb, bench_shapes *out)
{
    bench_shape shape = {.count = 1, .dirs = ALL_DIRS};

    RN_TRY(parse_desc(text, mb, &shape));
    return append(out, &shape);
}

static int parse_dirs(const char *word, unsigned *dirs)
{
    *dirs = 0;
    for (rn_conv_dir d = RN_FWD; d <= RN_BWD_W; d++) {
        size_t n = strlen(rn_conv_dir_name(d));
        for (const char *p = word; (p = strstr(p, rn_conv_dir_name(d))); p += n) {
            if ((p == word || p[-1] == ',') && (p[n] == 0 || p[n] == ','))
                *dirs |= 1u << d;
        }
    }
    return *dirs ? 0 : rn_fail(RN_E_FORMAT, "directions '%s': expected some of fwd,bwd_d,bwd_w", word);
}

/* DESCRIPTOR [*COUNT] [DIRECTIONS]; '#' starts a comment. Cuts the line up. */
static int parse_line(char *line, int mb, bench_shapes *out)
{
    bench_shape shape = {.count = 1, .dirs = ALL_DIRS};
    char *save = NULL, *word;
    int64_t count;

    line[strcspn(line, "#\r")] = 0;
    if (!(word = strtok_r(line, " \t", &save)))
        return 0;
    RN_TRY(parse_desc(word, mb, &shape));
    while ((word = strtok_r(NULL, " \t", &save))) {
        if (*word != '*') {
            RN_TRY(parse_dirs(word, &shape.dirs));
            continue;
        }
        if (rn_parse_i64(word + 1, 1, MAX_COUNT, &count) < 0)
            return rn_fail(RN_E_FORMAT, "count '%s': expected * and a number of 1 to %d", word, MAX_COUNT);
        shape.count = (int)count;
    }
    return append(out, &shape);
}

/* `text` is cut up. */
static int parse_list(const char *name, char *text, int mb, bench_shapes *out)
{
    int number = 0;

    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        number++;
        int rc = parse_line(line, mb, out);
        if (rc < 0)
            return rn_fail_prefix(rc == RN_E_USAGE ? RN_E_FORMAT : rc, "%s:%d", name, number);
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
        int rc = parse_list(net, text, mb, out);
        free(text);
        return rc;
    }
    return rn_fail(RN_E_USAGE, "net '%s': unknown; accepted: %s", net, bench_shapes_names(names, sizeof names));
}

int bench_shapes_file(const char *path, int mb, bench_shapes *out)
{
    char *text = NULL;
    size_t n;

    RN_TRY(rn_read_text(path, 1 << 20, &text, &n));
    int rc = parse_list(path, text, mb, out);
    free(text);
    return rc;
}
