/* SPDX-License-Identifier: MIT */
/*
 * What the emulated device tells its checker, which is there where RN_EMU_CHECKED is defined: in rnkit_cuda_checked.so, whose kernels
 * are compiled with -fsanitize=thread,undefined. The calls that those put into the code go to emulate_check.cpp and not
 * to a sanitizer, which would know nothing of blocks and warps. What it finds ends the program:
 *   - races: two threads of a block that touch the same bytes of shared or of device memory, one of them writing, with no
 *     __syncthreads between, nor a __syncwarp that both are in; two blocks of a launch, always; two launches or copies that no
 *     stream, event or wait of the host puts in order. Shuffles, ldmatrix and mma order nothing: CUDA does not say that they do;
 *   - what a cp.async writes, touched between its issue and the wait for it, by the thread itself as well;
 *   - shared memory that is read though this block has not written it, device memory that nobody has;
 *   - shared memory beyond what the launch asked for, device memory outside every allocation, the host's memory, another
 *     thread's local variables;
 *   - an address that is not a multiple of what its type is aligned to (on a GPU a fault), an index outside an array, and the rest
 *     of what C++ leaves undefined: sums of 32 bits that overflow, shifts by too much.
 * A thing found is not the only one. What it does not find: more than two readers of a place at once are forgotten, if those two
 * are of different warps; nothing that is a matter of time.
 *
 * All of it is called by the one thread of the host that drives the device.
 */
#ifndef EMULATE_CHECK_H
#define EMULATE_CHECK_H

#include <stddef.h>
#include <stdint.h>

#ifdef RN_EMU_CHECKED

/* A kernel begins, with its shared memory; a block of it, by its number; a thread is switched to (-1: away from), with its stack. */
void rn_check_kernel(const char *name, const char *shared, size_t bytes);
void rn_check_block(uint64_t block);
void rn_check_thread(int thread, const char *stack, size_t bytes);

/* All threads of the block have met; those of a warp, or of some other group. */
void rn_check_barrier(void);
void rn_check_meet(const int *threads, int count);

/* What thread `thread` has done before it releases `object` comes before what any does that acquires it later: mbarriers and
 * such. A new phase of the object is another object to begin with. */
void rn_check_release(int thread, const void *object);
void rn_check_acquire(int thread, const void *object);
void rn_check_forget(const void *object);

/* The thread that runs touches memory by an instruction of its own: as a load or a store would, aligned to `align`. */
void rn_check_access(const void *p, size_t bytes, size_t align, bool write);
/* It reads, and makes nothing of what nobody has written there. */
void rn_check_any(const void *p, size_t bytes);
/* It lets shared memory be written behind its back; what `thread` let be written there has come. */
void rn_check_async(const void *p, size_t bytes);
void rn_check_async_done(int thread, const void *p, size_t bytes);

/* Device memory comes and goes; host: the host's, page-locked, that kernels may touch as well. */
void rn_check_alloc(const void *p, size_t bytes, bool host);
void rn_check_free(const void *p);

/* An operation is given to a stream: its number. It begins (the number of that which ran before, 0: none) and ends. */
unsigned rn_check_give(const void *stream);
unsigned rn_check_begin(unsigned op);
void rn_check_end(unsigned before);
/* The operation that runs reads or writes device memory; other memory is not looked at. */
void rn_check_copied(const void *p, size_t bytes, bool write);
/* The host waits for all that was given to a stream (NULL: to any). */
void rn_check_wait(const void *stream);
void rn_check_record(const void *event, const void *stream);
void rn_check_wait_event(const void *stream, const void *event); /* stream NULL: the host waits */

#else

static inline void rn_check_kernel(const char *, const char *, size_t) {}
static inline void rn_check_block(uint64_t) {}
static inline void rn_check_thread(int, const char *, size_t) {}
static inline void rn_check_barrier(void) {}
static inline void rn_check_meet(const int *, int) {}
static inline void rn_check_release(int, const void *) {}
static inline void rn_check_acquire(int, const void *) {}
static inline void rn_check_forget(const void *) {}
static inline void rn_check_access(const void *, size_t, size_t, bool) {}
static inline void rn_check_any(const void *, size_t) {}
static inline void rn_check_async(const void *, size_t) {}
static inline void rn_check_async_done(int, const void *, size_t) {}
static inline void rn_check_alloc(const void *, size_t, bool) {}
static inline void rn_check_free(const void *) {}
static inline unsigned rn_check_give(const void *)
{
    return 0;
}
static inline unsigned rn_check_begin(unsigned)
{
    return 0;
}
static inline void rn_check_end(unsigned) {}
static inline void rn_check_copied(const void *, size_t, bool) {}
static inline void rn_check_wait(const void *) {}
static inline void rn_check_record(const void *, const void *) {}
static inline void rn_check_wait_event(const void *, const void *) {}

#endif
#endif
