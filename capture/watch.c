/* watch.c - see watch.h. */
#include "capture/watch.h"

#include <string.h>

#include <sys/stat.h>

enum { RECORDS_HZ = 4000, RECORDS_AT_ONCE = 4000 };
/* Events are opened and closed on every CPU: a list that keeps changing is changed ever more
 * rarely. */
static const int64_t CHANGE_NS = 100000000, CHANGE_MORE_NS = 2000000, CHANGE_MAX_NS = 2000000000;
static const int64_t STORM_NS = 2000000000; /* so long it counts as one */
static const int64_t LONG_NS = 10000000;

/* The kernel's filter and records name threads as the host does: in a pid namespace of our own
 * their ids are other threads' ids. 0xeffffffc: PROC_PID_INIT_INO (include/linux/proc_ns.h). */
static bool counts_as_the_host(void)
{
    struct stat of;
    return stat("/proc/self/ns/pid", &of) == 0 && of.st_ino == 0xeffffffc;
}

static bool is_watched(const struct watch *w, const int32_t *tids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < w->n_tids && w->tids[at] != tids[i]) {
            at++;
        }
        if (at == w->n_tids) {
            return false;
        }
    }
    return true;
}

/* Appends those that were watched so far, as many as there is room for: a list that only grows
 * settles. */
static size_t add_watched(const struct watch *w, int32_t *tids, size_t n)
{
    for (size_t i = 0; i < w->n_tids && n < FOLLOW_WATCH_MAX; i++) {
        bool is_there = false;
        for (size_t k = 0; k < n && !is_there; k++) {
            is_there = tids[k] == w->tids[i];
        }
        if (!is_there) {
            tids[n++] = w->tids[i];
        }
    }
    return n;
}

static int64_t change_ns(const struct watch *w)
{
    int64_t ns = CHANGE_NS + (int64_t)w->n_changes * CHANGE_MORE_NS;
    return ns < CHANGE_MAX_NS ? ns : CHANGE_MAX_NS;
}

/* How many records may still come. Below 0 nobody is watched until half of what may come at once is
 * saved up, which a burst of any size delays by no more than its clamp. */
static void keep_bound(struct watch *w, int64_t now, uint64_t n_records)
{
    int64_t more = w->left_ts ? (now - w->left_ts) * RECORDS_HZ / 1000000000 : RECORDS_AT_ONCE;
    if (more > 0) {
        w->left_ts = now;
        w->left += more;
        w->left = w->left < RECORDS_AT_ONCE ? w->left : RECORDS_AT_ONCE;
    }
    int64_t n = n_records < 2 * RECORDS_AT_ONCE ? (int64_t)n_records : 2 * RECORDS_AT_ONCE;
    w->left -= n;
    w->left = w->left > -RECORDS_AT_ONCE ? w->left : -RECORDS_AT_ONCE;
    w->is_over = w->left < (w->is_over ? RECORDS_AT_ONCE / 2 : 0);
}

static void change(struct watch *w, struct events *ev, const int32_t *tids, size_t n, int64_t now)
{
    w->is_refused = !counts_as_the_host() || events_watch(ev, tids, n) != 0;
    w->n_tids = w->is_refused ? 0 : n;
    memcpy(w->tids, tids, w->n_tids * sizeof(*tids));
    w->n_changes++;
    w->ts = now;
}

void watch_tick(struct watch *w, struct events *ev, const struct follow *f, int64_t now,
                bool is_storm, uint64_t n_records)
{
    int32_t tids[FOLLOW_WATCH_MAX] = {0};
    keep_bound(w, now, n_records);
    w->storm_ts = is_storm || w->is_over ? now : w->storm_ts;
    if (w->is_refused || !ev->has_wakings || !ev->waking_pid_offset) {
        return;
    }
    if (w->is_over && w->n_tids) {
        change(w, ev, tids, 0, now);
    }
    if (w->is_over || (w->ts && now - w->ts < change_ns(w))) {
        return;
    }
    bool is_calm = !w->storm_ts || now - w->storm_ts > STORM_NS;
    struct follow_stats stats;
    follow_stats(f, &stats);
    is_calm = is_calm && stats.n_threads <= FOLLOW_WATCH_MAX;
    size_t n = follow_watch_list(f, is_calm ? 0 : LONG_NS, now, tids, FOLLOW_WATCH_MAX);
    if (!is_watched(w, tids, n)) {
        change(w, ev, tids, add_watched(w, tids, n), now);
    }
}
