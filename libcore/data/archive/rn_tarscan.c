/* SPDX-License-Identifier: MIT */
#include "data/archive/rn_tarscan.h"

#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "data/archive/rn_tarread.h"

/* Small, because most of what follows a header is data that will be seeked over. */
enum { BUFFER = 4096 };

typedef struct window {
    const char *what;
    int fd;
    uint64_t at, end;     /* the next byte to hand out, and where the bytes stop */
    uint64_t held, nheld; /* what `buffer` holds of the file: nheld bytes from `held` */
    uint8_t buffer[BUFFER];
} window;

/* Fills the buffer from w->at on: 1, or 0 where the bytes end. */
static int refill(window *w)
{
    uint64_t left = w->end - w->at;
    size_t got;
    RN_TRY(rn_read_at(w->fd, w->buffer, left < BUFFER ? (size_t)left : BUFFER, w->at, w->what, &got));
    w->held = w->at;
    w->nheld = got;
    return got > 0;
}

static int64_t read_bytes(void *arg, void *buf, size_t n)
{
    window *w = arg;
    size_t done = 0;
    while (done < n) {
        if (w->at < w->held || w->at >= w->held + w->nheld) {
            int rc = refill(w);
            if (rc < 0)
                return rc;
            if (rc == 0)
                break;
        }
        uint64_t have = w->held + w->nheld - w->at;
        size_t k = have < n - done ? (size_t)have : n - done;
        memcpy((uint8_t *)buf + done, w->buffer + (w->at - w->held), k);
        w->at += k;
        done += k;
    }
    return (int64_t)done;
}

static int64_t skip_bytes(void *arg, uint64_t n)
{
    window *w = arg;
    uint64_t left = w->end - w->at;
    if (n > left)
        n = left;
    w->at += n;
    return (int64_t)n;
}

int rn_tar_scan(int fd, const char *what, uint64_t start, uint64_t n, rn_tar_member_fn fn, void *arg)
{
    window w = {.what = what, .fd = fd, .at = start, .end = start + n};
    rn_tarread *t;
    rn_tar_member m;
    int rc;
    RN_TRY(rn_tarread_open(what, (rn_tar_source){&w, read_bytes, skip_bytes, NULL}, 0, false, &t));
    while ((rc = rn_tarread_next(t, &m)) > 0) {
        /* A member whose data the window does not hold is told of now, not when the next one is asked for. */
        if (m.size > w.end - w.at)
            rc = rn_fail(RN_E_FORMAT, "%s: truncated inside '%s'; download it again", what, m.name);
        else
            rc = fn(arg, m.name, start + m.data, m.size);
        if (rc < 0)
            break;
    }
    rn_tarread_close(t);
    return rc < 0 ? rc : RN_OK;
}
