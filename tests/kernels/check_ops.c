/* SPDX-License-Identifier: MIT */
#include "check_ops.h"

#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"

void check_ops_each(check_run *r, const char *group, const char *cas, const char *dir, check_ops_body body,
                    const void *what)
{
    for (int i = 0; i < CHECK_ISAS_ALL; i++) {
        if (!r->be[i] || !check_begin(r, &(check_id){group, cas, dir, "cpu:ops", check_isa_names[i]}))
            continue;
        body(r, r->be[i], what);
        check_end(r);
    }
}

float *check_copy(check_run *r, const float *p, size_t n)
{
    return memcpy(check_f32(r, n), p, n * sizeof *p);
}

void check_ran(check_run *r, const char *what, int rc)
{
    if (rc < 0)
        check_fail(r, "%s: %s", what, rn_error_text());
}

bool check_near(check_run *r, const char *what, const float *got, const float *want, const double *mag, size_t n,
                double tol)
{
    double *wide = check_bytes(r, n * sizeof *wide);
    for (size_t i = 0; i < n; i++)
        wide[i] = want[i];
    return check_close(r, what, got, wide, mag, n, tol);
}

bool check_bits(check_run *r, const char *what, const void *got, const void *want, size_t bytes)
{
    const uint8_t *a = got, *b = want;
    size_t i = 0;
    while (i < bytes && a[i] == b[i])
        i++;
    if (i < bytes)
        check_fail(r, "%s: other bits, first in byte %zu of %zu", what, i, bytes);
    return i == bytes;
}
