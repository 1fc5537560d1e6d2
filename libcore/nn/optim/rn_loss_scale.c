/* SPDX-License-Identifier: MIT */
#include "nn/optim/rn_loss_scale.h"

#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"

int rn_loss_scale_parse(const char *text, bool f16, bool *dynamic, double *start)
{
    static const char prefix[] = "dynamic:";
    *dynamic = text ? strncmp(text, "dynamic", 7) == 0 : f16;
    *start = *dynamic ? RN_LOSS_SCALE_START : 1;
    if (!text || strcmp(text, "none") == 0 || strcmp(text, "dynamic") == 0)
        return RN_OK;
    if (*dynamic && strncmp(text, prefix, strlen(prefix)) == 0)
        text += strlen(prefix);
    if (rn_parse_real(text, 1, 0x1p64, start) < 0)
        return rn_fail(RN_E_USAGE, "--loss-scale %s: give dynamic, dynamic:START, none, or a number from 1 to 2^64",
                       text);
    return RN_OK;
}

int rn_loss_scale_check(const rn_loss_scale *s)
{
    if (!(s->scale >= RN_LOSS_SCALE_FLOOR))
        return rn_fail(RN_E_MISMATCH,
                       "the loss scale has fallen below %d, and the gradients still overflow f16 (%lld steps left out)",
                       RN_LOSS_SCALE_FLOOR, (long long)s->skipped);
    return RN_OK;
}
