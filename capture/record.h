/*
 * record.h - what the kernel wrote into a ring, checked and taken apart.
 *
 * Bytes are foreign: every length is checked and nothing is believed twice. No perf descriptor is
 * needed, so hand-made bytes and fuzzers go through the same code. Layouts: perf_event_open(2).
 * Pure functions, any thread. Text and chains point into the record's bytes and live as long.
 */
#ifndef STAX_CAPTURE_RECORD_H
#define STAX_CAPTURE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* attr.sample_type of every event, with attr.sample_id_all:
 * PERF_SAMPLE_IDENTIFIER | IP | TID | TIME | CPU | PERIOD | CALLCHAIN. */
#define RECORD_SAMPLE_TYPE (1u << 16 | 1u << 0 | 1u << 1 | 1u << 2 | 1u << 7 | 1u << 8 | 1u << 5)

enum { RECORD_BYTES_MAX = 65535, RECORD_HEADER_BYTES = 8, RECORD_REGS_MAX = 64 };

/* What the samples of an event hold besides, as its perf_event_attr said. They lie in this order:
 * counters after the period, then the chain, raw data, registers, stack. Zeroed: nothing more. */
struct record_format {
    bool has_counters; /* PERF_SAMPLE_READ */
    bool has_raw;      /* PERF_SAMPLE_RAW */
    bool has_stack;    /* PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER */
    /* attr.read_format: with PERF_FORMAT_GROUP; TOTAL_TIME_*, ID and LOST as you like. */
    uint64_t read_format;
    uint64_t user_regs; /* attr.sample_regs_user */
};

/* A group of counters as of a sample. */
struct record_counters {
    uint64_t enabled_ns, running_ns; /* 0 without their PERF_FORMAT_TOTAL_TIME_* */
    size_t n;
    const uint64_t *values; /* n times n_words: value, then id and lost if they were asked for */
    size_t n_words;
};

enum record_kind {
    RECORD_OTHER, /* known to be of no interest */
    RECORD_SAMPLE,
    RECORD_MAPPING,
    RECORD_NAME,
    RECORD_FORK, /* pid, tid: the new one; parent_pid, parent_tid: the thread that made it */
    RECORD_EXIT,
    RECORD_LOST,     /* n records found no room */
    RECORD_THROTTLE, /* the kernel paused sampling */
    RECORD_SWITCH,   /* the thread left its CPU or came back to one */
};

struct record {
    enum record_kind kind;
    int64_t ts;  /* ns, the event's clock */
    uint64_t id; /* of the event that was opened; inherited events carry their parent's */
    uint32_t cpu;
    int32_t pid, tid;
    const uint8_t *bytes; /* all of it */
    union {
        struct {
            uint64_t ip;
            uint64_t period; /* ns */
            const uint64_t *chain;
            size_t n_chain;
            bool is_kernel; /* the CPU was in the kernel */
            /* As the event's format says, else zeroed. */
            struct record_counters counters;
            const void *raw; /* of a tracepoint; aligned to 4 */
            size_t n_raw_bytes;
            const uint64_t *user_regs; /* n_user_regs 0: the thread has no user side */
            size_t n_user_regs;
            bool is_32_bit;       /* its registers are those of a 32-bit program */
            const uint8_t *stack; /* from the user's stack pointer on */
            size_t n_stack_bytes; /* that could be copied */
        } sample;
        struct {
            uint64_t start, size, file_offset; /* bytes */
            uint64_t device;                   /* major << 32 | minor */
            uint64_t inode;
            const char *path; /* not terminated */
            size_t path_len;
            bool is_executable;
        } mapping;
        struct {
            const char *text; /* not terminated */
            size_t len;
            bool is_exec; /* named by an exec: the whole image was replaced */
        } name;
        struct {
            int32_t parent_pid, parent_tid;
        } fork;
        struct {
            bool is_out;
            bool is_preempted; /* out, but it could have gone on */
        } task_switch;
        uint64_t n_lost;
    };
};

/* Whether it says so; bytes must be aligned to 8. */
bool record_is_sample(const void *bytes, size_t size);

/* The id of the event that wrote the record, by which its format is found; 0: there is none.
 * bytes must be aligned to 8. */
uint64_t record_id(const void *bytes, size_t size);

/* Takes one record of size bytes apart; bytes must be aligned to 8. format: of the event that wrote
 * it, NULL: nothing but RECORD_SAMPLE_TYPE. 0 or STAX_ECORRUPT. */
int record_parse(const void *bytes, size_t size, const struct record_format *format,
                 struct record *r);

/* The kernel makes room for a stack copy of the full size, whatever is there to be copied. These
 * leave that out: the size of a record without it, and the record, which parses to the same. */
size_t record_trimmed_size(const struct record *r, size_t size);
void record_trim(const struct record *r, size_t size, void *to);

/* Writes a record that says n records of a CPU were lost, after ts. */
enum { RECORD_LOST_WORDS = 7 };
void record_make_lost(uint64_t words[RECORD_LOST_WORDS], int64_t ts, uint32_t cpu, uint64_t n);

/* The addresses of a sample without the kernel's context markers: the sampled pc, then its callers.
 * At most max (at least 1) are written; *n_kernel of them, the first, are kernel addresses.
 * Returns how many were written, at least 1. */
size_t record_addresses(const struct record *r, uint64_t *addresses, size_t max, size_t *n_kernel);

#endif
