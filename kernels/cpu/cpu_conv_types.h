/* SPDX-License-Identifier: MIT */
/*
 * cpu_conv_gather.h for tensors of f32, bf16 and f16, all gathered as f32. Beside the words of cpu_conv_tile.h the
 * including file defines h_load_bf16(p), h_load_n_bf16(p, n) and the same with f16: VL numbers as a `vec`, or the first n
 * of them and zeros; h_round_bf16(v) and h_round_f16(v); and TABLE_OF(type).
 */
#define TABLE              TABLE_OF(f32)
#define TYPED(name)        name##_f32
#define ELEM               float
#define PART               float
#define PER                1
#define GL                 VL
#define PUT_ROWS           NULL
#define g_zero()           v_zero()
#define g_load(p)          v_load(p)
#define g_load_n(p, n)     v_load_n(p, n)
#define g_store(p, v)      v_store(p, v)
#define g_store_n(p, v, n) v_store_n(p, v, n)
#define w_load(p)          g_load(p)
#define w_load_n(p, n)     g_load_n(p, n)
#define w_round(v)         (v)
#define CELLS(p, q, n)     ((void)(q), !(p) || (n) == 0 ? v_zero() : (n) == VL ? v_load(p) : v_load_n(p, n))
#include "kernels/cpu/cpu_conv_gather.h"

#define TABLE              TABLE_OF(bf16)
#define TYPED(name)        name##_bf16
#define ELEM               uint16_t
#define PART               float
#define PER                1
#define GL                 VL
#define PUT_ROWS           NULL
#define g_zero()           v_zero()
#define g_load(p)          h_load_bf16(p)
#define g_load_n(p, n)     h_load_n_bf16(p, n)
#define g_store(p, v)      v_store(p, v)
#define g_store_n(p, v, n) v_store_n(p, v, n)
#define w_load(p)          g_load(p)
#define w_load_n(p, n)     g_load_n(p, n)
#define w_round(v)         h_round_bf16(v)
#define CELLS(p, q, n)     ((void)(q), !(p) || (n) == 0 ? v_zero() : (n) == VL ? h_load_bf16(p) : h_load_n_bf16(p, n))
#include "kernels/cpu/cpu_conv_gather.h"

#define TABLE              TABLE_OF(f16)
#define TYPED(name)        name##_f16
#define ELEM               uint16_t
#define PART               float
#define PER                1
#define GL                 VL
#define PUT_ROWS           NULL
#define g_zero()           v_zero()
#define g_load(p)          h_load_f16(p)
#define g_load_n(p, n)     h_load_n_f16(p, n)
#define g_store(p, v)      v_store(p, v)
#define g_store_n(p, v, n) v_store_n(p, v, n)
#define w_load(p)          g_load(p)
#define w_load_n(p, n)     g_load_n(p, n)
#define w_round(v)         h_round_f16(v)
#define CELLS(p, q, n)     ((void)(q), !(p) || (n) == 0 ? v_zero() : (n) == VL ? h_load_f16(p) : h_load_n_f16(p, n))
#include "kernels/cpu/cpu_conv_gather.h"
