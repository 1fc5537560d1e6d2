/* SPDX-License-Identifier: MIT */
#include "base/rn_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/rn_error.h"

/* ---- whole files ---- */

int rn_read_file(const char *path, size_t max, char **data, size_t *n)
{
    rn_buf b = {0};
    int rc = RN_OK;
    *data = NULL;
    *n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rn_fail_errno(errno, "cannot open %s", path);
    struct stat st;
    if (fstat(fd, &st) < 0) {
        rc = rn_fail_errno(errno, "cannot read %s", path);
        goto out;
    }
    /* The size is only a hint: /proc files say 0, and a file may grow while it is read. */
    size_t hint = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size : 0;
    if (max && hint > max) {
        rc = rn_fail(RN_E_RANGE, "%s has %zu bytes, more than the %zu this reader takes", path, hint, max);
        goto out;
    }
    RN_GO(rn_buf_reserve(&b, hint + 2));
    for (;;) {
        if (b.cap - b.n < 2)
            RN_GO(rn_buf_reserve(&b, b.cap * 2));
        ssize_t got = read(fd, b.data + b.n, b.cap - b.n - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            rc = rn_fail_errno(errno, "cannot read %s", path);
            goto out;
        }
        if (got == 0)
            break;
        b.n += (size_t)got;
        if (max && b.n > max) {
            rc = rn_fail(RN_E_RANGE, "%s has more than the %zu bytes this reader takes", path, max);
            goto out;
        }
    }
    b.data[b.n] = 0;
    *data = (char *)b.data;
    *n = b.n;
    b.data = NULL;
out:
    close(fd);
    rn_buf_free(&b);
    return rc;
}

int rn_read_text(const char *path, size_t max, char **text, size_t *n)
{
    RN_TRY(rn_read_file(path, max, text, n));
    if (!memchr(*text, 0, *n))
        return RN_OK;
    free(*text);
    *text = NULL;
    *n = 0;
    return rn_fail(RN_E_FORMAT, "%s: not a text file (it holds a NUL byte); write or fetch it again", path);
}

int rn_read_at(int fd, void *buf, size_t n, uint64_t at, const char *name, size_t *got)
{
    *got = 0;
    while (*got < n) {
        ssize_t k = pread(fd, (char *)buf + *got, n - *got, (off_t)(at + *got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return rn_fail_errno(errno, "%s: reading it at byte %llu", name, (unsigned long long)(at + *got));
        if (k == 0)
            break;
        *got += (size_t)k;
    }
    return RN_OK;
}

int rn_write_all(int fd, const void *data, size_t n, const char *name)
{
    const char *p = data;
    while (n > 0) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return rn_fail_errno(errno, "cannot write %s", name);
        p += put;
        n -= (size_t)put;
    }
    return RN_OK;
}

int rn_flush_stdout(void)
{
    if (fflush(stdout) != 0)
        return rn_fail_errno(errno, "cannot write the output to stdout");
    /* A write that failed before has dropped its errno, but never the mark. */
    return ferror(stdout) ? rn_fail(RN_E_IO, "cannot write the output to stdout: a part of it was lost") : RN_OK;
}

/* Makes a rename in the folder of `path` durable. */
static int sync_folder(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (!slash)
        strcpy(dir, ".");
    else if (len == 0)
        strcpy(dir, "/");
    else if (len < sizeof(dir))
        memcpy(dir, path, len), dir[len] = 0;
    else
        return rn_fail(RN_E_RANGE, "path too long: %s", path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return rn_fail_errno(errno, "cannot open folder %s", dir);
    int rc = RN_OK;
    /* Some network file systems cannot sync a folder; they answer EINVAL and have nothing to sync. */
    if (fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP)
        rc = rn_fail_errno(errno, "cannot sync folder %s", dir);
    close(fd);
    return rc;
}

static int write_in_place(const char *path, const void *data, size_t n)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return rn_fail_errno(errno, "cannot open %s", path);
    int rc = rn_write_all(fd, data, n, path);
    if (close(fd) < 0 && rc == RN_OK)
        rc = rn_fail_errno(errno, "cannot write %s", path);
    return rc;
}

static int write_aside(const char *path, const void *data, size_t n)
{
    char tmp[PATH_MAX];
    int len = snprintf(tmp, sizeof(tmp), "%s.tmp.%ld", path, (long)getpid());
    if (len < 0 || (size_t)len >= sizeof(tmp))
        return rn_fail(RN_E_RANGE, "path too long: %s", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return rn_fail_errno(errno, "cannot create %s", tmp);
    int rc = rn_write_all(fd, data, n, path);
    if (rc == RN_OK && fsync(fd) < 0)
        rc = rn_fail_errno(errno, "cannot write %s", path);
    if (close(fd) < 0 && rc == RN_OK)
        rc = rn_fail_errno(errno, "cannot write %s", path);
    if (rc == RN_OK && rename(tmp, path) < 0)
        rc = rn_fail_errno(errno, "cannot rename %s to %s", tmp, path);
    if (rc != RN_OK) {
        unlink(tmp);
        return rc;
    }
    return sync_folder(path);
}

int rn_write_file_atomic(const char *path, const void *data, size_t n)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        if (errno == ENOENT)
            return write_aside(path, data, n);
        return rn_fail_errno(errno, "cannot write %s", path);
    }
    if (S_ISDIR(st.st_mode))
        return rn_fail(RN_E_IO, "cannot write %s: it is a folder", path);
    /* Renaming onto /dev/null or a pipe would replace the device by a file. */
    if (!S_ISREG(st.st_mode))
        return write_in_place(path, data, n);
    /* Through a symbolic link the file it names is replaced, not the link. Only then is the full path asked for: below a
     * folder that this user may not search, a relative path works all the same. */
    if (lstat(path, &st) == 0 && !S_ISLNK(st.st_mode))
        return write_aside(path, data, n);
    char *real = realpath(path, NULL);
    if (!real)
        return rn_fail_errno(errno, "cannot write %s", path);
    int rc = write_aside(real, data, n);
    free(real);
    return rc;
}

static bool is_leftover(const char *file, const char *const *names)
{
    for (; *names; names++) {
        size_t n = strlen(*names);
        if (strncmp(file, *names, n) == 0 && strncmp(file + n, ".tmp.", 5) == 0 &&
            file[n + 5 + strspn(file + n + 5, "0123456789")] == 0)
            return true;
    }
    return false;
}

void rn_remove_leftovers(const char *dir, const char *const *names)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (is_leftover(e->d_name, names))
            (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

/* ---- folders and paths ---- */

int rn_mkdir_p(const char *path)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0)
        return rn_fail(RN_E_RANGE, "cannot make a folder without a name");
    if (len >= sizeof(part))
        return rn_fail(RN_E_RANGE, "path too long: %s", path);
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != 0)
            continue;
        char keep = part[i];
        part[i] = 0;
        int err = mkdir(part, 0777) < 0 ? errno : 0;
        /* On a read-only or foreign parent mkdir may say EROFS or EACCES for a folder that is there. */
        if (err && !rn_is_dir(part))
            return rn_fail_errno(err == EEXIST ? ENOTDIR : err, "cannot make folder %s", part);
        part[i] = keep;
    }
    return RN_OK;
}

int rn_path_join(char *out, size_t cap, const char *a, const char *b)
{
    size_t na = strlen(a);
    const char *sep = na > 0 && a[na - 1] != '/' ? "/" : "";
    int n = snprintf(out, cap, "%s%s%s", a, sep, b);
    if (n < 0 || (size_t)n >= cap)
        return rn_fail(RN_E_RANGE, "path too long: %s/%s", a, b);
    return RN_OK;
}

bool rn_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool rn_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int64_t rn_file_size(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return -1;
    return st.st_size;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int rn_list_folder(int dirfd, const char *dir, struct dirent ***names, int *n)
{
    *n = scandirat(dirfd, dir, names, visible, by_bytes);
    if (*n >= 0)
        return RN_OK;
    int err = errno;
    *names = NULL;
    *n = 0;
    return rn_fail_errno(err, "%s: listing it", dir);
}

void rn_free_names(struct dirent **names, int n)
{
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

double rn_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- growing buffer ---- */

int rn_buf_reserve(rn_buf *b, size_t cap)
{
    if (cap <= b->cap)
        return RN_OK;
    size_t want = b->cap < 64 ? 64 : b->cap;
    while (want < cap)
        want = want > SIZE_MAX / 2 ? cap : want * 2;
    uint8_t *p = realloc(b->data, want);
    if (!p)
        return rn_fail(RN_E_NOMEM, "out of memory: a buffer of %zu bytes", want);
    b->data = p;
    b->cap = want;
    return RN_OK;
}

int rn_buf_append(rn_buf *b, const void *data, size_t n)
{
    if (n == 0)
        return RN_OK;
    if (n > SIZE_MAX - b->n)
        return rn_fail(RN_E_NOMEM, "out of memory: a buffer of more than %zu bytes", SIZE_MAX);
    RN_TRY(rn_buf_reserve(b, b->n + n));
    memcpy(b->data + b->n, data, n);
    b->n += n;
    return RN_OK;
}

int rn_buf_printf(rn_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return rn_fail(RN_E_RANGE, "cannot format a text with '%s'", fmt);
    RN_TRY(rn_buf_reserve(b, b->n + (size_t)n + 1));
    va_start(ap, fmt);
    vsnprintf((char *)b->data + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
    return RN_OK;
}

void rn_buf_free(rn_buf *b)
{
    free(b->data);
    *b = (rn_buf){0};
}
