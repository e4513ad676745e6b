/* server.c - see server.h. */
#include "server/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "server/jobs.h"
#include "server/readers.h"
#include "server/rpc.h"
#include "server/watch.h"

enum { N_WORKERS = 3, MAX_WAITING_JOBS = 512 };

struct calls {
    pthread_mutex_t lock; /* the list, and is_cancelled and the page counts of every call in it */
    struct call *first;
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
    if (s->workers) {
        jobs_refresh(s->workers);
    }
}

int server_open(struct server *s, int64_t max_bytes, void (*wake)(void *ctx), void *ctx,
                struct err *e)
{
    *s = (struct server){.start_ns = clock_monotonic_ns()};
    int rc = datadir_open(&s->datadir, e);
    if (rc) {
        return rc;
    }
    struct registry_options options = {
        .datadir = &s->datadir,
        .max_bytes = max_bytes,
        .changed = on_changed,
        .refresh = on_refresh,
        .ctx = s,
    };
    rc = registry_open(&s->registry, &options, e);
    if (rc) {
        datadir_close(&s->datadir);
        return rc;
    }
    s->calls = mem_new(1, sizeof(*s->calls));
    pthread_mutex_init(&s->calls->lock, NULL);
    s->methods = methods_new();
    s->outbox = outbox_new(wake, ctx);
    s->workers = jobs_new("worker", N_WORKERS, MAX_WAITING_JOBS, s->registry);
    s->watch = watch_new(s);
    registry_begin(s->registry);
    return 0;
}

void server_shutdown(struct server *s)
{
    registry_shutdown(s->registry);
    jobs_stop(s->workers);
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
    jobs_free(s->workers);
    free_calls(s);
    outbox_free(s->outbox);
    methods_free(s->methods);
    pthread_mutex_destroy(&s->calls->lock);
    free(s->calls);
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

void server_save_progress(struct server *s, struct call *c, int64_t n_done, int64_t n_total)
{
    pthread_mutex_lock(&s->calls->lock);
    c->n_done_pages = n_done;
    c->n_total_pages = n_total;
    pthread_mutex_unlock(&s->calls->lock);
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
    if (call_is_cancelled(c)) {
        err_set(&e, STAX_ECANCELLED, "the client is gone");
        call_fail(c, &e);
        return;
    }
    int rc = c->method->handler(c, readers, &document, &e);
    if (rc == 0) {
        call_answer(c, document);
    } else if (rc != METHOD_TAKEN) {
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
    } else if (!jobs_submit(s->workers, run_call, c, false)) {
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
    watch_forget(s->watch, conn);
}

json_t *document_new(const char *schema, json_t *run, json_t *data, json_t *quality,
                     json_t *warnings)
{
    return json_pack("{s:s,s:o,s:o,s:o,s:o}", "schema", schema, "run", run ? run : json_null(),
                     "data", data, "quality", quality ? quality : json_null(), "warnings",
                     warnings ? warnings : json_array());
}
