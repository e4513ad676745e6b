/* Records in, events out, written as text: one line an event. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "capture/events.h"
#include "capture/follow_state.h"
#include "capture/records.h"

enum { MAIN = 10, OWN_ID = 1, OTHER_ID = 2, GIVEN_UP_ID = 3, QUEUE_BYTES = 1 << 20 };

struct fixture {
    struct queue *queue;
    struct map sources;
    struct follow *follow;
    struct bytes records;
};

static struct fixture *new_fixture(bool with_children, size_t queue_bytes)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->queue = queue_new(queue_bytes);
    *map_put(&f->sources, OWN_ID) = MAIN;
    *map_put(&f->sources, OTHER_ID) = 12;
    *map_put(&f->sources, GIVEN_UP_ID) = EVENTS_DISCARDED;
    struct follow_options options = {.pid = MAIN,
                                     .with_children = with_children,
                                     .max_stack = 4,
                                     .period_ns = 1000,
                                     .out = f->queue,
                                     .sources = &f->sources};
    f->follow = follow_new(&options);
    follow_adopt_process(f->follow, MAIN, 0, false, 1);
    follow_adopt_thread(f->follow, MAIN, MAIN, MAIN, 1, 1);
    return f;
}

static void free_fixture(struct fixture *f)
{
    follow_free(f->follow);
    queue_free(f->queue);
    map_free(&f->sources);
    free(f);
}

static void print_sample(struct buf *out, const struct event_sample *s)
{
    buf_addf(out, "sample %d/%d cpu %u %" PRId64 "ns kernel %u%s:", s->pid, s->tid, s->cpu,
             s->on_cpu_ns, s->n_kernel, s->stack_end != EVENT_STACK_END_ROOT ? " truncated" : "");
    for (unsigned i = 0; i < s->n_addresses; i++) {
        buf_addf(out, " %" PRIx64, s->addresses[i]);
    }
    for (unsigned i = 0; i < s->n_counters; i++) {
        buf_addf(out, "%s%" PRIu64, i ? "," : " counted ", event_sample_counters(s)[i]);
    }
}

static void print_event(struct buf *out, const struct event_head *head)
{
    const struct event_process *p = (const void *)head;
    const struct event_thread *t = (const void *)head;
    const struct event_mapping *m = (const void *)head;
    const struct event_loss *l = (const void *)head;
    const struct event_end *end = (const void *)head;
    buf_addf(out, "%" PRId64 " ", head->ts);
    switch (head->type) {
    case EVENT_PROCESS_START:
        buf_addf(out, "process %d of %d '%.*s'", p->pid, p->parent_pid, (int)p->name_len, p->text);
        break;
    case EVENT_PROCESS_END:
        buf_addf(out, "process %d ends", p->pid);
        break;
    case EVENT_EXEC:
        buf_addf(out, "exec %d '%.*s'", p->pid, (int)p->name_len, p->text);
        break;
    case EVENT_THREAD_START:
        buf_addf(out, "thread %d/%d '%.*s'", t->pid, t->tid, (int)t->name_len, t->name);
        break;
    case EVENT_THREAD_END:
        buf_addf(out, "thread %d/%d ends", t->pid, t->tid);
        break;
    case EVENT_THREAD_NAME:
        buf_addf(out, "name %d/%d '%.*s'", t->pid, t->tid, (int)t->name_len, t->name);
        break;
    case EVENT_MAPPING:
        buf_addf(out, "map %d %" PRIx64 "+%" PRIx64 " '%.*s'", m->pid, m->start, m->size,
                 (int)m->path_len, m->path);
        break;
    case EVENT_SAMPLE:
        print_sample(out, (const void *)head);
        break;
    case EVENT_LOSS:
        buf_addf(out, "loss kind %u n %" PRIu64, l->kind, l->n);
        break;
    case EVENT_COUNTER_TOTAL:
        buf_addf(out, "counter %u %" PRIu64,
                 ((const struct event_counter_total *)(const void *)head)->slot,
                 ((const struct event_counter_total *)(const void *)head)->n_counted);
        break;
    case EVENT_END:
        buf_addf(out, "end %u", end->reason);
        break;
    default:
        buf_addstr(out, "?");
    }
    buf_addch(out, '\n');
}

/* Takes everything from the queue as text. */
static void take_text(struct fixture *f, struct buf *out)
{
    follow_flush(f->follow);
    size_t n;
    for (void *batch; (batch = queue_pop(f->queue, 0, &n)); free(batch)) {
        size_t at = 0;
        bool bad;
        for (const struct event_head *head; (head = event_next(batch, n, &at, &bad));) {
            print_event(out, head);
        }
        assert_false(bad);
    }
}

/* Feeds the records made so far; they are in time order. */
static void feed(struct fixture *f)
{
    for (size_t at = 0; at < f->records.n_bytes;) {
        struct perf_event_header head;
        struct record r;
        memcpy(&head, (char *)f->records.words + at, sizeof(head));
        assert_int_equal(record_parse((char *)f->records.words + at, head.size, NULL, &r), 0);
        follow_record(f->follow, &r, r.ts, false);
        at += head.size;
    }
    f->records.n_bytes = 0;
}

static void check(struct fixture *f, const char *expected)
{
    struct buf out = {0};
    feed(f);
    take_text(f, &out);
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
}

#define BEGIN "1 process 10 of 0 'pid 10'\n1 thread 10/10 'pid 10'\n"

static const uint64_t CHAIN[] = {PERF_CONTEXT_USER, 0x10, 0x20};

static void sample(struct fixture *f, uint64_t id, int32_t pid, int32_t tid, int64_t ts)
{
    add_sample(&f->records, id, 0x10, pid, tid, ts, 0, 7, CHAIN, 3);
}

static void test_fork_exec_exit(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    struct bytes *b = &f->records;
    add_name(b, OWN_ID, MAIN, MAIN, true, "make", 2);
    add_mapping(b, OWN_ID, MAIN, 0x400000, 0x1000, 0, PROT_EXEC, "/usr/bin/make", 3);
    add_mapping(b, OWN_ID, MAIN, 0x500000, 0x1000, 0, PROT_READ, "/usr/bin/make", 3);
    add_mapping(b, OWN_ID, MAIN, 0x600000, 0x1000, 0, PROT_EXEC, "//anon", 4);
    add_task(b, PERF_RECORD_FORK, OWN_ID, 20, 20, MAIN, MAIN, 5);
    sample(f, OWN_ID, 20, 20, 6);
    add_name(b, OWN_ID, 20, 20, true, "gcc", 7);
    add_task(b, PERF_RECORD_EXIT, OWN_ID, 20, 20, MAIN, MAIN, 8);
    add_task(b, PERF_RECORD_EXIT, OWN_ID, MAIN, MAIN, 1, 1, 9);
    check(f, BEGIN "2 exec 10 'make'\n"
                   "2 name 10/10 'make'\n"
                   "3 map 10 400000+1000 '/usr/bin/make'\n"
                   "4 map 10 600000+1000 '[anon]'\n"
                   "5 process 20 of 10 'make'\n"
                   "5 thread 20/20 'make'\n"
                   "6 sample 20/20 cpu 0 7ns kernel 0: 10 20\n"
                   "7 exec 20 'gcc'\n"
                   "7 name 20/20 'gcc'\n"
                   "8 thread 20/20 ends\n"
                   "8 process 20 ends\n"
                   "9 thread 10/10 ends\n"
                   "9 process 10 ends\n");
    free_fixture(f);
}

/* A thread that is not the main one execs: it takes the main thread's place. */
static void test_exec_by_thread(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    struct bytes *b = &f->records;
    add_task(b, PERF_RECORD_FORK, OWN_ID, MAIN, 11, MAIN, MAIN, 2);
    add_task(b, PERF_RECORD_EXIT, OWN_ID, MAIN, MAIN, 1, 1, 3);
    add_name(b, OWN_ID, MAIN, MAIN, true, "new", 4);
    sample(f, OWN_ID, MAIN, MAIN, 5);
    check(f, BEGIN "2 thread 10/11 'pid 10'\n"
                   "3 thread 10/10 ends\n"
                   "4 thread 10/10 'pid 10'\n"
                   "4 thread 10/11 ends\n"
                   "4 exec 10 'new'\n"
                   "4 name 10/10 'new'\n"
                   "5 sample 10/10 cpu 0 7ns kernel 0: 10 20\n");
    free_fixture(f);
}

/* Covered by its own events and by inherited ones, a thread is told of once. */
static void test_covered_twice(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    struct bytes *b = &f->records;
    follow_adopt_thread(f->follow, MAIN, 12, 12, 1, 5);
    add_task(b, PERF_RECORD_FORK, OWN_ID, MAIN, 12, MAIN, MAIN, 4); /* it was found at 5 */
    sample(f, OWN_ID, MAIN, 12, 6);
    sample(f, OTHER_ID, MAIN, 12, 6);
    add_task(b, PERF_RECORD_FORK, OWN_ID, MAIN, 13, MAIN, 12, 7);
    add_task(b, PERF_RECORD_FORK, OTHER_ID, MAIN, 13, MAIN, 12, 8);
    sample(f, OWN_ID, MAIN, 13, 9);
    sample(f, OTHER_ID, MAIN, 13, 9);
    sample(f, GIVEN_UP_ID, MAIN, 14, 9);
    sample(f, 99, MAIN, 14, 9);
    add_task(b, PERF_RECORD_EXIT, OTHER_ID, MAIN, 13, MAIN, 12, 10);
    add_task(b, PERF_RECORD_EXIT, OWN_ID, MAIN, 13, MAIN, 12, 11);
    check(f, BEGIN "1 thread 10/12 'pid 10'\n"
                   "6 sample 10/12 cpu 0 7ns kernel 0: 10 20\n"
                   "8 thread 10/13 'pid 10'\n"
                   "9 sample 10/13 cpu 0 7ns kernel 0: 10 20\n"
                   "10 thread 10/13 ends\n");
    free_fixture(f);
}

static void test_reused_tid(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    struct bytes *b = &f->records;
    add_task(b, PERF_RECORD_FORK, OWN_ID, MAIN, 11, MAIN, MAIN, 2);
    /* Its exit was lost; the tid comes back as a process, then a sample says it moved again. */
    add_task(b, PERF_RECORD_FORK, OWN_ID, 11, 11, MAIN, MAIN, 3);
    sample(f, OWN_ID, 30, 11, 4);
    check(f, BEGIN "2 thread 10/11 'pid 10'\n"
                   "3 thread 10/11 ends\n"
                   "3 process 11 of 10 'pid 10'\n"
                   "3 thread 11/11 'pid 10'\n"
                   "4 thread 11/11 ends\n"
                   "4 process 11 ends\n"
                   "4 process 30 of 0 'pid 30'\n"
                   "4 thread 30/11 'pid 30'\n"
                   "4 sample 30/11 cpu 0 7ns kernel 0: 10 20\n");
    free_fixture(f);
}

static void test_one_process_only(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(false, QUEUE_BYTES);
    struct bytes *b = &f->records;
    add_task(b, PERF_RECORD_FORK, OWN_ID, 20, 20, MAIN, MAIN, 2);
    sample(f, OWN_ID, 20, 20, 3);
    add_task(b, PERF_RECORD_FORK, OWN_ID, MAIN, 11, MAIN, MAIN, 4);
    sample(f, OWN_ID, MAIN, 11, 5);
    check(f, BEGIN "4 thread 10/11 'pid 10'\n"
                   "5 sample 10/11 cpu 0 7ns kernel 0: 10 20\n");
    free_fixture(f);
}

static void test_stacks(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    const uint64_t kernel = 0xffffffff81000000;
    const uint64_t deep[] = {PERF_CONTEXT_KERNEL, kernel, PERF_CONTEXT_USER, 1, 2, 3};
    const uint64_t shallow[] = {PERF_CONTEXT_KERNEL, kernel, PERF_CONTEXT_USER, 1, 2};
    add_sample(&f->records, OWN_ID, kernel, MAIN, MAIN, 2, 1, 0, deep, 6);
    add_sample(&f->records, OWN_ID, kernel, MAIN, MAIN, 3, 1, UINT64_MAX, shallow, 5);
    check(f, BEGIN "2 sample 10/10 cpu 1 1000ns kernel 1 truncated: ffffffff81000000 1 2 3\n"
                   "3 sample 10/10 cpu 1 1000ns kernel 1: ffffffff81000000 1 2\n");
    free_fixture(f);
}

static void test_loss(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    const uint64_t body[3] = {0};
    struct follow_stats stats;
    add_lost(&f->records, OWN_ID, 17, 2);
    add_other(&f->records, PERF_RECORD_THROTTLE, 0, OWN_ID, 3, body, 3);
    sample(f, OWN_ID, -1, -1, 4);
    check(f, BEGIN "2 loss kind 0 n 17\n3 loss kind 2 n 1\n4 loss kind 3 n 1\n");
    /* Kept, or never recorded: neither is lost. */
    follow_loss(f->follow, 5, 0, EVENT_LOSS_LATE, 5);
    follow_loss(f->follow, 5, 0, EVENT_LOSS_NO_EVENTS, 6);
    follow_loss(f->follow, 5, 0, EVENT_LOSS_UNSAMPLED, 7);
    follow_stats(f->follow, &stats);
    assert_int_equal(stats.n_lost, 18);
    assert_int_equal(stats.n_throttled, 1);
    free_fixture(f);
}

/* A queue that is full costs samples, counted, and nothing else. */
static void test_queue_full(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, 400);
    follow_flush(f->follow);
    for (int64_t ts = 2; ts < 12; ts++) {
        sample(f, OWN_ID, MAIN, MAIN, ts);
    }
    add_task(&f->records, PERF_RECORD_FORK, OWN_ID, MAIN, 11, MAIN, MAIN, 12);
    feed(f);
    struct buf out = {0};
    take_text(f, &out);
    struct follow_stats stats;
    follow_stats(f->follow, &stats);
    assert_true(stats.n_samples > 0 && stats.n_samples < 10);
    assert_int_equal(stats.n_samples + stats.n_lost, 10);
    char loss[64];
    snprintf(loss, sizeof(loss), "12 loss kind 1 n %" PRIu64 "\n", stats.n_lost);
    assert_non_null(strstr(buf_str(&out), loss));
    assert_non_null(strstr(buf_str(&out), "12 thread 10/11 'pid 10'\n"));
    buf_free(&out);
    /* Once ingest has taken what waited, samples are welcome again. */
    take_text(f, &out);
    sample(f, OWN_ID, MAIN, MAIN, 20);
    buf_clear(&out);
    check(f, "20 sample 10/10 cpu 0 7ns kernel 0: 10 20\n");
    buf_free(&out);
    free_fixture(f);
}

/* A target that maps and renames faster than ingest can take is bounded, too, and that is counted;
 * its processes are still told of. */
static void test_queue_far_too_full(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, 4000);
    struct bytes *b = &f->records;
    follow_flush(f->follow);
    for (int64_t ts = 2; ts < 1002; ts++) {
        add_mapping(b, OWN_ID, MAIN, 0x400000, 0x1000, 0, PROT_EXEC, "/usr/bin/make", ts);
        add_name(b, OWN_ID, MAIN, MAIN, false, "other", ts);
        feed(f);
        if (ts % 100 == 0) { /* a drain */
            follow_flush(f->follow);
        }
    }
    assert_in_range(queue_bytes(f->queue), 12000, 20000);
    add_task(b, PERF_RECORD_FORK, OWN_ID, 20, 20, MAIN, MAIN, 1002);
    feed(f);
    struct buf out = {0};
    take_text(f, &out);
    assert_non_null(strstr(buf_str(&out), "1002 thread 20/20"));
    assert_non_null(strstr(buf_str(&out), "loss kind 1 n "));
    struct follow_stats stats;
    follow_stats(f->follow, &stats);
    assert_in_range(stats.n_lost, 1000, 1999);
    buf_free(&out);
    free_fixture(f);
}

/* However short, each pause leaves out its own samples and no others. */
static void test_paused_twice(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    follow_set_paused(f->follow, true, 10);
    follow_set_paused(f->follow, false, 20);
    follow_set_paused(f->follow, true, 30);
    for (int64_t ts = 5; ts < 40; ts += 10) {
        sample(f, OWN_ID, MAIN, MAIN, ts);
    }
    check(f, BEGIN "5 sample 10/10 cpu 0 7ns kernel 0: 10 20\n"
                   "25 sample 10/10 cpu 0 7ns kernel 0: 10 20\n");
    free_fixture(f);
}

static void test_paused(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    follow_set_paused(f->follow, true, 5);
    sample(f, OWN_ID, MAIN, MAIN, 4);
    sample(f, OWN_ID, MAIN, MAIN, 5);
    add_task(&f->records, PERF_RECORD_FORK, OWN_ID, MAIN, 11, MAIN, MAIN, 6);
    feed(f);
    follow_set_paused(f->follow, false, 8);
    sample(f, OWN_ID, MAIN, MAIN, 7);
    sample(f, OWN_ID, MAIN, MAIN, 8);
    check(f, BEGIN "4 sample 10/10 cpu 0 7ns kernel 0: 10 20\n"
                   "6 thread 10/11 'pid 10'\n"
                   "8 sample 10/10 cpu 0 7ns kernel 0: 10 20\n");
    free_fixture(f);
}

/* The main process is gone without exit records: it ends once everything before has been told. */
static void test_main_gone(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    struct follow_stats stats;
    follow_main_gone(f->follow, 20);
    follow_tick(f->follow, 15);
    follow_stats(f->follow, &stats);
    assert_int_equal(stats.n_processes, 1);
    sample(f, OWN_ID, MAIN, MAIN, 18);
    feed(f);
    follow_tick(f->follow, 25);
    follow_stats(f->follow, &stats);
    assert_int_equal(stats.n_processes, 0);
    follow_end(f->follow, 24, EVENT_END_TARGET_EXITED);
    check(f, BEGIN "18 sample 10/10 cpu 0 7ns kernel 0: 10 20\n"
                   "25 thread 10/10 ends\n"
                   "25 process 10 ends\n"
                   "25 end 0\n");
    free_fixture(f);
}

/* The exit of a process was lost and its pid is another's by now, who may live for ever. */
static void test_reused_pid(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    struct follow_options options = {.pid = MAIN,
                                     .with_children = true,
                                     .has_proc = true,
                                     .max_stack = 4,
                                     .period_ns = 1000,
                                     .out = f->queue,
                                     .sources = &f->sources};
    follow_free(f->follow);
    f->follow = follow_new(&options);
    follow_adopt_process(f->follow, getpid(), 0, false, 1); /* alive now */
    follow_adopt_thread(f->follow, getpid(), getpid(), MAIN, 1, 1);
    pid_t other = fork();
    if (other == 0) {
        pause();
        _exit(0);
    }
    /* A process of this pid began 10 s ago, as that says. */
    int64_t now = clock_monotonic_ns();
    add_task(&f->records, PERF_RECORD_FORK, OWN_ID, other, other, getpid(), getpid(),
             now - 10000000000);
    feed(f);
    struct follow_stats stats;
    follow_stats(f->follow, &stats);
    assert_int_equal(stats.n_processes, 2);
    follow_verify(f->follow, now);
    follow_tick(f->follow, now + 1);
    follow_stats(f->follow, &stats);
    assert_int_equal(stats.n_processes, 1);
    assert_true(follow_has_thread(f->follow, getpid()));
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    free_fixture(f);
}

/* After a loss /proc no longer has a thread, whose records still wait for a table: it ends when its
 * time has been told, however often it is missed before. */
static void test_missed_thread(void **state)
{
    (void)state;
    enum { GHOST = (1 << 24) - 2 }; /* above any tid of this host, pid_max is 1 << 22 */
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    struct follow_options options = {.pid = getpid(),
                                     .has_proc = true,
                                     .max_stack = 4,
                                     .period_ns = 1000,
                                     .out = f->queue,
                                     .sources = &f->sources};
    follow_free(f->follow);
    f->follow = follow_new(&options);
    int64_t now = clock_monotonic_ns();
    follow_adopt_process(f->follow, getpid(), 0, false, now);
    follow_adopt_thread(f->follow, getpid(), getpid(), 0, now, now); /* has no events */
    follow_adopt_thread(f->follow, getpid(), GHOST, GHOST, now, now);
    for (int i = 1; i <= 5; i++) {
        follow_verify(f->follow, now + i * INT64_C(500000000));
        assert_true(follow_has_thread(f->follow, GHOST));
    }
    follow_tick(f->follow, now + INT64_C(500000000) + 1); /* told up to when it was missed */
    follow_verify(f->follow, now + INT64_C(3000000000));
    assert_false(follow_has_thread(f->follow, GHOST));
    assert_true(follow_has_thread(f->follow, getpid()));
    free_fixture(f);
}

/* Which of two texts the events since the last call hold, as bits. */
static int told(struct fixture *f, const char *first, const char *second)
{
    struct buf out = {0};
    take_text(f, &out);
    int bits = (strstr(buf_str(&out), first) != NULL) | (strstr(buf_str(&out), second) != NULL)
                                                            << 1;
    buf_free(&out);
    return bits;
}

static void *sleep_named(void *arg)
{
    int *fds = arg;
    char byte;
    prctl(PR_SET_NAME, "lost-name");
    assert_int_equal(write(fds[1], "", 1), 1);
    (void)!read(fds[2], &byte, 1);
    return NULL;
}

/* The fork of a thread was lost, and another's new name; both sleep and say nothing more. */
static void test_lost_thread(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    struct follow_options options = {.pid = getpid(),
                                     .has_proc = true,
                                     .max_stack = 4,
                                     .period_ns = 1000,
                                     .out = f->queue,
                                     .sources = &f->sources};
    follow_free(f->follow);
    f->follow = follow_new(&options);
    int ready[2], end[2];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    int fds[3] = {0, ready[1], end[0]};
    pthread_t thread;
    char byte;
    assert_int_equal(pthread_create(&thread, NULL, sleep_named, fds), 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    int64_t now = clock_monotonic_ns();
    follow_adopt_process(f->follow, getpid(), 0, false, now);
    follow_adopt_thread(f->follow, getpid(), getpid(), getpid(), now, now);
    char was[16] = "";
    prctl(PR_GET_NAME, was);
    prctl(PR_SET_NAME, "renamed");
    follow_verify(f->follow, now + INT64_C(2000000000)); /* nothing was lost */
    assert_int_equal(told(f, "renamed", "lost-name"), 0);

    uint64_t lost[RECORD_LOST_WORDS];
    struct record r;
    record_make_lost(lost, now + 1000, 0, true);
    assert_int_equal(record_parse(lost, sizeof(lost), NULL, &r), 0);
    follow_record(f->follow, &r, now + 1000, false);
    follow_verify(f->follow, now + INT64_C(4000000000)); /* told up to now: it may be on its way */
    assert_int_equal(told(f, "renamed", "lost-name"), 1);
    follow_tick(f->follow, now + INT64_C(1000000000));
    follow_verify(f->follow, now + INT64_C(4600000000));
    assert_int_equal(told(f, "renamed", "lost-name"), 2); /* the other was told already */
    prctl(PR_SET_NAME, was);
    assert_int_equal(write(end[1], "", 1), 1);
    pthread_join(thread, NULL);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(end[i]);
    }
    free_fixture(f);
}

/* 20,000 short processes leave nothing behind. */
static void test_many_forks(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, (size_t)1 << 30);
    struct follow_stats stats;
    for (int32_t pid = 100; pid < 20100; pid++) {
        add_task(&f->records, PERF_RECORD_FORK, OWN_ID, pid, pid, MAIN, MAIN, pid);
        sample(f, OWN_ID, pid, pid, pid);
        add_task(&f->records, PERF_RECORD_EXIT, OWN_ID, pid, pid, MAIN, MAIN, pid);
        feed(f);
    }
    follow_stats(f->follow, &stats);
    assert_int_equal(stats.n_samples, 20000);
    assert_int_equal(stats.n_processes, 1);
    assert_int_equal(stats.n_threads, 1);
    assert_true(follow_has_thread(f->follow, MAIN));
    assert_false(follow_has_thread(f->follow, 100));
    free_fixture(f);
}

/* A sample on a CPU whose group has these totals. */
static void counted_sample(struct fixture *f, int32_t tid, uint32_t cpu, int64_t ts, uint64_t a,
                           uint64_t b)
{
    const uint64_t values[] = {1, a, b}, chain[] = {PERF_CONTEXT_USER, 0x10};
    struct record r = {.kind = RECORD_SAMPLE,
                       .ts = ts,
                       .id = OWN_ID,
                       .cpu = cpu,
                       .pid = MAIN,
                       .tid = tid,
                       .sample = {.ip = 0x10,
                                  .period = 5,
                                  .chain = chain,
                                  .n_chain = 2,
                                  .counters = {.n = 3, .values = values, .n_words = 1}}};
    follow_record(f->follow, &r, ts, false);
}

/* Totals of each thread and CPU become what a sample gained; also while nothing is told. */
static void test_counters(void **state)
{
    (void)state;
    struct fixture *f = new_fixture(true, QUEUE_BYTES);
    follow_free(f->follow);
    struct follow_options options = {.pid = MAIN,
                                     .with_children = true,
                                     .max_stack = 4,
                                     .period_ns = 1000,
                                     .out = f->queue,
                                     .sources = &f->sources,
                                     .n_counters = 2};
    f->follow = follow_new(&options);
    follow_adopt_process(f->follow, MAIN, 0, false, 1);
    follow_adopt_thread(f->follow, MAIN, MAIN, MAIN, 1, 1);
    counted_sample(f, MAIN, 0, 2, 100, 7);
    counted_sample(f, MAIN, 1, 3, 40, 0);
    counted_sample(f, MAIN, 0, 4, 150, 8);
    follow_set_paused(f->follow, true, 5);
    counted_sample(f, MAIN, 0, 6, 1000, 9);
    follow_set_paused(f->follow, false, 7);
    counted_sample(f, MAIN, 0, 8, 1001, 9);
    sample(f, OWN_ID, MAIN, MAIN, 9); /* of an event without counters */
    const struct event_counter_total total = {.head.ts = 10, .slot = 1, .n_counted = 9};
    follow_counter_total(f->follow, &total);
    check(f, BEGIN "2 sample 10/10 cpu 0 5ns kernel 0: 10 counted 100,7\n"
                   "3 sample 10/10 cpu 1 5ns kernel 0: 10 counted 40,0\n"
                   "4 sample 10/10 cpu 0 5ns kernel 0: 10 counted 50,1\n"
                   "8 sample 10/10 cpu 0 5ns kernel 0: 10 counted 1,0\n"
                   "10 counter 1 9\n"
                   "9 sample 10/10 cpu 0 7ns kernel 0: 10 20\n");
    free_fixture(f);
}

/* Numbers that futexes have: ids of threads, which are counted anew in another pid namespace, and
 * each asked for once. */
static void test_threads_by_number(void **state)
{
    (void)state;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        pause();
        _exit(0);
    }
    if (pid < 0) {
        print_message("skip - another pid namespace: this user may not have one\n");
        skip();
    }
    struct queue *queue = queue_new(QUEUE_BYTES);
    struct map sources = {0};
    struct follow_options options = {.pid = getpid(),
                                     .with_children = true,
                                     .has_proc = true,
                                     .max_stack = 4,
                                     .period_ns = 1000,
                                     .out = queue,
                                     .sources = &sources};
    struct follow *f = follow_new(&options);
    follow_adopt_process(f, getpid(), 0, false, 1);
    follow_adopt_process(f, pid, getpid(), false, 1);
    follow_adopt_thread(f, pid, pid, pid, 1, 1);
    int n_left = f->n_proc_reads;
    assert_int_equal(follow_find_thread(f, getpid(), (uint32_t)getpid()), WAIT_THREAD);
    assert_int_equal(follow_find_thread(f, getpid(), 1), WAIT_NO_THREAD);
    assert_int_equal(follow_find_thread(f, pid, 1), WAIT_INNER_THREAD);
    int n_tids_left = f->n_tid_reads;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(follow_find_thread(f, pid, 1), WAIT_INNER_THREAD);
        assert_int_equal(follow_find_thread(f, pid, 2), WAIT_NO_THREAD);
        assert_int_equal(follow_find_thread(f, pid, (uint32_t)pid), WAIT_NO_THREAD);
        assert_int_equal(follow_find_thread(f, pid, UINT32_MAX), WAIT_NO_THREAD);
    }
    assert_int_equal(f->n_tid_reads, n_tids_left);
    /* Numbers that are nothing are asked for up to a bound, which is not that of other questions.
     */
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(follow_find_thread(f, getpid(), 1), WAIT_NO_THREAD);
    }
    assert_int_equal(f->n_tid_reads, 0);
    assert_int_equal(f->n_proc_reads, n_left);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    follow_free(f);
    queue_free(queue);
    map_free(&sources);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters),       cmocka_unit_test(test_fork_exec_exit),
        cmocka_unit_test(test_exec_by_thread), cmocka_unit_test(test_covered_twice),
        cmocka_unit_test(test_reused_tid),     cmocka_unit_test(test_one_process_only),
        cmocka_unit_test(test_stacks),         cmocka_unit_test(test_loss),
        cmocka_unit_test(test_queue_full),     cmocka_unit_test(test_queue_far_too_full),
        cmocka_unit_test(test_paused),         cmocka_unit_test(test_paused_twice),
        cmocka_unit_test(test_reused_pid),     cmocka_unit_test(test_main_gone),
        cmocka_unit_test(test_missed_thread),  cmocka_unit_test(test_lost_thread),
        cmocka_unit_test(test_many_forks),     cmocka_unit_test(test_threads_by_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
