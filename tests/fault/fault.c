/* SPDX-License-Identifier: MIT */
/*
 * A bad disk for a real program: preloaded (LD_PRELOAD), it makes system calls fall short or fail, as the environment says.
 *   RN_FAULT_SHORT=SEED     every second read or write moves only a part of what was asked for
 *   RN_FAULT_EINTR=SEED     one in eight reads and writes is interrupted before it has done anything
 *   RN_FAULT_FAIL=OP K E    OP (read, write, sync, rename, remove, truncate; change: any but read) fails with errno E (EIO, ENOSPC) from the
 *                           K-th such call on; E KILL: the process is killed with SIGKILL instead of it
 *   RN_FAULT_FAIL=OP @AT E  only where it would touch byte AT of a file; what lies before is still read or written
 *   RN_FAULT_PATH=TEXT      all this only for files in whose path TEXT stands; !TEXT: in whose path it does not
 * Calls are counted and drawn for the whole process, so that with threads the order may differ from run to run.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum op { OP_READ, OP_WRITE, OP_SYNC, OP_RENAME, OP_REMOVE, OP_TRUNCATE, OP_CHANGE, OP_NONE };

/* Read from the environment once, before main: read-only afterwards, but for the counters. */
static struct {
    bool shorten, interrupt, at_byte;
    uint64_t seed;
    enum op fail;
    uint64_t from; /* the K-th call, or the byte */
    int err;       /* 0: SIGKILL */
    const char *path;
    atomic_ullong calls, draws;
} fault = {.fail = OP_NONE};

__attribute__((constructor)) static void configure(void)
{
    static const char *const ops[] = {"read", "write", "sync", "rename", "remove", "truncate", "change"};
    const char *shorten = getenv("RN_FAULT_SHORT"), *eintr = getenv("RN_FAULT_EINTR"), *fail = getenv("RN_FAULT_FAIL");
    char op[16], place[32], err[16];
    fault.path = getenv("RN_FAULT_PATH");
    fault.shorten = shorten != NULL;
    fault.interrupt = eintr != NULL;
    fault.seed = strtoull(shorten ? shorten : eintr ? eintr : "0", NULL, 10);
    if (!fail)
        return;
    if (sscanf(fail, "%15s %31s %15s", op, place, err) != 3) {
        fprintf(stderr, "fault: RN_FAULT_FAIL='%s' is not \"OP K E\"\n", fail);
        _exit(99);
    }
    for (int i = 0; i < OP_NONE; i++)
        if (strcmp(op, ops[i]) == 0)
            fault.fail = (enum op)i;
    fault.at_byte = place[0] == '@';
    fault.from = strtoull(place + fault.at_byte, NULL, 10);
    fault.err = strcmp(err, "KILL") == 0 ? 0 : strcmp(err, "ENOSPC") == 0 ? ENOSPC : EIO;
}

/* The function that this one stands before. */
static void *next(const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);
    if (!p)
        _exit(99);
    return p;
}

#define NEXT(name) ((__typeof__(&(name)))(uintptr_t)next(#name))

static uint64_t draw(void)
{
    uint64_t x = fault.seed * UINT64_C(0x9e3779b97f4a7c15) + atomic_fetch_add(&fault.draws, 1) + 1;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9); /* splitmix64 */
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static bool wanted(const char *path)
{
    bool other = fault.path && fault.path[0] == '!';
    return !fault.path || (strstr(path, fault.path + other) != NULL) != other;
}

/* Regular files and folders, of a path that is wanted: terminals and pipes are left alone. */
static bool concerns(int fd)
{
    struct stat st;
    char link[64], path[PATH_MAX];
    int keep = errno;
    bool yes = fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    if (yes && fault.path) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        path[n > 0 ? n : 0] = 0;
        yes = wanted(path);
    }
    errno = keep;
    return yes;
}

static bool interrupted(void)
{
    if (!fault.interrupt || draw() % 8)
        return false;
    errno = EINTR;
    return true;
}

/* True when this call fails, with errno set. */
static bool fails(enum op op)
{
    const bool meant = op == fault.fail || (fault.fail == OP_CHANGE && op != OP_READ);
    if (!meant || fault.at_byte || atomic_fetch_add(&fault.calls, 1) + 1 < fault.from)
        return false;
    if (!fault.err)
        raise(SIGKILL);
    errno = fault.err;
    return true;
}

/* How much of n bytes at `at` (-1: where the file stands) may be moved: -1 with errno, or at least 1 of them. */
static ssize_t allowed(enum op op, int fd, size_t n, int64_t at)
{
    if (!concerns(fd))
        return (ssize_t)n;
    if (interrupted() || fails(op))
        return -1;
    if (op == fault.fail && fault.at_byte) {
        uint64_t begin = at >= 0 ? (uint64_t)at : (uint64_t)lseek(fd, 0, SEEK_CUR);
        if (fault.from >= begin && fault.from - begin < n) {
            if (fault.from == begin) {
                errno = fault.err;
                return -1;
            }
            n = (size_t)(fault.from - begin);
        }
    }
    if (fault.shorten && n > 1 && draw() % 2)
        n = 1 + (size_t)(draw() % (n - 1));
    return (ssize_t)n;
}

/* libc's headers name the parameters in ways that are reserved for it. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

/* ---- reads and writes -------------------------------------------------------------------------------------------- */

ssize_t read(int fd, void *buf, size_t n)
{
    ssize_t k = allowed(OP_READ, fd, n, -1);
    return k < 0 ? -1 : NEXT(read)(fd, buf, (size_t)k);
}

ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
    ssize_t k = allowed(OP_READ, fd, n, at);
    return k < 0 ? -1 : NEXT(pread)(fd, buf, (size_t)k, at);
}

ssize_t pread64(int fd, void *buf, size_t n, off64_t at)
{
    return pread(fd, buf, n, at);
}

ssize_t write(int fd, const void *buf, size_t n)
{
    ssize_t k = allowed(OP_WRITE, fd, n, -1);
    return k < 0 ? -1 : NEXT(write)(fd, buf, (size_t)k);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    ssize_t k = allowed(OP_WRITE, fd, n, at);
    return k < 0 ? -1 : NEXT(pwrite)(fd, buf, (size_t)k, at);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t at)
{
    return pwrite(fd, buf, n, at);
}

/* A vector that falls short is one plain write of a part of its first non-empty piece. */
static ssize_t write_vector(int fd, const struct iovec *v, int n, int64_t at, bool *whole)
{
    size_t all = 0;
    for (int i = 0; i < n; i++)
        all += v[i].iov_len;
    ssize_t k = allowed(OP_WRITE, fd, all, at);
    *whole = k == (ssize_t)all;
    if (k < 0 || *whole)
        return k;
    int i = 0;
    while (i < n - 1 && v[i].iov_len == 0)
        i++;
    size_t part = v[i].iov_len < (size_t)k ? v[i].iov_len : (size_t)k;
    return at < 0 ? NEXT(write)(fd, v[i].iov_base, part) : NEXT(pwrite)(fd, v[i].iov_base, part, (off_t)at);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    bool whole;
    ssize_t k = write_vector(fd, v, n, -1, &whole);
    return whole ? NEXT(writev)(fd, v, n) : k;
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    bool whole;
    ssize_t k = write_vector(fd, v, n, at, &whole);
    return whole ? NEXT(pwritev)(fd, v, n, at) : k;
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t at)
{
    return pwritev(fd, v, n, at);
}

/* ---- what makes it last ------------------------------------------------------------------------------------------ */

static bool sync_fails(int fd)
{
    return concerns(fd) && fails(OP_SYNC);
}

int fsync(int fd)
{
    return sync_fails(fd) ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
    return sync_fails(fd) ? -1 : NEXT(fdatasync)(fd);
}

int syncfs(int fd)
{
    return sync_fails(fd) ? -1 : NEXT(syncfs)(fd);
}

static bool rename_fails(const char *to)
{
    return wanted(to) && fails(OP_RENAME);
}

int rename(const char *from, const char *to)
{
    return rename_fails(to) ? -1 : NEXT(rename)(from, to);
}

int renameat(int fromfd, const char *from, int tofd, const char *to)
{
    return rename_fails(to) ? -1 : NEXT(renameat)(fromfd, from, tofd, to);
}

int renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags)
{
    return rename_fails(to) ? -1 : NEXT(renameat2)(fromfd, from, tofd, to, flags);
}

int ftruncate(int fd, off_t n)
{
    return concerns(fd) && fails(OP_TRUNCATE) ? -1 : NEXT(ftruncate)(fd, n);
}

int ftruncate64(int fd, off64_t n)
{
    return ftruncate(fd, n);
}

int unlink(const char *path)
{
    return wanted(path) && fails(OP_REMOVE) ? -1 : NEXT(unlink)(path);
}

int unlinkat(int dirfd, const char *path, int flags)
{
    const bool meant = dirfd == AT_FDCWD ? wanted(path) : concerns(dirfd);
    return meant && fails(OP_REMOVE) ? -1 : NEXT(unlinkat)(dirfd, path, flags);
}

int rmdir(const char *path)
{
    return wanted(path) && fails(OP_REMOVE) ? -1 : NEXT(rmdir)(path);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
