/* follow_proc.c - the part of follow.h that asks /proc: what was there before, what was lost. */
#include "capture/follow_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "capture/proc.h"
#include "capture/wait_probe.h"

enum {
    VERIFY_AT_ONCE = 64, /* processes compared with /proc in one go */
    CMDLINE_BYTES_MAX = 1024,
    INNER_THREADS_MAX = 1024, /* of a process, that a number is compared with */
    LOST_AT_ONCE = 1024,      /* threads that are asked for their names in one go */
};
static const int64_t EXEC_NS = 1000000000; /* from the record of an exec to its end, preempted */
static const int64_t THREAD_CHECK_NS = 1000000;  /* a thread, between two looks at all of them */
static const int64_t BEGAN_NS = 400000000;       /* that /proc may err, twice */
static const int64_t LOSS_CHECK_NS = 5000000000; /* so long after a loss threads are compared */

bool follow_may_read_proc(struct follow *f)
{
    if (!f->options.has_proc || f->n_proc_reads <= 0) {
        return false;
    }
    f->n_proc_reads--;
    return true;
}

static bool may_read_tid(struct follow *f)
{
    return f->n_tid_reads > 0 && f->n_tid_reads--;
}

/* The id that it has in its own namespace, which is read once. */
static bool has_inner_tid(struct follow *f, struct target_thread *t, uint32_t number)
{
    if (!t->inner_tid && may_read_tid(f)) {
        uint32_t tid = wait_probe_inner_tid(t->process->pid, t->tid);
        t->inner_tid = tid && tid <= INT32_MAX ? (int32_t)tid : -1;
    }
    return t->inner_tid > 0 && (uint32_t)t->inner_tid == number;
}

enum wait_thread follow_find_thread(void *ctx, int32_t pid, uint32_t number)
{
    struct follow *f = ctx;
    struct target_process *p = target_process(&f->target, pid);
    if (!p || !number || number > INT32_MAX) {
        return WAIT_NO_THREAD;
    }
    if (!p->has_namespace && f->options.has_proc && may_read_tid(f)) {
        p->is_elsewhere = wait_probe_is_elsewhere(pid);
        p->has_namespace = true;
    }
    if (!p->is_elsewhere) {
        const struct target_thread *t = target_thread(&f->target, (int32_t)number);
        bool is_known = t && t->process == p;
        bool may_ask = !is_known && f->options.has_proc && may_read_tid(f);
        is_known |= may_ask && wait_probe_is_thread(pid, number);
        return is_known ? WAIT_THREAD : WAIT_NO_THREAD;
    }
    size_t n_left = INNER_THREADS_MAX;
    for (struct target_thread *t = p->threads; t && n_left--; t = t->next) {
        if (has_inner_tid(f, t, number)) {
            return WAIT_INNER_THREAD;
        }
    }
    return WAIT_NO_THREAD;
}

void follow_read_mappings(struct follow *f, struct target_process *p, int64_t ts)
{
    struct buf text = {0};
    struct proc_mapping m;
    size_t at = 0, n_bad = 0;
    p->maps_ts = ts;
    proc_read_maps(p->pid, &text); /* a process that is gone has none */
    while (proc_next_mapping(buf_str(&text), text.len, &at, &m, &n_bad)) {
        if (m.is_executable) {
            struct event_mapping body = {.head.ts = ts,
                                         .pid = p->pid,
                                         .start = m.start,
                                         .size = m.end - m.start,
                                         .file_offset = m.file_offset,
                                         .device = m.device,
                                         .inode = m.inode};
            follow_tell_mapping(f, &body, m.path, m.path_len);
        }
    }
    buf_free(&text);
}

/* The mappings of a process that was just told of. What it took over from a parent is of the moment
 * of its fork, which is long ago: that goes first. */
void follow_read_own_mappings(struct follow *f, struct target_process *p, int32_t parent_pid,
                              int64_t ts)
{
    if (parent_pid) {
        target_clear_space(p);
        follow_tell_process(f, EVENT_EXEC, p, parent_pid, ts);
    }
    follow_read_mappings(f, p, ts);
}

void follow_read_name(struct follow *f, int32_t pid, int32_t tid, struct target_name *name)
{
    struct buf text = {0};
    if (f->options.has_proc && proc_read_name(pid, tid, &text) == 0 && text.len) {
        target_set_name(name, text.data, text.len);
    }
    buf_free(&text);
}

void follow_read_cmdline(struct follow *f, struct target_process *p)
{
    struct buf text = {0};
    if (f->options.has_proc && f->options.memory) {
        target_memory_cmdline(f->options.memory, p->pid, CMDLINE_BYTES_MAX, &text);
    }
    target_set_cmdline(p, text.data, text.len);
    buf_free(&text);
}

void follow_name_by_pid(struct target_name *name, int32_t pid)
{
    char text[TARGET_NAME_BYTES];
    int len = snprintf(text, sizeof(text), "pid %d", pid);
    target_set_name(name, text, (size_t)len);
}

int64_t follow_boot_ns(int64_t ts)
{
    return ts + (clock_boottime_ns() - clock_monotonic_ns());
}

void follow_adopt_process(struct follow *f, int32_t pid, int32_t parent_pid, bool with_mappings,
                          int64_t ts)
{
    if (target_process(&f->target, pid)) {
        return;
    }
    struct target_process *p = target_add_process(&f->target, pid);
    p->seen_boot_ns = f->options.has_proc ? clock_boottime_ns() : 0;
    follow_name_by_pid(&p->name, pid);
    follow_read_name(f, pid, 0, &p->name);
    follow_read_cmdline(f, p);
    follow_tell_process(f, EVENT_PROCESS_START, p, parent_pid, ts);
    if (with_mappings && f->options.has_proc) {
        follow_read_own_mappings(f, p, parent_pid, ts);
    }
}

void follow_adopt_thread(struct follow *f, int32_t pid, int32_t tid, int32_t source, int64_t ts,
                         int64_t seen_ts)
{
    struct target_process *p = target_process(&f->target, pid);
    if (!p || target_thread(&f->target, tid)) {
        return;
    }
    struct target_name name = p->name;
    follow_read_name(f, pid, tid, &name);
    struct target_thread *t = follow_start_thread(f, p, tid, &name, source, ts);
    t->seen_ts = seen_ts;
    t->waits.is_held = f->options.is_held;
    if (source) {
        follow_waits_start(f, t, seen_ts, false);
    }
    f->ts = ts > f->ts ? ts : f->ts;
    f->has_blind |= source == 0;
}

static void mark_gone(struct follow *f, struct target_process *p, int64_t now_ts)
{
    if (!p->gone_ts) {
        p->gone_ts = now_ts;
        f->n_gone++;
    }
}

void follow_main_gone(struct follow *f, int64_t now_ts)
{
    struct target_process *p = target_process(&f->target, f->options.pid);
    if (p) {
        mark_gone(f, p, now_ts);
    }
}

/* Whether all there is to know of a thread up to f->ts, which has been told, begins with its start:
 * then only a loss explains that it is not known. */
static bool began_before(const struct follow *f, int32_t pid, int32_t tid)
{
    struct proc_stat stat;
    return proc_read_stat(pid, tid, &stat) == 0 &&
           proc_was_there(&stat, follow_boot_ns(f->ts) - BEGAN_NS);
}

/* A thread whose fork was lost, and that may sleep for ever before it is heard of. */
static void adopt_lost(struct follow *f, struct target_process *p, int32_t tid)
{
    struct target_name name = p->name;
    if (began_before(f, p->pid, tid)) {
        follow_read_name(f, p->pid, tid, &name);
        struct target_thread *t = follow_start_thread(f, p, tid, &name, 0, f->ts);
        follow_waits_start(f, t, f->ts, false);
    }
}

/* A name that may have changed in a record that was lost. */
static void read_name_again(struct follow *f, struct target_thread *t, int64_t now_ts)
{
    struct target_name name = t->name;
    follow_read_name(f, t->process->pid, t->tid, &name);
    t->named_ts = now_ts;
    if (name.len != t->name.len || memcmp(name.text, t->name.text, name.len) != 0) {
        t->name = name;
        follow_tell_thread(f, EVENT_THREAD_NAME, t, f->ts);
    }
}

/* Threads that were missed because records were lost, and their names. Returns whether all of them
 * were looked at. */
static bool find_lost(struct follow *f, struct target_process *p, const struct pid_list *list,
                      int64_t now_ts)
{
    int n_left = LOST_AT_ONCE;
    for (size_t i = 0; f->loss_ts && i < list->n; i++) {
        struct target_thread *t = target_thread(&f->target, list->pids[i]);
        if (t && (t->process != p || t->named_ts > f->loss_ts)) {
            continue;
        }
        if (n_left-- <= 0) {
            return false;
        }
        if (t) {
            read_name_again(f, t, now_ts);
        } else {
            adopt_lost(f, p, list->pids[i]);
        }
    }
    return true;
}

/* After records were lost: threads that /proc has and nobody told of, and threads that it no longer
 * has. The last records of those may still wait to be put in order, or for a table: such a thread
 * ends when all of its time has been told. Returns whether that was all. */
static bool verify_threads(struct follow *f, struct target_process *p, int64_t now_ts)
{
    struct pid_list list = {0};
    struct map alive = {0};
    bool is_known = proc_list_threads(p->pid, &list) == 0;
    for (size_t i = 0; i < list.n; i++) {
        *map_put(&alive, (uint32_t)list.pids[i]) = 1;
    }
    bool is_all = !is_known || find_lost(f, p, &list, now_ts);
    for (struct target_thread *t = p->threads, *next; is_known && t; t = next) {
        next = t->next;
        bool is_missed = !map_get(&alive, (uint32_t)t->tid);
        t->missed_ts = !is_missed ? 0 : t->missed_ts ? t->missed_ts : now_ts;
        if (is_missed && f->ts > t->missed_ts && p->n_threads > 1) {
            follow_end_thread(f, t, f->ts);
        }
    }
    map_free(&alive);
    pid_list_free(&list);
    return is_all;
}

/* Threads are compared while something may have been missed, the more of them the more rarely. */
static bool needs_thread_check(const struct follow *f, const struct target_process *p,
                               int64_t now_ts)
{
    if (now_ts - p->threads_ts < (int64_t)p->n_threads * THREAD_CHECK_NS) {
        return false;
    }
    return f->has_blind || (f->loss_ts && p->threads_ts < f->loss_ts + LOSS_CHECK_NS);
}

/* Whether the process is alive, and not another one that was given its pid since. */
static bool is_there(const struct target_process *p)
{
    struct proc_stat stat;
    return proc_is_alive(p->pid) && proc_read_stat(p->pid, 0, &stat) == 0 &&
           proc_was_there(&stat, p->seen_boot_ns);
}

bool follow_is_hidden_by_exec(const struct follow *f, const struct target_thread *t, int64_t ts)
{
    const struct target_process *p = t->process;
    struct proc_stat stat;
    return f->options.has_proc && t->tid == p->pid && p->exec_ts && ts - p->exec_ts < EXEC_NS &&
           proc_read_stat(p->pid, 0, &stat) == 0 && !stat.is_exiting && stat.state != 'Z' &&
           stat.state != 'X' && proc_was_there(&stat, p->seen_boot_ns);
}

void follow_find_hidden_gone(struct follow *f)
{
    size_t slot = 0, n_left = f->n_hidden;
    for (struct target_process *p; n_left && (p = target_next(&f->target, &slot));) {
        n_left -= p->is_hidden;
        if (p->is_hidden && !is_there(p)) {
            mark_gone(f, p, clock_monotonic_ns());
        }
    }
}

void follow_verify(struct follow *f, int64_t now_ts)
{
    if (!f->options.has_proc) {
        return;
    }
    for (int i = 0; i < VERIFY_AT_ONCE; i++) {
        struct target_process *p = target_next(&f->target, &f->verify_slot);
        if (!p) {
            f->verify_slot = 0;
            return;
        }
        if (!is_there(p)) {
            mark_gone(f, p, now_ts);
        } else if (needs_thread_check(f, p, now_ts)) {
            p->threads_ts = verify_threads(f, p, now_ts) ? now_ts : p->threads_ts;
        }
    }
}
