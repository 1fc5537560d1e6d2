/* SPDX-License-Identifier: MIT */
/* A device, its memory, its streams. */
#include "kernels/cuda/cuda_backend.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda_blas.h"
#include "kernels/cuda/cuda_launch.h"
#include "kernels/cuda/cuda_module.h"
#include "kernels/cuda/cuda_nccl.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/cuda_peak.h"
#ifndef RN_CUDA_EMULATED
#include "kernels/cudnn/cudnn_conv.h"
#include <nvtx3/nvToolsExt.h> /* nothing but headers; without a profiler a call is a test of a pointer */
#endif

extern "C" {
#include "base/rn_opt.h"
}

/* What has mma.sync for bf16 and cp.async. */
enum { CAPABILITY_LEAST = 80 };

typedef struct given {
    void *at;
    size_t bytes;
} given;

typedef struct cuda_backend {
    rn_backend be;
    int multiprocessors, capability;
    void *scratch;
    size_t scratch_bytes, scratch_wanted; /* wanted: by what is rehearsed */
    uint64_t scratch_moves;
    given *list; /* what alloc has given */
    size_t ngiven, cap_given;
    void *locked;
    size_t locked_bytes;
    bool capturing, rehearsing;
    bool reads_host; /* the device reads the host's own memory, too, and not only what is page-locked */
    struct rn_nccl *nccl;
    struct rn_blas *blas;
    struct rn_cudnn *cudnn;
} cuda_backend;

static cuda_backend *of(const rn_backend *be)
{
    return (cuda_backend *)be->priv;
}

int rn_cuda_multiprocessors(const rn_backend *be)
{
    return of(be)->multiprocessors;
}

int rn_cuda_capability(const rn_backend *be)
{
    return of(be)->capability;
}

struct rn_nccl **rn_cuda_nccl(const rn_backend *be)
{
    return &of(be)->nccl;
}

struct rn_blas **rn_cuda_blas(const rn_backend *be)
{
    return &of(be)->blas;
}

#ifndef RN_CUDA_EMULATED
struct rn_cudnn **rn_cuda_cudnn(const rn_backend *be)
{
    return &of(be)->cudnn;
}
#endif

int rn_cuda_status(cudaError_t err, const char *what)
{
    if (err != cudaSuccess)
        (void)cudaGetLastError(); /* it is told here: the next launch, which asks for the last one, must not find it */
    switch (err) {
    case cudaSuccess:
        return RN_OK;
    case cudaErrorMemoryAllocation:
        return rn_fail(RN_E_NOMEM, "cuda: %s: the device's memory is full: a smaller batch needs less", what);
    case cudaErrorInsufficientDriver:
        return rn_fail(RN_E_ABSENT,
                       "device cuda: no NVIDIA driver here that this build's CUDA %d.%d can use: install one, "
                       "or use --device cpu",
                       CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    case cudaErrorStubLibrary: /* a toolkit's, for linking alone */
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
        return rn_fail(RN_E_ABSENT,
                       "device cuda: the NVIDIA driver here cannot be used (%s): install it anew, or use --device cpu",
                       cudaGetErrorString(err));
    case cudaErrorSystemNotReady:
        return rn_fail(RN_E_ABSENT, "device cuda: the system is not ready, one of the driver's daemons does not run "
                                    "(machines with NVSwitch need nvidia-fabricmanager): use --device cpu");
    case cudaErrorNoDevice:
        return rn_fail(RN_E_ABSENT, "device cuda: there is a driver, but no device that it lets this process see "
                                    "(CUDA_VISIBLE_DEVICES): use --device cpu");
    default:
        return rn_fail(RN_E_IO, "cuda: %s: %s (%s)", what, cudaGetErrorString(err), cudaGetErrorName(err));
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

static int cuda_alloc(rn_backend *be, size_t bytes, void **out)
{
    cuda_backend *c = of(be);
    char what[64];

    *out = NULL;
    if (c->ngiven == c->cap_given) {
        const size_t cap = 2 * c->cap_given + 64;
        given *more = (given *)realloc(c->list, cap * sizeof *more);
        if (!more)
            return rn_fail(RN_E_NOMEM, "cuda: out of memory");
        c->list = more;
        c->cap_given = cap;
    }
    snprintf(what, sizeof what, "cudaMalloc of %zu bytes", bytes);
    RN_TRY(rn_cuda_status(cudaMalloc(out, bytes ? bytes : 1), what));
    c->list[c->ngiven++] = given{*out, bytes};
    be->in_use += bytes;
    return RN_OK;
}

static void cuda_free(rn_backend *be, void *p)
{
    cuda_backend *c = of(be);

    if (!p)
        return;
    for (size_t i = 0; i < c->ngiven; i++) {
        if (c->list[i].at != p)
            continue;
        be->in_use -= c->list[i].bytes;
        c->list[i] = c->list[--c->ngiven];
        break;
    }
    (void)cudaFree(p);
}

static int cuda_memory(rn_backend *be, size_t *free, size_t *total)
{
    (void)be;
    return rn_cuda_status(cudaMemGetInfo(free, total), "the device's free memory");
}

static int cuda_alloc_host(rn_backend *be, size_t bytes, void **out)
{
    char what[64];

    (void)be;
    *out = NULL;
    snprintf(what, sizeof what, "cudaHostAlloc of %zu bytes", bytes);
    return rn_cuda_status(cudaHostAlloc(out, bytes ? bytes : 1, cudaHostAllocDefault), what);
}

static void cuda_free_host(rn_backend *be, void *p)
{
    (void)be;
    if (p)
        (void)cudaFreeHost(p);
}

/*
 * What the host's own memory held has been read when a copy returns (rn_backend.h). The driver's manual, "API synchronization
 * behavior", says no more than that such a copy "might be synchronous with respect to host". Where the device cannot read that
 * memory, the driver has to, before it returns; where it can, nobody promises anything.
 */
static int wait_until_read(rn_backend *be, const void *src, rn_stream s)
{
    cudaPointerAttributes a;

    RN_TRY(rn_cuda_status(cudaPointerGetAttributes(&a, src), "what kind of memory is copied"));
    return a.type == cudaMemoryTypeUnregistered ? be->sync(be, s) : RN_OK;
}

static int cuda_copy(rn_backend *be, void *dst, const void *src, size_t bytes, enum rn_copy_kind kind, rn_stream s)
{
    static const cudaMemcpyKind kinds[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice};

    if (!bytes)
        return RN_OK;
    RN_TRY(rn_cuda_status(cudaMemcpyAsync(dst, src, bytes, kinds[kind], rn_cuda_stream(s)), "a copy"));
    return kind == RN_COPY_H2D && of(be)->reads_host ? wait_until_read(be, src, s) : RN_OK;
}

static int cuda_memset(rn_backend *be, void *dst, int byte, size_t bytes, rn_stream s)
{
    (void)be;
    return bytes ? rn_cuda_status(cudaMemsetAsync(dst, byte, bytes, rn_cuda_stream(s)), "memset") : RN_OK;
}

int rn_cuda_scratch(rn_backend *be, size_t bytes, void **out)
{
    cuda_backend *c = of(be);

    if (c->rehearsing) { /* what is given is not done: any address does that is aligned alike */
        c->scratch_wanted = bytes > c->scratch_wanted ? bytes : c->scratch_wanted;
        *out = c->scratch ? c->scratch : (char *)c + (256 - (uintptr_t)c % 256);
        return RN_OK;
    }
    if (bytes > c->scratch_bytes) {
        if (c->capturing)
            return rn_fail(RN_E_UNSUPPORTED,
                           "cuda: an op asks for %zu bytes of scratch that it did not ask for before it was captured; "
                           "RNKIT_CUDA_GRAPH=0 captures nothing",
                           bytes);
        RN_TRY(rn_cuda_status(cudaDeviceSynchronize(), "waiting for those who use the scratch"));
        char what[64];
        (void)cudaFree(c->scratch);
        c->scratch = NULL;
        c->scratch_bytes = 0;
        snprintf(what, sizeof what, "scratch of %zu bytes for the ops", bytes);
        RN_TRY(rn_cuda_status(cudaMalloc(&c->scratch, bytes), what));
        c->scratch_bytes = bytes;
        c->scratch_moves++;
    }
    *out = c->scratch;
    return RN_OK;
}

bool rn_cuda_rehearsing(const rn_backend *be)
{
    return of(be)->rehearsing;
}

int rn_cuda_locked(rn_backend *be, size_t bytes, void **out)
{
    cuda_backend *c = of(be);

    if (bytes > c->locked_bytes) {
        RN_TRY(rn_cuda_status(cudaDeviceSynchronize(), "waiting for copies"));
        cuda_free_host(be, c->locked);
        c->locked = NULL;
        c->locked_bytes = 0;
        RN_TRY(cuda_alloc_host(be, bytes, &c->locked));
        c->locked_bytes = bytes;
    }
    *out = c->locked;
    return RN_OK;
}

/* ---- streams and events ------------------------------------------------------------------------------------------- */

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

/* ---- what is captured ---------------------------------------------------------------------------------------------- */

typedef struct capture {
    cudaGraphExec_t graph;
    /*
     * How often what its kernels use had moved, and what NCCL's gathers do. Not where it was: ranks have to capture together, also
     * those to which the same place has been given again ("Using NCCL with CUDA Graphs" in NCCL's guide).
     */
    uint64_t scratch, room;
} capture;

static int cuda_capture_begin(rn_backend *be)
{
    RN_TRY(rn_cuda_status(cudaStreamBeginCapture(rn_cuda_stream(NULL), cudaStreamCaptureModeThreadLocal),
                          "capturing a graph (RNKIT_CUDA_GRAPH=0 does without)"));
    of(be)->capturing = true;
    return RN_OK;
}

static int keep(const rn_backend *be, cudaGraph_t graph, rn_capture *out)
{
    capture *c = (capture *)calloc(1, sizeof *c);

    if (!c)
        return rn_fail(RN_E_NOMEM, "cuda: out of memory");
    const int rc = rn_cuda_status(cudaGraphInstantiate(&c->graph, graph, 0),
                                  "making a graph of what was captured (RNKIT_CUDA_GRAPH=0 does without)");
    if (rc < 0) {
        free(c);
        return rc;
    }
    c->scratch = of(be)->scratch_moves;
    c->room = rn_nccl_moves(be);
    *out = c;
    return RN_OK;
}

static int cuda_capture_end(rn_backend *be, rn_capture *out)
{
    cudaGraph_t graph = NULL;
    const cudaError_t err = cudaStreamEndCapture(rn_cuda_stream(NULL), &graph);
    int rc = RN_OK;

    of(be)->capturing = false;
    if (out)
        rc = rn_cuda_status(err, "a captured graph (RNKIT_CUDA_GRAPH=0 does without)");
    else
        (void)cudaGetLastError(); /* of a capture that was broken off: the caller knows why */
    if (out && rc == RN_OK)
        rc = keep(be, graph, out);
    if (graph)
        (void)cudaGraphDestroy(graph);
    return rc;
}

static int cuda_capture_run(rn_backend *be, rn_capture p)
{
    const capture *c = (const capture *)p;

    if (c->scratch != of(be)->scratch_moves || c->room != rn_nccl_moves(be))
        return 0;
    RN_TRY(rn_nccl_check(be)); /* a graph asks no op */
    RN_TRY(rn_cuda_status(cudaGraphLaunch(c->graph, rn_cuda_stream(NULL)), "a captured graph"));
    return 1;
}

static void cuda_capture_close(rn_backend *be, rn_capture p)
{
    capture *c = (capture *)p;

    (void)be;
    if (!c)
        return;
    (void)cudaStreamSynchronize(rn_cuda_stream(NULL)); /* it may run */
    (void)cudaGraphExecDestroy(c->graph);
    free(c);
}

/* ---- what is only rehearsed: captured, and forgotten --------------------------------------------------------------- */

static int cuda_rehearse_begin(rn_backend *be)
{
    RN_TRY(rn_cuda_status(cudaStreamBeginCapture(rn_cuda_stream(NULL), cudaStreamCaptureModeThreadLocal),
                          "finding out how much scratch is needed"));
    of(be)->scratch_wanted = 0;
    of(be)->rehearsing = true;
    return RN_OK;
}

static int cuda_rehearse_end(rn_backend *be, size_t *scratch)
{
    cuda_backend *c = of(be);
    cudaGraph_t graph = NULL;
    const cudaError_t err = cudaStreamEndCapture(rn_cuda_stream(NULL), &graph);
    void *room;

    c->rehearsing = false;
    if (graph)
        (void)cudaGraphDestroy(graph);
    (void)cudaGetLastError(); /* of a capture that was broken off: the caller knows why */
    int rc = rn_cuda_status(err, "finding out how much scratch is needed");
    if (rc == RN_OK && c->scratch_wanted)
        rc = rn_cuda_scratch(be, c->scratch_wanted, &room);
    *scratch = c->scratch_bytes;
    return rc;
}

/* RNKIT_CUDA_GRAPH=0: as a device without the slots; to see what a fault is of. */
static void set_captures(rn_backend *be)
{
    const char *wanted = getenv("RNKIT_CUDA_GRAPH");

    if (wanted && strcmp(wanted, "0") == 0)
        return;
    be->capture_begin = cuda_capture_begin;
    be->capture_end = cuda_capture_end;
    be->capture_run = cuda_capture_run;
    be->capture_close = cuda_capture_close;
}

/* ---- open --------------------------------------------------------------------------------------------------------- */

static void cuda_close(rn_backend *be)
{
    cuda_backend *c = of(be);

    rn_nccl_close(be);
    rn_blas_close(be);
#ifndef RN_CUDA_EMULATED
    rn_cudnn_close(be);
#endif
    (void)cudaFree(c->scratch);
    cuda_free_host(be, c->locked);
    free(c->list);
    free(c);
}

static int describe(cuda_backend *c, int device)
{
    cudaDeviceProp p;
    int driver = 0, runtime = 0;

    RN_TRY(rn_cuda_status(cudaGetDeviceProperties(&p, device), "the device's properties"));
    RN_TRY(rn_cuda_status(cudaDriverGetVersion(&driver), "the driver's version"));
    RN_TRY(rn_cuda_status(cudaRuntimeGetVersion(&runtime), "the runtime's version"));
    c->be.cache_bytes = (size_t)p.l2CacheSize;
    c->multiprocessors = p.multiProcessorCount;
    c->reads_host = p.pageableMemoryAccess;
    c->capability = p.major * 10 + p.minor;
    if (c->capability < CAPABILITY_LEAST)
        return rn_fail(RN_E_ABSENT,
                       "device cuda: %s has compute capability %d.%d, this build needs 8.0: use --device cpu", p.name,
                       p.major, p.minor);
    snprintf(c->be.describe, sizeof c->be.describe,
             "%.100s, sm_%d, %d multiprocessors, %.1f GiB, driver for CUDA %d.%d, runtime %d.%d", p.name, c->capability,
             p.multiProcessorCount, (double)p.totalGlobalMem / (1 << 30), driver / 1000, driver % 1000 / 10,
             runtime / 1000, runtime % 1000 / 10);
    rn_blas_describe(&c->be, c->be.describe, sizeof c->be.describe);
#ifndef RN_CUDA_EMULATED
    rn_cudnn_describe(&c->be, c->be.describe, sizeof c->be.describe);
#endif
    for (size_t i = 0; i < sizeof p.uuid.bytes; i++) /* its number differs between processes that see other devices */
        snprintf(c->be.unit + 2 * i, sizeof c->be.unit - 2 * i, "%02x", (unsigned)(unsigned char)p.uuid.bytes[i]);
    return RN_OK;
}

cudaStream_t rn_cuda_default;

/* Once: other backends of this device may still use it. */
static int open_default(int device)
{
    static int of = -1;

    if (of == device)
        return RN_OK;
    RN_TRY(rn_cuda_status(cudaStreamCreateWithFlags(&rn_cuda_default, cudaStreamNonBlocking), "a stream"));
    of = device;
    return RN_OK;
}

static int cuda_open(const rn_backend_opts *opts, rn_backend **out)
{
    int n = 0, rc;

    *out = NULL;
    RN_TRY(rn_cuda_status(cudaGetDeviceCount(&n), "counting devices"));
    if (n < 1)
        return rn_cuda_status(cudaErrorNoDevice, "counting devices");
    const int device = opts->place % n;
    RN_TRY(rn_cuda_status(cudaSetDevice(device), "taking a device"));
    RN_TRY(open_default(device));
    cuda_backend *c = (cuda_backend *)calloc(1, sizeof *c);
    if (!c)
        return rn_fail(RN_E_NOMEM, "cuda: out of memory");
    rn_backend *be = &c->be;
    be->priv = c;
    be->device = "cuda";
    be->threads = 1; /* nothing here depends on the host's */
    be->workspace_limit = opts->workspace_limit;
    be->alloc = cuda_alloc;
    be->free = cuda_free;
    be->alloc_host = cuda_alloc_host;
    be->free_host = cuda_free_host;
    be->copy = cuda_copy;
    be->memset = cuda_memset;
    be->memory = cuda_memory;
    be->rehearse_begin = cuda_rehearse_begin;
    be->rehearse_end = cuda_rehearse_end;
    be->stream_open = cuda_stream_open;
    be->stream_close = cuda_stream_close;
    be->sync = cuda_sync;
    be->event_open = cuda_event_open;
    be->event_record = cuda_event_record;
    be->event_ms = cuda_event_ms;
    be->event_sync = cuda_event_sync;
    be->event_wait = cuda_event_wait;
    be->event_close = cuda_event_close;
    set_captures(be);
    be->ranks_open = rn_nccl_open;
    be->ranks_sum = rn_nccl_sum;
    be->probes = rn_cuda_probes;
#ifdef RN_CUDA_EMULATED
    be->emulated = true;
#else
    be->range = cuda_range;
#endif
    be->bn_masks = true;
    be->ops = rn_cuda_ops();
    be->conv_algos = rn_cuda_conv_algos();
    be->close = cuda_close;
    be->units = n;
    rc = describe(c, device);
    if (rc == RN_OK)
        rc = rn_cuda_ops_complete();
    if (rc < 0) {
        cuda_close(be);
        return rc;
    }
    *out = be;
    return RN_OK;
}

/* The name is RN_CUDA_MODULE_SYMBOL. */
extern "C" __attribute__((visibility("default")))
const rn_cuda_module rnkit_cuda_module = {RN_VERSION, RN_CUDA_MODULE_SIZES, cuda_open};
