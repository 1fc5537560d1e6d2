/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_log.h"
#include "base/rn_opt.h"

static const char *const filters[] = {"bilinear", "bicubic", "box", NULL};
static const char *const splits[] = {"train", "val", "test", NULL};

/* One destination of each type, reset before each parse. */
static struct {
    bool keep;
    int64_t count, any;
    uint64_t seed;
    double lr;
    const char *out, *splits, *tags;
    int filter;
} v;

static const rn_opt rows[] = {
    {RN_OPT_GROUP, "Work", NULL, NULL, NULL, NULL, 0, 0},
    {RN_OPT_FLAG, "keep", NULL, &v.keep, "Keep what is there.", NULL, 0, 0},
    {RN_OPT_INT, "count", "N", &v.count, "How many of them. A long explanation that has to go over more than one line.",
     NULL, 1, 64},
    {RN_OPT_INT, "any", "N", &v.any, "Any integer.", NULL, 0, 0},
    {RN_OPT_UINT, "seed", "SEED", &v.seed, "Seed.", NULL, 0, 0},
    {RN_OPT_REAL, "lr", "X", &v.lr, "Learning rate.", NULL, 0, 10},
    {RN_OPT_GROUP, "Output", NULL, NULL, NULL, NULL, 0, 0},
    {RN_OPT_TEXT, "out", "FILE", &v.out, "Where to.", NULL, 0, 0},
    {RN_OPT_LIST, "splits", "LIST", &v.splits, "Which splits.", splits, 0, 0},
    {RN_OPT_LIST, "tags", "LIST", &v.tags, "Free words.", NULL, 0, 0},
    {RN_OPT_ENUM, "filter-with-a-long-name", "NAME", &v.filter, "Resampling filter.", filters, 0, 0},
};

static const rn_opt_spec spec = {.tool = "tool",
                                 .synopsis = "SRC [DST]\n--check FILE",
                                 .summary = "Does a thing.",
                                 .epilog = "Exit codes: 0 done.",
                                 .opts = rows,
                                 .nopts = sizeof(rows) / sizeof(rows[0]),
                                 .min_operands = 1,
                                 .max_operands = 2};

static void reset(void)
{
    memset(&v, 0, sizeof(v));
    v.count = 4;
    v.lr = 0.1;
    v.splits = "train,val";
    v.filter = 1;
}

static rn_opt_result res;

static int parse(const char *a, const char *b, const char *c, const char *d, const char *e)
{
    const char *list[] = {"tool", a, b, c, d, e, NULL};
    int n = 0;
    while (list[n])
        n++;
    reset();
    rn_opt_free(&res);
    int rc = rn_opt_parse(&spec, n, (char **)list, &res);
    return rc;
}

#define PARSE5(a, b, c, d, e, ...) parse(a, b, c, d, e)
#define PARSE(...)                 PARSE5(__VA_ARGS__, NULL, NULL, NULL, NULL, NULL)

static void says(const char *text)
{
    if (!strstr(rn_error_text(), text))
        fail_msg("'%s' does not say '%s'", rn_error_text(), text);
}

static void test_values(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--count", "7", "src", "--lr=1e-2", "--keep"), RN_OK);
    assert_int_equal(v.count, 7);
    assert_true(v.lr == 0.01);
    assert_true(v.keep);
    assert_int_equal(v.filter, 1);
    assert_int_equal(res.noperands, 1);
    assert_string_equal(res.operands[0], "src");
    assert_true(rn_opt_seen(&spec, &res, "count") && rn_opt_seen(&spec, &res, "keep"));
    assert_false(rn_opt_seen(&spec, &res, "seed"));
    assert_false(rn_opt_seen(&spec, &res, "nothing"));

    assert_int_equal(PARSE("a", "--seed", "18446744073709551615", "--out=x=y", "b"), RN_OK);
    assert_true(v.seed == UINT64_MAX);
    assert_string_equal(v.out, "x=y");
    assert_int_equal(res.noperands, 2);

    assert_int_equal(PARSE("a", "--filter-with-a-long-name", "box", "--any", "-5"), RN_OK);
    assert_int_equal(v.filter, 2);
    assert_int_equal(v.any, -5);
    assert_int_equal(PARSE("a", "--any", "-9223372036854775808"), RN_OK);
    assert_true(v.any == INT64_MIN);

    assert_int_equal(PARSE("a", "--splits", "val", "--tags", "x,y"), RN_OK);
    assert_string_equal(v.splits, "val");
    assert_string_equal(v.tags, "x,y");
    assert_int_equal(PARSE("a", "--tags=x", "--tags=y"), RN_OK); /* a list given again adds up */
    assert_string_equal(v.tags, "x,y");
    assert_int_equal(PARSE("a", "--count=1", "--count=2"), RN_OK); /* anything else: the last wins */
    assert_int_equal(v.count, 2);
    assert_int_equal(PARSE("a", "--keep=false"), RN_OK);
    assert_false(v.keep);
    assert_true(rn_opt_seen(&spec, &res, "keep"));
}

static void test_dashes(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--", "--count", "-x"), RN_OK);
    assert_int_equal(res.noperands, 2);
    assert_string_equal(res.operands[0], "--count");
    assert_int_equal(v.count, 4);
    assert_int_equal(PARSE("-"), RN_OK); /* a lone dash is an operand */
    assert_string_equal(res.operands[0], "-");
    assert_int_equal(PARSE("a", "--out", "-"), RN_OK);
    assert_string_equal(v.out, "-");
    assert_int_equal(PARSE("a", "--out", "--kepe"), RN_E_USAGE); /* a slip after a forgotten value, not a file name */
    says("--out needs a value: --out FILE (if it is '--kepe': --out=--kepe)");
    assert_int_equal(PARSE("a", "--out=--odd"), RN_OK); /* said so, a file may be called that */
    assert_string_equal(v.out, "--odd");
    assert_int_equal(PARSE("a", "--out", "-odd"), RN_OK); /* one dash is no option of ours */
    assert_string_equal(v.out, "-odd");
    assert_int_equal(PARSE("a", "--out", "--"), RN_E_USAGE);
    says("--out needs a value");
    assert_int_equal(PARSE("a", "--out", "--keep"), RN_E_USAGE); /* a forgotten value, not a file name */
    says("--out needs a value");
    assert_int_equal(PARSE("a", "--out=--keep"), RN_OK);
    assert_string_equal(v.out, "--keep");
    assert_int_equal(PARSE("a", "--out"), RN_E_USAGE);
    says("--out FILE");
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x9f", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\xff",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xc3",
                                      "\xe2\x82",
                                      "\x80",
                                      "a\xc3z"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(rn_utf8_ok(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(rn_utf8_ok(bad[i]));
    char *s = rn_utf8_escape("a\xff\xc3\xa9\xe2\x82z");
    assert_string_equal(s, "a\\xff\xc3\xa9\\xe2\\x82z");
    free(s);
}

static void test_common(void **state)
{
    (void)state;
    assert_int_equal(PARSE("a", "--jobs", "3", "--json", "--quiet"), RN_OK);
    assert_int_equal(res.common.jobs, 3);
    assert_true(res.common.json && res.common.quiet && !res.common.verbose);
    assert_int_equal(rn_log_level(), RN_LOG_QUIET);
    assert_int_equal(PARSE("a", "--verbose", "--progress", "never"), RN_OK);
    assert_int_equal(res.common.progress, 2);
    assert_int_equal(rn_log_level(), RN_LOG_VERBOSE);
    assert_int_equal(PARSE("a", "--quiet", "--verbose"), RN_E_USAGE);
    says("exclude each other");
    for (const char **bad = (const char *[]){"x", "-1", "1025", "1.5", "", " 1", "1 ", "0x1", NULL}; *bad; bad++) {
        assert_int_equal(PARSE("a", "--jobs", *bad), RN_E_USAGE);
        says("--jobs: '");
        says("0 to 1024");
    }
    assert_int_equal(PARSE("a", "--progress=sometimes"), RN_E_USAGE);
    says("--progress: 'sometimes' is not one of auto, always, never");
    struct sigaction sa;
    assert_int_equal(sigaction(SIGXFSZ, NULL, &sa), 0);
    assert_true(sa.sa_handler == SIG_IGN); /* a file size limit is an error, not a death */
}

static void test_unknown_names_the_nearest(void **state)
{
    (void)state;
    static const char *const t[][3] = {
        {"--cuont", "unknown option --cuont", "nearest is --count"},
        {"--verb", "unknown option --verb", "nearest is --verbose"},
        {"--job=3", "unknown option --job;", "nearest is --jobs"},
        {"--filter", "unknown option --filter", "nearest is --filter-with-a-long-name"},
        {"--sed", "unknown option --sed", "nearest is --seed"},
        {"-k", "unknown option -k (--help", ""},         /* one slip would make it anything */
        {"--Work", "unknown option --Work (--help", ""}, /* a heading is no option */
        {"--=", "unknown option -- (--help", ""},
        {"--bogus", "unknown option --bogus (--help", ""},
        {"--ot", "unknown option --ot", "nearest is --out"},
        {"---keep", "unknown option ---keep", "nearest is --keep"},
    };
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        assert_int_equal(PARSE("a", t[i][0]), RN_E_USAGE);
        says(t[i][1]);
        says(t[i][2]);
    }
}

static void test_bad_values(void **state)
{
    (void)state;
    static const char *const t[][2] = {
        {"--count=0", "--count: '0' is not an integer from 1 to 64"},
        {"--count=65", "from 1 to 64"},
        {"--count=99999999999999999999", "from 1 to 64"},
        {"--count=4k", "'4k'"},
        {"--any=1e3", "not an integer of 64 bits"},
        {"--any=9223372036854775808", "64 bits"},
        {"--seed=-1", "--seed: '-1'"},
        {"--seed=18446744073709551616", "--seed"},
        {"--lr=nan", "--lr: 'nan' is not a number from 0 to 10"},
        {"--lr=inf", "from 0 to 10"},
        {"--lr=1e999", "from 0 to 10"},
        {"--lr=1e-999", "from 0 to 10"},
        {"--lr=0,1", "'0,1'"},
        {"--lr=0x1p-3", "'0x1p-3'"},
        {"--lr=", "''"},
        {"--lr=.", "'.'"},
        {"--lr=1e", "'1e'"},
        {"--lr=-0.1", "'-0.1'"},
        {"--splits=train,vla", "--splits: 'vla' is not one of train, val, test"},
        {"--splits=train,,val", "empty element"},
        {"--splits=", "empty element"},
        {"--splits=train,", "empty element"},
        {"--out=", "--out: the value is empty"},
        {"--filter-with-a-long-name=cubic", "'cubic' is not one of bilinear, bicubic, box"},
        {"--keep=yes", "--keep: 'yes' is not one of true, false"},
    };
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        assert_int_equal(PARSE("a", t[i][0]), RN_E_USAGE);
        says(t[i][1]);
        assert_int_equal(res.noperands, 0); /* freed */
    }
}

static void test_operand_counts(void **state)
{
    (void)state;
    assert_int_equal(PARSE(NULL), RN_E_USAGE);
    says("nothing to work on: tool SRC [DST] (");
    assert_int_equal(PARSE("a", "b", "c"), RN_E_USAGE);
    says("one operand too many: 'c'");
    assert_int_equal(PARSE("a", "b"), RN_OK);
}

/* What a parse prints on stdout. */
static char *stdout_of(const char *a, const char *b, int *rc)
{
    fflush(stdout);
    int keep = dup(STDOUT_FILENO);
    FILE *f = tmpfile();
    assert_non_null(f);
    dup2(fileno(f), STDOUT_FILENO);
    *rc = PARSE(a, b);
    fflush(stdout);
    dup2(keep, STDOUT_FILENO);
    close(keep);
    char *text = calloc(1, 20000);
    assert_non_null(text);
    rewind(f);
    size_t n = fread(text, 1, 19999, f);
    text[n] = 0;
    fclose(f);
    return text;
}

static const char help_text[] = "Usage: tool [OPTION]... SRC [DST]\n"
                                "       tool [OPTION]... --check FILE\n"
                                "\n"
                                "Does a thing.\n"
                                "\n"
                                "Work:\n"
                                "  --keep                  Keep what is there.\n"
                                "  --count N               How many of them. A long explanation that has to go\n"
                                "                          over more than one line. (integer, 1 to 64; default 4)\n"
                                "  --any N                 Any integer. (integer; default 0)\n"
                                "  --seed SEED             Seed. (integer, at least 0; default 0)\n"
                                "  --lr X                  Learning rate. (number, 0 to 10; default 0.1)\n"
                                "\n"
                                "Output:\n"
                                "  --out FILE              Where to.\n"
                                "  --splits LIST           Which splits. (comma list of train, val, test; default\n"
                                "                          train,val)\n"
                                "  --tags LIST             Free words. (comma list)\n"
                                "  --filter-with-a-long-name NAME\n"
                                "                          Resampling filter. (one of bilinear, bicubic, box;\n"
                                "                          default bicubic)\n"
                                "\n"
                                "Common options:\n"
                                "  --help                  Print this help and stop.\n"
                                "  --version               Print version, build options and library versions and\n"
                                "                          stop.\n"
                                "  --json                  Print results as JSON.\n"
                                "  --jobs N                Worker threads; 0: one per available core. (integer, 0\n"
                                "                          to 1024; default 0)\n"
                                "  --quiet                 Print only errors on stderr.\n"
                                "  --verbose               Say more on stderr.\n"
                                "  --progress WHEN         Draw a progress line; auto: when stderr is a terminal.\n"
                                "                          (one of auto, always, never; default auto)\n"
                                "\n"
                                "Exit codes: 0 done.\n";

static void test_help(void **state)
{
    (void)state;
    int rc;
    /* the defaults are shown, not what stands beside --help */
    char *text = stdout_of("--count=9", "--help", &rc);
    assert_int_equal(rc, 1);
    assert_string_equal(text, help_text);
    for (const char *p = text; *p;) { /* nothing is wider than 80 columns */
        size_t len = strcspn(p, "\n");
        assert_true(len <= 80);
        p += len + (p[len] == '\n');
    }
    free(text);
    text = stdout_of("--out", "--help", &rc); /* not taken for the value of --out */
    assert_int_equal(rc, 1);
    free(text);
    text = stdout_of("--nonsense", "--help", &rc); /* help is given even beside a mistake */
    assert_int_equal(rc, 1);
    free(text);
    text = stdout_of("--", "--help", &rc);
    assert_int_equal(rc, RN_OK);
    assert_string_equal(text, "");
    free(text);
}

static void test_version(void **state)
{
    (void)state;
    int rc;
    char *text = stdout_of("--version", NULL, &rc);
    assert_int_equal(rc, 1);
    static const char *const want[] = {("tool (rnkit) " RN_VERSION "\n"),
                                       "\nbuild: ",
                                       "\nlibarchive 3.",
                                       "\nlibjpeg",
                                       "\nLMDB 0.9",
                                       "\nOpenSSL ",
                                       "\nmatio 1.",
                                       "\nprotobuf-c 1.",
                                       "\njansson 2.",
                                       "\nlibpng 1.6.",
                                       "\noneDNN: ",
                                       "\nMPI: ",
                                       "\nCUDA: no"};
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        if (!strstr(text, want[i]))
            fail_msg("--version does not say '%s':\n%s", want[i], text);
    free(text);
}

static int parse_text(const char *text)
{
    assert_int_equal(rn_write_file_atomic("test.recipe", text, strlen(text)), RN_OK);
    int rc = rn_opt_parse_file(&spec, "test.recipe", &res);
    unlink("test.recipe");
    return rc;
}

static void test_recipe(void **state)
{
    (void)state;
    assert_int_equal(PARSE("a", "--count=9"), RN_OK);
    assert_int_equal(parse_text("# a recipe\n\n lr = 0.5 # half\r\ncount = 2\nout=dir/#1\n\tkeep = true\n"
                                "filter-with-a-long-name = box\nsplits = test"),
                     RN_OK);
    assert_true(v.lr == 0.5);
    assert_int_equal(v.count, 9); /* the command line wins */
    assert_string_equal(v.out, "dir/#1");
    assert_true(v.keep);
    assert_int_equal(v.filter, 2);
    assert_string_equal(v.splits, "test");
    assert_true(rn_opt_seen(&spec, &res, "lr"));
    assert_false(rn_opt_seen(&spec, &res, "seed"));

    assert_int_equal(PARSE("a", "--keep=false"), RN_OK);
    assert_int_equal(parse_text("keep = true\n"), RN_OK);
    assert_false(v.keep);
    assert_int_equal(parse_text(""), RN_OK);
}

static void test_recipe_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where, *what;
    } t[] = {
        {"lr = 1\nlrr = 2\n", "test.recipe:2: ", "unknown key 'lrr'; the nearest is 'lr' (--help"},
        {"lr = 1\nfoo = 2\n", "test.recipe:2: ", "unknown key 'foo' (--help lists all)"},
        {"learning-rate = 2\n", "test.recipe:1: ", "unknown key 'learning-rate' (--help lists all)"},
        {"\n\nlr = fast\n", "test.recipe:3: lr: ", "'fast' is not a number from 0 to 10"},
        {"lr 1\n", "test.recipe:1: ", "key = value"},
        {"lr = 1\nlr = 2\n", "test.recipe:2: ", "a second time"},
        {"count = 99\n", "test.recipe:1: count: ", "from 1 to 64"}, /* checked though the command line wins */
        {"keep = 1\n", "test.recipe:1: keep: ", "true, false"},
        {"out = \n", "test.recipe:1: out: ", "empty"},
        {" = 3\n", "test.recipe:1: ", "unknown key ''"},
        {"help = true\n", "test.recipe:1: ", "unknown key 'help'"},
    };
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        assert_int_equal(PARSE("a", "--count=9"), RN_OK);
        assert_int_equal(parse_text(t[i].text), RN_E_USAGE);
        assert_memory_equal(rn_error_text(), t[i].where, strlen(t[i].where));
        says(t[i].what);
        assert_int_equal(v.count, 9);
    }
    assert_int_equal(rn_opt_parse_file(&spec, "none.recipe", &res), RN_E_NOENT);
    assert_int_equal(rn_write_file_atomic("binary", "lr\0=1", 5), RN_OK);
    assert_int_equal(rn_opt_parse_file(&spec, "binary", &res), RN_E_FORMAT);
    unlink("binary");
}

/* What a check after parsing says is told of the place that the value came out of. */
static void placed(int code, const char *text, const char *want)
{
    rn_fail(code, "%s", text);
    assert_int_equal(rn_opt_place_error(&spec, &res, code), code);
    assert_string_equal(rn_error_text(), want);
}

static void test_places(void **state)
{
    (void)state;
    assert_int_equal(PARSE("a", "--count=9"), RN_OK);
    placed(RN_E_USAGE, "--lr 0: nothing", "--lr 0: nothing"); /* no file at all */
    assert_int_equal(parse_text("# x\nlr = 0.5\ncount = 3\n\nfilter-with-a-long-name = box\n"), RN_OK);
    placed(RN_E_USAGE, "--lr 0: nothing", "test.recipe:2: lr 0: nothing");
    placed(RN_E_USAGE, "--count 9 is more than --lr 0.5", "test.recipe:2: --count 9 is more than lr 0.5");
    placed(RN_E_USAGE, "the rate (--lr) needs --filter-with-a-long-name or --seed",
           "test.recipe:2: the rate (lr) needs filter-with-a-long-name or --seed");
    placed(RN_E_USAGE, "--filter-with-a-long-name and --lr",
           "test.recipe:5: filter-with-a-long-name and lr"); /* the first one's */
    placed(RN_E_USAGE, "--count 9 needs --seed", "--count 9 needs --seed");
    placed(RN_E_USAGE, "x--lr ---lr --lrr --", "x--lr ---lr --lrr --");
    placed(RN_E_FORMAT, "--lr 1: bad, see --lr", "test.recipe:2: lr 1: bad, see --lr");
    placed(RN_E_FORMAT, "--seed 1: bad, see --lr", "--seed 1: bad, see --lr");
    placed(RN_E_MISMATCH, "diverged; try a smaller --lr", "diverged; try a smaller --lr");
    assert_int_equal(rn_opt_parse_text(&spec, "made", "any = 1\n", &res), RN_OK);
    placed(RN_E_USAGE, "--any 1: no", "made: any 1: no");
    assert_int_equal(rn_opt_parse_text(&spec, "made", "seed = 1\nlr = x\n", &res), RN_E_USAGE);
    says("made: lr: 'x' is not");
    assert_int_equal(rn_opt_place_error(&spec, &res, RN_OK), RN_OK);
}

static void test_number_parsers(void **state)
{
    (void)state;
    int64_t i;
    double x;
    assert_int_equal(rn_parse_i64("-12", -20, 20, &i), RN_OK);
    assert_int_equal(i, -12);
    assert_int_equal(rn_parse_i64("+12", -20, 20, &i), RN_E_USAGE);
    assert_int_equal(rn_parse_i64("-", -20, 20, &i), RN_E_USAGE);
    assert_int_equal(rn_parse_i64("0", 1, INT64_MAX, &i), RN_E_USAGE);
    says("at least 1");
    assert_int_equal(i, -12); /* untouched on failure */
    assert_int_equal(rn_parse_real(".5", 0, 1, &x), RN_OK);
    assert_true(x == 0.5);
    assert_int_equal(rn_parse_real("5.", 0, 10, &x), RN_OK);
    assert_int_equal(rn_parse_real("-2E+2", -INFINITY, INFINITY, &x), RN_OK);
    assert_true(x == -200);
    assert_int_equal(rn_parse_real("0e-999", 0, 1, &x), RN_OK); /* a true zero */
    assert_int_equal(rn_parse_real("1e400", -INFINITY, INFINITY, &x), RN_E_USAGE);
    assert_int_equal(rn_parse_real("1 ", 0, 1, &x), RN_E_USAGE);
    assert_int_equal(rn_parse_real("infinity", -INFINITY, INFINITY, &x), RN_E_USAGE);
    assert_int_equal(rn_jobs(5), 5);
    cpu_set_t one;
    CPU_ZERO(&one);
    cpu_set_t all;
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    assert_int_equal(rn_jobs(0), CPU_COUNT(&all));
    for (int c = 0; c < CPU_SETSIZE; c++)
        if (CPU_ISSET(c, &all) && CPU_COUNT(&one) == 0)
            CPU_SET(c, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_int_equal(rn_jobs(0), 1); /* the cores we may use, not the machine's */
    assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

static int leave(void **state)
{
    (void)state;
    rn_opt_free(&res);
    rn_opt_free(&res); /* twice is fine */
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_dashes),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_unknown_names_the_nearest),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_operand_counts),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_recipe),
        cmocka_unit_test(test_recipe_errors),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_number_parsers),
    };
    return cmocka_run_group_tests_name("opt", tests, NULL, leave);
}
