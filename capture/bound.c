/* bound.c - see bound.h. */
#include "capture/bound.h"

static const int64_t SECOND_NS = 1000000000, ADAPT_NS = 100000000;

struct bound bound_of(int64_t many_hz, int64_t at_once, int64_t few_hz, int64_t now)
{
    return (struct bound){.left = at_once,
                          .ts = now,
                          .hz = many_hz,
                          .at_once = at_once,
                          .few_hz = few_hz,
                          .many_hz = many_hz,
                          .from_ts = now};
}

void bound_take(struct bound *b, uint64_t n)
{
    b->left -= (int64_t)n;
}

void bound_restart(struct bound *b, int64_t hz, int64_t now)
{
    b->hz = hz;
    b->n_offered = 0;
    b->from_ts = now;
}

void bound_adapt(struct bound *b, int64_t now)
{
    int64_t ns = now - b->from_ts;
    if (ns < ADAPT_NS) {
        return;
    }
    bool are_few = b->few_hz && (double)b->n_offered * SECOND_NS <= (double)b->few_hz * (double)ns;
    bound_restart(b, are_few ? b->few_hz : b->many_hz, now);
}

bool bound_keep(struct bound *b, int64_t now)
{
    int64_t more = (now - b->ts) * b->hz / SECOND_NS;
    if (more > 0) {
        b->ts = now;
        b->left += more;
        b->left = b->left < b->at_once ? b->left : b->at_once;
    }
    bool was_off = b->is_off;
    b->is_off = b->left < (b->is_off ? b->at_once / 2 : 0);
    return b->is_off != was_off;
}
