/* SPDX-License-Identifier: MIT */
/* How long work takes: by the device's own events, where it has them, as the host only hands work over; else by the host's clock. */
#include "base/rn_error.h"
#include "base/rn_io.h"
#include "bench.h"

int bench_clock_open(rn_backend *be, bench_clock *c)
{
    *c = (bench_clock){.be = be};
    if (!be->event_open)
        return 0;
    RN_TRY(be->event_open(be, &c->from));
    return be->event_open(be, &c->to);
}

void bench_clock_close(bench_clock *c)
{
    if (c->be && c->be->event_close) {
        c->be->event_close(c->be, c->from);
        c->be->event_close(c->be, c->to);
    }
    *c = (bench_clock){0};
}

int bench_clock_start(bench_clock *c)
{
    c->at = rn_now();
    return c->from ? c->be->event_record(c->be, c->from, NULL) : 0;
}

int bench_clock_stop(bench_clock *c, double *seconds)
{
    double ms;

    if (!c->from) {
        if (c->be->sync)
            RN_TRY(c->be->sync(c->be, NULL));
        *seconds = rn_now() - c->at;
        return 0;
    }
    RN_TRY(c->be->event_record(c->be, c->to, NULL));
    RN_TRY(c->be->event_ms(c->be, c->from, c->to, &ms));
    *seconds = ms * 1e-3;
    return 0;
}

void bench_range(rn_backend *be, const char *name)
{
    if (be->range)
        be->range(be, name);
}
