/* SPDX-License-Identifier: MIT */
/* The tables; what is done with them is in rn_caffe_check.c. */
#include "nn/caffe/rn_caffe_schema.h"

#include <stddef.h>

#define REP   RN_CF_REPEATED
#define INERT RN_CF_INERT
#define INT(name, dflt)                                                                                                \
    {                                                                                                                  \
        name, RN_CF_INT, 0, dflt, NULL, NULL                                                                           \
    }
#define UINT(name, dflt)                                                                                               \
    {                                                                                                                  \
        name, RN_CF_UINT, 0, dflt, NULL, NULL                                                                          \
    }
#define UINTS(name, dflt)                                                                                              \
    {                                                                                                                  \
        name, RN_CF_UINT, REP, dflt, NULL, NULL                                                                        \
    }
#define REAL(name, dflt)                                                                                               \
    {                                                                                                                  \
        name, RN_CF_REAL, 0, dflt, NULL, NULL                                                                          \
    }
#define REALS(name)                                                                                                    \
    {                                                                                                                  \
        name, RN_CF_REAL, REP, 0, NULL, NULL                                                                           \
    }
#define BOOL(name, dflt)                                                                                               \
    {                                                                                                                  \
        name, RN_CF_BOOL, 0, dflt, NULL, NULL                                                                          \
    }
#define TEXT(name)                                                                                                     \
    {                                                                                                                  \
        name, RN_CF_TEXT, 0, 0, NULL, NULL                                                                             \
    }
#define TEXTS(name)                                                                                                    \
    {                                                                                                                  \
        name, RN_CF_TEXT, REP, 0, NULL, NULL                                                                           \
    }
#define WORD(name, dflt, words)                                                                                        \
    {                                                                                                                  \
        name, RN_CF_ENUM, 0, dflt, words, NULL                                                                         \
    }
#define MESSAGE(name, fields)                                                                                          \
    {                                                                                                                  \
        name, RN_CF_MESSAGE, 0, 0, NULL, fields                                                                        \
    }
#define MESSAGES(name, fields)                                                                                         \
    {                                                                                                                  \
        name, RN_CF_MESSAGE, REP, 0, NULL, fields                                                                      \
    }
#define OPAQUE(name)                                                                                                   \
    {                                                                                                                  \
        name, RN_CF_OPAQUE, REP, 0, NULL, NULL                                                                         \
    }
#define END                                                                                                            \
    {                                                                                                                  \
        NULL, RN_CF_INT, 0, 0, NULL, NULL                                                                              \
    }

static const char *const phases[] = {"TRAIN", "TEST", NULL};
static const char *const engines[] = {"DEFAULT", "CAFFE", "CUDNN", NULL};
static const char *const share_modes[] = {"STRICT", "PERMISSIVE", NULL};
#define ENGINE                                                                                                         \
    {                                                                                                                  \
        "engine", RN_CF_ENUM, INERT, 0, engines, NULL                                                                  \
    }

static const char *const variance_norms[] = {"FAN_IN", "FAN_OUT", "AVERAGE", NULL};
static const rn_caffe_field filler[] = {TEXT("type"),
                                        REAL("value", 0),
                                        REAL("min", 0),
                                        REAL("max", 1),
                                        REAL("mean", 0),
                                        REAL("std", 1),
                                        INT("sparse", -1),
                                        WORD("variance_norm", 0, variance_norms),
                                        END};

static const rn_caffe_field shape[] = {{"dim", RN_CF_INT, REP, 0, NULL, NULL}, END};

static const rn_caffe_field state[] = {WORD("phase", 1, phases), INT("level", 0), TEXTS("stage"), END};
static const rn_caffe_field rule[] = {WORD("phase", 0, phases), INT("min_level", 0), INT("max_level", 0),
                                      TEXTS("stage"),           TEXTS("not_stage"),  END};
static const rn_caffe_field param_spec[] = {TEXT("name"), WORD("share_mode", 0, share_modes), REAL("lr_mult", 1),
                                            REAL("decay_mult", 1), END};

static const rn_caffe_field transform[] = {
    REAL("scale", 1),    BOOL("mirror", 0),      UINT("crop_size", 0),  TEXT("mean_file"),
    REALS("mean_value"), BOOL("force_color", 0), BOOL("force_gray", 0), END};

static const char *const normalizations[] = {"FULL", "VALID", "BATCH_SIZE", "NONE", NULL};
static const rn_caffe_field loss[] = {INT("ignore_label", 0), WORD("normalization", 1, normalizations),
                                      BOOL("normalize", 1), END};
static const rn_caffe_field accuracy[] = {UINT("top_k", 1), INT("axis", 1), INT("ignore_label", 0), END};

static const rn_caffe_field batch_norm[] = {BOOL("use_global_stats", 0), REAL("moving_average_fraction", 0.999),
                                            REAL("eps", 1e-5), END};
static const rn_caffe_field scale[] = {INT("axis", 1),
                                       INT("num_axes", 1),
                                       MESSAGE("filler", filler),
                                       BOOL("bias_term", 0),
                                       MESSAGE("bias_filler", filler),
                                       END};
static const rn_caffe_field concat[] = {INT("axis", 1), UINT("concat_dim", 1), END};
static const rn_caffe_field convolution[] = {UINT("num_output", 0),
                                             BOOL("bias_term", 1),
                                             UINTS("pad", 0),
                                             UINTS("kernel_size", 0),
                                             UINTS("stride", 1),
                                             UINTS("dilation", 1),
                                             UINT("pad_h", 0),
                                             UINT("pad_w", 0),
                                             UINT("kernel_h", 0),
                                             UINT("kernel_w", 0),
                                             UINT("stride_h", 0),
                                             UINT("stride_w", 0),
                                             UINT("group", 1),
                                             MESSAGE("weight_filler", filler),
                                             MESSAGE("bias_filler", filler),
                                             ENGINE,
                                             INT("axis", 1),
                                             {"force_nd_im2col", RN_CF_BOOL, INERT, 0, NULL, NULL},
                                             END};

static const char *const databases[] = {"LEVELDB", "LMDB", NULL};
static const rn_caffe_field data[] = {TEXT("source"),
                                      UINT("batch_size", 0),
                                      UINT("rand_skip", 0),
                                      WORD("backend", 0, databases),
                                      REAL("scale", 1),
                                      TEXT("mean_file"),
                                      UINT("crop_size", 0),
                                      BOOL("mirror", 0),
                                      BOOL("force_encoded_color", 0),
                                      {"prefetch", RN_CF_UINT, INERT, 4, NULL, NULL},
                                      END};
static const rn_caffe_field image_data[] = {TEXT("source"),
                                            UINT("batch_size", 1),
                                            UINT("rand_skip", 0),
                                            BOOL("shuffle", 0),
                                            UINT("new_height", 0),
                                            UINT("new_width", 0),
                                            BOOL("is_color", 1),
                                            REAL("scale", 1),
                                            TEXT("mean_file"),
                                            UINT("crop_size", 0),
                                            BOOL("mirror", 0),
                                            TEXT("root_folder"),
                                            END};

static const rn_caffe_field dropout[] = {REAL("dropout_ratio", 0.5), END};
static const char *const eltwise_ops[] = {"PROD", "SUM", "MAX", NULL};
static const rn_caffe_field eltwise[] = {
    WORD("operation", 1, eltwise_ops), REALS("coeff"), {"stable_prod_grad", RN_CF_BOOL, INERT, 1, NULL, NULL}, END};
static const rn_caffe_field flatten[] = {INT("axis", 1), INT("end_axis", -1), END};
static const rn_caffe_field inner_product[] = {UINT("num_output", 0),
                                               BOOL("bias_term", 1),
                                               MESSAGE("weight_filler", filler),
                                               MESSAGE("bias_filler", filler),
                                               INT("axis", 1),
                                               BOOL("transpose", 0),
                                               END};
static const rn_caffe_field input[] = {MESSAGES("shape", shape), END};
static const char *const regions[] = {"ACROSS_CHANNELS", "WITHIN_CHANNEL", NULL};
static const rn_caffe_field lrn[] = {UINT("local_size", 5),
                                     REAL("alpha", 1),
                                     REAL("beta", 0.75),
                                     WORD("norm_region", 0, regions),
                                     REAL("k", 1),
                                     ENGINE,
                                     END};
static const char *const pools[] = {"MAX", "AVE", "STOCHASTIC", NULL};
static const char *const roundings[] = {"CEIL", "FLOOR", NULL};
static const rn_caffe_field pooling[] = {WORD("pool", 0, pools),
                                         UINT("pad", 0),
                                         UINT("pad_h", 0),
                                         UINT("pad_w", 0),
                                         UINT("kernel_size", 0),
                                         UINT("kernel_h", 0),
                                         UINT("kernel_w", 0),
                                         UINT("stride", 1),
                                         UINT("stride_h", 0),
                                         UINT("stride_w", 0),
                                         ENGINE,
                                         BOOL("global_pooling", 0),
                                         WORD("round_mode", 0, roundings),
                                         END};
static const rn_caffe_field relu[] = {REAL("negative_slope", 0), ENGINE, END};
static const rn_caffe_field sigmoid[] = {ENGINE, END};
static const rn_caffe_field softmax[] = {ENGINE, INT("axis", 1), END};

/* What both forms of a layer may hold. */
/* clang-format off */
#define COMMON_PARAMS                                                                                                  \
    MESSAGE("transform_param", transform), MESSAGE("loss_param", loss), MESSAGE("accuracy_param", accuracy),           \
    OPAQUE("argmax_param"), MESSAGE("concat_param", concat), OPAQUE("contrastive_loss_param"),                         \
    MESSAGE("convolution_param", convolution), MESSAGE("data_param", data), MESSAGE("dropout_param", dropout),         \
    OPAQUE("dummy_data_param"), MESSAGE("eltwise_param", eltwise), OPAQUE("exp_param"), OPAQUE("hdf5_data_param"),     \
    OPAQUE("hdf5_output_param"), OPAQUE("hinge_loss_param"), MESSAGE("image_data_param", image_data),                  \
    OPAQUE("infogain_loss_param"), MESSAGE("inner_product_param", inner_product), MESSAGE("lrn_param", lrn),           \
    OPAQUE("memory_data_param"), OPAQUE("mvn_param"), MESSAGE("pooling_param", pooling), OPAQUE("power_param"),        \
    MESSAGE("relu_param", relu), MESSAGE("sigmoid_param", sigmoid), MESSAGE("softmax_param", softmax),                 \
    OPAQUE("slice_param"), OPAQUE("tanh_param"), OPAQUE("threshold_param"), OPAQUE("window_data_param")

static const rn_caffe_field layer[] = {
    TEXT("name"), TEXT("type"), TEXTS("bottom"), TEXTS("top"), WORD("phase", 0, phases), REALS("loss_weight"),
    MESSAGES("param", param_spec), OPAQUE("blobs"), {"propagate_down", RN_CF_BOOL, REP, 1, NULL, NULL},
    MESSAGES("include", rule), MESSAGES("exclude", rule), COMMON_PARAMS,
    MESSAGE("batch_norm_param", batch_norm), OPAQUE("bias_param"), OPAQUE("clip_param"), OPAQUE("crop_param"),
    OPAQUE("elu_param"), OPAQUE("embed_param"), MESSAGE("flatten_param", flatten), MESSAGE("input_param", input),
    OPAQUE("log_param"), OPAQUE("parameter_param"), OPAQUE("prelu_param"), OPAQUE("python_param"),
    OPAQUE("recurrent_param"), OPAQUE("reduction_param"), OPAQUE("reshape_param"), MESSAGE("scale_param", scale),
    OPAQUE("spp_param"), OPAQUE("swish_param"), OPAQUE("tile_param"), END};

/* The form before 2014's end. The words' places are those of `types` in rn_caffe_layers.c, not Caffe's numbers. */
const char *const rn_caffe_v1_types[] = {
    "NONE", "ABSVAL", "ACCURACY", "ARGMAX", "BNLL", "CONCAT", "CONTRASTIVE_LOSS", "CONVOLUTION", "DATA", "DECONVOLUTION",
    "DROPOUT", "DUMMY_DATA", "EUCLIDEAN_LOSS", "ELTWISE", "EXP", "FLATTEN", "HDF5_DATA", "HDF5_OUTPUT", "HINGE_LOSS",
    "IM2COL", "IMAGE_DATA", "INFOGAIN_LOSS", "INNER_PRODUCT", "LRN", "MEMORY_DATA", "MULTINOMIAL_LOGISTIC_LOSS", "MVN",
    "POOLING", "POWER", "RELU", "SIGMOID", "SIGMOID_CROSS_ENTROPY_LOSS", "SILENCE", "SOFTMAX", "SOFTMAX_LOSS", "SPLIT",
    "SLICE", "TANH", "WINDOW_DATA", "THRESHOLD", NULL};
static const rn_caffe_field layer_v1[] = {
    TEXTS("bottom"), TEXTS("top"), TEXT("name"), MESSAGES("include", rule), MESSAGES("exclude", rule),
    WORD("type", 0, rn_caffe_v1_types), OPAQUE("blobs"), TEXTS("param"),
    {"blob_share_mode", RN_CF_ENUM, REP, 0, share_modes, NULL}, REALS("blobs_lr"), REALS("weight_decay"),
    REALS("loss_weight"), COMMON_PARAMS, OPAQUE("layer"), END};

#define NET_FIELDS                                                                                                     \
    {"name", RN_CF_TEXT, INERT, 0, NULL, NULL}, TEXTS("input"), MESSAGES("input_shape", shape),                        \
    {"input_dim", RN_CF_INT, REP, 0, NULL, NULL}, {"force_backward", RN_CF_BOOL, INERT, 0, NULL, NULL},                \
    MESSAGE("state", state), {"debug_info", RN_CF_BOOL, INERT, 0, NULL, NULL}, MESSAGES("layer", layer),               \
    MESSAGES("layers", layer_v1), END
const rn_caffe_field rn_caffe_net_fields[] = {NET_FIELDS};

static const char *const modes[] = {"CPU", "GPU", NULL};
static const char *const formats[] = {"HDF5", "BINARYPROTO", NULL};
static const char *const solver_types[] = {"SGD", "NESTEROV", "ADAGRAD", "RMSPROP", "ADADELTA", "ADAM", NULL};
const rn_caffe_field rn_caffe_solver_fields[] = {
    TEXT("net"), OPAQUE("net_param"), TEXT("train_net"), TEXTS("test_net"), OPAQUE("train_net_param"),
    OPAQUE("test_net_param"), MESSAGE("train_state", state), MESSAGES("test_state", state),
    {"test_iter", RN_CF_INT, REP, 0, NULL, NULL}, INT("test_interval", 0),
    {"test_compute_loss", RN_CF_BOOL, INERT, 0, NULL, NULL}, {"test_initialization", RN_CF_BOOL, INERT, 1, NULL, NULL},
    REAL("base_lr", 0), INT("display", 0), {"average_loss", RN_CF_INT, INERT, 1, NULL, NULL}, INT("max_iter", 0),
    INT("iter_size", 1), TEXT("lr_policy"), REAL("gamma", 0), REAL("power", 0), REAL("momentum", 0),
    REAL("weight_decay", 0), TEXT("regularization_type"), INT("stepsize", 0),
    {"stepvalue", RN_CF_INT, REP, 0, NULL, NULL}, REAL("clip_gradients", -1), INT("snapshot", 0),
    {"snapshot_prefix", RN_CF_TEXT, INERT, 0, NULL, NULL}, {"snapshot_diff", RN_CF_BOOL, 0, 0, NULL, NULL},
    {"snapshot_format", RN_CF_ENUM, INERT, 1, formats, NULL}, WORD("solver_mode", 1, modes),
    {"device_id", RN_CF_INT, INERT, 0, NULL, NULL}, INT("random_seed", -1), TEXT("type"), REAL("delta", 1e-8),
    REAL("momentum2", 0.999), REAL("rms_decay", 0.99), {"debug_info", RN_CF_BOOL, INERT, 0, NULL, NULL},
    {"snapshot_after_train", RN_CF_BOOL, INERT, 1, NULL, NULL}, WORD("solver_type", 0, solver_types),
    {"layer_wise_reduce", RN_CF_BOOL, INERT, 1, NULL, NULL}, TEXTS("weights"), END};
/* clang-format on */
