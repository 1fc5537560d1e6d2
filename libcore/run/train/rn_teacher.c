/* SPDX-License-Identifier: MIT */
#include "run/train/rn_teacher.h"

#include <string.h>

#include "base/rn_error.h"
#include "base/rn_log.h"
#include "run/train/rn_recipe_weights.h"

/* The teacher's scores mean the data's classes, in their order. */
static int check_classes(const rn_session *s, const rn_st_file *f)
{
    const char *wnids;
    int n = rn_recipe_weights_classes(f, &wnids);
    if (n && n != s->classes)
        return rn_fail(RN_E_MISMATCH, "%s tells %d classes apart, %s has %d: a teacher needs the student's classes",
                       rn_st_path(f), n, s->r->train_db, s->classes);
    for (int i = 0; wnids && i < s->classes; i++, wnids += strspn(wnids, " ")) {
        const char *mine = rn_store_wnids(s->train_db)[i];
        size_t len = strcspn(wnids, " ");
        if (strlen(mine) != len || memcmp(mine, wnids, len) != 0)
            return rn_fail(RN_E_MISMATCH, "class %d is %.*s to %s, but %s in %s: a teacher needs the student's classes",
                           i, (int)len, wnids, rn_st_path(f), mine, s->r->train_db);
        wnids += len;
    }
    return RN_OK;
}

static int open_net(rn_session *s, const rn_st_file *f, const rn_model_spec *student, const rn_net_opts *of_student)
{
    rn_recipe r;
    rn_opt_result owned;
    rn_model_spec m;
    float mean[3], std[3];
    rn_net_opts opts = *of_student;
    int rc;
    RN_GO(rn_recipe_weights(f, &r, &owned));
    if (r.mean_text)
        RN_GO(rn_fail(RN_E_UNSUPPORTED,
                      "was trained with a mean image, which a teacher's images cannot be taken less of: "
                      "give one trained with --mean"));
    RN_GO(rn_recipe_model(&r, s->classes, &m));
    if (m.channels != student->channels)
        RN_GO(rn_fail(RN_E_MISMATCH, "takes images of %d channels, the student of %d", m.channels, student->channels));
    m.height = student->height;
    m.width_px = student->width_px;
    RN_GO(rn_recipe_pixels(&r, mean, std));
    opts.train = false;
    opts.mean = mean;
    opts.mean_image = NULL;
    opts.std = std;
    opts.label_smoothing = 0;
    opts.comm = NULL; /* each rank has one, for its own images */
    opts.bn_momentum = opts.bn_eps = 0;
    RN_GO(rn_net_open(s->be, &m, &opts, &s->teacher));
    rc = rn_weightfile_load(s->teacher, s->be, RN_WEIGHTFILE_VALUES, f);
    if (rc >= 0)
        rn_info("teacher %s: %s, %lld weights", rn_st_path(f), m.arch, (long long)rn_net_weights(s->teacher));
out:
    rn_opt_free(&owned);
    return rc;
}

int rn_teacher_open(rn_session *s, const rn_model_spec *student, const rn_net_opts *opts)
{
    const rn_recipe *r = s->r;
    rn_st_file *f;
    int rc = rn_st_open(r->teacher, &f, s->teacher_digest);
    if (rc < 0)
        return rn_fail_prefix(rc, "--teacher");
    rc = check_classes(s, f);
    if (rc >= 0)
        rc = open_net(s, f, student, opts);
    rn_st_close(f);
    if (rc < 0)
        return rn_fail_prefix(rc, "--teacher %s", r->teacher);
    const rn_distill d = {.teacher = s->teacher,
                          .temperature = (float)r->kd_temperature,
                          .hard = (float)rn_recipe_hard_weight(r),
                          .soft = (float)r->kd_weight};
    return rn_net_distill(s->net, &d);
}
