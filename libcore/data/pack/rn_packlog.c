/* SPDX-License-Identifier: MIT */
/* pack.log.json: what is true of one run on one machine, and so has no place in the seal. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/rn_error.h"
#include "base/rn_opt.h"
#include "data/pack/rn_pack.h"
#include "data/store/rn_seal.h"

static const char LOG_FILE[] = "pack.log.json";

/* One text a file: place, size, time of the last change. NULL when it cannot be told. */
static json_t *stamp_of(const char *file)
{
    struct stat st;
    char *full = realpath(file, NULL);
    json_t *text = NULL;
    if (full && stat(full, &st) == 0)
        text = json_sprintf("%s %lld %lld.%09ld", full, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                            st.st_mtim.tv_nsec);
    free(full);
    return text;
}

static json_t *stamps_of(const char *const *files)
{
    json_t *a = json_array();
    for (; *files; files++)
        if (json_array_append_new(a, stamp_of(*files)) != 0) {
            json_decref(a);
            return NULL;
        }
    return a;
}

/* What is told here is a help, not a proof: whatever cannot be read means "not known to be done". */
int rn_pack_is_done(const char *dir, const rn_pack_opts *opts, const char *kind, const char *const *files,
                    rn_pack_result *out)
{
    char path[4096];
    rn_seal *seal = NULL;
    rn_buf options = {0};
    json_t *log = NULL, *now = NULL;
    int done = 0;
    if (!*files || rn_path_join(path, sizeof path, dir, LOG_FILE) < 0 || rn_seal_read(dir, &seal) < 0)
        goto out;
    if (rn_pack_options_text(opts, &options) < 0 || strcmp(seal->options, (char *)options.data) != 0 ||
        strcmp(seal->kind, kind) != 0 || seal->shard.index != opts->shard.index ||
        seal->shard.count != opts->shard.count)
        goto out;
    log = json_load_file(path, 0, NULL);
    now = stamps_of(files);
    if (!now || !json_equal(json_object_get(log, "files"), now))
        goto out;
    done = rn_pack_from_seal(seal, dir, out) == RN_OK;
out:
    json_decref(now);
    json_decref(log);
    rn_buf_free(&options);
    rn_seal_free(seal);
    return done;
}

static int write_log(const char *path, json_t *o)
{
    char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
    if (!text)
        return rn_fail(RN_E_NOMEM, "%s: cannot be written: no memory, or a path that is not UTF-8", path);
    int rc = rn_write_file_atomic(path, text, strlen(text));
    free(text);
    return rc;
}

int rn_pack_log_files(const char *dir, const char *const *files)
{
    char path[4096];
    RN_TRY(rn_path_join(path, sizeof path, dir, LOG_FILE));
    json_t *o = json_load_file(path, 0, NULL);
    json_t *now = stamps_of(files);
    if (o && json_equal(json_object_get(o, "files"), now)) {
        json_decref(o);
        json_decref(now);
        return RN_OK;
    }
    if (!json_is_object(o)) {
        json_decref(o);
        o = json_pack("{s:s}", "tool", "pack-lmdb " RN_VERSION);
    }
    json_object_set_new(o, "files", now);
    return write_log(path, o);
}

int rn_pack_log(const char *dir, const char *const *files, const rn_pack_opts *opts, const rn_pack_result *result)
{
    char path[4096], when[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    RN_TRY(rn_path_join(path, sizeof path, dir, LOG_FILE));
    json_t *o = json_pack("{s:s, s:s, s:i, s:f, s:I, s:o?}", "tool", "pack-lmdb " RN_VERSION, "finished", when, "jobs",
                          opts->jobs, "seconds", result->seconds, "resumed_at", (json_int_t)result->resumed, "files",
                          stamps_of(files));
    return write_log(path, o);
}
