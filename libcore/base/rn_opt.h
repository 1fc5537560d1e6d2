/* SPDX-License-Identifier: MIT */
/*
 * Table-driven long options (and recipe files, whose keys are the same long options).
 * A tool declares one table; parsing, defaults, the help text and the errors that list the
 * accepted values come out of it. Numbers are parsed strictly: the whole text must be a
 * number inside the row's range, otherwise the error says what would have been accepted.
 *
 *   --name VALUE, --name=VALUE, flags without a value; "--" ends the options; operands may
 *   stand between options. A VALUE that begins with "--" is only taken after "=". An unknown
 *   option is RN_E_USAGE, with the known name that it may be a slip of, if there is one.
 *   Help goes to stdout, misuse to stderr (exit 2).
 */
#ifndef RN_OPT_H
#define RN_OPT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum rn_opt_type {
    RN_OPT_FLAG, /* bool *: --name sets true, --name=true|false; in a recipe file `name = true|false` */
    RN_OPT_INT,  /* int64_t *, lo..hi */
    RN_OPT_UINT, /* uint64_t * (seeds), full range */
    RN_OPT_REAL, /* double *, lo..hi, finite; an initial NaN means "no default" in --help */
    RN_OPT_TEXT, /* const char **; the text is owned by the parser (rn_opt_free) */
    RN_OPT_ENUM, /* int *: index into words[]; an initial -1 means "no default" in --help */
    RN_OPT_LIST, /* const char **: comma list whose every element is one of words[] (NULL: any); given again
                   * on the command line it adds up */
    RN_OPT_GROUP /* a heading in the help text; name is the heading */
};

typedef struct rn_opt {
    enum rn_opt_type type;
    const char *name;         /* without the leading dashes */
    const char *arg;          /* what the value is called in the help text, e.g. "N" */
    void *dst;                /* see the type; the initial value is the default shown by --help */
    const char *help;         /* one or more sentences; wrapped by the printer */
    const char *const *words; /* ENUM, LIST: NULL-terminated accepted words */
    double lo, hi;            /* INT, REAL: inclusive range; both 0 means any */
} rn_opt;

/* What every tool accepts: --help --version --json --jobs N --quiet --verbose --progress ... */
typedef struct rn_common_opts {
    bool help, version, json, quiet, verbose;
    int64_t jobs; /* 0..1024; 0: one per core this process may run on (rn_jobs) */
    int progress; /* enum rn_progress_when */
} rn_common_opts;

typedef struct rn_opt_spec {
    const char *tool;     /* program name */
    const char *synopsis; /* operands, e.g. "RAW_DIR | ARCHIVE..."; lines split by '\n' */
    const char *summary;  /* one sentence */
    const char *epilog;   /* examples and exit codes, printed last; may be NULL */
    const rn_opt *opts;   /* the tool's own table */
    int nopts;
    int min_operands, max_operands; /* max -1: any number */
} rn_opt_spec;

/* Where in a file a value was read. */
typedef struct rn_opt_place {
    const char *file; /* NULL: the value is of no file */
    int line;         /* 0: of a text that a program made, whose lines nobody has seen */
} rn_opt_place;

typedef struct rn_opt_result {
    rn_common_opts common;
    int noperands;
    const char **operands; /* into argv */
    uint64_t seen[4];      /* bit i: row i of opts was given (command line or file) */
    rn_opt_place *places;  /* by row; NULL: nothing came out of a file */
    char **owned;          /* texts owned by the result */
    int nowned;
} rn_opt_result;

/*
 * Parses argv into the table's destinations and `res`. Handles --help and --version itself:
 * then returns 1 and main should return 0. 0 on success, RN_E_USAGE on misuse (message set).
 * At most 256 rows. On failure the result is freed: texts it stored in the table must not be used.
 * Sets three process-wide things: the log (rn_log_init) from --quiet / --verbose, the progress policy
 * from --progress (--quiet alone means never), and SIGXFSZ to ignored, so that a file-size limit
 * is an error of write() like a full disk. Call it once, first thing in main.
 */
int rn_opt_parse(const rn_opt_spec *spec, int argc, char **argv, rn_opt_result *res);

/*
 * Reads `key = value` lines from `path` with the same table; # starts a comment at the start of a
 * line or after a blank. Rows already in res->seen are checked but left alone: the command line wins.
 * A key may stand once in a file. Errors carry file:line and leave `res` for rn_opt_free.
 */
int rn_opt_parse_file(const rn_opt_spec *spec, const char *path, rn_opt_result *res);
/* The same from lines that a program made of file `name`, which alone is named in errors. */
int rn_opt_parse_text(const rn_opt_spec *spec, const char *name, const char *text, rn_opt_result *res);

/*
 * Says where it is to be put right: of this thread's message, which names options as on the command line, each that came
 * out of a file loses its dashes, and the first one's place goes before it all ("FILE:LINE: lr 0: ..."). For misuse
 * (RN_E_USAGE); of other failures only an option that the message begins with. Returns rc.
 */
int rn_opt_place_error(const rn_opt_spec *spec, const rn_opt_result *res, int rc);

/* True when row `name` was given on the command line or in a file. */
bool rn_opt_seen(const rn_opt_spec *spec, const rn_opt_result *res, const char *name);

void rn_opt_help(const rn_opt_spec *spec, FILE *out);
void rn_opt_free(rn_opt_result *res); /* accepts a zeroed result */

/* How every main ends: on success stdout is flushed (rn_flush_stdout), on failure this thread's message is printed; `res` is freed.
 * Returns the exit code. A positive rc is success (--help, --version). */
int rn_opt_end(rn_opt_result *res, int rc);

/* Strict parsers used by the table; also for operands and small grammars. The whole string must
 * match; no leading blanks, no trailing text; "nan" and "inf" are refused. */
int rn_parse_i64(const char *s, int64_t lo, int64_t hi, int64_t *out);
int rn_parse_u64(const char *s, uint64_t *out);
int rn_parse_real(const char *s, double lo, double hi, double *out);

/* Well-formed UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
bool rn_utf8_ok(const char *s);
/* A malloc'ed copy for JSON and the like, what is malformed as \xNN; NULL when memory is short. */
char *rn_utf8_escape(const char *s);

/* Number of jobs to use: n if n > 0, else the cores this process may run on. */
int rn_jobs(int64_t n);

/* Name, version, build options and library versions; what --version prints. Implemented in
 * rn_version.c from what the Makefile found. */
void rn_version_print(const char *tool, FILE *out);
#define RN_VERSION "0.1.0"

#endif
