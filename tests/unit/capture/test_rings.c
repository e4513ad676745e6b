/*
 * test_rings.c - recorded rings through the parser, the order buffer and the state machine, as
 * capture passes them, and the events that come out, as text. Beside each recording as it was,
 * recordings with every fifth switch-in lost, and with the clock of one CPU behind the others'.
 *
 * tests/unit/capture/rings/make made the rings; UPDATE_GOLDEN=1 writes the events anew.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fd.h"
#include "capture/follow.h"
#include "capture/order.h"
#include "capture/ring_file.h"

#define FOLDER "tests/unit/capture/rings/"
enum { FILE_BYTES_MAX = 4 << 20, LOST_EVERY = 5, BEHIND_NS = 300000 };

enum change { AS_RECORDED, SWITCH_INS_LOST, CLOCK_BEHIND };

struct wait {
    int64_t tid, start_ts, dur_ns;
};

struct replay {
    enum change change;
    struct buf file, text;
    const struct ring_file_head *head;
    struct record_format formats[EVENTS_N_KINDS];
    size_t pid_offset;
    struct map sources;
    struct queue *queue;
    struct follow *follow;
    struct order order;
    size_t n_records, n_switch_ins, n_lost;
    struct buf waits; /* struct wait: those told singly, which is not always in order */
};

static const char *const event_names[EVENT_N_TYPES] = {
    [EVENT_PROCESS_START] = "process",
    [EVENT_PROCESS_END] = "process ends",
    [EVENT_EXEC] = "exec",
    [EVENT_THREAD_START] = "thread",
    [EVENT_THREAD_END] = "thread ends",
    [EVENT_THREAD_NAME] = "name",
    [EVENT_MAPPING] = "map",
    [EVENT_SAMPLE] = "sample",
    [EVENT_LOSS] = "loss",
    [EVENT_END] = "end",
    [EVENT_OFF_CPU] = "wait",
    [EVENT_OPEN_WAIT] = "open wait",
    [EVENT_OFF_CPU_FOLDED] = "waits",
    [EVENT_THREAD_TIME] = "time",
    [EVENT_WAKEUP] = "wakeup",
    [EVENT_WAKEUPS_FOLDED] = "wakeups",
};
static const char *const states[] = {
#define X(name, text) text,
    EVENT_STATES(X)
#undef X
};
static const char *const reasons[] = {
#define X(name, text) text,
    EVENT_REASONS(X)
#undef X
};
static const char *const reason_sources[] = {
#define X(name, text) text,
    EVENT_REASON_SOURCES(X)
#undef X
};
static const char *const wakers[] = {
#define X(name, text) text,
    EVENT_WAKERS(X)
#undef X
};
static const char *const loss_kinds[] = {
#define X(name, text) text,
    EVENT_LOSS_KINDS(X)
#undef X
};

static void add_stack(struct buf *out, unsigned n_kernel, unsigned n, const uint64_t *addresses)
{
    buf_addf(out, " kernel %u of %u", n_kernel, n);
    if (n) {
        buf_addf(out, " %" PRIx64 "..%" PRIx64, addresses[0], addresses[n - 1]);
    }
}

static int by_thread_and_time(const void *a, const void *b)
{
    const struct wait *x = a, *y = b;
    if (x->tid != y->tid) {
        return x->tid < y->tid ? -1 : 1;
    }
    return (x->start_ts > y->start_ts) - (x->start_ts < y->start_ts);
}

/* No wait is negative, and none of a thread begins before another has ended. */
static void check_waits(struct replay *r)
{
    struct wait *w = (struct wait *)(void *)r->waits.data;
    size_t n = r->waits.len / sizeof(*w);
    assert_true(n > 0);
    qsort(w, n, sizeof(*w), by_thread_and_time);
    for (size_t i = 0; i < n; i++) {
        assert_true(w[i].dur_ns >= 0 && w[i].start_ts >= r->head->start_ts);
        if (i > 0 && w[i].tid == w[i - 1].tid &&
            w[i].start_ts < w[i - 1].start_ts + w[i - 1].dur_ns) {
            fail_msg("waits of %" PRId64 " at %" PRId64 " overlap", w[i].tid,
                     w[i].start_ts - r->head->start_ts);
        }
    }
}

static void print_wait(struct replay *r, const struct event_off_cpu *w)
{
    const struct wait wait = {w->tid, w->start_ts, w->dur_ns};
    if (w->head.type == EVENT_OFF_CPU) {
        buf_add(&r->waits, &wait, sizeof(wait));
    }
    buf_addf(&r->text, " %d/%d from %" PRId64 " for %" PRId64 " %s", w->pid, w->tid,
             w->start_ts - r->head->start_ts, w->dur_ns, states[w->state]);
    if (w->state == EVENT_STATE_BLOCKED) {
        buf_addf(&r->text, " %s by %s", reasons[w->reason], reason_sources[w->reason_from]);
    }
    add_stack(&r->text, w->n_kernel, w->n_addresses, w->addresses);
}

/* The ledger closes, to the nanosecond. */
static void print_time(struct replay *r, const struct event_thread_time *t)
{
    assert_true(t->on_cpu_ns >= 0 && t->runnable_ns >= 0 && t->blocked_ns >= 0 &&
                t->unknown_ns >= 0);
    assert_int_equal(t->open_ts - t->start_ts,
                     t->on_cpu_ns + t->runnable_ns + t->blocked_ns + t->unknown_ns);
    buf_addf(&r->text,
             " %d/%d on cpu %" PRId64 " runnable %" PRId64 " blocked %" PRId64 " unknown %" PRId64
             " switches %" PRIu64 " now %s",
             t->pid, t->tid, t->on_cpu_ns, t->runnable_ns, t->blocked_ns, t->unknown_ns,
             t->n_switches, t->is_end ? "gone" : states[t->open_state]);
}

static void print_other(struct replay *r, const struct event_head *head)
{
    const struct event_process *p = (const void *)head;
    const struct event_thread *t = (const void *)head;
    const struct event_mapping *m = (const void *)head;
    const struct event_loss *l = (const void *)head;
    struct buf *out = &r->text;
    switch (head->type) {
    case EVENT_PROCESS_START:
    case EVENT_EXEC:
    case EVENT_PROCESS_END:
        buf_addf(out, " %d of %d '%.*s'", p->pid, p->parent_pid, (int)p->name_len, p->text);
        break;
    case EVENT_THREAD_START:
    case EVENT_THREAD_END:
    case EVENT_THREAD_NAME:
        buf_addf(out, " %d/%d '%.*s'", t->pid, t->tid, (int)t->name_len, t->name);
        break;
    case EVENT_MAPPING:
        buf_addf(out, " %d %" PRIx64 "+%" PRIx64 " '%.*s'", m->pid, m->start, m->size,
                 (int)m->path_len, m->path);
        break;
    case EVENT_LOSS:
        buf_addf(out, " %s %" PRIu64, loss_kinds[l->kind], l->n);
        break;
    case EVENT_END:
        buf_addf(out, " %u", ((const struct event_end *)(const void *)head)->reason);
        break;
    default:
        fail_msg("event of type %d", head->type);
    }
}

static void print_event(struct replay *r, const struct event_head *head)
{
    const struct event_sample *s = (const void *)head;
    const struct event_off_cpu_folded *f = (const void *)head;
    const struct event_wakeup *w = (const void *)head;
    const struct event_wakeups_folded *wf = (const void *)head;
    struct buf *out = &r->text;
    buf_addf(out, "%" PRId64 " %s", head->ts - r->head->start_ts, event_names[head->type]);
    switch (head->type) {
    case EVENT_SAMPLE:
        buf_addf(out, " %d/%d cpu %u %" PRId64, s->pid, s->tid, s->cpu, s->on_cpu_ns);
        assert_true(s->on_cpu_ns >= 0);
        add_stack(out, s->n_kernel, s->n_addresses, s->addresses);
        break;
    case EVENT_OFF_CPU:
    case EVENT_OPEN_WAIT:
        print_wait(r, (const void *)head);
        break;
    case EVENT_OFF_CPU_FOLDED:
        assert_true(f->dur_ns >= 0);
        buf_addf(out, " %d/%d %s %s %" PRIu64 " for %" PRId64, f->pid, f->tid, states[f->state],
                 reasons[f->reason], f->n_intervals, f->dur_ns);
        break;
    case EVENT_WAKEUP:
        assert_true(w->dur_ns >= 0);
        buf_addf(out, " %d/%d by %s %d/%d after %" PRId64, w->pid, w->tid, wakers[w->waker],
                 w->waker_pid, w->waker_tid, w->dur_ns);
        add_stack(out, w->n_kernel, w->n_addresses, w->addresses);
        break;
    case EVENT_WAKEUPS_FOLDED:
        buf_addf(out, " %d/%d by %s %d/%d %" PRIu64 " for %" PRId64, wf->pid, wf->tid,
                 wakers[wf->waker], wf->waker_pid, wf->waker_tid, wf->n_wakeups, wf->dur_ns);
        break;
    case EVENT_THREAD_TIME:
        print_time(r, (const void *)head);
        break;
    default:
        print_other(r, head);
    }
    buf_addch(out, '\n');
}

static void take_text(struct replay *r)
{
    size_t n;
    follow_flush(r->follow);
    for (void *batch; (batch = queue_pop(r->queue, 0, &n)); free(batch)) {
        size_t at = 0;
        bool is_bad = false;
        for (const struct event_head *head; (head = event_next(batch, n, &at, &is_bad));) {
            print_event(r, head);
        }
        assert_false(is_bad);
    }
}

/* ---- replaying ---- */

static const struct record_format *format_of(const struct replay *r, uint64_t id)
{
    uint32_t source = map_get(&r->sources, id);
    return &r->formats[source & EVENTS_SWITCH_STACK ? EVENTS_STACKS
                       : source & EVENTS_WAKING     ? EVENTS_WAKINGS
                                                    : EVENTS_CLOCK];
}

/* Moves the time of a record, where RECORD_SAMPLE_TYPE puts it. */
static void shift(uint64_t *words, size_t n_bytes, enum record_kind kind, int64_t by)
{
    words[kind == RECORD_SAMPLE ? 4 : n_bytes / 8 - 3] += (uint64_t)by;
}

static void keep_record(struct replay *r, uint32_t ring, const void *bytes, size_t n_bytes)
{
    uint64_t words[RECORD_BYTES_MAX / 8 + 1];
    struct record record;
    memcpy(words, bytes, n_bytes);
    assert_int_equal(record_parse(words, n_bytes, format_of(r, record_id(words, n_bytes)), &record),
                     0);
    if (record.kind == RECORD_OTHER) {
        return;
    }
    r->n_records++;
    r->n_lost += record.kind == RECORD_LOST ? record.n_lost : 0;
    bool is_in = record.kind == RECORD_SWITCH && !record.task_switch.is_out;
    if (r->change == SWITCH_INS_LOST && is_in && ++r->n_switch_ins % LOST_EVERY == 0) {
        record_make_lost(words, record.ts, record.cpu, 1);
        order_add(&r->order, record.ts, words, RECORD_LOST_WORDS * sizeof(*words));
        return;
    }
    if (r->change == CLOCK_BEHIND && ring == 1) {
        shift(words, n_bytes, record.kind, -BEHIND_NS);
        record.ts -= BEHIND_NS;
    }
    record_trim(&record, n_bytes,
                order_room(&r->order, record.ts, record_trimmed_size(&record, n_bytes)));
}

/* Everything older than release_ts; now_ts: when the rings were drained. */
static void tell(struct replay *r, int64_t release_ts, int64_t now_ts)
{
    int64_t ts;
    size_t size;
    order_release(&r->order, release_ts);
    for (const void *bytes; (bytes = order_next(&r->order, &ts, &size));) {
        struct record record;
        assert_int_equal(record_parse(bytes, size, format_of(r, record_id(bytes, size)), &record),
                         0);
        assert_true(follow_record(r->follow, &record, ts, false));
    }
    follow_tick(r->follow, now_ts);
    take_text(r);
}

static void open_replay(struct replay *r, const char *name, enum change change)
{
    char path[200];
    *r = (struct replay){.change = change, .queue = queue_new(64 << 20)};
    snprintf(path, sizeof(path), FOLDER "%s.ring", name);
    assert_int_equal(fd_read_file(path, FILE_BYTES_MAX, &r->file), 0);
    r->head = (const void *)r->file.data;
    assert_true(r->file.len > sizeof(*r->head));
    assert_memory_equal(r->head->magic, RING_FILE_MAGIC, sizeof(r->head->magic));
    for (int i = 0; i < EVENTS_N_KINDS; i++) {
        const struct ring_file_format *f = &r->head->formats[i];
        r->formats[i] = (struct record_format){f->has_counters != 0, f->has_raw != 0,
                                               f->has_stack != 0, f->read_format, f->user_regs};
    }
    const struct ring_file_source *sources = (const void *)(r->head + 1);
    for (uint64_t i = 0; i < r->head->n_sources; i++) {
        *map_put(&r->sources, sources[i].id) = (uint32_t)sources[i].source;
    }
    r->pid_offset = r->head->waking_pid_offset;
    int32_t pid = (int32_t)r->head->pid;
    struct follow_options options = {.pid = pid,
                                     .with_children = true,
                                     .max_stack = 127,
                                     .period_ns = r->head->period_ns,
                                     .out = r->queue,
                                     .sources = &r->sources,
                                     .has_switches = true,
                                     .waking_pid_offset = r->pid_offset ? &r->pid_offset : NULL,
                                     .is_held = true};
    r->follow = follow_new(&options);
    follow_adopt_process(r->follow, pid, 0, false, r->head->start_ts);
    follow_adopt_thread(r->follow, pid, pid, pid, r->head->start_ts, r->head->start_ts);
}

static void close_replay(struct replay *r)
{
    follow_free(r->follow);
    queue_free(r->queue);
    order_free(&r->order);
    map_free(&r->sources);
    buf_free(&r->waits);
    buf_free(&r->file);
    buf_free(&r->text);
}

static void replay(struct replay *r)
{
    const struct ring_file_source *sources = (const void *)(r->head + 1);
    const char *at = (const char *)(sources + r->head->n_sources);
    const char *end = r->file.data + r->file.len;
    int64_t limit_ts = 0;
    while (at + sizeof(struct ring_file_entry) <= end) {
        const struct ring_file_entry *entry = (const void *)at;
        const char *bytes = (const char *)(entry + 1);
        assert_true((size_t)(end - bytes) >= entry->n_bytes);
        if (entry->ring == RING_FILE_NAMES) {
            follow_read_kernel(r->follow, bytes, entry->n_bytes);
        } else if (entry->ring == RING_FILE_DRAINED) {
            memcpy(&limit_ts, bytes, sizeof(limit_ts));
            tell(r, limit_ts, limit_ts);
        } else {
            keep_record(r, entry->ring, bytes, entry->n_bytes);
        }
        at = bytes + ((entry->n_bytes + 7) & ~7u);
    }
    tell(r, INT64_MAX, limit_ts);
    follow_end(r->follow, limit_ts, EVENT_END_TARGET_EXITED);
    take_text(r);
}

static size_t count(const struct replay *r, const char *word)
{
    size_t n = 0;
    for (const char *at = buf_str(&r->text); (at = strstr(at, word)); at += strlen(word)) {
        n++;
    }
    return n;
}

static void compare(const struct replay *r, const char *name)
{
    char path[200];
    struct buf golden = {0};
    snprintf(path, sizeof(path), FOLDER "%s.events", name);
    if (getenv("UPDATE_GOLDEN")) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(r->text.data, 1, r->text.len, f), r->text.len);
        fclose(f);
    }
    assert_int_equal(fd_read_file(path, FILE_BYTES_MAX, &golden), 0);
    const char *a = buf_str(&golden), *b = buf_str(&r->text);
    for (size_t line = 1; *a || *b; line++) {
        size_t n_a = strcspn(a, "\n"), n_b = strcspn(b, "\n");
        if (n_a != n_b || memcmp(a, b, n_a) != 0) {
            fail_msg("%s:%zu\n  was: %.*s\n  is:  %.*s", path, line, (int)n_a, a, (int)n_b, b);
        }
        a += n_a + (a[n_a] == '\n');
        b += n_b + (b[n_b] == '\n');
    }
    buf_free(&golden);
}

static void check(const char *name, enum change change, const char *golden, const char *word,
                  size_t n_least)
{
    struct replay r;
    open_replay(&r, name, change);
    replay(&r);
    assert_true(r.n_records > 20);
    check_waits(&r);
    assert_true(count(&r, word) >= n_least);
    assert_int_equal(count(&r, " end "), 1);
    compare(&r, golden);
    close_replay(&r);
}

/* A thread that is sampled on both CPUs. */
static void migrations(void **state)
{
    (void)state;
    check("migrations", AS_RECORDED, "migrations", " cpu 0 ", 1);
    check("migrations", AS_RECORDED, "migrations", " cpu 1 ", 1);
}

static void storm_that_overflows(void **state)
{
    (void)state;
    check("storm", AS_RECORDED, "storm", " loss ring_full ", 1);
}

static void execs(void **state)
{
    (void)state;
    check("exec", AS_RECORDED, "exec", " exec ", 3);
}

static void forks(void **state)
{
    (void)state;
    check("forks", AS_RECORDED, "forks", " process ends ", 5);
}

/* Time after a lost record is unknown, neither on a CPU nor off it. */
static void lost_switch_ins(void **state)
{
    (void)state;
    check("migrations", SWITCH_INS_LOST, "migrations.lost", " loss ring_full ", 5);
}

/* The other CPU is told first, again and again: no time is counted twice for that. */
static void clock_of_a_cpu_behind(void **state)
{
    (void)state;
    check("migrations", CLOCK_BEHIND, "migrations.behind", " wait ", 5);
    check("forks", CLOCK_BEHIND, "forks.behind", " wait ", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(migrations),      cmocka_unit_test(storm_that_overflows),
        cmocka_unit_test(execs),           cmocka_unit_test(forks),
        cmocka_unit_test(lost_switch_ins), cmocka_unit_test(clock_of_a_cpu_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
