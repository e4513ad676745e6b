/* wait_probe.c - see wait_probe.h. */
#include "capture/wait_probe.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/buf.h"
#include "base/fd.h"
#include "capture/proc.h"
#include "capture/wait_reason.h"

enum {
    PATH_BYTES = 64,
    FILE_BYTES_MAX = 1024,
    STATUS_BYTES_MAX = 8192,
    LOCK_WAITED = 2, /* a lock that is held and waited for: glibc, Go, Rust, Drepper's paper */
};

static bool take_hex(char **at, uint64_t *value)
{
    char *next;
    *value = strtoull(*at, &next, 16);
    bool is_there = next != *at;
    *at = next;
    return is_there;
}

bool wait_parse_syscall(const char *text, struct wait_place *place)
{
    char *at;
    *place = (struct wait_place){.call.number = strtol(text, &at, 10)};
    if (at == text) {
        return false; /* "running" */
    }
    for (int i = 0; place->call.number >= 0 && i < 6; i++) {
        if (!take_hex(&at, &place->call.arguments[i])) {
            return false;
        }
    }
    if (!take_hex(&at, &place->sp) || !take_hex(&at, &place->pc)) {
        return false;
    }
    if (!place->sp && !place->pc) {
        place->call.number = -1; /* what its creator called */
    }
    return true;
}

static bool read_limited(pid_t pid, pid_t tid, const char *name, size_t limit, struct buf *text)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
    return fd_read_file(path, limit, text) == 0 && text->len > 0;
}

static bool read_file(pid_t pid, pid_t tid, const char *name, struct buf *text)
{
    return read_limited(pid, tid, name, FILE_BYTES_MAX, text);
}

bool wait_probe_is_elsewhere(pid_t pid)
{
    char path[PATH_BYTES], own[PATH_BYTES] = "", its[PATH_BYTES] = "";
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
    return readlink("/proc/self/ns/pid", own, sizeof(own) - 1) > 0 &&
           readlink(path, its, sizeof(its) - 1) > 0 && strcmp(own, its) != 0;
}

/* The last number of NSpid is that of the innermost namespace. */
uint32_t wait_probe_inner_tid(pid_t pid, pid_t tid)
{
    static const char label[] = "\nNSpid:";
    struct buf text = {0};
    unsigned long number = 0;
    if (read_limited(pid, tid, "status", STATUS_BYTES_MAX, &text)) {
        char *at = strstr(buf_str(&text), label);
        for (at = at ? at + sizeof(label) - 1 : NULL; at && *at == '\t';) {
            number = strtoul(at, &at, 10);
        }
    }
    buf_free(&text);
    return (uint32_t)number;
}

bool wait_probe_is_thread(pid_t pid, uint32_t number)
{
    char path[PATH_BYTES];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%d/task/%" PRIu32, pid, number);
    return number && number <= INT32_MAX && stat(path, &st) == 0;
}

/* Whom wait_probe() may ask. */
struct sources {
    struct target_memory *memory;
    wait_find_thread find;
    void *ctx;
};

static void refine_futex(const struct sources *from, pid_t pid, struct wait_futex *futex,
                         struct wait_seen *seen)
{
    bool is_refused;
    uint8_t words[WAIT_FUTEX_BYTES];
    if (from->memory && futex->address >= WAIT_FUTEX_BEFORE &&
        target_memory_read(from->memory, pid, futex->address - WAIT_FUTEX_BEFORE, words,
                           sizeof(words), &is_refused) == sizeof(words)) {
        futex->words = words;
        seen->futex = (struct futex_wait){futex->address, pid, futex->operation, futex->value};
    }
    futex->thread = from->find(from->ctx, pid, wait_futex_tid(futex));
    seen->is_vague = wait_futex_reason(futex, &seen->reason) != WAIT_CERTAIN;
    futex->words = NULL;
}

static void refine_call(const struct sources *from, pid_t pid, const struct wait_place *place,
                        struct wait_seen *seen)
{
    const uint64_t *arguments = place->call.arguments;
    struct wait_futex futex = {.address = arguments[0],
                               .operation = (uint32_t)arguments[1],
                               .value = (uint32_t)arguments[2],
                               .sp = place->sp};
    refine_futex(from, pid, &futex, seen);
}

/* Of several futexes the first one: the one that a call of Wine's is for. No libc makes this call,
 * so that a number alone does not make it one for a lock, but what most agree on does. */
static void refine_vector(const struct sources *from, pid_t pid, const struct wait_place *place,
                          struct wait_seen *seen)
{
    struct { /* struct futex_waitv of linux/futex.h, since 5.16 */
        uint64_t value, address;
        uint32_t flags, reserved;
    } first;
    bool is_refused;
    if (!from->memory || target_memory_read(from->memory, pid, place->call.arguments[0], &first,
                                            sizeof(first), &is_refused) != sizeof(first)) {
        return;
    }
    struct wait_futex futex = {.address = first.address,
                               .operation = first.flags & WAIT_FUTEX_PRIVATE, /* FUTEX_WAIT */
                               .value = (uint32_t)first.value,
                               .sp = place->sp};
    refine_futex(from, pid, &futex, seen);
    bool is_like_lock = futex.value == LOCK_WAITED || futex.thread != WAIT_NO_THREAD;
    if (seen->reason == EVENT_REASON_LOCK && !is_like_lock) {
        seen->reason = EVENT_REASON_OTHER;
    }
    seen->is_vague = true;
    seen->futex.pid = 0; /* what is noted is of futex(2) */
}

/* read and write say nothing of what is at the other end: its link in /proc/PID/fd does. Only the
 * link of a file that may be a fifo is followed, and its file system not asked: it may be a network
 * that does not answer. */
static enum event_reason file_reason(pid_t pid, uint64_t fd, enum event_reason fallback)
{
    static const struct {
        const char *kind;
        enum event_reason reason;
    } kinds[] = {{"pipe:", EVENT_REASON_IPC},
                 {"anon_inode:[eventfd]", EVENT_REASON_IPC},
                 {"anon_inode:[timerfd]", EVENT_REASON_SLEEP},
                 {"anon_inode:[signalfd]", EVENT_REASON_IDLE},
                 {"anon_inode:inotify", EVENT_REASON_IDLE},
                 {"anon_inode:[fanotify]", EVENT_REASON_IDLE}};
    char path[PATH_BYTES], target[PATH_BYTES] = "";
    struct statx file = {0};
    snprintf(path, sizeof(path), "/proc/%d/fd/%" PRIu64, pid, fd);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    for (size_t i = 0; n > 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strncmp(target, kinds[i].kind, strlen(kinds[i].kind)) == 0) {
            return kinds[i].reason;
        }
    }
    if (n > 0 && target[0] == '/' &&
        statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &file) == 0 &&
        S_ISFIFO(file.stx_mode)) {
        return EVENT_REASON_IPC;
    }
    return fallback;
}

static bool by_syscall(const struct sources *from, pid_t pid, const struct wait_place *place,
                       struct wait_seen *seen)
{
    const struct wait_call *call = &place->call;
    const char *name = call->number >= 0 ? wait_syscall_name(call->number) : NULL;
    const struct wait_row *row = name ? wait_row_of(WAIT_SYSCALL, name) : NULL;
    if (!row) {
        return false;
    }
    *seen = (struct wait_seen){
        .reason = row->reason, .from = EVENT_FROM_SYSCALL, .is_vague = row->is_vague};
    if (call->number == SYS_futex) {
        refine_call(from, pid, place, seen);
    } else if (strcmp(name, "futex_waitv") == 0) {
        refine_vector(from, pid, place, seen);
    } else if (call->number == SYS_read || call->number == SYS_write || call->number == SYS_readv ||
               call->number == SYS_writev) {
        seen->reason = file_reason(pid, call->arguments[0], seen->reason);
    }
    return true;
}

/* *is_inner: what is around that function says it better. */
static bool by_function(const char *name, struct wait_seen *seen, bool *is_inner)
{
    const struct wait_row *row = wait_row_of(WAIT_KERNEL_FUNCTION, name);
    if (!row) {
        return false;
    }
    *seen = (struct wait_seen){
        .reason = row->reason, .from = EVENT_FROM_WCHAN, .is_vague = row->is_vague};
    *is_inner = row->rank == WAIT_INNER;
    return true;
}

/* A call that was interrupted, by a stop or the freezer say, and goes on as restart_syscall(2). It
 * has its arguments, but no longer its number: that is with its kernel function. In nanosleep all
 * functions up to the call's entry count as the scheduler's, which wchan passes over; poll and
 * futex show theirs. */
static bool by_restarted(const struct sources *from, pid_t pid, const struct wait_place *place,
                         const char *function, const struct wait_seen *by_function,
                         struct wait_seen *seen)
{
    static const char *const entries[] = {"do_syscall_64",
                                          "do_syscall_x64",
                                          "x64_sys_call",
                                          "__do_sys_restart_syscall",
                                          "invoke_syscall",
                                          "el0_svc_common",
                                          "do_el0_svc",
                                          "__x64_sys_restart_syscall",
                                          "__arm64_sys_restart_syscall"};
    *seen = (struct wait_seen){.reason = EVENT_REASON_SLEEP, .from = EVENT_FROM_SYSCALL};
    if (by_function) {
        if (by_function->is_vague) {
            refine_call(from, pid, place, seen);
        }
        return by_function->is_vague;
    }
    size_t n = strcspn(function, ".");
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        if (strlen(entries[i]) == n && memcmp(entries[i], function, n) == 0) {
            return true;
        }
    }
    return false;
}

bool wait_probe_place(pid_t pid, pid_t tid, struct wait_place *place)
{
    struct buf text = {0};
    bool is_there =
        read_file(pid, tid, "syscall", &text) && wait_parse_syscall(buf_str(&text), place);
    buf_free(&text);
    return is_there && place->sp;
}

bool wait_probe_is_allowed(pid_t pid)
{
    int64_t scope = 0;
    char path[PATH_BYTES];
    struct buf text = {0};
    if (pid == 0) {
        return geteuid() == 0 || fd_read_int("/proc/sys/kernel/yama/ptrace_scope", &scope) != 0 ||
               scope == 0;
    }
    /* This file asks for the same right as the memory does. */
    snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
    bool is_allowed = fd_read_file(path, FILE_BYTES_MAX, &text) == 0;
    buf_free(&text);
    return is_allowed;
}

bool wait_probe(struct target_memory *memory, wait_find_thread find, void *ctx, pid_t pid,
                pid_t tid, struct wait_seen *seen)
{
    const struct sources from = {memory, find, ctx};
    struct buf syscall_text = {0}, wchan = {0};
    struct wait_place place = {.call.number = -1};
    struct wait_seen by_call;
    bool is_inner = false;
    bool has_call = read_file(pid, tid, "syscall", &syscall_text);
    bool is_blocked = !has_call || wait_parse_syscall(buf_str(&syscall_text), &place);
    bool has_wchan =
        is_blocked && read_file(pid, tid, "wchan", &wchan) && strcmp(buf_str(&wchan), "0") != 0;
    bool has_function = has_wchan && by_function(buf_str(&wchan), seen, &is_inner);
    bool has_reason = is_blocked && (place.call.number == SYS_restart_syscall
                                         ? by_restarted(&from, pid, &place, buf_str(&wchan),
                                                        has_function ? seen : NULL, &by_call)
                                         : by_syscall(&from, pid, &place, &by_call));
    /* A futex shows the same function whatever it is part of, and so does a page; the call knows
     * more. Waiting for a lock of the kernel shows in the function, within any call. */
    if (has_reason && (!has_function || seen->is_vague || is_inner)) {
        *seen = by_call;
    } else if (has_wchan && !has_function) {
        *seen = (struct wait_seen){
            .reason = EVENT_REASON_OTHER, .from = EVENT_FROM_WCHAN, .is_unlisted = true};
    }
    buf_free(&syscall_text);
    buf_free(&wchan);
    return has_wchan || has_reason;
}
