/* SPDX-License-Identifier: MIT */
/* The emulated device's memory, the host's page-locked one, and copies. */
#include <stdio.h>
#include <sys/mman.h>

#include <map>

#include "cuda.h"
#include "emulate.h"
#include "emulate_check.h"

/* Pages of which the last follows the allocation at once, but for what 256-byte alignment leaves: those bytes are canaries. */
typedef struct memory {
    char *map;
    size_t mapped, bytes;
} memory;

static std::map<uintptr_t, memory> device;
static std::map<uintptr_t, size_t> locked; /* the host's page-locked memory */
static const unsigned char CANARY = 0xa5;

static size_t pages(size_t bytes)
{
    return (bytes + 4095) / 4096 * 4096;
}

void emu_open_memory(bool open)
{
    for (auto &m : device)
        mprotect(m.second.map, m.second.mapped - 4096, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    size_t free, total;

    emu_not_captured("cudaMalloc");
    emu_counts.allocations += emu_driver.waited;
    cudaMemGetInfo(&free, &total);
    if (bytes > free)
        return emu_driver.error = cudaErrorMemoryAllocation;
    memory m = {NULL, 0, bytes};
    const size_t room = (bytes + 255) / 256 * 256;

    m.mapped = pages(room) + 4096;
    m.map = (char *)mmap(NULL, m.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m.map == MAP_FAILED)
        return emu_driver.error = cudaErrorMemoryAllocation;
    char *p = m.map + pages(room) - room;
    memset(p, 0xff, bytes);
    memset(p + bytes, CANARY, room - bytes);
    mprotect(m.map, m.mapped, PROT_NONE);
    device[(uintptr_t)p] = m;
    rn_check_alloc(p, bytes, false);
    *out = p;
    return cudaSuccess;
}

/* RNKIT_EMULATE_MEMORY=MIB: what the device has; 2 GiB. */
cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    const char *text = getenv("RNKIT_EMULATE_MEMORY");
    size_t used = 0;

    *total = text ? (size_t)atoll(text) << 20 : (size_t)1 << 31;
    for (const auto &m : device)
        used += m.second.bytes;
    *free = used < *total ? *total - used : 0;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    const auto at = device.find((uintptr_t)p);

    if (!p)
        return cudaSuccess;
    cudaDeviceSynchronize();
    if (at == device.end())
        emu_stop("cudaFree of what is not an allocation");
    const memory m = at->second;
    mprotect(m.map, m.mapped - 4096, PROT_READ);
    for (size_t i = m.bytes; i < (m.bytes + 255) / 256 * 256; i++)
        if (((unsigned char *)p)[i] != CANARY)
            emu_stop("something was written behind an allocation");
    munmap(m.map, m.mapped);
    device.erase(at);
    rn_check_free(p);
    return cudaSuccess;
}

bool emu_allocated(const void *p, size_t bytes)
{
    auto at = device.upper_bound((uintptr_t)p);

    if (at == device.begin())
        return false;
    at--;
    return (uintptr_t)p - at->first <= at->second.bytes && bytes <= at->second.bytes - ((uintptr_t)p - at->first);
}

bool emu_is_locked(const void *p)
{
    auto at = locked.upper_bound((uintptr_t)p);

    if (at == locked.begin())
        return false;
    at--;
    return (uintptr_t)p - at->first < at->second;
}

/* A kernel reads page-locked memory as well. */
bool rn_emu_on_device(const void *p, uint64_t bytes)
{
    auto at = locked.upper_bound((uintptr_t)p);

    if (at != locked.begin() && (--at, (uintptr_t)p - at->first < at->second))
        return bytes <= at->second - ((uintptr_t)p - at->first);
    return emu_allocated(p, (size_t)bytes);
}

cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned)
{
    emu_not_captured("cudaHostAlloc");
    const size_t room = (bytes + 255) / 256 * 256;

    *out = aligned_alloc(256, room);
    if (!*out)
        return emu_driver.error = cudaErrorMemoryAllocation;
    locked[(uintptr_t)*out] = room;
    rn_check_alloc(*out, bytes, true);
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p)
{
    cudaDeviceSynchronize();
    locked.erase((uintptr_t)p);
    rn_check_free(p);
    free(p);
    return cudaSuccess;
}

/*
 * RNKIT_EMULATE_PAGEABLE=1: the device reads and writes the host's own memory itself, as those do that share its page tables, and a
 * copy of it is as late as any other.
 */
bool emu_reads_host(void)
{
    return getenv("RNKIT_EMULATE_PAGEABLE") != NULL;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p)
{
    a->type = emu_allocated(p, 1) ? cudaMemoryTypeDevice
              : emu_is_locked(p)  ? cudaMemoryTypeHost
                                  : cudaMemoryTypeUnregistered;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind, cudaStream_t s)
{
    emu_called(false);
    if (emu_allocated(dst, bytes) != (kind != cudaMemcpyDeviceToHost) ||
        emu_allocated(src, bytes) != (kind != cudaMemcpyHostToDevice)) {
        fprintf(stderr, "emulated device: a copy of %zu bytes whose ends are not where its kind %d says\n", bytes,
                (int)kind);
        abort();
    }
    const bool own = (kind == cudaMemcpyHostToDevice && !emu_is_locked(src)) ||
                     (kind == cudaMemcpyDeviceToHost && !emu_is_locked(dst));
    if (own)
        emu_not_captured("a copy of the host's own memory");
    emu_give(s, [=]() { rn_emu_move(dst, src, bytes); });
    if (own && !emu_reads_host()) {
        emu_counts.waits++;
        emu_run_dry(emu_stream_of(s)); /* the call waits */
        rn_check_wait(emu_stream_of(s));
    }
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *dst, int byte, size_t bytes, cudaStream_t s)
{
    emu_called(false);
    if (!emu_allocated(dst, bytes)) {
        fprintf(stderr, "emulated device: a memset of %zu bytes that are not on the device\n", bytes);
        abort();
    }
    emu_give(s, [=]() {
        emu_open_memory(true);
        memset(dst, byte, bytes);
        emu_open_memory(false);
        rn_check_copied(dst, bytes, true);
    });
    return cudaSuccess;
}

int rn_emu_has(const void *p, size_t bytes)
{
    return emu_allocated(p, bytes) || (emu_is_locked(p) && emu_is_locked((const char *)p + bytes - 1));
}

void rn_emu_move(void *dst, const void *src, size_t bytes)
{
    emu_open_memory(true);
    memmove(dst, src, bytes);
    emu_open_memory(false);
    rn_check_copied(src, bytes, false);
    rn_check_copied(dst, bytes, true);
}
