/* SPDX-License-Identifier: MIT */
#include "kernels/onednn/onednn_api.h"

typedef struct conv_dims {
    dnnl_dims_t t[3]; /* by enum odn_tensor */
    dnnl_dims_t stride, dilate, pad_l, pad_r;
} conv_dims;

static conv_dims dims_of(const rn_conv_desc *d)
{
    return (conv_dims){
        .t = {[ODN_SRC] = {d->mb, d->ic, d->ih, d->iw},
              [ODN_WEI] = {d->oc, d->ic, d->kh, d->kw},
              [ODN_DST] = {d->mb, d->oc, d->oh, d->ow}},
        .stride = {d->sh, d->sw},
        .dilate = {0, 0},
        .pad_l = {d->ph, d->pw},
        /* The rows and columns that the last window does not reach are cut off by a smaller, even negative, pad. */
        .pad_r = {(dnnl_dim_t)(d->oh - 1) * d->sh + d->kh - d->ih - d->ph,
                  (dnnl_dim_t)(d->ow - 1) * d->sw + d->kw - d->iw - d->pw},
    };
}

static dnnl_data_type_t data_type(const odn_case *c, enum odn_tensor which)
{
    if ((int)which == (int)c->dir && (c->f32_out || which == ODN_WEI))
        return dnnl_f32;
    return c->d->dtype == RN_BF16 ? dnnl_bf16 : c->d->dtype == RN_F16 ? dnnl_f16 : dnnl_f32;
}

static dnnl_format_tag_t plain_tag(enum odn_tensor which)
{
    return which == ODN_WEI ? dnnl_ohwi : dnnl_nhwc;
}

static dnnl_format_tag_t wanted_tag(const odn_case *c, enum odn_tensor which)
{
    return which == ODN_WEI || c->any_layout ? dnnl_format_tag_any : plain_tag(which);
}

odn_md odn_md_of(dnnl_primitive_desc_t pd, rn_conv_dir dir, enum odn_tensor which)
{
    static const dnnl_query_t in[3] = {dnnl_query_diff_dst_md, dnnl_query_src_md, dnnl_query_weights_md};
    static const dnnl_query_t out[3] = {dnnl_query_dst_md, dnnl_query_diff_src_md, dnnl_query_diff_weights_md};

    return dnnl_primitive_desc_query_md(pd, (int)which == (int)dir ? out[which] : in[which], 0);
}

static dnnl_status_t user_scratchpad(dnnl_primitive_attr_t *attr)
{
    dnnl_status_t s = dnnl_primitive_attr_create(attr);

    return s != dnnl_success ? s : dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
}

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t own_md;
#define MD(md) (md)

static dnnl_status_t make_md(const odn_case *c, enum odn_tensor which, dnnl_format_tag_t tag, own_md *md)
{
    const conv_dims n = dims_of(c->d);

    return dnnl_memory_desc_create_with_tag(md, 4, n.t[which], data_type(c, which), tag);
}

static dnnl_status_t copy_md(odn_md from, own_md *md)
{
    return dnnl_memory_desc_clone(md, from);
}

static void free_md(own_md *md)
{
    if (*md)
        dnnl_memory_desc_destroy(*md);
    *md = NULL;
}

/* hint: the forward's, for the backward ones. */
static dnnl_status_t make_pd(dnnl_engine_t engine, const odn_case *c, const own_md md[3], dnnl_primitive_attr_t attr,
                             dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    const conv_dims n = dims_of(c->d);
    const own_md dst = md[ODN_DST], src = md[ODN_SRC], wei = md[ODN_WEI];

    switch (c->dir) {
    case RN_FWD:
        return dnnl_convolution_forward_primitive_desc_create(pd, engine, dnnl_forward_training, c->alg, src, wei, NULL,
                                                              dst, n.stride, n.dilate, n.pad_l, n.pad_r, attr);
    case RN_BWD_D:
        return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, c->alg, src, wei, dst, n.stride,
                                                                    n.dilate, n.pad_l, n.pad_r, hint, attr);
    default:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            pd, engine, c->alg, src, wei, NULL, dst, n.stride, n.dilate, n.pad_l, n.pad_r, hint, attr);
    }
}

#else /* oneDNN 2 */

typedef dnnl_memory_desc_t own_md;
#define MD(md) (&(md))

static dnnl_status_t make_md(const odn_case *c, enum odn_tensor which, dnnl_format_tag_t tag, own_md *md)
{
    const conv_dims n = dims_of(c->d);

    return dnnl_memory_desc_init_by_tag(md, 4, n.t[which], data_type(c, which), tag);
}

static dnnl_status_t copy_md(odn_md from, own_md *md)
{
    *md = *from;
    return dnnl_success;
}

static void free_md(own_md *md)
{
    (void)md;
}

/* hint: the forward's, for the backward ones. */
static dnnl_status_t make_pd(dnnl_engine_t engine, const odn_case *c, const own_md md[3], dnnl_primitive_attr_t attr,
                             dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    const conv_dims n = dims_of(c->d);
    const own_md *dst = &md[ODN_DST], *src = &md[ODN_SRC], *wei = &md[ODN_WEI];
    dnnl_convolution_desc_t op;
    dnnl_status_t s;

    if (c->dir == RN_FWD)
        s = dnnl_convolution_forward_desc_init(&op, dnnl_forward_training, c->alg, src, wei, NULL, dst, n.stride,
                                               n.pad_l, n.pad_r);
    else if (c->dir == RN_BWD_D)
        s = dnnl_convolution_backward_data_desc_init(&op, c->alg, src, wei, dst, n.stride, n.pad_l, n.pad_r);
    else
        s = dnnl_convolution_backward_weights_desc_init(&op, c->alg, src, wei, NULL, dst, n.stride, n.pad_l, n.pad_r);
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &op, attr, engine, hint) : s;
}

#endif

static dnnl_status_t pd_of(dnnl_engine_t engine, const odn_case *c, odn_md wei, dnnl_primitive_attr_t attr,
                           dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd)
{
    own_md md[3] = {0};
    dnnl_status_t s = dnnl_success;

    for (int i = 0; i < 3 && s == dnnl_success; i++)
        s = i == ODN_WEI && wei ? copy_md(wei, &md[i]) : make_md(c, i, wanted_tag(c, i), &md[i]);
    if (s == dnnl_success)
        s = make_pd(engine, c, md, attr, hint, pd);
    for (int i = 0; i < 3; i++)
        free_md(&md[i]);
    return s;
}

dnnl_status_t odn_conv_pd(dnnl_engine_t engine, const odn_case *c, odn_md wei, dnnl_primitive_desc_t *pd)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t fwd = NULL;
    dnnl_status_t s = user_scratchpad(&attr);

    *pd = NULL;
    if (s == dnnl_success && c->dir != RN_FWD) {
        odn_case hint = *c;
        hint.dir = RN_FWD;
        hint.f32_out = false;
        s = pd_of(engine, &hint, NULL, attr, NULL, &fwd);
    }
    if (s == dnnl_success)
        s = pd_of(engine, c, wei, attr, fwd, pd);
    if (fwd)
        dnnl_primitive_desc_destroy(fwd);
    dnnl_primitive_attr_destroy(attr);
    return s;
}

dnnl_status_t odn_reorder(dnnl_engine_t engine, const odn_case *c, enum odn_tensor which, odn_md other,
                          dnnl_primitive_t *reorder)
{
    dnnl_primitive_desc_t pd = NULL;
    own_md md = {0};
    dnnl_status_t s = make_md(c, which, plain_tag(which), &md);

    if (s != dnnl_success)
        return s;
    s = (int)which == (int)c->dir ? dnnl_reorder_primitive_desc_create(&pd, other, engine, MD(md), engine, NULL)
                                  : dnnl_reorder_primitive_desc_create(&pd, MD(md), engine, other, engine, NULL);
    if (s == dnnl_success)
        s = dnnl_primitive_create(reorder, pd);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    free_md(&md);
    return s;
}

dnnl_status_t odn_plain_memory(dnnl_engine_t engine, const odn_case *c, enum odn_tensor which, dnnl_memory_t *mem)
{
    own_md md = {0};
    dnnl_status_t s = make_md(c, which, plain_tag(which), &md);

    if (s != dnnl_success)
        return s;
    s = dnnl_memory_create(mem, MD(md), engine, DNNL_MEMORY_NONE);
    free_md(&md);
    return s;
}

bool odn_is_plain(const odn_case *c, enum odn_tensor which, odn_md md)
{
    own_md own = {0};

    if (make_md(c, which, plain_tag(which), &own) != dnnl_success)
        return false;
    bool same = dnnl_memory_desc_equal(MD(own), md) != 0;
    free_md(&own);
    return same;
}
