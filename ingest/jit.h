/*
 * jit.h - which frames and names code has that programs made at run time.
 *
 * Who made it says so in a jitdump or a perf map (jit_follow.h reads them); here that becomes a
 * table of code by address and time for each process, and frames that follow from it. A frame is
 * code: what lies at one address at two times is two frames, and code that moved is one.
 *
 *   jitdump   binary: the dump; rel_address: offset of the code's byte in the dump
 *   perf map  binary: the map; rel_address: address, plus how often other code lay there before
 *             (<< 48)
 *   neither   binary: the process's own [anon]; rel_address: address. A frame stands for the
 *             samples of 0.1 s (callers: 1 s; both ten times that when files are silent)
 *
 * News come later than samples. A frame of [anon] whose code becomes known later is given that
 * code's symbol with the next relayout (intern.h), and then its binary and address: sample rows
 * stay. Everything on the ingest thread.
 */
#ifndef STAX_INGEST_JIT_H
#define STAX_INGEST_JIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/event.h"
#include "ingest/binaries.h"
#include "base/jit_batch.h"
#include "ingest/store.h"
#include "ingest/tasks.h"

struct jit_space;
struct jit_follow;
struct line_tables;

/* A function whose line table is to be written. */
struct jit_lines_due {
    struct jit_space *space;
    uint32_t load; /* index + 1 */
};

struct jit {
    struct binaries *binaries;
    struct store *store;
    struct jit_follow *follow; /* NULL: no files are read */
    int64_t start_ts, last_ts; /* of the run; newest sample or wait */
    struct jit_space **spaces;
    size_t n_spaces, cap_spaces;
    struct jit_source *sources; /* id is index + 1 */
    size_t n_sources, cap_sources;
    struct strmap functions; /* binary id and name of all versions -> symbol of the first one */
    struct strmap files;     /* source files of lines, clean -> index + 1 */
    char **file_names;
    size_t n_files, cap_files;
    size_t n_text_bytes;    /* names and lines of all, bounded */
    struct jit_move *moves; /* that wait for a relayout of the call tree */
    size_t n_moves, cap_moves;
    struct jit_lines_due *tables;
    size_t n_tables, cap_tables;
    size_t n_rows;              /* of tables that were written, bounded */
    struct jit_batch *pending;  /* taken in part: a step ends in the middle of one */
    size_t n_taken, n_resolved; /* of its items */
    size_t n_pages;             /* resolved of the item under way */
    struct map resolved_pages;  /* page -> 1 */
    char **notes;               /* said of files, owned */
    size_t n_notes, cap_notes;
    bool is_left_out; /* code became known when the call tree could not follow any more */
    bool is_cut_off;  /* jit_finish(): there was more to read than time */
    uint64_t n_moved, n_guessed; /* such frames; those where other code is possible */
    uint64_t n_looks;            /* at a frame that waits, for a load that may be its own */
};

void jit_init(struct jit *j, struct binaries *b, struct store *s, int64_t start_ts,
              bool with_files);
void jit_fini(struct jit *j);

/* An executable mapping was made: follows what it says about code made at run time. */
void jit_take_mapping(struct jit *j, struct process *p, const struct event_mapping *m,
                      uint32_t binary);
/* Before a stack of p at ts is looked at: raises p->version if addresses mean something else than
 * at the last one. */
void jit_enter(struct jit *j, struct process *p, int64_t ts);
/* The frame of an address in no file's mapping, at the time of jit_enter(). is_mapped: memory
 * without a file is there; else the answer is 0 where no code is known. */
uint32_t jit_frame(struct jit *j, struct process *p, uint64_t address, bool is_caller,
                   bool is_mapped);

/* Before a commit: takes what was read, a bounded amount. True: there is something to commit. */
bool jit_step(struct jit *j);
/* At the end: reads everything to its end, for up to timeout_ms; names what is left as well as can
 * be. */
void jit_finish(struct jit *j, int timeout_ms);
/* After a relayout may have been made: frames whose code became known are where it is. True: there
 * is something to commit. */
bool jit_settle(struct jit *j);
/* After a commit, so that the functions are there: writes line tables of those with frames, whole
 * ones up to a time (clock_monotonic_ns()) and at least one. True: no more are left. */
bool jit_put_tables(struct jit *j, struct line_tables *t, int64_t until);

/* A file of code for a process, and what it told; for jit_step() and tests. Returns its number. */
uint32_t jit_add_source(struct jit *j, struct process *p, uint32_t binary, bool is_map);
void jit_take_batch(struct jit *j, const struct jit_batch *batch);
/* ... up to a time (clock_monotonic_ns()) and at least one item of it, going on where the call
 * before ended. True: it is taken as a whole, and another may come. */
bool jit_take_some(struct jit *j, const struct jit_batch *batch, int64_t until);

size_t jit_bytes(const struct jit *j);

#endif
