/* ledger.c - see ledger.h. */
#include "capture/ledger.h"

#include <stdlib.h>

#include "base/mem.h"

enum { LOSSES_NEAR = 16 };
/* A thread is woken at most this long before its own switch-out is recorded, and a wait of at most
 * that length is believed to have been woken so: a longer one may have had a waker nobody saw. */
static const int64_t EARLY_NS = 20000;
static const int64_t EARLY_WAIT_NS = 1000000;

void ledger_losses_free(struct ledger_losses *losses)
{
    free(losses->from_ts);
    *losses = (struct ledger_losses){0};
}

void ledger_lost(struct ledger_losses *losses, int64_t from_ts)
{
    mem_reserve(&losses->from_ts, &losses->cap, losses->n + 1, sizeof(*losses->from_ts));
    losses->from_ts[losses->n++] = from_ts;
}

static bool is_off(const struct ledger *l)
{
    return l->state == EVENT_STATE_RUNNABLE || l->state == EVENT_STATE_BLOCKED;
}

/* Counts the time up to ts as spent in state. */
static void account(struct ledger *l, enum event_state state, int64_t ts)
{
    if (ts <= l->since_ts) {
        return; /* of another CPU's clock, a little behind */
    }
    int64_t ns = ts - l->since_ts;
    l->since_ts = ts;
    switch (state) {
    case EVENT_STATE_RUNNING:
        l->on_cpu_ns += ns;
        break;
    case EVENT_STATE_RUNNABLE:
        l->runnable_ns += ns;
        break;
    case EVENT_STATE_BLOCKED:
        l->blocked_ns += ns;
        break;
    default:
        l->unknown_ns += ns;
        break;
    }
}

/* Closes the interval the thread is in. */
static bool close_interval(struct ledger *l, int64_t ts, struct ledger_interval *ended)
{
    if (!is_off(l)) {
        return false;
    }
    int64_t start_ts = l->since_ts;
    account(l, l->state, ts);
    *ended =
        (struct ledger_interval){.start_ts = start_ts, .end_ts = l->since_ts, .state = l->state};
    return true;
}

static void begin(struct ledger *l, const struct ledger_losses *losses, int64_t ts)
{
    *l = (struct ledger){.is_started = true,
                         .start_ts = ts,
                         .since_ts = ts,
                         .proved_ts = ts,
                         .n_losses_seen = losses->n};
}

void ledger_start(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                  enum event_state state)
{
    begin(l, losses, ts);
    l->state = state;
}

void ledger_start_unseen(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                         enum event_state off_state)
{
    begin(l, losses, ts);
    l->is_first = true;
    l->first = off_state;
    l->state = off_state;
}

/* From the first loss on that the thread may have lost records in, nothing is known of it. */
static bool meet_losses(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                        struct ledger_interval *ended)
{
    if (l->n_losses_seen >= losses->n) {
        return false;
    }
    /* The losses of several CPUs are noted in any order, but at nearly the same time. */
    int64_t from_ts = losses->from_ts[l->n_losses_seen];
    for (size_t i = l->n_losses_seen; i < losses->n && i < l->n_losses_seen + LOSSES_NEAR; i++) {
        from_ts = losses->from_ts[i] < from_ts ? losses->from_ts[i] : from_ts;
    }
    l->n_losses_seen = losses->n;
    from_ts = from_ts < ts ? from_ts : ts;
    bool has_ended = from_ts > l->since_ts && close_interval(l, from_ts, ended);
    if (!is_off(l)) {
        account(l, l->state, from_ts);
    }
    l->state = EVENT_STATE_UNKNOWN;
    l->is_first = false;
    l->early_ts = 0;
    return has_ended;
}

/* A record at ts says that the thread was on a CPU until then. */
static bool was_on(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                   struct ledger_interval *ended)
{
    bool has_ended = meet_losses(l, losses, ts, ended);
    bool is_on = l->is_first || l->state == EVENT_STATE_RUNNING;
    l->is_first = false;
    account(l, is_on ? EVENT_STATE_RUNNING : EVENT_STATE_UNKNOWN, ts);
    l->state = EVENT_STATE_RUNNING;
    l->proved_ts = l->since_ts;
    return has_ended;
}

bool ledger_switch_out(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                       bool is_preempted, struct ledger_interval *ended)
{
    bool has_ended = was_on(l, losses, ts, ended);
    l->state = is_preempted ? EVENT_STATE_RUNNABLE : EVENT_STATE_BLOCKED;
    l->is_woken_early = l->early_ts && ts - l->early_ts <= EARLY_NS;
    l->early_ts = 0;
    l->n_switches++;
    return has_ended;
}

bool ledger_wake(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                 struct ledger_interval *ended)
{
    bool has_ended = meet_losses(l, losses, ts, ended);
    l->is_woken_early = false;
    if (l->state == EVENT_STATE_BLOCKED) {
        has_ended = close_interval(l, ts, ended);
        ended->is_woken = true;
        l->state = EVENT_STATE_RUNNABLE;
        l->is_first = false;
    } else if (l->state == EVENT_STATE_RUNNING) {
        l->early_ts = ts;
    }
    return has_ended;
}

bool ledger_switch_in(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                      struct ledger_interval *ended)
{
    bool has_ended = meet_losses(l, losses, ts, ended);
    l->is_first = false;
    if (l->is_woken_early && l->state == EVENT_STATE_BLOCKED && ts - l->since_ts <= EARLY_WAIT_NS) {
        l->state = EVENT_STATE_RUNNABLE;
    }
    if (is_off(l)) {
        has_ended = close_interval(l, ts, ended);
    } else {
        /* Its switch-out is missing: it ran until it was last known to. What settled ahead of that
         * was on-CPU by what was known then. */
        account(l, l->state, l->state == EVENT_STATE_RUNNING ? l->proved_ts : ts);
        account(l, EVENT_STATE_UNKNOWN, ts);
    }
    l->state = EVENT_STATE_RUNNING;
    l->proved_ts = l->since_ts;
    l->is_woken_early = false;
    return has_ended;
}

bool ledger_sample(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                   int64_t period_ns, int64_t *on_cpu_ns, struct ledger_interval *ended)
{
    int64_t unknown_ns = l->unknown_ns;
    bool has_ended = was_on(l, losses, ts, ended);
    int64_t more_ns = l->unknown_ns - unknown_ns;
    more_ns = more_ns < period_ns ? more_ns : period_ns;
    l->unknown_ns -= more_ns;
    l->on_cpu_ns += more_ns;
    *on_cpu_ns = l->on_cpu_ns - l->sampled_ns;
    l->sampled_ns = l->on_cpu_ns;
    return has_ended;
}

bool ledger_exec(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                 struct ledger_interval *ended)
{
    return is_off(l) && !l->is_first ? ledger_switch_in(l, losses, ts, ended)
                                     : was_on(l, losses, ts, ended);
}

bool ledger_lose(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                 struct ledger_interval *ended)
{
    bool has_ended = was_on(l, losses, ts, ended);
    l->state = EVENT_STATE_UNKNOWN;
    return has_ended;
}

bool ledger_end(struct ledger *l, const struct ledger_losses *losses, int64_t ts,
                struct ledger_interval *ended)
{
    bool has_ended = meet_losses(l, losses, ts, ended);
    l->is_first = false;
    if (is_off(l)) {
        return close_interval(l, ts, ended);
    }
    account(l, l->state, ts);
    return has_ended;
}

void ledger_settle(struct ledger *l, const struct ledger_losses *losses, int64_t ts)
{
    if (l->state == EVENT_STATE_RUNNING && l->n_losses_seen >= losses->n) {
        account(l, EVENT_STATE_RUNNING, ts);
    } else if (l->state == EVENT_STATE_UNKNOWN) {
        account(l, EVENT_STATE_UNKNOWN, ts);
    }
}
