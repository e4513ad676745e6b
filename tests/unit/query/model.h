/*
 * model.h - what a test knows of a run, and how it is spelled as text.
 *
 * A struct model is the truth: threads, samples and waits with their stacks. model_read() fills one
 * from a text profile:
 *
 *     process PID NAME
 *     thread TID PID NAME
 *     sample TID a;b;c xN w=MS   N samples (default 1), one each ms, weight MS ms (default 1)
 *     at MS                      the next sample is taken then
 *     wait TID a;b;c REASON MS   the thread leaves its CPU now, for MS ms; "-" for no stack; REASON
 *                                may be runnable; "folded" after it: kept as a sum only
 *     woken TID a;b;c            a thread ended the wait of the line before, there; TID may be
 *                                interrupt, without a stack
 *     open TID REASON            it leaves its CPU now and does not come back, or is running
 *     end TID                    it ends now
 *     snapshot                   a moment of stack_sum holds everything up to here
 *     fold                       raw rows up to the last snapshot are dropped
 *     loss KIND N                a row of loss
 *
 * Functions are name, BINARY!name, [k]name (kernel), ?0x12 (unnamed) or [truncated stack].
 */
#ifndef STAX_TESTS_QUERY_MODEL_H
#define STAX_TESTS_QUERY_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"

enum { MAX_SYMBOLS = 192, MAX_THREADS = 32, MAX_DEPTH = 160, MAX_SNAPSHOTS = 64, MAX_WAITS = 512 };

#define START_TS 5000000000LL
#define MS       1000000LL

struct model_sample {
    int64_t ts, on_cpu_ns;
    uint32_t utid;
    uint32_t depth;            /* symbols in stack, process and sampled function included */
    uint32_t stack[MAX_DEPTH]; /* symbol ids, root first */
    uint32_t offset;           /* of the sampled pc in its function */
};

/* An off-CPU interval. */
struct model_wait {
    int64_t ts, dur;
    uint32_t utid;
    int reason;                /* of model_reasons */
    uint32_t depth;            /* symbols in stack, process included, marker not */
    uint32_t stack[MAX_DEPTH]; /* symbol ids, root first */
    uint32_t marker;           /* symbol id; 0: runnable */
    bool is_folded;
    const char *waker; /* as thread_state.waker, NULL: not known */
    uint32_t waker_utid, waker_depth;
    uint32_t waker_stack[MAX_DEPTH]; /* symbol ids, root first */
    size_t after; /* samples there were when it was made: ids are given in that order */
};

enum { MODEL_RUNNABLE = 10, MODEL_RUNNING, N_MODEL_STATES };

static const char *const model_reasons[N_MODEL_STATES] = {
    "idle",  "lock",  "sem",  "ipc",   "ioR",      "ioW",
    "ready", "sleep", "conn", "other", "runnable", "running",
};

struct model {
    char *names[MAX_SYMBOLS + 1]; /* by symbol id */
    const char *kinds[MAX_SYMBOLS + 1];
    uint32_t binaries[MAX_SYMBOLS + 1];
    uint32_t n_symbols;
    char *binary_names[MAX_SYMBOLS + 1];
    uint32_t n_binaries;
    struct {
        int64_t tid, pid;
        uint32_t upid;
        char *name;
        int open;               /* of model_reasons; only if open_ts */
        int64_t open_ts;        /* 0: none */
        int64_t end_ts;         /* 0: alive */
    } threads[MAX_THREADS + 1]; /* by utid */
    uint32_t n_threads;
    struct {
        int64_t pid;
        char *name;
    } processes[MAX_THREADS + 1]; /* by upid */
    uint32_t n_processes;
    struct model_sample *samples;
    size_t n_samples, cap_samples;
    size_t snapshots[MAX_SNAPSHOTS]; /* samples each one holds */
    size_t n_snapshots;
    size_t n_folded;  /* samples without a raw row */
    size_t n_written; /* samples model_write() has written; it adds the others */
    struct model_wait waits[MAX_WAITS];
    size_t n_waits;
    bool has_off_cpu; /* set by the first wait */
    struct {
        char kind[32];
        int64_t n;
    } losses[16]; /* not written yet */
    uint32_t n_losses;
    int64_t next_ns;
    bool is_recording;
};

static inline void model_free(struct model *m)
{
    for (uint32_t i = 1; i <= m->n_symbols; i++) {
        free(m->names[i]);
    }
    for (uint32_t i = 1; i <= m->n_binaries; i++) {
        free(m->binary_names[i]);
    }
    for (uint32_t i = 1; i <= m->n_threads; i++) {
        free(m->threads[i].name);
    }
    for (uint32_t i = 1; i <= m->n_processes; i++) {
        free(m->processes[i].name);
    }
    free(m->samples);
    memset(m, 0, sizeof(*m));
}

static inline uint32_t model_binary(struct model *m, const char *name, size_t len)
{
    for (uint32_t i = 1; i <= m->n_binaries; i++) {
        if (strlen(m->binary_names[i]) == len && strncmp(m->binary_names[i], name, len) == 0) {
            return i;
        }
    }
    assert_true(m->n_binaries < MAX_SYMBOLS);
    m->binary_names[++m->n_binaries] = mem_strndup(name, len);
    return m->n_binaries;
}

static inline uint32_t model_symbol(struct model *m, const char *kind, uint32_t binary,
                                    const char *name)
{
    for (uint32_t i = 1; i <= m->n_symbols; i++) {
        if (strcmp(m->names[i], name) == 0 && strcmp(m->kinds[i], kind) == 0 &&
            m->binaries[i] == binary) {
            return i;
        }
    }
    assert_true(m->n_symbols < MAX_SYMBOLS);
    uint32_t id = ++m->n_symbols;
    m->names[id] = mem_strdup(name);
    m->kinds[id] = kind;
    m->binaries[id] = binary;
    return id;
}

/* A function as the text profile spells it. */
static inline uint32_t model_function(struct model *m, const char *spec)
{
    const char *bang = strchr(spec, '!');

    if (strcmp(spec, "[truncated stack]") == 0) {
        return model_symbol(m, "marker", 0, spec);
    }
    if (strncmp(spec, "[k]", 3) == 0) {
        return model_symbol(m, "function", model_binary(m, "[kernel]", 8), spec + 3);
    }
    if (*spec == '?') {
        char name[64];
        snprintf(name, sizeof(name), "app+%s", spec + 1);
        return model_symbol(m, "unnamed", model_binary(m, "app", 3), name);
    }
    if (bang) {
        uint32_t binary = model_binary(m, spec, (size_t)(bang - spec));
        return model_symbol(m, "function", binary, bang + 1);
    }
    return model_symbol(m, "function", model_binary(m, "app", 3), spec);
}

static inline uint32_t model_process(struct model *m, int64_t pid, const char *name)
{
    uint32_t upid = ++m->n_processes;

    assert_true(upid <= MAX_THREADS);
    m->processes[upid].pid = pid;
    m->processes[upid].name = mem_strdup(name);
    return upid;
}

static inline uint32_t model_thread(struct model *m, int64_t tid, uint32_t upid, const char *name)
{
    uint32_t utid = ++m->n_threads;

    assert_true(utid <= MAX_THREADS);
    m->threads[utid].tid = tid;
    m->threads[utid].pid = m->processes[upid].pid;
    m->threads[utid].upid = upid;
    m->threads[utid].name = mem_strdup(name);
    return utid;
}

/* Adds a sample; stack[] holds the functions, the process is put in front. */
static inline void model_sample(struct model *m, uint32_t utid, const uint32_t *stack, uint32_t n,
                                int64_t on_cpu_ns)
{
    struct model_sample s = {.ts = START_TS + m->next_ns, .on_cpu_ns = on_cpu_ns, .utid = utid};

    assert_true(n > 0 && n < MAX_DEPTH);
    s.stack[s.depth++] = model_symbol(m, "process", 0, m->processes[m->threads[utid].upid].name);
    memcpy(s.stack + 1, stack, n * sizeof(*stack));
    s.depth += n;
    s.offset = (uint32_t)(m->n_samples % 3) * 4;
    mem_reserve(&m->samples, &m->cap_samples, m->n_samples + 1, sizeof(*m->samples));
    m->samples[m->n_samples++] = s;
    m->next_ns += MS;
}

/* Adds an interval that begins now; the clock does not move. */
static inline struct model_wait *model_wait(struct model *m, uint32_t utid, const uint32_t *stack,
                                            uint32_t n, int reason, int64_t dur)
{
    struct model_wait *w = &m->waits[m->n_waits++];

    assert_true(m->n_waits <= MAX_WAITS && n < MAX_DEPTH - 1);
    *w = (struct model_wait){
        .ts = START_TS + m->next_ns,
        .dur = dur,
        .utid = utid,
        .reason = reason,
        .after = m->n_samples,
    };
    w->stack[w->depth++] = model_symbol(m, "process", 0, m->processes[m->threads[utid].upid].name);
    memcpy(w->stack + 1, stack, n * sizeof(*stack));
    w->depth += n;
    if (reason != MODEL_RUNNABLE) {
        char marker[32];
        snprintf(marker, sizeof(marker), "[%s]", model_reasons[reason]);
        w->marker = model_symbol(m, "marker", 0, marker);
    }
    m->has_off_cpu = true;
    return w;
}

static inline int model_reason(const char *word)
{
    int i = 0;

    while (i < N_MODEL_STATES && strcmp(model_reasons[i], word) != 0) {
        i++;
    }
    assert_true(i < N_MODEL_STATES);
    return i;
}

static inline uint32_t model_utid(const struct model *m, int64_t tid)
{
    uint32_t utid = 0;

    for (uint32_t i = 1; i <= m->n_threads; i++) {
        utid = m->threads[i].tid == tid ? i : utid; /* the latest of that tid */
    }
    assert_true(utid > 0);
    return utid;
}

static inline void model_read_wait(struct model *m, char *text)
{
    uint32_t stack[MAX_DEPTH], n = 0;
    char *save = NULL, *save_stack = NULL;
    uint32_t utid = model_utid(m, strtoll(strtok_r(text, " ", &save), NULL, 10));
    char *functions = strtok_r(NULL, " ", &save);
    int reason = model_reason(strtok_r(NULL, " ", &save));
    int64_t dur = (int64_t)(strtod(strtok_r(NULL, " ", &save), NULL) * (double)MS);

    if (strcmp(functions, "-") == 0) {
        functions[0] = '\0';
    }
    for (char *f = strtok_r(functions, ";", &save_stack); f; f = strtok_r(NULL, ";", &save_stack)) {
        assert_true(n < MAX_DEPTH - 1);
        stack[n++] = model_function(m, f);
    }
    model_wait(m, utid, stack, n, reason, dur)->is_folded = strtok_r(NULL, " ", &save) != NULL;
}

static inline void model_read_woken(struct model *m, char *text)
{
    char *save = NULL, *save_stack = NULL, *who = strtok_r(text, " ", &save);
    char *functions = strtok_r(NULL, " ", &save);
    struct model_wait *w = &m->waits[m->n_waits - 1];

    assert_true(m->n_waits > 0 && w->marker);
    w->waker = functions ? "thread" : "interrupt";
    if (!functions) {
        assert_string_equal(who, "interrupt");
        return;
    }
    w->waker_utid = model_utid(m, strtoll(who, NULL, 10));
    uint32_t upid = m->threads[w->waker_utid].upid;
    w->waker_stack[w->waker_depth++] = model_symbol(m, "process", 0, m->processes[upid].name);
    for (char *f = strtok_r(functions, ";", &save_stack); f; f = strtok_r(NULL, ";", &save_stack)) {
        assert_true(w->waker_depth < MAX_DEPTH);
        w->waker_stack[w->waker_depth++] = model_function(m, f);
    }
}

static inline void model_read_sample(struct model *m, char *text)
{
    uint32_t stack[MAX_DEPTH], n = 0;
    char *save = NULL, *save_stack = NULL;
    uint32_t utid = model_utid(m, strtoll(strtok_r(text, " ", &save), NULL, 10));
    char *functions = strtok_r(NULL, " ", &save);
    int64_t count = 1, on_cpu_ns = MS;

    for (char *word; (word = strtok_r(NULL, " ", &save));) {
        if (*word == 'x') {
            count = strtoll(word + 1, NULL, 10);
        } else {
            assert_int_equal(strncmp(word, "w=", 2), 0);
            on_cpu_ns = (int64_t)(strtod(word + 2, NULL) * (double)MS);
        }
    }
    for (char *f = strtok_r(functions, ";", &save_stack); f; f = strtok_r(NULL, ";", &save_stack)) {
        assert_true(n < MAX_DEPTH - 1);
        stack[n++] = model_function(m, strcmp(f, "[truncated]") == 0 ? "[truncated stack]" : f);
    }
    while (count-- > 0) {
        model_sample(m, utid, stack, n, on_cpu_ns);
    }
}

/* One line of a text profile. False: not one. */
static inline bool model_read_line(struct model *m, const char *line)
{
    char text[512], name[256];
    long long a, b;

    snprintf(text, sizeof(text), "%s", line);
    if (sscanf(text, "process %lld %255s", &a, name) == 2) {
        uint32_t upid = model_process(m, a, name);
        model_thread(m, a, upid, name);
    } else if (sscanf(text, "thread %lld %lld %255s", &a, &b, name) == 3) {
        uint32_t upid = 0;
        for (uint32_t i = 1; i <= m->n_processes; i++) {
            upid = m->processes[i].pid == b ? i : upid;
        }
        assert_true(upid > 0);
        model_thread(m, a, upid, name);
    } else if (strncmp(text, "sample ", 7) == 0) {
        model_read_sample(m, text + 7);
    } else if (strncmp(text, "wait ", 5) == 0) {
        model_read_wait(m, text + 5);
    } else if (strncmp(text, "woken ", 6) == 0) {
        model_read_woken(m, text + 6);
    } else if (sscanf(text, "open %lld %255s", &a, name) == 2) {
        uint32_t utid = model_utid(m, a);
        m->threads[utid].open = model_reason(name);
        m->threads[utid].open_ts = START_TS + m->next_ns;
    } else if (sscanf(text, "end %lld", &a) == 1) {
        m->threads[model_utid(m, a)].end_ts = START_TS + m->next_ns;
    } else if (sscanf(text, "at %lld", &a) == 1) {
        m->next_ns = a * MS;
    } else if (sscanf(text, "loss %255s %lld", name, &a) == 2) {
        assert_true(m->n_losses < 16);
        snprintf(m->losses[m->n_losses].kind, sizeof(m->losses[0].kind), "%.31s", name);
        m->losses[m->n_losses++].n = a;
    } else if (strcmp(text, "snapshot") == 0) {
        m->snapshots[m->n_snapshots++] = m->n_samples;
    } else if (strcmp(text, "fold") == 0) {
        m->n_folded = m->snapshots[m->n_snapshots - 1];
    } else {
        return *text == '\0' || *text == '#';
    }
    return true;
}

static inline char *fixture_read_file(const char *path)
{
    struct buf text = {0};

    if (fd_read_file(path, 1 << 20, &text) < 0) {
        fail_msg("cannot read %s", path);
    }
    return buf_take(&text);
}

static inline void model_read(struct model *m, const char *path)
{
    char *text = fixture_read_file(path), *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (!model_read_line(m, line)) {
            fail_msg("%s: not a profile line: %s", path, line);
        }
    }
    free(text);
}

#endif
