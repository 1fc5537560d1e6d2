/* SPDX-License-Identifier: MIT */
/* Streams, events, and waiting for them. */
#include "kernels/cuda/cuda_backend_impl.h"

#include <sched.h>

#include "kernels/cuda/cuda_nccl.h"
#ifndef RN_CUDA_EMULATED
#include <nvtx3/nvToolsExt.h> /* nothing but headers; without a profiler a call is a test of a pointer */
#endif

static int cuda_stream_open(rn_backend *be, rn_stream *out)
{
    (void)be;
    *out = NULL;
    return rn_cuda_status(cudaStreamCreateWithFlags((cudaStream_t *)out, cudaStreamNonBlocking), "a stream");
}

static void cuda_stream_close(rn_backend *be, rn_stream s)
{
    (void)be;
    if (s)
        (void)cudaStreamDestroy((cudaStream_t)s);
}

/*
 * With ranks the host asks again and again: NCCL's kernels wait for ever for a rank that is lost, which NCCL alone knows ("Asynchronous
 * errors and error handling" in its guide, whose example waits likewise).
 */
static int wait_with_ranks(const rn_backend *be, cudaStream_t s, cudaEvent_t e, const char *what)
{
    for (;;) {
        const cudaError_t err = e ? cudaEventQuery(e) : cudaStreamQuery(s);
        if (err != cudaErrorNotReady)
            return rn_cuda_status(err, what);
        (void)cudaGetLastError(); /* that was none */
        RN_TRY(rn_nccl_check(be));
        sched_yield();
    }
}

static int cuda_sync(rn_backend *be, rn_stream s)
{
    const cudaStream_t on = rn_cuda_stream(s);
    const char *what = "waiting for what was launched";

    return rn_nccl_waits(be) ? wait_with_ranks(be, on, NULL, what) : rn_cuda_status(cudaStreamSynchronize(on), what);
}

static int cuda_event_open(rn_backend *be, rn_event *out)
{
    (void)be;
    *out = NULL;
    return rn_cuda_status(cudaEventCreate((cudaEvent_t *)out), "an event");
}

static int cuda_event_record(rn_backend *be, rn_event e, rn_stream s)
{
    (void)be;
    return rn_cuda_status(cudaEventRecord((cudaEvent_t)e, rn_cuda_stream(s)), "an event");
}

static int cuda_event_ms(rn_backend *be, rn_event from, rn_event to, double *ms)
{
    float f = 0;

    (void)be;
    RN_TRY(rn_cuda_status(cudaEventSynchronize((cudaEvent_t)to), "waiting for an event"));
    RN_TRY(rn_cuda_status(cudaEventElapsedTime(&f, (cudaEvent_t)from, (cudaEvent_t)to), "the time between events"));
    *ms = (double)f;
    return RN_OK;
}

static int cuda_event_sync(rn_backend *be, rn_event e)
{
    const cudaEvent_t at = (cudaEvent_t)e;
    const char *what = "waiting for an event";

    return rn_nccl_waits(be) ? wait_with_ranks(be, NULL, at, what) : rn_cuda_status(cudaEventSynchronize(at), what);
}

static int cuda_event_wait(rn_backend *be, rn_event e, rn_stream s)
{
    (void)be;
    return rn_cuda_status(cudaStreamWaitEvent(rn_cuda_stream(s), (cudaEvent_t)e, 0), "a stream's wait for an event");
}

static void cuda_event_close(rn_backend *be, rn_event e)
{
    (void)be;
    if (e)
        (void)cudaEventDestroy((cudaEvent_t)e);
}

#ifndef RN_CUDA_EMULATED
static void cuda_range(rn_backend *be, const char *name)
{
    (void)be;
    if (name)
        (void)nvtxRangePushA(name);
    else
        (void)nvtxRangePop();
}
#endif

void rn_cuda_set_streams(rn_backend *be)
{
    be->stream_open = cuda_stream_open;
    be->stream_close = cuda_stream_close;
    be->sync = cuda_sync;
    be->event_open = cuda_event_open;
    be->event_record = cuda_event_record;
    be->event_ms = cuda_event_ms;
    be->event_sync = cuda_event_sync;
    be->event_wait = cuda_event_wait;
    be->event_close = cuda_event_close;
#ifndef RN_CUDA_EMULATED
    be->range = cuda_range;
#endif
}
