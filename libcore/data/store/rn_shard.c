/* SPDX-License-Identifier: MIT */
#include "data/store/rn_shard.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"

int rn_shard_parse(const char *text, rn_shard *out)
{
    char index[16];
    int64_t i, n;
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : 0;
    if (slash && len < sizeof index) {
        memcpy(index, text, len);
        index[len] = '\0';
        if (rn_parse_i64(slash + 1, 1, RN_SHARDS_MAX, &n) == 0 && rn_parse_i64(index, 0, n - 1, &i) == 0) {
            *out = (rn_shard){.index = (uint32_t)i, .count = (uint32_t)n};
            return RN_OK;
        }
    }
    return rn_fail(RN_E_USAGE,
                   "--shard %s: accepted is i/n with i from 0 to n-1 and n from 1 to %d, such as 0/4 .. 3/4", text,
                   RN_SHARDS_MAX);
}

void rn_shard_slice(const rn_shard *s, uint64_t n, uint64_t *first, uint64_t *end)
{
    uint64_t count = s->count ? s->count : 1;
    uint64_t small = n / count, larger = n % count, i = s->index; /* the first `larger` shards have one more */
    *first = i * small + (i < larger ? i : larger);
    *end = *first + small + (i < larger);
}

static void name_of(const rn_shard *s, char name[32])
{
    snprintf(name, 32, "%05" PRIu32 "-of-%05" PRIu32, s->index, s->count);
}

int rn_shard_path(char *out, size_t cap, const char *dir, const rn_shard *s)
{
    char name[32];
    name_of(s, name);
    return rn_path_join(out, cap, dir, name);
}

static bool is_name(const char *text, uint32_t count)
{
    char name[32];
    rn_shard s = {.count = count};
    if (sscanf(text, "%5" SCNu32, &s.index) != 1 || s.index >= count)
        return false;
    name_of(&s, name);
    return strcmp(text, name) == 0;
}

int rn_shard_check_folder(const char *dir, uint32_t count)
{
    struct dirent **names = NULL;
    int n = 0, rc = RN_OK;
    if (rn_is_file(dir))
        return rn_fail(RN_E_USAGE, "%s: exists and is not a folder; name another one", dir);
    if (!rn_is_dir(dir))
        return RN_OK;
    RN_TRY(rn_list_folder(AT_FDCWD, dir, &names, &n));
    for (int i = 0; i < n && rc == RN_OK; i++)
        if (!is_name(names[i]->d_name, count))
            rc = rn_fail(RN_E_USAGE,
                         "%s: holds %s, which is no shard of %" PRIu32 "; name another folder, or delete this one", dir,
                         names[i]->d_name, count);
    rn_free_names(names, n);
    return rc;
}
