/* SPDX-License-Identifier: MIT */
#include "run/log/rn_events.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "run/log/rn_runlog.h"
#include "tensorboard.pb-c.h"

enum { MAX_SCALARS = 16 };

struct rn_events {
    rn_runlog *file; /* appends, cuts and syncs as the log does */
};

uint32_t rn_crc32c(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) { /* bit by bit: a few hundred bytes a window need no table */
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

uint32_t rn_crc32c_masked(const void *data, size_t n)
{
    uint32_t crc = rn_crc32c(data, n);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static int put_record(rn_events *e, const Rn__TbEvent *event)
{
    size_t len = rn__tb_event__get_packed_size(event);
    uint64_t len64 = len;
    uint8_t *rec = malloc(len + 16);
    if (!rec)
        return rn_fail(RN_E_NOMEM, "no memory for a TensorBoard event");
    memcpy(rec, &len64, 8);
    uint32_t crc = rn_crc32c_masked(rec, 8);
    memcpy(rec + 8, &crc, 4);
    rn__tb_event__pack(event, rec + 12);
    crc = rn_crc32c_masked(rec + 12, len);
    memcpy(rec + 12 + len, &crc, 4);
    int rc = rn_runlog_bytes(e->file, rec, len + 16);
    free(rec);
    return rc;
}

static Rn__TbEvent event_at(int64_t step)
{
    Rn__TbEvent event = RN__TB_EVENT__INIT;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    event.has_wall_time = event.has_step = 1;
    event.wall_time = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    event.step = step;
    return event;
}

int rn_events_open(const char *path, int64_t keep_bytes, rn_events **out)
{
    rn_events *e = calloc(1, sizeof *e);
    if (!e)
        return rn_fail(RN_E_NOMEM, "no memory for %s", path);
    int rc = rn_runlog_open(path, keep_bytes, &e->file);
    if (rc == RN_OK && keep_bytes == 0) {
        Rn__TbEvent event = event_at(0);
        event.what_case = RN__TB_EVENT__WHAT_FILE_VERSION;
        event.file_version = (char *)"brain.Event:2";
        rc = put_record(e, &event);
    }
    if (rc < 0) {
        rn_events_close(e);
        return rc;
    }
    *out = e;
    return RN_OK;
}

int rn_events_add(rn_events *e, int64_t step, const rn_scalar *v, int n)
{
    Rn__TbEvent event = event_at(step);
    Rn__TbSummary summary = RN__TB_SUMMARY__INIT;
    Rn__TbSummaryValue values[MAX_SCALARS], *list[MAX_SCALARS];
    if (n > MAX_SCALARS)
        return rn_fail(RN_E_RANGE, "%d scalars in one TensorBoard event", n);
    for (int i = 0; i < n; i++) {
        values[i] = (Rn__TbSummaryValue)RN__TB_SUMMARY_VALUE__INIT;
        values[i].tag = (char *)(uintptr_t)v[i].tag;
        values[i].has_simple_value = 1;
        values[i].simple_value = (float)v[i].value;
        list[i] = &values[i];
    }
    summary.n_value = (size_t)n;
    summary.value = list;
    event.what_case = RN__TB_EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    return put_record(e, &event);
}

int rn_events_sync(rn_events *e, int64_t *bytes)
{
    return rn_runlog_sync(e->file, bytes);
}

void rn_events_close(rn_events *e)
{
    if (!e)
        return;
    rn_runlog_close(e->file);
    free(e);
}
