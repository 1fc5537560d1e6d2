/* SPDX-License-Identifier: MIT */
#include <archive.h>
#include <jansson.h>
#include <lmdb.h>
#include <matio.h>
#include <openssl/crypto.h>
#include <png.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

#include <jpeglib.h> /* needs stdio.h before it */
#include <zlib.h>

#include "base/rn_opt.h"

#define STR_(x) #x
#define STR(x)  STR_(x)

#ifdef LIBJPEG_TURBO_VERSION
#define JPEG_NAME "libjpeg-turbo " STR(LIBJPEG_TURBO_VERSION)
#else
#define JPEG_NAME "libjpeg " STR(JPEG_LIB_VERSION)
#endif

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZER "address"
#elif __has_feature(thread_sanitizer)
#define SANITIZER "thread"
#endif
#endif
#if !defined(SANITIZER) && defined(__SANITIZE_ADDRESS__)
#define SANITIZER "address"
#elif !defined(SANITIZER) && defined(__SANITIZE_THREAD__)
#define SANITIZER "thread"
#elif !defined(SANITIZER)
#define SANITIZER "none"
#endif

#if defined(__OPTIMIZE__)
#define OPTIMISED "yes"
#else
#define OPTIMISED "no"
#endif

/* Versions are asked of the libraries that are loaded, where they can tell, not of the headers. */
void rn_version_print(const char *tool, FILE *out)
{
    int mat[3] = {0, 0, 0};
    Mat_GetLibraryVersion(&mat[0], &mat[1], &mat[2]);
    png_uint_32 png = png_access_version_number();
    fprintf(out, "%s (rnkit) %s\n", tool, RN_VERSION);
    fprintf(out, "build: %s, optimised: %s, sanitizer: %s\n", COMPILER, OPTIMISED, SANITIZER);
    fprintf(out, "%s\n", archive_version_string());
    fprintf(out, "zlib %s\n", zlibVersion());
    fprintf(out, "%s\n", JPEG_NAME);
    fprintf(out, "%s\n", mdb_version(NULL, NULL, NULL));
    fprintf(out, "%s\n", OpenSSL_version(OPENSSL_VERSION));
    fprintf(out, "matio %d.%d.%d\n", mat[0], mat[1], mat[2]);
    fprintf(out, "protobuf-c %s\n", protobuf_c_version());
    fprintf(out, "jansson %s\n", jansson_version_str());
    fprintf(out, "libpng %u.%u.%u\n", png / 10000, png / 100 % 100, png % 100);
#ifdef RN_WITH_ONEDNN
    fprintf(out, "oneDNN: yes\n");
#else
    fprintf(out, "oneDNN: no\n");
#endif
#ifdef RN_WITH_MPI
    fprintf(out, "MPI: yes\n");
#else
    fprintf(out, "MPI: no\n");
#endif
#ifdef RN_WITH_CUDA
    fprintf(out, "CUDA: yes\n");
#else
    fprintf(out, "CUDA: no\n");
#endif
}
