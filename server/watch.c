/* watch.c - see watch.h. */
#include "server/watch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/mem.h"
#include "server/condition.h"
#include "server/readers.h"
#include "server/rpc.h"

enum { MAX_SUBSCRIPTIONS_A_CONNECTION = 32 };

#define CHECK_PERIOD_NS  ((int64_t)100 * 1000 * 1000) /* of waits, when nothing is committed */
#define PUSH_PERIOD_NS   ((int64_t)250 * 1000 * 1000)
#define CANCEL_PERIOD_NS (5L * 1000 * 1000)

/* Items are taken off their lists by the watch thread only; others add and set flags. */
struct waiter {
    struct waiter *next;
    struct call *call;
    struct wait wait;
    struct condition *condition; /* of WAIT_SQL only; owned */
    bool is_done;
};

struct subscription {
    struct subscription *next;
    int64_t id;
    uint64_t conn;
    const struct method *view;
    json_t *parameters;
    json_t *last_data; /* what was pushed last; watch thread only */
    uint64_t seen;     /* generation it was computed at */
    int64_t next_push_ns;
    bool is_unsent, is_gone;
};

struct watch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct server *server;
    struct readers *readers;
    struct waiter *waiters;
    struct subscription *subscriptions;
    int64_t last_id;
    uint64_t generation; /* counts changes */
    bool is_ending;
    bool is_refresh_due;   /* readers shall let go of runs */
    struct query *reading; /* what the thread is pushing from right now */
    pthread_t thread;
};

void watch_notify(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    w->generation++;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

void watch_refresh(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    w->is_refresh_due = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

void watch_wait(struct watch *w, struct call *c, const struct wait *wait)
{
    struct waiter *item = mem_new(1, sizeof(*item));
    *item = (struct waiter){.call = c, .wait = *wait};
    if (wait->kind == WAIT_SQL) {
        item->condition = condition_new(w->server, wait->run, wait->text);
    }
    pthread_mutex_lock(&w->lock);
    item->next = w->waiters;
    w->waiters = item;
    w->generation++;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

int64_t watch_subscribe(struct watch *w, const struct call *c, const struct method *view,
                        const json_t *parameters)
{
    struct subscription *item = mem_new(1, sizeof(*item));
    item->conn = c->conn;
    item->view = view;
    item->parameters = parameters ? json_deep_copy(parameters) : json_object();
    item->is_unsent = true;
    pthread_mutex_lock(&w->lock);
    int n = 0;
    for (const struct subscription *s = w->subscriptions; s; s = s->next) {
        n += s->conn == c->conn && !s->is_gone;
    }
    int64_t id = 0;
    if (n < MAX_SUBSCRIPTIONS_A_CONNECTION) {
        id = item->id = ++w->last_id;
        item->next = w->subscriptions;
        w->subscriptions = item;
    }
    pthread_mutex_unlock(&w->lock);
    if (!id) {
        json_decref(item->parameters);
        free(item);
    }
    return id;
}

bool watch_unsubscribe(struct watch *w, uint64_t conn, int64_t subscription)
{
    bool is_found = false;
    pthread_mutex_lock(&w->lock);
    for (struct subscription *s = w->subscriptions; s; s = s->next) {
        if (s->id == subscription && s->conn == conn && !s->is_gone) {
            s->is_gone = is_found = true;
        }
    }
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return is_found;
}

void watch_sent(struct watch *w, int64_t subscription)
{
    pthread_mutex_lock(&w->lock);
    for (struct subscription *s = w->subscriptions; s; s = s->next) {
        if (s->id == subscription) {
            s->is_unsent = false;
        }
    }
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

void watch_forget(struct watch *w, uint64_t conn)
{
    pthread_mutex_lock(&w->lock);
    for (struct subscription *s = w->subscriptions; s; s = s->next) {
        s->is_gone = s->is_gone || s->conn == conn;
    }
    w->generation++;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

/* Figures of a run that a wait answers with. */
struct progress {
    int64_t n_samples, elapsed_ns;
    json_t *run; /* the run member of documents */
};

static bool is_met(struct query *q, const struct wait *wait, const struct progress *p, int *rc,
                   struct err *e)
{
    bool found = false;
    switch (wait->kind) {
    case WAIT_SAMPLES:
        return p->n_samples >= wait->number;
    case WAIT_ELAPSED:
        return p->elapsed_ns >= wait->number;
    case WAIT_SYMBOL:
        *rc = query_has_symbol(q, wait->text, &found, e);
        return *rc == 0 && found;
    default:
        return false;
    }
}

static const char *reason_text(enum wait_kind kind)
{
    switch (kind) {
    case WAIT_SAMPLES:
        return "samples";
    case WAIT_ELAPSED:
        return "seconds";
    case WAIT_SYMBOL:
        return "symbol";
    case WAIT_SQL:
        return "sql";
    default:
        return "stopped";
    }
}

static void answer(struct waiter *item, struct query *q, struct progress *p, bool met)
{
    struct call *c = item->call;
    json_t *data;
    if (item->wait.kind == WAIT_STOP) {
        data = json_deep_copy(p->run);
    } else {
        bool waited_for_end = item->wait.kind == WAIT_STOPPED;
        data = json_pack("{s:b,s:s,s:I,s:I}", "is_met", met || waited_for_end, "reason",
                         reason_text(met ? item->wait.kind : WAIT_STOPPED), "n_samples",
                         (json_int_t)p->n_samples, "elapsed_ns", (json_int_t)p->elapsed_ns);
    }
    call_answer(c,
                document_new(c->method->schema, json_incref(p->run), data, query_quality(q), NULL));
    item->is_done = true;
}

static void fail(struct waiter *item, const struct err *e)
{
    call_fail(item->call, e);
    item->is_done = true;
}

static void read_progress(struct watch *w, struct query *q, const struct run_info *info,
                          struct progress *p)
{
    struct recording_stats stats;
    int64_t start_ts;
    p->run = query_run(q);
    json_object_set_new(p->run, "id", json_integer(info->id));
    p->n_samples = json_int_at(p->run, "n_samples", 0);
    p->elapsed_ns = json_int_at(p->run, "elapsed_ns", 0);
    if (info->is_active && registry_stats(w->server->registry, &stats, &start_ts)) {
        /* An idle target commits nothing, but its time goes on. */
        p->elapsed_ns = clock_monotonic_ns() - start_ts;
    }
}

/* Whether the wait is over, or its run is (*is_active false and it can never be met). */
static bool look(struct waiter *item, struct query *q, const struct progress *p, bool *is_active,
                 int *rc, struct err *e)
{
    if (item->wait.kind != WAIT_SQL) {
        return is_met(q, &item->wait, p, rc, e);
    }
    enum condition_state state = condition_poll(item->condition, *is_active, e);
    *rc = state == CONDITION_FAILED ? (int)e->code : 0;
    /* The last word on a run that is over has its last rows. */
    *is_active = state != CONDITION_NOT_MET;
    return state == CONDITION_MET;
}

/* Every wait is looked at once, also one that may take no time. */
static bool is_too_late(const struct waiter *item)
{
    const struct wait *wait = &item->wait;
    return wait->deadline_ns && clock_monotonic_ns() >= wait->deadline_ns &&
           (!item->condition || condition_was_checked(item->condition));
}

/* One look at one waiter. Watch thread, without the lock. */
static void check_waiter(struct watch *w, struct waiter *item)
{
    struct err e = {0};
    struct query *q = NULL;
    struct run_info info;
    if (call_is_cancelled(item->call)) {
        err_set(&e, STAX_ECANCELLED, "the client is gone");
        fail(item, &e);
        return;
    }
    /* Asked before reading: a run that ended before is read in full. */
    bool is_active = registry_active(w->server->registry) == item->wait.run;
    if (readers_get(w->readers, item->wait.run, &q, &info, &e) != 0) {
        fail(item, &e);
        return;
    }
    struct progress p;
    read_progress(w, q, &info, &p);
    int rc = 0;
    bool met = look(item, q, &p, &is_active, &rc, &e);
    if (rc < 0) {
        fail(item, &e);
    } else if (met || !is_active) {
        answer(item, q, &p, met);
    } else if (is_too_late(item)) {
        err_set(&e, STAX_ETIMEOUT, "the wait timed out; the run goes on");
        fail(item, &e);
    }
    json_decref(p.run);
}

static void set_reading(struct watch *w, struct query *q)
{
    pthread_mutex_lock(&w->lock);
    w->reading = q;
    pthread_mutex_unlock(&w->lock);
}

/* Computes one view and pushes it if its data is new. Watch thread, without the lock; the item
 * stays because only this thread removes items. */
static bool push(struct watch *w, struct subscription *s)
{
    struct query *q = NULL;
    struct run_info info;
    struct err e = {0};
    json_t *parameters = json_copy(s->parameters);
    int64_t run = json_int_at(parameters, "run", 0);
    json_object_del(parameters, "run");
    json_t *document = NULL;
    int rc = readers_get(w->readers, run, &q, &info, &e);
    if (rc == 0) {
        set_reading(w, q);
        rc = query_view(q, s->view->name, parameters, &document, &e);
        set_reading(w, NULL);
    }
    json_decref(parameters);
    if (rc) {
        /* A view that cannot be answered (yet) is pushed as its error, once. */
        document = json_of_err(&e);
    } else {
        json_object_set_new(json_object_get(document, "run"), "id", json_integer(info.id));
    }
    json_t *data = json_object_get(document, rc ? "error" : "data");
    bool is_new = !s->last_data || !json_equal(s->last_data, data);
    if (is_new) {
        json_decref(s->last_data);
        s->last_data = json_incref(data);
        size_t n;
        char *text = rpc_update_text(s->id, document, &n);
        outbox_post(w->server->outbox, s->conn, s->id, text, n);
    }
    json_decref(document);
    return is_new;
}

/* The next subscription that is due, marked as being computed; NULL: none. *wake_ns: when to look
 * again. Called with the lock. */
static struct subscription *next_due(struct watch *w, int64_t now_ns, int64_t *wake_ns)
{
    for (struct subscription *s = w->subscriptions; s; s = s->next) {
        if (s->is_gone || s->is_unsent || s->seen == w->generation + 1) {
            continue;
        }
        if (s->next_push_ns <= now_ns) {
            s->seen = w->generation + 1;
            s->next_push_ns = now_ns + PUSH_PERIOD_NS;
            s->is_unsent = true;
            return s;
        }
        if (s->next_push_ns < *wake_ns) {
            *wake_ns = s->next_push_ns;
        }
    }
    return NULL;
}

static void free_gone_subscriptions(struct watch *w)
{
    struct subscription **at = &w->subscriptions;
    while (*at) {
        struct subscription *s = *at;
        if (s->is_gone) {
            *at = s->next;
            json_decref(s->parameters);
            json_decref(s->last_data);
            free(s);
        } else {
            at = &s->next;
        }
    }
}

static void free_done_waiters(struct watch *w)
{
    struct waiter **at = &w->waiters;
    while (*at) {
        struct waiter *item = *at;
        if (item->is_done) {
            *at = item->next;
            condition_free(item->condition);
            free(item);
        } else {
            at = &item->next;
        }
    }
}

/* Items after first are stable without the lock: others add at the head, only we remove. */
static void check_waiters(struct watch *w)
{
    struct waiter *first = w->waiters;
    pthread_mutex_unlock(&w->lock);
    for (struct waiter *item = first; item; item = item->next) {
        check_waiter(w, item);
    }
    pthread_mutex_lock(&w->lock);
    free_done_waiters(w);
}

static void push_due(struct watch *w, int64_t *wake_ns)
{
    struct subscription *s;
    while (!w->is_ending && (s = next_due(w, clock_monotonic_ns(), wake_ns)) != NULL) {
        pthread_mutex_unlock(&w->lock);
        bool has_posted = push(w, s);
        pthread_mutex_lock(&w->lock);
        if (!has_posted) {
            s->is_unsent = false;
        }
    }
    free_gone_subscriptions(w);
}

static void sleep_until(struct watch *w, int64_t wake_ns)
{
    if (wake_ns == INT64_MAX) {
        pthread_cond_wait(&w->changed, &w->lock);
        return;
    }
    struct timespec until = {wake_ns / 1000000000, wake_ns % 1000000000};
    pthread_cond_timedwait(&w->changed, &w->lock, &until);
}

static void refresh_if_due(struct watch *w)
{
    if (w->is_refresh_due) {
        w->is_refresh_due = false;
        pthread_mutex_unlock(&w->lock);
        readers_refresh(w->readers);
        pthread_mutex_lock(&w->lock);
    }
}

static void *run(void *ctx)
{
    struct watch *w = ctx;
    pthread_mutex_lock(&w->lock);
    uint64_t checked = 0;
    int64_t next_check_ns = 0;
    while (!w->is_ending) {
        int64_t wake_ns = INT64_MAX;
        int64_t now_ns = clock_monotonic_ns();
        refresh_if_due(w);
        if (w->waiters && (checked != w->generation || now_ns >= next_check_ns)) {
            checked = w->generation;
            check_waiters(w);
            next_check_ns = clock_monotonic_ns() + CHECK_PERIOD_NS;
        }
        uint64_t generation = w->generation;
        push_due(w, &wake_ns);
        if (w->waiters && next_check_ns < wake_ns) {
            wake_ns = next_check_ns;
        }
        if (generation == w->generation && !w->is_refresh_due && !w->is_ending) {
            sleep_until(w, wake_ns);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct watch *watch_new(struct server *s)
{
    struct watch *w = mem_new(1, sizeof(*w));
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, &attr);
    pthread_condattr_destroy(&attr);
    w->server = s;
    w->readers = readers_new(s->registry);
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        abort(); /* as in jobs_new() */
    }
    pthread_setname_np(w->thread, "watch");
    return w;
}

/* Runs are over by now: what waited for their end gets its answer, the rest an error. */
static void answer_last(struct watch *w)
{
    struct err e;
    err_set(&e, STAX_ECANCELLED, "the server is shutting down");
    for (struct waiter *item = w->waiters; item; item = item->next) {
        check_waiter(w, item);
        if (!item->is_done) {
            fail(item, &e);
        }
    }
    free_done_waiters(w);
    for (struct subscription *s = w->subscriptions; s; s = s->next) {
        s->is_gone = true;
    }
    free_gone_subscriptions(w);
}

/* A view that takes long shall not hold up the end. */
static void cancel_reading(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    if (w->reading) {
        query_cancel(w->reading);
    }
    pthread_mutex_unlock(&w->lock);
}

void watch_stop(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    bool is_stopped = w->is_ending;
    w->is_ending = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (!is_stopped) {
        while (pthread_tryjoin_np(w->thread, NULL) != 0) {
            cancel_reading(w);
            nanosleep(&(struct timespec){.tv_nsec = CANCEL_PERIOD_NS}, NULL);
        }
        answer_last(w);
        readers_free(w->readers);
    }
}

void watch_free(struct watch *w)
{
    if (!w) {
        return;
    }
    watch_stop(w);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
