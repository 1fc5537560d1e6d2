/* SPDX-License-Identifier: MIT */
/* What is captured: what was given, each branch in its order. */
#include "emulate.h"
#include "emulate_check.h"

void emu_wait_in_capture(cudaStream_t s, cudaEvent_t e)
{
    cudaGraph_t g = NULL;

    for (cudaStream_t other : emu_streams)
        if (other->capture && other->capture->number == e->capture)
            g = other->capture;
    if (!g || (s->capture && s->capture != g))
        emu_stop("a wait for an event of a capture that is not, or no longer, this stream's");
    if (!s->capture) {
        s->capture = g;
        s->branch = g->streams.size();
        g->streams.push_back(s);
        g->given.push_back(0);
        g->joined.push_back(0);
    }
    g->nodes.push_back(graph_node{NULL, s->branch, e->branch, (size_t)e->given});
    g->given[s->branch]++;
    if (s->branch == 0 && g->joined[e->branch] < e->given)
        g->joined[e->branch] = (size_t)e->given;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode)
{
    static uint64_t number;

    emu_not_captured("another capture");
    s = emu_stream_of(s);
    if (s == &emu_of_thread)
        emu_stop("a capture of a stream that waits for the old default one, whose use would break it off");
    s->capture = new CUgraph_st{++number, {s}, {0}, {0}, {}};
    s->branch = 0;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    const cudaGraph_t g = emu_stream_of(s)->capture;

    *out = g;
    if (!g || emu_stream_of(s)->branch != 0)
        return cudaErrorInvalidValue;
    for (size_t b = 0; b < g->streams.size(); b++) {
        g->streams[b]->capture = NULL;
        if (b > 0 && g->joined[b] < g->given[b])
            emu_stop("a capture ends whose stream has not waited for the end of another that is part of it");
    }
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long)
{
    *out = new CUgraphExec_st{{NULL}, g->nodes};
    while ((*out)->streams.size() < g->streams.size()) {
        (*out)->streams.push_back(new CUstream_st());
        emu_streams.push_back((*out)->streams.back());
    }
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t g, cudaStream_t s)
{
    std::vector<std::vector<uint64_t>> after; /* what the branch's stream was given, after so many of its nodes */

    emu_called(false);
    emu_not_captured("a graph's launch");
    emu_counts.graphs++;
    g->streams[0] = emu_stream_of(s);
    for (cudaStream_t branch : g->streams)
        after.push_back({branch->given});
    for (const graph_node &n : g->nodes) {
        const cudaStream_t at = g->streams[n.branch];
        if (n.run) {
            emu_give(at, n.run);
        } else {
            const cudaStream_t of = g->streams[n.of];
            const uint64_t until = after[n.of][n.until];
            rn_check_record(
                &n, of); /* no earlier than where the event was: it may miss a race, and finds none that is not */
            rn_check_wait_event(at, &n);
            emu_give(at, [=]() { emu_run_until(of, until); });
        }
        after[n.branch].push_back(at->given);
    }
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    delete g;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g)
{
    delete g;
    return cudaSuccess;
}
