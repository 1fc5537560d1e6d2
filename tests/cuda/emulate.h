/* SPDX-License-Identifier: MIT */
/*
 * A device in software: cuda_runtime.h beside this file says what for. One thread of the host drives it. Between its parts: kernels
 * (emulate.cpp; emulate_async.cpp and emulate_wgmma.cpp for what they only ask for), memory, streams with events, graphs, and what it tells of
 * itself (emulate_device.cpp).
 */
#ifndef EMULATE_H
#define EMULATE_H

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "cuda_runtime.h"

enum { EMU_SHARED_DEFAULT = 48 << 10, EMU_SHARED_MOST = 227 << 10 };

/* Ends the program. */
void emu_stop(const char *what);

/* ---- what the host has been told, and what it asked for (emulate_device.cpp) ---- */

typedef struct emu_host {
    cudaError_t error;
    const char *given;                   /* the last kernel */
    std::map<const void *, int> allowed; /* shared memory, by kernel */
    bool waited;                         /* a stream was told to wait for another: the first batch travels */
} emu_host;
extern emu_host emu_driver;

/* ---- memory (emulate_memory.cpp) ---- */

/* The device's is closed to the host but while a kernel or a copy runs. */
void emu_open_memory(bool open);
/* Whether [p, p + bytes) lies in one allocation. */
bool emu_allocated(const void *p, size_t bytes);
bool emu_is_locked(const void *p);
bool emu_reads_host(void);

/* ---- streams (emulate_streams.cpp) ---- */

/*
 * Streams are as late as they may be: kernels and copies to and from page-locked memory are done when somebody waits for them, so
 * that whoever does not, where he should, reads what was there before, and whoever changes the host's memory too early has what
 * comes after copied. With RNKIT_EMULATE_STREAMS=early they are as early as they may be: whoever gives them too early what others
 * still make, has what was there before. With RNKIT_EMULATE_STREAMS=own-late the thread's own stream is late and all others are
 * early: one that fills what the thread's own still reads, without a wait, spoils it. CUDA's old default stream is not there: it
 * cannot be captured; cudaStreamPerThread may not be, as the former's use would break that off. The thread's own is the latter, and
 * the first that it opens. A stream is never freed: events may still name it.
 */
struct CUstream_st {
    std::deque<std::function<void()>> todo;
    uint64_t given, done;
    cudaGraph_t capture; /* where what is given is kept; NULL: it is done */
    size_t branch;       /* of that graph */
    unsigned asked;      /* whether it has come to its end */
};
struct CUevent_st {
    struct timespec at;
    cudaStream_t stream;
    uint64_t given;   /* to that stream when it was recorded */
    uint64_t capture; /* number of the capture of which it is a part; 0: of none */
    size_t branch;    /* and where in it */
    unsigned asked;   /* whether it has happened */
};

/* Branch 0 is what the capturing stream was given; others begin with streams that wait for an event of a branch. */
typedef struct graph_node {
    std::function<void()> run; /* none: waits until branch `of` has come to its first `until` nodes */
    size_t branch, of, until;
} graph_node;
struct CUgraph_st {
    uint64_t number;
    std::vector<cudaStream_t> streams; /* of the branches */
    std::vector<size_t> given, joined; /* nodes of each branch, and how many of them branch 0 has waited for */
    std::vector<graph_node> nodes;
};
struct CUgraphExec_st {
    std::vector<cudaStream_t> streams; /* of its own, for all branches but the first */
    std::vector<graph_node> nodes;
};

extern struct CUstream_st emu_of_thread;
extern std::vector<cudaStream_t> emu_streams;

/*
 * RNKIT_EMULATE_COUNT=FILE: how often the host waited, how many graphs were launched, how often it waited for an event behind which its
 * stream had more to do, how often memory of the device was taken since a stream was first told to wait for another, which
 * a training's first step does, what the host called altogether to give or to wait for something, and how many of that were
 * kernels, one by one: a line at the program's end.
 */
typedef struct emu_counters {
    uint64_t waits, graphs, ahead, calls, kernels, allocations;
    ~emu_counters();
} emu_counters;
extern emu_counters emu_counts;
/* The host called, to give or to wait for something. */
void emu_called(bool kernel);

cudaStream_t emu_stream_of(cudaStream_t s);
/* Nobody allocates or waits while something is captured. */
void emu_not_captured(const char *what);
void emu_give(cudaStream_t s, const std::function<void()> &f);
void emu_run_until(cudaStream_t s, uint64_t given);
void emu_run_dry(cudaStream_t s);

/* ---- graphs (emulate_graphs.cpp) ---- */

/* A stream that waits for an event of a capture becomes a part of it. */
void emu_wait_in_capture(cudaStream_t s, cudaEvent_t e);

/* ---- for nccl_emulated.cpp and cublaslt_emulated.cpp ---- */

/* For nccl_emulated.cpp and cublaslt_emulated.cpp: something in a stream's order, a copy between any two places, and whether
 * a device can reach bytes: its own, or page-locked ones. */
extern "C" __attribute__((visibility("default"))) void rn_emu_give(cudaStream_t s, void (*fn)(void *with), void *with);
extern "C" __attribute__((visibility("default"))) void rn_emu_move(void *dst, const void *src, size_t bytes);
extern "C" __attribute__((visibility("default"))) int rn_emu_has(const void *p, size_t bytes);
/* Whether any stream is. */
extern "C" __attribute__((visibility("default"))) int rn_emu_capturing(void);

#endif
