/* SPDX-License-Identifier: MIT */
/*
 * A backend: one device with its memory, its streams, one table of ops and one list of convolution
 * algorithms. libcore knows backends only through this header; a tool's main hands them over in a
 * table of rn_backend_entry.
 *
 * Threads: one thread drives a backend at a time. Streams may be NULL, the default stream; a CPU
 * backend runs everything synchronously and ignores them.
 */
#ifndef RN_BACKEND_H
#define RN_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "op/rn_conv.h"
#include "op/rn_op.h"

struct rn_comm;
typedef struct rn_backend rn_backend;
typedef void *rn_stream;
typedef void *rn_event;
typedef void *rn_capture;

enum rn_copy_kind { RN_COPY_H2D = 0, RN_COPY_D2H = 1, RN_COPY_D2D = 2 };

typedef struct rn_backend_opts {
    int threads;            /* compute threads; 0: one per core this process may run on */
    const char *isa;        /* cap for CPU kernels: "portable", "avx2", "avx512", NULL: best of this CPU */
    size_t workspace_limit; /* most bytes of workspace an algorithm may ask for; 0: no limit */
    int place;              /* which of the machine's devices, counted from 0 and round and round */
} rn_backend_opts;

/*
 * Work of one kind and of nothing else, for measuring what a device can do of it at most. A backend's list ends with a name of
 * NULL. Runs in the stream's order and is not waited for.
 *   mem: device memory, `bytes` of it, a multiple of RN_PROBE_GRAIN. out: RN_PROBE_OUT bytes of device memory.
 *   *amount: FLOP, of which a multiply-add is two; of a list's row of memory, bytes read and written.
 * So that it can be seen whether the work was done: arithmetic leaves an f32 in out, above 0 and `times` the one that times 1
 * leaves, exactly while that is below 2^24. Reading leaves 32-bit words all over out (0 before) whose sum, modulo 2^32, is
 * `times` that of mem's; a copy makes the second half of mem the first.
 * RN_E_UNSUPPORTED: not on this device, or not in this build.
 */
enum rn_probe_kind { RN_PROBE_FLOP, RN_PROBE_READ, RN_PROBE_COPY };
typedef struct rn_probe {
    const char *name; /* "f32_fma", "bf16_mma"; of memory "L2_read", "L2_copy", "DRAM_read", "DRAM_copy" */
    unsigned dtypes;  /* arithmetic: bit t, a convolution of rn_dtype t may use it without RN_ALGO_LOWPREC */
    enum rn_probe_kind kind;
    int (*run)(rn_backend *be, int64_t times, void *mem, size_t bytes, void *out, double *amount, rn_stream s);
} rn_probe;
#define RN_PROBE_GRAIN ((size_t)64 << 10)
#define RN_PROBE_OUT   ((size_t)1 << 20)

struct rn_backend {
    const char *device; /* "cpu", "cuda" */
    bool emulated;      /* stands for a device that is not there: how long it takes says nothing */
    char describe[256]; /* device model, instruction set used, library versions: one line */
    char unit[64];      /* which of the machine's devices it is; "": there are no several */
    int units;          /* how many there are */
    int threads;
    size_t workspace_limit; /* as opened; rn_conv_plan_open refuses algorithms that ask for more. 0: no limit */

    /* Memory of the device, 64-byte aligned at least, which the host may not touch but by copy and memset. alloc and free are never called inside a training step. */
    int (*alloc)(rn_backend *be, size_t bytes, void **out);
    void (*free)(rn_backend *be, void *p); /* accepts NULL */
    /* Page-locked memory of the host, which copies to and from the device need not wait for, and which ops may be given like
     * any other. NULL slots: the host's own memory is as good. */
    int (*alloc_host)(rn_backend *be, size_t bytes, void **out);
    void (*free_host)(rn_backend *be, void *p); /* accepts NULL */
    /* In the stream's order. What is read from the host's own memory has been read when copy returns, what comes from alloc_host
     * has not; what is written to the host is there after sync. */
    int (*copy)(rn_backend *be, void *dst, const void *src, size_t bytes, enum rn_copy_kind kind, rn_stream s);
    int (*memset)(rn_backend *be, void *dst, int byte, size_t bytes, rn_stream s);
    /* Bytes of the device that are free, and that there are. NULL slot: not known. */
    int (*memory)(rn_backend *be, size_t *free, size_t *total);
    size_t in_use; /* bytes that alloc has given and free not taken back; 0: not counted */
    /*
     * Scratch that ops need beside their arguments, so that none has to be allocated when they run: what the ops are given on the
     * default stream from begin to end is not done, but the scratch it takes is there afterwards; `scratch`: bytes of it
     * in all. end is called whatever happened in between. Nobody may wait, allocate or touch the host's memory meanwhile. An
     * error other than RN_E_NOMEM means that it could not be found out: it is allocated when it is asked for. NULL slots: ops take
     * the host's memory.
     */
    int (*rehearse_begin)(rn_backend *be);
    int (*rehearse_end)(rn_backend *be, size_t *scratch);

    /* Streams and events. NULL slots: the backend is synchronous; rn_now() times it. */
    int (*stream_open)(rn_backend *be, rn_stream *out);
    void (*stream_close)(rn_backend *be, rn_stream s);
    int (*sync)(rn_backend *be, rn_stream s);
    int (*event_open)(rn_backend *be, rn_event *out); /* this one, record, ms and close: all or none */
    int (*event_record)(rn_backend *be, rn_event e, rn_stream s);
    int (*event_ms)(rn_backend *be, rn_event from, rn_event to, double *ms);
    int (*event_sync)(rn_backend *be, rn_event e); /* the host waits for it */
    int (*event_wait)(rn_backend *be, rn_event e,
                      rn_stream s); /* what s is given from now on does; the host does not */
    void (*event_close)(rn_backend *be, rn_event e);

    /*
     * What the default stream is given, kept to be given again as one. NULL slots, all or none: it is given each time.
     * capture_begin: from now on ops, copies on the device and memset are not run but kept, with their arguments as they are.
     * Until capture_end nobody may wait, allocate or touch the host's memory, and an op must have run before with the same
     * shapes. capture_end is called whatever happened in between; out NULL: to be forgotten,
     * which does not fail.
     * capture_run: 1: given to the default stream. 0: it was not, as something of the backend's own has moved: capture anew.
     */
    int (*capture_begin)(rn_backend *be);
    int (*capture_end)(rn_backend *be, rn_capture *out);
    int (*capture_run)(rn_backend *be, rn_capture c);
    void (*capture_close)(rn_backend *be, rn_capture c); /* accepts NULL */

    /*
     * Sums over the ranks of a job from device to device, without the host, in the order of a stream. NULL slots: this kind of
     * device has no such thing. All ranks call, in the same order.
     * ranks_open, once: RN_E_ABSENT or RN_E_UNSUPPORTED, the same on every rank, where it cannot be. From then on ops that are given
     * this communicator use it as well. vary: results may differ from run to run in their last bits.
     * ranks_sum: n values in place, become the ranks' sum, or their mean.
     */
    int (*ranks_open)(rn_backend *be, struct rn_comm *comm, bool vary);
    int (*ranks_sum)(rn_backend *be, float *v, int64_t n, bool mean, rn_stream s);
    char ranks[128]; /* what does it, with its version; "" until opened */

    /* For whoever measures. */
    size_t cache_bytes;     /* of the device's last cache; 0: unknown, or the CPU's */
    const rn_probe *probes; /* NULL: the backend has none */
    /* Ranges that a profiler shows, and can be told to look at alone; they nest. NULL: the backend has none. name NULL ends the last
     * one that began. */
    void (*range)(rn_backend *be, const char *name);

    bool bn_masks;                         /* bn_fwd and bn_bwd take masks (rn_op.h), and are faster for it */
    const rn_ops *ops;                     /* every slot of it that is not documented optional is set */
    const rn_conv_algo *const *conv_algos; /* NULL-terminated, best first, reference last */

    void (*close)(rn_backend *be);
    void *priv;
};

typedef struct rn_backend_entry {
    const char *device; /* what --device names */
    /* RN_E_ABSENT (exit 77) when there is no such device or driver on this machine. */
    int (*open)(const rn_backend_opts *opts, rn_backend **out);
} rn_backend_entry;

/* Opens the entry named `device` of a table ended by {NULL, NULL}. */
int rn_backend_open(const rn_backend_entry *table, const char *device, const rn_backend_opts *opts, rn_backend **out);
void rn_backend_close(rn_backend *be); /* accepts NULL */

/* Of alloc_host, or where that is NULL the host's own; zeros. */
int rn_backend_alloc_host(rn_backend *be, size_t bytes, void **out);
void rn_backend_free_host(rn_backend *be, void *p); /* accepts NULL */

#endif
