/*
 * bench_ring.c - records a command and writes what the kernel put into the rings, record by record:
 * input for tests/unit/capture/test_rings.c.
 *
 *   bench_ring OUT RING_BYTES DRAIN_MS MAX_BYTES CMD...
 *
 * At 900 Hz, with switches, their stacks and wakeups as far as the host allows, without copies of
 * user stacks. Ends with the command, or when MAX_BYTES were written. tests/unit/capture/rings/make
 * has the commands that made the files there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "capture/events.h"
#include "capture/record.h"
#include "capture/waking.h"
#include "tests/bench/bench.h"
#include "tests/unit/capture/ring_file.h"

enum { PERIOD_NS = 1000000000 / 900, SLACK_NS = 10000000, KALLSYMS_BYTES_MAX = 128 << 20 };

struct recorder {
    struct events events;
    struct buf out;       /* entries */
    struct buf addresses; /* int64_t: kernel code on stacks */
    size_t max_bytes;
};

/* A child that waits for a byte before it becomes the command. */
static pid_t start_held(char **command, int *release)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (read(ends[0], &byte, 1) == 1) {
            dup2(null, 1);
            execvp(command[0], command);
        }
        _exit(127);
    }
    close(ends[0]);
    *release = ends[1];
    return pid;
}

static void add_entry(struct buf *out, uint32_t ring, const void *bytes, size_t n)
{
    static const char zeros[8];
    struct ring_file_entry entry = {ring, (uint32_t)n};
    buf_add(out, &entry, sizeof(entry));
    buf_add(out, bytes, n);
    buf_add(out, zeros, -n & 7);
}

static void note_kernel(struct recorder *r, const struct record *record)
{
    for (size_t i = 0; record->kind == RECORD_SAMPLE && i < record->sample.n_chain; i++) {
        int64_t address = (int64_t)record->sample.chain[i];
        if (address < -4096) {
            buf_add(&r->addresses, &address, sizeof(address));
        }
    }
}

static void drain(struct recorder *r)
{
    int64_t limit_ts = clock_monotonic_ns() - SLACK_NS;
    for (size_t i = 0; i < r->events.cpus.n; i++) {
        struct ring *ring = &r->events.rings[i];
        size_t size;
        ring_begin(ring);
        for (const void *bytes; (bytes = ring_next(ring, &size));) {
            struct record record;
            const struct record_format *format = events_format(&r->events, record_id(bytes, size));
            if (record_parse(bytes, size, format, &record) == 0 && r->out.len < r->max_bytes) {
                note_kernel(r, &record);
                add_entry(&r->out, (uint32_t)i, bytes, size);
            }
        }
        ring_end(ring);
    }
    add_entry(&r->out, RING_FILE_DRAINED, &limit_ts, sizeof(limit_ts));
}

static int64_t address_of(const char *line)
{
    return (int64_t)strtoull(line, NULL, 16);
}

/* The functions that are on stacks, and where each ends. */
static void add_names(struct recorder *r, struct buf *file)
{
    struct buf text = {0}, kept = {0};
    int64_t *at = (int64_t *)(void *)r->addresses.data;
    size_t n = r->addresses.len / sizeof(*at);
    bool was_kept = false;
    if (n == 0 || fd_read_file("/proc/kallsyms", KALLSYMS_BYTES_MAX, &text) != 0) {
        return;
    }
    qsort(at, n, sizeof(*at), compare_int64);
    for (char *line = text.data, *next; (next = strchr(line, '\n')) && *++next; line = next) {
        for (; n && *at < address_of(line); n--) {
            at++;
        }
        bool is_on_stack = n && *at < address_of(next);
        if (is_on_stack || was_kept) {
            buf_add(&kept, line, (size_t)(next - line));
        }
        was_kept = is_on_stack;
    }
    add_entry(file, RING_FILE_NAMES, buf_str(&kept), kept.len);
    buf_free(&text);
    buf_free(&kept);
}

static int write_file(struct recorder *r, const char *path, pid_t pid, int64_t start_ts)
{
    struct ring_file_head head = {.magic = RING_FILE_MAGIC,
                                  .pid = pid,
                                  .start_ts = start_ts,
                                  .period_ns = PERIOD_NS,
                                  .waking_pid_offset = r->events.waking_pid_offset};
    struct buf file = {0}, sources = {0};
    for (int i = 0; i < EVENTS_N_KINDS; i++) {
        const struct record_format *f = &r->events.formats[i];
        head.formats[i] = (struct ring_file_format){f->has_counters, f->has_raw, f->has_stack,
                                                    f->read_format, f->user_regs};
    }
    for (size_t i = 0; i < r->events.n_open; i++) {
        uint64_t id = 0;
        if (ioctl(r->events.open[i].fd, PERF_EVENT_IOC_ID, &id) == 0) {
            struct ring_file_source source = {id, r->events.open[i].source};
            buf_add(&sources, &source, sizeof(source));
            head.n_sources++;
        }
    }
    buf_add(&file, &head, sizeof(head));
    buf_add(&file, buf_str(&sources), sources.len);
    add_names(r, &file);
    buf_add(&file, buf_str(&r->out), r->out.len);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int rc = fd < 0 ? -errno : fd_write_all(fd, file.data, file.len);
    fd_close(&fd);
    buf_free(&file);
    buf_free(&sources);
    return rc;
}

int main(int argc, char **argv)
{
    struct recorder r = {
        .events = {.period_ns = PERIOD_NS, .is_on_exec = true, .with_children = true}};
    struct err e = {0};
    int release = -1, status;
    if (argc < 6) {
        fprintf(stderr, "usage: bench_ring OUT RING_BYTES DRAIN_MS MAX_BYTES CMD...\n");
        return 2;
    }
    int64_t start_ts = clock_monotonic_ns();
    pid_t pid = start_held(argv + 5, &release);
    struct events_thread thread = {pid, pid};
    r.max_bytes = strtoul(argv[4], NULL, 10);
    if (events_open(&r.events, strtoul(argv[2], NULL, 10), &e) != 0 ||
        events_add_thread(&r.events, &thread, &e) != 0) {
        die("events", &e);
    }
    if (write(release, "", 1) != 1) {
        perror("bench_ring");
    }
    bool is_over = false;
    while (!is_over && r.out.len < r.max_bytes) {
        is_over = waitpid(pid, &status, WNOHANG) == pid;
        poll(NULL, 0, atoi(argv[3]));
        drain(&r);
    }
    kill(pid, SIGKILL);
    int rc = write_file(&r, argv[1], pid, start_ts);
    printf("{\"n_bytes\": %zu, \"has_kernel\": %d, \"has_wakings\": %d}\n", r.out.len,
           r.events.has_kernel, r.events.has_wakings);
    events_close(&r.events);
    buf_free(&r.addresses);
    buf_free(&r.out);
    return rc ? 1 : 0;
}
