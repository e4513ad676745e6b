/* grant.c - see grant.h. */
#include "capture/staxd/grant.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/staxd/identity.h"

enum { PATH_BYTES = 96, NUMBER_BYTES = 32 };

void grant_revoke(struct broker_answer *answer, int *fds, enum broker_status status, int os_errno)
{
    for (uint32_t i = 0; i < answer->n_fds; i++) {
        close(fds[i]);
    }
    *answer = (struct broker_answer){
        .magic = BROKER_MAGIC,
        .version = BROKER_VERSION,
        .size = sizeof(*answer),
        .serial = answer->serial,
        .status = status,
        .os_errno = status == BROKER_CANNOT_OPEN ? os_errno : 0,
    };
}

/* The id of a tracepoint of the group sched, 0 when tracefs does not say. */
static uint64_t find_tracepoint(const char *name)
{
    static const char *const places[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char path[PATH_BYTES], text[NUMBER_BYTES], *end;
        snprintf(path, sizeof(path), "%s/events/sched/%s/id", places[i], name);
        if (identity_read_file(path, text, sizeof(text)) > 0) {
            uint64_t id = strtoull(text, &end, 10);
            return *end == '\n' || *end == '\0' ? id : 0;
        }
    }
    return 0;
}

static int perf_event_open(struct perf_event_attr *attr, pid_t tid, int cpu, int leader)
{
    long fd = syscall(SYS_perf_event_open, attr, tid, cpu, leader, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

/* All events of one CPU, or none: 0 or -errno. */
static int open_group(const struct broker_request *request, uint64_t tracepoint, int cpu, int *fds)
{
    for (unsigned member = 0; member <= request->n_counters; member++) {
        struct perf_event_attr attr;
        policy_build_attr(request, member, tracepoint, &attr);
        int fd = perf_event_open(&attr, request->tid, cpu, member > 0 ? fds[0] : -1);
        if (fd < 0) {
            while (member > 0) {
                close(fds[--member]);
            }
            return fd;
        }
        fds[member] = fd;
    }
    return 0;
}

/* The events of a checked request on all its CPUs; CPUs that are offline are left out. */
static int open_events(const struct broker_request *request, uint64_t tracepoint,
                       struct broker_answer *answer, int *fds)
{
    int absent = 0;
    for (uint32_t i = 0; i < request->n_cpus; i++) {
        int rc = open_group(request, tracepoint, (int)(request->cpu + i), fds + answer->n_fds);
        if (rc == -ENODEV || rc == -ENXIO) {
            absent = rc;
            continue;
        }
        if (rc != 0) {
            return rc;
        }
        answer->n_fds += 1 + request->n_counters;
        answer->n_groups++;
        answer->opened[i / 64] |= UINT64_C(1) << i % 64;
    }
    return answer->n_fds ? 0 : absent;
}

/* Who the target is at this moment, and whether the caller may. */
static enum broker_status check_target(const struct policy_caller *caller,
                                       const struct broker_request *request, int pidfd)
{
    struct policy_target target;
    enum broker_status status = identity_read(request->pid, request->tid, &target);
    /* Read first, then known to be alive: so what was read was not another process of that pid. */
    enum broker_status alive = identity_is_alive(pidfd);
    if (alive != BROKER_GRANTED) {
        return alive;
    }
    return status == BROKER_GRANTED ? policy_check_target(caller, request->pid, &target) : status;
}

static enum broker_status grant_events(const struct policy_caller *caller,
                                       const struct grant_message *message,
                                       struct broker_answer *answer, int *fds, int *os_errno)
{
    const struct broker_request *request = &message->request;
    pid_t pid;
    uint64_t tracepoint = 0;
    enum broker_status status = identity_of_pidfd(message->pidfd, &pid);
    if (status == BROKER_GRANTED) {
        status = identity_is_alive(message->pidfd);
    }
    if (status != BROKER_GRANTED) {
        return status;
    }
    if (pid != request->pid) {
        return BROKER_OTHER_NAMESPACE;
    }
    status = check_target(caller, request, message->pidfd);
    if (status != BROKER_GRANTED) {
        return status;
    }
    const char *name = policy_tracepoint(request->kind);
    if (name && !(tracepoint = find_tracepoint(name))) {
        return BROKER_NO_TRACEFS;
    }
    int rc = open_events(request, tracepoint, answer, fds);
    if (rc != 0) {
        *os_errno = -rc;
        return rc == -ESRCH ? BROKER_GONE : BROKER_CANNOT_OPEN;
    }
    /* The target may have become somebody else since it was checked. An exec that changes
     * credentials after the open removes the events (the kernel does that whoever opened them), one
     * before it shows now: perf_event_open(2) and exec exclude each other. */
    return check_target(caller, request, message->pidfd);
}

static enum broker_status grant_kallsyms(struct broker_answer *answer, int *fds, int *os_errno)
{
    fds[0] = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
    if (fds[0] < 0) {
        *os_errno = errno;
        return BROKER_CANNOT_OPEN;
    }
    answer->n_fds = 1;
    return BROKER_GRANTED;
}

void grant(const struct policy_caller *caller, const struct grant_message *message,
           struct broker_answer *answer, int *fds)
{
    int os_errno = 0;
    enum broker_status status =
        policy_check_request(&message->request, message->n_bytes, message->n_fds);
    *answer = (struct broker_answer){
        .magic = BROKER_MAGIC,
        .version = BROKER_VERSION,
        .size = sizeof(*answer),
        .serial = status == BROKER_BAD_MESSAGE || status == BROKER_BAD_VERSION
                      ? 0
                      : message->request.serial,
    };
    if (status == BROKER_GRANTED) {
        status = message->request.op == BROKER_KALLSYMS
                     ? grant_kallsyms(answer, fds, &os_errno)
                     : grant_events(caller, message, answer, fds, &os_errno);
    }
    if (status != BROKER_GRANTED) {
        grant_revoke(answer, fds, status, os_errno);
    }
}
