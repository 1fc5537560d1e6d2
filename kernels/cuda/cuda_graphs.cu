/* SPDX-License-Identifier: MIT */
/* Work that is captured as a graph, to be launched as often as one likes or to be forgotten. */
#include "kernels/cuda/cuda_backend_impl.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda_nccl.h"

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
    rn_cuda_of(be)->capturing = true;
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
    c->scratch = rn_cuda_of(be)->scratch_moves;
    c->room = rn_nccl_moves(be);
    *out = c;
    return RN_OK;
}

static int cuda_capture_end(rn_backend *be, rn_capture *out)
{
    cudaGraph_t graph = NULL;
    const cudaError_t err = cudaStreamEndCapture(rn_cuda_stream(NULL), &graph);
    int rc = RN_OK;

    rn_cuda_of(be)->capturing = false;
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

    if (c->scratch != rn_cuda_of(be)->scratch_moves || c->room != rn_nccl_moves(be))
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
    rn_cuda_of(be)->scratch_wanted = 0;
    rn_cuda_of(be)->rehearsing = true;
    return RN_OK;
}

static int cuda_rehearse_end(rn_backend *be, size_t *scratch)
{
    rn_cuda_device *c = rn_cuda_of(be);
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

bool rn_cuda_rehearsing(const rn_backend *be)
{
    return rn_cuda_of(be)->rehearsing;
}

/* RNKIT_CUDA_GRAPH=0: as a device without the slots; to see what a fault is of. */
void rn_cuda_set_graphs(rn_backend *be)
{
    const char *wanted = getenv("RNKIT_CUDA_GRAPH");

    be->rehearse_begin = cuda_rehearse_begin;
    be->rehearse_end = cuda_rehearse_end;
    if (wanted && strcmp(wanted, "0") == 0)
        return;
    be->capture_begin = cuda_capture_begin;
    be->capture_end = cuda_capture_end;
    be->capture_run = cuda_capture_run;
    be->capture_close = cuda_capture_close;
}
