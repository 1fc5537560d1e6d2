/* SPDX-License-Identifier: MIT */
#include "bench_stats.h"

#include <math.h>
#include <stdlib.h>

#include "base/rn_error.h"

#define EXACT 40  /* samples; beyond, the normal approximation differs in no digit that matters */
#define MOST  400 /* samples that are looked at: evenly chosen ones of more */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Abramowitz and Stegun 26.2.23: the upper quantile of the normal distribution, to 4.5e-4. */
static double normal_quantile(double tail)
{
    const double t = sqrt(-2 * log(tail));
    return t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
}

static int approximate(double mean, double var, double alpha)
{
    const double c = floor(mean - 0.5 - normal_quantile(alpha / 2) * sqrt(var));
    return c < 0 ? -1 : (int)c;
}

/* The last index up to which the counts, each a share of `all`, sum up to no more than alpha / 2. */
static int last_within(const double *counts, int n, double all, double alpha)
{
    double sum = 0;

    for (int i = 0; i < n; i++) {
        sum += counts[i];
        if (sum > alpha / 2 * all * (1 + 1e-12))
            return i - 1;
    }
    return n - 1;
}

/* The number of orders with U = u is the coefficient of x^u in the Gaussian binomial, prod (1 - x^(m+i)) / (1 - x^i). */
int bench_critical_u(int n, int m, double alpha)
{
    static const int most = EXACT * EXACT;
    double c[EXACT * EXACT + 1] = {1}, all = 1;
    const int top = n * m < most ? n * m : most;

    if (n > EXACT || m > EXACT)
        return approximate((double)n * m / 2, (double)n * m * (n + m + 1) / 12, alpha);
    for (int i = 1; i <= n; i++) {
        for (int u = top; u >= m + i; u--)
            c[u] -= c[u - m - i];
        for (int u = i; u <= top; u++)
            c[u] += c[u - i];
        all = all * (m + i) / i;
    }
    return last_within(c, top + 1, all, alpha);
}

/* The number of sign patterns whose positive ranks sum up to t is that of the subsets of 1..n with that sum. */
int bench_critical_signed_rank(int n, double alpha)
{
    double c[EXACT * (EXACT + 1) / 2 + 1] = {1};
    const int top = n * (n + 1) / 2;

    if (n > EXACT)
        return approximate(top / 2.0, (double)n * (n + 1) * (2 * n + 1) / 24, alpha);
    for (int rank = 1; rank <= n; rank++) {
        for (int t = top; t >= rank; t--)
            c[t] += c[t - rank];
    }
    return last_within(c, top + 1, exp2(n), alpha);
}

/* From the sorted logarithms whose order statistics are the interval's ends. */
static void conclude(double *v, int n, int critical, bench_ratio *out)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    const double mid = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    *out = (bench_ratio){exp(mid), exp(mid), exp(mid), false};
    if (critical < 0 || critical + 1 > n - critical)
        return;
    out->has_interval = true;
    out->lo = exp(v[critical]);
    out->hi = exp(v[n - 1 - critical]);
}

/* Sample i of at most MOST. */
static double pick(const double *v, int n, int i)
{
    return log(n > MOST ? v[(long)i * n / MOST] : v[i]);
}

static int most(int n)
{
    return n > MOST ? MOST : n;
}

int bench_ratio_pairs(const double *a, const double *b, int n, double confidence, bench_ratio *out)
{
    const int m = most(n);
    double *v = malloc((size_t)m * (size_t)(m + 1) / 2 * sizeof *v);
    int k = 0;

    if (!v)
        return rn_fail(RN_E_NOMEM, "compare: out of memory");
    for (int i = 0; i < m; i++) {
        for (int j = i; j < m; j++)
            v[k++] = (pick(a, n, i) - pick(b, n, i) + pick(a, n, j) - pick(b, n, j)) / 2;
    }
    conclude(v, k, bench_critical_signed_rank(m, 1 - confidence), out);
    free(v);
    return 0;
}

int bench_ratio_apart(const double *a, int n, const double *b, int m, double confidence, bench_ratio *out)
{
    const int na = most(n), nb = most(m);
    double *v = malloc((size_t)na * (size_t)nb * sizeof *v);
    int k = 0;

    if (!v)
        return rn_fail(RN_E_NOMEM, "compare: out of memory");
    for (int i = 0; i < na; i++) {
        for (int j = 0; j < nb; j++)
            v[k++] = pick(a, n, i) - pick(b, m, j);
    }
    conclude(v, k, bench_critical_u(na, nb, 1 - confidence), out);
    free(v);
    return 0;
}
