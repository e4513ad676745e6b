/*
 * naming.h - the thread that looks for better names while a run is recorded: separate debug files,
 * lines and inlined functions; and a second one that asks debuginfod.
 *
 * Whoever records never waits for it: files and addresses are handed over, results are taken when
 * there are some. What is asked is bounded; a full queue refuses and is asked again later. All
 * functions are for one thread, the owner's.
 */
#ifndef STAX_INGEST_NAMING_H
#define STAX_INGEST_NAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "ingest/lines.h"
#include "ingest/names.h"

struct naming;

struct naming_address {
    uint32_t frame; /* id, given back with the result */
    uint64_t address;
};

/* One function at a frame; texts are offsets into the result's text, 0: none. */
struct naming_row {
    uint32_t frame, depth;
    uint32_t function; /* linkage name; 0: the frame's own function */
    uint32_t file, line;
    const char *language; /* as symbol.language; static */
    bool is_static;       /* function: as in struct lines_row */
    uint32_t declared;
    uint64_t address;
};

/* A function whose line table is asked for. */
struct naming_code {
    uint32_t symbol; /* id, given back with the result */
    uint64_t address, size;
};

struct naming_table {
    struct naming_code code;
    bool is_known; /* false: the debug information does not say */
    struct lines_table table;
    uint64_t *targets; /* what the function may call (code_targets()); not known: none */
    size_t n_targets, cap_targets;
};

struct naming_result {
    uint32_t binary;
    struct names *names; /* better symbols, or NULL; the taker's */
    enum names_source source;
    char *note;   /* what was refused, or NULL; the taker's, as the next two */
    char *lack;   /* what its debug information lacks, or NULL */
    char *server; /* what became of asking servers, as debuginfod_note(), "": nothing; NULL: no news
                   */
    bool has_alternate;   /* what it lacked is there: inlined functions have names now */
    char *package;        /* that the file came in, where better names are missing; or NULL */
    bool is_asking_again; /* DWARF came late: addresses asked before shall be asked again */
    struct naming_row *rows;
    size_t n_rows, cap_rows;
    struct buf text;
    struct naming_table *tables;
    size_t n_tables;
    size_t n_bytes; /* of all of this */
    struct naming_result *next;
};

struct debuginfod_servers;

/* servers: held while anything is under way; NULL: none is asked. NULL: no thread can be started.
 */
struct naming *naming_new(struct debuginfod_servers *servers);
/* Waits for nothing: what is under way ends when it can, on threads that then free what is left,
 * and touches nothing of the owner's. NULL is accepted. */
void naming_free(struct naming *n);

/* Takes fd, the mapped file (-1: gone); names: what is known of it, borrowed for the call. binary:
 * id. */
void naming_add_file(struct naming *n, uint32_t binary, int fd, const struct names *names,
                     const char *path, const char *root);
/* Asks for lines at addresses of a file that was added. False: the queue is full, or too much of
 * what was found is not taken yet. */
bool naming_ask(struct naming *n, uint32_t binary, const struct naming_address *addresses,
                size_t n_addresses);
/* Asks for line tables of functions of a file that was added, made while nothing else is to be
 * done. False: as above. */
bool naming_ask_tables(struct naming *n, uint32_t binary, const struct naming_code *codes,
                       size_t n_codes);
/* Looks for every file's debug file once more, also for those that were not found. */
void naming_retry(struct naming *n);

/* The next result, or NULL; free it with naming_free_result(). */
struct naming_result *naming_take(struct naming *n);
void naming_free_result(struct naming_result *r);
/* Waits until everything asked but line tables is answered, by servers too with_downloads, or
 * timeout_ms is over. False: something is still under way. */
bool naming_wait(struct naming *n, int timeout_ms, bool with_downloads);
/* The same for line tables. */
bool naming_wait_tables(struct naming *n, int timeout_ms);
/* Memory of debug information and of results that wait, bytes. */
size_t naming_bytes(struct naming *n);

#endif
