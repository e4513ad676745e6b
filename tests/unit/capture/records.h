/* records.h - perf records made by hand, as the kernel lays them out for RECORD_SAMPLE_TYPE. */
#ifndef STAX_TESTS_CAPTURE_RECORDS_H
#define STAX_TESTS_CAPTURE_RECORDS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <linux/perf_event.h>

/* Records back to back; zero it first. */
struct bytes {
    uint64_t words[4096];
    size_t n_bytes;
};

static inline uint64_t pair(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

/* Appends header and body; returns the size of the record. */
static inline size_t add_raw(struct bytes *b, uint32_t type, uint16_t misc, const uint64_t *body,
                             size_t n_words)
{
    struct perf_event_header head = {
        .type = type, .misc = misc, .size = (uint16_t)(8 + 8 * n_words)};
    assert(b->n_bytes + head.size <= sizeof(b->words));
    memcpy((char *)b->words + b->n_bytes, &head, sizeof(head));
    memcpy((char *)b->words + b->n_bytes + sizeof(head), body, 8 * n_words);
    b->n_bytes += head.size;
    return head.size;
}

/* A record other than a sample: body, then the trailer of sample_id_all. */
static inline size_t add_other(struct bytes *b, uint32_t type, uint16_t misc, uint64_t id,
                               int64_t ts, const uint64_t *body, size_t n_words)
{
    uint64_t words[64];
    assert(n_words + 4 <= 64);
    memcpy(words, body, 8 * n_words);
    words[n_words] = pair(1, 1);
    words[n_words + 1] = (uint64_t)ts;
    words[n_words + 2] = pair(0, 0);
    words[n_words + 3] = id;
    return add_raw(b, type, misc, words, n_words + 4);
}

static inline size_t add_sample(struct bytes *b, uint64_t id, uint64_t ip, int32_t pid, int32_t tid,
                                int64_t ts, uint32_t cpu, uint64_t period, const uint64_t *chain,
                                size_t n_chain)
{
    uint64_t words[256] = {
        id, ip, pair((uint32_t)pid, (uint32_t)tid), (uint64_t)ts, pair(cpu, 0), period, n_chain};
    assert(n_chain + 7 <= 256);
    memcpy(words + 7, chain, 8 * n_chain);
    uint16_t misc = (int64_t)ip < 0 ? PERF_RECORD_MISC_KERNEL : PERF_RECORD_MISC_USER;
    return add_raw(b, PERF_RECORD_SAMPLE, misc, words, n_chain + 7);
}

/* FORK or EXIT. */
static inline size_t add_task(struct bytes *b, uint32_t type, uint64_t id, int32_t pid, int32_t tid,
                              int32_t parent_pid, int32_t parent_tid, int64_t ts)
{
    const uint64_t body[] = {pair((uint32_t)pid, (uint32_t)parent_pid),
                             pair((uint32_t)tid, (uint32_t)parent_tid), (uint64_t)ts};
    return add_other(b, type, 0, id, ts, body, 3);
}

static inline size_t add_mapping(struct bytes *b, uint64_t id, int32_t pid, uint64_t start,
                                 uint64_t size, uint64_t offset, uint32_t prot, const char *path,
                                 int64_t ts)
{
    uint64_t body[32] = {
        pair((uint32_t)pid, (uint32_t)pid), start, size, offset, pair(8, 1), 42, 0, pair(prot, 0)};
    size_t n_text = strlen(path) / 8 + 1;
    assert(n_text + 8 <= 32);
    memcpy(body + 8, path, strlen(path));
    return add_other(b, PERF_RECORD_MMAP2, 0, id, ts, body, 8 + n_text);
}

static inline size_t add_name(struct bytes *b, uint64_t id, int32_t pid, int32_t tid, bool is_exec,
                              const char *name, int64_t ts)
{
    uint64_t body[8] = {pair((uint32_t)pid, (uint32_t)tid)};
    size_t n_text = strlen(name) / 8 + 1;
    assert(n_text < 8);
    memcpy(body + 1, name, strlen(name));
    return add_other(b, PERF_RECORD_COMM, is_exec ? PERF_RECORD_MISC_COMM_EXEC : 0, id, ts, body,
                     1 + n_text);
}

static inline size_t add_lost(struct bytes *b, uint64_t id, uint64_t n_lost, int64_t ts)
{
    const uint64_t body[] = {id, n_lost};
    return add_other(b, PERF_RECORD_LOST, 0, id, ts, body, 2);
}

#endif
