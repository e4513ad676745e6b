/* estimate.c - see estimate.h. */
#include "query/estimate.h"

#include <math.h>

static const double ns_per_s = 1e9;

static double variance_of(const struct sampling *s, struct amount amount)
{
    double mean_ns = s->mean_ns, n = 1;

    if (amount.n_samples < 0) {
        return 0;
    }
    if (amount.n_samples > 0) {
        mean_ns = amount.ns / amount.n_samples;
        n = amount.n_samples;
    }
    return mean_ns * mean_ns * n * (1 + s->variation);
}

static double scaled(double ns, double whole, double unit)
{
    return whole > 0 ? ns / whole * unit : 0;
}

/* Of a share; what a foreign file says may be more than the whole. */
static double share_variance(double variance, double ns, double whole)
{
    double share = fmin(fmax(scaled(ns, whole, 1), 0), 1);
    return whole > 0 ? variance / whole / whole * (1 - share) : 0;
}

static struct value value_of(double a, double b, double variance)
{
    return (struct value){.a = a, .b = b, .delta = b - a, .deviation = sqrt(variance)};
}

struct change change_of(const struct sampling *sampling_a, struct amount a, double whole_a,
                        const struct sampling *sampling_b, struct amount b, double whole_b)
{
    double seconds_a = sampling_a->elapsed_ns / ns_per_s;
    double seconds_b = sampling_b->elapsed_ns / ns_per_s;
    double var_a = variance_of(sampling_a, a), var_b = variance_of(sampling_b, b);
    double rate_a = scaled(var_a, seconds_a * seconds_a, 1);
    double rate_b = scaled(var_b, seconds_b * seconds_b, 1);
    double share_a = share_variance(var_a, a.ns, whole_a);
    double share_b = share_variance(var_b, b.ns, whole_b);

    return (struct change){
        .by =
            {
                [BY_TIME] = value_of(a.ns, b.ns, var_a + var_b),
                [BY_RATE] = value_of(scaled(a.ns, seconds_a, 1), scaled(b.ns, seconds_b, 1),
                                     rate_a + rate_b),
                [BY_SHARE] = value_of(scaled(a.ns, whole_a, 100), scaled(b.ns, whole_b, 100),
                                      1e4 * (share_a + share_b)),
            },
        .n_a = a.n_samples,
        .n_b = b.n_samples,
    };
}

bool change_is_exact(const struct change *c)
{
    return c->n_a < 0 && c->n_b < 0;
}

bool change_is_enough(const struct change *c)
{
    return change_is_exact(c) || fmax(c->n_a, 0) + fmax(c->n_b, 0) >= MIN_SAMPLES;
}

double change_beyond(const struct change *c, enum basis by, double z)
{
    return fabs(c->by[by].delta) - z * c->by[by].deviation;
}

bool change_is_significant(const struct change *c, enum basis by, double z)
{
    return !change_is_exact(c) && change_is_enough(c) && change_beyond(c, by, z) > 0;
}

double value_change_pct(const struct value *v)
{
    if (v->a == 0) {
        return v->delta == 0 ? 0 : copysign(INFINITY, v->delta);
    }
    return 100 * v->delta / v->a;
}

double estimate_z(double confidence_pct, size_t n_tests)
{
    double alpha = (1 - confidence_pct / 100) / (double)(n_tests ? n_tests : 1);
    double low = 0, high = 40;

    /* erfc(z / sqrt 2) is what two tails beyond z hold, and falls with z. */
    for (int i = 0; i < 80; i++) {
        double middle = (low + high) / 2;
        if (erfc(middle / sqrt(2)) > alpha) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}
