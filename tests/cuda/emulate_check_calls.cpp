/* SPDX-License-Identifier: MIT */
/*
 * What -fsanitize=thread and -fsanitize=undefined have the kernels call (GCC, by its libsanitizer's interface), handed on to
 * the checker.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cuda_runtime.h"
#include "emulate_check.h"

void rn_check_touch(const void *p, size_t bytes, bool write, const void *caller);

#define LOCAL extern "C" __attribute__((visibility("hidden")))
#define CALLS(n)                                                                                                       \
    LOCAL void __tsan_read##n(const void *p);                                                                          \
    LOCAL void __tsan_write##n(const void *p);                                                                         \
    void __tsan_read##n(const void *p)                                                                                 \
    {                                                                                                                  \
        rn_check_touch(p, n, false, __builtin_return_address(0));                                                      \
    }                                                                                                                  \
    void __tsan_write##n(const void *p)                                                                                \
    {                                                                                                                  \
        rn_check_touch(p, n, true, __builtin_return_address(0));                                                       \
    }
CALLS(1)
CALLS(2)
CALLS(4)
CALLS(8)
CALLS(16)

LOCAL void __tsan_read_range(const void *p, size_t bytes);
void __tsan_read_range(const void *p, size_t bytes)
{
    rn_check_touch(p, bytes, false, __builtin_return_address(0));
}

LOCAL void __tsan_write_range(const void *p, size_t bytes);
void __tsan_write_range(const void *p, size_t bytes)
{
    rn_check_touch(p, bytes, true, __builtin_return_address(0));
}

LOCAL void __tsan_init(void);
void __tsan_init(void) {}
LOCAL void __tsan_func_entry(const void *);
void __tsan_func_entry(const void *) {}
LOCAL void __tsan_func_exit(void);
void __tsan_func_exit(void) {}
LOCAL void __tsan_vptr_update(const void *, const void *);
void __tsan_vptr_update(const void *, const void *) {}

/* Guards of the host's static variables. */
LOCAL unsigned char __tsan_atomic8_load(const volatile unsigned char *p, int);
unsigned char __tsan_atomic8_load(const volatile unsigned char *p, int)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

/* ---- what types and arrays allow ---- */

struct place {
    const char *file;
    uint32_t line, column;
};
struct type {
    uint16_t kind, info;
    char name[1];
};
struct mismatch {
    struct place place;
    const struct type *type;
    unsigned char log_alignment, what;
};
struct outside {
    struct place place;
    const struct type *array, *index;
};

static void __attribute__((noreturn)) wrong(const struct place *at, const char *what, const struct type *type)
{
    fprintf(stderr, "emulated device: %s:%u, block %u,%u,%u thread %u,%u,%u: %s %s\n", at->file, at->line, blockIdx.x,
            blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, what, type->name);
    abort();
}

LOCAL void __ubsan_handle_type_mismatch_v1_abort(const struct mismatch *m, const void *p);
void __ubsan_handle_type_mismatch_v1_abort(const struct mismatch *m, const void *p)
{
    (void)p;
    wrong(&m->place, "an address that is not aligned for", m->type);
}

/* All that is undefined begins with its place. */
#define UNDEFINED(name, what)                                                                                          \
    LOCAL void __ubsan_handle_##name##_abort(const struct place *at);                                                  \
    void __ubsan_handle_##name##_abort(const struct place *at)                                                         \
    {                                                                                                                  \
        static const struct type none = {0, 0, ""};                                                                    \
        wrong(at, what, &none);                                                                                        \
    }
UNDEFINED(add_overflow, "a sum overflows")
UNDEFINED(sub_overflow, "a difference overflows")
UNDEFINED(mul_overflow, "a product overflows")
UNDEFINED(negate_overflow, "a number has no negative")
UNDEFINED(divrem_overflow, "a division by 0, or one that overflows")
UNDEFINED(shift_out_of_bounds, "a shift by too much")
UNDEFINED(load_invalid_value, "a bool that is neither true nor false")
UNDEFINED(pointer_overflow, "a pointer overflows")
UNDEFINED(vla_bound_not_positive, "an array of no length")
LOCAL void __ubsan_handle_builtin_unreachable(const struct place *at);
void __ubsan_handle_builtin_unreachable(const struct place *at)
{
    static const struct type none = {0, 0, ""};
    wrong(at, "a place that is not to be reached", &none);
}
LOCAL void __ubsan_handle_missing_return(const struct place *at);
void __ubsan_handle_missing_return(const struct place *at)
{
    static const struct type none = {0, 0, ""};
    wrong(at, "a function ends without its value", &none);
}

LOCAL void __ubsan_handle_out_of_bounds_abort(const struct outside *o, const void *index);
void __ubsan_handle_out_of_bounds_abort(const struct outside *o, const void *index)
{
    (void)index;
    wrong(&o->place, "an index outside of", o->array);
}
