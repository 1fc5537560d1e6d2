/* SPDX-License-Identifier: MIT */
#include "nn/graph/rn_param.h"

#include <string.h>

int rn_param_file_dims(const rn_param *p, int64_t dim[4])
{
    memcpy(dim, p->dim, sizeof p->dim);
    if (p->kind == RN_PARAM_CONV) {
        dim[1] = p->dim[3];
        dim[2] = p->dim[1];
        dim[3] = p->dim[2];
        return 4;
    }
    if (p->kind != RN_PARAM_LINEAR)
        return p->nd;
    dim[1] = p->count / p->dim[0];
    dim[2] = dim[3] = 1;
    return p->file_1x1 ? 4 : 2;
}

bool rn_param_permuted(const rn_param *p)
{
    return p->nd == 4 && p->dim[1] * p->dim[2] > 1 && p->dim[3] > 1;
}

/* (o, hw, c) -> (o, c, hw), or back. */
static void permute(const rn_param *p, const float *from, float *to, bool to_file)
{
    int64_t oc = p->dim[0], hw = p->dim[1] * p->dim[2], c = p->dim[3];
    for (int64_t o = 0; o < oc; o++, from += hw * c, to += hw * c)
        for (int64_t s = 0; s < hw; s++)
            for (int64_t i = 0; i < c; i++)
                if (to_file)
                    to[i * hw + s] = from[s * c + i];
                else
                    to[s * c + i] = from[i * hw + s];
}

void rn_param_to_file(const rn_param *p, const float *mem, float *file)
{
    if (rn_param_permuted(p))
        permute(p, mem, file, true);
    else
        memcpy(file, mem, (size_t)p->count * sizeof *mem);
}

void rn_param_from_file(const rn_param *p, const float *file, float *mem)
{
    if (rn_param_permuted(p))
        permute(p, file, mem, false);
    else
        memcpy(mem, file, (size_t)p->count * sizeof *mem);
}
