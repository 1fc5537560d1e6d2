/* SPDX-License-Identifier: MIT */
/* datasets/ilsvrc2012/manifest.json as it is in this binary: an installed tool needs no files. */
#include <pthread.h>
#include <string.h>

#include "base/rn_error.h"
#include "data/meta/rn_manifest.h"

static const char text[] = ""
#include "rn_manifest_ilsvrc2012.inc" /* made by the Makefile */
    ;

/* A constant: written once, before anyone can read it. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static rn_manifest *builtin;

static void parse(void)
{
    if (rn_manifest_parse(text, sizeof text - 1, "the published list", &builtin) < 0)
        builtin = NULL;
}

const rn_manifest *rn_manifest_builtin(void)
{
    pthread_once(&once, parse);
    if (!builtin)
        rn_fail(RN_E_NOMEM, "the built-in manifest cannot be read: out of memory");
    return builtin;
}
