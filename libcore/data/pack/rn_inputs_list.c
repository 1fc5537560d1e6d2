/* SPDX-License-Identifier: MIT */
/* Caffe's list: a line is a path, one blank, a label; the label follows the LAST blank, so paths may hold blanks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "data/pack/rn_inputs.h"

enum { LABEL_MAX = 999999 };

/* Caffe takes "name 5 " (a blank at the end) for the file "name 5" with label 0; here it is an error. */
static int add_line(rn_inputs *s, const char *file, int number, char *line, int64_t *highest)
{
    int64_t label;
    char *blank = strrchr(line, ' ');
    size_t n = strlen(line);
    if (n && line[n - 1] == '\r')
        return rn_fail(RN_E_FORMAT, "%s:%d: a carriage return at its end (DOS); take them away with tr -d '\\r'", file,
                       number);
    if (n && line[n - 1] == ' ')
        return rn_fail(
            RN_E_FORMAT,
            "%s:%d: a blank at its end, with which Caffe takes the label for a part of the path; take it away", file,
            number);
    if (!blank || blank == line || blank[-1] == ' ')
        return rn_fail(RN_E_FORMAT, "%s:%d: not \"path label\" with one blank between", file, number);
    if (rn_parse_i64(blank + 1, 0, LABEL_MAX, &label) < 0)
        return rn_fail(RN_E_FORMAT, "%s:%d: label '%s' is not a number from 0 to %d", file, number, blank + 1,
                       LABEL_MAX);
    *blank = '\0';
    if (label > *highest)
        *highest = label;
    int rc = rn_inputs_add(s, line, 0, 0, (int32_t)label);
    return rc < 0 ? rn_fail_prefix(rc, "%s:%d", file, number) : RN_OK;
}

int rn_inputs_parse_list(rn_inputs *s, const char *file, char *text, int64_t *highest)
{
    int number = 0;
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0) /* not seen in a message that names the path */
        return rn_fail(RN_E_FORMAT, "%s:1: a byte-order mark at its start; take it away with tail -c +4", file);
    for (char *line = text, *next; line && *line; line = next) {
        char *nl = strchr(line, '\n');
        next = nl ? nl + 1 : NULL;
        if (nl)
            *nl = '\0';
        RN_TRY(add_line(s, file, ++number, line, highest));
    }
    return RN_OK;
}

/* Without a class list the labels' own numbers are the names. */
static int name_classes(rn_inputs *s, const char *file, const char *root, int64_t highest)
{
    char up[4096], beside[4096];
    snprintf(beside, sizeof beside, "%s", file);
    char *slash = strrchr(beside, '/');
    if (slash)
        *slash = '\0';
    RN_TRY(rn_path_join(up, sizeof up, root, ".."));
    const char *const places[] = {root, up, slash ? beside : ".", NULL};
    int found = rn_inputs_find_classes(s, places);
    RN_TRY(found);
    for (int64_t i = 0; !found && i <= highest; i++) {
        char name[16];
        snprintf(name, sizeof name, "%06d", (int)i); /* ascending as text, too */
        RN_TRY(rn_inputs_add_class(s, name, ""));
    }
    return RN_OK;
}

int rn_inputs_open_list(const char *file, const char *root, rn_inputs **out)
{
    rn_inputs *s = NULL;
    char *text = NULL;
    size_t n = 0;
    int64_t highest = -1;
    int rc;
    *out = NULL;
    if (!rn_is_dir(root))
        return rn_fail(RN_E_NOENT, "%s: no such folder; --root names the one that the list's paths begin in", root);
    RN_GO(rn_inputs_new("list", root, &s));
    RN_GO(rn_read_text(file, 0, &text, &n));
    RN_GO(rn_inputs_parse_list(s, file, text, &highest));
    if (s->n == 0) {
        rc = rn_fail(RN_E_NOTHING, "%s: no line in it; each is \"path label\"", file);
        goto out;
    }
    RN_GO(name_classes(s, file, root, highest));
    RN_GO(rn_inputs_finish(s));
    *out = s;
    s = NULL;
out:
    free(text);
    rn_inputs_close(s);
    return rc;
}
