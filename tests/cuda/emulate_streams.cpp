/* SPDX-License-Identifier: MIT */
/* Streams and events of the emulated device. */
#include <stdio.h>
#include <time.h>

#include "emulate.h"
#include "emulate_check.h"

struct CUstream_st emu_of_thread;
std::vector<cudaStream_t> emu_streams(1, &emu_of_thread);

emu_counters emu_counts;

emu_counters::~emu_counters()
{
    const char *file = getenv("RNKIT_EMULATE_COUNT");
    FILE *f = file ? fopen(file, "a") : NULL;

    if (f) {
        fprintf(f, "%llu waits %llu graphs %llu ahead %llu allocations %llu calls %llu kernels\n",
                (unsigned long long)waits, (unsigned long long)graphs, (unsigned long long)ahead,
                (unsigned long long)allocations, (unsigned long long)calls, (unsigned long long)kernels);
        fclose(f);
    }
}

void emu_called(bool kernel)
{
    emu_counts.calls++;
    emu_counts.kernels += kernel;
}

cudaStream_t emu_stream_of(cudaStream_t s)
{
    if (!s) {
        fprintf(stderr, "emulated device: something is given to the old default stream\n");
        abort();
    }
    return s == cudaStreamPerThread ? &emu_of_thread : s;
}

void emu_not_captured(const char *what)
{
    for (cudaStream_t s : emu_streams)
        if (s->capture) {
            fprintf(stderr,
                    "emulated device: %s while a stream is capturing, after %zu nodes, of which the last is %s\n", what,
                    s->capture->nodes.size(), emu_driver.given);
            abort();
        }
}

void emu_run_until(cudaStream_t s, uint64_t given)
{
    while (s->done < given) {
        const std::function<void()> f = s->todo.front();
        s->todo.pop_front();
        s->done++;
        f();
    }
}

void emu_run_dry(cudaStream_t s)
{
    emu_run_until(s, s->given);
}

static bool is_own(cudaStream_t s)
{
    return s == &emu_of_thread || (emu_streams.size() > 1 && s == emu_streams[1]);
}

void emu_give(cudaStream_t s, const std::function<void()> &f)
{
    static const char *const when = getenv("RNKIT_EMULATE_STREAMS");

    s = emu_stream_of(s);
    if (s->capture) {
        s->capture->nodes.push_back(graph_node{f, s->branch, 0, 0});
        s->capture->given[s->branch]++;
        return;
    }
    const unsigned op = rn_check_give(s);
    const auto checked = [=]() {
        const unsigned before = rn_check_begin(op);
        f();
        rn_check_end(before);
    };
    if (when && (strcmp(when, "early") == 0 || (strcmp(when, "own-late") == 0 && !is_own(s))))
        return checked();
    s->todo.push_back(checked);
    s->given++;
}

int rn_emu_capturing(void)
{
    for (cudaStream_t s : emu_streams)
        if (s->capture)
            return 1;
    return 0;
}

void rn_emu_give(cudaStream_t s, void (*fn)(void *with), void *with)
{
    emu_called(false);
    emu_give(s, [=]() { fn(with); });
}

cudaError_t cudaDeviceSynchronize(void)
{
    emu_called(false);
    emu_not_captured("a wait for the device");
    emu_counts.waits++;
    for (cudaStream_t s : emu_streams)
        emu_run_dry(s);
    rn_check_wait(NULL);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    *s = new CUstream_st();
    emu_streams.push_back(*s);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    emu_run_dry(s);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    emu_called(false);
    emu_not_captured("a wait for a stream");
    emu_counts.waits++;
    emu_run_dry(emu_stream_of(s));
    rn_check_wait(emu_stream_of(s));
    return cudaSuccess;
}

/* Whoever asks has to ask several times: something is always under way. */
enum { ASKED_MOST = 6 };

cudaError_t cudaStreamQuery(cudaStream_t s)
{
    const cudaStream_t of = emu_stream_of(s);

    emu_not_captured("a question about a stream");
    if (of->done < of->given && ++of->asked % ASKED_MOST != 0)
        return emu_driver.error = cudaErrorNotReady;
    return cudaStreamSynchronize(s);
}

void emu_stop(const char *what)
{
    fprintf(stderr, "emulated device: %s\n", what);
    abort();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    const cudaStream_t of = e->stream;
    const uint64_t given = e->given;

    emu_called(false);
    if (e->capture) {
        emu_wait_in_capture(emu_stream_of(s), e);
        return cudaSuccess;
    }
    emu_not_captured("a wait for an event of none");
    emu_driver.waited = true;
    if (!of) /* never recorded: nothing to wait for */
        return cudaSuccess;
    rn_check_wait_event(emu_stream_of(s), e);
    emu_give(s, [=]() { emu_run_until(of, given); });
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *e)
{
    *e = new CUevent_st();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    if (e->stream && !e->capture)
        emu_run_until(e->stream, e->given);
    delete e;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    const cudaStream_t of = emu_stream_of(s);

    emu_called(false);
    e->stream = of;
    e->capture = 0;
    if (of->capture) { /* it marks a place, and nothing else */
        e->capture = of->capture->number;
        e->branch = of->branch;
        e->given = of->capture->given[of->branch];
        return cudaSuccess;
    }
    emu_not_captured("an event of another stream");
    emu_give(of, [=]() { clock_gettime(CLOCK_MONOTONIC, &e->at); });
    e->given = of->given;
    rn_check_record(e, of);
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    emu_called(false);
    emu_not_captured("a wait for an event");
    if (e->capture)
        emu_stop("a wait for an event that was captured, and so never happened");
    emu_counts.waits++;
    emu_counts.ahead += e->stream && e->stream->given > e->given;
    if (e->stream)
        emu_run_until(e->stream, e->given);
    rn_check_wait_event(NULL, e);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t e)
{
    emu_not_captured("a question about an event");
    if (e->capture)
        emu_stop("a question about an event that was captured, and so never happened");
    if (e->stream && e->stream->done < e->given && ++e->asked % ASKED_MOST != 0)
        return emu_driver.error = cudaErrorNotReady;
    return cudaEventSynchronize(e);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    const struct timespec *a = &from->at, *b = &to->at;

    if (from->capture || to->capture)
        emu_stop("the time of an event that was captured");
    *ms = (float)((double)(b->tv_sec - a->tv_sec) * 1e3 + (double)(b->tv_nsec - a->tv_nsec) * 1e-6);
    return cudaSuccess;
}
