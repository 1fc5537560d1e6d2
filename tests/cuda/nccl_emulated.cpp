/* SPDX-License-Identifier: MIT */
/*
 * NCCL's calls among processes of one machine whose devices are emulated: what nccl.h beside this file declares, through a file
 * that all ranks map. As the library's, sums are in f32, and are made when the stream comes to them: with the emulated device,
 * when somebody waits. RNKIT_EMULATE_NCCL=fail: ranks cannot join; lose: no rank comes to the first sum that is waited for, which
 * the library finds out a little later, and which ends when the communicator is given up.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <new>
#include <vector>

#include "nccl.h"

enum { RANKS_MOST = 16, CHUNK = 1 << 16 }; /* bytes of a rank at a time */

typedef struct shared {
    std::atomic<int> here, turn; /* of a barrier */
    char data[RANKS_MOST][CHUNK];
} shared;

/* What the emulated device has for us. */
typedef void give_fn(cudaStream_t s, void (*fn)(void *with), void *with);
typedef void move_fn(void *dst, const void *src, size_t bytes);

struct ncclComm {
    int rank, size;
    shared *all;
    give_fn *give;
    move_fn *move;
    bool loses;
    int asked; /* whether there was an error, since a sum was given last */
    std::atomic<bool> aborted;
};

static const char *last = "";

static ncclResult_t say(ncclResult_t result, const char *text)
{
    last = text;
    return result;
}

static void barrier(const ncclComm *c)
{
    const int turn = c->all->turn.load();

    if (c->all->here.fetch_add(1) + 1 == c->size) {
        c->all->here.store(0);
        c->all->turn.fetch_add(1);
        return;
    }
    while (c->all->turn.load() == turn)
        usleep(50);
}

/* ---- joining ---- */

ncclResult_t ncclGetVersion(int *version)
{
    *version = 29900; /* none that exists */
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    return result == ncclSuccess ? "no error" : result == ncclRemoteError ? "remote error" : "unhandled system error";
}

const char *ncclGetLastError(ncclComm_t)
{
    return last;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    const char *folder = getenv("TMPDIR");

    memset(id, 0, sizeof *id);
    if (snprintf(id->internal, sizeof id->internal, "%s/rnkit-nccl.XXXXXX", folder ? folder : "/tmp") >=
        (int)sizeof id->internal)
        return say(ncclSystemError, "TMPDIR is too long");
    const int fd = mkstemp(id->internal);
    if (fd < 0 || ftruncate(fd, sizeof(shared)) != 0)
        return say(ncclSystemError, "no file for ranks to meet in");
    close(fd);
    return ncclSuccess;
}

static ncclResult_t find_device(ncclComm *c)
{
    void *so = dlopen(getenv("RNKIT_CUDA_MODULE"), RTLD_NOW | RTLD_NOLOAD);

    c->give = so ? (give_fn *)dlsym(so, "rn_emu_give") : NULL;
    c->move = so ? (move_fn *)dlsym(so, "rn_emu_move") : NULL;
    return c->give && c->move ? ncclSuccess : say(ncclSystemError, "no emulated device is loaded");
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int size, ncclUniqueId id, int rank)
{
    const char *how = getenv("RNKIT_EMULATE_NCCL");
    const int fd = open(id.internal, O_RDWR);

    *comm = NULL;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (how && strcmp(how, "fail") == 0) {
        unlink(id.internal);
        return say(ncclSystemError, "told to fail");
    }
    if (at == MAP_FAILED || size > RANKS_MOST)
        return say(ncclSystemError, "ranks cannot meet");
    ncclComm *c = new ncclComm{rank, size,   (shared *)at, NULL, NULL, how && strcmp(how, "lose") == 0,
                               0,    {false}}; /* the file began as zeros: what the atomics are */
    const ncclResult_t found = find_device(c);
    if (found != ncclSuccess)
        return found;
    barrier(c);
    if (rank == 0)
        unlink(id.internal);
    *comm = c;
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t c)
{
    c->aborted.store(true);
    if (c->loses) /* a stream may still come to what it was given */
        return ncclSuccess;
    munmap(c->all, sizeof *c->all);
    delete c;
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *error)
{
    if (c->aborted.load())
        return say(ncclInvalidArgument, "a communicator that was given up");
    *error = c->loses && ++c->asked > 3 ? say(ncclRemoteError, "told to lose a rank") : ncclSuccess;
    return ncclSuccess;
}

/* ---- collectives ---- */

typedef struct work { /* kept to the program's end: a graph may run it many times */
    ncclComm *c;
    const char *src;
    char *dst;
    size_t bytes; /* of src */
    bool gathers, mean;
} work;

/* Of the floats of all ranks, rank by rank. */
static void add_up(const ncclComm *c, size_t bytes, bool mean, float *out)
{
    for (size_t i = 0; i < bytes / sizeof(float); i++) {
        float sum = 0;
        for (int r = 0; r < c->size; r++)
            sum += ((const float *)(const void *)c->all->data[r])[i];
        out[i] = mean ? sum / (float)c->size : sum;
    }
}

static void run(void *with)
{
    const work *w = (const work *)with;
    const ncclComm *c = w->c;
    std::vector<float> sum(CHUNK / sizeof(float));

    while (c->loses && !c->aborted.load())
        usleep(50);
    if (c->loses)
        return;
    for (size_t at = 0; at < w->bytes; at += CHUNK) {
        const size_t some = w->bytes - at < CHUNK ? w->bytes - at : (size_t)CHUNK;
        c->move(c->all->data[c->rank], w->src + at, some);
        barrier(c);
        if (w->gathers) {
            for (int r = 0; r < c->size; r++)
                c->move(w->dst + (size_t)r * w->bytes + at, c->all->data[r], some);
        } else {
            add_up(c, some, w->mean, sum.data());
            c->move(w->dst + at, sum.data(), some);
        }
        barrier(c);
    }
}

ncclResult_t ncclAllReduce(const void *src, void *dst, size_t n, ncclDataType_t type, ncclRedOp_t op, ncclComm_t c,
                           cudaStream_t s)
{
    if (type != ncclFloat32 || (op != ncclSum && op != ncclAvg))
        return say(ncclInvalidArgument, "floats alone are added up here");
    c->asked = 0;
    c->give(s, run, new work{c, (const char *)src, (char *)dst, n * sizeof(float), false, op == ncclAvg});
    return ncclSuccess;
}

ncclResult_t ncclAllGather(const void *src, void *dst, size_t n, ncclDataType_t type, ncclComm_t c, cudaStream_t s)
{
    const size_t size = type == ncclFloat32 ? sizeof(float) : sizeof(double);

    c->asked = 0;
    c->give(s, run, new work{c, (const char *)src, (char *)dst, n * size, true, false});
    return ncclSuccess;
}
