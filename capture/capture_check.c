/* capture_check.c - the part of capture.h that says what could be recorded, without recording it.
 */
#include <unistd.h>

#include "capture/ability.h"
#include "capture/capture.h"
#include "capture/events.h"
#include "capture/proc.h"
#include "capture/unwind_arch.h"
#include "capture/wait_probe.h"

enum { RING_BYTES = 512 << 10 };
static const int64_t PROBE_PERIOD_NS = 1000000;

size_t capture_probe(const char *daemon_socket, struct capture_ability rows[ABILITIES_MAX])
{
    struct err e = {0};
    struct events ev = {.period_ns = PROBE_PERIOD_NS,
                        .is_on_exec = true, /* never: nothing is recorded */
                        .daemon_socket = daemon_socket};
    struct events_thread self = {getpid(), getpid()};
    int rc = counters_read_names(&ev.counters, NULL, &e);
    rc = rc ? rc : events_open(&ev, RING_BYTES, &e);
    rc = rc ? rc : events_add_thread(&ev, &self, &e);
    int fd = rc == 0 && ev.has_kernel ? opener_kallsyms(&ev.opener) : -1;
    size_t n = 0;
    if (rc == 0) {
        struct ability_facts facts = {.has_names = fd >= 0,
                                      .unwinds = unwind_arch_of_host() != NULL,
                                      .reads_memory = wait_probe_is_allowed(0)};
        n = ability_all(rows, &ev, &facts);
    } else {
        ability_recording(&rows[n++], &e);
    }
    if (fd >= 0) {
        close(fd);
    }
    events_close(&ev);
    return n;
}

int capture_check(const struct capture_options *o, struct err *e)
{
    int rc = capture_check_frequency(o->frequency_hz, e);
    if (rc != 0) {
        return rc;
    }
    pid_t group = 0;
    struct proc_stat stat;
    if (o->pid <= 0 || proc_read_stat(o->pid, 0, &stat) != 0 ||
        proc_read_group(o->pid, &group) != 0) {
        return err_set(e, STAX_ENOTFOUND, "no process has pid %d", o->pid);
    }
    if (group != o->pid) {
        err_set(e, STAX_ENOTFOUND, "%d is a thread of process %d", o->pid, group);
        err_hint(e, "record the process (--pid %d) and look at one thread with --tid %d", group,
                 o->pid);
        return STAX_ENOTFOUND;
    }
    if (!proc_is_alive(o->pid)) {
        return err_set(e, STAX_ENOTFOUND,
                       "process %d has ended and only waits for its parent (zombie)", o->pid);
    }
    return 0;
}
