/* SPDX-License-Identifier: MIT */
/*
 * The plain driver: fuzz_NAME replays every file of $RNKIT_TESTS/fuzz/corpus/NAME and mutations of it, one TAP line a
 * file. The mutations follow from the file's name and their number alone, so a failure says how to see it again:
 *   fuzz_NAME               all
 *   fuzz_NAME SEED K        mutation K (0: none) of that file of the corpus; its bytes are left in ./fuzz-input
 *   fuzz_NAME -r FILE...    these files as they are
 * RNKIT_LONG=1 takes 20 times as many mutations.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"
#include "base/rn_rng.h"
#include "fuzz.h"

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

enum { MUTATIONS = 20000, SLOWEST_S = 60, GROWTH = 4096 };

typedef struct seed {
    char *name;
    uint8_t *data;
    size_t n;
} seed;

/* What a signal handler and libFuzzer's interface, which hands no context through, need. */
static struct {
    char words[512]; /* what to say when a target dies, ready beforehand */
    size_t nwords;
    const char *program;
    rn_rng rng;
    seed *corpus;
    int ncorpus;
} now;

/* ---- when a target dies ------------------------------------------------------------------------------------------ */

static void last_words(void)
{
    if (write(STDERR_FILENO, now.words, now.nwords) < 0)
        _exit(1);
}

static void on_signal(int number)
{
    static const char slow[] = "took too long\n";
    if (number == SIGALRM && write(STDERR_FILENO, slow, sizeof slow - 1) < 0)
        _exit(1);
    last_words();
    signal(number == SIGALRM ? SIGABRT : number, SIG_DFL);
    raise(number == SIGALRM ? SIGABRT : number);
}

static void watch(void)
{
    static const int all[] = {SIGABRT, SIGALRM};
    static const int unsanitized[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        signal(all[i], on_signal);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(last_words);
        return;
    }
    for (size_t i = 0; i < sizeof unsanitized / sizeof *unsanitized; i++)
        signal(unsanitized[i], on_signal);
}

/* ---- mutations --------------------------------------------------------------------------------------------------- */

static uint32_t below(size_t n)
{
    return n ? rn_rng_below(&now.rng, (uint32_t)n) : 0;
}

/* A stretch inside n bytes, most of them short. */
static size_t stretch(size_t n, size_t *at)
{
    *at = below(n);
    size_t most = below(4) ? 16 : below(2) ? 512 : n;
    size_t len = 1 + below(most ? most : 1);
    return len < n - *at ? len : n - *at;
}

static void change_bytes(uint8_t *data, size_t n)
{
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, '0', '7', '8', '9', '/', '.', '\n', ' ', '-', '"', 'x'};
    size_t at, len = stretch(n, &at);
    switch (below(5)) {
    case 0:
        data[at] ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        data[at] = telling[below(sizeof telling)];
        break;
    case 2:
        data[at] = (uint8_t)(data[at] + 1 + 254 * below(2));
        break;
    case 3:
        memset(data + at, telling[below(sizeof telling)], len);
        break;
    default:
        for (size_t i = 0; i < len; i++)
            data[at + i] = (uint8_t)rn_rng_u32(&now.rng);
    }
}

/* Puts `len` bytes in at `at`, or over what is there. */
static size_t put_in(uint8_t *data, size_t n, size_t cap, size_t at, const uint8_t *from, size_t len, int insert)
{
    if (len > cap - at)
        len = cap - at;
    if (insert) {
        if (n + len > cap)
            len = cap - n;
        memmove(data + at + len, data + at, n - at);
        n += len;
    }
    memmove(data + at, from, len);
    return at + len > n ? at + len : n;
}

static size_t splice_in(uint8_t *data, size_t n, size_t cap)
{
    const seed *s = &now.corpus[below((size_t)now.ncorpus)];
    size_t from, len = stretch(s->n, &from), at = below(n + 1);
    if (below(2)) { /* formats of 512-byte blocks keep their form */
        from = from / 512 * 512;
        at = at / 512 * 512;
        len = (len + 511) / 512 * 512;
        len = len < s->n - from ? len : s->n - from;
    }
    return s->n ? put_in(data, n, cap, at, s->data + from, len, (int)below(2)) : n;
}

static size_t remove_some(uint8_t *data, size_t n)
{
    size_t at, len = stretch(n, &at);
    if (below(3) == 0) { /* cut the end */
        return at;
    }
    memmove(data + at, data + at + len, n - at - len);
    return n - len;
}

/* Doubles a stretch where it stands. */
static size_t repeat(uint8_t *data, size_t n, size_t cap)
{
    size_t at, len = stretch(n, &at);
    if (n + len > cap)
        return n;
    memmove(data + at + len, data + at, n - at);
    return n + len;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t cap)
{
    for (uint32_t times = 1 + below(4); times > 0; times--) {
        uint32_t kind = n ? below(8) : 5;
        if (kind < 4)
            change_bytes(data, n);
        else if (kind < 6)
            n = splice_in(data, n, cap);
        else if (kind < 7)
            n = remove_some(data, n);
        else
            n = repeat(data, n, cap);
    }
    return n;
}

/* ---- the corpus -------------------------------------------------------------------------------------------------- */

static int read_corpus(const char *dir)
{
    struct dirent **names;
    int n;
    RN_TRY(rn_list_folder(AT_FDCWD, dir, &names, &n));
    now.corpus = calloc((size_t)n + 1, sizeof *now.corpus);
    int rc = now.corpus ? RN_OK : rn_fail(RN_E_NOMEM, "out of memory");
    for (int i = 0; i < n && rc == RN_OK; i++) {
        char path[4096];
        char *data = NULL;
        seed *s = &now.corpus[now.ncorpus];
        rc = rn_path_join(path, sizeof path, dir, names[i]->d_name);
        if (rc == RN_OK)
            rc = rn_read_file(path, 16 << 20, &data, &s->n);
        s->data = (uint8_t *)data;
        s->name = strdup(names[i]->d_name);
        now.ncorpus += rc == RN_OK && s->name;
    }
    rn_free_names(names, n);
    if (rc == RN_OK && now.ncorpus == 0)
        rc = rn_fail(RN_E_NOTHING, "%s: holds no file", dir);
    return rc;
}

static void free_corpus(void)
{
    for (int i = 0; i < now.ncorpus; i++) {
        free(now.corpus[i].name);
        free(now.corpus[i].data);
    }
    free(now.corpus);
}

static uint32_t name_hash(const char *s)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 16777619u;
    return h;
}

/* Runs mutation k of seed s on a buffer of exactly its size, so that a sanitizer sees every byte read beyond. */
static int run_one(const seed *s, int k, int keep)
{
    size_t cap = s->n + GROWTH, n = s->n;
    uint8_t *room = malloc(cap);
    if (!room)
        return rn_fail(RN_E_NOMEM, "out of memory");
    if (s->n)
        memcpy(room, s->data, s->n);
    int words = snprintf(now.words, sizeof now.words, "died; see it again by: %s %s %d\n", now.program, s->name, k);
    now.nwords = words > 0 && words < (int)sizeof now.words ? (size_t)words : 0;
    rn_rng_seed(&now.rng, 1, RN_STREAM_TEST, name_hash(s->name), (uint32_t)k);
    if (k > 0)
        n = LLVMFuzzerCustomMutator ? LLVMFuzzerCustomMutator(room, n, cap, rn_rng_u32(&now.rng))
                                    : LLVMFuzzerMutate(room, n, cap);
    uint8_t *exact = malloc(n ? n : 1);
    int rc = exact ? RN_OK : rn_fail(RN_E_NOMEM, "out of memory");
    if (rc == RN_OK && n)
        memcpy(exact, room, n);
    if (rc == RN_OK && keep)
        rc = rn_write_file_atomic("fuzz-input", exact, n);
    if (rc == RN_OK) {
        alarm(SLOWEST_S);
        LLVMFuzzerTestOneInput(exact, n);
        alarm(0);
    }
    free(exact);
    free(room);
    return rc;
}

static int run_all(void)
{
    const char *longer = getenv("RNKIT_LONG");
    int each = MUTATIONS * (longer && strcmp(longer, "1") == 0 ? 20 : 1) / now.ncorpus + 1;
    for (int i = 0; i < now.ncorpus; i++) {
        for (int k = 0; k <= each; k++)
            RN_TRY(run_one(&now.corpus[i], k, 0));
        printf("ok %d - %s and %d mutations of it\n", i + 1, now.corpus[i].name, each);
        fflush(stdout);
    }
    printf("1..%d\n", now.ncorpus);
    return RN_OK;
}

static int run_named(const char *name, const char *number)
{
    int64_t k;
    RN_TRY(rn_parse_i64(number, 0, INT32_MAX, &k));
    for (int i = 0; i < now.ncorpus; i++)
        if (strcmp(now.corpus[i].name, name) == 0)
            return run_one(&now.corpus[i], (int)k, 1);
    return rn_fail(RN_E_NOENT, "%s: no such file in the corpus", name);
}

static int replay(char **files, int n)
{
    for (int i = 0; i < n; i++) {
        char *data;
        seed s = {.name = files[i]};
        RN_TRY(rn_read_file(files[i], 0, &data, &s.n));
        s.data = (uint8_t *)data;
        int rc = run_one(&s, 0, 0);
        free(data);
        RN_TRY(rc);
        printf("%s: survived\n", files[i]);
    }
    return RN_OK;
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/'), *program = slash ? slash + 1 : argv[0];
    const char *tests = getenv("RNKIT_TESTS"), *bar = strchr(program, '_');
    char dir[4096];
    int rc;
    now.program = program;
    snprintf(dir, sizeof dir, "%s/fuzz/corpus/%s", tests ? tests : "tests", bar ? bar + 1 : program);
    watch();
    RN_GO(read_corpus(dir));
    if (argc > 2 && strcmp(argv[1], "-r") == 0)
        rc = replay(argv + 2, argc - 2);
    else
        rc = argc == 3 ? run_named(argv[1], argv[2]) : run_all();
out:
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", program, rn_error_text());
    free_corpus();
    return rn_exit_code(rc);
}
