/* SPDX-License-Identifier: MIT */
/*
 * Errors are values. Every fallible function of the library returns 0 (RN_OK) or one of
 * the negative RN_E_* codes below, and leaves one line of text, naming the object and
 * where possible the remedy, in a per-thread buffer. Only main() exits.
 *
 * Threads: the message belongs to the thread that failed. Code that joins workers carries
 * the message over (rn_error_text() in the worker, rn_fail() in the caller).
 */
#ifndef RN_ERROR_H
#define RN_ERROR_H

enum rn_status {
    RN_OK = 0,
    RN_E_NOMEM = -1,       /* allocation failed */
    RN_E_IO = -2,          /* read, write, open failed; errno's text is in the message */
    RN_E_NOSPACE = -3,     /* the disk (or a quota, or RLIMIT_FSIZE) is full */
    RN_E_NOENT = -4,       /* a file or name is not there */
    RN_E_USAGE = -5,       /* unknown option, bad value, wrong combination: exit 2 */
    RN_E_FORMAT = -6,      /* input is not what it should be: truncated tar, bad JPEG, ... */
    RN_E_MISMATCH = -7,    /* digest, count or size differs from what was expected */
    RN_E_RANGE = -8,       /* an argument is out of range, a shape does not fit */
    RN_E_UNSUPPORTED = -9, /* valid, but this build or algorithm does not do it */
    RN_E_NOTHING = -10,    /* nothing was done (empty selection): exit 3 */
    RN_E_ABSENT = -11,     /* a needed device or feature is absent: exit 77 */
    RN_E_INTERRUPTED = -12 /* SIGINT or SIGTERM was honoured */
};

/* Exit codes every tool keeps to. */
enum rn_exit { RN_EXIT_DONE = 0, RN_EXIT_FAILED = 1, RN_EXIT_USAGE = 2, RN_EXIT_NOTHING = 3, RN_EXIT_ABSENT = 77 };

/* Sets this thread's message and returns `code`, so that `return rn_fail(...)` reads well. */
#define rn_fail(...) rn_negative(rn_fail_text(__VA_ARGS__))

/* The same with strerror(err) appended; ENOSPC, EDQUOT and EFBIG become RN_E_NOSPACE, ENOENT
 * RN_E_NOENT, ENOMEM RN_E_NOMEM, anything else RN_E_IO. */
#define rn_fail_errno(...) rn_negative(rn_fail_errno_text(__VA_ARGS__))

/* Puts "text: " before this thread's message and returns `code`. */
#define rn_fail_prefix(...) rn_negative(rn_fail_prefix_text(__VA_ARGS__))

/* What the three above call. They are macros so that compilers and analyzers see what holds always:
 * a failure is negative, hence what a failed function did not set is not read. */
int rn_fail_text(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int rn_fail_errno_text(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int rn_fail_prefix_text(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline int rn_negative(int status)
{
    return status < 0 ? status : RN_E_IO;
}

/* This thread's last message, never NULL; valid until the thread's next failure. */
const char *rn_error_text(void);

/* The name of a code ("RN_E_IO"), never NULL. */
const char *rn_status_name(int code);

/* Maps a status to a process exit code (see enum rn_exit). */
int rn_exit_code(int status);

/* Evaluates `expr`; on failure returns its status from the calling function. */
#define RN_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        int rn_try_ = (expr);                                                                                          \
        if (rn_try_ < 0)                                                                                               \
            return rn_try_;                                                                                            \
    } while (0)

/* The same for functions with a cleanup label: needs `int rc` and `out:` in scope. */
#define RN_GO(expr)                                                                                                    \
    do {                                                                                                               \
        rc = (expr);                                                                                                   \
        if (rc < 0)                                                                                                    \
            goto out;                                                                                                  \
    } while (0)

#endif
