/* SPDX-License-Identifier: MIT */
/*
 * Marks that must not outrun the data they vouch for. An action added here runs, on one background thread, after
 * everything written to the file system before the call has reached the disk. One syncfs() serves all actions that came in
 * while the last one was running, so many small pieces cost no more than a few large ones. Unless someone waits, the thread
 * then rests as long as that took: at most half of the disk's time goes into waiting for it.
 */
#ifndef RN_COMMIT_H
#define RN_COMMIT_H

typedef struct rn_commit rn_commit;
typedef int (*rn_commit_fn)(void *arg); /* frees arg; returns 0 or RN_E_* */

/* dirfd: any folder on that file system; it must stay open, and so must `where`, its name for messages. */
int rn_commit_open(int dirfd, const char *where, rn_commit **out);
int rn_commit_add(rn_commit *c, rn_commit_fn fn, void *arg); /* any thread; on failure arg is the caller's */
int rn_commit_wait(rn_commit *c);   /* until all have run; the first failure, its message carried over */
void rn_commit_close(rn_commit *c); /* waits; accepts NULL */

#endif
