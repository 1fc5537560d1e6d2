/* SPDX-License-Identifier: MIT */
#include "run/save/rn_checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "run/log/rn_runlog.h"

static const char weights_name[] = "weights.safetensors", state_name[] = "state.safetensors",
                  average_name[] = "ema.safetensors", digests_name[] = "digests.json", tmp_prefix[] = ".tmp-";
static const char *const files[] = {weights_name, state_name, average_name};

void rn_ckpt_name(const rn_run_state *s, char out[RN_CKPT_NAME_MAX])
{
    snprintf(out, RN_CKPT_NAME_MAX, "e%05lld-s%010lld", (long long)(s->epoch - s->eval_pending), (long long)s->step);
}

/* ---- the state as JSON ---- */

typedef struct field {
    const char *name;
    size_t at;
    bool real;
} field;
/* NOLINTBEGIN(bugprone-macro-parentheses): these are names of members, not expressions */
/* clang-format off */
#define INT_FIELD(f) {#f, offsetof(rn_run_state, f), false}
#define REAL_FIELD(f) {#f, offsetof(rn_run_state, f), true}
/* clang-format on */
#define SUMS_FIELDS(f)                                                                                                 \
    INT_FIELD(f.n), INT_FIELD(f.top1), INT_FIELD(f.top5), REAL_FIELD(f.loss), REAL_FIELD(f.seconds),                   \
        REAL_FIELD(f.waited)
#define EVAL_FIELDS(f) INT_FIELD(f.n), REAL_FIELD(f.top1), REAL_FIELD(f.top5), REAL_FIELD(f.se_top1), REAL_FIELD(f.loss)
#define PLATEAU_FIELDS(f)                                                                                              \
    REAL_FIELD(f.first), REAL_FIELD(f.lr), REAL_FIELD(f.best), INT_FIELD(f.bad), INT_FIELD(f.cooldown)
#define LOSS_SCALE_FIELDS(f) REAL_FIELD(f.scale), INT_FIELD(f.good), INT_FIELD(f.skipped)
/* NOLINTEND(bugprone-macro-parentheses) */
static const field fields[] = {
    INT_FIELD(step),        INT_FIELD(epoch),     INT_FIELD(batch),        INT_FIELD(eval_pending),
    INT_FIELD(best_epoch),  INT_FIELD(best_step), INT_FIELD(log_bytes),    INT_FIELD(events_bytes),
    INT_FIELD(threads),     INT_FIELD(batches),   SUMS_FIELDS(window),     SUMS_FIELDS(epoch_sums),
    EVAL_FIELDS(last),      EVAL_FIELDS(best),    REAL_FIELD(train_s),     REAL_FIELD(eval_s),
    REAL_FIELD(first_loss), INT_FIELD(diverging), PLATEAU_FIELDS(plateau), LOSS_SCALE_FIELDS(loss_scale)};
enum { NFIELDS = sizeof fields / sizeof *fields };

/* The loss of an evaluation may overflow while that of training does not: null, which reads back as NaN. */
static char *state_text(const rn_run_state *s)
{
    json_t *o = json_object();
    for (int i = 0; i < NFIELDS; i++) {
        const char *p = (const char *)s + fields[i].at;
        json_object_set_new(o, fields[i].name,
                            fields[i].real ? rn_runlog_real(*(const double *)(const void *)p)
                                           : json_integer(*(const int64_t *)(const void *)p));
    }
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER); /* 17 digits: doubles read back to the bit */
    json_decref(o);
    return text;
}

static int state_parse(const char *path, const char *text, rn_run_state *s)
{
    json_t *o = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    int rc = RN_OK;
    *s = (rn_run_state){0};
    for (int i = 0; i < NFIELDS && rc == RN_OK; i++) {
        char *p = (char *)s + fields[i].at;
        json_t *v = json_object_get(o, fields[i].name);
        if (fields[i].real && json_is_number(v))
            *(double *)(void *)p = json_number_value(v);
        else if (fields[i].real && json_is_null(v))
            *(double *)(void *)p = NAN;
        else if (!fields[i].real && json_is_integer(v))
            *(int64_t *)(void *)p = json_integer_value(v);
        else
            rc = rn_fail(RN_E_FORMAT, "%s/%s: no \"%s\": not a checkpoint of this program", path, state_name,
                         fields[i].name);
    }
    json_decref(o);
    return rc;
}

/* ---- folders ---- */

static int sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return rn_fail_errno(errno, "cannot open folder %s", path);
    int rc = fsync(fd) == 0 ? RN_OK : rn_fail_errno(errno, "cannot sync folder %s", path);
    close(fd);
    return rc;
}

/* A folder of plain files, or what stands in its place; what a link names stays. */
static int remove_dir(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return unlink(path) == 0 ? RN_OK : rn_fail_errno(errno, "cannot remove %s", path);
    DIR *d = opendir(path);
    if (!d)
        return rn_fail_errno(errno, "cannot open folder %s", path);
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    return rmdir(path) == 0 ? RN_OK : rn_fail_errno(errno, "cannot remove folder %s", path);
}

static int ckpt_dir(const char *run_dir, char *out, size_t cap)
{
    return rn_path_join(out, cap, run_dir, "checkpoints");
}

static bool is_ckpt_name(const char *name)
{
    unsigned e;
    long long s;
    int end = 0;
    return sscanf(name, "e%5u-s%10lld%n", &e, &s, &end) == 2 && end == 18 && name[end] == 0;
}

static int only_ckpts(const struct dirent *e)
{
    return is_ckpt_name(e->d_name);
}

static int only_leftovers(const struct dirent *e)
{
    return strncmp(e->d_name, tmp_prefix, strlen(tmp_prefix)) == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not the locale's order */
}

/* ---- writing ---- */

static int add_digest(json_t *digests, const char *name, const rn_buf *b)
{
    char hex[RN_DIGEST_HEX_MAX];
    RN_TRY(rn_digest_buffer(RN_SHA256, b->data, b->n, hex));
    json_object_set_new(digests, name, json_pack("{s:I, s:s}", "bytes", (json_int_t)b->n, "sha256", hex));
    return RN_OK;
}

static int write_one(const char *dir, const char *name, rn_buf *b, json_t *digests)
{
    char path[PATH_MAX];
    RN_TRY(rn_path_join(path, sizeof path, dir, name));
    RN_TRY(rn_write_file_atomic(path, b->data, b->n));
    return add_digest(digests, name, b);
}

static int write_weights(const char *dir, const char *name, rn_net *net, rn_backend *be, int64_t batches,
                         const rn_weightfile_meta *meta, int nmeta, json_t *digests)
{
    rn_buf b = {0};
    int rc = rn_weightfile_build(net, be, RN_WEIGHTFILE_VALUES, batches, meta, nmeta, &b);
    if (rc == RN_OK)
        rc = write_one(dir, name, &b, digests);
    rn_buf_free(&b);
    return rc;
}

static int write_files(const char *dir, rn_net *net, rn_net *average, rn_backend *be, const rn_run_state *s,
                       const rn_run_texts *texts, const rn_weightfile_meta *meta, int nmeta)
{
    int rc;
    rn_buf b = {0};
    char path[PATH_MAX], *text = NULL, *state = state_text(s);
    json_t *digests = json_object();
    if (!state || !digests)
        RN_GO(rn_fail(RN_E_NOMEM, "no memory for a checkpoint"));
    const rn_weightfile_meta known[] = {{"rnkit.state", state},
                                        {"rnkit.recipe", texts->recipe},
                                        {"rnkit.train-seal", texts->train_seal},
                                        {"rnkit.val-seal", texts->val_seal},
                                        {"rnkit.teacher", texts->teacher},
                                        {"rnkit.compute", texts->compute}};
    rn_weightfile_meta state_meta[sizeof known / sizeof *known];
    int nstate = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].text && known[i].text[0])
            state_meta[nstate++] = known[i];
    RN_GO(write_weights(dir, weights_name, net, be, s->batches, meta, nmeta, digests));
    if (average)
        RN_GO(write_weights(dir, average_name, average, be, s->batches, meta, nmeta, digests));
    RN_GO(rn_weightfile_build(net, be, RN_WEIGHTFILE_MOMENTUM, s->batches, state_meta, nstate, &b));
    RN_GO(write_one(dir, state_name, &b, digests));
    text = json_dumps(digests, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    if (!text)
        RN_GO(rn_fail(RN_E_NOMEM, "no memory for a checkpoint"));
    RN_GO(rn_path_join(path, sizeof path, dir, digests_name));
    RN_GO(rn_write_file_atomic(path, text, strlen(text)));
out:
    free(text);
    free(state);
    json_decref(digests);
    rn_buf_free(&b);
    return rc;
}

int rn_ckpt_write(const char *run_dir, rn_net *net, rn_net *average, rn_backend *be, const rn_run_state *s,
                  const rn_run_texts *texts, const rn_weightfile_meta *meta, int nmeta)
{
    char parent[PATH_MAX], tmp[PATH_MAX], to[PATH_MAX], name[RN_CKPT_NAME_MAX], tmp_name[RN_CKPT_NAME_MAX + 8];
    rn_ckpt_name(s, name);
    snprintf(tmp_name, sizeof tmp_name, "%s%s", tmp_prefix, name);
    RN_TRY(ckpt_dir(run_dir, parent, sizeof parent));
    RN_TRY(rn_path_join(tmp, sizeof tmp, parent, tmp_name));
    RN_TRY(rn_path_join(to, sizeof to, parent, name));
    if (rn_is_dir(tmp))
        RN_TRY(remove_dir(tmp));
    RN_TRY(rn_mkdir_p(tmp));
    int rc = write_files(tmp, net, average, be, s, texts, meta, nmeta);
    if (rc < 0) {
        char why[512]; /* removing must not change the message */
        snprintf(why, sizeof why, "%s", rn_error_text());
        remove_dir(tmp);
        return rn_fail(rc, "checkpoint %s was not written: %s", name, why);
    }
    struct stat st;
    if (lstat(to, &st) == 0) /* a damaged one of the same step, or the very same */
        RN_TRY(remove_dir(to));
    if (rename(tmp, to) != 0)
        return rn_fail_errno(errno, "cannot rename %s to %s", tmp, to);
    return sync_dir(parent);
}

/* Which checkpoints go. */
typedef struct prune {
    int keep;
    const char *best, *newest; /* NULL: no such rule */
} prune;

static bool goes(const prune *p, const char *name, int from_newest)
{
    if (p->newest)
        return strcmp(name, p->newest) > 0;
    return from_newest >= p->keep && !(p->best && strcmp(name, p->best) == 0);
}

static int remove_those(const char *parent, int (*pick)(const struct dirent *), const prune *p)
{
    char path[PATH_MAX];
    struct dirent **list;
    int n = scandir(parent, &list, pick, by_name), rc = RN_OK;
    if (n < 0)
        return errno == ENOENT ? RN_OK : rn_fail_errno(errno, "cannot read folder %s", parent);
    for (int i = 0; i < n; i++) {
        if (rc == RN_OK && goes(p, list[i]->d_name, n - 1 - i))
            if ((rc = rn_path_join(path, sizeof path, parent, list[i]->d_name)) == RN_OK)
                rc = remove_dir(path);
        free(list[i]);
    }
    free(list);
    return rc;
}

int rn_ckpt_prune(const char *run_dir, int keep, const char *best)
{
    char parent[PATH_MAX];
    const prune old = {.keep = keep, .best = best}, all = {0};
    RN_TRY(ckpt_dir(run_dir, parent, sizeof parent));
    RN_TRY(remove_those(parent, only_ckpts, &old));
    return remove_those(parent, only_leftovers, &all);
}

int rn_ckpt_drop_newer(const char *run_dir, const rn_run_state *s)
{
    char parent[PATH_MAX], name[RN_CKPT_NAME_MAX];
    rn_ckpt_name(s, name);
    const prune newer = {.newest = name};
    RN_TRY(ckpt_dir(run_dir, parent, sizeof parent));
    return remove_those(parent, only_ckpts, &newer);
}

/* ---- reading ---- */

static bool is_listed(const json_t *digests, const char *name)
{
    const json_t *of = json_object_get(digests, name);
    return json_is_integer(json_object_get(of, "bytes")) && json_is_string(json_object_get(of, "sha256"));
}

/* Are all files of this program's, and all files of the folder, in the list? */
static bool is_whole(const char *dir, json_t *digests)
{
    char path[PATH_MAX];
    size_t listed = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const bool is = is_listed(digests, files[i]);
        listed += is;
        if (!is &&
            (files[i] != average_name || (rn_path_join(path, sizeof path, dir, files[i]) == RN_OK && rn_is_file(path))))
            return false;
    }
    return json_object_size(digests) == listed;
}

static int read_digests(const char *dir, json_t **out)
{
    char path[PATH_MAX], *text;
    size_t n;
    RN_TRY(rn_path_join(path, sizeof path, dir, digests_name));
    RN_TRY(rn_read_file(path, 1 << 20, &text, &n));
    *out = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (*out && is_whole(dir, *out))
        return RN_OK;
    json_decref(*out);
    *out = NULL;
    return rn_fail(RN_E_FORMAT, "%s is damaged", path);
}

/* Every checkpoint has the others. */
static bool is_absent(const char *name, const json_t *digests)
{
    return name == average_name && !json_object_get(digests, name);
}

static int check(const char *path, const json_t *want, const char *data, size_t n)
{
    char hex[RN_DIGEST_HEX_MAX];
    const json_int_t bytes = json_integer_value(json_object_get(want, "bytes"));
    const char *sha256 = json_string_value(json_object_get(want, "sha256"));
    if (bytes != (json_int_t)n)
        return rn_fail(RN_E_MISMATCH, "%s is damaged: it has %zu bytes, not %lld", path, n, (long long)bytes);
    RN_TRY(rn_digest_buffer(RN_SHA256, data, n, hex));
    return strcmp(sha256, hex) == 0
               ? RN_OK
               : rn_fail(RN_E_MISMATCH, "%s is damaged: its SHA-256 is %.12s..., not %.12s...", path, hex, sha256);
}

/* Reads one file of a checkpoint whole and compares its digest. */
static int read_checked(const char *dir, const char *name, const json_t *digests, char **data, size_t *n)
{
    char path[PATH_MAX];
    RN_TRY(rn_path_join(path, sizeof path, dir, name));
    RN_TRY(rn_read_file(path, 0, data, n));
    int rc = check(path, json_object_get(digests, name), *data, *n);
    if (rc < 0)
        free(*data);
    return rc;
}

int rn_ckpt_verify(const char *path)
{
    json_t *digests;
    RN_TRY(read_digests(path, &digests));
    int rc = RN_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && rc == RN_OK; i++) {
        char *data;
        size_t n;
        if (is_absent(files[i], digests))
            continue;
        rc = read_checked(path, files[i], digests, &data, &n);
        if (rc == RN_OK)
            free(data);
    }
    json_decref(digests);
    return rc;
}

int rn_ckpt_latest(const char *run_dir, char *path, size_t cap)
{
    char parent[PATH_MAX];
    struct dirent **list;
    RN_TRY(ckpt_dir(run_dir, parent, sizeof parent));
    int n = scandir(parent, &list, only_ckpts, by_name), found = 0, damaged = 0, rc = RN_OK;
    if (n < 0) /* only where there is no folder nothing is there: what cannot be read must not be started over */
        return errno == ENOENT ? 0 : rn_fail_errno(errno, "cannot read folder %s", parent);
    for (int i = n - 1; i >= 0; i--) {
        if (!found && rc == RN_OK && (rc = rn_path_join(path, cap, parent, list[i]->d_name)) == RN_OK) {
            found = rn_ckpt_verify(path) == RN_OK;
            if (!found) {
                damaged++;
                rn_warn("checkpoint %s is passed over: %s", list[i]->d_name, rn_error_text());
            }
        }
        free(list[i]);
    }
    free(list);
    if (rc < 0)
        return rc;
    if (!found && damaged)
        return rn_fail(RN_E_MISMATCH, "%s: every checkpoint is damaged; --resume never starts over", parent);
    return found;
}

static int open_one(const char *path, const char *name, const json_t *digests, rn_st_file **out)
{
    char full[PATH_MAX], *data;
    size_t n;
    RN_TRY(rn_path_join(full, sizeof full, path, name));
    RN_TRY(read_checked(path, name, digests, &data, &n));
    return rn_st_open_memory(full, data, n, out);
}

int rn_ckpt_open(const char *path, rn_ckpt *c)
{
    int rc;
    json_t *digests = NULL;
    *c = (rn_ckpt){0};
    RN_GO(read_digests(path, &digests));
    RN_GO(open_one(path, weights_name, digests, &c->weights));
    RN_GO(open_one(path, state_name, digests, &c->momentum));
    if (!is_absent(average_name, digests))
        RN_GO(open_one(path, average_name, digests, &c->average));
    RN_GO(state_parse(path, rn_st_meta(c->momentum, "rnkit.state"), &c->state));
    c->texts.recipe = rn_st_meta(c->momentum, "rnkit.recipe");
    c->texts.train_seal = rn_st_meta(c->momentum, "rnkit.train-seal");
    c->texts.val_seal = rn_st_meta(c->momentum, "rnkit.val-seal");
    c->texts.teacher = rn_st_meta(c->momentum, "rnkit.teacher");
    c->texts.compute = rn_st_meta(c->momentum, "rnkit.compute");
    if (!c->texts.recipe || !c->texts.train_seal || !c->texts.val_seal)
        RN_GO(rn_fail(RN_E_FORMAT, "%s/%s: not a checkpoint of this program", path, state_name));
out:
    json_decref(digests);
    if (rc < 0)
        rn_ckpt_close(c);
    return rc;
}

void rn_ckpt_close(rn_ckpt *c)
{
    rn_st_close(c->weights);
    rn_st_close(c->momentum);
    rn_st_close(c->average);
    *c = (rn_ckpt){0};
}

int rn_ckpt_restore(const rn_ckpt *c, rn_net *net, rn_net *average, rn_backend *be)
{
    if (average && c->average)
        RN_TRY(rn_weightfile_load(average, be, RN_WEIGHTFILE_VALUES, c->average));
    RN_TRY(rn_weightfile_load(net, be, RN_WEIGHTFILE_VALUES, c->weights));
    return rn_weightfile_load(net, be, RN_WEIGHTFILE_MOMENTUM, c->momentum);
}

/* A hard link under another name: 1, or 0 where there are none. */
static int link_as(const char *from, const char *to)
{
    char tmp[PATH_MAX];
    if (snprintf(tmp, sizeof tmp, "%s.tmp.%ld", to, (long)getpid()) >=
        (int)sizeof tmp) /* as rn_remove_leftovers' are */
        return rn_fail(RN_E_RANGE, "%s: path too long", to);
    unlink(tmp);
    if (link(from, tmp) != 0)
        return 0;
    /* rename() does nothing when both already are the same file: then the link is left over. */
    if (rename(tmp, to) != 0)
        return rn_fail_errno(errno, "cannot rename %s to %s", tmp, to);
    unlink(tmp);
    return 1;
}

int rn_ckpt_publish(const char *path, bool averaged, const char *to)
{
    char from[PATH_MAX], *data;
    const char *name = averaged ? average_name : weights_name;
    json_t *digests;
    size_t n;
    RN_TRY(read_digests(path, &digests));
    int rc = read_checked(path, name, digests, &data, &n);
    json_decref(digests);
    RN_TRY(rc);
    if ((rc = rn_path_join(from, sizeof from, path, name)) == RN_OK && (rc = link_as(from, to)) == 0)
        rc = rn_write_file_atomic(to, data, n);
    free(data);
    return rc < 0 ? rc : RN_OK;
}
