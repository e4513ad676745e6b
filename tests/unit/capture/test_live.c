/*
 * Records real processes: copies of this program that burn CPU time in a known way. Where the host
 * forbids perf events, these tests are skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/map.h"
#include "capture/capture.h"

enum { HZ = 1000, QUEUE_BYTES = 64 << 20 };

/* ---- the workloads: PROGRAM WORKLOAD ---- */

static int64_t thread_time_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Milliseconds of CPU time, however busy the machine is. */
static void spin_ms(int ms)
{
    int64_t start = thread_time_ns();
    while (thread_time_ns() - start < ms * 1000000LL) {
        for (volatile int i = 0; i < 200000; i++) {
        }
    }
}

static void *spin_thread(void *ms)
{
    spin_ms((int)(intptr_t)ms);
    return NULL;
}

/* Threads that live for ms each, n at a time, for ever. */
static void churn(int n, int ms)
{
    pthread_t threads[64];
    for (;;) {
        for (int i = 0; i < n; i++) {
            pthread_create(&threads[i], NULL, spin_thread, (void *)(intptr_t)ms);
        }
        for (int i = 0; i < n; i++) {
            pthread_join(threads[i], NULL);
        }
    }
}

static void fork_often(int n, int ms)
{
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (volatile int k = 0; k < 200000; k++) {
            }
            spin_ms(ms);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
}

static int work(const char *workload)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(workload, "spin") == 0) {
        spin_ms(300);
    } else if (strcmp(workload, "threads") == 0) {
        churn(4, 600000);
    } else if (strcmp(workload, "churn") == 0) {
        churn(16, 2);
    } else if (strcmp(workload, "forks") == 0) {
        fork_often(200, 1);
    } else if (strcmp(workload, "brief") == 0) {
        fork_often(1000, 0);
    } else if (strcmp(workload, "parent") == 0) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            prctl(PR_SET_NAME, "a child");
            spin_ms(600000);
        }
        pause();
    } else if (strcmp(workload, "idle") == 0) {
        pause();
    }
    return 0;
}

/* ---- what was recorded ---- */

struct seen {
    uint64_t n_samples, n_types[EVENT_N_TYPES], n_outside;
    int64_t on_cpu_ns, thread_ns, first_sample_ts, exec_ts, last_ts;
    uint64_t n_losses[EVENT_LOSS_N_KINDS];
    bool is_ordered;
    int end_reason;
    struct map tids; /* tid -> samples */
    struct event_mapping maps[256];
    size_t n_maps;
    char last_name[64];
};

static void see_sample(struct seen *seen, const struct event_sample *s)
{
    seen->n_samples++;
    seen->on_cpu_ns += s->on_cpu_ns;
    if (!seen->first_sample_ts) {
        seen->first_sample_ts = s->head.ts;
    }
    ++*map_put(&seen->tids, (uint32_t)s->tid);
    bool is_inside = s->n_kernel > 0;
    for (size_t i = 0; i < seen->n_maps && !is_inside; i++) {
        is_inside = s->addresses[0] - seen->maps[i].start < seen->maps[i].size;
    }
    seen->n_outside += !is_inside;
}

static void see(struct seen *seen, const struct event_head *head)
{
    seen->n_types[head->type]++;
    seen->is_ordered &= head->ts >= seen->last_ts;
    seen->last_ts = head->ts;
    if (head->type == EVENT_SAMPLE) {
        see_sample(seen, (const void *)head);
    } else if (head->type == EVENT_THREAD_TIME) {
        const struct event_thread_time *t = (const void *)head;
        int64_t wall = t->open_ts - t->start_ts;
        assert_int_equal(t->on_cpu_ns + t->runnable_ns + t->blocked_ns + t->unknown_ns, wall);
        seen->thread_ns += t->is_end ? t->on_cpu_ns : 0;
    } else if (head->type == EVENT_EXEC) {
        const struct event_process *p = (const void *)head;
        seen->exec_ts = head->ts;
        snprintf(seen->last_name, sizeof(seen->last_name), "%.*s", (int)p->name_len, p->text);
    } else if (head->type == EVENT_MAPPING && seen->n_maps < 256) {
        memcpy(&seen->maps[seen->n_maps++], head, sizeof(struct event_mapping));
    } else if (head->type == EVENT_LOSS) {
        const struct event_loss *l = (const void *)head;
        seen->n_losses[l->kind] += l->n;
    } else if (head->type == EVENT_END) {
        seen->end_reason = (int)((const struct event_end *)(const void *)head)->reason;
    }
}

/* Takes what waits in the queue, until the end of the run if asked. */
static void take_events(struct queue *queue, struct seen *seen, bool until_end)
{
    size_t n;
    seen->is_ordered = true;
    seen->end_reason = -1;
    for (;;) {
        void *batch = queue_pop(queue, until_end ? 10000 : 0, &n);
        if (!batch) {
            break;
        }
        size_t at = 0;
        bool bad;
        for (const struct event_head *head; (head = event_next(batch, n, &at, &bad));) {
            see(seen, head);
        }
        assert_false(bad);
        free(batch);
        if (seen->end_reason != -1) {
            break;
        }
    }
}

struct recording {
    struct queue *queue;
    struct capture *capture;
    struct seen seen;
    pid_t pid;
    int hold_fd;
};

/* A child that waits to be let go and then executes the workload. */
static pid_t start_child(const char *workload, int *hold_fd)
{
    int hold[2];
    assert_int_equal(pipe(hold), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char ch;
        close(hold[1]);
        if (read(hold[0], &ch, 1) == 1) {
            execl("/proc/self/exe", "stax-workload", workload, NULL);
        }
        _exit(9);
    }
    close(hold[0]);
    *hold_fd = hold[1];
    return pid;
}

static void let_go(struct recording *r)
{
    assert_int_equal(write(r->hold_fd, "x", 1), 1);
    fd_close(&r->hold_fd);
}

/* Opens the recording of a workload; attached ones run for some time before. */
static struct recording *open_recording(const char *workload, struct capture_options options)
{
    struct recording *r = calloc(1, sizeof(*r));
    struct err e = {0};
    assert_non_null(r);
    r->queue = queue_new(QUEUE_BYTES);
    r->pid = start_child(workload, &r->hold_fd);
    if (!options.is_launched) {
        let_go(r);
        usleep(100000);
    }
    options.pid = r->pid;
    options.frequency_hz = HZ;
    int rc = capture_open(&r->capture, &options, r->queue, &e);
    /* One more recording of the same unprivileged user may hold all memory that it may lock. */
    if (rc == STAX_EPERMISSION || (rc == STAX_ELIMIT && geteuid() != 0)) {
        print_message("not possible here: %s\n", e.msg);
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
        fd_close(&r->hold_fd);
        queue_free(r->queue);
        free(r);
        skip();
    }
    if (rc != 0) {
        fail_msg("%s (%s)", e.msg, e.hint);
    }
    return r;
}

static struct recording *start_recording(const char *workload, struct capture_options options)
{
    struct err e = {0};
    struct recording *r = open_recording(workload, options);
    assert_int_equal(capture_start(r->capture, &e), 0);
    if (options.is_launched) {
        let_go(r);
    }
    return r;
}

static void finish_recording(struct recording *r)
{
    capture_close(r->capture);
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    queue_free(r->queue);
    map_free(&r->seen.tids);
    free(r);
}

static int64_t cpu_time_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &t), 0);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Waits until a process has used 400 ms more; returns the CPU time it used meanwhile. */
static int64_t wait_for_cpu_time(pid_t pid)
{
    int64_t before = cpu_time_ns(pid), used = 0;
    while (used < 400000000) {
        usleep(50000);
        used = cpu_time_ns(pid) - before;
    }
    return used;
}

static void assert_near(int64_t value, int64_t expected, int percent)
{
    int64_t error = value > expected ? value - expected : expected - value;
    if (error * 100 > expected * percent) {
        fail_msg("%lld is not within %d %% of %lld", (long long)value, percent,
                 (long long)expected);
    }
}

static void test_launched(void **state)
{
    (void)state;
    struct recording *r = start_recording(
        "spin", (struct capture_options){.is_launched = true, .with_children = true});
    struct seen *seen = &r->seen;
    take_events(r->queue, seen, true);
    assert_int_equal(seen->end_reason, EVENT_END_TARGET_EXITED);
    assert_true(seen->is_ordered);
    assert_int_equal(seen->n_types[EVENT_PROCESS_START], 1);
    assert_int_equal(seen->n_types[EVENT_EXEC], 1);
    assert_int_equal(seen->n_types[EVENT_PROCESS_END], 1);
    assert_true(seen->first_sample_ts >= seen->exec_ts);
    assert_int_equal(seen->n_outside, 0);
    assert_true(seen->n_maps >= 3); /* program, loader, libc, vDSO */
    assert_near(seen->on_cpu_ns, 300000000, 10);
    struct capture_stats stats;
    capture_stats(r->capture, &stats);
    assert_int_equal(stats.n_samples, seen->n_samples);
    assert_int_equal(stats.n_lost, 0);
    assert_int_equal(stats.n_processes, 0);
    assert_true(stats.n_drains > 3 && stats.cpu_time_ns > 0);
    finish_recording(r);
}

/* The held child is killed before it execs anything: the run ends all the same. */
static void test_launched_never_runs(void **state)
{
    (void)state;
    struct recording *r = open_recording(
        "idle", (struct capture_options){.is_launched = true, .with_children = true});
    struct err e = {0};
    assert_int_equal(capture_start(r->capture, &e), 0);
    kill(r->pid, SIGKILL); /* still held */
    fd_close(&r->hold_fd);
    take_events(r->queue, &r->seen, true);
    assert_int_equal(r->seen.end_reason, EVENT_END_TARGET_EXITED);
    assert_int_equal(r->seen.n_samples, 0);
    finish_recording(r);
}

static void test_attached_threads(void **state)
{
    (void)state;
    struct recording *r =
        start_recording("threads", (struct capture_options){.with_children = true});
    int64_t begun = cpu_time_ns(r->pid);
    struct capture_stats stats = {0};
    for (int i = 0; stats.n_samples == 0 && i < 1000; i++) {
        usleep(10000); /* the kernel's names are read first; then a stop takes no time */
        capture_stats(r->capture, &stats);
    }
    wait_for_cpu_time(r->pid);
    capture_stop(r->capture, EVENT_END_STOPPED);
    /* What it used until begun may have been recorded, too, as far as it was armed already. */
    int64_t all = cpu_time_ns(r->pid), used = all - begun;
    take_events(r->queue, &r->seen, true);
    struct seen *seen = &r->seen;
    assert_int_equal(seen->end_reason, EVENT_END_STOPPED);
    assert_true(seen->is_ordered);
    assert_true(seen->n_types[EVENT_THREAD_START] >= 5); /* sanitizers have one of their own */
    assert_true(seen->tids.n_used >= 4);
    assert_int_equal(seen->n_outside, 0);
    assert_near(seen->on_cpu_ns < used ? seen->on_cpu_ns : used, used, 15);
    assert_near(seen->on_cpu_ns > all ? seen->on_cpu_ns : all, all, 15);
    finish_recording(r);
}

/* What the run lacks it says why. */
static void check_abilities(const struct recording *r)
{
    static const char *const names[] = {"kernel_stacks", "kernel_names",  "off_cpu", "wait_stacks",
                                        "full_stacks",   "parked_stacks", "wakeups", "counters"};
    size_t n, n_found = 0;
    const struct capture_ability *abilities = capture_abilities(r->capture, &n);
    for (size_t i = 0; i < n; i++) {
        assert_true(abilities[i].is_available == (abilities[i].reason[0] == '\0'));
        assert_true(abilities[i].is_available || strcmp(abilities[i].name, "off_cpu") != 0);
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
            n_found += strcmp(abilities[i].name, names[k]) == 0;
        }
    }
    assert_int_equal(n_found, sizeof(names) / sizeof(names[0]));
}

/* Threads come and go while events are opened: none may be counted twice, few missed. */
static void test_attached_churn(void **state)
{
    (void)state;
    struct recording *r = start_recording("churn", (struct capture_options){.with_children = true});
    int64_t used = wait_for_cpu_time(r->pid);
    capture_stop(r->capture, EVENT_END_STOPPED);
    take_events(r->queue, &r->seen, true);
    assert_true(r->seen.n_types[EVENT_THREAD_START] > 20);
    check_abilities(r);
    assert_true(r->seen.is_ordered);
    /* Short lives end long after their last sample, so samples hold less than the threads. */
    assert_true(r->seen.thread_ns >= used * 8 / 10);
    assert_true(r->seen.thread_ns <= cpu_time_ns(r->pid));
    assert_true(r->seen.on_cpu_ns <= r->seen.thread_ns);
    finish_recording(r);
}

static void test_forks(void **state)
{
    (void)state;
    struct recording *r = start_recording(
        "forks", (struct capture_options){.is_launched = true, .with_children = true});
    take_events(r->queue, &r->seen, true);
    assert_int_equal(r->seen.end_reason, EVENT_END_TARGET_EXITED);
    assert_int_equal(r->seen.n_types[EVENT_PROCESS_START], 201);
    assert_int_equal(r->seen.n_types[EVENT_PROCESS_END], 201);
    assert_true(r->seen.is_ordered);
    assert_true(r->seen.tids.n_used > 20);
    finish_recording(r);
}

static void test_without_children(void **state)
{
    (void)state;
    struct recording *r = start_recording("forks", (struct capture_options){.is_launched = true});
    take_events(r->queue, &r->seen, true);
    assert_int_equal(r->seen.end_reason, EVENT_END_TARGET_EXITED);
    assert_int_equal(r->seen.n_types[EVENT_PROCESS_START], 1);
    assert_true(r->seen.tids.n_used <= 1);
    finish_recording(r);
}

/* Processes that were there before the recording belong to it, if asked. */
static void test_attached_children(void **state)
{
    (void)state;
    for (int with_children = 0; with_children < 2; with_children++) {
        struct recording *r =
            start_recording("parent", (struct capture_options){.with_children = with_children,
                                                               .time_limit_ns = 200000000});
        take_events(r->queue, &r->seen, true);
        assert_int_equal(r->seen.end_reason, EVENT_END_TIME_LIMIT);
        assert_int_equal(r->seen.n_types[EVENT_PROCESS_START], 1 + with_children);
        assert_int_equal(r->seen.n_samples > 5, with_children);
        finish_recording(r);
    }
}

static void test_paused(void **state)
{
    (void)state;
    struct recording *r =
        start_recording("threads", (struct capture_options){.with_children = true});
    struct capture_stats stats = {0}, later;
    for (int i = 0; stats.n_samples == 0 && i < 1000; i++) {
        usleep(10000);
        capture_stats(r->capture, &stats);
    }
    capture_set_paused(r->capture, true);
    usleep(300000);
    capture_stats(r->capture, &stats);
    usleep(150000);
    capture_stats(r->capture, &later);
    assert_true(stats.n_samples > 0);
    assert_int_equal(later.n_samples, stats.n_samples);
    capture_set_paused(r->capture, false);
    usleep(200000);
    capture_stats(r->capture, &later);
    assert_true(later.n_samples > stats.n_samples);
    finish_recording(r);
}

/* Nobody reads a small ring for a while: the loss is told with its count, and the run goes on. */
static void test_ring_full(void **state)
{
    (void)state;
    struct recording *r = open_recording(
        "threads", (struct capture_options){.with_children = true, .ring_bytes = 4096});
    struct err e = {0};
    usleep(300000);
    assert_int_equal(capture_start(r->capture, &e), 0);
    usleep(300000);
    capture_stop(r->capture, EVENT_END_STOPPED);
    take_events(r->queue, &r->seen, true);
    struct capture_stats stats;
    capture_stats(r->capture, &stats);
    assert_int_equal(stats.ring_bytes, 4096);
    assert_true(stats.peak_ring_bytes > 2048 && stats.peak_ring_bytes <= 4096);
    assert_true(r->seen.n_types[EVENT_LOSS] > 0);
    assert_true(stats.n_lost > 0);
    assert_true(r->seen.n_samples > 20);
    finish_recording(r);
}

/* The ring overflows and nothing is written after that, so that no record tells of the loss. */
static void test_ring_full_at_the_end(void **state)
{
    (void)state;
    struct recording *r = open_recording(
        "spin",
        (struct capture_options){.is_launched = true, .with_children = true, .ring_bytes = 4096});
    struct err e = {0};
    siginfo_t info;
    let_go(r);
    assert_int_equal(waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(capture_start(r->capture, &e), 0);
    take_events(r->queue, &r->seen, true);
    struct capture_stats stats;
    capture_stats(r->capture, &stats);
    assert_true(r->seen.n_samples < 200); /* 300 ms at 1,000 Hz */
    assert_true(stats.n_lost > 0);
    assert_int_equal(stats.n_lost, r->seen.n_losses[EVENT_LOSS_RING_FULL]);
    assert_true(r->seen.n_samples + stats.n_lost > 250);
    /* What was lost is told once. */
    assert_int_equal(r->seen.n_losses[EVENT_LOSS_UNSAMPLED], 0);
    finish_recording(r);
}

/* Processes that end within the sampling period have no samples: how much that is, is told. */
static void test_unsampled(void **state)
{
    (void)state;
    struct recording *r = start_recording(
        "brief", (struct capture_options){.is_launched = true, .with_children = true});
    struct rusage use;
    take_events(r->queue, &r->seen, true);
    assert_int_equal(wait4(r->pid, NULL, 0, &use), r->pid);
    int64_t used = (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000000LL +
                   (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000LL;
    int64_t unsampled = (int64_t)r->seen.n_losses[EVENT_LOSS_UNSAMPLED] * 1000000;
    assert_true(unsampled > 0);
    /* The end of a process, after its events are gone, is in one and not in the other; with a
     * sanitizer in it that is most of what a brief process does. */
    assert_in_range(r->seen.on_cpu_ns + unsampled, used / 3, used + used / 10);
    finish_recording(r);
}

/* Descriptors for two threads only: the busiest are recorded, and the others are counted. */
static void test_few_descriptors(void **state)
{
    (void)state;
    int n_cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    struct recording r = {.queue = queue_new(QUEUE_BYTES)};
    struct capture_options options = {.with_children = true, .frequency_hz = HZ};
    struct rlimit limit = {(rlim_t)(256 + 3 * n_cpus), (rlim_t)(256 + 3 * n_cpus)};
    struct err e = {0};
    r.pid = options.pid = start_child("threads", &r.hold_fd);
    let_go(&r);
    usleep(50000);
    wait_for_cpu_time(r.pid);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int rc = capture_open(&r.capture, &options, r.queue, &e);
    if (rc == 0) {
        assert_int_equal(capture_start(r.capture, &e), 0);
        wait_for_cpu_time(r.pid);
        capture_stop(r.capture, EVENT_END_STOPPED);
        take_events(r.queue, &r.seen, true);
        struct capture_stats stats;
        capture_stats(r.capture, &stats);
        assert_int_equal(stats.n_lost, 0);
        assert_int_equal(r.seen.tids.n_used, 2);
        assert_int_equal(map_get(&r.seen.tids, (uint32_t)r.pid), 0); /* it waits for the others */
        assert_int_equal(r.seen.n_losses[EVENT_LOSS_NO_EVENTS],
                         r.seen.n_types[EVENT_THREAD_START] - 2);
    }
    capture_close(r.capture);
    kill(r.pid, SIGKILL);
    waitpid(r.pid, NULL, 0);
    queue_free(r.queue);
    map_free(&r.seen.tids);
    if (rc != 0) {
        print_message("not possible here: %s\n", e.msg);
        skip();
    }
}

/* An unprivileged user asks for more locked memory than there is: smaller rings do. */
static void test_ring_halved(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        print_message("root may lock any amount of memory\n");
        skip();
    }
    struct rlimit none = {0, 0};
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    struct recording *r = open_recording(
        "threads", (struct capture_options){.with_children = true, .ring_bytes = 64 << 20});
    struct capture_stats stats;
    capture_stats(r->capture, &stats);
    assert_true(stats.ring_bytes >= 32 << 10 && stats.ring_bytes < 64 << 20);
    finish_recording(r);
}

static void check_refused(struct capture_options options, int expected)
{
    struct queue *queue = queue_new(QUEUE_BYTES);
    struct capture *c = NULL;
    struct err e = {0};
    assert_int_equal(capture_open(&c, &options, queue, &e), expected);
    assert_int_equal(e.code, expected);
    assert_true(strlen(e.msg) > 10);
    assert_null(c);
    queue_free(queue);
}

static void *wait_for_ever(void *tid)
{
    __atomic_store_n((pid_t *)tid, gettid(), __ATOMIC_RELEASE);
    pause();
    return NULL;
}

static void test_refused(void **state)
{
    (void)state;
    pid_t zombie = fork();
    if (zombie == 0) {
        _exit(0);
    }
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
    struct capture_options options = {.pid = zombie, .frequency_hz = HZ};
    check_refused(options, STAX_ENOTFOUND);
    waitpid(zombie, NULL, 0);
    check_refused(options, STAX_ENOTFOUND);
    options.pid = -1;
    check_refused(options, STAX_ENOTFOUND);
    options.pid = getpid();
    options.frequency_hz = 0;
    check_refused(options, STAX_EUSAGE);
    options.frequency_hz = (uint32_t)capture_max_frequency_hz() + 1;
    check_refused(options, STAX_EUSAGE);
    options.frequency_hz = 100000; /* the kernel's clock would skip every other tick */
    check_refused(options, STAX_EUSAGE);
    pthread_t thread;
    pid_t tid = 0;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, &tid), 0);
    while (!__atomic_load_n(&tid, __ATOMIC_ACQUIRE)) {
        usleep(1000);
    }
    options = (struct capture_options){.pid = tid, .frequency_hz = HZ};
    check_refused(options, STAX_ENOTFOUND);
    if (geteuid() != 0) {
        options.pid = 1; /* root's */
        check_refused(options, STAX_EPERMISSION);
    }
    pthread_cancel(thread);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        _exit(work(argv[1])); /* no leak checker, which would be a process more */
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launched),
        cmocka_unit_test(test_launched_never_runs),
        cmocka_unit_test(test_attached_threads),
        cmocka_unit_test(test_attached_churn),
        cmocka_unit_test(test_forks),
        cmocka_unit_test(test_without_children),
        cmocka_unit_test(test_attached_children),
        cmocka_unit_test(test_paused),
        cmocka_unit_test(test_ring_full),
        cmocka_unit_test(test_ring_full_at_the_end),
        cmocka_unit_test(test_unsampled),
        cmocka_unit_test(test_ring_halved),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_few_descriptors), /* the last: the limit stays */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
