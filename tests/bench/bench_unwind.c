/*
 * bench_unwind.c - how fast samples become whole stacks, by the path that a recording takes.
 *
 *   bench_unwind --pid PID [--seconds S=3] [--rounds N=5] [--hz HZ=900]
 *
 * Samples a running process with registers and stack copies as a recording does, stops it (SIGSTOP,
 * and lets it go on at the end), and then unwinds what was sampled on one core, again and again,
 * from the record's bytes on: parsing included, reading what the copy lacks left out, so that every
 * round does the same. Also how long the tables of all binaries take from their first mapping on,
 * and their memory.
 */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "bench.h"
#include "capture/events.h"
#include "capture/order.h"
#include "capture/unwinder.h"

enum { RING_BYTES = 4 << 20, TABLE_BYTES = 512 << 20, SAMPLE_BYTES_MAX = 1 << 30, MAX_CHAIN = 127 };

struct bench {
    pid_t pid;
    struct events events;
    struct buf samples; /* records, trimmed, each behind its size */
    size_t n_samples;
    struct unwinder *unwinder;
    struct address_space *space;
    int64_t tables_ns; /* from the first mapping until all tables were there */
    uint64_t n_lost;
};

static struct unwinder_stack stack;

static void open_events(struct bench *b, int64_t hz)
{
    struct err e = {0};
    struct pid_list threads = {0};
    b->events.period_ns = 1000000000 / hz;
    b->events.with_children = false;
    b->events.user_regs = unwind_x86_64.perf_mask;
    if (events_open(&b->events, RING_BYTES, &e) != 0) {
        die("rings", &e);
    }
    proc_list_threads(b->pid, &threads);
    for (size_t i = 0; i < threads.n; i++) {
        struct events_thread t = {b->pid, threads.pids[i]};
        if (events_add_thread(&b->events, &t, &e) != 0) {
            die("events", &e);
        }
    }
    pid_list_free(&threads);
}

static void keep(struct bench *b, const struct record *r, size_t size)
{
    uint64_t n = record_trimmed_size(r, size);
    if (r->kind == RECORD_LOST) {
        b->n_lost += r->n_lost;
    }
    bool is_stack = map_get(&b->events.sources, r->id) & EVENTS_SWITCH_STACK;
    if (r->kind != RECORD_SAMPLE || is_stack || b->samples.len + n > SAMPLE_BYTES_MAX) {
        return;
    }
    buf_add(&b->samples, &n, sizeof(n));
    record_trim(r, size, buf_room(&b->samples, n));
    buf_advance(&b->samples, n);
    b->n_samples++;
}

static void drain(struct bench *b, struct ring *ring)
{
    size_t size;
    ring_begin(ring);
    for (const void *bytes; (bytes = ring_next(ring, &size));) {
        struct record r;
        const struct record_format *format = events_format(&b->events, record_id(bytes, size));
        if (record_parse(bytes, size, format, &r) == 0) {
            keep(b, &r, size);
        }
    }
    ring_end(ring);
}

static void sample(struct bench *b, double seconds)
{
    int64_t end = clock_monotonic_ns() + (int64_t)(seconds * 1e9);
    while (clock_monotonic_ns() < end) {
        poll(NULL, 0, 5);
        for (size_t i = 0; i < b->events.cpus.n; i++) {
            drain(b, &b->events.rings[i]);
            if (b->events.stack_rings) {
                drain(b, &b->events.stack_rings[i]);
            }
        }
    }
}

static void map_all(struct bench *b)
{
    struct buf text = {0};
    struct proc_mapping m;
    size_t at = 0, n_bad = 0;
    proc_read_maps(b->pid, &text);
    while (proc_next_mapping(buf_str(&text), text.len, &at, &m, &n_bad)) {
        struct event_mapping body = {.head.ts = clock_monotonic_ns(),
                                     .pid = b->pid,
                                     .start = m.start,
                                     .size = m.end - m.start,
                                     .file_offset = m.file_offset,
                                     .device = m.device,
                                     .inode = m.inode};
        if (m.is_executable) {
            unwinder_map(b->unwinder, &b->space, &body, m.path, m.path_len);
        }
    }
    buf_free(&text);
}

static void make_tables(struct bench *b)
{
    struct unwinder_options options = {.arch = &unwind_x86_64, .max_table_bytes = TABLE_BYTES};
    struct cfi_cache_stats stats = {.n_pending = 1};
    struct err e = {0};
    if (unwinder_new(&b->unwinder, &options, &e) != 0) {
        die("unwinder", &e);
    }
    int64_t began = clock_monotonic_ns();
    map_all(b);
    while (stats.n_pending) {
        struct pollfd p = {.fd = unwinder_fd(b->unwinder), .events = POLLIN};
        poll(&p, 1, 1000);
        unwinder_collect(b->unwinder);
        unwinder_get_stats(b->unwinder, &stats);
    }
    b->tables_ns = clock_monotonic_ns() - began;
}

struct tally {
    uint64_t n, n_root, n_guessed, n_frames;
    int64_t cpu_ns;
};

static void unwind_all(struct bench *b, struct tally *t)
{
    const struct record_format *format = &b->events.formats[EVENTS_CLOCK];
    int64_t began = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (size_t at = 0; at < b->samples.len;) {
        uint64_t size;
        struct record r;
        memcpy(&size, b->samples.data + at, sizeof(size));
        at += sizeof(size);
        if (record_parse(b->samples.data + at, size, format, &r) == 0) {
            unwinder_sample(b->unwinder, MAX_CHAIN, b->space, &r, false, &stack);
            t->n++;
            t->n_root += stack.end == EVENT_STACK_END_ROOT;
            t->n_guessed += stack.is_guessed;
            t->n_frames += stack.n;
        }
        at += size;
    }
    t->cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - began;
}

int main(int argc, char **argv)
{
    struct bench b = {.pid = (pid_t)option_int(argc, argv, "--pid", 0)};
    double seconds = strtod(option_text(argc, argv, "--seconds", "3"), NULL);
    int64_t rounds = option_int(argc, argv, "--rounds", 5);
    struct tally t = {0};
    if (b.pid <= 0) {
        fprintf(stderr, "usage: bench_unwind --pid PID [--seconds S] [--rounds N] [--hz HZ]\n");
        return 2;
    }
    open_events(&b, option_int(argc, argv, "--hz", 900));
    sample(&b, seconds);
    kill(b.pid, SIGSTOP);
    make_tables(&b);
    for (int64_t i = 0; i < rounds; i++) {
        unwind_all(&b, &t);
    }
    struct cfi_cache_stats stats;
    unwinder_get_stats(b.unwinder, &stats);
    kill(b.pid, SIGCONT);
    double n = t.n ? (double)t.n : 1;
    printf(
        "{\"n_samples\": %zu, \"n_lost\": %llu, \"stack_bytes\": %u, \"bytes_per_sample\": %.0f, "
        "\"stacks_per_s\": %.0f, \"root_pct\": %.2f, \"guessed_pct\": %.2f, \"frames\": %.1f, "
        "\"n_tables\": %zu, \"table_bytes\": %zu, \"tables_ms\": %.1f, "
        "\"longest_table_ms\": %.1f}\n",
        b.n_samples, (unsigned long long)b.n_lost, b.events.stack_bytes,
        (double)b.samples.len / (b.n_samples ? (double)b.n_samples : 1),
        t.cpu_ns ? 1e9 * (double)t.n / (double)t.cpu_ns : 0.0, 100 * (double)t.n_root / n,
        100 * (double)t.n_guessed / n, (double)t.n_frames / n, stats.n_binaries, stats.n_bytes,
        (double)b.tables_ns / 1e6, (double)stats.max_make_ns / 1e6);
    address_space_unref(b.space);
    unwinder_free(b.unwinder);
    events_close(&b.events);
    buf_free(&b.samples);
    return 0;
}
