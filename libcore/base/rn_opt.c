/* SPDX-License-Identifier: MIT */
#include "base/rn_opt.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_opt_rows.h"
#include "base/rn_progress.h"

#define ROWS_MAX       256 /* bits in rn_opt_result.seen */
#define NAME_MAX_LEN   64
#define FILE_MAX_BYTES (1 << 20)

/* ---- rows ---- */

typedef struct row_set {
    const rn_opt_spec *spec;
    rn_opt common[RN_OPT_COMMON_ROWS];
    int ncommon; /* 0 in a recipe file */
} row_set;

int rn_opt_find(const rn_opt_spec *spec, const char *name, size_t len)
{
    for (int i = 0; i < spec->nopts; i++) {
        const rn_opt *o = &spec->opts[i];
        if (o->type != RN_OPT_GROUP && strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return i;
    }
    return -1;
}

static const rn_opt *find_row(const row_set *set, const char *name, size_t len, int *index)
{
    *index = rn_opt_find(set->spec, name, len);
    if (*index >= 0)
        return &set->spec->opts[*index];
    for (int i = 0; i < set->ncommon; i++) {
        if (strlen(set->common[i].name) == len && memcmp(set->common[i].name, name, len) == 0)
            return &set->common[i];
    }
    return NULL;
}

static int min3(int a, int b, int c)
{
    int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edit distance with swaps of neighbours, so that --jbos is one slip away from --jobs. */
static int distance(const char *a, size_t na, const char *b, size_t nb)
{
    int d[3][NAME_MAX_LEN + 1];
    if (na > NAME_MAX_LEN)
        na = NAME_MAX_LEN;
    if (nb > NAME_MAX_LEN)
        nb = NAME_MAX_LEN;
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        int *now = d[i % 3], *up = d[(i - 1) % 3], *upper = d[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            now[j] = min3(up[j] + 1, now[j - 1] + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && upper[j - 2] + 1 < now[j])
                now[j] = upper[j - 2] + 1;
        }
    }
    return d[na % 3][nb];
}

/*
 * The known name that `name` may be a slip of: a shared beginning (--verb) beats any number of slips, and of those there may
 * be one in three letters. NULL: it is none.
 */
static const char *nearest(const row_set *set, const char *name, size_t len)
{
    const char *best = NULL;
    int best_cost = 1 << 20;
    const int own = set->spec->opts ? set->spec->nopts : 0; /* a tool may have none */
    for (int i = 0; i < own + set->ncommon; i++) {
        const rn_opt *o = i < own ? &set->spec->opts[i] : &set->common[i - own];
        if (o->type == RN_OPT_GROUP)
            continue;
        const size_t n = strlen(o->name), most = (len > n ? len : n) / 3;
        const bool begins = len >= 3 && len < n && memcmp(name, o->name, len) == 0;
        const int slips = distance(name, len, o->name, n), cost = begins ? 1 : 2 * slips;
        if ((begins || (size_t)slips <= most) && cost < best_cost) {
            best_cost = cost;
            best = o->name;
        }
    }
    return best;
}

/* Of what nobody knows: `dashes` stand before options, not before keys. */
static int unknown(const row_set *set, const char *what, const char *dashes, const char *name, size_t len)
{
    const char *known = nearest(set, name, len), *quote = *dashes ? "" : "'", *hyphens = *dashes ? "--" : "";
    if (!known)
        return rn_fail(RN_E_USAGE, "unknown %s %s%s%.*s%s (--help lists all)", what, quote, dashes, (int)len, name,
                       quote);
    return rn_fail(RN_E_USAGE, "unknown %s %s%s%.*s%s; the nearest is %s%s%s%s (--help lists all)", what, quote, dashes,
                   (int)len, name, quote, quote, hyphens, known, quote);
}

/* ---- values ---- */

static int keep_text(rn_opt_result *res, const char *text, const char **dst)
{
    char **p = realloc(res->owned, sizeof(*p) * (size_t)(res->nowned + 1));
    if (!p)
        return rn_fail(RN_E_NOMEM, "out of memory");
    res->owned = p;
    char *copy = strdup(text);
    if (!copy)
        return rn_fail(RN_E_NOMEM, "out of memory");
    res->owned[res->nowned++] = copy;
    *dst = copy;
    return RN_OK;
}

static int word_index(const char *const *words, const char *text, size_t len)
{
    for (int i = 0; words[i]; i++)
        if (strlen(words[i]) == len && memcmp(words[i], text, len) == 0)
            return i;
    return -1;
}

static int not_a_word(const char *const *words, const char *text, size_t len)
{
    char accepted[640];
    rn_opt_words_text(words, accepted, sizeof(accepted));
    return rn_fail(RN_E_USAGE, "'%.*s' is not one of %s", (int)len, text, accepted);
}

static int check_list(const rn_opt *o, const char *text)
{
    for (const char *p = text;; p++) {
        size_t len = strcspn(p, ",");
        if (len == 0)
            return rn_fail(RN_E_USAGE, "'%s' has an empty element", text);
        if (o->words && word_index(o->words, p, len) < 0)
            return not_a_word(o->words, p, len);
        p += len;
        if (*p == 0)
            return RN_OK;
    }
}

static int set_int(const rn_opt *o, const char *text)
{
    bool any = o->lo == 0 && o->hi == 0;
    /* A bound of +-2^63 or beyond means "none": casting it would not be defined. */
    int64_t lo = any || o->lo <= -9.2e18 ? INT64_MIN : (int64_t)o->lo;
    int64_t hi = any || o->hi >= 9.2e18 ? INT64_MAX : (int64_t)o->hi;
    return rn_parse_i64(text, lo, hi, o->dst);
}

static int set_value(const rn_opt *o, const char *text, rn_opt_result *res)
{
    bool any = o->lo == 0 && o->hi == 0;
    size_t len = strlen(text);
    int word;
    switch (o->type) {
    case RN_OPT_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return rn_fail(RN_E_USAGE, "'%s' is not one of true, false", text);
        *(bool *)o->dst = text[0] == 't';
        return RN_OK;
    case RN_OPT_INT:
        return set_int(o, text);
    case RN_OPT_UINT:
        return rn_parse_u64(text, o->dst);
    case RN_OPT_REAL:
        return rn_parse_real(text, any ? -INFINITY : o->lo, any ? INFINITY : o->hi, o->dst);
    case RN_OPT_ENUM:
        word = word_index(o->words, text, len);
        if (word < 0)
            return not_a_word(o->words, text, len);
        *(int *)o->dst = word;
        return RN_OK;
    case RN_OPT_LIST:
        RN_TRY(check_list(o, text));
        return keep_text(res, text, o->dst);
    case RN_OPT_TEXT:
        if (len == 0)
            return rn_fail(RN_E_USAGE, "the value is empty");
        return keep_text(res, text, o->dst);
    case RN_OPT_GROUP:
        break;
    }
    return rn_fail(RN_E_USAGE, "not an option");
}

static void mark_seen(rn_opt_result *res, int index)
{
    if (index >= 0)
        res->seen[index / 64] |= UINT64_C(1) << (index % 64);
}

static bool is_seen(const rn_opt_result *res, int index)
{
    return res->seen[index / 64] >> (index % 64) & 1;
}

/* ---- command line ---- */

/* One argument taken apart. */
typedef struct token {
    bool operand;
    const char *dashes; /* "-" or "--" */
    const char *name;   /* after them */
    size_t len;
    const rn_opt *row; /* NULL: unknown */
    int index;         /* row of the tool's table, -1 for a common one */
    const char *value; /* NULL: none given */
    bool joined;       /* --name=VALUE */
    const char *next;  /* what stands behind an option that found no value */
} token;

/* Known or misspelt: "--md5sums --strucure" is a slip, and not a file of that name (--md5sums=--strucure is). */
static bool looks_like_option(const char *arg)
{
    return strncmp(arg, "--", 2) == 0;
}

/* Takes argv[*i] (and its value) and moves *i past it. */
static token take(const row_set *set, int argc, char **argv, int *i)
{
    const char *arg = argv[(*i)++];
    token t = {.index = -1};
    if (arg[0] != '-' || arg[1] == 0) {
        t.operand = true;
        t.value = arg;
        return t;
    }
    t.dashes = arg[1] == '-' ? "--" : "-";
    t.name = arg + strlen(t.dashes);
    t.len = strcspn(t.name, "=");
    t.joined = t.name[t.len] == '=';
    if (arg[1] == '-')
        t.row = find_row(set, t.name, t.len, &t.index);
    if (t.joined)
        t.value = t.name + t.len + 1;
    else if (t.row && t.row->type == RN_OPT_FLAG)
        t.value = "true";
    else if (t.row && *i < argc && !looks_like_option(argv[*i]))
        t.value = argv[(*i)++];
    else if (t.row && *i < argc)
        t.next = argv[*i];
    return t;
}

/* The list that was there before, a comma, and the one just stored. */
static int join_lists(const rn_opt *row, const char *before, rn_opt_result *res)
{
    rn_buf b = {0};
    int rc = rn_buf_printf(&b, "%s,%s", before, *(const char **)row->dst);
    if (rc == RN_OK)
        rc = keep_text(res, (const char *)b.data, row->dst);
    rn_buf_free(&b);
    return rc;
}

static int apply(const row_set *set, const token *t, rn_opt_result *res)
{
    if (!t->row)
        return unknown(set, "option", t->dashes, t->name, t->len);
    const char *arg = t->row->arg ? t->row->arg : "VALUE";
    if (!t->value && t->next && t->next[2])
        return rn_fail(RN_E_USAGE, "--%s needs a value: --%s %s (if it is '%s': --%s=%s)", t->row->name, t->row->name,
                       arg, t->next, t->row->name, t->next);
    if (!t->value)
        return rn_fail(RN_E_USAGE, "--%s needs a value: --%s %s", t->row->name, t->row->name, arg);
    const char *before = t->row->type == RN_OPT_LIST && is_seen(res, t->index) ? *(const char **)t->row->dst : NULL;
    int rc = set_value(t->row, t->value, res);
    if (rc == RN_OK && before)
        rc = join_lists(t->row, before, res);
    if (rc < 0)
        return rn_fail_prefix(rc, "--%s", t->row->name);
    mark_seen(res, t->index);
    return RN_OK;
}

/* --help and --version are honoured before anything is stored: --help shows the defaults. */
static int answer_early(const row_set *set, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0;) {
        token t = take(set, argc, argv, &i);
        if (t.operand || t.index >= 0 || !t.row || t.joined)
            continue;
        if (strcmp(t.row->name, "help") == 0) {
            rn_opt_help(set->spec, stdout);
            return 1;
        }
        if (strcmp(t.row->name, "version") == 0) {
            rn_version_print(set->spec->tool, stdout);
            return 1;
        }
    }
    return 0;
}

static int count_operands(const rn_opt_spec *spec, const rn_opt_result *res)
{
    int line = (int)strcspn(spec->synopsis, "\n");
    if (res->noperands < spec->min_operands)
        return rn_fail(RN_E_USAGE, "%s: %s %.*s (--help says more)",
                       res->noperands == 0 ? "nothing to work on" : "an operand is missing", spec->tool, line,
                       spec->synopsis);
    if (spec->max_operands >= 0 && res->noperands > spec->max_operands)
        return rn_fail(RN_E_USAGE, "one operand too many: '%s'; usage: %s%s%.*s", res->operands[spec->max_operands],
                       spec->tool, line ? " " : "", line, spec->synopsis);
    return RN_OK;
}

static int parse_all(const row_set *set, int argc, char **argv, rn_opt_result *res)
{
    bool options = true;
    for (int i = 1; i < argc;) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
            i++;
            continue;
        }
        token t = {.operand = true};
        if (options)
            t = take(set, argc, argv, &i);
        else
            t.value = argv[i++];
        if (t.operand)
            res->operands[res->noperands++] = t.value;
        else
            RN_TRY(apply(set, &t, res));
    }
    return count_operands(set->spec, res);
}

/* A full disk shows as an error of write(), not as a signal that kills the tool half-way. */
static void ignore_file_size_signal(void)
{
    struct sigaction sa = {.sa_handler = SIG_IGN};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGXFSZ, &sa, NULL);
}

int rn_opt_parse(const rn_opt_spec *spec, int argc, char **argv, rn_opt_result *res)
{
    memset(res, 0, sizeof(*res));
    ignore_file_size_signal();
    rn_log_init(spec->tool, RN_LOG_NORMAL);
    if (spec->nopts > ROWS_MAX)
        return rn_fail(RN_E_RANGE, "%s has %d option rows, at most %d fit", spec->tool, spec->nopts, ROWS_MAX);
    row_set set = {.spec = spec, .ncommon = RN_OPT_COMMON_ROWS};
    rn_opt_common_rows(&res->common, set.common);
    if (answer_early(&set, argc, argv)) {
        RN_TRY(rn_flush_stdout());
        return 1;
    }
    res->operands = malloc(sizeof(*res->operands) * (size_t)(argc > 0 ? argc : 1));
    if (!res->operands)
        return rn_fail(RN_E_NOMEM, "out of memory");
    int rc = parse_all(&set, argc, argv, res);
    if (rc == RN_OK && res->common.quiet && res->common.verbose)
        rc = rn_fail(RN_E_USAGE, "--quiet and --verbose exclude each other");
    if (rc < 0) {
        rn_opt_free(res);
        return rc;
    }
    rn_log_init(spec->tool, res->common.quiet ? RN_LOG_QUIET : res->common.verbose ? RN_LOG_VERBOSE : RN_LOG_NORMAL);
    bool hush = res->common.quiet && res->common.progress == RN_PROGRESS_AUTO;
    rn_progress_policy(hush ? RN_PROGRESS_NEVER : (enum rn_progress_when)res->common.progress);
    return RN_OK;
}

/* ---- recipe files ---- */

static char *trim(char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    size_t n = strlen(s);
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t' || s[n - 1] == '\r'))
        s[--n] = 0;
    return s;
}

/* '#' starts a comment at the line's start or after a blank, so that a path may hold one. */
static void drop_comment(char *line)
{
    for (char *p = line; (p = strchr(p, '#')) != NULL; p++) {
        if (p == line || p[-1] == ' ' || p[-1] == '\t') {
            *p = 0;
            return;
        }
    }
}

static int keep_place(const row_set *set, int index, const rn_opt_place *at, rn_opt_result *res)
{
    if (!res->places && !(res->places = calloc((size_t)set->spec->nopts, sizeof *res->places)))
        return rn_fail(RN_E_NOMEM, "out of memory");
    res->places[index] = *at;
    return RN_OK;
}

static int apply_line(const row_set *set, char *line, const rn_opt_place *at, uint64_t given[4], uint64_t inherited[4],
                      rn_opt_result *res)
{
    drop_comment(line);
    char *key = trim(line);
    if (!*key)
        return RN_OK;
    char *eq = strchr(key, '=');
    if (!eq)
        return rn_fail(RN_E_USAGE, "'%s' is not of the form key = value", key);
    *eq = 0;
    key = trim(key);
    char *value = trim(eq + 1);
    int index = -1;
    const rn_opt *row = find_row(set, key, strlen(key), &index);
    if (!row)
        return unknown(set, "key", "", key, strlen(key));
    uint64_t bit = UINT64_C(1) << (index % 64);
    if (given[index / 64] & bit)
        return rn_fail(RN_E_USAGE, "%s is given a second time", key);
    given[index / 64] |= bit;
    /* A value the command line overrides is still checked: a wrong recipe never looks right. */
    if (inherited[index / 64] & bit) {
        union {
            bool flag;
            int64_t i;
            uint64_t u;
            double r;
            const char *text;
            int word;
        } ignored;
        rn_opt copy = *row;
        copy.dst = &ignored;
        row = &copy;
        int rc = set_value(row, value, res);
        return rc < 0 ? rn_fail_prefix(rc, "%s", key) : RN_OK;
    }
    int rc = set_value(row, value, res);
    if (rc < 0)
        return rn_fail_prefix(rc, "%s", key);
    mark_seen(res, index);
    return keep_place(set, index, at, res);
}

static int parse_lines(const rn_opt_spec *spec, const char *name, bool numbered, const char *text, rn_opt_result *res)
{
    char *copy = strdup(text);
    if (!copy)
        return rn_fail(RN_E_NOMEM, "out of memory");
    row_set set = {.spec = spec};
    rn_opt_place at = {.line = 0};
    uint64_t given[4] = {0}, inherited[4];
    memcpy(inherited, res->seen, sizeof(inherited));
    int rc = keep_text(res, name, &at.file);
    for (char *line = copy; rc == RN_OK && line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end = 0;
        at.line += numbered;
        rc = apply_line(&set, line, &at, given, inherited, res);
        if (rc < 0)
            rc = numbered ? rn_fail_prefix(rc, "%s:%d", name, at.line) : rn_fail_prefix(rc, "%s", name);
        line = end ? end + 1 : NULL;
    }
    free(copy);
    return rc;
}

int rn_opt_parse_text(const rn_opt_spec *spec, const char *name, const char *text, rn_opt_result *res)
{
    return parse_lines(spec, name, false, text, res);
}

int rn_opt_parse_file(const rn_opt_spec *spec, const char *path, rn_opt_result *res)
{
    char *data;
    size_t n;
    RN_TRY(rn_read_text(path, FILE_MAX_BYTES, &data, &n));
    int rc = parse_lines(spec, path, true, data, res);
    free(data);
    return rc;
}

bool rn_opt_seen(const rn_opt_spec *spec, const rn_opt_result *res, const char *name)
{
    row_set set = {.spec = spec};
    int index = -1;
    return find_row(&set, name, strlen(name), &index) && is_seen(res, index);
}

void rn_opt_free(rn_opt_result *res)
{
    for (int i = 0; i < res->nowned; i++)
        free(res->owned[i]);
    free(res->owned);
    free(res->operands);
    free(res->places);
    res->places = NULL;
    res->owned = NULL;
    res->nowned = 0;
    res->operands = NULL;
    res->noperands = 0;
}

int rn_opt_end(rn_opt_result *res, int rc)
{
    if (rc == RN_OK)
        rc = rn_flush_stdout();
    if (rc < 0)
        rn_error("%s", rn_error_text());
    rn_opt_free(res);
    return rn_exit_code(rc);
}
