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

/* attr.sample_type that the parser reads, with attr.sample_id_all:
 * PERF_SAMPLE_IDENTIFIER | IP | TID | TIME | CPU | PERIOD | CALLCHAIN. */
#define RECORD_SAMPLE_TYPE (1u << 16 | 1u << 0 | 1u << 1 | 1u << 2 | 1u << 7 | 1u << 8 | 1u << 5)

enum { RECORD_BYTES_MAX = 65535, RECORD_HEADER_BYTES = 8 };

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
    union {
        struct {
            uint64_t ip;
            uint64_t period; /* ns */
            const uint64_t *chain;
            size_t n_chain;
            bool is_kernel; /* the CPU was in the kernel */
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

/* Takes one record of size bytes apart; bytes must be aligned to 8. 0 or STAX_ECORRUPT. */
int record_parse(const void *bytes, size_t size, struct record *r);

/* Writes a record that says n records of a CPU were lost, after ts. */
enum { RECORD_LOST_WORDS = 7 };
void record_make_lost(uint64_t words[RECORD_LOST_WORDS], int64_t ts, uint32_t cpu, uint64_t n);

/* The addresses of a sample without the kernel's context markers: the sampled pc, then its callers.
 * At most max (at least 1) are written; *n_kernel of them, the first, are kernel addresses.
 * Returns how many were written, at least 1. */
size_t record_addresses(const struct record *r, uint64_t *addresses, size_t max, size_t *n_kernel);

#endif
