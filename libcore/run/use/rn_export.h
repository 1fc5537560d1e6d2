/* SPDX-License-Identifier: MIT */
/* `rn-train export --weights FILE --onnx OUT`: a trained model for other programs. */
#ifndef RN_EXPORT_H
#define RN_EXPORT_H

#include "op/rn_backend.h"

/* The command: options, work, one line on stdout. argv[0] is "export". Returns the exit code. */
int rn_export_main(int argc, char **argv, const rn_backend_entry *backends);

#endif
