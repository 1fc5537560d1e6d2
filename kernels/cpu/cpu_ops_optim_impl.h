/* SPDX-License-Identifier: MIT */
/* What an optimizer does to its parameters. Included by cpu_ops_kern_impl.h only. */

INLINE void sgd_range(const rn_op_sgd *a, int64_t from, int64_t to, const bool nesterov, const bool caffe)
{
    float *w = a->w, *v = a->v;
    const float *g = a->g, lr = a->lr, mu = a->mu, wd = a->wd, scale = a->grad_scale;
#pragma omp simd
    for (int64_t i = from; i < to; i++) {
        const float d = g[i] * scale + wd * w[i], old = mu * v[i];
        const float m = old + (caffe ? lr * d : d);
        v[i] = m;
        if (caffe)
            w[i] -= nesterov ? (1 + mu) * m - old : m;
        else
            w[i] -= lr * (nesterov ? d + mu * m : m);
    }
}

static void sgd(const rn_op_sgd *a, int64_t from, int64_t to)
{
    if (a->nesterov && a->caffe)
        sgd_range(a, from, to, true, true);
    else if (a->caffe)
        sgd_range(a, from, to, false, true);
    else if (a->nesterov)
        sgd_range(a, from, to, true, false);
    else
        sgd_range(a, from, to, false, false);
}

static void axpby(const rn_op_axpby *p, int64_t from, int64_t to)
{
    const float a = p->a, b = p->b, *x = p->x;
    float *y = p->y;
    if (b == 0) { /* y may be NaN: not read */
#pragma omp simd
        for (int64_t i = from; i < to; i++)
            y[i] = a * x[i];
        return;
    }
#pragma omp simd
    for (int64_t i = from; i < to; i++)
        y[i] = a * x[i] + b * y[i];
}

/* Sixteen sums side by side: a vector each, or two, or four. */
static double sumsq(int64_t n, const float *x)
{
    double s[16] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
#pragma omp simd
        for (int j = 0; j < 16; j++)
            s[j] += (double)x[i + j] * (double)x[i + j];
    }
    for (int j = 0; i < n; i++, j++)
        s[j] += (double)x[i] * (double)x[i];
    for (int j = 0; j < 16; j++)
        sum += s[j];
    return sum;
}
