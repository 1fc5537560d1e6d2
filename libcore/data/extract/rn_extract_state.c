/* SPDX-License-Identifier: MIT */
#include "data/extract/rn_extract_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rn_digest.h"
#include "base/rn_error.h"
#include "base/rn_io.h"
#include "base/rn_opt.h"

enum { EDGE = 64 << 10 };

int rn_state_read(const char *path, rn_split_state *out)
{
    const char *state, *archive, *source, *md5, *modified = "";
    json_int_t images, bytes;
    char *text;
    size_t n;
    memset(out, 0, sizeof *out);
    if (!rn_is_file(path))
        return rn_fail(RN_E_NOENT, "%s: not there", path);
    RN_TRY(rn_read_file(path, 1 << 20, &text, &n));
    json_t *j = json_loadb(text, n, 0, NULL);
    int bad = json_unpack(j, "{s:s, s:s, s:s, s?s, s:s, s:i, s:I, s:I}", "state", &state, "archive", &archive, "source",
                          &source, "modified", &modified, "md5", &md5, "classes", &out->classes, "images", &images,
                          "bytes", &bytes);
    if (!bad) {
        out->whole = strcmp(state, "whole") == 0;
        snprintf(out->archive, sizeof out->archive, "%s", archive);
        snprintf(out->source, sizeof out->source, "%s", source);
        snprintf(out->modified, sizeof out->modified, "%s", modified);
        snprintf(out->md5, sizeof out->md5, "%s", md5);
        out->images = (uint64_t)images;
        out->bytes = (uint64_t)bytes;
    }
    json_decref(j);
    free(text);
    return bad ? rn_fail(RN_E_FORMAT, "%s: damaged; remove it and what lies beside it to begin again", path) : RN_OK;
}

int rn_state_write(const char *path, const rn_split_state *s)
{
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:s}", "state", s->whole ? "whole" : "extracting",
                          "archive", s->archive, "source", s->source, "modified", s->modified, "md5", s->md5, "classes",
                          s->classes, "images", (json_int_t)s->images, "bytes", (json_int_t)s->bytes, "tool",
                          "ilsvrc-extract " RN_VERSION);
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    int rc = RN_E_NOMEM;
    if (text)
        rc = rn_write_file_atomic(path, text, strlen(text));
    else
        rn_fail(rc, "%s: out of memory", path);
    free(text);
    json_decref(j);
    return rc;
}

int rn_archive_modified(const char *archive, char out[32])
{
    struct stat st;
    if (stat(archive, &st) < 0)
        return rn_fail_errno(errno, "%s: looking at it", archive);
    snprintf(out, 32, "%lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return RN_OK;
}

static int add_edge(rn_digest *d, int fd, off_t at, const char *path)
{
    char *buf = malloc(EDGE);
    if (!buf)
        return rn_fail(RN_E_NOMEM, "%s: out of memory", path);
    size_t n;
    int rc = rn_read_at(fd, buf, EDGE, (uint64_t)at, path, &n);
    if (rc == RN_OK)
        rc = rn_digest_update(d, buf, n);
    free(buf);
    return rc;
}

int rn_archive_fingerprint(const char *archive, const char *devkit, char hex[65])
{
    int rc, fd = -1;
    struct stat st;
    char text[160], kit[RN_DIGEST_HEX_MAX] = "";
    rn_digest *d = NULL;
    if (devkit[0])
        RN_TRY(rn_digest_file(RN_MD5, devkit, kit, NULL));
    RN_TRY(rn_digest_open(RN_MD5, &d));
    fd = open(archive, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        RN_GO(rn_fail_errno(errno, "%s: opening it", archive));
    snprintf(text, sizeof text, "%jd %s\n", (intmax_t)st.st_size, kit);
    RN_GO(rn_digest_update(d, text, strlen(text)));
    RN_GO(add_edge(d, fd, 0, archive));
    RN_GO(add_edge(d, fd, st.st_size > EDGE ? st.st_size - EDGE : 0, archive));
    rc = rn_digest_final(d, hex);
out:
    if (fd >= 0)
        close(fd);
    rn_digest_close(d);
    return rc;
}
