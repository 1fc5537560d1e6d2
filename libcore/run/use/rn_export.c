/* SPDX-License-Identifier: MIT */
#include "run/use/rn_export.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rn_error.h"
#include "nn/model/rn_model.h"
#include "run/log/rn_runlog.h"
#include "run/use/rn_onnx.h"
#include "run/use/rn_use.h"

#define BN_EPS 1e-5f /* rn_net's, where neither model nor option names another */

typedef struct export_job {
    rn_use_settings settings;
    const char *onnx, *batch;
    bool raw;
    rn_use use;
} export_job;

static void set_up(export_job *j)
{
    const rn_opt own[] = {
        {RN_OPT_TEXT, "onnx", "FILE", &j->onnx, "The ONNX model to write (opset 13).", NULL, 0, 0},
        {RN_OPT_TEXT, "batch", "N", &j->batch, "Images of the input: a number, or dynamic (default).", NULL, 0, 0},
        {RN_OPT_FLAG, "raw", NULL, &j->raw,
         "The input is uint8 pixels, normalised inside the model; otherwise it is f32, (pixel / 255 - mean) / std.",
         NULL, 0, 0},
    };
    j->settings.spec = (rn_opt_spec){
        .tool = "rn-train export",
        .synopsis = "--weights FILE --onnx OUT [--batch N] [--raw]",
        .summary =
            "Writes a trained model as ONNX: input (N, channels, height, width), output logits (N, classes), weights "
            "under their names.",
        .epilog = "Examples:\n"
                  "  rn-train export --weights run/best.safetensors --onnx resnet.onnx\n"
                  "\nExit codes: 0 done; 1 failed; 2 misuse."};
    rn_use_rows(&j->settings, own, (int)(sizeof own / sizeof *own));
}

static int batch_of(const export_job *j, int64_t *batch)
{
    *batch = 0;
    if (!j->batch || strcmp(j->batch, "dynamic") == 0)
        return RN_OK;
    int rc = rn_parse_i64(j->batch, 1, 65536, batch);
    return rc < 0 ? rn_fail(RN_E_USAGE, "--batch %s: neither dynamic nor a number from 1 to 65536", j->batch) : RN_OK;
}

static int write_onnx(const export_job *j, const rn_graph *g, int64_t batch)
{
    const rn_use *u = &j->use;
    const rn_recipe *r = &j->settings.recipe;
    const char *classes = rn_st_meta(u->file, "rnkit.classes");
    char size[24], resize[24], mean_text[96], std_text[96];
    float mean[3], std[3];
    rn_buf out = {0};
    if (r->mean_text)
        return rn_fail(RN_E_UNSUPPORTED,
                       "%s: trained with a mean image, which is subtracted before the crop: a model that "
                       "takes crops alone cannot; --mean LIST exports it with each channel's mean",
                       rn_st_path(u->file));
    RN_TRY(rn_recipe_pixels(r, mean, std));
    snprintf(size, sizeof size, "%" PRId64, r->image_size);
    snprintf(resize, sizeof resize, "%" PRId64, r->val_resize);
    if (r->channels == 1) {
        snprintf(mean_text, sizeof mean_text, "%.9g", (double)mean[0]);
        snprintf(std_text, sizeof std_text, "%.9g", (double)std[0]);
    } else {
        snprintf(mean_text, sizeof mean_text, "%.9g,%.9g,%.9g", (double)mean[0], (double)mean[1], (double)mean[2]);
        snprintf(std_text, sizeof std_text, "%.9g,%.9g,%.9g", (double)std[0], (double)std[1], (double)std[2]);
    }
    const rn_onnx_meta meta[] = {
        {"image-size", size}, {"val-resize", resize}, {"mean", mean_text}, {"std", std_text}, {"classes", classes}};
    const rn_onnx_opts opts = {.batch = batch,
                               .raw = j->raw,
                               .mean = mean,
                               .std = std,
                               .bn_eps = BN_EPS,
                               .meta = meta,
                               .nmeta = (int)(sizeof meta / sizeof *meta) - !classes};
    RN_TRY(rn_onnx_build(g, u->file, &opts, &out));
    int rc = rn_write_file_atomic(j->onnx, out.data, out.n);
    if (rc == RN_OK && j->settings.args.common.json) {
        json_t *o = json_pack("{s:o, s:I, s:I, s:i}", "onnx", rn_runlog_text(j->onnx), "bytes", (json_int_t)out.n,
                              "parameters", (json_int_t)rn_graph_weights(g), "classes", u->classes);
        char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
        printf("%s\n", text ? text : "{}");
        free(text);
        json_decref(o);
    } else if (rc == RN_OK) {
        printf("%s: %zu bytes, %" PRId64 " parameters, %d classes\n", j->onnx, out.n, rn_graph_weights(g), u->classes);
    }
    rn_buf_free(&out);
    return rc;
}

/* The net is opened, too: it says which tensors do not fit the model. */
static int export_model(export_job *j, const rn_backend_entry *backends)
{
    rn_graph g = {0};
    rn_model_spec model;
    int64_t batch;
    if (!j->onnx)
        return rn_fail(RN_E_USAGE, "give --onnx FILE, what to write");
    RN_TRY(batch_of(j, &batch));
    RN_TRY(rn_use_open(&j->settings, backends, 1, &j->use));
    RN_TRY(rn_recipe_model(&j->settings.recipe, j->use.classes, &model));
    int rc = rn_model_build(&model, 1, &g);
    if (rc == RN_OK)
        rc = write_onnx(j, &g, batch);
    rn_graph_free(&g);
    return rc;
}

int rn_export_main(int argc, char **argv, const rn_backend_entry *backends)
{
    export_job *j = calloc(1, sizeof *j);
    if (!j)
        return RN_EXIT_FAILED;
    set_up(j);
    int rc = rn_opt_parse(&j->settings.spec, argc, argv, &j->settings.args);
    if (rc == RN_OK)
        rc = export_model(j, backends);
    rn_use_close(&j->use);
    rn_use_free(&j->settings);
    int code = rn_opt_end(&j->settings.args, rc);
    free(j);
    return code;
}
