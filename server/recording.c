/* recording.c - see recording.h. */
#include "server/recording.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/queue.h"

/* Some seconds of a busy machine's events: what ingest may fall behind before samples are dropped.
 */
#define QUEUE_MAX_BYTES ((size_t)64 << 20)

struct recording {
    struct capture *capture;
    struct queue *queue;
    struct ingest *ingest;
    int64_t start_ts;
    atomic_bool is_paused;
};

/* "gcc -O2 x.c" of a running process, for runs that were not given a command. */
static void read_command(pid_t pid, struct buf *out)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    fd_read_file(path, 4096, out);
    while (out->len && out->data[out->len - 1] == '\0') {
        out->len--;
    }
    for (size_t i = 0; i < out->len; i++) {
        if (out->data[i] == '\0') {
            out->data[i] = ' ';
        }
    }
    if (out->len == 0) {
        buf_addf(out, "pid %d", (int)pid);
    }
}

static int open_ingest(struct recording *r, const struct recording_options *o, struct err *e)
{
    size_t n = 0;
    const struct capture_ability *abilities = capture_abilities(r->capture, &n);
    struct ingest_ability *rows = mem_new(n, sizeof(*rows));
    for (size_t i = 0; i < n; i++) {
        rows[i] = (struct ingest_ability){abilities[i].name, abilities[i].is_available,
                                          abilities[i].reason, abilities[i].unlock};
    }
    const struct counter_list *counters = capture_counters(r->capture);
    struct ingest_counter counter_rows[EVENT_COUNTERS_MAX];
    for (size_t i = 0; i < counters->n; i++) {
        counter_rows[i] = (struct ingest_counter){counters->items[i].name, counters->items[i].unit};
    }
    struct buf command = {0};
    if (o->command[0]) {
        buf_addstr(&command, o->command);
    } else {
        read_command(o->capture.pid, &command);
    }
    struct ingest_run run = {
        .id = o->id,
        .pid = o->capture.pid,
        .is_launched = o->capture.is_launched,
        .has_children = o->capture.with_children,
        .command = buf_str(&command),
        .start_ts = r->start_ts,
        .start_wall_ns = clock_realtime_ns() - (clock_monotonic_ns() - r->start_ts),
        .frequency_hz = o->capture.frequency_hz,
        .period_ns = capture_period_ns(r->capture),
        .stax_version = STAX_VERSION,
        .counters = counter_rows,
        .n_counters = counters->n,
    };
    int kallsyms_fd = capture_take_kallsyms(r->capture);
    struct ingest_options options = {
        .path = o->path,
        .kallsyms_fd = kallsyms_fd,
        .with_debug_info = true,
        .servers = o->servers,
        .max_bytes = o->max_bytes,
        .committed = o->committed,
        .ctx = o->ctx,
    };
    int rc = ingest_open(&r->ingest, &options, &run, rows, n, e);
    if (rc) {
        fd_close(&kallsyms_fd);
    }
    buf_free(&command);
    free(rows);
    return rc;
}

int recording_open(struct recording **out, const struct recording_options *options, struct err *e)
{
    struct recording *r = mem_new(1, sizeof(*r));
    r->queue = queue_new(QUEUE_MAX_BYTES);
    int rc = capture_open(&r->capture, &options->capture, r->queue, e);
    if (rc == 0) {
        r->start_ts = capture_start_ts(r->capture);
        rc = open_ingest(r, options, e);
    }
    if (rc) {
        recording_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

int recording_start(struct recording *r, struct err *e)
{
    int rc = capture_start(r->capture, e);
    if (rc == 0) {
        rc = ingest_start(r->ingest, r->queue, e);
    }
    return rc;
}

void recording_stop(struct recording *r, enum event_end_reason reason)
{
    capture_stop(r->capture, reason);
}

void recording_set_paused(struct recording *r, bool is_paused)
{
    capture_set_paused(r->capture, is_paused);
    atomic_store(&r->is_paused, is_paused);
}

void recording_rename(struct recording *r)
{
    ingest_rename(r->ingest);
}

bool recording_is_paused(struct recording *r)
{
    return atomic_load(&r->is_paused);
}

void recording_stats(struct recording *r, struct recording_stats *stats)
{
    capture_stats(r->capture, &stats->capture);
    ingest_stats(r->ingest, &stats->ingest);
    stats->queue_bytes = queue_bytes(r->queue);
    stats->queue_peak_bytes = queue_peak_bytes(r->queue);
    stats->queue_max_bytes = queue_max_bytes(r->queue);
}

struct err recording_failure(const struct recording *r)
{
    return *ingest_failure(r->ingest);
}

json_t *recording_abilities(const struct recording *r)
{
    size_t n = 0;
    const struct capture_ability *abilities = capture_abilities(r->capture, &n);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_pack("{s:s,s:b,s:s,s:s}", "name", abilities[i].name,
                                              "is_available", abilities[i].is_available, "reason",
                                              abilities[i].reason, "unlock", abilities[i].unlock));
    }
    return list;
}

int64_t recording_start_ts(const struct recording *r)
{
    return r->start_ts;
}

void recording_close(struct recording *r)
{
    if (!r) {
        return;
    }
    /* Capture first: its last push is the end of the run, which ingest's thread waits for. */
    capture_close(r->capture);
    ingest_close(r->ingest);
    queue_free(r->queue);
    free(r);
}
