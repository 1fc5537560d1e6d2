/* SPDX-License-Identifier: MIT */
/* Files: whole reads, atomic writes, folders, paths, time. */
#ifndef RN_IO_H
#define RN_IO_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads a whole file; *data is malloc'ed with one extra NUL byte; the caller frees. Refuses files
 * over `max` bytes (0: no limit) with RN_E_RANGE. */
int rn_read_file(const char *path, size_t max, char **data, size_t *n);

/* Writes `path` so that it is there whole or not at all: `path`.tmp.<pid> beside it, fsync, rename,
 * fsync of the folder. On failure the temporary is removed and an older `path` is untouched. */
int rn_write_file_atomic(const char *path, const void *data, size_t n);

/* The same for texts: a file that holds a NUL byte is RN_E_FORMAT, since all after it would go unread. */
int rn_read_text(const char *path, size_t max, char **text, size_t *n);

/* Removes what writes of these names (NULL-terminated) left in `dir` when they were killed. For whoever holds the folder's
 * lock: a write under way loses its temporary. What cannot be removed stays. */
void rn_remove_leftovers(const char *dir, const char *const *names);

/* Reads n bytes at `at`, over short reads and EINTR; *got is less only where the file ends. `name` is for the message. */
int rn_read_at(int fd, void *buf, size_t n, uint64_t at, const char *name, size_t *got);

/* Writes all n bytes, over short writes and EINTR; `name` is for the message. */
int rn_write_all(int fd, const void *data, size_t n, const char *name);

/* Flushes stdout. RN_E_* when anything printed there since the start was lost, as on a full disk: a tool calls it before
 * it exits with 0. */
int rn_flush_stdout(void);

int rn_mkdir_p(const char *path);                                      /* mode 0777 less umask; fine if there */
int rn_path_join(char *out, size_t cap, const char *a, const char *b); /* RN_E_RANGE if too long */
bool rn_is_dir(const char *path);
bool rn_is_file(const char *path);
int64_t rn_file_size(const char *path); /* -1 if it cannot be told */

/* The entries of `dir` (below dirfd; AT_FDCWD: as it stands) but those that begin with a dot, in the order of their bytes. */
int rn_list_folder(int dirfd, const char *dir, struct dirent ***names, int *n);
void rn_free_names(struct dirent **names, int n); /* accepts NULL, 0 */

double rn_now(void); /* seconds, CLOCK_MONOTONIC */

/* A growing byte buffer; zero-initialise; b.data is NULL or malloc'ed. */
typedef struct rn_buf {
    uint8_t *data;
    size_t n, cap;
} rn_buf;
int rn_buf_reserve(rn_buf *b, size_t cap);
int rn_buf_append(rn_buf *b, const void *data, size_t n);
int rn_buf_printf(rn_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* keeps a NUL after n */
void rn_buf_free(rn_buf *b);

#endif
