/* SPDX-License-Identifier: MIT */
#include "kernels/cuda/cuda_tensor_map.h"

#include "kernels/cuda/cuda_launch.h"

/* Of corners; of offsets, which are not signed; of steps. */
enum { CORNER_LEAST = -128, CORNER_MOST = 127, OFFSETS = 256, STEP_MOST = 8 };

typedef decltype(&cuTensorMapEncodeTiled) encode_tiled;
typedef decltype(&cuTensorMapEncodeIm2col) encode_pixels;

static void *driver_function(const char *name)
{
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    void *fn = NULL;

#if CUDART_VERSION >= 12050
    const cudaError_t err = cudaGetDriverEntryPointByVersion(name, &fn, 12000, cudaEnableDefault, &found);
#else
    const cudaError_t err = cudaGetDriverEntryPoint(name, &fn, cudaEnableDefault, &found);
#endif
    if (err != cudaSuccess)
        (void)cudaGetLastError(); /* an old driver has none: no launch is to find that */
    return err == cudaSuccess && found == cudaDriverEntryPointSuccess ? fn : NULL;
}

/* Looked up once. */
static encode_tiled tiled(void)
{
    static const encode_tiled fn = (encode_tiled)driver_function("cuTensorMapEncodeTiled");

    return fn;
}

static encode_pixels pixels_encoder(void)
{
    static const encode_pixels fn = (encode_pixels)driver_function("cuTensorMapEncodeIm2col");

    return fn;
}

bool rn_tensor_map_known(void)
{
    return tiled() && pixels_encoder();
}

static CUtensorMapDataType type_of(rn_dtype type)
{
    return type == RN_BF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
}

static int status(CUresult r, const char *what, const void *tensor)
{
    if (r == CUDA_SUCCESS)
        return RN_OK;
    return rn_fail(RN_E_RANGE, "cuda: the driver makes no tensor map of %s at %p: error %d", what, tensor, (int)r);
}

int rn_tensor_map_tile(CUtensorMap *map, rn_dtype type, const void *tensor, int rank, const int64_t *dims,
                       const int *box)
{
    cuuint64_t dim[3], stride[3], bytes = 2;
    cuuint32_t boxes[3], step[3];

    for (int i = 0; i < rank; i++) {
        bytes *= (cuuint64_t)dims[i];
        dim[i] = (cuuint64_t)dims[i];
        stride[i] = bytes;
        boxes[i] = (cuuint32_t)(i ? box[i] : RN_MAP_VALUES);
        step[i] = 1;
    }
    return status(tiled()(map, type_of(type), (cuuint32_t)rank, (void *)tensor, dim, stride, boxes, step,
                          CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                          CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
                  "a matrix", tensor);
}

/* The last pixel, counted from the tensor's last one. */
static int64_t upper(const rn_map_side *s)
{
    return (int64_t)s->first + (int64_t)(s->count - 1) * s->step - (s->size - 1);
}

bool rn_map_side_fits(const rn_map_side *s, int taps)
{
    const int64_t high = upper(s);

    return s->step <= STEP_MOST && s->first >= CORNER_LEAST && s->first <= CORNER_MOST && high >= CORNER_LEAST &&
           high <= CORNER_MOST && taps <= OFFSETS;
}

int rn_tensor_map_pixels(CUtensorMap *map, rn_dtype type, const void *tensor, int images, const rn_map_side *y,
                         const rn_map_side *x, int channels, int pixels)
{
    const cuuint64_t dim[] = {(cuuint64_t)channels, (cuuint64_t)x->size, (cuuint64_t)y->size, (cuuint64_t)images};
    const cuuint64_t stride[] = {2 * dim[0], 2 * dim[0] * dim[1], 2 * dim[0] * dim[1] * dim[2]};
    const cuuint32_t step[] = {1, (cuuint32_t)x->step, (cuuint32_t)y->step, 1};
    /* In the order of the dimensions, as CUTLASS and Triton give them and as the instruction has its offsets: x before y, although cuda.h
     * says {D, H, W}. */
    const int low[] = {x->first, y->first}, high[] = {(int)upper(x), (int)upper(y)};

    return status(pixels_encoder()(map, type_of(type), 4, (void *)tensor, dim, stride, low, high, RN_MAP_VALUES,
                                   (cuuint32_t)pixels, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                   CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
                  "pixels", tensor);
}
