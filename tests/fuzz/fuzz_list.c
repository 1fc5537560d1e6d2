/* SPDX-License-Identifier: MIT */
/* Caffe's list of "path label" lines, the class list, and MD5SUMS. The first byte tells which. */
#include <string.h>

#include "base/rn_error.h"
#include "data/archive/rn_archive.h"
#include "data/meta/rn_manifest.h"
#include "data/pack/rn_inputs.h"
#include "fuzz.h"

static void check_lines(const rn_inputs *s, int64_t highest)
{
    for (uint32_t i = 0; i < s->n; i++) {
        RN_FUZZ_CHECK(s->input[i].label >= 0 && s->input[i].label <= highest);
        RN_FUZZ_CHECK(strlen(rn_input_path(s, i)) <= RN_INPUT_PATH_MAX);
        RN_FUZZ_CHECK(rn_archive_name_ok(rn_input_path(s, i)));
    }
}

static void check_classes(const rn_inputs *s)
{
    for (int i = 1; i < s->nclasses; i++)
        RN_FUZZ_CHECK(strcmp(s->classes[i - 1].wnid, s->classes[i].wnid) < 0);
    for (int i = 0; i < s->nclasses; i++)
        RN_FUZZ_CHECK(rn_inputs_class(s, s->classes[i].wnid) == i);
}

static void check_sums(char *text)
{
    rn_sums s;
    if (rn_sums_parse(text, "sums", &s) < 0)
        return;
    for (int i = 0; i < s.n; i++) {
        RN_FUZZ_CHECK(strlen(s.row[i].md5) == 32 && strspn(s.row[i].md5, "0123456789abcdef") == 32);
        RN_FUZZ_CHECK(s.row[i].name[0] && !strchr(s.row[i].name, '/') && rn_sums_find(&s, s.row[i].name));
    }
    rn_sums_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    rn_inputs *s = NULL;
    int64_t highest = -1;
    if (n == 0 || memchr(data, 0, n)) /* rn_read_text refuses NUL bytes before either sees the text */
        return 0;
    char *text = malloc(n);
    RN_FUZZ_CHECK(text != NULL);
    memcpy(text, data + 1, n - 1);
    text[n - 1] = 0;
    RN_FUZZ_CHECK(rn_inputs_new("list", "root", &s) == RN_OK);
    if (data[0] == 'm') {
        check_sums(text);
    } else if (data[0] == 'c') {
        if (rn_inputs_parse_classes(s, "classes", text) == RN_OK)
            check_classes(s);
    } else if (rn_inputs_parse_list(s, "list", text, &highest) == RN_OK) {
        check_lines(s, highest);
    }
    rn_inputs_close(s);
    free(text);
    return 0;
}
