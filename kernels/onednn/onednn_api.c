/* SPDX-License-Identifier: MIT */
#include "kernels/onednn/onednn_api.h"

typedef struct conv_dims {
    dnnl_dims_t src, wei, dst, stride, dilate, pad_l, pad_r;
} conv_dims;

static conv_dims dims_of(const rn_conv_desc *d)
{
    return (conv_dims){
        .src = {d->mb, d->ic, d->ih, d->iw},
        .wei = {d->oc, d->ic, d->kh, d->kw},
        .dst = {d->mb, d->oc, d->oh, d->ow},
        .stride = {d->sh, d->sw},
        .dilate = {0, 0},
        .pad_l = {d->ph, d->pw},
        /* The rows and columns that the last window does not reach are cut off by a smaller, even negative, pad. */
        .pad_r = {(dnnl_dim_t)(d->oh - 1) * d->sh + d->kh - d->ih - d->ph,
                  (dnnl_dim_t)(d->ow - 1) * d->sw + d->kw - d->iw - d->pw},
    };
}

/* dst, src, wei of a primitive: the descriptor's type, but what is asked for in f32. */
typedef struct conv_types {
    dnnl_data_type_t dst, src, wei;
} conv_types;

static dnnl_data_type_t data_type(rn_dtype t)
{
    return t == RN_BF16 ? dnnl_bf16 : t == RN_F16 ? dnnl_f16 : dnnl_f32;
}

static conv_types types_of(const rn_conv_desc *d, rn_conv_dir dir, bool f32_out)
{
    const dnnl_data_type_t t = data_type(d->dtype);
    conv_types y = {t, t, t};

    if (dir == RN_BWD_W)
        y.wei = dnnl_f32;
    else if (f32_out)
        *(dir == RN_FWD ? &y.dst : &y.src) = dnnl_f32;
    return y;
}

static dnnl_status_t user_scratchpad(dnnl_primitive_attr_t *attr)
{
    dnnl_status_t s = dnnl_primitive_attr_create(attr);

    return s != dnnl_success ? s : dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
}

#if DNNL_VERSION_MAJOR >= 3

static dnnl_status_t make_mds(const conv_dims *c, conv_types t, odn_md wei, dnnl_memory_desc_t md[3])
{
    dnnl_status_t s = dnnl_memory_desc_create_with_tag(&md[0], 4, c->src, t.src, dnnl_nhwc);

    if (s == dnnl_success && wei)
        s = dnnl_memory_desc_clone(&md[1], wei);
    else if (s == dnnl_success)
        s = dnnl_memory_desc_create_with_tag(&md[1], 4, c->wei, t.wei, dnnl_format_tag_any);
    if (s == dnnl_success)
        s = dnnl_memory_desc_create_with_tag(&md[2], 4, c->dst, t.dst, dnnl_nhwc);
    return s;
}

static void free_mds(dnnl_memory_desc_t md[3])
{
    for (int i = 0; i < 3; i++) {
        if (md[i])
            dnnl_memory_desc_destroy(md[i]);
        md[i] = NULL;
    }
}

static dnnl_status_t forward_pd(dnnl_engine_t engine, const conv_dims *c, dnnl_memory_desc_t md[3],
                                dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd)
{
    return dnnl_convolution_forward_primitive_desc_create(pd, engine, dnnl_forward_training, dnnl_convolution_direct,
                                                          md[0], md[1], NULL, md[2], c->stride, c->dilate, c->pad_l,
                                                          c->pad_r, attr);
}

dnnl_status_t odn_conv_pd(dnnl_engine_t engine, const rn_conv_desc *d, rn_conv_dir dir, bool f32_out, odn_md wei,
                          dnnl_primitive_desc_t *pd)
{
    const conv_dims c = dims_of(d);
    dnnl_memory_desc_t md[3] = {NULL, NULL, NULL};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t fwd = NULL;
    dnnl_status_t s = user_scratchpad(&attr);

    *pd = NULL;
    if (s == dnnl_success && dir != RN_FWD) { /* backward needs the forward as a hint */
        s = make_mds(&c, types_of(d, RN_FWD, false), NULL, md);
        if (s == dnnl_success)
            s = forward_pd(engine, &c, md, attr, &fwd);
        free_mds(md);
    }
    if (s == dnnl_success)
        s = make_mds(&c, types_of(d, dir, f32_out), wei, md);
    if (s == dnnl_success && dir == RN_FWD)
        s = forward_pd(engine, &c, md, attr, pd);
    if (s == dnnl_success && dir == RN_BWD_D)
        s = dnnl_convolution_backward_data_primitive_desc_create(
            pd, engine, dnnl_convolution_direct, md[0], md[1], md[2], c.stride, c.dilate, c.pad_l, c.pad_r, fwd, attr);
    if (s == dnnl_success && dir == RN_BWD_W)
        s = dnnl_convolution_backward_weights_primitive_desc_create(pd, engine, dnnl_convolution_direct, md[0], md[1],
                                                                    NULL, md[2], c.stride, c.dilate, c.pad_l, c.pad_r,
                                                                    fwd, attr);
    if (fwd)
        dnnl_primitive_desc_destroy(fwd);
    free_mds(md);
    dnnl_primitive_attr_destroy(attr);
    return s;
}

typedef dnnl_memory_desc_t ohwi_md;
#define OHWI(md) (md)

static dnnl_status_t ohwi_create(const rn_conv_desc *d, rn_conv_dir dir, ohwi_md *md)
{
    const conv_dims c = dims_of(d);
    return dnnl_memory_desc_create_with_tag(md, 4, c.wei, types_of(d, dir, false).wei, dnnl_ohwi);
}

static void ohwi_destroy(ohwi_md *md)
{
    dnnl_memory_desc_destroy(*md);
}

#else /* oneDNN 2 */

static dnnl_status_t make_mds(const conv_dims *c, conv_types t, odn_md wei, dnnl_memory_desc_t md[3])
{
    dnnl_status_t s = dnnl_memory_desc_init_by_tag(&md[0], 4, c->src, t.src, dnnl_nhwc);

    if (s == dnnl_success && wei)
        md[1] = *wei;
    else if (s == dnnl_success)
        s = dnnl_memory_desc_init_by_tag(&md[1], 4, c->wei, t.wei, dnnl_format_tag_any);
    if (s == dnnl_success)
        s = dnnl_memory_desc_init_by_tag(&md[2], 4, c->dst, t.dst, dnnl_nhwc);
    return s;
}

static dnnl_status_t forward_pd(dnnl_engine_t engine, const conv_dims *c, dnnl_memory_desc_t md[3],
                                dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd)
{
    dnnl_convolution_desc_t op;
    dnnl_status_t s = dnnl_convolution_forward_desc_init(&op, dnnl_forward_training, dnnl_convolution_direct, &md[0],
                                                         &md[1], NULL, &md[2], c->stride, c->pad_l, c->pad_r);

    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &op, attr, engine, NULL) : s;
}

dnnl_status_t odn_conv_pd(dnnl_engine_t engine, const rn_conv_desc *d, rn_conv_dir dir, bool f32_out, odn_md wei,
                          dnnl_primitive_desc_t *pd)
{
    const conv_dims c = dims_of(d);
    dnnl_memory_desc_t md[3];
    dnnl_convolution_desc_t op;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t fwd = NULL;
    dnnl_status_t s = user_scratchpad(&attr);

    *pd = NULL;
    if (s == dnnl_success && dir != RN_FWD) { /* backward needs the forward as a hint */
        s = make_mds(&c, types_of(d, RN_FWD, false), NULL, md);
        if (s == dnnl_success)
            s = forward_pd(engine, &c, md, attr, &fwd);
    }
    if (s == dnnl_success)
        s = make_mds(&c, types_of(d, dir, f32_out), wei, md);
    if (s == dnnl_success && dir == RN_FWD) {
        s = forward_pd(engine, &c, md, attr, pd);
    } else if (s == dnnl_success) {
        s = dir == RN_BWD_D ? dnnl_convolution_backward_data_desc_init(&op, dnnl_convolution_direct, &md[0], &md[1],
                                                                       &md[2], c.stride, c.pad_l, c.pad_r)
                            : dnnl_convolution_backward_weights_desc_init(&op, dnnl_convolution_direct, &md[0], &md[1],
                                                                          NULL, &md[2], c.stride, c.pad_l, c.pad_r);
        if (s == dnnl_success)
            s = dnnl_primitive_desc_create(pd, &op, attr, engine, fwd);
    }
    if (fwd)
        dnnl_primitive_desc_destroy(fwd);
    dnnl_primitive_attr_destroy(attr);
    return s;
}

typedef dnnl_memory_desc_t ohwi_md;
#define OHWI(md) (&(md))

static dnnl_status_t ohwi_create(const rn_conv_desc *d, rn_conv_dir dir, ohwi_md *md)
{
    const conv_dims c = dims_of(d);
    return dnnl_memory_desc_init_by_tag(md, 4, c.wei, types_of(d, dir, false).wei, dnnl_ohwi);
}

static void ohwi_destroy(ohwi_md *md)
{
    (void)md;
}

#endif

dnnl_status_t odn_reorder(dnnl_engine_t engine, const rn_conv_desc *d, rn_conv_dir dir, odn_md other,
                          dnnl_primitive_t *reorder)
{
    dnnl_primitive_desc_t pd = NULL;
    ohwi_md md;
    dnnl_status_t s = ohwi_create(d, dir, &md);

    if (s != dnnl_success)
        return s;
    s = dir == RN_BWD_W ? dnnl_reorder_primitive_desc_create(&pd, other, engine, OHWI(md), engine, NULL)
                        : dnnl_reorder_primitive_desc_create(&pd, OHWI(md), engine, other, engine, NULL);
    if (s == dnnl_success)
        s = dnnl_primitive_create(reorder, pd);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    ohwi_destroy(&md);
    return s;
}

dnnl_status_t odn_ohwi_memory(dnnl_engine_t engine, const rn_conv_desc *d, rn_conv_dir dir, dnnl_memory_t *mem)
{
    ohwi_md md;
    dnnl_status_t s = ohwi_create(d, dir, &md);

    if (s != dnnl_success)
        return s;
    s = dnnl_memory_create(mem, OHWI(md), engine, DNNL_MEMORY_NONE);
    ohwi_destroy(&md);
    return s;
}

bool odn_is_ohwi(const rn_conv_desc *d, rn_conv_dir dir, odn_md other)
{
    ohwi_md md;

    if (ohwi_create(d, dir, &md) != dnnl_success)
        return false;
    bool same = dnnl_memory_desc_equal(OHWI(md), other) != 0;
    ohwi_destroy(&md);
    return same;
}
