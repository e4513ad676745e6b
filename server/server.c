/* server.c - see server.h. */
#include "ingest/debuginfod.h"
#include "server/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/mem.h"
#include "query/query.h"
#include "server/jobs.h"
#include "server/readers.h"
#include "server/rpc.h"
#include "server/watch.h"

enum { MAX_WAITING_JOBS = 512 };

/* How long a save may go on when the server is to end, and how often running queries are told. */
#define SAVE_PATIENCE_NS ((int64_t)3 * 1000 * 1000 * 1000)
#define CANCEL_PERIOD_NS (20L * 1000 * 1000)

static const struct {
    const char *name;
    int n_threads;
} lanes[N_LANES] = {
    [LANE_CONTROL] = {"control", 2},
    [LANE_VIEW] = {"view", 2},
    [LANE_SQL] = {"sql", 2},
    [LANE_FILE] = {"file", 2},
};

struct calls {
    /* The list, and is_cancelled, query and the page counts of every call in it. */
    pthread_mutex_t lock;
    struct call *first;
    bool is_ending;
    int64_t saves_end_ns; /* when saves are to give up, once is_ending */
};

static void on_changed(void *ctx)
{
    struct server *s = ctx;
    if (s->watch) {
        watch_notify(s->watch);
    }
}

static void on_refresh(void *ctx)
{
    struct server *s = ctx;
    for (int i = 0; i < N_LANES; i++) {
        jobs_refresh(s->lanes[i]);
    }
    watch_refresh(s->watch);
}

int server_open(struct server *s, int64_t max_bytes, void (*wake)(void *ctx), void *ctx,
                struct err *e)
{
    *s = (struct server){.start_ns = clock_monotonic_ns()};
    int rc = datadir_open(&s->datadir, e);
    if (rc) {
        return rc;
    }
    s->servers = debuginfod_servers_new();
    struct registry_options options = {
        .datadir = &s->datadir,
        .servers = s->servers,
        .max_bytes = max_bytes,
        .changed = on_changed,
        .refresh = on_refresh,
        .ctx = s,
    };
    rc = registry_open(&s->registry, &options, e);
    if (rc) {
        debuginfod_servers_free(s->servers);
        datadir_close(&s->datadir);
        return rc;
    }
    s->calls = mem_new(1, sizeof(*s->calls));
    pthread_mutex_init(&s->calls->lock, NULL);
    s->methods = methods_new();
    s->outbox = outbox_new(wake, ctx);
    for (int i = 0; i < N_LANES; i++) {
        s->lanes[i] = jobs_new(lanes[i].name, lanes[i].n_threads, MAX_WAITING_JOBS, s->registry);
    }
    s->watch = watch_new(s);
    registry_begin(s->registry);
    return 0;
}

/* Stops the queries of calls that nobody waits for, or of all; returns how many there are. */
static int cancel_queries(struct server *s, bool all)
{
    int n = 0;
    pthread_mutex_lock(&s->calls->lock);
    for (struct call *c = s->calls->first; c; c = c->next) {
        if (c->query && (all || c->is_cancelled)) {
            query_cancel(c->query);
            n++;
        }
    }
    pthread_mutex_unlock(&s->calls->lock);
    return n;
}

void server_tick(struct server *s)
{
    cancel_queries(s, false);
}

size_t server_n_waiting(const struct server *s)
{
    size_t n = 0;
    for (int i = 0; i < N_LANES; i++) {
        n += jobs_waiting(s->lanes[i]);
    }
    return n;
}

void server_shutdown(struct server *s)
{
    pthread_mutex_lock(&s->calls->lock);
    s->calls->is_ending = true;
    s->calls->saves_end_ns = clock_monotonic_ns() + SAVE_PATIENCE_NS;
    pthread_mutex_unlock(&s->calls->lock);
    while (cancel_queries(s, true)) {
        nanosleep(&(struct timespec){.tv_nsec = CANCEL_PERIOD_NS}, NULL);
    }
    registry_shutdown(s->registry);
    for (int i = 0; i < N_LANES; i++) {
        jobs_stop(s->lanes[i]);
    }
    watch_stop(s->watch);
}

/* Requests that came in after the shutdown, which nobody will carry out. */
static void free_calls(struct server *s)
{
    while (s->calls->first) {
        struct call *c = s->calls->first;
        s->calls->first = c->next;
        json_decref(c->id);
        json_decref(c->parameters);
        free(c);
    }
}

void server_close(struct server *s)
{
    /* Upkeep first: it tells the others of changes. */
    registry_close(s->registry);
    watch_free(s->watch);
    for (int i = 0; i < N_LANES; i++) {
        jobs_free(s->lanes[i]);
    }
    free_calls(s);
    outbox_free(s->outbox);
    methods_free(s->methods);
    pthread_mutex_destroy(&s->calls->lock);
    free(s->calls);
    debuginfod_servers_free(s->servers);
    datadir_close(&s->datadir);
}

static struct call *call_new(struct server *s, uint64_t conn, struct rpc_request *request)
{
    struct call *c = mem_new(1, sizeof(*c));
    *c = (struct call){.server = s,
                       .method = request->method,
                       .id = request->id,
                       .parameters = request->parameters,
                       .conn = conn};
    *request = (struct rpc_request){0};
    pthread_mutex_lock(&s->calls->lock);
    c->next = s->calls->first;
    if (c->next) {
        c->next->prev = c;
    }
    s->calls->first = c;
    pthread_mutex_unlock(&s->calls->lock);
    return c;
}

/* Takes text. */
static void call_end(struct call *c, char *text, size_t n)
{
    struct server *s = c->server;
    pthread_mutex_lock(&s->calls->lock);
    if (c->prev) {
        c->prev->next = c->next;
    } else {
        s->calls->first = c->next;
    }
    if (c->next) {
        c->next->prev = c->prev;
    }
    bool is_cancelled = c->is_cancelled;
    pthread_mutex_unlock(&s->calls->lock);
    if (is_cancelled) {
        free(text);
    } else {
        outbox_post(s->outbox, c->conn, 0, text, n);
    }
    json_decref(c->id);
    json_decref(c->parameters);
    free(c);
}

bool call_is_cancelled(struct call *c)
{
    pthread_mutex_lock(&c->server->calls->lock);
    bool is_cancelled = c->is_cancelled;
    pthread_mutex_unlock(&c->server->calls->lock);
    return is_cancelled;
}

/* Why a call is not worth going on with, or NULL. Called with the lock. */
static const char *end_reason(const struct call *c)
{
    return c->is_cancelled               ? "the client is gone"
           : c->server->calls->is_ending ? "the server is shutting down"
                                         : NULL;
}

bool call_is_over(struct call *c)
{
    pthread_mutex_lock(&c->server->calls->lock);
    bool is_over = end_reason(c) != NULL;
    pthread_mutex_unlock(&c->server->calls->lock);
    return is_over;
}

int call_reads(struct call *c, struct query *q, struct err *e)
{
    pthread_mutex_lock(&c->server->calls->lock);
    const char *reason = end_reason(c);
    c->query = reason ? NULL : q;
    pthread_mutex_unlock(&c->server->calls->lock);
    return reason ? err_set(e, STAX_ECANCELLED, "%s", reason) : 0;
}

bool server_save_progress(struct server *s, struct call *c, int64_t n_done, int64_t n_total)
{
    pthread_mutex_lock(&s->calls->lock);
    c->n_done_pages = n_done;
    c->n_total_pages = n_total;
    bool goes_on =
        !c->is_cancelled && (!s->calls->is_ending || clock_monotonic_ns() < s->calls->saves_end_ns);
    pthread_mutex_unlock(&s->calls->lock);
    return goes_on;
}

json_t *server_saves(struct server *s)
{
    json_t *list = json_array();
    pthread_mutex_lock(&s->calls->lock);
    for (const struct call *c = s->calls->first; c; c = c->next) {
        if (c->n_total_pages) {
            json_array_append_new(list, json_pack("{s:O,s:I,s:I}", "path",
                                                  json_object_get(c->parameters, "path"),
                                                  "n_done_pages", (json_int_t)c->n_done_pages,
                                                  "n_total_pages", (json_int_t)c->n_total_pages));
        }
    }
    pthread_mutex_unlock(&s->calls->lock);
    return list;
}

void call_answer(struct call *c, json_t *document)
{
    char *text = NULL;
    size_t n = 0;
    if (c->id && !call_is_cancelled(c)) {
        text = rpc_result_text(c->id, document, &n);
    } else {
        json_decref(document);
    }
    call_end(c, text, n);
}

void call_fail(struct call *c, const struct err *e)
{
    char *text = NULL;
    size_t n = 0;
    if (c->id) {
        text = rpc_error_text(c->id, rpc_code_of(e), e, &n);
    }
    call_end(c, text, n);
}

static void run_call(void *ctx, struct readers *readers)
{
    struct call *c = ctx;
    struct err e = {0};
    json_t *document = NULL;
    if (call_reads(c, NULL, &e) != 0) {
        call_fail(c, &e);
        return;
    }
    int rc = c->method->handler(c, readers, &document, &e);
    if (rc == METHOD_TAKEN) {
        return;
    }
    int ended = call_reads(c, NULL, rc == STAX_ECANCELLED ? &e : NULL);
    (void)ended; /* only what it was cancelled for is of interest, and that is in e */
    if (rc == 0) {
        call_answer(c, document);
    } else {
        call_fail(c, &e);
    }
}

void server_request(struct server *s, uint64_t conn, bool is_ws, const char *text, size_t n)
{
    struct rpc_request request;
    struct err e = {0};
    json_t *id = NULL;
    int code = rpc_parse(s->methods, text, n, &request, &id, &e);
    if (code) {
        size_t n_out;
        char *answer = rpc_error_text(id, code, &e, &n_out);
        json_decref(id);
        outbox_post(s->outbox, conn, 0, answer, n_out);
        return;
    }
    struct call *c = call_new(s, conn, &request);
    if (c->method->is_ws_only && !is_ws) {
        err_set(&e, STAX_EUSAGE, "%s works on the WebSocket /ws only", c->method->name);
        call_fail(c, &e);
    } else if (!jobs_submit(s->lanes[c->method->lane], run_call, c, false)) {
        err_set(&e, STAX_EBUSY, "the server has too many requests waiting");
        err_hint(&e, "ask again in a moment");
        call_fail(c, &e);
    }
}

void server_forget(struct server *s, uint64_t conn)
{
    pthread_mutex_lock(&s->calls->lock);
    for (struct call *c = s->calls->first; c; c = c->next) {
        if (c->conn == conn) {
            c->is_cancelled = true;
        }
    }
    pthread_mutex_unlock(&s->calls->lock);
    cancel_queries(s, false);
    watch_forget(s->watch, conn);
}

json_t *document_new(const char *schema, json_t *run, json_t *data, json_t *quality,
                     json_t *warnings)
{
    return json_pack("{s:s,s:o,s:o,s:o,s:o}", "schema", schema, "run", run ? run : json_null(),
                     "data", data, "quality", quality ? quality : json_null(), "warnings",
                     warnings ? warnings : json_array());
}
