/* SPDX-License-Identifier: MIT */
/* Shared objects that a program loads when something asks for them. */
#ifndef RN_MODULE_H
#define RN_MODULE_H

#include <limits.h>

/* <folder of the program>/../lib/rnkit/<name>: so it lies in the build and where `make install` puts it. Whether it is there
 * is not looked at. */
int rn_module_path(const char *name, char out[PATH_MAX]);

#endif
