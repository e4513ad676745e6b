/* refusal.c - see refusal.h. */
#include "capture/refusal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fd.h"

enum { STATUS_BYTES_MAX = 16384, PATH_BYTES = 64 };

int64_t refusal_paranoid(void)
{
    int64_t level = 0;
    return fd_read_int("/proc/sys/kernel/perf_event_paranoid", &level) == 0 ? level : INT64_MIN;
}

/* A number of /proc/self/status, whose line begins with name; fallback when there is none. */
static unsigned long long own_status(const char *name, int base, unsigned long long fallback)
{
    struct buf text = {0};
    unsigned long long value = fallback;
    if (fd_read_file("/proc/self/status", STATUS_BYTES_MAX, &text) == 0) {
        const char *line = strstr(buf_str(&text), name);
        value = line ? strtoull(line + strlen(name), NULL, base) : fallback;
    }
    buf_free(&text);
    return value;
}

bool refusal_is_filtered(void)
{
    return own_status("\nSeccomp:\t", 10, 0) == 2;
}

bool refusal_has_perfmon(void)
{
    return own_status("\nCapEff:\t", 16, 0) &
           (UINT64_C(1) << CAP_PERFMON | UINT64_C(1) << CAP_SYS_ADMIN);
}

/* The host says no: which of its settings does, and what would help. */
static int explain_refusal(int os_errno, const struct err *broker, struct err *e)
{
    char setting[2 * PATH_BYTES] = "kernel.perf_event_paranoid is not readable";
    int64_t level = refusal_paranoid();
    bool is_root = geteuid() == 0, is_closed = level > 2 && !is_root;
    if (level != INT64_MIN) {
        snprintf(setting, sizeof(setting), "kernel.perf_event_paranoid is %lld%s", (long long)level,
                 is_closed ? "" : ", not what forbids it");
    }
    err_set(e, STAX_EPERMISSION, "the host forbids perf events (perf_event_open: %s; %s%s%s)",
            strerror(os_errno), setting, broker->code ? "; " : "", broker->code ? broker->msg : "");
    if (is_closed) {
        err_hint(e, "sudo sysctl kernel.perf_event_paranoid=2 (1 adds kernel stacks), or sudo stax "
                    "setup, which installs staxd, or run as root");
    } else if (refusal_is_filtered()) {
        err_hint(e, "a seccomp filter, as containers and services have, is in the way: let it "
                    "allow perf_event_open, or start the container with --cap-add PERFMON");
    } else {
        err_hint(e,
                 "give stax-server CAP_PERFMON%s; a program that is not dumpable (setuid) can "
                 "be recorded by root only",
                 is_root ? "" : " or run it as root");
    }
    return STAX_EPERMISSION;
}

int refusal_explain(int os_errno, pid_t tid, const struct err *broker, struct err *e)
{
    char of[PATH_BYTES] = "stax-server itself";
    if (tid) {
        snprintf(of, sizeof(of), "thread %d", tid);
    }
    switch (os_errno) {
    case ESRCH:
        return err_set(e, STAX_ENOTFOUND, "thread %d is gone", tid);
    case EMFILE:
    case ENFILE:
        err_set(e, STAX_ELIMIT, "no descriptors left for the events of %s", of);
        err_hint(e, "raise the limit of open files for stax-server: ulimit -n, or LimitNOFILE= in "
                    "its systemd unit");
        return STAX_ELIMIT;
    case ENOSYS:
    case ENOENT:
    case EOPNOTSUPP:
        return err_set(e, STAX_ESYSTEM,
                       "this kernel offers no perf events (CONFIG_PERF_EVENTS): %s",
                       strerror(os_errno));
    case EACCES:
    case EPERM:
        break;
    default:
        return err_set_errno(e, os_errno, "cannot open a perf event on %s", of);
    }
    char path[PATH_BYTES];
    struct stat owner;
    snprintf(path, sizeof(path), "/proc/%d", tid);
    if (tid && stat(path, &owner) == 0 && owner.st_uid != geteuid() && geteuid() != 0) {
        err_set(e, STAX_EPERMISSION, "process %d belongs to uid %u, stax-server runs as uid %u",
                tid, owner.st_uid, geteuid());
        err_hint(e, "record it as that user or as root");
        return STAX_EPERMISSION;
    }
    return explain_refusal(os_errno, broker, e);
}

int refusal_explain_ring(int os_errno, size_t min_bytes, struct err *e)
{
    if (os_errno != EPERM && os_errno != ENOMEM) {
        return err_set_errno(e, os_errno, "cannot map a perf ring");
    }
    int64_t kib = -1;
    fd_read_int("/proc/sys/kernel/perf_event_mlock_kb", &kib);
    err_set(e, STAX_ELIMIT,
            "no locked memory left even for rings of %zu KiB per CPU "
            "(kernel.perf_event_mlock_kb is %lld, shared by all recordings of this user)",
            min_bytes >> 10, (long long)kib);
    err_hint(e,
             "stop other recordings, raise RLIMIT_MEMLOCK (ulimit -l) for stax-server, or sudo "
             "sysctl kernel.perf_event_mlock_kb=%lld",
             (long long)(kib > 516 ? kib * 2 : 1032));
    return STAX_ELIMIT;
}
