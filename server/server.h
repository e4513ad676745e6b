/*
 * server.h - what answers requests: registry, method table, worker threads, watch and outbox.
 *
 * The transport (one thread) hands in request bodies with the number of their connection and takes
 * answers from the outbox. A request becomes a struct call; whoever holds the call answers it
 * exactly once, on any thread, and it is gone then.
 */
#ifndef STAX_SERVER_SERVER_H
#define STAX_SERVER_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "server/datadir.h"
#include "server/method.h"
#include "server/outbox.h"
#include "server/registry.h"

struct debuginfod_servers;
struct watch;
struct jobs;
struct query;

/* What status tells about the transports; fixed once they are open. */
struct server_addresses {
    char socket[256];
    char http[256]; /* "http://127.0.0.1:8080", "" if TCP is off */
    char note[512]; /* what is not as asked for, "" if nothing */
};

struct server {
    struct datadir datadir;
    struct registry *registry;
    struct methods *methods;
    struct jobs *lanes[N_LANES];
    struct watch *watch;
    struct outbox *outbox;
    struct server_addresses addresses;
    struct debuginfod_servers *servers;
    int64_t start_ns; /* CLOCK_MONOTONIC */
    struct calls *calls;
};

struct call {
    struct call *prev, *next; /* of server->calls */
    struct server *server;
    const struct method *method;
    json_t *id;         /* NULL: a notification */
    json_t *parameters; /* object */
    uint64_t conn;
    bool is_cancelled;                   /* read with call_is_cancelled() */
    struct query *query;                 /* what it reads from right now; call_reads() */
    int64_t n_done_pages, n_total_pages; /* of a save under way; server_save_progress() */
};

/* Opens the data directory and starts the threads. wake is called (any thread) when the outbox has
 * something. max_bytes: bound over all runs, 0 for the default. */
int server_open(struct server *s, int64_t max_bytes, void (*wake)(void *ctx), void *ctx,
                struct err *e);
/* Ends the active run cleanly. What was asked and is not done yet fails, but for saves, which get a
 * few seconds to finish; new requests get no answer. */
void server_shutdown(struct server *s);
/* After server_shutdown(), when the transport is gone. */
void server_close(struct server *s);

/* Takes in one request body; its answer comes through the outbox (text NULL for a notification). */
void server_request(struct server *s, uint64_t conn, bool is_ws, const char *text, size_t n);
/* Forgets what a closed connection was waiting for. */
void server_forget(struct server *s, uint64_t conn);

/* For each look at the clock, about twice a second. */
void server_tick(struct server *s);
/* Requests that no thread has begun with. */
size_t server_n_waiting(const struct server *s);

/* Whether nobody waits for the answer any more. */
bool call_is_cancelled(struct call *c);
/* The same, or the server ends. */
bool call_is_over(struct call *c);
/* Says what the call is about to read from, so that it can be stopped when its client leaves or the
 * server ends. It holds until the handler returns. Errors: STAX_ECANCELLED: that has happened. */
int call_reads(struct call *c, struct query *q, struct err *e);
/* Notes how far a save is, for diagnostics; n_total 0: it is over. False: it is to give up. */
bool server_save_progress(struct server *s, struct call *c, int64_t n_done, int64_t n_total);
/* [{"path","n_done_pages","n_total_pages"}] of the saves under way. New reference. */
json_t *server_saves(struct server *s);
/* Answers and frees the call. Takes document. */
void call_answer(struct call *c, json_t *document);
void call_fail(struct call *c, const struct err *e);

/* {"schema","run","data","quality","warnings"}: takes all references; run, quality and warnings may
 * be NULL. */
json_t *document_new(const char *schema, json_t *run, json_t *data, json_t *quality,
                     json_t *warnings);

#endif
