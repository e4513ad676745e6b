/*
 * bench_ingest.c - feeds events to ingest as fast as it takes them, and says how fast that was.
 *
 *   bench_ingest --out RUN.stax [--stream FILE [--samples N]] [--threads T [--own-stacks 1]
 * --samples N]
 *                [--rate HZ --seconds S]
 *
 * With --stream a recording of bench_record, names included; otherwise the synthetic worst case:
 * 100,000 distinct stacks of depth 30 whose prefix tree has about 750,000 nodes over 3,000
 * functions, hit evenly. Commits are made every 100 ms of wall time, as the ingest thread does.
 * With --rate the run then goes on at that rate for that long ("ready" on stderr when this begins),
 * so that views can be timed beside a live writer. Figures are of the first part alone; the time to
 * make the events is not counted. Prints one JSON document.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "capture/event.h"
#include "ingest/ingest.h"
#include "schema/db.h"
#include "tests/bench/bench.h"

enum {
    N_STACKS = 100000,
    DEPTH = 30,
    N_FUNCTIONS = 3000,
    N_NEW = 14,    /* a stack differs from an old one in 1 to 14 frames: 7.5 nodes each */
    N_SEEDS = 500, /* the first ones differ anywhere, so that the tree branches everywhere */
    BATCH_SAMPLES = 1000,
    SYNTHETIC_PID = 4000000,
    SYNTHETIC_RATE_HZ = 20000, /* spacing of time stamps */
    COMMIT_NS = 100000000,
};

static const uint64_t code_start = 0x400000;

struct bench {
    struct ingest *ingest;
    struct buf batch;
    uint64_t (*stacks)[DEPTH]; /* innermost first, as events have them */
    uint64_t random;
    int n_threads;
    bool has_own_stacks; /* a stack is always met in the same thread */
    int64_t n_samples;
    int64_t ts;
    int64_t last_commit_ns;
    int64_t made_cpu_ns; /* CPU time spent on making events */
};

static void make_stacks(struct bench *b)
{
    b->stacks = mem_new(N_STACKS, sizeof(*b->stacks));
    for (size_t i = 0; i < N_STACKS; i++) {
        size_t n_new = DEPTH;
        if (i > 0) {
            n_new = 1 + next_random(&b->random) % (i < N_SEEDS ? DEPTH : N_NEW);
            memcpy(b->stacks[i], b->stacks[next_random(&b->random) % i], sizeof(*b->stacks));
        }
        for (size_t k = 0; k < n_new; k++) {
            b->stacks[i][k] = code_start + next_random(&b->random) % N_FUNCTIONS * 64 + 8;
        }
    }
}

static void commit_if_due(struct bench *b, bool is_forced)
{
    int64_t now = clock_ns(CLOCK_MONOTONIC);
    struct err e = {0};
    if (!is_forced && now - b->last_commit_ns < COMMIT_NS) {
        return;
    }
    if (ingest_commit(b->ingest, &e) != 0) {
        die("commit", &e);
    }
    b->last_commit_ns = now;
}

static void begin_synthetic(struct bench *b)
{
    event_add_process(&b->batch, EVENT_PROCESS_START, b->ts, SYNTHETIC_PID, 0, "synthetic", 9,
                      "synthetic", 9);
    struct event_mapping mapping = {
        .head = {.flags = EVENT_F_MAPPING_EXECUTABLE, .ts = b->ts},
        .pid = SYNTHETIC_PID,
        .start = code_start,
        .size = N_FUNCTIONS * 64,
        .device = 1,
        .inode = 1,
    };
    event_add_mapping(&b->batch, &mapping, "/bench/synthetic", 16);
    for (int i = 0; i < b->n_threads; i++) {
        event_add_thread(&b->batch, EVENT_THREAD_START, b->ts, SYNTHETIC_PID, SYNTHETIC_PID + i,
                         "worker", 6);
    }
    ingest_feed(b->ingest, b->batch.data, b->batch.len);
    buf_clear(&b->batch);
}

/* Makes and feeds n samples whose stamps begin at b->ts and are spacing_ns apart. */
static void feed_synthetic(struct bench *b, int64_t n, int64_t spacing_ns)
{
    int64_t before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    buf_clear(&b->batch);
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = next_random(&b->random);
        struct event_sample sample = {
            .head = {.ts = b->ts},
            .pid = SYNTHETIC_PID,
            .tid = SYNTHETIC_PID + (int)(b->has_own_stacks ? r % N_STACKS : r >> 40) % b->n_threads,
            .cpu = (uint32_t)(r >> 32) & 1,
            .n_addresses = DEPTH,
            .on_cpu_ns = 1000000000 / SYNTHETIC_RATE_HZ,
        };
        memcpy(event_add_sample(&b->batch, &sample), b->stacks[r % N_STACKS], sizeof(*b->stacks));
        b->ts += spacing_ns;
    }
    b->made_cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - before;
    ingest_feed(b->ingest, b->batch.data, b->batch.len);
    b->n_samples += n;
}

static void run_synthetic(struct bench *b, int64_t n_samples)
{
    make_stacks(b);
    b->ts = clock_ns(CLOCK_MONOTONIC) - n_samples * (1000000000 / SYNTHETIC_RATE_HZ);
    begin_synthetic(b);
    while (b->n_samples < n_samples) {
        int64_t left = n_samples - b->n_samples;
        feed_synthetic(b, left < BATCH_SAMPLES ? left : BATCH_SAMPLES,
                       1000000000 / SYNTHETIC_RATE_HZ);
        commit_if_due(b, false);
    }
}

/* Feeds a recorded stream in pieces of whole records, up to max_samples (0: all). */
static void run_stream(struct bench *b, const char *bytes, size_t n_bytes, int64_t max_samples)
{
    size_t at = 0, from = 0;
    int64_t n_piece = 0;
    bool is_bad = false;
    const struct event_head *head;
    while ((head = event_next(bytes, n_bytes, &at, &is_bad)) && head->type != EVENT_END) {
        b->ts = head->ts;
        n_piece += head->type == EVENT_SAMPLE;
        bool is_enough = max_samples > 0 && b->n_samples + n_piece >= max_samples;
        if (n_piece >= BATCH_SAMPLES || is_enough) {
            ingest_feed(b->ingest, bytes + from, at - from);
            b->n_samples += n_piece;
            from = at;
            n_piece = 0;
            commit_if_due(b, false);
        }
        if (is_enough) {
            return;
        }
    }
    if (is_bad) {
        fprintf(stderr, "the stream is damaged at byte %zu\n", at);
        exit(1);
    }
    ingest_feed(b->ingest, bytes + from, (head ? at - head->size : at) - from);
    b->n_samples += n_piece;
}

/* Goes on at rate_hz for seconds in pieces of 10 ms. */
static void run_live(struct bench *b, int64_t rate_hz, int64_t seconds)
{
    fprintf(stderr, "ready\n");
    int64_t start = clock_ns(CLOCK_MONOTONIC), step = 10000000;
    for (int64_t due = start; due < start + seconds * 1000000000; due += step) {
        sleep_until_ns(due + step);
        if (b->ts < due) {
            b->ts = due;
        }
        feed_synthetic(b, rate_hz / 100, step / (rate_hz / 100));
        commit_if_due(b, false);
    }
}

static const char *map_stream(const char *path, size_t *n_bytes, int64_t *first_ts)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *bytes = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(struct event_head)) {
        bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    }
    if (bytes == MAP_FAILED) {
        perror(path);
        exit(1);
    }
    close(fd);
    *n_bytes = (size_t)st.st_size;
    *first_ts = ((const struct event_head *)bytes)->ts;
    return bytes;
}

static void open_run(struct bench *b, const char *out, bool is_stream, int64_t start_ts)
{
    struct ingest_options options = {
        .path = out,
        .kallsyms = is_stream ? NULL : "",
        .without_files = !is_stream,
    };
    struct ingest_run run = {
        .id = 1,
        .pid = SYNTHETIC_PID,
        .has_children = true,
        .command = is_stream ? "recorded stream" : "synthetic worst case",
        .start_ts = start_ts,
        .start_wall_ns = clock_ns(CLOCK_REALTIME),
        .frequency_hz = 900,
        .period_ns = 1000000000 / 900,
        .stax_version = STAX_VERSION,
    };
    struct err e = {0};
    if (ingest_open(&b->ingest, &options, &run, NULL, 0, &e) != 0) {
        die(out, &e);
    }
}

int main(int argc, char **argv)
{
    const char *out = option_text(argc, argv, "--out", NULL);
    const char *stream = option_text(argc, argv, "--stream", NULL);
    int64_t n_wanted = option_int(argc, argv, "--samples", stream ? 0 : 1000000);
    int64_t rate_hz = option_int(argc, argv, "--rate", 0);
    struct bench b = {.n_threads = (int)option_int(argc, argv, "--threads", 1),
                      .has_own_stacks = option_int(argc, argv, "--own-stacks", 0) != 0};
    if (!out || b.n_threads < 1 || (rate_hz && (stream || rate_hz % 100))) {
        fprintf(stderr, "usage: bench_ingest --out RUN.stax [--stream FILE] [--threads T] "
                        "[--samples N] [--rate HZ --seconds S]\n");
        return 2;
    }
    size_t n_bytes = 0;
    int64_t first_ts = clock_ns(CLOCK_MONOTONIC) - n_wanted * (1000000000 / SYNTHETIC_RATE_HZ);
    const char *bytes = stream ? map_stream(stream, &n_bytes, &first_ts) : NULL;
    open_run(&b, out, stream, first_ts);

    int64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), wall = clock_ns(CLOCK_MONOTONIC);
    b.last_commit_ns = wall;
    if (stream) {
        run_stream(&b, bytes, n_bytes, n_wanted);
    } else {
        run_synthetic(&b, n_wanted);
    }
    commit_if_due(&b, true);
    wall = clock_ns(CLOCK_MONOTONIC) - wall;
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu - b.made_cpu_ns;
    struct ingest_stats stats;
    ingest_stats(b.ingest, &stats);
    int64_t n_timed = b.n_samples;
    if (rate_hz) {
        run_live(&b, rate_hz, option_int(argc, argv, "--seconds", 10));
    }
    struct err e = {0};
    int64_t finish = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (ingest_finish(b.ingest, "stopped", b.ts, &e) != 0) {
        die("finish", &e);
    }
    finish = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - finish;
    ingest_close(b.ingest);
    int64_t file_bytes = db_file_bytes(out) + db_wal_bytes(out);
    printf("{\"n_samples\":%lld,\"cpu_ns\":%lld,\"wall_ns\":%lld,\"finish_ns\":%lld,"
           "\"samples_per_s\":%.0f,\"samples_per_s_with_finish\":%.0f,\"file_bytes\":%lld,"
           "\"bytes_per_sample\":%.1f,\"n_commits\":%llu,\"max_commit_ms\":%.1f,"
           "\"n_pending\":%llu,\"memory_bytes\":%llu}\n",
           (long long)n_timed, (long long)cpu, (long long)wall, (long long)finish,
           (double)n_timed * 1e9 / (double)cpu, (double)n_timed * 1e9 / (double)(cpu + finish),
           (long long)file_bytes, (double)file_bytes / (double)b.n_samples,
           (unsigned long long)stats.n_commits, (double)stats.max_commit_ns / 1e6,
           (unsigned long long)stats.n_pending, (unsigned long long)stats.memory_bytes);
    buf_free(&b.batch);
    free(b.stacks);
    return 0;
}
