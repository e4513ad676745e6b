/* condition.c - see condition.h. */
#include "server/condition.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/mem.h"
#include "query/query.h"
#include "server/jobs.h"
#include "server/readers.h"
#include "server/server.h"
#include "server/watch.h"

enum { CHECK_TIMEOUT_MS = 2000 };

/* The least time between two checks; a check that takes longer is followed by as much rest. */
#define LEAST_PAUSE_NS ((int64_t)100 * 1000 * 1000)

struct condition {
    struct server *server;
    int64_t run;
    char *sql;
    pthread_mutex_t lock; /* everything below */
    bool is_checking;     /* a job has it */
    bool is_abandoned;    /* that job frees it */
    struct query *query;  /* what that job reads from right now */
    bool was_checked;
    bool is_new, is_final; /* an outcome nobody took yet; its check began after the run ended */
    int outcome;           /* 1 met, 0 not, negative: error says why */
    struct err error;
    int64_t next_ns;
};

struct condition *condition_new(struct server *s, int64_t run, const char *sql)
{
    struct condition *c = mem_new(1, sizeof(*c));
    c->server = s;
    c->run = run;
    c->sql = mem_strdup(sql);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void release(struct condition *c)
{
    pthread_mutex_destroy(&c->lock);
    free(c->sql);
    free(c);
}

void condition_free(struct condition *c)
{
    if (!c) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    bool is_checking = c->is_checking;
    c->is_abandoned = true;
    if (c->query) {
        query_cancel(c->query);
    }
    pthread_mutex_unlock(&c->lock);
    if (!is_checking) {
        release(c);
    }
}

static bool is_true(const json_t *value)
{
    if (json_is_number(value)) {
        return json_number_value(value) != 0;
    }
    return json_is_string(value) && json_string_value(value)[0];
}

/* Runs the query: 1 true, 0 not, negative: an error. */
static int ask(struct query *q, const char *sql, struct err *e)
{
    json_t *limits = json_pack("{s:i,s:i}", "max_rows", 1, "timeout_ms", CHECK_TIMEOUT_MS);
    json_t *document = NULL;
    int rc = query_sql(q, sql, limits, &document, e);
    json_decref(limits);
    if (rc == 0) {
        const json_t *rows = json_object_get(json_object_get(document, "data"), "rows");
        rc = is_true(json_array_get(json_array_get(rows, 0), 0));
        json_decref(document);
    }
    return rc;
}

/* Whether somebody still wants to know; q is what the job reads from, NULL: nothing any more. */
static bool is_wanted(struct condition *c, struct query *q)
{
    pthread_mutex_lock(&c->lock);
    bool wanted = !c->is_abandoned;
    c->query = q;
    pthread_mutex_unlock(&c->lock);
    return wanted;
}

static void check(void *ctx, struct readers *readers)
{
    struct condition *c = ctx;
    struct server *s = c->server;
    struct query *q = NULL;
    struct err e = {0};
    int64_t start_ns = clock_monotonic_ns();
    int rc = 0;
    if (is_wanted(c, NULL)) {
        rc = readers_get(readers, c->run, &q, NULL, &e);
    }
    if (q && is_wanted(c, q)) {
        rc = ask(q, c->sql, &e);
    }
    int64_t now_ns = clock_monotonic_ns();
    pthread_mutex_lock(&c->lock);
    c->query = NULL;
    c->is_checking = false;
    c->is_new = c->was_checked = true;
    c->outcome = rc;
    c->error = e;
    c->next_ns = now_ns + (now_ns - start_ns > LEAST_PAUSE_NS ? now_ns - start_ns : LEAST_PAUSE_NS);
    bool is_abandoned = c->is_abandoned;
    pthread_mutex_unlock(&c->lock);
    if (is_abandoned) {
        release(c);
    } else {
        watch_notify(s->watch); /* c may be gone by now */
    }
}

/* Called with the lock. */
static void start(struct condition *c, bool is_active)
{
    c->is_checking = true;
    c->is_final = !is_active;
    if (!jobs_submit(c->server->lanes[LANE_SQL], check, c, false)) {
        c->is_checking = false; /* the line is full: the next poll tries again */
    }
}

bool condition_was_checked(struct condition *c)
{
    pthread_mutex_lock(&c->lock);
    bool was_checked = c->was_checked && !c->is_new;
    pthread_mutex_unlock(&c->lock);
    return was_checked;
}

enum condition_state condition_poll(struct condition *c, bool is_active, struct err *e)
{
    enum condition_state state = CONDITION_UNKNOWN;
    pthread_mutex_lock(&c->lock);
    if (c->is_new) {
        c->is_new = false;
        state = c->outcome > 0   ? CONDITION_MET
                : c->outcome < 0 ? CONDITION_FAILED
                : c->is_final    ? CONDITION_NOT_MET
                                 : CONDITION_UNKNOWN;
        *e = c->error;
    }
    if (state == CONDITION_UNKNOWN && !c->is_checking &&
        (!is_active || clock_monotonic_ns() >= c->next_ns)) {
        start(c, is_active);
    }
    pthread_mutex_unlock(&c->lock);
    return state;
}
