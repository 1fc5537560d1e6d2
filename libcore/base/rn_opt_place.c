/* SPDX-License-Identifier: MIT */
/* What a check made after all values were read says of --key, told of the file that the value came out of. */
#include <ctype.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt_rows.h"

/* The place of the option whose name begins at `p`, NULL when that is none, or of no file; *len is the name's. */
static const rn_opt_place *place_of(const rn_opt_spec *spec, const rn_opt_result *res, const char *p, size_t *len)
{
    *len = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-");
    const int row = rn_opt_find(spec, p, *len);
    return row >= 0 && res->places[row].file ? &res->places[row] : NULL;
}

/* `text` without the dashes of what came out of files (of its first word alone, with `leading`); *first is the place of the
 * first of them. */
static int without_dashes(const rn_opt_spec *spec, const rn_opt_result *res, const char *text, bool leading,
                          rn_buf *out, const rn_opt_place **first)
{
    *first = NULL;
    for (const char *p = text, *dashes; *p; p = dashes) {
        size_t len = 0;
        const rn_opt_place *at = NULL;
        dashes = leading && p > text ? NULL : strstr(p, "--");
        if (!dashes)
            return rn_buf_printf(out, "%s", p);
        RN_TRY(rn_buf_append(out, p, (size_t)(dashes - p)));
        if (dashes == text || (!isalnum((unsigned char)dashes[-1]) && dashes[-1] != '-'))
            at = place_of(spec, res, dashes + 2, &len);
        if (!*first)
            *first = at;
        RN_TRY(rn_buf_append(out, at ? dashes + 2 : dashes, at ? len : 2));
        dashes += at ? 2 + len : 2;
    }
    return rn_buf_append(out, "", 1);
}

int rn_opt_place_error(const rn_opt_spec *spec, const rn_opt_result *res, int rc)
{
    rn_buf text = {0};
    const rn_opt_place *at;
    const bool leading = rc != RN_E_USAGE;
    if (rc >= 0 || !res->places || (leading && strncmp(rn_error_text(), "--", 2) != 0))
        return rc;
    if (without_dashes(spec, res, rn_error_text(), leading, &text, &at) == RN_OK && at) {
        const char *told = (const char *)text.data;
        if (at->line)
            rn_fail(rc, "%s:%d: %s", at->file, at->line, told);
        else
            rn_fail(rc, "%s: %s", at->file, told);
    }
    rn_buf_free(&text);
    return rc;
}
